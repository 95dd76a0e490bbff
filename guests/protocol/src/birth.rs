//! How a guest that was warmed up is told to make a task out of itself. In a process only.
//!
//! Such a guest finds [`START_VARIABLE`] beside the channel's. It greets, warms up, says
//! [`Warm`](crate::FromGuest::Warm), and from then on reads one order after another from its channel: some [`Birth`], its
//! instructions, and beside its first byte the descriptors of a task. For each it forks. The child puts on what the order
//! says, writes a record to its own channel (a step that failed and an error number, of four bytes each; both are 0 if all
//! went well), and then is a guest like any other, from the greeting on.

/// The environment variable that tells a guest to warm up and wait for orders to fork; it says [`START_FORK`].
pub const START_VARIABLE: &str = "SANDTRAP_START";

/// What it says.
pub const START_FORK: &str = "fork";

/// Most instructions of a filter in an order.
pub const MOST_INSTRUCTIONS: usize = 1024;

/// A task's own descriptors in an order: its 0 to 2, and its channel.
pub const BIRTH_PLACES: usize = 4;

/// Descriptors of an order at most: the task's own, its arena, its rules, its doors.
pub const MOST_DESCRIPTORS: usize = 10;

/// The bytes of a [`Birth`].
pub const BIRTH_BYTES: usize = 16;

/// The bytes of a child's record.
pub const RECORD_BYTES: usize = 8;

/// The beginning of an order, as four numbers of four bytes in the machine's own order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Birth {
    /// Instructions of eight bytes each that follow: what the child puts on last.
    pub instructions: u32,
    /// How many descriptors come beside it. The first four are the task's own; what comes behind those that are named
    /// here are files to write "0" to.
    pub descriptors: u32,
    /// Whether the next descriptor is the task's arena.
    pub has_arena: bool,
    /// Whether the next one is a set of Landlock rules.
    pub has_rules: bool,
}

impl Birth {
    /// As bytes.
    pub fn to_bytes(self) -> [u8; BIRTH_BYTES] {
        let mut bytes = [0; BIRTH_BYTES];
        let flags = [u32::from(self.has_arena), u32::from(self.has_rules)];
        let words = [self.instructions, self.descriptors, flags[0], flags[1]];
        for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }

    /// Out of bytes. `None` if no order may be like that.
    pub fn from_bytes(bytes: &[u8; BIRTH_BYTES]) -> Option<Self> {
        let mut words = bytes.chunks_exact(4).filter_map(|word| word.try_into().ok());
        let mut next = || words.next().map(u32::from_ne_bytes);
        let (instructions, descriptors) = (next()?, next()?);
        let (has_arena, has_rules) = (next()? == 1, next()? == 1);
        let birth = Self { instructions, descriptors, has_arena, has_rules };
        let fits = instructions as usize <= MOST_INSTRUCTIONS
            && (birth.doors()..=MOST_DESCRIPTORS).contains(&(descriptors as usize));
        fits.then_some(birth)
    }

    /// Where the files begin to which a child writes "0".
    pub fn doors(&self) -> usize {
        BIRTH_PLACES + usize::from(self.has_arena) + usize::from(self.has_rules)
    }
}

/// The steps of a child, for naming the one that failed.
pub mod birth_step {
    /// Making a namespace for its processes.
    pub const NAMESPACE: u32 = 1;
    /// The fork itself.
    pub const FORK: u32 = 2;
    /// A process group of its own.
    pub const PROCESS_GROUP: u32 = 3;
    /// Joining its control groups.
    pub const GROUP: u32 = 4;
    /// Its Landlock rules.
    pub const RULES: u32 = 5;
    /// Its descriptors.
    pub const DESCRIPTORS: u32 = 6;
    /// Dropping capabilities.
    pub const CAPABILITIES: u32 = 7;
    /// Its last filter.
    pub const FILTER: u32 = 8;
}
