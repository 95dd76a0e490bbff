//! The native wall where there is none yet: every program is refused, in words.

use std::sync::Arc;

use crate::evidence::Step;
use crate::finding::{Finding, Probe};
use crate::isolation::{Brief, Cell, Image, Isolation, LoadError, Quick};
use crate::task::Program;

/// There is nothing to be tried.
pub(crate) fn probe() -> Vec<Finding> {
    vec![Finding::missing(Probe::Kernel, "the native wall needs Linux")]
}

/// There is nobody.
pub(crate) fn has_lane(_: &dyn Cell) -> bool {
    false
}

/// And nothing that a call could have left behind.
pub(crate) const UNHEARD: u64 = 0;

/// There is nobody to be called.
pub(crate) fn quick<'c>(_: &'c mut dyn Cell, _: &Brief<'_>) -> Quick<'c> {
    Quick::NotHere
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
