//! Puts the evidence of one task together, when its process has ended or has answered.

use std::time::Duration;

use crate::evidence::{
    Basis, Death, Denied, Ending, Evidence, RefusedMemory, Sender, Source, Usage,
};
use crate::isolation::Attempt;
use crate::limits::{Limits, OnMemoryLimit};
use crate::signals::Signal;

use super::group::{Counts, Group};
use super::host_oom::HostKills;
use super::lately::EXACT;
use super::process::Process;
use super::pump::{Finish, Served};
use super::watched::Watched;
use super::{arena, refusals, status};

/// Address space below the cap by less than this was refused for lack of room.
const CLOSE_TO_CAP: u64 = 8 * 1024 * 1024;

/// What a process had used before the task at hand.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Before {
    pub(super) cpu: Duration,
    pub(super) oom_kills: u64,
}

impl Before {
    /// Asked of a process that is there, at the beginning of a task; or of one whose call was begun so long ago.
    pub(super) fn of(process: &Process, ago: Option<Duration>) -> Self {
        let Some(ago) = ago else {
            // In front of its first instruction it sleeps.
            let cpu =
                if process.gate.is_some() { process.used_at_rest() } else { process.cpu_lately() };
            return Self { cpu, oom_kills: oom_kills(process) };
        };
        // It can't have used more than that for it, for it is alone, nor more than since it was at rest.
        Self { cpu: process.cpu().saturating_sub(ago).max(process.used_at_rest()), oom_kills: 0 }
    }
}

/// Kills in a group of which a process may survive some. Nothing survives those of a process that is alone.
fn oom_kills(process: &Process) -> u64 {
    let group = process.group.as_deref().filter(|_| process.may_have_children());
    group.map_or(0, Group::oom_kills)
}

/// Everything that is known of a process that was served.
pub(super) fn all(
    attempt: &Attempt<'_>,
    process: &Process,
    served: Served,
    before: Before,
    host_kills: HostKills,
) -> Evidence {
    let Served { streams, mut witness, finish, told, .. } = served;
    let mut evidence = match finish {
        Finish::Answered => answered(attempt, process, before),
        Finish::Ended { is_lost } => {
            ended(attempt, process, process.launched.wait(is_lost), before)
        }
    };
    evidence.stopped_by_us = process.leash.stop.reason();
    evidence.told_to_end = told;
    evidence.hurried = told.is_some() && process.leash.stop.is_urgent();
    if is_unexplained(&evidence) {
        evidence.host_oom = host_kills.took(process.launched.pid);
    }
    let placed = witness.placed();
    evidence.testimony = witness.finish();
    // Without an arena only nothing can be placed, and that is there already.
    if let Some((placed, arena)) = placed.zip(process.arena.as_ref()) {
        if !process.stays && placed.length >= arena::MAPPED_FROM {
            // It takes longer to copy it than to see its writer gone.
            process.end();
        }
        let goes_on = finish == Finish::Answered && process.stays;
        evidence.testimony.result = arena.take(placed, goes_on).ok();
    }
    if let Some(told) = &process.standing.told {
        evidence.panicked_at = told.steps(&evidence.testimony.stack).later();
    }
    evidence.output = streams.finish(&mut evidence.usage);
    evidence.guards.clone_from(&process.guards);
    evidence.pid = Some(process.launched.pid.unsigned_abs());
    evidence
}

/// The process has answered, and goes on.
fn answered(attempt: &Attempt<'_>, process: &Process, before: Before) -> Evidence {
    let mut evidence = Evidence::of(source(process), Ending::Exited(0));
    evidence.oom_kills = oom_kills(process).saturating_sub(before.oom_kills);
    let elapsed = attempt.began.elapsed();
    // Less than this can't be told from the clock on the wall.
    evidence.usage.cpu = match elapsed < EXACT {
        true => elapsed,
        false => process.cpu_lately().saturating_sub(before.cpu),
    };
    evidence.usage.peak_memory = match (&process.holdings, &process.group) {
        (Some(holdings), _) => holdings.peak(),
        // It began with its task.
        (None, Some(group)) => group.peak().unwrap_or(0),
        (None, None) => status::bytes(process.launched.pid, "VmHWM:"),
    };
    evidence
}

fn source(process: &Process) -> Source {
    if process.launched.traced { Source::Ptrace } else { Source::Status }
}

/// What the watching thread saw and what the group counted.
fn ended(
    attempt: &Attempt<'_>,
    process: &Process,
    watched: Option<Watched>,
    before: Before,
) -> Evidence {
    let source = source(process);
    let Some(mut watched) = watched else {
        return Evidence::of(source, Ending::Vanished);
    };
    watched.cpu = watched.cpu.saturating_sub(before.cpu);
    // It has outlived all that were before.
    let of_others = watched.oom_kills_of_others.as_mut();
    of_others.into_iter().for_each(|kills| *kills = kills.saturating_sub(before.oom_kills));
    let counts = process.group.as_deref().map(Group::counts).map(|counts| Counts {
        oom_kills: counts.oom_kills.saturating_sub(before.oom_kills),
        cpu: counts.cpu.saturating_sub(before.cpu),
        ..counts
    });
    let oom_kills = counts.map_or(0, |counts| counts.oom_kills);
    let is_stopped = process.leash.stop.reason().is_some();
    let ending = if !is_stopped && died_in_exec(&watched, oom_kills) {
        Ending::NeverStarted(refusals::ended_in_exec(attempt.limits))
    } else {
        with_limit_checked(watched.ending.clone(), watched.cpu, attempt.limits)
    };
    let mut evidence = Evidence::of(source, ending);
    evidence.unread = !watched.has_begun;
    evidence.oom_kills = oom_kills;
    evidence.oom_kills_of_others = watched.oom_kills_of_others;
    evidence.refused_memory = refused_memory(attempt, &watched, counts);
    evidence.denied = watched.denied.map(Denied::Syscall).into_iter().collect();
    evidence.trace = watched.steps.later();
    evidence.usage = Usage {
        cpu: counts.map_or(watched.cpu, |counts| counts.cpu.max(watched.cpu)),
        peak_memory: counts.map_or(watched.peak, |counts| counts.peak),
        ..Usage::default()
    };
    evidence
}

/// A SIGKILL that is neither ours nor anybody's who was seen.
fn is_unexplained(evidence: &Evidence) -> bool {
    evidence.stopped_by_us.is_none()
        && matches!(&evidence.ending, Ending::Signalled(death)
            if death.signal == Signal::Kill && death.sender == Sender::Unseen)
}

/// Whether the kernel gave up on loading the program after it had let go of the old one. A kill without
/// memory refused is somebody else's.
fn died_in_exec(watched: &Watched, oom_kills: u64) -> bool {
    !watched.executed
        && matches!(&watched.ending, Ending::Signalled(death)
            if death.signal == Signal::Segv || (death.signal == Signal::Kill && oom_kills > 0))
}

/// A guest may lower its own limit of processor time. That is no limit of ours.
fn with_limit_checked(ending: Ending, cpu: Duration, limits: &Limits) -> Ending {
    match ending {
        Ending::Signalled(death) if death.signal == Signal::Xcpu => {
            let sender = match death.sender {
                Sender::Kernel | Sender::Unseen if cpu >= limits.cpu => Sender::Kernel,
                Sender::Kernel => Sender::Itself,
                other => other,
            };
            Ending::Signalled(Death { sender, ..death })
        }
        other => other,
    }
}

fn refused_memory(
    attempt: &Attempt<'_>,
    watched: &Watched,
    counts: Option<Counts>,
) -> Option<RefusedMemory> {
    let limit = attempt.limits.memory.as_u64();
    // What was killed for another process of the task was not refused to this one.
    let of_others = watched.oom_kills_of_others.unwrap_or(0);
    let killed = counts.is_some_and(|counts| counts.oom_kills > of_others);
    let is_space_capped =
        counts.is_none() || attempt.limits.on_memory_limit == OnMemoryLimit::Refuse;
    // Nobody counts refusals of address space, but at death it was full.
    let was_full = is_space_capped && watched.address_space + CLOSE_TO_CAP >= limit;
    let basis = if killed { Basis::Seen } else { Basis::Inferred };
    (killed || was_full || watched.loading).then_some(RefusedMemory { wanted: None, limit, basis })
}
