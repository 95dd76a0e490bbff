//! Messages arrive as they were, and whoever lies is read within bounds and waited for within time.

use super::*;
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

fn way() -> Box<Way> {
    Box::new(Way {
        turn: AtomicU32::new(0),
        length: AtomicU32::new(0),
        words: core::array::from_fn(|_| AtomicU64::new(0)),
        presence: AtomicU32::new(AWAY),
        place: AtomicU32::new(0),
        elsewhere: AtomicU64::new(0),
        bell: AtomicU32::new(0),
        patience: AtomicU32::new(0),
        gives_way: AtomicU32::new(0),
        _state: core::array::from_fn(|_| AtomicU32::new(0)),
        taken: AtomicU32::new(0),
        _rest: core::array::from_fn(|_| AtomicU32::new(0)),
    })
}

/// Both ends of a lane.
struct Ends {
    host: Box<Way>,
    guest: Box<Way>,
    hosts: Tally,
    guests: Tally,
}

impl Ends {
    fn new() -> Self {
        let (hosts, guests) = (Tally::default(), Tally::default());
        Self { host: way(), guest: way(), hosts, guests }
    }

    fn lay(&mut self, message: &[u8]) -> Laid {
        self.hosts.lay(&self.host, &self.guest, (message, b""), 5)
    }

    /// The guest looks, and knows of nothing on the channel.
    fn look(&self, sleeps: impl FnMut(&AtomicU32, u32) -> bool) -> Came {
        self.guests.wait(&self.guest, &self.host, |bytes| bytes > 0, |_| {}, || 0, sleeps)
    }
}

#[test]
fn its_place_in_memory_is_fixed() {
    use core::mem::offset_of;
    assert_eq!((size_of::<Lane>(), LANE_MOST), (LANE_BYTES, 3960));
    assert_eq!((offset_of!(Way, turn), offset_of!(Way, length)), (0, 4));
    assert_eq!((offset_of!(Way, words), FIRST), (8, 7));
    assert_eq!((offset_of!(Way, presence), offset_of!(Way, place)), (3968, 3972));
    assert_eq!((offset_of!(Way, elsewhere), offset_of!(Way, bell)), (3976, 3984));
    assert_eq!((offset_of!(Way, patience), offset_of!(Way, gives_way)), (3988, 3992));
    assert_eq!((offset_of!(Way, taken), offset_of!(Lane, to_host)), (4032, 4096));
}

#[test]
fn a_message_of_any_length_and_parts_arrives_as_it_was() {
    let mut ends = Ends::new();
    let all: Vec<u8> = (0..LANE_MOST).map(|at| (at % 251) as u8).collect();
    for (length, cut) in
        [(0, 0), (1, 0), (7, 3), (8, 8), (56, 9), (57, 57), (64, 15), (79, 15), (3960, 13)]
    {
        for (presence, laid) in [(WATCHES, Laid::Seen), (SLEEPS, Laid::Asleep)] {
            ends.guest.presence.store(presence, Ordering::Relaxed);
            let parts = all[..length].split_at(cut);
            assert_eq!(ends.hosts.lay(&ends.host, &ends.guest, parts, 5), laid);
            assert!(ends.hosts.is_unread(&ends.guest));
            assert!(ends.host.is_on(5) && !ends.host.is_on(6) && ends.host.is_looking());
            assert_eq!(ends.look(|_, _| false), Came::Message);
            let mut into = vec![0; LANE_MOST];
            assert_eq!(ends.guests.take(&ends.guest, &ends.host, &mut into), length);
            assert!(!ends.hosts.is_unread(&ends.guest));
            assert_eq!(into[..length], all[..length], "{length}");
            assert_eq!(ends.look(|_, _| false), Came::Nothing);
            assert_eq!(ends.lay(b"x"), Laid::Nowhere, "nobody looks");
        }
    }
    ends.guest.looks();
    assert_eq!(ends.lay(&[0; LANE_MOST + 1]), Laid::Nowhere, "it is too long");
}

#[test]
fn a_length_that_is_a_lie_reads_nothing_beyond() {
    let way = way();
    way.length.store(u32::MAX, Ordering::Relaxed);
    assert_eq!(way.take(&mut [0; LANE_MOST + 8]), LANE_MOST);
    assert_eq!(way.take(&mut [0; 3]), 3);
}

#[test]
fn whoever_waits_is_told_to_look_elsewhere_or_gives_up() {
    let mut ends = Ends::new();
    for sleeps in [false, true] {
        ends.guest.looks();
        assert!(!ends.host.sent_elsewhere(0, &ends.guest));
        assert_eq!(ends.look(|_, _| false), Came::Nothing);
        assert!(!ends.guest.is_looking());
        let came = ends.look(|_, _| {
            assert!(ends.host.sent_elsewhere(7, &ends.guest), "it sleeps");
            sleeps
        });
        assert_eq!(came, if sleeps { Came::Elsewhere } else { Came::Nothing });
        ends.host.sent_elsewhere(0, &ends.guest);
    }
    for scribbled in [7, CLAIMED - 1, u32::MAX] {
        ends.host.turn.store(scribbled, Ordering::Relaxed);
        assert_eq!(ends.look(|_, _| true), Came::Elsewhere);
    }
    ends.host.turn.store(0, Ordering::Relaxed);
    ends.guest.looks();
    assert_eq!(ends.lay(b"x"), Laid::Seen);
}

#[test]
fn a_message_to_one_who_has_just_gone_is_his_or_nobodys() {
    // It came before he looked for the last time.
    let mut ends = Ends::new();
    ends.guest.looks();
    assert_eq!(ends.lay(b"x"), Laid::Seen);
    ends.guest.looks_away();
    let (all, none) = (|_| true, |_: &AtomicU64| {});
    let came = ends.guests.wait(&ends.guest, &ends.host, all, none, || 0, |_, _| false);
    assert_eq!(came, Came::Message);
    // He was gone when it came, and it is taken back.
    for presence in [AWAY, 77] {
        let mut ends = Ends::new();
        ends.guest.presence.store(presence, Ordering::Relaxed);
        assert_eq!(ends.lay(b"x"), Laid::Nowhere);
        ends.host.turn.store(1, Ordering::Relaxed);
        assert_eq!(ends.hosts.settle(&ends.host, &ends.guest, 1), Laid::Nowhere);
        assert_eq!(ends.look(|_, _| false), Came::Nothing);
    }
}

#[test]
fn a_message_that_was_taken_is_not_taken_back_from_one_who_has_gone_since() {
    let mut ends = Ends::new();
    ends.guest.looks();
    ends.host.turn.store(1, Ordering::Relaxed);
    assert_eq!(ends.look(|_, _| false), Came::Message);
    ends.guests.take(&ends.guest, &ends.host, &mut []);
    ends.guest.looks_away();
    assert_eq!(ends.hosts.settle(&ends.host, &ends.guest, 1), Laid::Seen);
    assert!(!ends.hosts.is_unread(&ends.guest));
}

#[test]
fn who_has_gone_and_comes_again_takes_nothing_that_is_about_to_be_taken_back() {
    let ends = Ends::new();
    let look = |has_mark: u32| {
        assert_eq!(ends.look(|_, _| false), Came::Message);
        assert_eq!(ends.host.turn.load(Ordering::Relaxed), 1 | has_mark);
        ends.host.turn.store(1, Ordering::Relaxed);
    };
    ends.host.turn.store(1, Ordering::Relaxed);
    // As it is seen by one who was always there, whose messages nobody takes back, and by one who was not.
    ends.guest.looks();
    look(0);
    ends.guest.looks_away();
    look(CLAIMED);
}

#[test]
fn turns_go_on_where_their_numbers_begin_anew() {
    let mut ends = Ends::new();
    let last = CLAIMED - 1;
    ends.host.turn.store(last, Ordering::Relaxed);
    ends.hosts.laid = last;
    ends.guests.taken = last;
    for _ in 0..3 {
        ends.guest.looks();
        assert_eq!(ends.lay(b"x"), Laid::Seen);
        assert_eq!(ends.look(|_, _| false), Came::Message);
        assert_eq!(ends.guests.take(&ends.guest, &ends.host, &mut [0; 8]), 1);
    }
}

#[test]
fn whoever_scribbles_keeps_nobody_longer_than_he_wants_to_wait() {
    let ends = Ends::new();
    let mut naps = 0;
    let came = ends.look(|word, bell| {
        naps += 1;
        word.store(bell, Ordering::Relaxed);
        ends.guest.presence.store(WATCHES, Ordering::Relaxed);
        naps < 10
    });
    assert_eq!((came, naps), (Came::Nothing, 10));
}

#[test]
fn a_guest_watches_no_lane_that_its_host_does_not_use() {
    let way = way();
    assert_eq!(way.patience(), None);
    way.open(0);
    assert_eq!(way.patience(), Some(0));
}

#[test]
fn a_host_says_whether_it_gives_way_and_anything_else_says_that_it_does_not() {
    let way = way();
    assert!(!way.is_giving_way());
    way.set_giving_way(true);
    assert!(way.is_giving_way());
    way.set_giving_way(false);
    assert!(!way.is_giving_way());
    way.gives_way.store(u32::MAX, Ordering::Relaxed);
    assert!(!way.is_giving_way());
}

#[test]
fn what_is_for_nothing_is_tried_less_and_less_often() {
    let mut hope = Hope::default();
    let mut watched = Vec::new();
    for wait in 0..300 {
        if hope.watches() {
            hope.learn(false);
            watched.push(wait);
        }
    }
    assert_eq!(watched, [0, 1, 3, 7, 15, 31, 63, 127, 191, 255]);
    while !hope.watches() {}
    hope.learn(true);
    assert!(hope.watches() && hope.watches());
}
