//! A call of the binary that is still under way: it is talked to, listened to and signalled.
//!
//! Whether a guest runs is never guessed from the time: `echo` answers once it does.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sandtrap_tests::children::children_of;

use crate::kit::Ran;

/// A call that has not ended.
pub(crate) struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Running {
    /// Starts it with a pipe to each of its streams.
    #[track_caller]
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).spawn().expect("sandtrap can be started");
        let stdin = child.stdin.take();
        Self { child, stdin }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes to its stdin.
    #[track_caller]
    pub(crate) fn say(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().expect("stdin is open");
        stdin.write_all(text.as_bytes()).expect("the guest reads");
    }

    /// Reads that many bytes of its stdout.
    #[track_caller]
    pub(crate) fn hear(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        let stdout = self.child.stdout.as_mut().expect("stdout is open");
        stdout.read_exact(&mut bytes).expect("the guest writes");
        bytes
    }

    /// Reads its stdout until nobody can write to it any more.
    #[track_caller]
    pub(crate) fn hear_the_rest(&mut self) {
        let stdout = self.child.stdout.as_mut().expect("stdout is open");
        stdout.read_to_end(&mut Vec::new()).expect("a pipe can be read");
    }

    /// Reads one line of its stderr.
    #[track_caller]
    pub(crate) fn hear_of_stderr(&mut self) -> String {
        let stderr = self.child.stderr.as_mut().expect("stderr is open");
        let (mut line, mut byte) = (Vec::new(), [0]);
        loop {
            stderr.read_exact(&mut byte).expect("sandtrap writes");
            match byte {
                [b'\n'] => break,
                [other] => line.push(other),
            }
        }
        String::from_utf8(line).expect("stderr is text")
    }

    /// Makes certain that an `echo` behind it runs, and waits for more to read.
    #[track_caller]
    pub(crate) fn expect_echo(&mut self) {
        self.say("are you there?\n");
        assert_eq!(self.hear(15), b"are you there?\n");
    }

    /// Ends its stdin.
    pub(crate) fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Goes away as its reader.
    pub(crate) fn close_stdout(&mut self) {
        self.child.stdout = None;
    }

    /// Sends it a signal, unless it has ended.
    #[track_caller]
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid().cast_signed());
        kill(pid, signal).expect("a child that was not waited for can be signalled");
    }

    /// Sends a signal again and again until it has ended, without taking anything it writes.
    #[track_caller]
    pub(crate) fn signal_until_it_ends(&mut self, signal: Signal) {
        while self.child.try_wait().expect("a child can be waited for").is_none() {
            self.signal(signal);
            thread::yield_now();
        }
    }

    /// Reads the rest and waits for its end. Its stdin stays open until then.
    #[track_caller]
    pub(crate) fn finish(self) -> Ran {
        let Self { child, stdin } = self;
        let output = child.wait_with_output().expect("a child can be waited for");
        drop(stdin);
        output.into()
    }

    /// The process that removes its groups when it is gone, if it has any.
    pub(crate) fn heir(&self) -> Option<u32> {
        let line = format!("sandtrap-heir\0sandtrap-{}-", self.pid());
        let all = fs::read_dir("/proc").into_iter().flatten().flatten();
        let mut pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        pids.find(|pid| {
            let own = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            own.starts_with(line.as_bytes())
        })
    }

    /// The processes it started itself.
    pub(crate) fn children(&self) -> Vec<u32> {
        children_of(self.pid()).into_iter().map(i32::cast_unsigned).collect()
    }
}

/// Waits until none of them is there any more.
pub(crate) fn wait_for_ends(pids: impl IntoIterator<Item = u32>) {
    for pid in pids {
        while is_alive(pid.into()) {
            thread::yield_now();
        }
    }
}

/// Whether a process is there and not dead. Who adopts it may be slow to bury it.
pub(crate) fn is_alive(pid: u64) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| !"ZX".contains(state))
}

/// The control groups that a process with this number made.
pub(crate) fn groups_of(pid: u32) -> Vec<String> {
    let mut found = Vec::new();
    collect_groups(Path::new("/sys/fs/cgroup"), &format!("sandtrap-{pid}-"), &mut found);
    found
}

fn collect_groups(folder: &Path, prefix: &str, found: &mut Vec<String>) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(prefix) {
            found.push(name);
        }
        collect_groups(&entry.path(), prefix, found);
    }
}
