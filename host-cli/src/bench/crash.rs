//! From a crash to the next call that ends well.

use std::env;

use sandtrap::{Loaded, Permissions, Program, Runtime, Task, Verdict, Wall};

use super::modes::{Cell, words_of};
use super::timing::Contestant;
use super::work::Crash;
use crate::abuse;

/// A module that ends in a trap.
const TRAPS: &str = r#"(module (memory 1) (func (export "_start") unreachable))"#;

/// The case among the shipped ones that reads where nothing is.
const FAULTS: &str = "segfault";

/// A cell, and what crashes in it or beside it.
pub(super) struct Victim {
    cell: Cell,
    crashes: Option<Loaded>,
    crash: Task,
    next: Task,
}

impl Victim {
    /// Fails where there is nothing that crashes, and says why.
    pub(super) fn new(
        runtime: &Runtime,
        cell: Cell,
        wall: Wall,
        crash: &Crash,
        next: Task,
    ) -> Result<Self, String> {
        let mut victim = match crash {
            Crash::Own(work) => Self { cell, crashes: None, crash: work.task(), next },
            Crash::Shipped => {
                if matches!(cell, Cell::Warm { .. }) {
                    return Err("a guest that lives on has to crash itself: say how with --crash"
                        .to_owned());
                }
                let (crashes, crash) = shipped(runtime, wall)?;
                Self { cell, crashes: Some(crashes), crash, next }
            }
        };
        victim.recover()?;
        Ok(victim)
    }

    pub(super) fn contestant(mut self) -> Contestant<'static> {
        Contestant::new(move || self.recover())
    }

    fn recover(&mut self) -> Result<(), String> {
        let report = match &self.crashes {
            Some(crashes) => crashes.run(&self.crash),
            None => self.cell.run(&self.crash),
        };
        if !matches!(report.verdict, Verdict::Crashed(_) | Verdict::Failed(_)) {
            return Err(format!("what should crash didn't: {}", words_of(&report.verdict)));
        }
        self.cell.renew()?;
        self.cell.complete(&self.next)
    }
}

/// A guest of ours that crashes.
fn shipped(runtime: &Runtime, wall: Wall) -> Result<(Loaded, Task), String> {
    let (program, task) = match wall {
        Wall::Wasm => {
            (Program::module("a module that traps", TRAPS.as_bytes()), Task::command([""; 0]))
        }
        Wall::Native => {
            let itself = env::current_exe()
                .map_err(|error| format!("cannot find sandtrap's own executable: {error}"))?;
            let given = abuse::Given::alone(FAULTS);
            let mut permissions = Permissions::default();
            permissions.grant_env(abuse::VARIABLE, abuse::VERSION);
            let program = Program::file(itself).within(wall).permissions(permissions);
            (program, Task::command(given.command()))
        }
    };
    let loaded = runtime.load(program).map_err(|error| error.to_string())?;
    Ok((loaded, task))
}
