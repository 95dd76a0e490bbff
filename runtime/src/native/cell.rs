//! One process, one task: plans it, starts it, serves it, and puts the evidence together.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::channel::{Desk, Outbox, Streams, Turn, Witness};
use crate::event::Event;
use crate::evidence::{
    Basis, Death, Denied, Ending, Evidence, GuardState, Refusal, RefusedMemory, Sender, Source,
    Step, StopReason, Usage,
};
use crate::isolation::{Attempt, Cell, Ear, LoadError, StopHandle, Vitals};
use crate::limits::{Limits, OnMemoryLimit};
use crate::signals::Signal;
use crate::start;
use crate::task::{Entry, Stdin};

use super::family::{Crowd, Family};
use super::group::{Counts, Group};
use super::host_oom::HostKills;
use super::image::Prepared;
use super::keeper::{Job, Launched, NotLaunched, Role};
use super::plan::{Ends, Plan, Start};
use super::pump::Pump;
use super::standing::Standing;
use super::view::View;
use super::watched::Watched;
use super::{refusals, stdin};

/// Address space below the cap by less than this was refused for lack of room.
const CLOSE_TO_CAP: u64 = 8 * 1024 * 1024;

/// So many keepers may be gone when they are needed, one after another.
const MOST_KEEPERS: u32 = 3;

/// A place for one process. A process is never used again.
pub(super) struct NativeCell {
    image: Arc<Prepared>,
    opened: Instant,
    used: bool,
}

impl NativeCell {
    pub(super) fn new(image: Arc<Prepared>) -> Self {
        Self { image, opened: Instant::now(), used: false }
    }

    fn attempt(
        &self,
        attempt: &Attempt<'_>,
        stop: &StopHandle,
        ear: &mut dyn Ear,
    ) -> Result<Evidence, Refusal> {
        let (args, stdin) = command(attempt)?;
        let outbox = Outbox::of(attempt, Turn::Only).map_err(LoadError::into_refusal)?;
        let stop_bell = bell()?;
        let _guard = {
            let bell = Arc::clone(&stop_bell);
            stop.on_stop(move || ring(&bell))
        };
        let left = attempt.limits.wall.saturating_sub(attempt.began.elapsed());
        let Some(stdin) = stdin::open(stdin, &stop_bell, left)? else {
            // A pipe that nobody has opened for writing; shells wait there, too.
            stop.stop(StopReason::WallTime);
            return Ok(Evidence::of(Source::Status, Ending::Vanished));
        };
        let (group, group_guards) = self.image.group(attempt.limits)?;
        let group = group.map(Arc::new);
        let census = group.as_deref().map(Group::census);
        let (mut plan, ends) = self.plan(attempt, args, stdin, group.clone())?;
        if stop.reason().is_some() {
            // Stopped before there was anything to kill.
            return Ok(Evidence::of(Source::Status, Ending::Vanished));
        }
        let family = Arc::new(Family::default());
        let host_kills = HostKills::so_far();
        let begun = match self.image.start {
            start::Start::Spawn => self.launch(&mut plan, attempt, stop, &family)?,
            start::Start::Fork => self.image.fork(&plan, &ends.channel, attempt, stop, &family)?,
        };
        let Some((launched, standing)) = begun else {
            return Ok(Evidence::of(Source::Status, Ending::Vanished));
        };
        // The cage stands as long as its task runs, also if the next one gets another.
        let mut guards = standing.guards.clone();
        // A filter forbids every birth that a tracer could not see.
        let is_filtered =
            guards.iter().any(|it| it.name == "seccomp" && it.state == GuardState::InForce);
        let sees_births = launched.traced && is_filtered;
        guards.splice(0..0, group_guards);
        let scratch = plan.view.take().and_then(View::scratch);
        // The guest's ends of its pipes are its own from here on.
        drop(plan);
        let pid = launched.pid.unsigned_abs();
        ear.hear(Event::Started { pid });
        let woken = Arc::clone(&stop_bell);
        let desk = Desk::open(&self.image.granted, attempt, stop, move || ring(&woken));
        let pump = Pump {
            attempt,
            stop,
            stop_bell,
            done_bell: Arc::clone(&launched.done),
            family,
            pid: launched.pid,
            ends,
            streams: Streams::new(attempt),
            witness: Witness::of(attempt, Turn::Only),
            outbox,
            desk,
            census,
            sees_births,
            traced: launched.traced,
            scratch,
            killed: false,
        };
        let (streams, mut witness, is_lost) = pump.run(ear);
        let watched = launched.wait(is_lost);
        // The kernel ends a namespace with its first process, and lets nobody hear of that before it has.
        let nobody_is_left = standing.own_pids && watched.is_some();
        let mut evidence = gather(attempt, &launched, watched, group.as_deref(), stop);
        if let Some(group) = group.and_then(Arc::into_inner).filter(|_| nobody_is_left) {
            self.image.shelf.put(group);
        }
        if is_unexplained(&evidence, stop) {
            evidence.host_oom = host_kills.took(pid.cast_signed());
        }
        evidence.testimony = witness.finish();
        evidence.output = streams.finish(&mut evidence.usage);
        evidence.guards = guards;
        evidence.pid = Some(pid);
        Ok(evidence)
    }

    /// Has the keeper start it, with as much around it as this host allows. `None` if it was stopped meanwhile.
    fn launch(
        &self,
        plan: &mut Plan,
        attempt: &Attempt<'_>,
        stop: &StopHandle,
        family: &Arc<Family>,
    ) -> Result<Option<(Launched, Arc<Standing>)>, Refusal> {
        let deadline = attempt.began.checked_add(attempt.limits.wall);
        let mut keepers_gone = 0;
        loop {
            let standing = self.image.standing()?;
            plan.view = View::of(&self.image, &standing, attempt.limits)?;
            let job = Job {
                role: Role::Task,
                own_pids: standing.own_pids,
                terms: standing.terms,
                backtrace: self.image.backtrace,
                crowd: Crowd::allowed(attempt.limits),
                stop: stop.clone(),
                family: Arc::clone(family),
                group: plan.group.clone(),
                // A bell of its own: the end of a launch that failed rings, too.
                done: bell()?,
                tell_end: sync_channel(1).0,
            };
            match standing.keeper.launch(plan, standing.flags, job, deadline) {
                Ok(launched) => return Ok(Some((launched, standing))),
                Err(NotLaunched::Stopped) => return Ok(None),
                Err(NotLaunched::KeeperGone(error)) => {
                    keepers_gone += 1;
                    if keepers_gone == MOST_KEEPERS {
                        return Err(refusals::keeper_gone(&error));
                    }
                }
                Err(NotLaunched::Step(step, errno)) => {
                    if stop.reason().is_some() {
                        return Ok(None);
                    }
                    if !self.image.do_without(step, errno) {
                        let path = &self.image.path;
                        return Err(refusals::not_launched(path, step, errno, attempt.limits));
                    }
                }
            }
        }
    }

    fn plan(
        &self,
        attempt: &Attempt<'_>,
        args: &[OsString],
        stdin: OwnedFd,
        group: Option<Arc<Group>>,
    ) -> Result<(Plan, Ends), Refusal> {
        let start = Start {
            program: self.image.place.as_deref().unwrap_or(&self.image.path),
            name: self.image.path.as_os_str(),
            arguments: args,
            permissions: &self.image.permissions,
        };
        Plan::new(start, stdin, attempt.limits, group).map_err(|error| refusals::at_plan(&error))
    }
}

impl Cell for NativeCell {
    fn run(&mut self, attempt: &Attempt<'_>, stop: &StopHandle, ear: &mut dyn Ear) -> Evidence {
        self.used = true;
        let mut evidence = self.attempt(attempt, stop, ear).unwrap_or_else(Evidence::never_started);
        evidence.stopped_by_us = stop.reason();
        evidence.usage.wall = attempt.began.elapsed();
        evidence
    }

    fn is_usable(&self) -> bool {
        !self.used
    }

    fn vitals(&self) -> Vitals {
        let tasks_run = u64::from(self.used);
        Vitals { resident_bytes: 0, tasks_run, age: self.opened.elapsed() }
    }
}

/// A process can only be entered at its beginning, and its instructions are not counted.
fn command<'a>(attempt: &Attempt<'a>) -> Result<(&'a [OsString], &'a Stdin), Refusal> {
    let rejected =
        |detail: &str| Err(Refusal { step: Step::Accept, errno: None, detail: detail.to_owned() });
    if attempt.limits.fuel.is_some() {
        return rejected(
            "fuel counts the instructions of a module; bound a process by its cpu limit instead",
        );
    }
    match attempt.entry {
        Entry::Command { args, stdin } => Ok((args, stdin)),
        Entry::Invoke { .. } => Ok((&[], &Stdin::Null)),
        Entry::Call { .. } => {
            rejected("a process has no exports that could be called; run it as a command instead")
        }
    }
}

fn bell() -> Result<Arc<EventFd>, Refusal> {
    let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
    EventFd::from_flags(flags).map(Arc::new).map_err(|errno| refusals::at_plan(&errno.into()))
}

fn ring(bell: &EventFd) {
    // It fails only when it has been rung 2^64 times.
    let _ = bell.write(1);
}

/// What the watching thread saw and what the group counted.
fn gather(
    attempt: &Attempt<'_>,
    launched: &Launched,
    watched: Option<Watched>,
    group: Option<&Group>,
    stop: &StopHandle,
) -> Evidence {
    let source = if launched.traced { Source::Ptrace } else { Source::Status };
    let Some(watched) = watched else {
        return Evidence::of(source, Ending::Vanished);
    };
    let counts = group.map(Group::counts);
    let oom_kills = counts.map_or(0, |counts| counts.oom_kills);
    let ending = if stop.reason().is_none() && died_in_exec(&watched, oom_kills) {
        Ending::NeverStarted(refusals::ended_in_exec(attempt.limits))
    } else {
        with_limit_checked(watched.ending.clone(), watched.cpu, attempt.limits)
    };
    let mut evidence = Evidence::of(source, ending);
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
fn is_unexplained(evidence: &Evidence, stop: &StopHandle) -> bool {
    stop.reason().is_none()
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
