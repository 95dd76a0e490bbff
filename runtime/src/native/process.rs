//! A guest's process from its launch to its end, with everything that holds it: its group, its pipes, its leash.
//!
//! Who drops it ends it, and waits until it is gone: nothing of it is left then.

mod calls;
mod end;
mod launch;

use std::cell::Cell;
use std::ffi::OsString;
use std::net::Shutdown;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::evidence::{Evidence, Guard, GuardState, Refusal};
use crate::isolation::StopHandle;
use crate::limits::Limits;

use super::arena::Arena;
use super::bell::Bell;
use super::census::Census;
use super::family::Family;
use super::gate::{self, Gate};
use super::group::Group;
use super::holdings::Holdings;
use super::image::Prepared;
use super::keeper::{Launched, Role};
use super::lane::{Offer, OurLane};
use super::lately::Lately;
use super::news::News;
use super::plan::{Ends, Plan, Start, caps_address_space};
use super::refusals;
use super::standing::Standing;
use super::view::{Scratch, View};

/// Descriptors that a guest needs beyond its own to be forked: those of an order, and its way back.
const ORDERS_FILES: u32 = 16;

pub(super) use calls::PIPE_BYTES;
pub(super) use launch::Launch;

/// Where its channel, the bell of its leash and its end stand among its news.
const CHANNEL: usize = 2;
const BELL: usize = 3;
const DONE: usize = 4;

/// What ends a process, and wakes whoever serves it.
#[derive(Clone, Debug)]
pub(super) struct Leash {
    pub(super) stop: StopHandle,
    pub(super) bell: Arc<Bell>,
}

impl Leash {
    pub(super) fn new() -> Result<Self, Refusal> {
        let (stop, bell) = (StopHandle::new(), Arc::new(Bell::new()?));
        let rung = Arc::clone(&bell);
        // The handle is the process's own, so the bell stays at it as long as there is one.
        std::mem::forget(stop.on_stop(move || rung.ring()));
        Ok(Self { stop, bell })
    }
}

/// Why there is no process.
pub(super) enum NotStarted {
    /// It was stopped meanwhile.
    Stopped,
    Refused(Refusal),
    /// It was to be a fork, and the guest that makes them came to this end before it was warm.
    NotWarm(Box<Evidence>),
}

impl From<Refusal> for NotStarted {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// What a process is started with.
pub(super) struct Order<'a> {
    pub(super) role: Role,
    pub(super) arguments: &'a [OsString],
    pub(super) stdin: OwnedFd,
    pub(super) limits: &'a Limits,
    /// When its launch is given up.
    pub(super) deadline: Option<Instant>,
    /// Whether it serves more than one task: then nothing ends it at the processor time of one.
    pub(super) stays: bool,
    /// Whether it is there before its task is: for calls, or in front of its first instruction.
    pub(super) is_early: bool,
    /// How much of its arena is for an input, if it is there for calls; a command has none.
    pub(super) input: Option<u64>,
}

/// One of them.
pub(super) struct Process {
    pub(super) launched: Launched,
    /// What it stands in front of, if it is there before its task as a command.
    pub(super) gate: Option<Arc<Gate>>,
    pub(super) ends: Ends,
    /// What it shares with us for large values.
    pub(super) arena: Option<Arena>,
    /// A lane that it may take with its greeting.
    pub(super) offer: Option<Offer>,
    /// The one that it has taken.
    pub(super) lane: Option<OurLane>,
    /// How many bytes it was sent over its channel.
    sent: Cell<u64>,
    pub(super) leash: Leash,
    pub(super) family: Arc<Family>,
    pub(super) group: Option<Arc<Group>>,
    /// Counts processes that no tracer sees.
    pub(super) census: Option<Census>,
    /// Whether nobody can be born without the tracer: then the list need not be asked.
    pub(super) sees_births: bool,
    pub(super) guards: Vec<Guard>,
    /// Its private `/tmp`, if it has one.
    pub(super) scratch: Option<Scratch>,
    /// What it holds, if it is there before its task, or after one.
    pub(super) holdings: Option<Holdings>,
    /// What of it has news, if it is there before its task, or after one.
    pub(super) news: Option<News>,
    /// What processor time it had used when it was last asked.
    used: Lately<Duration>,
    /// The limits that it was started with.
    limits: Limits,
    /// Whether it serves more than one task.
    pub(super) stays: bool,
    /// The guest's own ends of what it writes to, if it begins with its only task: as long as we have them, too, nobody
    /// is woken when it closes them. That it has ended is told by the watching thread, once.
    _guests_ends: Option<Vec<OwnedFd>>,
    /// When it was served last, and what processor time it had used by then.
    rests: (Instant, Duration),
    /// The cage stands as long as there is somebody in it.
    pub(super) standing: Arc<Standing>,
}

impl Process {
    /// Starts one.
    pub(super) fn start(
        image: &Prepared,
        order: Order<'_>,
        leash: Leash,
    ) -> Result<Self, NotStarted> {
        let Order { role, arguments, stdin, limits, deadline, stays, is_early, input } = order;
        if role == Role::Fork && input.is_none() {
            return Err(refusals::no_function().into());
        }
        let (group, group_guards) = image.group(limits)?;
        let group = group.map(Arc::new);
        let start = Start {
            program: image.place.as_deref().unwrap_or(&image.path),
            name: image.path.as_os_str(),
            arguments,
            permissions: &image.permissions,
            warms_up: role == Role::Zygote,
            tells_stack: image.told.is_some(),
        };
        let is_asked = stays || is_early && input.is_some();
        let gate = (is_early && !is_asked).then(Gate::new).transpose()?.map(Arc::new);
        let has_offer = is_asked && role == Role::Task;
        let bounds = bounds(role, is_asked, has_offer, limits);
        let input = input.filter(|_| image.shares_memory);
        let arena = input.map(|input| Arena::new(input, limits.result.as_u64()));
        let arena = arena.transpose().map_err(|error| refusals::at_plan(&error))?;
        let offer = has_offer.then(Offer::new);
        let offer = offer.transpose().map_err(|error| refusals::at_plan(&error))?;
        let lane = offer.as_ref().map(|offer| offer.file().as_fd());
        let (mut plan, ends) =
            Plan::new(start, stdin, &bounds, group.clone(), arena.as_ref(), lane)
                .map_err(|error| refusals::at_plan(&error))?;
        if plan.outgrows(limits.memory) {
            return Err(refusals::ended_in_exec(limits).into());
        }
        if leash.stop.reason().is_some() {
            // Stopped before there was anything to kill.
            return Err(NotStarted::Stopped);
        }
        let family = Arc::new(Family::default());
        let is_waited_for = role != Role::Zygote && !is_asked;
        let launch = Launch {
            role,
            image,
            limits,
            deadline,
            is_waited_for,
            leash: &leash,
            family: &family,
            gate: gate.as_ref(),
        };
        let (launched, standing) = match role {
            Role::Task | Role::Zygote => launch.run(&mut plan)?,
            Role::Fork => launch.fork(&plan, &ends.channel)?,
        };
        let limits = limits.clone();
        let mut guards = standing.guards.clone();
        // A filter forbids every birth that a tracer could not see.
        let is_filtered =
            guards.iter().any(|it| it.name == "seccomp" && it.state == GuardState::InForce);
        guards.splice(0..0, group_guards);
        let holdings = is_asked.then(|| {
            let peak = group.as_deref().map(Group::peak_file);
            Holdings::of(launched.pid, peak.as_deref())
        });
        // Without it, everything is asked one by one.
        let news = is_asked.then(|| {
            News::of([&ends.stdout, &ends.stderr, &ends.channel, &*leash.bell, &*launched.done])
        });
        Ok(Self {
            holdings,
            census: group.as_deref().map(Group::census),
            sees_births: launched.traced && is_filtered,
            scratch: plan.view.take().and_then(View::scratch),
            _guests_ends: (!is_asked).then(|| plan.guests_ends()),
            rests: (Instant::now(), Duration::ZERO),
            news: news.and_then(Result::ok),
            used: Lately::default(),
            standing,
            launched,
            gate,
            ends,
            arena,
            offer,
            lane: None,
            sent: Cell::new(0),
            leash,
            family,
            group,
            guards,
            limits,
            stays,
        })
    }

    /// One that has been executed for a command, and does not begin before it is let.
    pub(super) fn stand_ready(
        image: &Prepared,
        arguments: &[OsString],
        stdin: OwnedFd,
        deadline: Option<Instant>,
        leash: Leash,
    ) -> Result<Self, NotStarted> {
        let (role, limits) = (Role::Task, &image.limits);
        let order = Order {
            role,
            arguments,
            stdin,
            limits,
            deadline,
            stays: false,
            is_early: true,
            input: None,
        };
        let mut process = Self::start(image, order, leash)?;
        if let Some(gate) = &process.gate {
            gate.wait(&process.launched, &process.leash, deadline)?;
            // A command is sent nothing: it finds the end, as one that is started with its task does.
            let _ = process.ends.channel.shutdown(Shutdown::Write);
            // Where it was born, beside us: a processor that has nothing else to do would keep its memory, and would have to be
            // called for it when that goes.
            gate::fall_asleep(process.launched.pid);
        }
        process.launched.presence = None;
        process.family.let_go();
        Ok(process)
    }

    /// One that stands ready begins.
    pub(super) fn let_begin(&self) {
        if let Some(gate) = &self.gate {
            gate.open(&self.family, self.launched.pid);
        }
    }

    /// Somebody waits for it from now on, until its only task is over.
    pub(super) fn come_near(&mut self) {
        if self.standing.may_hold {
            self.launched.presence = self.standing.keeper.bring(&self.launched);
        }
    }

    /// Whether this input lies in its arena now, and need not be sent.
    pub(super) fn has_placed(&self, input: &[u8]) -> bool {
        let arena = self.arena.as_ref().filter(|_| !input.is_empty());
        arena.is_some_and(|arena| arena.put(input).is_ok())
    }

    /// The first of these limits that stays with a process, and is another one than it was started with.
    pub(super) fn misfit(&self, limits: &Limits) -> Option<&'static str> {
        let was = &self.limits;
        let differ = [
            ("memory", was.memory != limits.memory),
            ("on-memory-limit", was.on_memory_limit != limits.on_memory_limit),
            ("cpus", was.cpus != limits.cpus),
            ("stack", was.stack != limits.stack),
            ("open-files", was.open_files != limits.open_files),
            ("processes", was.processes != limits.processes),
            ("threads", was.threads != limits.threads),
            ("scratch", was.scratch != limits.scratch),
            ("scratch-files", was.scratch_files != limits.scratch_files),
            ("file-bytes", was.file_bytes != limits.file_bytes),
        ];
        differ.into_iter().find(|(_, differs)| *differs).map(|(name, _)| name)
    }

    /// Whether its address space has a limit.
    pub(super) fn is_capped(&self) -> bool {
        caps_address_space(&self.limits, self.group.is_some())
    }

    /// Processor time of the tree: exact for those whose birth was seen, and what their group counts for all.
    pub(super) fn cpu(&self) -> Duration {
        let counted = self.census.as_ref().map_or(Duration::ZERO, Census::cpu);
        self.family.cpu().max(counted)
    }

    /// The same, if it is not what it was a moment ago.
    pub(super) fn cpu_lately(&self) -> Duration {
        self.used.get(|| self.cpu())
    }

    /// Whether it may have other processes of its own.
    pub(super) fn may_have_children(&self) -> bool {
        self.limits.processes > 1
    }

    /// Whether it waits for a call, as it should: alive, silent, and at rest. One that was never called may have said
    /// hello.
    pub(super) fn waits(&self, was_called: bool) -> bool {
        if let Some(news) = &self.news {
            let heard = news.now().map(|heard| (heard.of(CHANNEL), heard.of(DONE)));
            let is_there = heard.is_some_and(|((speaks, is_gone), (has_ended, _))| {
                !(is_gone || has_ended || was_called && speaks)
            });
            return is_there && self.leash.stop.reason().is_none() && !self.is_restless();
        }
        let hangs_up = PollFlags::POLLHUP | PollFlags::POLLERR;
        let speaks = if was_called { PollFlags::POLLIN } else { PollFlags::empty() };
        let done = &self.launched.done;
        let mut polled = [
            PollFd::new(self.ends.channel.as_fd(), speaks),
            PollFd::new(done.as_fd(), PollFlags::POLLIN),
        ];
        // It fails for want of memory only; a process that can't be asked is none to be used.
        let asked = poll(&mut polled, PollTimeout::ZERO).is_ok();
        let heard = polled[0].revents().unwrap_or(PollFlags::empty());
        let is_there = !heard.intersects(hangs_up | speaks) && polled[1].any() != Some(true);
        asked && is_there && self.leash.stop.reason().is_none() && !self.is_restless()
    }
}

/// What the kernel is to hold it to.
fn bounds(role: Role, is_asked: bool, has_offer: bool, limits: &Limits) -> Limits {
    // What it used before its task is not its task's.
    let cpu = if is_asked { Duration::MAX } else { limits.cpu };
    let slack = match role {
        Role::Zygote => ORDERS_FILES,
        // Its lane, until it has mapped that.
        Role::Task | Role::Fork => u32::from(has_offer),
    };
    Limits { cpu, open_files: limits.open_files.saturating_add(slack), ..limits.clone() }
}
