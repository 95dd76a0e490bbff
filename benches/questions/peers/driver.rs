//! A peer is driven by a small program of its own, which is told a work and says how long each one took.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::Peer;

/// A program that is told what to do, and says how long each took.
pub(super) struct Driver {
    child: Child,
    tell: ChildStdin,
    hear: BufReader<ChildStdout>,
}

impl Driver {
    pub(super) fn start(mut command: Command) -> Option<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().ok()?;
        let (tell, hear) = (child.stdin.take()?, BufReader::new(child.stdout.take()?));
        let mut driver = Self { child, tell, hear };
        driver.line().starts_with("ready").then_some(driver)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        // A driver that has ended says nothing more.
        let _ = self.hear.read_line(&mut line);
        line
    }

    pub(super) fn peer(mut self, name: &'static str) -> Peer {
        Peer::new(name, move |work, count| {
            if writeln!(self.tell, "{work} {count}").is_err() {
                return Vec::new();
            }
            let line = self.line();
            line.split_whitespace()
                .filter_map(|time| Some(time.parse::<f64>().ok()? / 1e9))
                .collect()
        })
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
