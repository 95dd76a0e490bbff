//! The launch of one process: its keeper is asked for it, with as much around it as this host allows.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Instant;

use crate::evidence::Refusal;
use crate::limits::Limits;
use crate::native::bell::Bell;
use crate::native::family::{Crowd, Family};
use crate::native::gate::{self, Gate};
use crate::native::image::Prepared;
use crate::native::keeper::{Job, Launched, NotLaunched, Role};
use crate::native::plan::Plan;
use crate::native::standing::Standing;
use crate::native::view::View;
use crate::native::{refusals, wire};

use super::{Leash, NotStarted};

/// So many keepers may be gone when they are needed, one after another.
const MOST_KEEPERS: u32 = 3;

/// One launch.
pub(in crate::native) struct Launch<'a> {
    pub(in crate::native) role: Role,
    pub(in crate::native) image: &'a Prepared,
    pub(in crate::native) limits: &'a Limits,
    /// When it is given up.
    pub(in crate::native) deadline: Option<Instant>,
    pub(in crate::native) is_waited_for: bool,
    pub(in crate::native) leash: &'a Leash,
    pub(in crate::native) family: &'a Arc<Family>,
    /// What it is not to begin before.
    pub(in crate::native) gate: Option<&'a Arc<Gate>>,
}

impl Launch<'_> {
    /// Has the keeper start it, with as much around it as this host allows.
    pub(super) fn run(&self, plan: &mut Plan) -> Result<(Launched, Arc<Standing>), NotStarted> {
        let Self { role, image, limits, deadline, leash, .. } = *self;
        let mut keepers_gone = 0;
        loop {
            let standing = image.standing()?;
            if self.gate.is_some() && standing.flags & wire::UNTRACED_IS_FINE != 0 {
                return Err(gate::not_here().into());
            }
            plan.view = View::of(image, &standing, limits)?;
            let job = self.job(&standing, plan)?;
            let own = if role == Role::Zygote { wire::KEEPS_ADMIN } else { 0 };
            match standing.keeper.launch(plan, standing.flags | own, job, deadline) {
                Ok(launched) => return Ok((launched, standing)),
                Err(NotLaunched::Stopped) => return Err(NotStarted::Stopped),
                Err(NotLaunched::KeeperGone(error)) => {
                    keepers_gone += 1;
                    if keepers_gone == MOST_KEEPERS {
                        return Err(refusals::keeper_gone(&error).into());
                    }
                }
                Err(NotLaunched::Step(step, errno)) => {
                    if leash.stop.reason().is_some() {
                        return Err(NotStarted::Stopped);
                    }
                    match image.do_without(step, errno, &standing) {
                        Ok(true) => {}
                        Ok(false) => {
                            let refusal = refusals::not_launched(&image.path, step, errno, limits);
                            return Err(refusal.into());
                        }
                        Err(guard) => return Err(refusals::not_allowed(guard, errno).into()),
                    }
                }
            }
        }
    }

    /// What its watcher is told.
    pub(in crate::native) fn job(&self, standing: &Standing, plan: &Plan) -> Result<Job, Refusal> {
        Ok(Job {
            role: self.role,
            own_pids: standing.own_pids,
            is_waited_for: self.is_waited_for && standing.may_hold,
            terms: standing.terms,
            backtrace: self.image.backtrace,
            caps_address_space: plan.caps_address_space,
            crowd: Crowd::allowed(self.limits),
            stop: self.leash.stop.clone(),
            family: Arc::clone(self.family),
            group: plan.group.clone(),
            gate: self.gate.cloned(),
            // A bell of its own: the end of a launch that failed rings, too.
            done: Arc::new(Bell::new()?),
            tell_end: sync_channel(1).0,
        })
    }
}
