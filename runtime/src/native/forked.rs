//! Tasks that are forks of a warm guest: from the zygote, warmed up if there is none, to the fork that waits for its call.

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::evidence::{Refusal, Step};
use crate::isolation::{Attempt, StopHandle};
use crate::task::Entry;

use super::family::{Crowd, Family};
use super::group::Group;
use super::image::Prepared;
use super::keeper::{Job, Launched, NotLaunched, Role};
use super::plan::{Plan, Start};
use super::standing::Standing;
use super::zygote::{Cradle, NotWarm, Zygote};
use super::{refusals, sys};

/// So many zygotes may be gone when they are needed, one after another.
const MOST_ZYGOTES: u32 = 3;

impl Prepared {
    /// Has the program's zygote make a task out of itself. `None` if it was stopped meanwhile.
    pub(super) fn fork(
        self: &Arc<Self>,
        plan: &Plan,
        channel: &UnixStream,
        attempt: &Attempt<'_>,
        stop: &StopHandle,
        family: &Arc<Family>,
    ) -> Result<Option<(Launched, Arc<Standing>)>, Refusal> {
        if !matches!(attempt.entry, Entry::Invoke { .. }) {
            return Err(refusals::no_function());
        }
        let deadline = attempt.began.checked_add(attempt.limits.wall);
        let mut zygotes_gone = 0;
        loop {
            let made = self.nursery.zygote(stop, deadline, || self.cradle());
            let zygote = match made {
                Ok(zygote) => zygote,
                Err(NotWarm::Stopped) => return Ok(None),
                Err(NotWarm::Refused(refusal)) => return Err(refusal),
            };
            let standing = zygote.standing();
            let job = self.job(standing, Role::Fork, plan.group.clone(), stop, family)?;
            let job = Job { crowd: Crowd::allowed(attempt.limits), ..job };
            match zygote.fork(plan, job, channel, deadline) {
                Ok(launched) => {
                    confine(&launched, &zygote, plan)?;
                    return Ok(Some((launched, Arc::clone(standing))));
                }
                Err(NotLaunched::Stopped) => return Ok(None),
                Err(NotLaunched::Step(step, errno)) => {
                    return Err(refusals::not_launched(&self.path, step, errno, attempt.limits));
                }
                Err(NotLaunched::KeeperGone(_)) if stop.reason().is_some() => return Ok(None),
                Err(NotLaunched::KeeperGone(error)) => {
                    zygotes_gone += 1;
                    if zygotes_gone == MOST_ZYGOTES {
                        return Err(refusals::keeper_gone(&error));
                    }
                }
            }
        }
    }

    /// What a new zygote is started with.
    fn cradle(&self) -> Result<Cradle, Refusal> {
        let standing = self.standing()?;
        let (group, _) = self.group(&self.limits)?;
        let start = Start {
            program: self.place.as_deref().unwrap_or(&self.path),
            name: self.path.as_os_str(),
            arguments: &[],
            permissions: &self.permissions,
        };
        let plan = Plan::of_zygote(start, &self.limits, group.map(Arc::new));
        let (plan, control, words) = plan.map_err(|error| refusals::at_plan(&error))?;
        let (stop, family) = (StopHandle::new(), Arc::new(Family::default()));
        let job = self.job(&standing, Role::Zygote, plan.group.clone(), &stop, &family)?;
        let (path, limits) = (self.path.clone(), self.limits.clone());
        Ok(Cradle { plan, job, control, words, standing, path, limits })
    }

    fn job(
        &self,
        standing: &Standing,
        role: Role,
        group: Option<Arc<Group>>,
        stop: &StopHandle,
        family: &Arc<Family>,
    ) -> Result<Job, Refusal> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let done = EventFd::from_flags(flags).map_err(|errno| refusals::at_plan(&errno.into()))?;
        Ok(Job {
            role,
            own_pids: standing.own_pids,
            terms: standing.terms,
            backtrace: self.backtrace,
            crowd: Crowd::allowed(&self.limits),
            stop: stop.clone(),
            family: Arc::clone(family),
            group,
            done: Arc::new(done),
            tell_end: sync_channel(1).0,
        })
    }
}

/// Looks whether it is as confined as it says, and limits it. One that has ended is nobody's danger.
fn confine(launched: &Launched, zygote: &Zygote, plan: &Plan) -> Result<(), Refusal> {
    let is_over = || launched.is_over();
    if !zygote.admits(launched.pid) && !is_over() {
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
