//! The native wall where there is none yet: every program is refused, in words.

use std::sync::Arc;

use crate::evidence::Step;
use crate::finding::{Finding, Probe};
use crate::isolation::{Image, Isolation, LoadError, Quick, Shortcut};
use crate::task::Program;

/// There is nothing to be tried.
pub(crate) fn probe() -> Vec<Finding> {
    vec![Finding::missing(Probe::Kernel, "the native wall needs Linux")]
}

/// There is nobody to be called, and nothing that a call could have left behind.
pub(crate) const SHORTCUT: Shortcut =
    Shortcut { is_there: |_| false, call: |_, _| Quick::NotHere, unheard: 0 };

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
