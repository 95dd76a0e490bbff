//! Compiling in a confined process: an ordinary task of the native wall, whose program is this very one.
//!
//! A compiler's time and memory follow the shape of what it is given, and the engine's own can't be interrupted.
//! So an untrusted module is compiled by a process with limits on time, processor and memory. It reads the module
//! from its stdin and writes the code to its stdout; what became of it is judged like any other task, and told in
//! the same words.
//!
//! Which program that is: the host's own executable, which recognises the order in [`init`](crate::init()), or another one that
//! was named and does the same (the installed `sandtrap`, say). It greets before it does anything, so a program
//! that knows nothing of all this is not taken for a compiler that failed.
//!
//! `entrance` is that program's side; `run` starts it and listens; `judge` says what its end means.

mod entrance;
mod judge;
mod run;

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use crate::evidence::Step;
use crate::isolation::{Isolation, LoadError};
use crate::permissions::Permissions;
use crate::task::{Program, Task, Wall};
use crate::wasm::{Compiler, NotCompiled, Order};

pub(crate) use entrance::{enter, own_program};

use run::{Hear, Running};

/// Compiles with a program behind the native wall.
pub(crate) struct Confined {
    native: Arc<dyn Isolation>,
    program: PathBuf,
    running: Running,
}

impl Confined {
    pub(crate) fn new(native: Arc<dyn Isolation>, program: PathBuf) -> Self {
        Self { native, program, running: Running::default() }
    }
}

impl Compiler for Confined {
    fn compile(&self, order: &Order<'_>, out: &mut dyn Write) -> Result<(), NotCompiled> {
        let limits = order.limits.for_process();
        limits.check().map_err(|error| {
            let detail = format!("`{}` can't be compiled within its limits: {error}", order.name);
            LoadError::at(Step::Accept, detail)
        })?;
        let mut permissions = Permissions::default();
        permissions.grant_env(entrance::VARIABLE, entrance::VERSION);
        let program = Program::file(&self.program)
            .within(Wall::Native)
            .limits(limits.clone())
            .permissions(permissions);
        let stdin = run::stdin(&order.material).map_err(|error| {
            LoadError::at(Step::Reserve, format!("a compiler could not be prepared: {error}"))
        })?;
        let task = Task::command(entrance::arguments(order.configuration)).stdin(stdin);
        let image = self.native.load(&program).map_err(|error| judge::unconfined(&error))?;
        let cell = image.open().map_err(|error| judge::unconfined(&error))?;
        let mut hear = Hear::new(out);
        let evidence = self.running.run(cell, task, limits, order, &mut hear)?;
        if let Some(reason) = order.stop.reason() {
            return Err(LoadError::stopped(reason).into());
        }
        let has_greeted = hear.finish(order.name)?;
        judge::judge(&evidence, order, has_greeted)
    }
}
