//! What a guest is asked to do in each call.

use std::ffi::OsString;

use sandtrap::{Entry, Payload, Task, Value};

/// One piece of work, done again and again.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    /// The program from its beginning.
    Command(Vec<OsString>),
    /// A function that serves calls.
    Invoke { function: String, input: Payload },
    /// An export of a plain module.
    Export { function: String, arguments: Vec<Value> },
}

/// How the guest is brought to crash.
#[derive(Clone, Debug)]
pub(crate) enum Crash {
    /// By itself, doing this.
    Own(Work),
    /// Not at all: a guest of ours crashes in its place.
    Shipped,
}

impl Work {
    pub(crate) fn task(&self) -> Task {
        match self {
            Self::Command(args) => Task::command(args),
            Self::Invoke { function, input } => Task::invoke_with(function, input.clone()),
            Self::Export { function, arguments } => Task::call(function, arguments.clone()),
        }
    }

    /// In words.
    pub(crate) fn words(&self) -> String {
        match self.task().entry {
            Entry::Command { args, .. } if args.is_empty() => "the whole program".to_owned(),
            Entry::Command { args, .. } => {
                let args: Vec<String> = args.iter().map(|arg| arg.display().to_string()).collect();
                format!("the whole program with `{}`", args.join(" "))
            }
            Entry::Call { function, .. } | Entry::Invoke { function, .. } => {
                format!("the function `{function}`")
            }
        }
    }

    /// Whether guests that are called can be kept between two of these.
    pub(crate) fn is_command(&self) -> bool {
        matches!(self, Self::Command(_))
    }
}
