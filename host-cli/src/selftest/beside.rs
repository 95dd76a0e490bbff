//! The same cases in another cage: one that is there as a command, knows nothing of them, and may let them through.

use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::surroundings::{Surroundings, guests};
use crate::abuse::{BREACH, Case, VARIABLE, VERSION};

/// Nothing that ends by itself takes longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// More than any case has to say.
const MOST_OUTPUT: u64 = 1 << 20;

/// Cages without limits of their own get some from a shell, so that nobody harms this machine.
const CAPPED: &str = "ulimit -v 524288; ulimit -t 5; ulimit -c 0; exec \"$@\"";

/// Another cage.
pub(crate) struct Peer {
    words: Vec<String>,
    /// What it says of its version.
    pub(crate) version: String,
}

/// How a case ended in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// It got an error, and ended in order.
    Contained,
    /// It reached something.
    Reached(String),
    /// The other cage ended with this code, or by this signal.
    Code(i32),
    Signal(i32),
    /// It went on, or a process of it did.
    StillThere,
}

impl Peer {
    /// Finds it, or says that it is not there.
    pub(crate) fn of(command: &str) -> anyhow::Result<Self> {
        let words: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
        let Some(name) = words.first() else {
            bail!("--beside wants a command, up to where the program comes");
        };
        let output = Command::new(name).arg("--version").output().with_context(|| {
            format!("cannot run the other cage, `{name}`; install it, or leave --beside out")
        })?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let version = said.lines().next().unwrap_or(name).trim().to_owned();
        Ok(Self { words, version })
    }

    /// Its command.
    pub(crate) fn name(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// All of it.
    pub(crate) fn command(&self) -> String {
        self.words.join(" ")
    }

    /// Runs one case in it.
    pub(super) fn try_out(
        &self,
        case: &Case,
        guest: &Path,
        surroundings: &Surroundings,
    ) -> anyhow::Result<Said> {
        if let Some(other) = case.after {
            self.run(other, guest, surroundings)?;
        }
        let said = self.run(case.name, guest, surroundings);
        surroundings.clear();
        said
    }

    fn run(&self, name: &str, guest: &Path, surroundings: &Surroundings) -> anyhow::Result<Said> {
        let mut command = Command::new("sh");
        command.args(["-c", CAPPED, "sh"]).args(&self.words).arg(guest);
        command.args(surroundings.given(name, 64).command()).env(VARIABLE, VERSION);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().context("cannot start a shell")?;
        let (said, ended) = wait(&mut child);
        let survivors = guests(name);
        for pid in &survivors {
            // Whoever has ended meanwhile is as gone.
            let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
        }
        Ok(match ended {
            _ if !survivors.is_empty() => Said::StillThere,
            None => Said::StillThere,
            Some(status) => judged(status, &said),
        })
    }
}

/// What it wrote, and how it ended if it did in time. It is gone afterwards.
fn wait(child: &mut Child) -> (String, Option<ExitStatus>) {
    let (tell, told) = channel();
    let stdout = child.stdout.take();
    let reader = thread::spawn(move || {
        let mut said = Vec::new();
        if let Some(stdout) = stdout {
            // What can't be read was not said.
            let _ = stdout.take(MOST_OUTPUT).read_to_end(&mut said);
        }
        // Nobody waits for it any more if it took too long.
        let _ = tell.send(());
        String::from_utf8_lossy(&said).into_owned()
    });
    let in_time = told.recv_timeout(PATIENCE).is_ok();
    if !in_time {
        // Its cage goes with it, or is looked for by its guest's name.
        let _ = child.kill();
        return (String::new(), child.wait().ok().and(None));
    }
    let ended = child.wait().ok();
    (reader.join().unwrap_or_default(), ended)
}

fn judged(status: ExitStatus, said: &str) -> Said {
    let reached = said.lines().rev().find_map(|line| line.strip_prefix("BREACH: "));
    match (status.code(), status.signal()) {
        (Some(0), _) => Said::Contained,
        (Some(BREACH), _) => Said::Reached(reached.unwrap_or("it does not say what").to_owned()),
        (Some(code), _) => Said::Code(code),
        (None, signal) => Said::Signal(signal.unwrap_or_default()),
    }
}

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Contained => f.write_str("contained"),
            Self::Reached(what) => write!(f, "**reached**: {what}"),
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
            Self::StillThere => write!(f, "still there after {} s", PATIENCE.as_secs()),
        }
    }
}
