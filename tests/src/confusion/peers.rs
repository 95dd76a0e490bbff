//! What other cages say of the same victims: their exit code, where they are installed.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::causes::Cause;

/// Another cage, and how a program is put into it.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Its command.
    pub name: &'static str,
    arguments: &'static [&'static str],
}

/// Those that are asked, if they are there.
pub const PEERS: [Peer; 1] = [Peer {
    name: "bwrap",
    arguments: &["--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--"],
}];

/// They have no caps of their own, so a shell sets some: 256 MiB of address space, two seconds.
const CAPPED: &str = "ulimit -v 262144; ulimit -t 2; ulimit -s 1024; ulimit -c 0; exec \"$@\"";

/// Those that are installed here, with what they say of their version.
pub fn installed() -> Vec<(Peer, String)> {
    let version = |peer: &Peer| {
        let output = Command::new(peer.name).arg("--version").output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).lines().next()?.trim().to_owned())
    };
    PEERS.into_iter().filter_map(|peer| Some((peer, version(&peer)?))).collect()
}

impl Peer {
    /// What it says of one victim; `None` where nothing of its own would end it.
    pub fn says(&self, victim: &Path, cause: &Cause) -> Option<String> {
        if cause.unbounded || cause.sent.is_some() {
            return None;
        }
        let mut command = Command::new("sh");
        command.args(["-c", CAPPED, "sh", self.name]).args(self.arguments);
        let ended = command.arg(victim).arg(cause.name).stdin(Stdio::null()).output();
        Some(ended.map_or_else(
            |error| format!("could not be run: {error}"),
            |Output { status, .. }| match (status.code(), status.signal()) {
                (Some(code), _) => format!("exit code {code}"),
                (None, signal) => format!("signal {}", signal.unwrap_or_default()),
            },
        ))
    }
}
