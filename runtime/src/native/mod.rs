//! The native wall: a task runs as a process of its own, in a group of its own, watched by a tracer.
//!
//! What the guest starts with, and nothing else:
//!
//! * its arguments, and the environment variables that were granted (and the channel's number);
//! * descriptors 0 to 3: stdin (empty unless given), stdout, stderr, the channel;
//! * a process group of its own, every signal at its default and none blocked;
//! * no new privileges, ever;
//! * the system calls of its profile, and no others (`filter`);
//! * the limits of its policy: memory as a control group, or as address space where there is none.
//!
//! The road of one task: `image` looks at the executable once; `cell` makes a `plan` (all data, before any
//! child), hands it to a `monitor` thread, and serves the process in the `pump`. The child makes its
//! way through `confine` to its program. `watch` sees every signal and every end, `autopsy` reads a fault.
//! When nobody of the task is left, the evidence is put together. Nothing here judges it.

mod autopsy;
mod cell;
mod census;
mod confine;
mod family;
mod filter;
mod group;
mod image;
mod monitor;
mod mounts;
mod plan;
mod probe;
mod pump;
mod refusals;
mod stdin;
mod sys;
mod tracee;
mod tracing;
mod watch;

use std::sync::{Arc, OnceLock};

use crate::isolation::{Image, Isolation, LoadError};
use crate::task::Program;

pub(crate) use probe::probe;

use group::Site;
use image::NativeImage;
use monitor::Monitors;

/// Runs programs as confined processes.
#[derive(Debug, Default)]
pub(crate) struct NativeWall {
    monitors: Arc<Monitors>,
    /// Where groups can be made: found when the first program is loaded.
    site: OnceLock<Arc<Result<Site, String>>>,
}

impl NativeWall {
    pub(crate) fn new() -> Self {
        Self::default()
    }
}

impl Isolation for NativeWall {
    fn load(&self, program: &Program) -> Result<Arc<dyn Image>, LoadError> {
        let site = Arc::clone(self.site.get_or_init(|| Arc::new(Site::find())));
        let image = NativeImage::load(program, Arc::clone(&self.monitors), site)?;
        Ok(Arc::new(image))
    }
}
