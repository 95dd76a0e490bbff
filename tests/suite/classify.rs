//! The judge over combinations of evidence. Each expectation is written down, none is computed.

use sandtrap::{
    Basis, Death, Denied, DeniedSyscall, Ending, ErrorReport, Evidence, Fault, Opcode, PanicReport,
    Refusal, RefusedMemory, Sender, Signal, Source, StackState, Step, StopReason, TrapCause,
    Verdict, classify,
};

const TERM: Signal = Signal::Other(15);

fn death(signal: Signal, sender: Sender) -> Death {
    Death { signal, code: None, sender, fault: None }
}

fn signalled(source: Source, death: Death) -> Evidence {
    Evidence::of(source, Ending::Signalled(death))
}

fn trapped(cause: TrapCause) -> Evidence {
    Evidence::of(Source::Trap, Ending::Trapped(cause))
}

fn exited(code: i32) -> Evidence {
    Evidence::of(Source::Ptrace, Ending::Exited(code))
}

fn refused(basis: Basis) -> RefusedMemory {
    RefusedMemory { wanted: Some(1 << 30), limit: 1 << 26, basis }
}

fn panic() -> PanicReport {
    PanicReport { message: "boom".into(), place: Some("a.rs:1:1".into()), fatal: true }
}

fn error() -> ErrorReport {
    ErrorReport { message: "no".into(), chain: vec!["why".into()] }
}

#[track_caller]
pub(super) fn assert_row(evidence: &Evidence, label: &str, certain: bool) {
    let verdict = classify(evidence);
    assert_eq!(
        (verdict.label().as_str(), verdict.is_certain()),
        (label, certain),
        "{evidence:#?}\n{verdict:?}"
    );
}

/// 36 rows: who ordered the kill x whether the kernel counted one x who saw it.
#[test]
fn a_kill_is_ours_only_if_the_reason_was_written_down() {
    let rows = [
        (None, "crashed.killed", "crashed.out-of-memory"),
        (Some(StopReason::WallTime), "stopped.wall-time", "stopped.wall-time"),
        (Some(StopReason::CpuTime), "stopped.cpu-time", "stopped.cpu-time"),
        (Some(StopReason::Output), "stopped.output", "stopped.output"),
        (Some(StopReason::Result), "stopped.result", "stopped.result"),
        (Some(StopReason::Processes), "stopped.processes", "stopped.processes"),
        (Some(StopReason::Protocol), "crashed.protocol", "crashed.protocol"),
        (Some(StopReason::Cancelled), "stopped.cancelled", "stopped.cancelled"),
        (Some(StopReason::Shutdown), "stopped.shutdown", "stopped.shutdown"),
        (Some(StopReason::Silence), "stopped.wall-time", "stopped.wall-time"),
    ];
    for (reason, without_oom, with_oom) in rows {
        for source in [Source::Ptrace, Source::Status] {
            for (oom_kills, label) in [(0, without_oom), (1, with_oom)] {
                let mut evidence = signalled(source, death(Signal::Kill, Sender::Unseen));
                evidence.stopped_by_us = reason;
                evidence.oom_kills = oom_kills;
                assert_row(&evidence, label, true);
            }
        }
    }
}

/// 44 rows: signal x sender, without a fault that was seen.
#[test]
fn a_signal_is_judged_by_its_sender() {
    let (killed, fault, denied) = ("crashed.killed", "crashed.memory-fault", "denied.syscall");
    let (kernel, itself) = (Sender::Kernel, Sender::Itself);
    let senders = [kernel, itself, Sender::Process(7), Sender::Unseen];
    let rows = [
        (Signal::Segv, [fault, killed, killed, fault]),
        (Signal::Bus, [fault, killed, killed, fault]),
        (Signal::Fpe, ["crashed.arithmetic", killed, killed, "crashed.arithmetic"]),
        (
            Signal::Ill,
            ["crashed.illegal-instruction", killed, killed, "crashed.illegal-instruction"],
        ),
        (Signal::Trap, ["crashed.abort", killed, killed, "crashed.abort"]),
        (Signal::Abrt, ["crashed.abort", "crashed.abort", killed, "crashed.abort"]),
        (TERM, [killed, killed, killed, killed]),
        (Signal::Kill, [killed, killed, killed, killed]),
        (Signal::Xcpu, ["stopped.cpu-time", killed, killed, killed]),
        (Signal::Xfsz, ["stopped.files", killed, killed, killed]),
        (Signal::Sys, [denied, killed, killed, killed]),
    ];
    for (signal, labels) in rows {
        for (sender, label) in senders.into_iter().zip(labels) {
            let verdict = classify(&signalled(Source::Ptrace, death(signal, sender)));
            assert_eq!(verdict.label().as_str(), label, "{signal} from {sender:?}");
        }
    }
}

/// 9 rows: what only the wait status says is never claimed.
#[test]
fn a_number_alone_is_not_certain() {
    for (signal, label, certain) in [
        (Signal::Segv, "crashed.memory-fault", false),
        (Signal::Bus, "crashed.memory-fault", false),
        (Signal::Fpe, "crashed.arithmetic", false),
        (Signal::Ill, "crashed.illegal-instruction", false),
        (Signal::Trap, "crashed.abort", false),
        (Signal::Abrt, "crashed.abort", false),
        (Signal::Sys, "crashed.killed", true),
        (Signal::Xcpu, "crashed.killed", true),
        (TERM, "crashed.killed", true),
    ] {
        let evidence = signalled(Source::Status, death(signal, Sender::Unseen));
        assert_row(&evidence, label, certain);
    }
}

fn fault(signal: Signal, stack: StackState, opcode: Opcode, address: Option<u64>) -> Fault {
    Fault {
        signal,
        code: 1,
        address,
        access: None,
        instruction: 0x40_1000,
        stack_pointer: 0x7ffd_0000,
        stack,
        opcode,
    }
}

/// 30 rows: a fault that was seen x the signal it became x memory refused or not.
#[test]
fn the_first_hardware_fault_decides() {
    use Opcode::{CompilerTrap, Other, Unseen};
    use StackState::{Overrun, Sound};
    let wild = Some(0x4141_0000);
    let rows = [
        (
            fault(Signal::Segv, Sound, Unseen, wild),
            "crashed.memory-fault",
            true,
            "crashed.memory-fault",
        ),
        (
            fault(Signal::Segv, Sound, Unseen, None),
            "crashed.memory-fault",
            true,
            "crashed.memory-fault",
        ),
        (
            fault(Signal::Segv, Sound, Unseen, Some(0)),
            "crashed.memory-fault",
            true,
            "crashed.out-of-memory",
        ),
        (
            fault(Signal::Segv, Overrun, Unseen, wild),
            "crashed.stack-overflow",
            true,
            "crashed.stack-overflow",
        ),
        (
            fault(Signal::Segv, StackState::Unseen, Unseen, wild),
            "crashed.memory-fault",
            false,
            "crashed.memory-fault",
        ),
        (
            fault(Signal::Segv, Sound, Unseen, Some(0x40_1000)),
            "crashed.bad-call",
            true,
            "crashed.bad-call",
        ),
        (
            fault(Signal::Bus, Sound, Unseen, wild),
            "crashed.memory-fault",
            true,
            "crashed.memory-fault",
        ),
        (fault(Signal::Fpe, Sound, Unseen, wild), "crashed.arithmetic", true, "crashed.arithmetic"),
        (
            fault(Signal::Ill, Sound, CompilerTrap, wild),
            "crashed.abort",
            true,
            "crashed.out-of-memory",
        ),
        (
            fault(Signal::Ill, Sound, Other, wild),
            "crashed.illegal-instruction",
            true,
            "crashed.illegal-instruction",
        ),
    ];
    for (fault, label, certain, with_refusal) in rows {
        // Rust turns a stack overflow into an abort, for one.
        for signal in [fault.signal, Signal::Abrt] {
            let sender = if signal == Signal::Abrt { Sender::Itself } else { Sender::Kernel };
            let fault = Some(fault.clone());
            let mut evidence = signalled(Source::Ptrace, Death { fault, ..death(signal, sender) });
            assert_row(&evidence, label, certain);
            if signal == Signal::Abrt {
                evidence.refused_memory = Some(refused(Basis::Inferred));
                assert_eq!(classify(&evidence).label().as_str(), with_refusal, "{evidence:#?}");
            }
        }
    }
}

/// 4 rows: the kernel counted a kill, and somebody was seen sending one.
#[test]
fn a_kill_that_was_seen_is_not_the_kernels() {
    for (sender, label) in [
        (Sender::Itself, "crashed.killed"),
        (Sender::Process(7), "crashed.killed"),
        (Sender::Kernel, "crashed.out-of-memory"),
        (Sender::Unseen, "crashed.out-of-memory"),
    ] {
        let mut evidence = signalled(Source::Ptrace, death(Signal::Kill, sender));
        evidence.oom_kills = 1;
        assert_row(&evidence, label, true);
    }
}

#[test]
fn a_fault_does_not_outlive_our_own_kill_or_anothers_signal() {
    let stuck = Some(fault(Signal::Segv, StackState::Sound, Opcode::Unseen, Some(16)));
    let mut evidence = signalled(
        Source::Ptrace,
        Death { fault: stuck.clone(), ..death(Signal::Kill, Sender::Unseen) },
    );
    evidence.stopped_by_us = Some(StopReason::WallTime);
    assert_row(&evidence, "stopped.wall-time", true);
    let ended = Death { fault: stuck, ..death(TERM, Sender::Process(1)) };
    assert_row(&signalled(Source::Ptrace, ended), "crashed.killed", true);
}

/// 27 rows: exit code x what the guest said x what we did meanwhile.
#[test]
fn an_exit_is_the_guests_own_word() {
    for (code, plain, with_panic, with_error) in [
        (0, "completed", "completed", "failed.error"),
        (1, "failed.exit", "failed.exit", "failed.error"),
        (101, "failed.exit", "failed.panic", "failed.error"),
        (137, "failed.exit", "failed.exit", "failed.error"),
        (139, "failed.exit", "failed.exit", "failed.error"),
    ] {
        assert_row(&exited(code), plain, true);
        let mut panicked = exited(code);
        panicked.testimony.panic = Some(panic());
        assert_row(&panicked, with_panic, true);
        let mut failed = exited(code);
        failed.testimony.error = Some(error());
        assert_row(&failed, with_error, true);
        let mut broken = exited(code);
        broken.testimony.broken = Some("a second greeting".into());
        assert_row(&broken, "crashed.protocol", true);
    }
    for (reason, label) in [
        (StopReason::WallTime, "completed"),
        (StopReason::Cancelled, "completed"),
        (StopReason::Shutdown, "completed"),
        (StopReason::CpuTime, "completed"),
        (StopReason::Output, "stopped.output"),
        (StopReason::Result, "stopped.result"),
        (StopReason::Processes, "stopped.processes"),
    ] {
        let mut evidence = exited(0);
        evidence.stopped_by_us = Some(reason);
        assert_row(&evidence, label, true);
    }
}

/// 12 rows: an abort x testimony x memory refused, behind both walls.
#[test]
fn an_abort_is_told_apart_by_testimony_and_by_what_was_refused() {
    let native = signalled(Source::Ptrace, death(Signal::Abrt, Sender::Itself));
    let wasm = trapped(TrapCause::Unreachable);
    for base in [native, wasm] {
        assert_row(&base, "crashed.abort", true);
        let mut evidence = base.clone();
        evidence.testimony.panic = Some(panic());
        assert_row(&evidence, "failed.panic", true);
        evidence.refused_memory = Some(refused(Basis::Seen));
        assert_row(&evidence, "failed.panic", true);
        evidence.testimony.panic = None;
        assert_row(&evidence, "crashed.out-of-memory", false);
        evidence.testimony.out_of_memory = Some(1 << 20);
        assert_row(&evidence, "crashed.out-of-memory", false);
        let mut survived = base.clone();
        survived.testimony.panic = Some(PanicReport { fatal: false, ..panic() });
        assert_row(&survived, "crashed.abort", true);
        let mut torn = base.clone();
        torn.testimony.broken = Some("a frame cut off in its middle".into());
        assert_row(&torn, "crashed.abort", true);
    }
}

/// 48 rows: every trap, with and without memory refused before.
#[test]
fn every_trap_has_its_verdict() {
    use TrapCause as T;
    let (fault, arithmetic, bad_call) =
        ("crashed.memory-fault", "crashed.arithmetic", "crashed.bad-call");
    let (memory, overflow, unknown) =
        ("crashed.out-of-memory", "crashed.stack-overflow", "crashed.unknown");
    for (cause, label, certain) in [
        (T::StackOverflow, overflow, true),
        (T::MemoryOutOfBounds(StackState::Overrun), overflow, true),
        (T::MemoryOutOfBounds(StackState::Sound), fault, true),
        (T::MemoryOutOfBounds(StackState::Unseen), fault, false),
        (T::Misaligned, fault, true),
        (T::TableOutOfBounds, fault, true),
        (T::ArrayOutOfBounds, fault, true),
        (T::NullReference, fault, true),
        (T::CastFailure, unknown, true),
        (T::NullCall, bad_call, true),
        (T::BadSignature, bad_call, true),
        (T::IntegerOverflow, arithmetic, true),
        (T::DivisionByZero, arithmetic, true),
        (T::BadConversion, arithmetic, true),
        (T::Interrupted, unknown, true),
        (T::OutOfFuel, "stopped.fuel", true),
        (T::MemoryRefused, memory, true),
        (T::AllocationTooLarge, memory, false),
        (T::UncaughtException, "failed.panic", true),
        (T::DisabledOpcode, "crashed.illegal-instruction", true),
        (T::CapabilityRefused, "denied.capability", true),
        (T::Other("async-deadlock".into()), unknown, true),
    ] {
        assert_row(&trapped(cause.clone()), label, certain);
        let mut evidence = trapped(cause);
        evidence.refused_memory = Some(refused(Basis::Seen));
        assert_row(&evidence, label, certain);
    }
    let unreachable = trapped(TrapCause::Unreachable);
    assert_row(&unreachable, "crashed.abort", true);
}

/// 18 rows: an interrupt, and an ending that nobody saw, are ours only with a reason.
#[test]
fn an_interrupt_without_a_reason_is_unknown() {
    for (reason, label) in [
        (None, "crashed.unknown"),
        (Some(StopReason::WallTime), "stopped.wall-time"),
        (Some(StopReason::CpuTime), "stopped.cpu-time"),
        (Some(StopReason::Output), "stopped.output"),
        (Some(StopReason::Result), "stopped.result"),
        (Some(StopReason::Processes), "stopped.processes"),
        (Some(StopReason::Protocol), "crashed.protocol"),
        (Some(StopReason::Cancelled), "stopped.cancelled"),
        (Some(StopReason::Shutdown), "stopped.shutdown"),
    ] {
        for ending in [Ending::Trapped(TrapCause::Interrupted), Ending::Vanished] {
            let mut evidence = Evidence::of(Source::Trap, ending);
            evidence.stopped_by_us = reason;
            assert_row(&evidence, label, true);
        }
    }
}

/// 9 rows: every step that can fail before any guest code ran.
#[test]
fn what_never_started_says_at_which_step() {
    for (step, label) in [
        (Step::Find, "unstarted.not-found"),
        (Step::Execute, "unstarted.not-executable"),
        (Step::Parse, "unstarted.invalid-module"),
        (Step::Import, "unstarted.missing-import"),
        (Step::FitLimits, "unstarted.limit-too-small"),
        (Step::Guard("tracing"), "unstarted.guard"),
        (Step::Reserve, "unstarted.resources"),
        (Step::Accept, "unstarted.rejected"),
    ] {
        let refusal = Refusal { step, errno: Some(2), detail: "do this".into() };
        let mut evidence = Evidence::never_started(refusal);
        assert_row(&evidence, label, true);
        // A stop or a breach can't make it a task that ran.
        evidence.stopped_by_us = Some(StopReason::Output);
        assert_row(&evidence, label, true);
    }
}

#[test]
fn a_denied_call_is_named_by_the_last_refusal() {
    let mut evidence = signalled(Source::Ptrace, death(Signal::Sys, Sender::Kernel));
    let denied = |number| Denied::Syscall(DeniedSyscall::numbered(number));
    evidence.denied = [1, 110].map(denied).to_vec();
    let last = sandtrap::Denial::Syscall { number: Some(110), name: None };
    assert_eq!(classify(&evidence), Verdict::Denied(last));
    evidence = trapped(TrapCause::CapabilityRefused);
    evidence.denied = vec![Denied::Capability("net.connect".into())];
    assert_eq!(classify(&evidence).to_string(), "forbidden capability `net.connect`");
}
