//! The `evidence` line: what was seen, and who saw it.

use sandtrap::{
    Basis, ByteSize, Death, Denied, DeniedSyscall, Ending, Facts, Fault, Label, Limits, Opcode,
    Outside, Refusal, RefusedMemory, Remedy, Report, Sender, Source, StackState, Step, Stop,
    StopReason, TrapCause, Verdict, show_duration,
};

use super::plain;

/// By it a process that is run is told to end.
const SIGTERM: i32 = 15;

/// The facts in one line. What never started has some only if the system gave a reason.
pub(super) fn line(report: &Report) -> Option<String> {
    let facts = &report.facts;
    let mut parts = vec![match &facts.ending {
        Ending::NeverStarted(refusal) => return never_started(refusal),
        Ending::Exited(code) => format!("exit code {code}"),
        Ending::Signalled(death) => signalled(death, facts),
        Ending::Trapped(cause) => trapped(cause),
        Ending::Vanished => "gone, and nobody saw how".to_owned(),
    }];
    parts.extend(facts.outside.map(|Outside { address, memory }| {
        format!("at {address:#x} of {}", ByteSize::bytes(memory))
    }));
    parts.extend(why_stopped(report));
    if facts.oom_kills > 0 {
        parts.push(format!("{} at the cap of its memory group", times(facts.oom_kills, "kill")));
    }
    if let Some(others @ 1..) = facts.oom_kills_of_others {
        parts.push(format!("{others} of them another process of the task"));
    }
    parts.extend(facts.host_oom.map(|basis| match basis {
        Basis::Seen => "the host was out of memory".to_owned(),
        Basis::Inferred => "somebody on the host was killed for want of memory".to_owned(),
    }));
    parts.extend(facts.refused_memory.map(refused));
    parts.extend(denied(&facts.denied));
    // A breach of the channel says it in its first line.
    if facts.never_greeted && report.verdict.label() != Label::CrashedProtocol {
        parts.push("it never said hello, so it may be no guest with functions".to_owned());
    }
    if facts.was_warming_up {
        parts.push("while it warmed up to be forked".to_owned());
    }
    Some(format!("{}   ({})", parts.join(", "), seen_by(facts.source)))
}

fn seen_by(source: Source) -> &'static str {
    match source {
        Source::Trap => "seen by the engine",
        Source::Ptrace => "seen by tracing",
        Source::Notify => "seen by the system-call listener",
        Source::Status => "concluded from the wait status",
    }
}

fn never_started(refusal: &Refusal) -> Option<String> {
    let step = match &refusal.step {
        Step::Find => "finding the program".to_owned(),
        Step::Execute => "executing the program".to_owned(),
        Step::Parse => "reading the module".to_owned(),
        Step::Import => "linking the module".to_owned(),
        Step::FitLimits => "fitting it into its limits".to_owned(),
        Step::Guard(name) => format!("putting up the guard `{name}`"),
        Step::Reserve => "reserving what it needs".to_owned(),
        Step::Accept => "accepting the request".to_owned(),
        Step::Stopped => "waiting for its turn".to_owned(),
    };
    // What this number means is in the detail already, where the system said it.
    Some(format!("errno {} while {step}", refusal.errno?))
}

fn signalled(death: &Death, facts: &Facts) -> String {
    let signal = death.signal;
    if let Some(fault) = &death.fault {
        let text = faulted(fault);
        let same = fault.signal == death.signal;
        return if same { text } else { format!("{text}, which ended as {signal}") };
    }
    let sender = match death.sender {
        Sender::Process(_) if facts.told_to_end.is_some() && signal.number() == SIGTERM => {
            "sandtrap".to_owned()
        }
        Sender::Process(0) => "a process outside of its cage".to_owned(),
        Sender::Process(pid) => format!("process {pid}"),
        Sender::Itself => "the guest itself".to_owned(),
        // A kill of ours has a reason that was written down before.
        Sender::Kernel | Sender::Unseen if facts.stopped_by_us.is_some() => "sandtrap".to_owned(),
        Sender::Unseen if facts.oom_kills > 0 => "the kernel".to_owned(),
        Sender::Kernel => "the kernel".to_owned(),
        Sender::Unseen => return format!("{signal}, sender unseen"),
    };
    format!("{signal} sent by {sender}")
}

fn faulted(fault: &Fault) -> String {
    let signal = fault.signal;
    let at = match fault.address {
        Some(address) => format!("{signal} at {address:#x}"),
        None => format!("{signal} at instruction {:#x}", fault.instruction),
    };
    let pointer = fault.stack_pointer;
    let wanted = fault.access.map_or(String::new(), |access| format!(" ({})", access.name()));
    match (fault.opcode, fault.stack) {
        (Opcode::Privileged, _) => {
            format!("{signal} at a privileged instruction, {:#x}", fault.instruction)
        }
        (Opcode::CompilerTrap, _) => {
            format!("{signal} at a compiler's trap instruction, {:#x}", fault.instruction)
        }
        (Opcode::Other | Opcode::Unseen, StackState::Overrun) => {
            format!("{at}, stack pointer {pointer:#x} below the last stack page")
        }
        (Opcode::Other | Opcode::Unseen, _) if fault.address == Some(fault.instruction) => {
            format!("{at}, the instruction pointer itself")
        }
        (Opcode::Other | Opcode::Unseen, StackState::Sound) => {
            format!("{at}{wanted}, stack pointer {pointer:#x} in sound memory")
        }
        (Opcode::Other | Opcode::Unseen, StackState::Lost) => {
            format!("{at}{wanted}, stack pointer {pointer:#x} in no stack at all")
        }
        (Opcode::Other | Opcode::Unseen, StackState::Unseen) => {
            format!("{at}{wanted}, stack pointer {pointer:#x}, its memory unseen")
        }
    }
}

fn trapped(cause: &TrapCause) -> String {
    match cause {
        TrapCause::Interrupted => "interrupted by sandtrap".to_owned(),
        TrapCause::MemoryOutOfBounds(StackState::Overrun) => {
            format!("trap `{}`, below the module's own stack", cause.name())
        }
        _ => format!("trap `{}`", plain(cause.name())),
    }
}

/// The limit or the wish behind a stop. Some limits are watched by the kernel or the engine alone, so the
/// verdict is asked where nothing was written down.
fn why_stopped(report: &Report) -> Option<String> {
    let (facts, limits) = (&report.facts, &report.limits);
    match (&report.verdict, facts.stopped_by_us) {
        (Verdict::Stopped(_), Some(StopReason::Threads)) => {
            Some(format!("at the threads limit of {}", limits.threads))
        }
        (Verdict::Stopped(_), Some(StopReason::Scratch)) => {
            let (room, files) = (limits.scratch, limits.scratch_files);
            Some(format!("at the limits of its scratch, {room} and {files} files"))
        }
        (Verdict::Stopped(Stop::Cancelled | Stop::Shutdown), by) if facts.told_to_end.is_some() => {
            Some(told(facts, by, limits))
        }
        (Verdict::Stopped(_), Some(StopReason::Silence)) => {
            Some("as it gave no sign of life for too long".to_owned())
        }
        (Verdict::Stopped(stop), _) => Some(at_limit(*stop, limits)),
        (_, Some(StopReason::Protocol)) => {
            Some("ended for a breach of the channel's rules".to_owned())
        }
        // What was refused is told below.
        (Verdict::Denied(_), Some(StopReason::Denied)) => None,
        (_, Some(reason)) => Some(format!("being stopped already ({})", reason.name())),
        (_, None) => None,
    }
}

/// What a guest did that was told to end.
fn told(facts: &Facts, by: Option<StopReason>, limits: &Limits) -> String {
    let end = match by {
        Some(StopReason::WallTime) => {
            format!("ended at its wall limit of {}", show_duration(limits.wall))
        }
        Some(StopReason::CpuTime) => {
            format!("ended at its cpu limit of {}", show_duration(limits.cpu))
        }
        Some(StopReason::Silence) => "ended as it gave no sign of life for too long".to_owned(),
        Some(_) if facts.hurried => "was not given the rest of its grace".to_owned(),
        Some(_) => {
            let grace = show_duration(limits.grace);
            format!("was still there when its grace, {grace} at most, was over")
        }
        None => match &facts.error {
            Some(error) => format!("said `{}`", plain(&error.message)),
            None => "ended by itself".to_owned(),
        },
    };
    format!("told to end, and {end}")
}

fn at_limit(stop: Stop, limits: &Limits) -> String {
    match stop {
        Stop::WallTime => format!("at the wall limit of {}", show_duration(limits.wall)),
        Stop::CpuTime => format!("at the cpu limit of {}", show_duration(limits.cpu)),
        Stop::Fuel => match limits.fuel {
            Some(fuel) => format!("at the fuel limit of {fuel}"),
            None => "at the fuel limit".to_owned(),
        },
        Stop::Output => format!("at the output limit of {}", limits.output),
        Stop::Result => format!("at the result limit of {}", limits.result),
        Stop::Processes => format!("at the processes limit of {}", limits.processes),
        Stop::Files => format!("at the file-bytes limit of {}", limits.file_bytes),
        Stop::Stdin => match limits.stdin {
            Some(stdin) => format!("at the stdin-bytes limit of {stdin}"),
            None => "at the stdin-bytes limit".to_owned(),
        },
        Stop::Cancelled => "as somebody asked (Ctrl-C)".to_owned(),
        Stop::Shutdown => "as sandtrap was told to end".to_owned(),
    }
}

fn refused(memory: RefusedMemory) -> String {
    let basis = match memory.basis {
        Basis::Seen => "was refused",
        Basis::Inferred => "was probably refused",
    };
    let limit = ByteSize::bytes(memory.limit);
    match memory.wanted {
        Some(wanted) => {
            format!("memory of {} {basis}, the cap is {limit}", ByteSize::bytes(wanted))
        }
        None => format!("memory {basis}, the cap is {limit}"),
    }
}

/// The last refusal is the one that may have ended it.
fn denied(denied: &[Denied]) -> Option<String> {
    let last = denied.last()?;
    let name = match last {
        Denied::Syscall(call) => syscall(call),
        Denied::Capability(_) => plain(&last.to_string()),
    };
    let mut text = match denied.len() {
        1 => format!("{name} was refused"),
        count => format!("{name} was refused, and {} before it", times(count as u64 - 1, "other")),
    };
    text += &match last {
        Denied::Syscall(DeniedSyscall { remedy: Some(Remedy::Profile(profile)), .. }) => {
            format!("; the profile `{profile}` allows it (--profile {profile})")
        }
        Denied::Syscall(DeniedSyscall { remedy: Some(Remedy::Network), .. }) => {
            "; a network would allow it (--net host)".to_owned()
        }
        Denied::Syscall(DeniedSyscall { remedy: None, .. }) | Denied::Capability(_) => {
            String::new()
        }
    };
    Some(text)
}

/// As it would be written, with as many arguments as most calls have.
fn syscall(call: &DeniedSyscall) -> String {
    let Some(name) = call.name else { return call.to_string() };
    match call.arguments {
        Some([first, second, third, ..]) => {
            format!("{name}({first:#x}, {second:#x}, {third:#x}, ...)")
        }
        None => name.to_owned(),
    }
}

fn times(count: u64, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}
