//! The native wall where there is none yet: every program is refused, in words.

use std::sync::Arc;

use crate::evidence::Step;
use crate::finding::{Finding, Probe};
use crate::isolation::{Image, Isolation, LoadError};
use crate::task::Program;

/// There is nothing to be tried.
pub(crate) fn probe() -> Vec<Finding> {
    vec![Finding::missing(Probe::Kernel, "the native wall needs Linux")]
}

/// Refuses programs.
#[derive(Debug, Default)]
pub(crate) struct NativeWall;

impl NativeWall {
    pub(crate) fn new() -> Self {
        Self
    }
}

impl Isolation for NativeWall {
    fn load(&self, program: &Program) -> Result<Arc<dyn Image>, LoadError> {
        let detail = format!(
            "`{}` would have to run as a process, and the native wall needs Linux; modules run here",
            program.name()
        );
        Err(LoadError::at(Step::Guard("process"), detail))
    }
}
