//! The native wall: a task runs as a process of its own, in a group of its own, watched by a tracer.
//!
//! What the guest starts with, and nothing else:
//!
//! * namespaces of its own (users, processes, mounts, network, IPC, names, groups), and a root with the system's
//!   folders to read, a few devices, and what was granted;
//! * its arguments, and the environment variables that were granted (and the channel's number);
//! * descriptors 0 to 3: stdin (empty unless given), stdout, stderr, the channel; and memory that it shares with us, where
//!   that was asked for (`arena`) or it is kept (`lane`);
//! * a process group and a session without a terminal, every signal at its default and none blocked;
//! * no capabilities and no new privileges, ever;
//! * the system calls of its profile, and no others (`filter`);
//! * the limits of its policy: memory as a control group, or as address space where there is none.
//!
//! The road of one task: `image` looks at the executable once, and `standing` builds its `cage` and starts a `keeper`
//! in it, at the first task. `cell` makes a `plan` (all data, before any child), has the keeper launch it, and serves
//! the process in the `pump`. The `watchman`, one thread for each keeper, tells every `watch` what its processes do;
//! `autopsy` reads a fault, and `backtrace` goes up its stack if that is wanted. When nobody of the task is left, the
//! evidence is put together. Nothing here judges it. Where tasks are forks, a `zygote` of the program makes them (`forked`).
//! What is left when this process is killed is removed by its `heir`.

mod arena;
mod around;
mod autopsy;
mod backtrace;
mod behind;
mod bell;
mod beside;
mod board;
mod boot;
mod cage;
mod cell;
mod census;
#[cfg(target_arch = "x86_64")]
mod doorway;
mod family;
mod feed;
mod filter;
mod forked;
mod gate;
mod gathering;
mod group;
mod heir;
mod holdings;
mod host_oom;
mod image;
mod image_file;
mod instruction;
mod keeper;
mod killing;
mod landlock;
mod lane;
mod lately;
mod leftovers;
mod mappings;
mod memory;
mod mounts;
mod near;
mod news;
mod oom_kills;
mod page;
mod plan;
mod prepared;
mod probe;
mod process;
mod pump;
mod quick;
mod refusals;
mod share;
mod standing;
mod status;
mod stdin;
mod symbols;
mod sys;
mod tracee;
mod tracing;
mod turns;
mod unwind;
mod unwind_rules;
mod view;
mod watch;
mod watched;
mod watchman;
#[path = "../../keeper/wire.rs"]
mod wire;
mod zygote;

use std::sync::{Arc, OnceLock};

use crate::isolation::{Image, Isolation, LoadError};
use crate::task::Program;

pub(crate) use probe::{probe, tiny_program};
pub(crate) use quick::SHORTCUT;

use group::Site;
use image::NativeImage;

/// Runs programs as confined processes.
#[derive(Debug, Default)]
pub(crate) struct NativeWall {
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
        if let Ok(site) = &*site {
            heir::appoint(site.folders());
        }
        let image = NativeImage::load(program, site)?;
        Ok(Arc::new(image))
    }
}
