//! The diagnosis word for word, with what differs from run to run masked: numbers of processes, addresses,
//! what was used, and frames, which belong to compilers and libraries.

use std::path::Path;

use sandtrap::Wall;

use crate::kit::{guest, host_has, run};

/// Masks what differs, the path of the guest too.
fn masked(text: &str, program: &Path) -> String {
    let text = text.replace(&program.display().to_string(), "GUEST");
    text.lines().map(|line| mask_line(line) + "\n").collect()
}

fn mask_line(line: &str) -> String {
    if line.starts_with("  where    ") {
        return "  where    FRAMES".to_owned();
    }
    match line.strip_prefix("  usage    ") {
        Some(used) => format!("  usage    {}", mask_usage(used)),
        None => {
            let line = mask_after(line, "0x", char::is_ascii_hexdigit);
            mask_after(&line, "pid ", char::is_ascii_digit)
        }
    }
}

/// `wall W, cpu C, peak memory M of LIMIT`: only the limit is known before.
fn mask_usage(used: &str) -> String {
    let parts: Vec<String> = used.split(", ").map(mask_part).collect();
    parts.join(", ")
}

fn mask_part(part: &str) -> String {
    for name in ["wall", "cpu", "peak memory", "fuel"] {
        if part.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')) {
            let limit =
                part.split_once(" of ").map_or(String::new(), |(_, limit)| format!(" of {limit}"));
            return format!("{name} N{limit}");
        }
    }
    part.to_owned()
}

/// Puts an N for the characters of one kind that follow a lead.
fn mask_after(line: &str, lead: &str, kind: fn(&char) -> bool) -> String {
    let mut pieces = line.split(lead);
    let mut masked = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let rest = piece.trim_start_matches(|c| kind(&c));
        masked += lead;
        masked += if rest.len() < piece.len() { "N" } else { "" };
        masked += rest;
    }
    masked
}

#[track_caller]
fn check(wall: Wall, name: &str, flags: &[&str], expected: &str) {
    let program = guest(wall, name);
    let ran = run(&[&["--stderr", "null"], flags].concat(), &program);
    assert_eq!(ran.text(), "");
    assert_eq!(masked(&ran.stderr, &program), expected, "{}", ran.stderr);
}

#[test]
fn a_stack_overflow_of_a_process_is_told_with_what_was_seen() {
    check(
        Wall::Native,
        "stack_overflow",
        &["--memory", "64MiB"],
        "\
sandtrap: crashed: stack overflow  [crashed.stack-overflow]
  guest    GUEST (native, pid N)
  evidence SIGSEGV at 0xN, stack pointer 0xN below the last stack page   (seen by tracing)
  usage    wall N, cpu N, peak memory N of 64 MiB
  help     sandtrap explain crashed.stack-overflow
",
    );
}

#[test]
fn a_process_says_where_it_was_if_it_is_asked() {
    check(
        Wall::Native,
        "wild_write",
        &["--backtrace"],
        "\
sandtrap: crashed: memory fault  [crashed.memory-fault]
  guest    GUEST (native, pid N)
  evidence SIGSEGV at 0xN (write), stack pointer 0xN in sound memory   (seen by tracing)
  where    FRAMES
  usage    wall N, cpu N, peak memory N of 256 MiB
  help     sandtrap explain crashed.memory-fault
",
    );
}

#[test]
fn a_lack_of_memory_of_a_process_is_told_with_its_cap() {
    if !host_has("memory-group") {
        // Who counts kills is part of the text, and nobody does here.
        return;
    }
    check(
        Wall::Native,
        "heap_slow_growth",
        &["--memory", "64MiB"],
        "\
sandtrap: crashed: out of memory  [crashed.out-of-memory]
  guest    GUEST (native, pid N)
  evidence SIGKILL sent by the kernel, 1 kill at the cap of its memory group, memory was refused, the cap is 64 MiB   (seen by tracing)
  usage    wall N, cpu N, peak memory N of 64 MiB
  help     sandtrap explain crashed.out-of-memory
",
    );
}

#[test]
fn the_end_of_a_process_at_its_wall_time_is_told_with_the_limit() {
    check(
        Wall::Native,
        "sleep",
        &["--wall", "100ms"],
        "\
sandtrap: stopped: wall time is up  [stopped.wall-time]
  guest    GUEST (native, pid N)
  evidence SIGKILL sent by sandtrap, at the wall limit of 100 ms   (seen by tracing)
  usage    wall N, cpu N, peak memory N of 256 MiB
  help     sandtrap explain stopped.wall-time
",
    );
}

#[test]
fn an_exit_code_of_a_process_is_told() {
    check(
        Wall::Native,
        "exit_139",
        &[],
        "\
sandtrap: failed: exited with code 139  [failed.exit]
  guest    GUEST (native, pid N)
  evidence exit code 139   (seen by tracing)
  usage    wall N, cpu N, peak memory N of 256 MiB
  help     sandtrap explain failed.exit
",
    );
}

#[test]
fn a_process_that_never_started_is_told_without_what_it_used() {
    check(
        Wall::Native,
        "no-such-program",
        &[],
        "\
sandtrap: unstarted: not found: cannot find `GUEST`: No such file or directory (os error 2)  [unstarted.not-found]
  guest    GUEST (native)
  evidence errno 2 while finding the program
  help     sandtrap explain unstarted.not-found
",
    );
}

#[test]
fn a_stack_overflow_of_a_module_is_told_with_what_was_seen() {
    check(
        Wall::Wasm,
        "stack_overflow",
        &["--memory", "64MiB"],
        "\
sandtrap: crashed: stack overflow  [crashed.stack-overflow]
  guest    GUEST (wasm)
  evidence trap `stack-overflow`   (seen by the engine)
  where    FRAMES
  usage    wall N, cpu N, peak memory N of 64 MiB
  help     sandtrap explain crashed.stack-overflow
",
    );
}

#[test]
fn a_lack_of_memory_of_a_module_is_told_with_its_cap() {
    check(
        Wall::Wasm,
        "heap_slow_growth",
        &["--memory", "64MiB"],
        "\
sandtrap: crashed: out of memory  [crashed.out-of-memory]
  guest    GUEST (wasm)
  evidence trap `memory-refused`, memory of 64.0 MiB was refused, the cap is 64 MiB   (seen by the engine)
  where    FRAMES
  usage    wall N, cpu N, peak memory N of 64 MiB
  help     sandtrap explain crashed.out-of-memory
",
    );
}

#[test]
fn the_end_of_a_module_at_its_wall_time_is_told_with_the_limit() {
    check(
        Wall::Wasm,
        "sleep",
        &["--wall", "100ms"],
        "\
sandtrap: stopped: wall time is up  [stopped.wall-time]
  guest    GUEST (wasm)
  evidence interrupted by sandtrap, at the wall limit of 100 ms   (seen by the engine)
  where    FRAMES
  usage    wall N, cpu N, peak memory N of 256 MiB
  help     sandtrap explain stopped.wall-time
",
    );
}

#[test]
fn an_exit_code_of_a_module_is_told() {
    check(
        Wall::Wasm,
        "exit_139",
        &[],
        "\
sandtrap: failed: exited with code 139  [failed.exit]
  guest    GUEST (wasm)
  evidence exit code 139   (seen by the engine)
  usage    wall N, cpu N, peak memory N of 256 MiB
  help     sandtrap explain failed.exit
",
    );
}

#[test]
fn a_module_that_never_started_is_told_without_what_it_used() {
    check(
        Wall::Wasm,
        "missing_import",
        &[],
        "\
sandtrap: unstarted: missing import: `GUEST` imports what nobody offers: `env.launch_rockets`; there is WASI preview 1, and `sandtrap.send` and `.receive`  [unstarted.missing-import]
  guest    GUEST (wasm)
  help     sandtrap explain unstarted.missing-import
",
    );
}

#[test]
fn an_error_is_told_with_its_cause_behind_both_walls() {
    for (wall, guest, seen) in [
        (Wall::Native, "GUEST (native, pid N)", "by tracing"),
        (Wall::Wasm, "GUEST (wasm)", "by the engine"),
    ] {
        let expected = format!(
            "\
sandtrap: failed: the task failed: line 3 is no number  [failed.error]
  guest    {guest}
  cause    invalid digit found in string
  evidence exit code 1   (seen {seen})
  usage    wall N, cpu N, peak memory N of 256 MiB
  help     sandtrap explain failed.error
"
        );
        check(wall, "sdk_error", &[], &expected);
    }
}

#[test]
fn a_backtrace_names_the_function_of_the_guest() {
    let ran = run(&[], &guest(Wall::Wasm, "stack_overflow"));
    let frames = ran.stderr.lines().find_map(|line| line.strip_prefix("  where    "));
    let frames = frames.expect("a line of frames");
    assert!(frames.contains("descend") && frames.contains("stack_overflow.rs:"), "{frames}");
}

#[test]
fn numbers_that_differ_are_masked_and_nothing_else() {
    for (line, expected) in [
        ("  guest    G (native, pid 4711)", "  guest    G (native, pid N)"),
        (
            "  evidence SIGSEGV at 0x7ffc, in 0xfe memory",
            "  evidence SIGSEGV at 0xN, in 0xN memory",
        ),
        ("  evidence exit code 139", "  evidence exit code 139"),
        (
            "  usage    wall 1 ms, cpu 2.50 s, peak memory 9.1 MiB of 64 MiB, fuel 3 of 7",
            "  usage    wall N, cpu N, peak memory N of 64 MiB, fuel N of 7",
        ),
    ] {
        assert_eq!(mask_line(line), expected);
    }
}
