//! What can be heard of a task while it runs.

/// Something that happened to a running task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A process was started for it.
    Started {
        /// The process.
        pid: u32,
    },
    /// It wrote these bytes to stdout.
    Stdout(&'a [u8]),
    /// It wrote these bytes to stderr.
    Stderr(&'a [u8]),
}
