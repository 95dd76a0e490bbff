//! A row of the table as something to run: its program, its task, and what it may find on its stdin.

use std::path::{Path, PathBuf};

use nix::sys::stat::Mode;
use sandtrap::{Access, Capture, Permissions, Program, Stdin, Task};

use super::{Input, Row};
use crate::guests::Form;

/// A pipe that never has anything and never ends, for as long as this lives.
#[derive(Debug)]
pub struct SilentPipe {
    folder: tempfile::TempDir,
    _writer: std::fs::File,
}

impl SilentPipe {
    /// Makes one.
    ///
    /// # Panics
    ///
    /// Where there is no room for it.
    #[expect(clippy::new_without_default, reason = "it makes a file")]
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("silent");
        nix::unistd::mkfifo(&path, Mode::S_IRWXU).expect("a pipe");
        let writer = std::fs::File::options().read(true).write(true).open(&path).expect("its end");
        Self { folder, _writer: writer }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("silent")
    }
}

impl Row {
    /// The guest of it in one form, with a folder for those who may write.
    pub fn program(&self, form: Form, scratch: &Path) -> Program {
        let mut permissions = Permissions::default();
        if self.scratch {
            permissions.grant_dir(scratch, scratch, Access::ReadWrite);
            permissions.grant_env("SCRATCH", scratch);
        }
        if form == Form::Process {
            permissions.profile = self.profile;
            permissions.net = self.net;
        }
        let program = Program::file(form.guest(self.guest)).within(form.wall());
        program.limits(self.limits.clone()).permissions(permissions)
    }

    /// What it is started with.
    pub fn task(&self, silent: &SilentPipe) -> Task {
        let stdin = match self.stdin {
            Input::Empty => Stdin::Null,
            Input::Silent => Stdin::File(silent.path()),
        };
        let mut task = Task::command(self.args.iter().copied()).stdin(stdin);
        task.stdout = Capture::Discard;
        task
    }
}
