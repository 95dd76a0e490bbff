//! A lane: memory that a process shares with its host, in which both ends look for the next message for a moment, and then
//! sleep until it is there. A short message that is laid there costs little more than the way between two processors.
//!
//! Each end writes to a way of its own and only reads the other's: its messages, and beside them whether it looks for an
//! answer. So what both need lies where a message is anyway, and nothing goes back and forth but messages.
//!
//! Nothing in it is to be believed: the other end can write anything at any time. It is all integers, so whatever is
//! there can be read, and each is read once.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// The environment variable that tells a native guest the number of its lane's descriptor.
pub const LANE_VARIABLE: &str = "SANDTRAP_LANE";

/// The bytes of one direction, and of both.
const WAY_BYTES: usize = 4096;
/// The bytes of a lane.
pub const LANE_BYTES: usize = 2 * WAY_BYTES;

/// What stands before a message, in a part of the memory of its own: whoever watches it would take the message away from a
/// writer who is not through with it.
const HEAD_BYTES: usize = 64;
/// What stands behind it, in a part of the memory that no processor holds for a message.
const FOOT_BYTES: usize = 64;
const WORDS: usize = (WAY_BYTES - HEAD_BYTES - FOOT_BYTES) / 8;

/// The longest message.
pub const LANE_MOST: usize = WORDS * 8;

/// What an end says of itself: whether it looks for the next message.
const AWAY: u32 = 0;
const WATCHES: u32 = 1;
const SLEEPS: u32 = 2;

/// The mark of a message that was taken by an end that had gone away.
const CLAIMED: u32 = 1 << 31;

/// So often it is looked at between two looks at the clock.
const LOOKS: u32 = 32;

/// After a watch that was for nothing, so many waits at most are not watched.
const MOST_SKIPPED: u32 = 63;

/// Both directions.
#[repr(C)]
#[derive(Debug)]
pub struct Lane {
    /// What the host says.
    pub to_guest: Way,
    /// What the guest says.
    pub to_host: Way,
}

/// What one end says: its last message, and what it does itself.
#[repr(C, align(128))]
#[derive(Debug)]
pub struct Way {
    /// How many messages it has laid down.
    turn: AtomicU32,
    length: AtomicU32,
    /// On which processor it ran when it did so last, counted from 1.
    place: AtomicU32,
    /// Whether it looks for a message itself.
    presence: AtomicU32,
    /// How many bytes it has sent over the channel since the process began.
    elsewhere: AtomicU64,
    /// What the other end sleeps on.
    bell: AtomicU32,
    /// 0 as long as the host does not use the lane; else by one more than how many microseconds its guest may watch it.
    patience: AtomicU32,
    _head: [AtomicU32; (HEAD_BYTES - 32) / 4],
    words: [AtomicU64; WORDS],
    /// How many messages it has taken.
    taken: AtomicU32,
    _rest: [AtomicU32; FOOT_BYTES / 4 - 1],
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
    /// The host uses the lane from now on, and lets its guest watch for so many microseconds.
    pub fn open(&self, micros: u32) {
        self.patience.store(micros.saturating_add(1), Ordering::SeqCst);
    }

    /// For how many microseconds the guest may watch. `None` as long as the host does not use it.
    pub fn patience(&self) -> Option<u32> {
        self.patience.load(Ordering::Relaxed).checked_sub(1)
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

    /// Copies the message that lies there, or as much of it as there can be and has room.
    fn take(&self, into: &mut [u8]) -> usize {
        let length = (self.length.load(Ordering::Relaxed) as usize).min(LANE_MOST).min(into.len());
        let (eights, rest) = into[..length].as_chunks_mut::<8>();
        let count = eights.len();
        for (eight, word) in eights.iter_mut().zip(&self.words) {
            *eight = word.load(Ordering::Relaxed).to_ne_bytes();
        }
        if let Some(word) = self.words.get(count).filter(|_| !rest.is_empty()) {
            let last = word.load(Ordering::Relaxed).to_ne_bytes();
            rest.copy_from_slice(&last[..rest.len()]);
        }
        length
    }

    /// Writes the parts one behind the other: each word has eight bytes of them, wherever they begin.
    fn write(&self, head: &[u8], tail: &[u8]) {
        let mut words = self.words.iter();
        let mut put = |word: u64| {
            if let Some(place) = words.next() {
                place.store(word, Ordering::Relaxed);
            }
        };
        let (mut pending, mut bits) = (0_u64, 0);
        for part in [head, tail] {
            let (eights, rest) = part.as_chunks::<8>();
            for eight in eights {
                let word = u64::from_le_bytes(*eight);
                put((pending | word << bits).to_le());
                pending = word.unbounded_shr(64 - bits);
            }
            for byte in rest {
                pending |= u64::from(*byte) << bits;
                bits += 8;
                if bits == 64 {
                    put(pending.to_le());
                    (pending, bits) = (0, 0);
                }
            }
        }
        if bits > 0 {
            put(pending.to_le());
        }
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
        own.write(head, tail);
        own.length.store(length as u32, Ordering::Relaxed);
        own.place.store(processor.wrapping_add(1), Ordering::Relaxed);
        own.presence.store(WATCHES, Ordering::Relaxed);
        let (before, turn) = (self.laid, after(self.laid));
        // Whoever goes away says so before he looks here for the last time.
        own.turn.swap(turn, Ordering::SeqCst);
        let laid = match other.presence.load(Ordering::SeqCst) {
            WATCHES => Laid::Seen,
            SLEEPS => Laid::Asleep,
            _ => {
                let (order, failed) = (Ordering::SeqCst, Ordering::Acquire);
                match own.turn.compare_exchange(turn, before, order, failed) {
                    Ok(_) => return Laid::Nowhere,
                    Err(_) => Laid::Seen,
                }
            }
        };
        self.laid = turn;
        laid
    }

    /// Waits until there is a message, or no more time: watches, if it shall, as long as it has time for that, and then
    /// sleeps as long as `sleeps` does, which is given the word to sleep on, and what it is. `is_elsewhere` is asked whether
    /// so many bytes on the channel are more than are known.
    pub fn wait(
        &self,
        own: &Way,
        other: &Way,
        is_elsewhere: impl Fn(u64) -> bool,
        mut has_time: impl FnMut() -> bool,
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
        while found.is_none() && has_time() {
            for _ in 0..LOOKS {
                found = look();
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
        own.taken.store(self.taken, Ordering::SeqCst);
        other.take(into)
    }

    /// Whether the other end has not said that it has taken the last message.
    pub fn is_unread(&self, other: &Way) -> bool {
        other.taken.load(Ordering::SeqCst) != self.laid
    }
}

/// Whether it is worth while to watch: after each time that it was for nothing, that is left off for longer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hope {
    skips: u32,
    left: u32,
}

impl Hope {
    /// Whether to watch this time.
    pub fn watches(&mut self) -> bool {
        let watches = self.left == 0;
        self.left = self.left.saturating_sub(1);
        watches
    }

    /// What came of it.
    pub fn learn(&mut self, came: bool) {
        self.skips = if came { 0 } else { (2 * self.skips + 1).min(MOST_SKIPPED) };
        self.left = self.skips;
    }
}

#[cfg(test)]
mod tests;
