//! Too much of something: processes, threads, descriptors, memory, files, output, time.

use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::thread;
use std::time::Duration;

use nix::libc;
use nix::sys::memfd::{MFdFlags, memfd_create};
use sandtrap::{ByteSize, Label, Limits};

use super::crashes::{MEMORY, eat};
use super::expect::{Expect, Expected, Profile};
use super::table::{Row, case};
use super::{Given, Outcome, calls, faults};

/// Long enough to start, and short enough to wait for.
const SHORT: Duration = Duration::from_millis(150);

/// More files than a private folder has room for.
const MOST_FILES: usize = 20_000;

const CONTAINED: Expected = Expected::always(&[Expect::Contained]);
const TIME_IS_UP: Expected = Expected::always(&[Expect::Ends(Label::StoppedWallTime)]);
const OUT_OF_MEMORY: &[Expect] = &[Expect::Ends(Label::CrashedOutOfMemory)];
/// Where no group counts what is in no address space, nobody gets any.
const OUT_OF_MEMORY_OR_NONE: &[Expect] =
    &[Expect::Ends(Label::CrashedOutOfMemory), Expect::Contained];
const TOO_MUCH_OUTPUT: Expected = Expected::always(&[Expect::Ends(Label::StoppedOutput)]);
const TOO_LARGE: Expected =
    Expected::always(&[Expect::Ends(Label::StoppedFiles), Expect::Contained]);
/// It is an error for the guest first; and where nobody can make a root there is none.
const FULL_SCRATCH: Expected = Expected::always(&[
    Expect::Contained,
    Expect::Ends(Label::StoppedFiles),
    Expect::Ends(Label::UnstartedRejected),
]);
const MEMORY_OR_REFUSAL: Expected =
    Expected::always(&[Expect::Contained, Expect::Ends(Label::CrashedOutOfMemory)]);
const TOO_MANY: &[Expect] = &[Expect::Ends(Label::StoppedProcesses)];

/// Their cases.
pub(super) fn rows() -> Vec<Row> {
    let denied_or_too_many =
        Expected::but(&[Expect::Ends(Label::DeniedSyscall)], &[(&[Profile::Process], TOO_MANY)]);
    let memory_files =
        Expected::but(&[Expect::Contained], &[(&[Profile::Jit], OUT_OF_MEMORY_OR_NONE)]);
    let small: fn(&mut Limits) = |limits| limits.memory = MEMORY;
    let scratch: fn(&mut Limits) = |limits| limits.scratch = ByteSize::mib(1);
    let short: fn(&mut Limits) = |limits| limits.wall = SHORT;
    vec![
        case(5, "fork-bomb", "processes without end", denied_or_too_many, fork_bomb)
            .limited(|limits| limits.processes = 4),
        case(5, "thread-bomb", "threads without end", Expected::always(TOO_MANY), thread_bomb)
            .limited(|limits| limits.threads = 16),
        case(6, "descriptor-flood", "descriptors without end", CONTAINED, descriptor_flood),
        case(8, "hog-memory", "memory without end", Expected::always(OUT_OF_MEMORY), eat)
            .limited(small),
        case(8, "hog-page-tables", "tables of pages", MEMORY_OR_REFUSAL, hog_tables).limited(small),
        case(8, "hog-memfd", "files in memory", memory_files, hog_memfd).limited(small),
        case(8, "hog-shm", "shared memory of the host", CONTAINED, |_| {
            hog(Path::new("/dev/shm"), 1)
        })
        .limited(small),
        case(8, "hog-tmp", "temporary files", MEMORY_OR_REFUSAL, |_| {
            hog(Path::new("/tmp"), 2 * MEMORY.as_u64() / (1 << 20))
        })
        .limited(small),
        case(8, "hog-scratch", "a scratch of its own", FULL_SCRATCH, |_| {
            hog(Path::new("/tmp"), 64)
        })
        .limited(scratch),
        case(9, "inode-flood-scratch", "files without end in it", FULL_SCRATCH, inode_flood)
            .limited(scratch),
        case(9, "inode-flood", "files without end", CONTAINED, inode_flood),
        case(10, "huge-file", "one file without end", TOO_LARGE, |_| huge_file(false))
            .limited(|limits| limits.file_bytes = ByteSize::kib(64)),
        case(10, "sparse-file", "a file that is only large", TOO_LARGE, |_| huge_file(true))
            .limited(|limits| limits.file_bytes = ByteSize::kib(64)),
        case(
            10,
            "flood-stdout",
            "output without end",
            TOO_MUCH_OUTPUT,
            |_| pour(std::io::stdout()),
        ),
        case(10, "flood-stderr", "complaints without end", TOO_MUCH_OUTPUT, |_| {
            pour(std::io::stderr())
        }),
        case(11, "slow-output", "a little output, for ever", TIME_IS_UP, slow_output)
            .limited(short),
        case(12, "sleep", "sleeping for ever", TIME_IS_UP, |_| sleep()).limited(short),
        case(12, "read-stdin", "waiting for input", CONTAINED, read_stdin),
        case(
            13,
            "busy-loop",
            "computing for ever, deaf to signals",
            Expected::always(&[Expect::Ends(Label::StoppedCpuTime)]),
            busy_loop,
        )
        .limited(|limits| limits.cpu = Duration::from_millis(50)),
    ]
}

fn fork_bomb(_: &Given) -> Outcome {
    for _ in 0..64 {
        match calls::fork() {
            Ok(Some(_)) => {}
            Ok(None) => return sleep(),
            Err(errno) => return Outcome::refused(errno),
        }
    }
    Outcome::breach("it has 64 children")
}

fn thread_bomb(_: &Given) -> Outcome {
    for _ in 0..512 {
        let sleeper = thread::Builder::new().stack_size(64 * 1024).spawn(|| {
            loop {
                thread::park();
            }
        });
        if let Err(error) = sleeper {
            return Outcome::refused(error);
        }
    }
    Outcome::breach("it has 512 threads")
}

fn descriptor_flood(given: &Given) -> Outcome {
    let mut open = Vec::new();
    loop {
        match nix::unistd::dup(std::io::stdin()) {
            Ok(descriptor) => open.push(descriptor),
            Err(errno) => return Outcome::refused(errno),
        }
        if open.len() > given.open_files as usize {
            return Outcome::breach(format!("it has {} descriptors", open.len()));
        }
    }
}

fn hog_tables(_: &Given) -> Outcome {
    // Each piece touched costs a page, and another one for the table that leads to it.
    match faults::fill_page_tables(64 << 30) {
        Ok(()) => Outcome::breach("it has tables for 64 GiB"),
        Err(errno) => Outcome::refused(errno),
    }
}

fn hog_memfd(_: &Given) -> Outcome {
    match memfd_create("hog", MFdFlags::MFD_CLOEXEC) {
        Ok(memory) => write_much(File::from(memory), 2 * MEMORY.as_u64() / (1 << 20)),
        Err(errno) => Outcome::refused(errno),
    }
}

/// A file that never has a name, so that nothing of it stays.
fn nameless(folder: &Path) -> std::io::Result<File> {
    OpenOptions::new().write(true).custom_flags(libc::O_TMPFILE).mode(0o600).open(folder)
}

fn hog(folder: &Path, mebibytes: u64) -> Outcome {
    match nameless(folder) {
        Ok(file) => write_much(file, mebibytes),
        Err(error) => Outcome::refused(error),
    }
}

fn write_much(mut file: File, mebibytes: u64) -> Outcome {
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..mebibytes {
        if let Err(error) = file.write_all(&piece) {
            return Outcome::refused(error);
        }
    }
    Outcome::breach(format!("it has written {mebibytes} MiB"))
}

fn inode_flood(given: &Given) -> Outcome {
    // A name of the test's own, which is cleared away even if this is not the private folder that it should be.
    let Some(name) = given.folder.file_name() else { return Outcome::refused("no name") };
    let folder = Path::new("/tmp").join(name).join("inodes");
    if let Err(error) = std::fs::create_dir_all(&folder) {
        return Outcome::refused(error);
    }
    for number in 0..MOST_FILES {
        if let Err(error) = File::create(folder.join(number.to_string())) {
            return Outcome::refused(error);
        }
    }
    Outcome::breach(format!("it has {MOST_FILES} files"))
}

fn huge_file(sparse: bool) -> Outcome {
    let mut file = match nameless(Path::new("/tmp")) {
        Ok(file) => file,
        Err(error) => return Outcome::refused(error),
    };
    if sparse && let Err(error) = file.seek(SeekFrom::Start(1 << 40)) {
        return Outcome::refused(error);
    }
    write_much(file, 1)
}

fn pour(mut stream: impl std::io::Write) -> Outcome {
    let piece = [b'x'; 4096];
    for _ in 0..16 * 1024 {
        if let Err(error) = stream.write_all(&piece) {
            return Outcome::refused(error);
        }
    }
    Outcome::breach("it has written 64 MiB")
}

fn slow_output(_: &Given) -> Outcome {
    for _ in 0..10_000 {
        // Nobody may read it any more.
        let _ = std::io::stdout().write_all(b".\n");
        thread::sleep(Duration::from_millis(10));
    }
    Outcome::breach("nobody stopped it")
}

pub(super) fn sleep() -> Outcome {
    thread::sleep(Duration::from_secs(600));
    Outcome::breach("nobody woke it")
}

fn read_stdin(_: &Given) -> Outcome {
    let mut read = Vec::new();
    match std::io::stdin().read_to_end(&mut read) {
        Ok(0) => Outcome::refused("there is nothing to read"),
        Ok(count) => Outcome::breach(format!("it has read {count} bytes of somebody's")),
        Err(error) => Outcome::refused(error),
    }
}

fn busy_loop(_: &Given) -> Outcome {
    for signal in [libc::SIGXCPU, libc::SIGTERM, libc::SIGINT, libc::SIGALRM] {
        calls::ignore(signal);
    }
    let mut turns = 0_u64;
    while turns < u64::MAX {
        turns = black_box(turns.wrapping_add(1));
    }
    Outcome::breach("it came to an end")
}
