//! The judge over what only a process can suffer: faults of every kind, and kills for want of memory.

use sandtrap::{
    AccessKind, Basis, CrashCause, Death, Ending, Evidence, Fault, Opcode, RefusedMemory, Sender,
    Signal, Source, StackState, Verdict, classify,
};

use super::classify::assert_row;

fn died(signal: Signal, sender: Sender, fault: Option<Fault>) -> Evidence {
    Evidence::of(Source::Ptrace, Ending::Signalled(Death { signal, code: None, sender, fault }))
}

fn fault(address: Option<u64>, access: Option<AccessKind>) -> Fault {
    Fault {
        signal: Signal::Segv,
        code: if address.is_some() { 1 } else { 128 },
        address,
        access,
        instruction: 0x40_1000,
        stack_pointer: 0x7ffd_0000,
        stack: StackState::Sound,
        opcode: Opcode::Other,
    }
}

/// 8 rows: what was wanted x whether the processor named an address.
#[test]
fn what_was_to_be_run_is_a_bad_call_and_the_rest_a_memory_fault() {
    use AccessKind::{Execute, Read, Write};
    for address in [None, Some(0x4141_0000)] {
        for (access, label) in [
            (None, "crashed.memory-fault"),
            (Some(Read), "crashed.memory-fault"),
            (Some(Write), "crashed.memory-fault"),
            (Some(Execute), "crashed.bad-call"),
        ] {
            let fault = Some(fault(address, access));
            assert_row(&died(Signal::Segv, Sender::Kernel, fault), label, true);
        }
    }
}

/// 4 rows: what the stack pointer pointed to.
#[test]
fn a_stack_pointer_that_was_damaged_is_no_deep_stack() {
    for (stack, label, certain) in [
        (StackState::Sound, "crashed.memory-fault", true),
        (StackState::Lost, "crashed.memory-fault", true),
        (StackState::Overrun, "crashed.stack-overflow", true),
        (StackState::Unseen, "crashed.memory-fault", false),
    ] {
        let fault = Fault { stack, ..fault(Some(0x4141_0000), Some(AccessKind::Write)) };
        assert_row(&died(Signal::Segv, Sender::Kernel, Some(fault)), label, certain);
    }
}

/// 8 rows: what kind of instruction it was x the signal that the kernel made of it.
#[test]
fn an_instruction_that_ends_a_program_on_purpose_is_an_abort_whatever_its_signal() {
    for (opcode, of_access, of_instruction) in [
        (Opcode::CompilerTrap, "crashed.abort", "crashed.abort"),
        (Opcode::Privileged, "crashed.illegal-instruction", "crashed.illegal-instruction"),
        (Opcode::Other, "crashed.memory-fault", "crashed.illegal-instruction"),
    ] {
        for (signal, label) in [(Signal::Segv, of_access), (Signal::Ill, of_instruction)] {
            let fault = Fault { signal, opcode, ..fault(None, None) };
            assert_row(&died(signal, Sender::Kernel, Some(fault)), label, true);
        }
    }
}

/// 8 rows: how many kills were counted x how many were others'.
#[test]
fn a_kill_that_another_process_of_the_task_took_is_not_this_ones() {
    for (counted, of_others, label, certain) in [
        (0, Some(0), "crashed.killed", true),
        (1, Some(0), "crashed.out-of-memory", true),
        (1, Some(1), "crashed.killed", true),
        (2, Some(1), "crashed.out-of-memory", true),
        // Nobody saw whose they were.
        (0, None, "crashed.killed", true),
        (1, None, "crashed.out-of-memory", false),
    ] {
        let mut evidence = died(Signal::Kill, Sender::Unseen, None);
        (evidence.oom_kills, evidence.oom_kills_of_others) = (counted, of_others);
        assert_row(&evidence, label, certain);
        // It lived through them.
        evidence.ending = Ending::Exited(3);
        assert_row(&evidence, "failed.exit", true);
    }
}

#[test]
fn a_host_without_memory_is_said_without_a_cap() {
    for (basis, certain) in [(Basis::Seen, true), (Basis::Inferred, false)] {
        let mut evidence = died(Signal::Kill, Sender::Unseen, None);
        evidence.host_oom = Some(basis);
        assert_row(&evidence, "crashed.out-of-memory", certain);
        let Verdict::Crashed(crash) = classify(&evidence) else { panic!("it crashed") };
        assert_eq!(crash.cause, CrashCause::OutOfMemory { limit: None });
        // One that was seen to kill itself was not killed by the kernel.
        evidence.ending = died(Signal::Kill, Sender::Itself, None).ending;
        assert_row(&evidence, "crashed.killed", true);
    }
}

#[test]
fn a_program_that_does_not_fit_when_it_is_executed_ran_out_of_memory() {
    let mut evidence = died(Signal::Segv, Sender::Kernel, None);
    assert_row(&evidence, "crashed.memory-fault", false);
    evidence.refused_memory =
        Some(RefusedMemory { wanted: None, limit: 1 << 26, basis: Basis::Inferred });
    assert_row(&evidence, "crashed.out-of-memory", false);
}
