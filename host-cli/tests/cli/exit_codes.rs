//! Every exit code of the contract, from a real guest through the real binary.

use std::collections::BTreeSet;

use nix::sys::signal::Signal;
use sandtrap::{Label, Wall};

use crate::kit::{WALLS, guest, run, run_command};
use crate::running::Running;

/// A guest, the flags it runs with, and what comes of it: the code and the label.
type Case = (&'static str, &'static [&'static str], i32, &'static str);

/// What is the same behind both walls.
const BOTH: &[Case] = &[
    ("hello", &[], 0, "completed"),
    ("exit_0", &[], 0, "completed"),
    ("lie_segfault", &[], 0, "completed"),
    ("exit_1", &[], 1, "failed.exit"),
    ("exit_3", &[], 3, "failed.exit"),
    ("exit_124", &[], 124, "failed.exit"),
    ("exit_134", &[], 134, "failed.exit"),
    ("exit_137", &[], 137, "failed.exit"),
    ("exit_139", &[], 139, "failed.exit"),
    ("exit_255", &[], 255, "failed.exit"),
    ("sdk_error", &[], 1, "failed.error"),
    ("sdk_panic", &[], 101, "failed.panic"),
    ("heap_slow_growth", &["--memory", "64MiB"], 137, "crashed.out-of-memory"),
    ("sdk_out_of_memory", &["--memory", "64MiB"], 137, "crashed.out-of-memory"),
    ("stack_overflow", &[], 139, "crashed.stack-overflow"),
    ("wild_read", &[], 139, "crashed.memory-fault"),
    ("null_call", &[], 139, "crashed.bad-call"),
    ("divide_by_zero", &[], 136, "crashed.arithmetic"),
    ("integer_overflow", &[], 136, "crashed.arithmetic"),
    ("abort", &[], 134, "crashed.abort"),
    ("channel_garbage", &[], 76, "crashed.protocol"),
    ("sleep", &["--wall", "100ms"], 124, "stopped.wall-time"),
    ("spin", &["--wall", "100ms"], 124, "stopped.wall-time"),
    ("spin", &["--cpu", "100ms"], 152, "stopped.cpu-time"),
    ("flood_stdout", &["--output", "1MiB", "--stdout", "null"], 153, "stopped.output"),
    ("flood_stderr", &["--output", "1MiB", "--stderr", "null"], 153, "stopped.output"),
    ("read_stdin", &["--stdin", "/dev/zero", "--stdin-bytes", "1MiB"], 153, "stopped.stdin"),
    ("channel_flood", &["--result", "64KiB"], 153, "stopped.result"),
];

/// A variable that takes more memory than its guest has.
const LONG: &str = {
    #[expect(clippy::large_const_arrays, reason = "it is there once")]
    const BYTES: [u8; 70_000] = {
        let mut bytes = [b'x'; 70_000];
        bytes[1] = b'=';
        bytes
    };
    match std::str::from_utf8(&BYTES) {
        Ok(text) => text,
        Err(_) => "",
    }
};

const NATIVE: &[Case] = &[
    ("panic", &[], 101, "failed.exit"),
    ("undecodable_instruction", &[], 132, "crashed.illegal-instruction"),
    ("kill_self", &[], 137, "crashed.killed"),
    ("raise_segv", &[], 139, "crashed.killed"),
    ("signal_term", &[], 143, "crashed.killed"),
    (
        "cpu_hog_children",
        &["--cpu", "100ms", "--processes", "3", "--profile", "process"],
        152,
        "stopped.cpu-time",
    ),
    (
        "file_flood",
        &["--file-bytes", "1MiB", "--dir", "/tmp:rw", "--profile", "files"],
        153,
        "stopped.files",
    ),
    ("fork_bomb", &["--profile", "process"], 75, "stopped.processes"),
    ("fork_bomb", &[], 159, "denied.syscall"),
    ("seccomp_self", &[], 159, "denied.syscall"),
    ("no-such-program", &[], 127, "unstarted.not-found"),
    (".", &[], 126, "unstarted.not-executable"),
    (
        "hello",
        &["--memory", "64KiB", "--stack", "64KiB", "--env", LONG],
        125,
        "unstarted.limit-too-small",
    ),
    ("hello", &["--fuel", "1000000"], 125, "unstarted.rejected"),
];

const WASM: &[Case] = &[
    ("panic", &[], 134, "crashed.abort"),
    ("unreachable", &[], 134, "crashed.abort"),
    ("out_of_bounds_load", &[], 139, "crashed.memory-fault"),
    ("mistyped_call_indirect", &[], 139, "crashed.bad-call"),
    ("atomic_wait_unshared", &[], 70, "crashed.unknown"),
    ("spin", &["--fuel", "1000000"], 152, "stopped.fuel"),
    ("no-such-module", &["--in", "wasm"], 127, "unstarted.not-found"),
    ("not_a_module", &[], 126, "unstarted.invalid-module"),
    ("empty", &[], 126, "unstarted.invalid-module"),
    ("truncated", &[], 126, "unstarted.invalid-module"),
    ("no_start", &[], 126, "unstarted.invalid-module"),
    ("missing_import", &[], 126, "unstarted.missing-import"),
    ("memory_above_cap", &[], 125, "unstarted.limit-too-small"),
];

/// Runs one case, and says what was wrong.
fn complaint(wall: Wall, case: &Case) -> Option<String> {
    let (name, flags, code, label) = *case;
    let ran = run(flags, &guest(wall, name));
    let found = (ran.code, ran.label());
    (found != (Some(code), label)).then(|| {
        format!(
            "{name} {flags:?} behind the {} wall: expected {code} {label}, got {found:?}\n{}",
            wall.name(),
            ran.stderr
        )
    })
}

#[track_caller]
fn check_all(wall: Wall, own: &[Case]) {
    let wrong: Vec<String> =
        BOTH.iter().chain(own).filter_map(|case| complaint(wall, case)).collect();
    assert!(wrong.is_empty(), "{} wrong exit codes:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_exit_code_of_the_native_wall_is_that_of_the_contract() {
    check_all(Wall::Native, NATIVE);
}

#[test]
fn every_exit_code_of_the_wasm_wall_is_that_of_the_contract() {
    check_all(Wall::Wasm, WASM);
}

#[test]
fn a_guest_that_is_called_off_ends_with_130_by_whatever_signal() {
    for wall in WALLS {
        for (signal, label) in [
            (Signal::SIGINT, "stopped.cancelled"),
            (Signal::SIGTERM, "stopped.shutdown"),
            (Signal::SIGHUP, "stopped.shutdown"),
        ] {
            let mut running =
                Running::start(run_command(&["--stdin", "-"], &guest(wall, "echo"), &[]));
            running.expect_echo();
            running.signal(signal);
            let ran = running.finish();
            assert_eq!((ran.code, ran.label()), (Some(130), label), "{wall:?} {signal}: {ran:?}");
        }
    }
}

#[test]
fn a_wrong_use_of_sandtrap_itself_ends_with_2() {
    for wall in WALLS {
        let ran = run(&["--memory", "64"], &guest(wall, "hello"));
        assert_eq!((ran.code, ran.text()), (Some(2), ""), "{}", ran.stderr);
    }
}

#[test]
fn every_label_that_a_guest_can_bring_about_is_in_the_tables() {
    let elsewhere = [
        ("stopped.cancelled", "needs a signal: see above"),
        ("stopped.shutdown", "needs a signal: see above"),
        ("denied.capability", "no permission makes a refused host function fatal"),
        ("unstarted.guard", "depends on what this host can guard"),
        ("unstarted.resources", "needs a host without room"),
    ];
    let seen: BTreeSet<&str> =
        [BOTH, NATIVE, WASM].concat().iter().map(|(.., label)| *label).collect();
    let absent: Vec<&str> = Label::ALL
        .iter()
        .map(|label| label.as_str())
        .filter(|label| !seen.contains(label))
        .filter(|label| !elsewhere.iter().any(|(known, _)| known == label))
        .collect();
    assert_eq!(absent, Vec::<&str>::new());
}
