//! Tasks that are forks of a warm guest: from the zygote, warmed up if there is none, to the fork that waits for its call.

use std::fs::File;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::channel::{Desk, Outbox, Streams, Witness};
use crate::evidence::{Ending, Refusal, Step, StopReason};
use crate::isolation::{Attempt, Deaf};
use crate::limits::Limits;
use crate::task::{Capture, Entry, Stdin, TaskId};

use super::gathering::{self, Before};
use super::host_oom::HostKills;
use super::keeper::{Launched, NotLaunched, Role};
use super::plan::Plan;
use super::process::{Launch, Leash, NotStarted, Order, Process};
use super::pump::{Finish, Pump, Talk, Until};
use super::standing::Standing;
use super::zygote::Zygote;
use super::{refusals, sys};

/// So many zygotes may be gone when they are needed, one after another.
const MOST_ZYGOTES: u32 = 3;

impl Launch<'_> {
    /// Has the program's zygote make a task out of itself.
    pub(super) fn fork(
        &self,
        plan: &Plan,
        channel: &UnixStream,
    ) -> Result<(Launched, Arc<Standing>), NotStarted> {
        let Self { image, limits, deadline, leash, .. } = *self;
        let stop = &leash.stop;
        let mut zygotes_gone = 0;
        loop {
            let zygote = image.nursery.zygote(stop, deadline, || self.warm_up())?;
            let standing = zygote.standing();
            if let Some(limit) = exceeds(limits, &image.limits, plan) {
                return Err(refusals::beyond_zygote(limit).into());
            }
            if zygote.is_capped() && !plan.caps_address_space {
                return Err(refusals::zygote_is_capped().into());
            }
            let job = self.job(standing, plan)?;
            match zygote.fork(plan, job, channel, deadline) {
                Ok(launched) => {
                    confine(&launched, &zygote, plan)?;
                    return Ok((launched, Arc::clone(standing)));
                }
                Err(NotLaunched::Stopped) => return Err(NotStarted::Stopped),
                Err(_) if stop.reason().is_some() => return Err(NotStarted::Stopped),
                Err(NotLaunched::Step(step, errno)) => {
                    return Err(refusals::not_launched(&image.path, step, errno, limits).into());
                }
                Err(NotLaunched::KeeperGone(error)) => {
                    zygotes_gone += 1;
                    if zygotes_gone == MOST_ZYGOTES {
                        return Err(refusals::keeper_gone(&error).into());
                    }
                }
            }
        }
    }

    /// Starts the program as a guest that is to be forked, and serves it until it is warm. What ends it before is told as it
    /// would be of a task.
    fn warm_up(&self) -> Result<Zygote, NotStarted> {
        let Self { image, limits, deadline, leash, .. } = *self;
        let began = Instant::now();
        let left = deadline.map_or(limits.wall, |at| at.saturating_duration_since(began));
        // Time and words are those of the task that waits for it, all else is its program's.
        let (cpu, output) = (limits.cpu, limits.output);
        let limits = Limits { wall: left, cpu, output, ..image.limits.clone() };
        let own = Leash::new()?;
        let _tied = leash.stop.tie(&own.stop);
        let (stop, woken) = (own.stop.clone(), Arc::clone(&own.bell));
        let nothing = File::open("/dev/null").map_err(|error| refusals::at_plan(&error))?;
        let order = Order {
            role: Role::Zygote,
            arguments: &image.arguments_of_calls,
            stdin: nothing.into(),
            limits: &limits,
            deadline,
            stays: true,
            is_early: false,
            input: None,
        };
        let host_kills = HostKills::so_far();
        let process = Process::start(image, order, own).inspect_err(|_| {
            // Its deadline is the task's.
            stop.reason().map(|reason| leash.stop.stop(reason));
        })?;
        let (task, stdout) = (TaskId::named("warm-up"), Capture::Keep);
        let entry = Entry::Command { args: Vec::new(), stdin: Stdin::Null };
        let attempt =
            Attempt { task: &task, entry: &entry, limits: &limits, stdout, began, silence: None };
        let desk = Desk::open(&image.granted, &attempt, &stop, None, move || woken.ring());
        let (streams, witness) = (Streams::new(&attempt), Witness::of_warm_up(&attempt));
        let mut deaf = Deaf;
        let talk = Talk::new(streams, witness, Outbox::default(), desk, &mut deaf, Vec::new());
        let served = Pump::new(&attempt, &process, Until::Warm, Duration::ZERO).run(talk);
        if served.finish == Finish::Answered {
            return match served.witness.has_warmed_up() {
                Some(true) => Ok(Zygote::new(process)?),
                Some(false) | None => Err(refusals::not_forkable().into()),
            };
        }
        let was_greeted = served.witness.was_greeted();
        let mut evidence =
            gathering::all(&attempt, &process, served, Before::default(), host_kills);
        let ended_well = matches!(evidence.ending, Ending::Exited(0));
        let is_foreign = matches!(evidence.ending, Ending::Exited(_)) && !was_greeted;
        if evidence.stopped_by_us.is_none() && (ended_well || is_foreign) {
            return Err(refusals::no_zygote(&evidence.output.stderr_tail).into());
        }
        evidence.was_warming_up = true;
        if evidence.stopped_by_us == Some(StopReason::WallTime) {
            leash.stop.stop(StopReason::WallTime);
        }
        Err(NotStarted::NotWarm(Box::new(evidence)))
    }
}

/// The first limit that a task is to have above that of its zygote, and that stays with a process: nobody may raise it.
fn exceeds(limits: &Limits, zygotes: &Limits, plan: &Plan) -> Option<&'static str> {
    let beyond = [
        ("memory", plan.caps_address_space && limits.memory > zygotes.memory),
        ("stack", limits.stack > zygotes.stack),
        ("open-files", limits.open_files > zygotes.open_files),
        ("file-bytes", limits.file_bytes > zygotes.file_bytes),
    ];
    beyond.into_iter().find(|(_, is_beyond)| *is_beyond).map(|(name, _)| name)
}

/// Looks whether it is as confined as it says, and limits it. One that has ended is nobody's danger.
fn confine(launched: &Launched, zygote: &Zygote, plan: &Plan) -> Result<(), Refusal> {
    let is_over = || launched.is_over();
    let is_admitted = zygote.admits(launched.pid) && launched.family.is_alone(launched.pid);
    if !is_admitted && !is_over() {
        return Err(refusals::not_confined());
    }
    for limit in plan.rlimits() {
        let Err(error) = sys::set_limit(launched.pid, limit) else { continue };
        if is_over() {
            break;
        }
        let detail = format!("the guard `rlimits` cannot be put up: {error}");
        return Err(Refusal { step: Step::Guard("rlimits"), errno: error.raw_os_error(), detail });
    }
    Ok(())
}
