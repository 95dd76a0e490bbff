//! Diagnoses word for word, each from evidence as the walls gather it.

use std::time::Duration;

use sandtrap::{
    Access, AccessKind, Basis, Death, Denied, DeniedSyscall, Ending, ErrorReport, Evidence, Fault,
    Frame, Limits, Network, Opcode, PanicReport, Policy, Program, Refusal, RefusedMemory, Report,
    Sender, Signal, Source, StackState, Step, StopReason, Task, TaskSummary, Trace, TrapCause,
    Usage, Value, Wall, classify,
};

use super::diagnosis;

fn report_of(program: &str, wall: Wall, task: &Task, evidence: Evidence) -> Report {
    let limits = Limits { wall: Duration::from_secs(5), fuel: Some(1_000), ..Limits::default() };
    let summary = TaskSummary::new(&Program::file(program), wall, task);
    let verdict = classify(&evidence);
    Report::new(summary, limits, verdict, evidence)
}

fn native(evidence: Evidence) -> String {
    let task = Task::command(["input.txt"]);
    diagnosis(&report_of("./parser", Wall::Native, &task, Evidence { pid: Some(4711), ..evidence }))
}

fn wasm(evidence: Evidence) -> String {
    diagnosis(&report_of("parser.wasm", Wall::Wasm, &Task::command([""; 0]), evidence))
}

fn used(evidence: Evidence) -> Evidence {
    let usage = Usage {
        wall: Duration::from_millis(41),
        cpu: Duration::from_millis(39),
        peak_memory: 9_542_042,
        ..Usage::default()
    };
    Evidence { usage, ..evidence }
}

fn frames(names: &[(&str, usize)]) -> Trace {
    let frame = |name: &str| Frame { function: name.to_owned(), place: None, times: 1 };
    names.iter().flat_map(|(name, count)| vec![frame(name); *count]).collect::<Vec<_>>().into()
}

fn death(signal: i32, sender: Sender, fault: Option<Fault>) -> Ending {
    Ending::Signalled(Death { signal: Signal::from_number(signal), code: None, sender, fault })
}

fn fault(signal: i32, address: Option<u64>, stack: StackState) -> Fault {
    Fault {
        signal: Signal::from_number(signal),
        code: 1,
        address,
        access: None,
        instruction: 0x40_1000,
        stack_pointer: 0x7ffc_3a1f_ffe0,
        stack,
        opcode: Opcode::Other,
    }
}

/// The one line of a diagnosis that begins with this name, without the name.
fn row<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let lead = format!("  {name:<8} ");
    text.lines().find_map(|line| line.strip_prefix(lead.as_str()))
}

fn evidence_row(text: &str) -> &str {
    row(text, "evidence").unwrap_or_default()
}

#[test]
fn a_stack_overflow_reads_as_in_the_contract() {
    let fault = fault(11, Some(0x7ffc_3a1f_ffe8), StackState::Overrun);
    let mut evidence = used(Evidence::of(Source::Ptrace, death(11, Sender::Kernel, Some(fault))));
    evidence.trace = frames(&[("parse_expr+0x1f", 1), ("parse_expr+0x9c", 8192)]);
    assert_eq!(
        native(evidence),
        "\
sandtrap: crashed: stack overflow  [crashed.stack-overflow]
  guest    ./parser (native, pid 4711)
  evidence SIGSEGV at 0x7ffc3a1fffe8, stack pointer 0x7ffc3a1fffe0 below the last stack page   (seen by tracing)
  where    parse_expr+0x1f  <- parse_expr+0x9c (x 8192)
  usage    wall 41 ms, cpu 39 ms, peak memory 9.1 MiB of 256 MiB
  help     sandtrap explain crashed.stack-overflow
"
    );
}

#[test]
fn wall_time_names_its_limit() {
    let mut evidence = used(Evidence::of(Source::Trap, Ending::Trapped(TrapCause::Interrupted)));
    evidence.stopped_by_us = Some(StopReason::WallTime);
    evidence.usage.fuel = Some(12);
    assert_eq!(
        wasm(evidence),
        "\
sandtrap: stopped: wall time is up  [stopped.wall-time]
  guest    parser.wasm (wasm)
  evidence interrupted by sandtrap, at the wall limit of 5 s   (seen by the engine)
  usage    wall 41 ms, cpu 39 ms, peak memory 9.1 MiB of 256 MiB, fuel 12 of 1000
  help     sandtrap explain stopped.wall-time
"
    );
}

#[test]
fn refused_memory_is_shown_with_its_cap() {
    let mut evidence = Evidence::of(Source::Trap, Ending::Trapped(TrapCause::MemoryRefused));
    evidence.refused_memory =
        Some(RefusedMemory { wanted: Some(300 << 20), limit: 256 << 20, basis: Basis::Seen });
    let text = wasm(evidence);
    assert!(text.starts_with("sandtrap: crashed: out of memory  [crashed.out-of-memory]\n"));
    assert_eq!(
        evidence_row(&text),
        "trap `memory-refused`, memory of 300 MiB was refused, the cap is 256 MiB   \
         (seen by the engine)"
    );
}

#[test]
fn what_is_only_concluded_is_probable() {
    let text = native(Evidence::of(Source::Status, death(11, Sender::Unseen, None)));
    assert!(text.starts_with("sandtrap: crashed: probably memory fault  [crashed.memory-fault]\n"));
    assert_eq!(evidence_row(&text), "SIGSEGV, sender unseen   (concluded from the wait status)");
}

#[test]
fn what_never_started_has_its_detail_and_no_usage() {
    let refusal = Refusal {
        step: Step::Guard("seccomp"),
        errno: Some(1),
        detail: "the kernel refuses filters; try --guards best-effort".to_owned(),
    };
    let mut evidence = Evidence::never_started(refusal);
    evidence.pid = None;
    let text = diagnosis(&report_of("./x", Wall::Native, &Task::command([""; 0]), evidence));
    assert_eq!(
        text,
        "\
sandtrap: unstarted: missing guard: the kernel refuses filters; try --guards best-effort  [unstarted.guard]
  guest    ./x (native)
  evidence errno 1 while putting up the guard `seccomp`
  help     sandtrap explain unstarted.guard
"
    );
}

#[test]
fn a_call_names_its_function() {
    let evidence = Evidence::of(Source::Trap, Ending::Trapped(TrapCause::DivisionByZero));
    let task = Task::call("div", vec![Value::I32(1), Value::I32(0)]);
    let text = diagnosis(&report_of("math.wasm", Wall::Wasm, &task, evidence));
    assert_eq!(row(&text, "guest"), Some("math.wasm (wasm, function div)"));
    assert_eq!(evidence_row(&text), "trap `division-by-zero`   (seen by the engine)");
}

#[test]
fn a_panic_shows_its_place_and_the_rest_of_its_message() {
    let mut evidence = Evidence::of(Source::Ptrace, Ending::Exited(101));
    let message = "assertion `left == right` failed\n  left: 1\n right: 2".to_owned();
    evidence.testimony.panic =
        Some(PanicReport { message, place: Some("src/main.rs:3:5".to_owned()), fatal: true });
    evidence.trace = frames(&[("rust_panic", 1)]);
    let text = native(evidence);
    assert!(text.starts_with(
        "sandtrap: failed: panicked: assertion `left == right` failed  [failed.panic]\n"
    ));
    assert!(text.contains("\n  message    left: 1\n            right: 2\n"), "{text}");
    assert_eq!(row(&text, "where"), Some("src/main.rs:3:5"));
}

#[test]
fn an_error_shows_its_causes_below_each_other() {
    let mut evidence = Evidence::of(Source::Ptrace, Ending::Exited(1));
    let chain = vec!["cannot read it".to_owned(), "no such file".to_owned()];
    evidence.testimony.error = Some(ErrorReport { message: "cannot start".to_owned(), chain });
    let text = native(evidence);
    assert!(text.contains("\n  cause    cannot read it\n           no such file\n"), "{text}");
}

#[test]
fn a_guest_cannot_forge_lines_or_move_the_cursor() {
    let mut evidence = Evidence::of(Source::Ptrace, Ending::Exited(101));
    let message = "\u{1b}[2Jgone\r\u{202e}\nsandtrap: completed".to_owned();
    evidence.testimony.panic =
        Some(PanicReport { message, place: Some("a\nb".to_owned()), fatal: true });
    let text = native(evidence);
    assert!(text.lines().skip(1).all(|line| line.starts_with("  ")), "{text}");
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text}");
    assert!(!text.contains('\u{202e}'), "{text}");
}

#[test]
fn long_messages_and_traces_are_cut() {
    let mut evidence = Evidence::of(Source::Ptrace, Ending::Exited(1));
    let chain = vec!["cause".to_owned(); 1_000];
    evidence.testimony.error = Some(ErrorReport { message: "x".repeat(10_000), chain });
    let names: Vec<String> = (0..100).map(|number| format!("f{number}")).collect();
    let pairs: Vec<(&str, usize)> = names.iter().map(|name| (name.as_str(), 2)).collect();
    evidence.trace = frames(&pairs);
    let text = native(evidence);
    assert!(text.len() < 2_000, "{text}");
    assert!(text.contains(" [cut]  [failed.error]"), "{text}");
    assert!(row(&text, "where").is_some_and(|line| line.ends_with("f5 (x 2)  <- 188 more")));
}

#[test]
fn each_ending_has_its_evidence() {
    let sound = |signal, address| Some(fault(signal, address, StackState::Sound));
    let trap = |cause| Ending::Trapped(cause);
    for (ending, expected) in [
        (Ending::Exited(3), "exit code 3"),
        (Ending::Vanished, "gone, and nobody saw how"),
        (death(15, Sender::Process(7), None), "SIGTERM sent by process 7"),
        (death(11, Sender::Itself, None), "SIGSEGV sent by the guest itself"),
        (
            death(11, Sender::Kernel, sound(11, Some(0))),
            "SIGSEGV at 0x0, stack pointer 0x7ffc3a1fffe0 in sound memory",
        ),
        (
            death(11, Sender::Kernel, sound(11, Some(0x40_1000))),
            "SIGSEGV at 0x401000, the instruction pointer itself",
        ),
        (
            death(6, Sender::Itself, sound(7, None)),
            "SIGBUS at instruction 0x401000, stack pointer 0x7ffc3a1fffe0 in sound memory, \
             which ended as SIGABRT",
        ),
        (trap(TrapCause::OutOfFuel), "trap `out-of-fuel`, at the fuel limit of 1000"),
        (
            trap(TrapCause::MemoryOutOfBounds(StackState::Overrun)),
            "trap `memory-out-of-bounds`, below the module's own stack",
        ),
        (
            death(25, Sender::Kernel, None),
            "SIGXFSZ sent by the kernel, at the file-bytes limit of 64 MiB",
        ),
    ] {
        let text = native(Evidence::of(Source::Ptrace, ending));
        assert_eq!(evidence_row(&text), format!("{expected}   (seen by tracing)"));
    }
}

#[test]
fn a_fault_says_what_was_wanted_and_what_had_become_of_the_stack() {
    let lost = fault(11, Some(0x4141), StackState::Lost);
    let written = Fault { access: Some(AccessKind::Write), ..lost.clone() };
    let forbidden = Fault { opcode: Opcode::Privileged, ..lost.clone() };
    let pointer = "stack pointer 0x7ffc3a1fffe0 in no stack at all";
    for (fault, expected) in [
        (lost, format!("SIGSEGV at 0x4141, {pointer}")),
        (written, format!("SIGSEGV at 0x4141 (write), {pointer}")),
        (forbidden, "SIGSEGV at a privileged instruction, 0x401000".to_owned()),
    ] {
        let text = native(Evidence::of(Source::Ptrace, death(11, Sender::Kernel, Some(fault))));
        assert_eq!(evidence_row(&text), format!("{expected}   (seen by tracing)"));
    }
}

#[test]
fn kills_for_want_of_memory_say_whose_they_were() {
    let mut evidence = Evidence::of(Source::Ptrace, death(9, Sender::Itself, None));
    (evidence.oom_kills, evidence.oom_kills_of_others) = (1, Some(1));
    assert_eq!(
        evidence_row(&native(evidence)),
        "SIGKILL sent by the guest itself, 1 kill at the cap of its memory group, 1 of them another process \
         of the task   (seen by tracing)"
    );
    let mut evidence = Evidence::of(Source::Ptrace, death(9, Sender::Unseen, None));
    evidence.host_oom = Some(Basis::Seen);
    let text = native(evidence);
    assert!(text.starts_with("sandtrap: crashed: out of memory  "), "{text}");
    assert!(evidence_row(&text).contains("the host was out of memory"), "{text}");
}

#[test]
fn a_frame_that_stands_for_many_is_counted_as_many() {
    let mut evidence = Evidence::of(Source::Ptrace, death(6, Sender::Itself, None));
    let frame = |times| Frame { function: "descend".to_owned(), place: None, times };
    evidence.trace = vec![frame(8191), frame(1)].into();
    assert_eq!(row(&native(evidence), "where"), Some("descend (x 8192)"));
}

#[test]
fn each_of_our_stops_says_why() {
    for (reason, expected) in [
        (StopReason::CpuTime, "at the cpu limit of 30 s"),
        (StopReason::Output, "at the output limit of 16 MiB"),
        (StopReason::Result, "at the result limit of 64 MiB"),
        (StopReason::Processes, "at the processes limit of 1"),
        (StopReason::Threads, "at the threads limit of 256"),
        (StopReason::Files, "at the file-bytes limit of 64 MiB"),
        (StopReason::Stdin, "at the stdin-bytes limit"),
        (StopReason::Protocol, "ended for a breach of the channel's rules"),
        (StopReason::Cancelled, "as somebody asked (Ctrl-C)"),
        (StopReason::Shutdown, "as sandtrap was told to end"),
        (StopReason::Silence, "as it gave no sign of life for too long"),
    ] {
        let mut evidence = Evidence::of(Source::Status, death(9, Sender::Unseen, None));
        evidence.stopped_by_us = Some(reason);
        let text = native(evidence);
        assert_eq!(
            evidence_row(&text),
            format!("SIGKILL sent by sandtrap, {expected}   (concluded from the wait status)")
        );
    }
}

#[test]
fn refusals_and_kernel_kills_are_counted() {
    let mut evidence = Evidence::of(Source::Notify, death(31, Sender::Kernel, None));
    evidence.denied =
        vec![Denied::Capability("net".to_owned()), Denied::Syscall(DeniedSyscall::numbered(101))];
    assert_eq!(
        evidence_row(&native(evidence)),
        "SIGSYS sent by the kernel, syscall 101 was refused, and 1 other before it   \
         (seen by the system-call listener)"
    );
    let mut evidence = Evidence::of(Source::Ptrace, death(9, Sender::Unseen, None));
    evidence.oom_kills = 2;
    assert_eq!(
        evidence_row(&native(evidence)),
        "SIGKILL sent by the kernel, 2 kills at the cap of its memory group   (seen by tracing)"
    );
}

#[test]
fn the_policy_names_every_limit_and_hides_values() {
    let mut policy = Policy::default();
    policy.permissions.grant_env("TOKEN", "secret");
    let text = super::policy(&policy, None, "none".to_owned(), Vec::new());
    assert!(text.contains("  directories  none\n  network      none\n"), "{text}");
    policy.permissions.grant_dir("a", "a", Access::ReadOnly);
    policy.permissions.grant_dir("b", "/b", Access::ReadWrite);
    policy.permissions.net = Network::Host;
    policy.permissions.deterministic = Some(7);
    let text = super::policy(&policy, Some(Wall::Native), "none".to_owned(), Vec::new());
    assert!(text.contains("  memory       256 MiB\n"), "{text}");
    assert!(text.contains("  environment  TOKEN\n") && !text.contains("secret"), "{text}");
    assert!(text.contains("  in           native\n"), "{text}");
    let dirs = "  directories  a (read-only), b as /b (read-write)\n  network      the host's\n";
    assert!(text.contains(dirs), "{text}");
    assert!(text.contains("  clocks       made up") && text.contains("seed 7\n"), "{text}");
    assert!(text.contains("  fuel         5000000000\n"), "{text}");
}
