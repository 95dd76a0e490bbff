//! What it costs to hand a guest something, and to get it back.

use std::sync::Arc;

use sandtrap::{Payload, Stdin, Task};

use super::modes::{Cell, words_of};
use super::timing::Contestant;
use super::work::Work;

/// The sizes, in bytes.
pub(super) const SIZES: [usize; 5] = [64, 4 << 10, 64 << 10, 1 << 20, 16 << 20];

/// The same for those in a hurry.
pub(super) const FEW_SIZES: [usize; 3] = [64, 64 << 10, 1 << 20];

/// Who takes a payload, and how.
pub(super) enum Road {
    /// This function gives back what it is given.
    Echo(String),
    /// The program reads it from its stdin.
    Stdin(Work),
}

impl Road {
    /// The one there is for this work.
    pub(super) fn new(work: &Work, echo: &str) -> Result<Self, String> {
        match work {
            Work::Command(_) => Ok(Self::Stdin(work.clone())),
            Work::Invoke { .. } => Ok(Self::Echo(echo.to_owned())),
            Work::Export { .. } => Err("an export of a plain module takes numbers only".to_owned()),
        }
    }

    /// In words, for the head of a table.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Echo(function) => format!("`{function}` takes so many bytes and gives them back"),
            Self::Stdin(_) => "the program is given so many bytes on its stdin".to_owned(),
        }
    }

    fn task(&self, bytes: &Arc<[u8]>) -> Result<Task, String> {
        match self {
            Self::Echo(function) => {
                let input = Payload::typed(&bytes[..]).map_err(|error| error.to_string())?;
                Ok(Task::invoke_with(function, input))
            }
            Self::Stdin(work) => Ok(work.task().stdin(Stdin::Bytes(Arc::clone(bytes)))),
        }
    }

    /// Whoever carries so many bytes, or why this cell doesn't.
    pub(super) fn contestant(
        &self,
        mut cell: Cell,
        size: usize,
    ) -> Result<Contestant<'static>, String> {
        let bytes: Arc<[u8]> = (0..size).map(|place| place as u8).collect();
        let task = self.task(&bytes)?;
        let report = cell.run(&task);
        if !report.verdict.is_completed() {
            return Err(words_of(&report.verdict));
        }
        if let Self::Echo(function) = self {
            let back = report.output.result.as_ref().map_or(&[][..], Payload::bytes);
            let sent = Payload::typed(&bytes[..]).map_err(|error| error.to_string())?;
            if back != sent.bytes() {
                return Err(format!("`{function}` does not give back what it is given"));
            }
        }
        Ok(Contestant::new(move || cell.complete(&task)))
    }
}
