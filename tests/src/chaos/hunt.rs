//! The hunter: kills processes of one program, found among the children of this process.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sandtrap::{Happening, Telemetry};

use crate::children::children;

/// Who is hunted, and how many were caught.
pub(super) struct Hunt {
    program: PathBuf,
    killed: AtomicUsize,
    /// Tasks of the prey that run.
    running: Mutex<usize>,
    changed: Condvar,
}

impl Hunt {
    pub(super) fn new(program: PathBuf) -> Arc<Self> {
        let (running, changed) = (Mutex::default(), Condvar::new());
        Arc::new(Self { program, killed: AtomicUsize::new(0), running, changed })
    }

    /// What tells the hunter which tasks of the prey run.
    pub(super) fn telemetry(self: &Arc<Self>) -> Telemetry {
        let hunt = Arc::clone(self);
        Telemetry::to(move |happening| match happening {
            Happening::TaskStarted { .. } => {
                *hunt.running() += 1;
                hunt.changed.notify_all();
            }
            Happening::TaskReturned { .. } | Happening::TaskFinished { .. } => *hunt.running() -= 1,
            _ => {}
        })
    }

    /// It is over.
    pub(super) fn wake(&self) {
        drop(self.running());
        self.changed.notify_all();
    }

    pub(super) fn killed(&self) -> usize {
        self.killed.load(Ordering::SeqCst)
    }

    /// Kills whoever runs. Where each of them dies, between its first instruction and its long sleep, is left to chance.
    pub(super) fn go_on(&self, is_over: &AtomicBool) {
        let mut random: u64 = 1;
        loop {
            let mut running = self.running();
            while *running == 0 && !is_over.load(Ordering::SeqCst) {
                running = self.changed.wait(running).unwrap_or_else(PoisonError::into_inner);
            }
            if *running == 0 {
                return;
            }
            drop(running);
            for pid in self.children() {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                // Whom it spares is met again.
                if random >> 63 == 0 && kill(pid, Signal::SIGKILL).is_ok() {
                    self.killed.fetch_add(1, Ordering::SeqCst);
                }
            }
            thread::yield_now();
        }
    }

    fn running(&self) -> MutexGuard<'_, usize> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Children of this process that run the program: nobody else's, and the keeper is another program.
    fn children(&self) -> Vec<Pid> {
        let is_prey = |pid: &i32| {
            fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == self.program)
        };
        children().into_iter().filter(is_prey).map(Pid::from_raw).collect()
    }
}
