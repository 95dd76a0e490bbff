//! How far the bench is, on a terminal.

use std::cell::Cell;
use std::io::{self, IsTerminal as _};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar on a terminal, and nothing anywhere else.
pub(crate) struct Progress {
    bar: ProgressBar,
    /// Where the bar stands when the phase that runs has ended.
    end_of_phase: Cell<u64>,
}

impl Progress {
    pub(crate) fn new(quiet: bool) -> Self {
        let bar = if quiet || !io::stderr().is_terminal() {
            ProgressBar::hidden()
        } else {
            ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr())
        };
        let bar = match ProgressStyle::with_template("{bar:40} {percent:>3}%  {msg}") {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        };
        Self { bar, end_of_phase: Cell::new(0) }
    }

    /// So much is to be done altogether.
    pub(crate) fn set_total(&self, ticks: usize) {
        self.bar.set_length(ticks as u64);
    }

    /// A phase of so many ticks begins. What the one before it left out is counted as done.
    pub(crate) fn begin(&self, what: &'static str, ticks: usize) {
        self.bar.set_position(self.end_of_phase.get());
        self.end_of_phase.set(self.end_of_phase.get() + ticks as u64);
        self.bar.set_message(what);
    }

    pub(crate) fn tick(&self) {
        self.bar.inc(1);
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
