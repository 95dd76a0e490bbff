//! What the kernel says of a process or thread in `/proc/…/status`.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;

use libc::{c_int, pid_t};

/// Most of what the kernel says of a process is shorter, and then it says it at once.
const USUAL_BYTES: usize = 4096;

/// Signals from here on stand in `status` only.
const FIRST_UNLISTED: c_int = 32;

/// Whether a signal ends a process that has no handler for it.
pub(super) fn ends_by_default(signal: c_int) -> bool {
    !matches!(
        signal,
        libc::SIGCHLD
            | libc::SIGCONT
            | libc::SIGURG
            | libc::SIGWINCH
            | libc::SIGSTOP
            | libc::SIGTSTP
            | libc::SIGTTIN
            | libc::SIGTTOU
    )
}

/// Whether a process has a handler for a signal, or ignores it.
pub(super) fn takes(tid: pid_t, signal: c_int) -> bool {
    let bit = 1_u64 << (signal - 1);
    // The file that is shorter, and quicker to read, has the first of the signals only.
    if signal < FIRST_UNLISTED
        && let Some(sets) = listed(tid)
    {
        return sets.into_iter().any(|set| set & bit != 0);
    }
    let [caught, ignored] = fields(tid, ["SigCgt:", "SigIgn:"]);
    let has = |set: Option<String>| {
        set.and_then(|set| u64::from_str_radix(&set, 16).ok()).is_some_and(|set| set & bit != 0)
    };
    has(caught) || has(ignored)
}

/// The signals that a process ignores, and those that it has handlers for, as far as they stand in its `stat`.
fn listed(tid: pid_t) -> Option<[u64; 2]> {
    /// Where they stand behind its name, which may be anything.
    const IGNORED: usize = 31;
    let stat = said_of(tid, "stat")?;
    let behind = stat.get(stat.iter().rposition(|byte| *byte == b')')?..)?;
    let mut words = std::str::from_utf8(behind).ok()?.split_whitespace().skip(IGNORED);
    let mut next = || words.next()?.parse().ok();
    Some([next()?, next()?])
}

/// The process that a thread belongs to, while it is there.
pub(super) fn process_of(tid: pid_t) -> Option<pid_t> {
    let [process] = fields(tid, ["Tgid:"]);
    process?.parse().ok()
}

/// That process, and its number inside of its own namespace.
pub(super) fn numbers_of(tid: pid_t) -> Option<(pid_t, pid_t)> {
    let [process, inside] = fields(tid, ["Tgid:", "NStgid:"]);
    let process = process?.parse().ok()?;
    let inside = inside?.split_whitespace().next_back().and_then(|number| number.parse().ok());
    Some((process, inside.unwrap_or(process)))
}

/// The process that a thread belongs to, and that process's parent.
pub(super) fn relations(tid: pid_t) -> Option<(pid_t, pid_t)> {
    let [process, parent] = fields(tid, ["Tgid:", "PPid:"]);
    Some((process?.parse().ok()?, parent?.parse().ok()?))
}

/// What the kernel says of how a process is confined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    /// Whether the number is that of a process, and of no thread beside its first.
    pub(super) is_process: bool,
    /// Whether it is number 1 of the namespace that it is in.
    pub(super) is_first: bool,
    pub(super) threads: u64,
    pub(super) has_no_capabilities: bool,
    pub(super) filters: u64,
}

impl State {
    pub(super) fn of(pid: pid_t) -> Option<Self> {
        let [process, inside, threads, filters, capabilities @ ..] = fields(
            pid,
            [
                "Tgid:",
                "NStgid:",
                "Threads:",
                "Seccomp_filters:",
                "CapInh:",
                "CapPrm:",
                "CapEff:",
                "CapAmb:",
            ],
        );
        let number = |field: Option<String>| field?.parse::<u64>().ok();
        let is_empty = |set: String| set.bytes().all(|digit| digit == b'0');
        Some(Self {
            is_process: number(process) == u64::try_from(pid).ok(),
            is_first: inside.is_some_and(|all| all.split_whitespace().next_back() == Some("1")),
            threads: number(threads)?,
            has_no_capabilities: capabilities.into_iter().all(|set| set.is_some_and(is_empty)),
            // Older kernels don't count them.
            filters: number(filters).unwrap_or(0),
        })
    }
}

/// How many threads a process has, by the links of the folder in which they stand: to ask for these takes a tenth of the time in
/// which all is written that the kernel says of a process.
#[derive(Debug)]
pub(super) struct Threads {
    pid: pid_t,
    folder: Option<(File, u64)>,
}

impl Threads {
    /// Of a process that is looked at by its status behind this: what it has then, it is to have for ever.
    pub(super) fn of(pid: pid_t) -> Self {
        let folder = File::open(format!("/proc/{pid}/task")).ok();
        let folder = folder.and_then(|folder| links(&folder).map(|links| (folder, links)));
        // One thread, and the folder's own two.
        Self { pid, folder: folder.filter(|(_, links)| *links == 3) }
    }

    /// Whether there is one, as there was.
    pub(super) fn are_as_they_were(&self) -> bool {
        match &self.folder {
            Some((folder, were)) => links(folder) == Some(*were),
            None => State::of(self.pid).is_some_and(|it| it.threads == 1),
        }
    }
}

fn links(folder: &File) -> Option<u64> {
    Some(folder.metadata().ok()?.nlink())
}

/// The process behind another one's descriptor.
pub(super) fn behind_descriptor(tid: pid_t, descriptor: u64) -> Option<pid_t> {
    let info = fs::read_to_string(format!("/proc/{tid}/fdinfo/{descriptor}")).ok()?;
    info.lines().find_map(|line| line.strip_prefix("Pid:"))?.trim().parse().ok()
}

/// A field that is a number of bytes; 0 where it can't be read.
pub(super) fn bytes(tid: pid_t, name: &str) -> u64 {
    let [field] = fields(tid, [name]);
    let kilobytes: Option<u64> =
        field.and_then(|text| text.split(' ').next().and_then(|number| number.parse().ok()));
    kilobytes.unwrap_or(0) * 1024
}

/// Whether its first thread waits for something.
pub(super) fn sleeps(pid: pid_t) -> bool {
    // Its name, which stands before that, may be anything.
    let stat = said_of(pid, "stat").unwrap_or_default();
    let name_ends = stat.iter().rposition(|byte| *byte == b')');
    name_ends.is_some_and(|at| stat[at..].starts_with(b") S"))
}

/// One of the files in which the kernel says something of a process or thread. (To read it by the library's means takes
/// a dozen calls of the system, which begin with a few bytes.)
pub(super) fn said_of(tid: pid_t, file: &str) -> Option<Vec<u8>> {
    let file = File::open(format!("/proc/{tid}/{file}")).ok()?;
    let mut all = Vec::with_capacity(USUAL_BYTES);
    file.take(u64::MAX).read_to_end(&mut all).ok()?;
    Some(all)
}

/// Some fields, of one moment: the kernel writes all of it anew for each read.
fn fields<const N: usize>(tid: pid_t, names: [&str; N]) -> [Option<String>; N] {
    let status = said_of(tid, "status").unwrap_or_default();
    let (mut values, mut missing) = ([const { None }; N], N);
    // Once through it: there are many lines, and this is asked on the way of every fork.
    let mut lines = status.split(|byte| *byte == b'\n');
    while missing > 0
        && let Some(line) = lines.next()
    {
        for (name, value) in names.iter().zip(&mut values).filter(|(_, value)| value.is_none()) {
            if let Some(rest) = line.strip_prefix(name.as_bytes()) {
                // Its name may be anything.
                *value = Some(String::from_utf8_lossy(rest).trim().to_owned());
                missing -= 1;
            }
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_files_say_the_same_of_the_signals_that_a_process_takes() {
        let own = nix::unistd::gettid().as_raw();
        let whole = fields(own, ["SigIgn:", "SigCgt:"]);
        let sets = whole.map(|set| u64::from_str_radix(&set.unwrap(), 16).unwrap() & 0x7fff_ffff);
        assert_eq!(listed(own), Some(sets));
        // As a Rust program is started.
        let taken = [libc::SIGPIPE, libc::SIGSEGV, libc::SIGUSR1].map(|signal| takes(own, signal));
        assert_eq!(taken, [true, true, false]);
    }
}
