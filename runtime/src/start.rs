//! How the process of a task begins.

/// How the process of a task begins. Behind the wasm wall every task is a fresh instance, and there is nothing to choose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Start {
    /// The program is executed anew for each task.
    #[default]
    Spawn,
    /// The program is executed once, warms up, and each task is a fork of it: for guests with functions, made with
    /// `sandtrap_guest::serve!`, that have one thread. A task begins with the memory that the warm guest has, and changes
    /// only its own copy. It is as confined as any other, and its limits, its channel and its end are its own.
    ///
    /// The host and other programs are protected as ever. The tasks of the program are kept from each other's accidents, not
    /// from the malice of a program that was written to deceive: its warm guest is handed each task's channel, and may keep
    /// it. Where tasks of one untrusted program must be kept from each other, use [`Spawn`](Self::Spawn).
    Fork,
}
