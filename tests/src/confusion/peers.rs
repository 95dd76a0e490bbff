//! What other cages say of the same victims, where they are installed.

use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus, Output, Stdio};

use tempfile::NamedTempFile;

use super::causes::Cause;

/// Another cage, and how a program is put into it.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Its command.
    pub name: &'static str,
    arguments: &'static [&'static str],
    /// Whether it can hold a program to limits of its own.
    has_limits: bool,
    /// Whether it writes what it saw into a file, and what has it prepare a place, and clear it away.
    notes: Option<[&'static str; 2]>,
}

/// Those that are asked, if they are there. What can be limited is: 256 MiB of memory, two seconds, 8 MiB for a file.
pub const PEERS: [Peer; 3] = [
    Peer {
        name: "bwrap",
        arguments: &[
            "--unshare-all",
            "--ro-bind",
            "/",
            "/",
            "--proc",
            "/proc",
            "--dev",
            "/dev",
            "--",
        ],
        has_limits: false,
        notes: None,
    },
    Peer {
        name: "nsjail",
        arguments: &[
            "-Mo",
            "-Q",
            "--chroot",
            "/",
            "--time_limit",
            "2",
            "--rlimit_as",
            "256",
            "--rlimit_cpu",
            "2",
            "--rlimit_fsize",
            "8",
            "--rlimit_stack",
            "1",
            "--rlimit_nproc",
            "16",
            "--",
        ],
        has_limits: true,
        notes: None,
    },
    Peer {
        name: "isolate",
        arguments: &[
            "--silent",
            "--mem=262144",
            "--time=2",
            "--wall-time=2",
            "--fsize=8192",
            "--stack=1024",
            "--processes=16",
        ],
        has_limits: true,
        notes: Some(["--init", "--cleanup"]),
    },
];

/// What has no caps of its own is given some by a shell.
const CAPPED: &str = "ulimit -v 262144; ulimit -t 2; ulimit -s 1024; ulimit -c 0; exec \"$@\"";

/// Those that are installed here, with what they say of their version.
pub fn installed() -> Vec<(Peer, String)> {
    let version = |peer: &Peer| {
        let output = Command::new(peer.name).arg("--version").output().ok()?;
        let text = [output.stdout, output.stderr].concat();
        let line = String::from_utf8_lossy(&text).lines().next()?.trim().to_owned();
        let number = line.split_whitespace().rfind(|word| word.contains('.'));
        Some(
            number.map_or_else(|| peer.name.to_owned(), |number| format!("{} {number}", peer.name)),
        )
    };
    PEERS.into_iter().filter_map(|peer| Some((peer, version(&peer)?))).collect()
}

impl Peer {
    /// What it says of one victim; `None` where nothing of its own would end it.
    pub fn says(&self, victim: &Path, cause: &Cause) -> Option<String> {
        if cause.unbounded && !self.has_limits || cause.sent.is_some() {
            return None;
        }
        let said = match self.notes {
            None => self.run(victim, cause).map(|status| words(&status)),
            Some([prepare, clear]) => self.place(prepare).and_then(|place| {
                let noted = self.run_noted(&place, victim, cause);
                self.place(clear).and(noted)
            }),
        };
        Some(said.unwrap_or_else(|error| format!("could not be run: {error}")))
    }

    /// Says where its place is.
    fn place(&self, what: &str) -> io::Result<String> {
        let Output { status, stdout, .. } = Command::new(self.name).arg(what).output()?;
        match status.success() {
            true => Ok(String::from_utf8_lossy(&stdout).trim().to_owned()),
            false => Err(io::Error::other(words(&status))),
        }
    }

    fn run(&self, victim: &Path, cause: &Cause) -> io::Result<ExitStatus> {
        let mut command = match self.has_limits {
            true => Command::new(self.name),
            false => {
                let mut shell = Command::new("sh");
                shell.args(["-c", CAPPED, "sh", self.name]);
                shell
            }
        };
        command.args(self.arguments).arg(victim).arg(cause.name);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()
    }

    /// It tells in a file what it saw, and only whether that was well by its own end. What it runs lies in its own place.
    fn run_noted(&self, place: &str, victim: &Path, cause: &Cause) -> io::Result<String> {
        let notes = NamedTempFile::new()?;
        fs::copy(victim, Path::new(place).join("box/victim"))?;
        let mut command = Command::new(self.name);
        command.arg(format!("--meta={}", notes.path().display())).args(self.arguments);
        command.args(["--run", "--", "./victim", cause.name]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        let notes = fs::read_to_string(notes.path())?;
        let message = notes.lines().find_map(|line| line.strip_prefix("message:"));
        Ok(message.unwrap_or("exit code 0").to_owned())
    }
}

fn words(status: &ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, signal) => format!("signal {}", signal.unwrap_or_default()),
    }
}
