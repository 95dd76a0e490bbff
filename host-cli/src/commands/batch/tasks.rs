//! Where the tasks of a batch come from: a file, whose lines are all looked at before anything runs, or a pipe, whose lines are
//! looked at as they come.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek as _, SeekFrom};
use std::os::fd::AsFd as _;
use std::path::Path;

use anyhow::Context as _;
use sandtrap::ByteSize;

use super::line::{self, EXAMPLE, Names};
use crate::args::Mistake;
use crate::reading::{BoundedLines, MOST_INPUT};

/// The most of one line.
const MOST_LINE: ByteSize = MOST_INPUT;

/// The lines, and what is known of them.
pub(super) struct Tasks {
    pub(super) lines: BoundedLines<Box<dyn BufRead + Send>>,
    /// How many tasks there are, where that is known.
    pub(super) length: Option<u64>,
    /// How messages call it.
    pub(super) name: String,
    /// Whether a line may name a breaker: where there are none, it would mean nothing.
    pub(super) breaks: bool,
}

/// Opens a file, or stdin. Of a file, nothing is a task unless everything is. `is_named` says whether each has to have a name of
/// its own.
pub(super) fn open(path: &Path, breaks: bool, is_named: bool) -> anyhow::Result<Tasks> {
    let is_stdin = path.as_os_str() == "-";
    let name = if is_stdin { "stdin".to_owned() } else { format!("`{}`", path.display()) };
    let opened = if is_stdin {
        io::stdin().as_fd().try_clone_to_owned().map(File::from)
    } else {
        File::open(path)
    };
    let failed = || format!("cannot read the tasks from {name}");
    let mut file = opened.with_context(failed)?;
    let kind = file.metadata().with_context(failed)?;
    if kind.is_dir() {
        let words = format!(
            "{name} is a directory; name a file with one task on each line, as in `sandtrap batch tasks.jsonl`, or - for stdin"
        );
        return Err(Mistake(words).into());
    }
    let names = is_named.then(Names::default);
    let length = match kind.is_file() {
        true => Some(look_at_all(&mut file, &name, breaks, names)?),
        false => None,
    };
    let from: Box<dyn BufRead + Send> = Box::new(BufReader::new(file));
    let lines = BoundedLines::new(from, MOST_LINE);
    Ok(Tasks { lines, length, name, breaks })
}

/// Looks at every line, and goes back to the first one. Gives the number of tasks.
fn look_at_all(
    file: &mut File,
    name: &str,
    breaks: bool,
    mut names: Option<Names>,
) -> anyhow::Result<u64> {
    let failed = || format!("cannot read the tasks from {name}");
    let first = file.stream_position().with_context(failed)?;
    let mut lines = BoundedLines::new(BufReader::new(&*file), MOST_LINE);
    let (mut number, mut tasks) = (0, 0);
    while let Some(text) = lines.next() {
        number += 1;
        let text = match text {
            Err(error) if error.kind() != io::ErrorKind::InvalidData => {
                return Err(unread(number, name, error));
            }
            text => text.map_err(Into::into),
        };
        let task = text.and_then(|text| line::of(text, number, breaks)).map_err(|error| {
            Mistake(format!("{}; nothing was run", no_task(number, name, &error)))
        })?;
        if let (Some(names), Some(task)) = (&mut names, &task) {
            names.take(task, number).map_err(|error| {
                Mistake(format!("line {number} of {name}: {error:#}; nothing was run"))
            })?;
        }
        tasks += u64::from(task.is_some());
    }
    file.seek(SeekFrom::Start(first)).with_context(failed)?;
    Ok(tasks)
}

/// What is said of a line that is no task.
pub(super) fn no_task(number: usize, name: &str, error: &anyhow::Error) -> String {
    format!("line {number} of {name} is no task: {error:#}; write it as in {EXAMPLE}")
}

/// What is said where nothing more can be read: a line without an end is the mistake of whoever wrote it, all else is none.
pub(super) fn unread(number: usize, name: &str, error: io::Error) -> anyhow::Error {
    let place = format!("cannot read on at line {number} of {name}");
    match error.kind() {
        io::ErrorKind::InvalidData => Mistake(format!("{place}: {error}")).into(),
        _ => anyhow::Error::new(error).context(place),
    }
}
