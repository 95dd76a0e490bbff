//! The reports of a batch: in the order of the lines or as they come, to stdout or to the file that is gone on with.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions};
use std::io::{BufReader, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, bail};
use sandtrap::{ByteSize, Payload, Record, Report};
use serde_json::Value as Json;

use crate::reading::BoundedLines;
use crate::streams;

/// Reports that wait for an earlier one: no more than so many, and no more than so many bytes.
const MOST_WAITING: usize = 1_000;
const MOST_BYTES: usize = 256 * 1024 * 1024;

/// The most of one report in a file that is gone on with: none that a batch writes is nearly as long.
const MOST_REPORT: ByteSize = ByteSize::mib(4096);

/// Labels of tasks that were not done: they run again.
const UNDONE: [&str; 2] = ["stopped.cancelled", "stopped.shutdown"];

/// Where reports go.
pub(super) struct Outlet {
    state: Mutex<State>,
    has_room: Condvar,
    as_completed: bool,
}

#[derive(Default)]
struct State {
    file: Option<File>,
    /// The place whose report is next.
    next: usize,
    waiting: BTreeMap<usize, String>,
    bytes: usize,
    /// How often each label was seen.
    counts: BTreeMap<String, usize>,
    failure: Option<anyhow::Error>,
}

impl Outlet {
    pub(super) fn new(file: Option<File>, as_completed: bool) -> Self {
        let state = Mutex::new(State { file, ..State::default() });
        Self { state, has_room: Condvar::new(), as_completed }
    }

    /// Waits until another report may wait. Says whether anybody still takes reports.
    pub(super) fn wait_for_room(&self) -> bool {
        let mut state = self.lock();
        while (state.waiting.len() >= MOST_WAITING || state.bytes >= MOST_BYTES)
            && state.failure.is_none()
        {
            state = self.has_room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.failure.is_none()
    }

    /// Takes a report, and whether what belongs to it was written. Says whether anybody still takes reports.
    pub(super) fn put(&self, place: usize, report: &Report, besides: anyhow::Result<()>) -> bool {
        // Its name is in the record, and from then on the file is the reader's.
        report.output.result.as_ref().map(Payload::keep);
        let json = serde_json::to_string(&Record::from(report)).context("cannot write a report");
        let mut state = self.lock();
        *state.counts.entry(report.verdict.label().to_string()).or_insert(0) += 1;
        let put = json.and_then(|mut line| {
            line.push('\n');
            if self.as_completed { state.write(&line) } else { state.sort_in(place, line) }
        });
        if let Err(error) = put.and(besides) {
            state.failure.get_or_insert(error);
        }
        let goes_on = state.failure.is_none();
        drop(state);
        self.has_room.notify_all();
        goes_on
    }

    /// Writes what is left after an early end, and gives the counts and what went wrong.
    pub(super) fn finish(self) -> (BTreeMap<String, usize>, Option<anyhow::Error>) {
        let mut state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        for line in std::mem::take(&mut state.waiting).into_values() {
            if let Err(error) = state.write(&line) {
                state.failure.get_or_insert(error);
            }
        }
        (state.counts, state.failure)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn sort_in(&mut self, place: usize, line: String) -> anyhow::Result<()> {
        self.bytes += line.len();
        self.waiting.insert(place, line);
        while let Some(line) = self.waiting.remove(&self.next) {
            self.bytes -= line.len();
            self.next += 1;
            self.write(&line)?;
        }
        Ok(())
    }

    fn write(&mut self, line: &str) -> anyhow::Result<()> {
        if self.failure.is_some() {
            return Ok(());
        }
        match &mut self.file {
            Some(file) => file.write_all(line.as_bytes()).context("cannot add to the reports"),
            None => streams::print(line),
        }
    }
}

/// Opens a file of reports to go on with: the tasks that are done in it, and the file at its end. A last line that was
/// torn off is cut away.
pub(super) fn resume(path: &Path) -> anyhow::Result<(HashMap<String, String>, File)> {
    let shown = path.display();
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    let mut file = file.with_context(|| format!("cannot go on with `{shown}`"))?;
    if !file.metadata().is_ok_and(|kind| kind.is_file()) {
        bail!(
            "reports can't be added to `{shown}`, which is no plain file; name one, or none and write them to stdout"
        );
    }
    let (mut done, mut whole, mut number) = (HashMap::new(), 0, 0);
    let mut lines = BoundedLines::new(BufReader::new(&file), MOST_REPORT);
    while let Some(line) = lines.next() {
        number += 1;
        let line = line.with_context(|| format!("cannot read line {number} of `{shown}`"))?;
        if !line.ends_with(b"\n") {
            break;
        }
        whole += line.len() as u64;
        let report: Option<Json> = serde_json::from_slice(line).ok();
        let field = |section: &str, key: &str| {
            report.as_ref()?.get(section)?.get(key)?.as_str().map(str::to_owned)
        };
        let (Some(id), Some(label)) = (field("task", "id"), field("verdict", "label")) else {
            bail!("line {number} of `{shown}` is no report; name a file that a batch wrote");
        };
        if UNDONE.contains(&label.as_str()) {
            done.remove(&id);
        } else {
            done.insert(id, label);
        }
    }
    file.set_len(whole)
        .and_then(|()| file.seek(SeekFrom::End(0)))
        .with_context(|| format!("cannot go on with `{shown}`"))?;
    Ok((done, file))
}
