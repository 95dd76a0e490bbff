//! A lane: memory that a process shares with its host, in which both ends look for the next message for a moment, and then
//! sleep until it is there. A short message that is laid there costs little more than the way between two processors.
//!
//! Each end writes to a way of its own and only reads the other's: its messages, and beside them whether it looks for an
//! answer. So what both need lies where a message is anyway, and nothing goes back and forth but messages.
//!
//! Nothing in it is to be believed: the other end can write anything at any time. It is all integers, so whatever is
//! there can be read, and each is read once.

mod hope;
mod words;

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, compiler_fence, fence};

pub use hope::Hope;

/// The environment variable that tells a native guest the number of its lane's descriptor.
pub const LANE_VARIABLE: &str = "SANDTRAP_LANE";

/// The bytes of one direction, and of both.
const WAY_BYTES: usize = 4096;
/// The bytes of a lane.
pub const LANE_BYTES: usize = 2 * WAY_BYTES;

/// What processors pass on as a whole: a message begins in the one that says that it is there.
const LINE_BYTES: usize = 64;
/// What stands before a message, and behind it: what its end says of itself, and then what nobody waits for. Neither changes
/// as long as the two watch each other, or is passed on for a message.
const HEAD_BYTES: usize = 8;
const FOOT_BYTES: usize = 2 * LINE_BYTES;
const WORDS: usize = (WAY_BYTES - HEAD_BYTES - FOOT_BYTES) / 8;

/// So many words of a message are passed on with its turn. They are written with it, in one go, for whoever watches takes
/// that line away from a writer who is not through with it.
const FIRST: usize = (LINE_BYTES - HEAD_BYTES) / 8;

/// The longest message.
pub const LANE_MOST: usize = WORDS * 8;

/// What an end says of itself: whether it looks for the next message.
const AWAY: u32 = 0;
const WATCHES: u32 = 1;
const SLEEPS: u32 = 2;

/// The mark of a message that was taken by an end that had gone away.
const CLAIMED: u32 = 1 << 31;

/// So often it is looked at between two looks at the clock.
pub const LANE_LOOKS: u32 = 32;

/// Both directions.
#[repr(C)]
#[derive(Debug)]
pub struct Lane {
    /// What the host says.
    pub to_guest: Way,
    /// What the guest says.
    pub to_host: Way,
}

impl Lane {
    /// One in which nothing was said.
    #[must_use]
    pub const fn new() -> Self {
        Self { to_guest: Way::new(), to_host: Way::new() }
    }
}

impl Default for Lane {
    fn default() -> Self {
        Self::new()
    }
}

/// What one end says: its last message, and what it does itself.
#[repr(C, align(128))]
#[derive(Debug)]
pub struct Way {
    /// How many messages it has laid down.
    turn: AtomicU32,
    length: AtomicU32,
    words: [AtomicU64; WORDS],
    /// Whether it looks for a message itself.
    presence: AtomicU32,
    /// On which processor it ran when it laid the last one down, counted from 1.
    place: AtomicU32,
    /// How many bytes it has sent over the channel since the process began.
    elsewhere: AtomicU64,
    /// What the other end sleeps on.
    bell: AtomicU32,
    /// 0 as long as the host does not use the lane; else by one more than how many microseconds its guest may watch it.
    patience: AtomicU32,
    /// Whether the host gives way to its guest while it waits, as the two of them have one processor.
    gives_way: AtomicU32,
    _state: [AtomicU32; LINE_BYTES / 4 - 7],
    /// How many messages it has taken.
    taken: AtomicU32,
    _rest: [AtomicU32; LINE_BYTES / 4 - 1],
}

/// What came of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// A message, which lies there.
    Message,
    /// The other end has sent something over the channel, or is not to be understood.
    Elsewhere,
    /// Nothing: the channel has to be waited for.
    Nothing,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Laid {
    /// It lies there, and will be seen.
    Seen,
    /// It lies there, and whoever is to see it has to be woken.
    Asleep,
    /// It lies nowhere: it has to be sent over the channel.
    Nowhere,
}

impl Way {
    const fn new() -> Self {
        Self {
            turn: AtomicU32::new(0),
            length: AtomicU32::new(0),
            words: [const { AtomicU64::new(0) }; WORDS],
            presence: AtomicU32::new(AWAY),
            place: AtomicU32::new(0),
            elsewhere: AtomicU64::new(0),
            bell: AtomicU32::new(0),
            patience: AtomicU32::new(0),
            gives_way: AtomicU32::new(0),
            _state: [const { AtomicU32::new(0) }; LINE_BYTES / 4 - 7],
            taken: AtomicU32::new(0),
            _rest: [const { AtomicU32::new(0) }; LINE_BYTES / 4 - 1],
        }
    }

    /// The host uses the lane from now on, and lets its guest watch for so many microseconds.
    pub fn open(&self, micros: u32) {
        self.patience.store(micros.saturating_add(1), Ordering::SeqCst);
    }

    /// For how many microseconds the guest may watch. `None` as long as the host does not use it.
    pub fn patience(&self) -> Option<u32> {
        self.patience.load(Ordering::Relaxed).checked_sub(1)
    }

    /// Whether the host gives way to its guest while it waits: it stays awake then, and its guest may do the same for the next call.
    pub fn set_giving_way(&self, gives_way: bool) {
        say(&self.gives_way, gives_way.into());
    }

    /// Whether it does.
    pub fn is_giving_way(&self) -> bool {
        self.gives_way.load(Ordering::Relaxed) == 1
    }

    /// Says of the end whose way this is that it will look for the next message.
    pub fn looks(&self) {
        self.presence.store(WATCHES, Ordering::SeqCst);
    }

    /// Says of it that it does not.
    pub fn looks_away(&self) {
        self.presence.store(AWAY, Ordering::SeqCst);
    }

    /// Whether the end whose way this is looks for messages.
    pub fn is_looking(&self) -> bool {
        matches!(self.presence.load(Ordering::SeqCst), WATCHES | SLEEPS)
    }

    /// Whether it sleeps until it is woken.
    pub fn is_asleep(&self) -> bool {
        self.presence.load(Ordering::SeqCst) == SLEEPS
    }

    /// Whether it was on this processor when it spoke last: one of the two has to leave it for the other to run.
    pub fn is_on(&self, processor: u32) -> bool {
        self.place.load(Ordering::Relaxed) == processor.wrapping_add(1)
    }

    /// So many bytes have gone over the channel by now. Says whether the other end has to be woken for it.
    pub fn sent_elsewhere(&self, bytes: u64, other: &Self) -> bool {
        self.elsewhere.swap(bytes, Ordering::SeqCst);
        other.presence.load(Ordering::SeqCst) == SLEEPS
    }

    /// How many bytes that were.
    pub fn elsewhere(&self) -> u64 {
        self.elsewhere.load(Ordering::SeqCst)
    }

    /// Has whoever sleeps here, or is about to, sleep no more. He has to be woken then.
    pub fn ring(&self) -> &AtomicU32 {
        self.bell.fetch_add(1, Ordering::SeqCst);
        &self.bell
    }

    /// The part of a short message that is not passed on with its turn.
    fn second(&self) -> Option<&AtomicU64> {
        self.words.get(FIRST)
    }
}

/// Writes what may be there already: only what is written is passed on.
fn say(word: &AtomicU32, what: u32) {
    if word.load(Ordering::Relaxed) != what {
        word.store(what, Ordering::Relaxed);
    }
}

/// What an end has counted itself: nobody else can change that.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    laid: u32,
    taken: u32,
}

/// The turn behind this one.
fn after(turn: u32) -> u32 {
    turn.wrapping_add(1) & !CLAIMED
}

impl Tally {
    /// Nothing was laid down by anybody.
    pub const fn new() -> Self {
        Self { laid: 0, taken: 0 }
    }

    /// As one number, for those who keep it where others could count, too.
    pub const fn bits(self) -> u64 {
        (self.laid as u64) << 32 | self.taken as u64
    }

    /// Out of that number.
    pub const fn of(bits: u64) -> Self {
        Self { laid: (bits >> 32) as u32, taken: bits as u32 }
    }

    /// Lays a message of two parts down, if the other end looks for one and it fits. Whoever does it says where it runs,
    /// and looks for an answer from then on.
    pub fn lay(
        &mut self,
        own: &Way,
        other: &Way,
        (head, tail): (&[u8], &[u8]),
        processor: u32,
    ) -> Laid {
        let length = head.len() + tail.len();
        if length > LANE_MOST || !other.is_looking() {
            return Laid::Nowhere;
        }
        say(&own.place, processor.wrapping_add(1));
        say(&own.presence, WATCHES);
        let turn = after(self.laid);
        own.write(head, tail);
        own.length.store(length as u32, Ordering::Relaxed);
        own.turn.store(turn, Ordering::Release);
        // Whoever goes away says so before he looks here for the last time.
        fence(Ordering::SeqCst);
        self.settle(own, other, turn)
    }

    /// Looks whether the message of this turn, which lies there, will be seen, and takes it back if it won't.
    fn settle(&mut self, own: &Way, other: &Way, turn: u32) -> Laid {
        let laid = match other.presence.load(Ordering::SeqCst) {
            WATCHES => Laid::Seen,
            SLEEPS => Laid::Asleep,
            // He has gone since he took it: who lays is kept from his processor at any step, and for long.
            _ if other.taken.load(Ordering::SeqCst) == turn => Laid::Seen,
            _ => {
                let (order, failed) = (Ordering::SeqCst, Ordering::Acquire);
                match own.turn.compare_exchange(turn, self.laid, order, failed) {
                    Ok(_) => return Laid::Nowhere,
                    Err(_) => Laid::Seen,
                }
            }
        };
        self.laid = turn;
        laid
    }

    /// Waits until there is a message, or no more time: watches as long as it has patience, which is asked how many looks
    /// more there shall be, and then sleeps as long as `sleeps` does, which is given the word to sleep on, and what it is. `is_elsewhere` is asked whether
    /// so many bytes on the channel are more than are known. `nears` is given what may be wanted soon, and need do nothing.
    pub fn wait(
        &self,
        own: &Way,
        other: &Way,
        is_elsewhere: impl Fn(u64) -> bool,
        nears: impl Fn(&AtomicU64),
        mut patience: impl FnMut() -> u32,
        mut sleeps: impl FnMut(&AtomicU32, u32) -> bool,
    ) -> Came {
        let next = after(self.taken);
        // Who has gone away and comes again may be looked for by one who has seen him gone, and takes his message back.
        let is_away = own.presence.load(Ordering::Relaxed) == AWAY;
        let claim = || {
            let (order, failed) = (Ordering::SeqCst, Ordering::Acquire);
            other.turn.compare_exchange(next, next | CLAIMED, order, failed).is_ok()
        };
        let look = || match other.turn.load(Ordering::SeqCst) & !CLAIMED {
            turn if turn == next => (!is_away || claim()).then_some(Came::Message),
            turn if turn == self.taken && !is_elsewhere(other.elsewhere.load(Ordering::SeqCst)) => {
                None
            }
            _ => Some(Came::Elsewhere),
        };
        let mut found = look();
        while found.is_none() {
            let looks = patience();
            if looks == 0 {
                break;
            }
            for _ in 0..looks {
                found = look();
                other.second().into_iter().for_each(&nears);
                if found.is_some() {
                    break;
                }
                core::hint::spin_loop();
            }
        }
        while found.is_none() {
            let bell = other.bell.load(Ordering::SeqCst);
            own.presence.swap(SLEEPS, Ordering::SeqCst);
            found = look();
            if found.is_some() || !sleeps(&other.bell, bell) {
                break;
            }
        }
        match found {
            Some(Came::Message) => Came::Message,
            other_end => {
                own.presence.swap(AWAY, Ordering::SeqCst);
                if claim() { Came::Message } else { other_end.unwrap_or(Came::Nothing) }
            }
        }
    }

    /// Takes the message that has come, and says so before it is looked at.
    pub fn take(&mut self, own: &Way, other: &Way, into: &mut [u8]) -> usize {
        self.taken = after(self.taken);
        own.taken.store(self.taken, Ordering::Release);
        compiler_fence(Ordering::SeqCst);
        other.take(into)
    }

    /// Whether the other end has not said that it has taken the last message.
    pub fn is_unread(&self, other: &Way) -> bool {
        other.taken.load(Ordering::SeqCst) != self.laid
    }
}

#[cfg(test)]
mod tests;
