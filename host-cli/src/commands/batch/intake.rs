//! The lines of a batch, read ahead by a thread of its own: whoever waits for one can be told to go home.

use std::collections::{HashMap, VecDeque};
use std::io::BufRead;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::Context as _;

use super::line::{self, Line};

/// Lines that are read before anybody wants them.
const AHEAD: usize = 64;

/// Tasks, one after another, each with the number of its line.
#[derive(Clone)]
pub(super) struct Intake(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
struct State {
    lines: VecDeque<(usize, Line)>,
    /// There are no more, or nobody wants them.
    is_over: bool,
    /// How many lines there were that are no task any more: done already, or left behind.
    skipped: usize,
    failure: Option<anyhow::Error>,
}

impl Intake {
    /// Reads lines until there are no more. Those of `done` are passed over.
    pub(super) fn start(
        lines: Box<dyn BufRead + Send>,
        done: HashMap<String, String>,
    ) -> anyhow::Result<Self> {
        let intake = Self(Arc::default());
        let reader = intake.clone();
        thread::Builder::new()
            .name("lines".to_owned())
            .spawn(move || {
                let failure = reader.read(lines, &done).err();
                let mut state = reader.lock();
                (state.is_over, state.failure) = (true, failure);
                drop(state);
                reader.0.1.notify_all();
            })
            .context("cannot start the thread that reads the tasks")?;
        Ok(intake)
    }

    /// The next task. `None` if there are no more, or none are to be begun.
    pub(super) fn next(&self) -> Option<(usize, Line)> {
        let mut state = self.lock();
        loop {
            if let Some(line) = state.lines.pop_front() {
                self.0.1.notify_all();
                return Some(line);
            }
            if state.is_over {
                return None;
            }
            state = self.0.1.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Begins nothing more. What was read and not begun is left behind.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.is_over = true;
        state.lines.clear();
        drop(state);
        self.0.1.notify_all();
    }

    /// How many lines were passed over, and what ended the reading too early.
    pub(super) fn finish(&self) -> (usize, Option<anyhow::Error>) {
        let mut state = self.lock();
        (state.skipped, state.failure.take())
    }

    fn read(
        &self,
        lines: Box<dyn BufRead + Send>,
        done: &HashMap<String, String>,
    ) -> anyhow::Result<()> {
        // The place of a report is that of its task among those that are begun: lines passed over leave no gap.
        let mut place = 0;
        for (index, text) in lines.lines().enumerate() {
            let number = index + 1;
            let text = text.with_context(|| format!("cannot read line {number} of the tasks"))?;
            if text.trim().is_empty() {
                continue;
            }
            let line = line::read(&text, number)
                .with_context(|| format!("line {number} of the tasks is none"))?;
            if done.contains_key(&line.order.task.id.to_string()) {
                self.lock().skipped += 1;
                continue;
            }
            if !self.put(place, line) {
                return Ok(());
            }
            place += 1;
        }
        Ok(())
    }

    /// Waits for room. Says whether anybody still wants lines.
    fn put(&self, place: usize, line: Line) -> bool {
        let mut state = self.lock();
        while state.lines.len() >= AHEAD && !state.is_over {
            state = self.0.1.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if !state.is_over {
            state.lines.push_back((place, line));
        }
        let goes_on = !state.is_over;
        drop(state);
        self.0.1.notify_all();
        goes_on
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
