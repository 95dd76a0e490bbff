//! An isolation that follows a script: no process, no module, prepared evidence.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use sandtrap::{
    Attempt, Cell, Ear, Event, Evidence, Guard, Image, Isolation, LoadError, OpenError, Program,
    Source, StopHandle, Vitals,
};

/// What happens at one attempt.
#[derive(Clone, Debug)]
pub enum Step {
    /// The attempt writes this to stdout and goes on with the next step.
    Says(Vec<u8>),
    /// The attempt ends so.
    Ends(Box<Evidence>),
    /// The attempt waits until it is stopped, then vanishes.
    WaitsForStop,
    /// No cell can be opened for it.
    CannotOpen(LoadError),
}

/// A wall whose attempts follow a script, one after another.
#[derive(Clone, Debug, Default)]
pub struct Scripted {
    steps: Arc<Mutex<VecDeque<Step>>>,
    load_error: Option<LoadError>,
}

impl Scripted {
    /// A wall that follows these steps.
    pub fn following(steps: impl IntoIterator<Item = Step>) -> Self {
        let steps = Arc::new(Mutex::new(steps.into_iter().collect()));
        Self { steps, load_error: None }
    }

    /// A wall that loads nothing.
    pub fn refusing(error: LoadError) -> Self {
        Self { steps: Arc::default(), load_error: Some(error) }
    }

    fn next(&self) -> Option<Step> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// How many steps nobody has taken.
    pub fn left(&self) -> usize {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Isolation for Scripted {
    fn load(&self, _: &Program) -> Result<Arc<dyn Image>, LoadError> {
        match &self.load_error {
            Some(error) => Err(error.clone()),
            None => Ok(Arc::new(self.clone())),
        }
    }
}

impl Image for Scripted {
    fn open(&self) -> Result<Box<dyn Cell>, OpenError> {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Step::CannotOpen(error)) = steps.front().cloned() {
            steps.pop_front();
            return Err(error);
        }
        Ok(Box::new(ScriptedCell { wall: self.clone(), opened: Instant::now(), tasks_run: 0 }))
    }

    fn guards(&self) -> Vec<Guard> {
        vec![Guard::in_force("script")]
    }
}

struct ScriptedCell {
    wall: Scripted,
    opened: Instant,
    tasks_run: u64,
}

impl Cell for ScriptedCell {
    fn run(&mut self, _: &Attempt<'_>, stop: &StopHandle, ear: &mut dyn Ear) -> Evidence {
        self.tasks_run += 1;
        loop {
            let mut evidence = match self.wall.next() {
                Some(Step::Says(bytes)) => {
                    ear.hear(Event::Stdout(&bytes));
                    continue;
                }
                Some(Step::Ends(evidence)) => *evidence,
                Some(Step::WaitsForStop) => {
                    let (tell, told) = std::sync::mpsc::channel();
                    let _guard = stop.on_stop(move || {
                        // Nobody listens after the first time.
                        let _ = tell.send(());
                    });
                    // The sender lives in the handle, so this ends by a message and not by an error.
                    let _ = told.recv();
                    Evidence::of(Source::Status, sandtrap::Ending::Vanished)
                }
                Some(Step::CannotOpen(error)) => Evidence::never_started(error.into_refusal()),
                None => Evidence::of(Source::Status, sandtrap::Ending::Vanished),
            };
            evidence.stopped_by_us = evidence.stopped_by_us.or(stop.reason());
            return evidence;
        }
    }

    fn is_usable(&self) -> bool {
        self.tasks_run == 0
    }

    fn vitals(&self) -> Vitals {
        Vitals { resident_bytes: 0, tasks_run: self.tasks_run, age: self.opened.elapsed() }
    }
}
