//! What all these tests share: one call of the real binary, waited for, with what it wrote.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use sandtrap::Wall;
use sandtrap_tests::guests;
use serde_json::Value;

/// Long enough for the slowest machine: only guests that hang would run into it.
const UNHURRIED: [[&str; 2]; 2] = [["--wall", "10m"], ["--cpu", "10m"]];

/// The tests whose subject is the same behind both walls go through both.
pub(crate) const WALLS: [Wall; 2] = [Wall::Native, Wall::Wasm];

/// How one call of the binary ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        Self { code: output.status.code(), stdout: output.stdout, stderr }
    }
}

impl Ran {
    /// Its stdout, which has to be text.
    #[track_caller]
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).expect("stdout is text")
    }

    /// Its stdout, which has to be one report and nothing else.
    #[track_caller]
    pub(crate) fn report(&self) -> Value {
        serde_json::from_slice(&self.stdout)
            .unwrap_or_else(|error| panic!("stdout is no report: {error}\n{self:?}"))
    }

    /// The label of the diagnosis, or `completed` where there is none.
    pub(crate) fn label(&self) -> &str {
        let first = self.stderr.lines().rfind(|line| line.starts_with("sandtrap: "));
        first
            .and_then(|line| line.strip_suffix(']')?.rsplit_once('['))
            .map_or("completed", |(_, label)| label)
    }

    /// It ended with this code, and wrote nothing to stdout.
    #[track_caller]
    pub(crate) fn assert_refused(&self, code: i32) {
        assert_eq!((self.code, self.text()), (Some(code), ""), "{}", self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
    }
}

/// The binary with these arguments, nothing to read, and whatever it writes kept.
pub(crate) fn sandtrap(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sandtrap"));
    // What one test has compiled may serve another one, and nobody's home is touched.
    command.env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// `sandtrap run` with these flags before the program and these arguments after it. There is time enough
/// for whatever has no time of its own.
pub(crate) fn run_command(flags: &[&str], program: &Path, args: &[&str]) -> Command {
    let mut command = sandtrap(["run"]);
    for flag in UNHURRIED.iter().filter(|flag| !flags.contains(&flag[0])) {
        command.args(flag);
    }
    command.args(flags).arg(program).args(args);
    command
}

/// Waits for its end.
#[track_caller]
pub(crate) fn finish(mut command: Command) -> Ran {
    command.output().expect("sandtrap can be started").into()
}

/// Runs a program with these flags.
#[track_caller]
pub(crate) fn run(flags: &[&str], program: &Path) -> Ran {
    finish(run_command(flags, program, &[]))
}

/// Runs a program with these flags, and gives the report.
#[track_caller]
pub(crate) fn report(flags: &[&str], program: &Path) -> Value {
    run(&[&["--json"], flags].concat(), program).report()
}

/// A guest as it is built for a wall.
pub(crate) fn guest(wall: Wall, name: &str) -> PathBuf {
    match wall {
        Wall::Native => guests::native(name),
        Wall::Wasm => guests::wasm(name),
    }
}

/// Whether this host can put up a guard around processes.
pub(crate) fn host_has(guard: &str) -> bool {
    let report = report(&[], &guests::native("hello"));
    let guards = report["guards"].as_array().expect("a list of guards");
    guards.iter().any(|found| found["name"] == guard && found["state"] == "in-force")
}

/// A path as an argument among flags.
#[track_caller]
pub(crate) fn text_of(path: &Path) -> &str {
    path.to_str().expect("the paths of these tests are text")
}
