//! What is expected of the guests that only a process can be.

use std::time::Duration;

use sandtrap::{ByteSize, Label, Limits, Profile};

use super::{Row, row};

/// So much memory that a bomb runs into another limit first.
fn roomy(limits: &mut Limits) {
    limits.memory = ByteSize::mib(1024);
}

pub(super) fn rows() -> Vec<Row> {
    use Label::{
        Completed, CrashedAbort, CrashedBadCall, CrashedIllegalInstruction, CrashedKilled,
        CrashedMemoryFault, CrashedOutOfMemory, CrashedStackOverflow, DeniedSyscall,
        StoppedCpuTime, StoppedFiles, StoppedProcesses, StoppedWallTime,
    };
    const ALONE: &str = "a module has no signals, no threads, no descriptors of the host and no \
                         processes, so there is nothing to build";
    [
        row("bare_fork").native(Completed),
        row("guarded_fork").native(Completed),
        row("bare_zygote").native(Completed),
        row("bus_error").native(CrashedMemoryFault).under(Profile::Jit),
        row("closes_streams").native(StoppedWallTime).hangs(),
        row("cpu_hog_children").native(StoppedCpuTime).under(Profile::Process).with(|limits| {
            limits.processes = 3;
            limits.cpu = Duration::from_millis(100);
        }),
        row("dies_in").native(Completed),
        row("exec_from_thread")
            .native(StoppedCpuTime)
            .under(Profile::Process)
            .with(|limits| limits.cpu = Duration::from_millis(100)),
        row("exec_jump").native(CrashedBadCall),
        row("file_flood").native(StoppedFiles).under(Profile::Files).with_scratch(),
        row("forbids_tracing").native(CrashedMemoryFault),
        row("forges_fault").native(CrashedKilled),
        row("fork_bomb").native(StoppedProcesses).under(Profile::Process),
        row("heeds_sigterm").native(Completed),
        row("ignores_sigterm").native(StoppedWallTime).hangs(),
        row("int3").native(CrashedAbort),
        row("kill_self").native(CrashedKilled),
        row("kills_after_child_oom")
            .native(CrashedKilled)
            .under(Profile::Process)
            .with(|limits| limits.processes = 3),
        row("leaks_descriptors").native(Completed),
        row("lists_descriptors").native(Completed),
        row("lowers_own_cpu_limit").native(CrashedKilled),
        row("main_thread_ends")
            .native(StoppedCpuTime)
            .with(|limits| limits.cpu = Duration::from_millis(100)),
        row("memory_beside_child")
            .native(CrashedOutOfMemory)
            .under(Profile::Process)
            .with(|limits| limits.processes = 3),
        row("mended_then_aborts").native(CrashedAbort),
        row("nested_handlers").native(CrashedMemoryFault),
        row("nothing").native(Completed),
        row("old_signal").native(CrashedMemoryFault),
        row("orphan").native(Completed).under(Profile::Process).with(|limits| limits.processes = 3),
        row("other_thread_aborts").native(CrashedMemoryFault),
        row("plays_cases").native(Completed),
        row("prints_environment").native(Completed),
        row("born_with").native(DeniedSyscall),
        row("prints_signals").native(Completed),
        row("raise_segv").native(CrashedKilled),
        row("raises_xfsz").native(CrashedKilled),
        row("recovers_then_aborts").native(CrashedAbort),
        row("seccomp_self").native(DeniedSyscall),
        row("segfault_in_thread").native(CrashedMemoryFault),
        row("signal_term").native(CrashedKilled),
        row("stack_overflow_in_thread").native(CrashedStackOverflow),
        row("stops_itself").native(StoppedWallTime).hangs(),
        row("swallows_segv").native(Completed),
        row("thread_bomb").native(StoppedProcesses).with(roomy),
        row("ud2").native(CrashedAbort),
        row("undecodable_instruction").native(CrashedIllegalInstruction),
        row("untraced_bomb").native(DeniedSyscall).under(Profile::Process),
        row("untraced_sibling").native(DeniedSyscall).under(Profile::Process),
        row("victim").native(Completed),
        row("write_rodata").native(CrashedMemoryFault),
    ]
    .map(|row| row.because(ALONE))
    .to_vec()
}
