//! What a process may ask the kernel for: the flag, what is said of a call that was refused, and real programs.

use std::path::Path;

use sandtrap::Wall;
use serde_json::Value;

use crate::kit::{Ran, finish, guest, host_has, run, run_command, sandtrap};

fn forbidden(flags: &[&str], case: &str) -> Ran {
    finish(run_command(flags, &guest(Wall::Native, "forbidden"), &[case]))
}

/// The line of the diagnosis that says what was seen.
#[track_caller]
fn evidence(ran: &Ran) -> &str {
    let line = ran.stderr.lines().find_map(|line| line.strip_prefix("  evidence "));
    line.unwrap_or_else(|| panic!("no evidence in {}", ran.stderr))
}

#[test]
fn a_denied_call_is_told_by_its_name_with_what_would_allow_it() {
    for (case, call, remedy) in [
        (
            "fork",
            "clone(0x11, 0x0, 0x0, ...)",
            "; the profile `process` allows it (--profile process)",
        ),
        (
            "write-then-execute",
            "mmap(0x0, 0x1000, 0x7, ...)",
            "; the profile `jit` allows it (--profile jit)",
        ),
        (
            "socket-internet",
            "socket(0x2, 0x1, 0x0, ...)",
            "; a network would allow it (--net host)",
        ),
        ("bpf", "bpf(0x0, 0x0, 0x0, ...)", ""),
    ] {
        let ran = forbidden(&[], case);
        assert_eq!((ran.code, ran.label()), (Some(159), "denied.syscall"), "{case}");
        let expected =
            format!("SIGSYS sent by the kernel, {call} was refused{remedy}   (seen by tracing)");
        assert_eq!(evidence(&ran), expected, "{case}");
        let name = call.split('(').next().unwrap_or_default();
        assert!(ran.stderr.contains(&format!(" ({name})  [denied.syscall]")), "{}", ran.stderr);
    }
}

#[test]
fn a_second_exec_is_denied_and_what_it_would_have_run_never_ran() {
    let ran = forbidden(&["--json"], "second-exec");
    let report = ran.report();
    assert_eq!(report["verdict"]["label"], "denied.syscall", "{report:#}");
    assert_eq!(report["evidence"]["syscall_name"], "execve");
    assert_eq!(report["evidence"]["stopped_by_us"], "denied");
    assert_eq!(report["evidence"]["allowed_by"], "profile process");
    assert_eq!(report["evidence"]["syscall_arguments"], Value::Null);
    let ran = forbidden(&["--profile", "process"], "second-exec");
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
}

#[test]
#[cfg(target_arch = "x86_64")]
fn a_call_of_another_kind_of_program_is_told_as_one() {
    for (case, number, abi) in [("x32", 0x4000_0027, "x32"), ("int-0x80", 20, "i386")] {
        let report = forbidden(&["--json"], case).report();
        assert_eq!(report["evidence"]["syscall"], number, "{report:#}");
        assert_eq!(report["evidence"]["syscall_abi"], abi);
        assert_eq!(report["evidence"]["syscall_name"], Value::Null);
    }
}

#[test]
fn a_module_has_no_profile() {
    for profile in ["pure", "files", "process", "jit"] {
        let ran = run(&["--profile", profile], &guest(Wall::Wasm, "hello"));
        assert_eq!((ran.code, ran.label()), (Some(125), "unstarted.rejected"), "{}", ran.stderr);
        assert!(ran.stderr.contains(&format!("the profile `{profile}` means nothing")));
    }
    let ran = run(&["--profile", "compute"], &guest(Wall::Wasm, "hello"));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
}

#[test]
fn an_unknown_profile_is_refused_with_those_there_are() {
    let ran = run(&["--profile", "everything"], Path::new("/bin/true"));
    ran.assert_refused(2);
    assert!(ran.stderr.contains("pure, compute, files, process, jit"), "{}", ran.stderr);
}

#[test]
fn the_profile_is_part_of_the_policy() {
    let shown = |line: &str| finish(sandtrap(line.split(' '))).text().to_owned();
    assert!(shown("run --show-policy").contains("  profile      compute: "));
    assert!(shown("run --show-policy --profile jit").contains("  profile      jit: "));
}

#[test]
fn the_filter_is_a_guard_that_stands() {
    assert!(host_has("seccomp"));
}

#[test]
fn ordinary_programs_run_under_the_profile_one_would_expect() {
    let ls = run(&[], Path::new("/bin/ls"));
    assert_eq!(ls.code, Some(0), "{}", ls.stderr);
    let cat = finish(run_command(&[], Path::new("/bin/cat"), &["/dev/null"]));
    assert_eq!((cat.code, cat.text()), (Some(0), ""), "{}", cat.stderr);
    let shell =
        |flags: &[&str], line| finish(run_command(flags, Path::new("/bin/sh"), &["-c", line]));
    let alone = shell(&[], "echo alone");
    assert_eq!((alone.code, alone.text()), (Some(0), "alone\n"), "{}", alone.stderr);
    let pipe = shell(&["--profile", "process", "--processes", "4"], "echo piped | /bin/cat");
    assert_eq!((pipe.code, pipe.text()), (Some(0), "piped\n"), "{}", pipe.stderr);
    let refused = shell(&[], "/bin/cat /dev/null; echo done");
    assert_eq!((refused.code, refused.label()), (Some(159), "denied.syscall"));
    assert!(evidence(&refused).contains("--profile process"), "{}", refused.stderr);
}
