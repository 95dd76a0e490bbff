//! Our end of a lane: a call is laid into memory that is shared with a process that is kept, and its answer is looked for
//! there for a moment. What takes longer is heard the ordinary way, and so is everything but an answer.
//!
//! What lies there is its guest's to change at any time. It is read once, bounded by its place, and heard like everything
//! that comes over the channel; who lies there spoils his own call, and keeps nobody longer than [`MOST`].

use std::cell::{Cell, OnceCell};
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use sandtrap_protocol::{Came, Hope, LANE_BYTES, LANE_LOOKS, Laid, Lane, Tally};

use super::beside::{Beside, Found, Manner};
use super::page::Page;
use super::sys;

/// How long both ends watch it before they sleep.
const WATCH: Duration = Duration::from_micros(50);

/// How long an answer is looked for there. Meanwhile nobody drains what the guest writes. With most kernels a tick comes before
/// it is over: whoever sleeps for less sets the processor's timer, which interrupts somebody later and takes 20 us on a
/// virtual machine.
pub(super) const MOST: Duration = Duration::from_millis(5);

/// So often this end gives way before it sleeps: once is enough where nobody but its guest wants to run, and neither of them
/// has slept before.
const WAYS: u32 = 8;

/// And for as long, looked at between two times.
const TRIED: Duration = Duration::from_micros(100);

/// As long this end watches for the kernel to find another processor for the guest.
pub(super) const PARTING: Duration = Duration::from_micros(200);

/// Memory that a guest may take as a lane.
#[derive(Debug)]
pub(super) struct Offer(File);

impl Offer {
    pub(super) fn new() -> io::Result<Self> {
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let file = File::from(memfd_create(c"sandtrap-lane", flags)?);
        file.set_len(LANE_BYTES as u64)?;
        seal(&file, SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW)?;
        Ok(Self(file))
    }

    pub(super) fn file(&self) -> &File {
        &self.0
    }

    /// The guest has taken it. So many bytes were sent over the channel by now.
    pub(super) fn taken(self, beside: Beside, may_watch: bool, sent: u64) -> io::Result<OurLane> {
        let lane: Page<Lane> = Page::of(&self.0, 0)?;
        lane.to_guest.sent_elsewhere(sent, &lane.to_host);
        let watch = if may_watch { WATCH } else { Duration::ZERO };
        lane.to_guest.open(u32::try_from(watch.as_micros()).unwrap_or(u32::MAX));
        let shared = Arc::new(Shared { lane, is_over: AtomicBool::new(false) });
        Ok(OurLane {
            shared,
            watch,
            beside,
            tally: Cell::default(),
            hope: Cell::default(),
            patience: Cell::default(),
            known: Cell::default(),
            calls: Cell::default(),
        })
    }

    /// The guest wants none: nobody shall write there, for what is written could be mapped as code.
    pub(super) fn withdrawn(self) {
        // It fails where somebody has mapped it without a word; he had no need for code of others.
        let _ = seal(&self.0, SealFlag::F_SEAL_WRITE);
    }
}

fn seal(file: &File, seals: SealFlag) -> io::Result<()> {
    fcntl(file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(())
}

/// A lane in use.
pub(super) struct OurLane {
    shared: Arc<Shared>,
    watch: Duration,
    beside: Beside,
    tally: Cell<Tally>,
    hope: Cell<Hope>,
    /// For how long the answer to the call at hand is watched for.
    patience: Cell<Duration>,
    /// What the guest had sent over the channel when it was called.
    known: Cell<u64>,
    /// Calls since its process was looked at.
    calls: Cell<u32>,
}

/// When that was, for one who has slept for so long without a look at the clock.
fn ago(time: Duration) -> Instant {
    let now = Instant::now();
    now.checked_sub(time).unwrap_or(now)
}

/// What whoever ends a call has, too.
struct Shared {
    lane: Page<Lane>,
    is_over: AtomicBool,
}

impl OurLane {
    /// Wakes whoever waits here, and lets nobody wait any more: the process has ended, or shall end.
    pub(super) fn alarm(&self) -> impl Fn() + Send + Sync + 'static {
        let shared = Arc::clone(&self.shared);
        move || {
            shared.is_over.store(true, Ordering::SeqCst);
            sys::wake(shared.lane.to_host.ring());
        }
    }

    /// A call was made here, and its process not looked at.
    pub(super) fn is_called(&self) {
        self.calls.set(self.calls.get().saturating_add(1));
    }

    /// How many that were.
    pub(super) fn calls(&self) -> u32 {
        self.calls.get()
    }

    /// Its process was looked at.
    pub(super) fn rests(&self) {
        self.calls.set(0);
    }

    /// Whether it is of no use any more.
    pub(super) fn is_over(&self) -> bool {
        self.shared.is_over.load(Ordering::SeqCst)
    }

    /// So many bytes went over the channel by now.
    pub(super) fn sent_elsewhere(&self, bytes: u64) {
        let Lane { to_guest, to_host } = &*self.shared.lane;
        if to_guest.sent_elsewhere(bytes, to_host) {
            sys::wake(to_guest.ring());
        }
    }

    /// Whether its guest has not taken the last call that was laid down.
    pub(super) fn is_unread(&self) -> bool {
        self.tally.get().is_unread(&self.shared.lane.to_host)
    }

    /// The answer will not be looked for here, or not any more.
    pub(super) fn looks_away(&self) {
        self.shared.lane.to_guest.looks_away();
        self.beside.let_go();
    }

    /// Lays a call down, if its guest looks for one here. Its answer has to be waited for then.
    pub(super) fn lay(&self, head: &[u8], tail: &[u8]) -> bool {
        let Lane { to_guest, to_host } = &*self.shared.lane;
        if self.is_over() || !to_host.is_looking() {
            return false;
        }
        let here = sys::processor();
        let found = Found { here, is_here: to_host.is_on(here), sleeps: to_host.is_asleep() };
        let manner = self.beside.before_call(found);
        self.decide(manner);
        to_guest.set_giving_way(manner == Manner::GivingWay);
        self.known.set(to_host.elsewhere());
        let mut tally = self.tally.get();
        let laid = tally.lay(to_guest, to_host, (head, tail), here);
        self.tally.set(tally);
        match laid {
            Laid::Seen => {}
            Laid::Asleep => sys::wake(to_guest.ring()),
            Laid::Nowhere => self.beside.was_not_called(),
        }
        laid != Laid::Nowhere
    }

    /// For how long the next answer is watched for: not at all where the guest can't run meanwhile, or has kept us waiting
    /// lately.
    fn decide(&self, manner: Manner) {
        let patience = match manner {
            Manner::Sleeping | Manner::Staying | Manner::GivingWay => Duration::ZERO,
            Manner::Parting => PARTING,
            Manner::Watching => {
                let mut hope = self.hope.get();
                let watches = hope.watches();
                self.hope.set(hope);
                if watches { self.watch } else { Duration::ZERO }
            }
        };
        self.patience.set(patience);
    }

    /// Gives way, if that may still be of use: a guest that works has the processor for as long as the kernel likes.
    fn has_given_way(&self, ways: &mut u32, began: &OnceCell<Instant>) -> bool {
        let passed = || began.get().map_or(Duration::ZERO, Instant::elapsed);
        let may = *ways == WAYS || *ways > 0 && passed() < TRIED && !self.is_over();
        *ways = if may { *ways - 1 } else { 0 };
        if may {
            std::thread::yield_now();
        }
        may
    }

    /// Waits for the answer to the call that was laid down, for this long at most. What came lies in `into` then. Says
    /// also when the wait began, if the clock was looked at for it.
    pub(super) fn wait(&self, most: Duration, into: &mut [u8]) -> (Option<usize>, Option<Instant>) {
        let Lane { to_guest, to_host } = &*self.shared.lane;
        let (patience, began) = (self.patience.get(), OnceCell::new());
        let (watches, mut has_time) = (!patience.is_zero(), true);
        let known = self.known.get();
        let mut tally = self.tally.get();
        let (mut is_first, mut has_slept, mut stay) = (true, false, None);
        let mut ways = 0;
        if let Some(called) = self.beside.gives_way_since().filter(|_| most == MOST) {
            ways = WAYS;
            began.get_or_init(|| called);
        }
        let came = tally.wait(
            to_guest,
            to_host,
            |bytes| bytes != known,
            sys::near,
            || {
                if self.has_given_way(&mut ways, &began) {
                    return 1;
                }
                // What is there soon is found without a clock.
                if !watches || std::mem::take(&mut is_first) {
                    return if watches { LANE_LOOKS } else { 0 };
                }
                let passed = began.get_or_init(Instant::now).elapsed();
                has_time = passed < patience;
                if has_time && passed < most && !self.is_over() { LANE_LOOKS } else { 0 }
            },
            |word, bell| {
                if std::mem::replace(&mut has_slept, true) {
                    // A signal wakes, too.
                    began.get_or_init(Instant::now);
                }
                let left = match began.get() {
                    Some(began) => most.saturating_sub(began.elapsed()),
                    // Nearly all are woken by an answer, and need no clock.
                    None => most,
                };
                let goes_on = !left.is_zero() && !self.is_over();
                if goes_on {
                    stay = stay.take().or_else(|| self.beside.before_sleep());
                    if sys::sleep_on(word, bell, left) {
                        began.get_or_init(|| ago(most));
                    }
                }
                goes_on
            },
        );
        drop(stay);
        if watches && patience == self.watch {
            let mut hope = self.hope.get();
            hope.learn(has_time);
            self.hope.set(hope);
        }
        if came != Came::Message {
            self.beside.let_go();
            return (None, began.get().copied());
        }
        let count = tally.take(to_guest, to_host, into);
        self.tally.set(tally);
        self.beside.after_call(has_slept);
        (Some(count), began.get().copied())
    }
}

#[cfg(test)]
mod tests {
    use nix::sched::{CpuSet, sched_setaffinity};
    use nix::unistd::Pid;

    use super::*;

    fn lane() -> OurLane {
        let beside = Beside::of(0, &Arc::default(), (false, true), &Arc::default());
        Offer::new().unwrap().taken(beside, true, 0).unwrap()
    }

    /// One whose guest has this processor, and no other.
    fn lane_on_one_processor() -> OurLane {
        let mut one = CpuSet::new();
        one.set(sys::processor() as usize).unwrap();
        sched_setaffinity(Pid::from_raw(0), &one).unwrap();
        lane()
    }

    /// Has the next answer waited for by giving way.
    fn give_way(ours: &OurLane) {
        let found = Found { here: sys::processor(), is_here: true, sleeps: true };
        // Another test may have it left off.
        while ours.beside.before_call(found) != Manner::GivingWay {}
    }

    #[test]
    fn a_lane_that_nobody_wants_can_not_be_written_to_any_more() {
        use std::os::unix::fs::FileExt as _;
        let offer = Offer::new().unwrap();
        let guests = offer.file().try_clone().unwrap();
        guests.write_all_at(b"x", 0).unwrap();
        assert!(guests.set_len(0).is_err() && guests.set_len(1 << 20).is_err());
        offer.withdrawn();
        assert!(guests.write_all_at(b"x", 0).is_err());
    }

    #[test]
    fn nothing_is_laid_for_a_guest_that_does_not_look() {
        let ours = lane();
        assert!(!ours.lay(b"call", b""));
        ours.shared.lane.to_host.looks();
        assert!(!ours.lay(&[0; LANE_BYTES], b""));
        assert!(ours.lay(b"call", b""));
    }

    #[test]
    fn an_alarm_ends_a_wait_in_every_state_and_all_waits_after_it() {
        let states = [(Duration::ZERO, false), (Duration::MAX, false), (Duration::ZERO, true)];
        for (patience, gives_way) in states {
            let ours = if gives_way { lane_on_one_processor() } else { lane() };
            ours.shared.lane.to_host.looks();
            assert!(ours.lay(b"call", b""));
            ours.patience.set(patience);
            if gives_way {
                give_way(&ours);
            }
            let ring = std::thread::spawn(ours.alarm());
            assert_eq!(ours.wait(Duration::MAX, &mut [0; 8]).0, None);
            ring.join().unwrap();
            assert!(!ours.lay(b"call", b"") && ours.is_over());
        }
    }

    #[test]
    fn a_wait_is_over_in_time_whatever_is_written_there() {
        let (ours, is_done) = (lane_on_one_processor(), AtomicBool::new(false));
        let shared = Arc::clone(&ours.shared);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_done.load(Ordering::Relaxed) {
                    shared.lane.to_host.ring();
                    shared.lane.to_guest.looks();
                }
            });
            for patience in [Duration::ZERO, WATCH] {
                ours.patience.set(patience);
                assert_eq!(ours.wait(MOST, &mut [0; 8]).0, None);
            }
            give_way(&ours);
            assert_eq!(ours.wait(MOST, &mut [0; 8]).0, None);
            is_done.store(true, Ordering::Relaxed);
        });
    }

    #[test]
    fn an_answer_is_watched_for_by_one_whose_guest_can_run_meanwhile() {
        let waits = |ours: &OurLane, manner| {
            ours.decide(manner);
            ours.patience.get()
        };
        let ours = lane();
        assert_eq!(waits(&ours, Manner::Watching), WATCH);
        assert_eq!(waits(&ours, Manner::Sleeping), Duration::ZERO);
        assert_eq!(waits(&ours, Manner::Staying), Duration::ZERO);
        assert_eq!(waits(&ours, Manner::GivingWay), Duration::ZERO);
        assert_eq!(waits(&ours, Manner::Parting), PARTING);
        let beside = Beside::of(0, &Arc::default(), (false, false), &Arc::default());
        let slow = Offer::new().unwrap().taken(beside, false, 0).unwrap();
        assert_eq!(waits(&slow, Manner::Watching), Duration::ZERO);
    }
}
