//! Who takes part in a short task, on one processor: on that of whoever waits for it.
//!
//! The caller, the keeper or a zygote, the thread that watches and the guest wake one another a dozen times in a task, and
//! only one of them has anything to do at a time. To wake somebody on another processor takes several times as long as on
//! the same one (on a virtual machine, ten times), and the kernel spreads them over all there are. So they are put beside
//! the caller: each sleeps when that is done, and is moved by its next waking. He is never moved himself, and is held
//! where he is while he sleeps only: no line of his own runs meanwhile, and no thread that he starts is held. It is done
//! for a task that is alone; those that are served at the same time are left to the kernel.
//!
//! A guest is let go when it has lived for a moment (`HELD_FOR`), and before it has a second thread, a process, or an answer
//! to how many processors there are: it may use all that its caller may, as if he had started it himself, and finds no sign of
//! anything else. What that is may change at any time; it is asked when somebody is let go, and not before.

use std::cell::Cell;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
use nix::unistd::Pid;

use super::family::Family;

/// A guest that lives longer than this is not in a hurry.
const HELD_FOR: Duration = Duration::from_millis(2);

/// Every processor there could be: the kernel leaves of it what a thread's cpuset has, now and whenever that changes.
static EVERYWHERE: LazyLock<CpuSet> = LazyLock::new(|| {
    let mut all = CpuSet::new();
    for at in 0..CpuSet::count() {
        // There is a place in it for each.
        let _ = all.set(at);
    }
    all
});

thread_local! {
    /// What this thread was allowed when that was asked last.
    static KNOWN: Cell<Option<Known>> = const { Cell::new(None) };
}

/// The threads that are held where they are, with what each was allowed before: somebody may have to know that meanwhile.
static STAYING: Mutex<Vec<(i32, Stay)>> = Mutex::new(Vec::new());

/// A thread of the host that has a guest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    thread: i32,
    /// What it may use if it is gone by the time that somebody asks: what was known before.
    all: CpuSet,
}

/// What a thread was allowed once.
#[derive(Clone, Copy)]
struct Known {
    was: CpuSet,
    /// Whether that was all that its cpuset has.
    is_whole: bool,
    asked: Instant,
}

/// For so long nobody asks again whether a thread that was allowed less may use all by now.
const LESS_FOR: Duration = Duration::from_secs(1);

/// No processor in particular.
const ANY: usize = usize::MAX;

/// The place of a thread of ours, or of a process from which tasks are made.
#[derive(Debug)]
pub(super) struct Seat {
    who: Pid,
    at: AtomicUsize,
    /// The change by which it may be anywhere, if it may.
    change: AtomicUsize,
}

/// Who takes part in all tasks of a keeper.
#[derive(Debug)]
pub(super) struct Near {
    keeper: Seat,
    watcher: Seat,
    served: Mutex<Served>,
    /// Whether there are others, too, whom the watcher must not keep waiting while nobody is waited for.
    has_others: AtomicBool,
}

#[derive(Debug)]
struct Served {
    /// How many tasks are being waited for.
    count: usize,
    /// Where everybody may be who is nowhere in particular: where the last caller may be of whom that was asked.
    all: CpuSet,
    /// How often that was another one.
    changes: usize,
}

/// A task is being waited for as long as there is this.
#[derive(Debug)]
pub(super) struct Presence {
    near: Arc<Near>,
    /// Where everybody is.
    here: Option<usize>,
    since: Instant,
}

/// The thread that has made this is held where it is. To be dropped by it.
pub(super) struct Stays(());

#[derive(Clone, Copy, Debug)]
struct Stay {
    here: CpuSet,
    was: CpuSet,
}

impl Seat {
    pub(super) fn of(pid: i32) -> Self {
        let (at, change) = (AtomicUsize::new(ANY), AtomicUsize::new(0));
        Self { who: Pid::from_raw(pid), at, change }
    }

    /// Says whether it is at that one processor now.
    fn move_to(&self, processor: Option<usize>, served: &Served) -> bool {
        let Served { all, changes, .. } = served;
        let wanted = processor.unwrap_or(ANY);
        let was = self.at.swap(wanted, Ordering::Relaxed);
        let is_new = self.change.swap(*changes, Ordering::Relaxed) != *changes;
        if was != wanted || (is_new && wanted == ANY) {
            let moved = place(self.who, processor.and_then(only).as_ref().unwrap_or(all));
            if !moved {
                // It may stand where it was put before.
                place(self.who, all);
                self.at.store(ANY, Ordering::Relaxed);
            }
        }
        self.at.load(Ordering::Relaxed) != ANY
    }
}

impl Caller {
    /// This thread.
    pub(super) fn this(all: CpuSet) -> Self {
        thread_local!(static OWN: Cell<i32> = const { Cell::new(0) });
        let thread = match OWN.get() {
            0 => nix::unistd::gettid().as_raw(),
            known => known,
        };
        OWN.set(thread);
        Self { thread, all }
    }

    /// What it may use now.
    pub(super) fn may_use(&self) -> CpuSet {
        // Whoever is not in it is not held before this is over.
        let staying = staying();
        let Ok(now) = sched_getaffinity(Pid::from_raw(self.thread)) else { return self.all };
        let is_own = Self::this(self.all).thread == self.thread;
        if !is_own && !Path::new(&format!("/proc/self/task/{}", self.thread)).exists() {
            // Somebody else has its number by now.
            return self.all;
        }
        find(&staying, self.thread).map_or(now, |stay| stay.was)
    }
}

fn staying() -> MutexGuard<'static, Vec<(i32, Stay)>> {
    // Each change is one call on a std type.
    STAYING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn find(staying: &[(i32, Stay)], thread: i32) -> Option<Stay> {
    staying.iter().find(|(who, _)| *who == thread).map(|(_, stay)| *stay)
}

impl Served {
    /// Asks what the caller's own thread may use.
    fn ask(&mut self) {
        let all = Caller::this(self.all).may_use();
        if all != self.all {
            (self.all, self.changes) = (all, self.changes + 1);
        }
    }

    /// One more is waited for. Where its caller is, if he is alone; else it is left to the kernel, within what he may use.
    fn here(&mut self) -> Option<usize> {
        self.count += 1;
        let here = if self.count == 1 { sched_getcpu().ok() } else { None };
        if here.is_none() {
            self.ask();
        }
        here
    }
}

impl Near {
    /// Asked by the thread that watches, when it has started the keeper. `None` where there is nothing to choose from.
    pub(super) fn new(keeper: i32) -> Option<Self> {
        let all = sched_getaffinity(Pid::from_raw(0)).ok()?;
        let count = (0..CpuSet::count()).filter(|at| all.is_set(*at).unwrap_or(false)).count();
        let watcher = Seat::of(nix::unistd::gettid().as_raw());
        let served = Mutex::new(Served { count: 0, all, changes: 0 });
        let has_others = AtomicBool::new(false);
        let near = Self { keeper: Seat::of(keeper), watcher, served, has_others };
        (count > 1).then_some(near)
    }

    /// Somebody, or the keeper, is about to make a task that is waited for. What is made is where its maker is, and is let go
    /// from there.
    pub(super) fn gather(self: &Arc<Self>, maker: Option<&Seat>, family: &Family) -> Presence {
        let maker = maker.unwrap_or(&self.keeper);
        let mut served = self.served();
        let here = served.here();
        if maker.move_to(here, &served) {
            family.hold(None, Caller::this(served.all));
        }
        self.watcher.move_to(here, &served);
        self.presence(here)
    }

    /// The same for one that was made in advance, and waits for its call.
    pub(super) fn bring(self: &Arc<Self>, pid: i32, family: &Family) -> Presence {
        let mut served = self.served();
        let here = served.here();
        match here.and_then(only) {
            Some(only_here) => _ = family.hold(Some((pid, only_here)), Caller::this(served.all)),
            // Whoever had it made may have been allowed more.
            None => family.follow(pid, &served.all),
        }
        self.watcher.move_to(here, &served);
        self.presence(here)
    }

    fn presence(self: &Arc<Self>, here: Option<usize>) -> Presence {
        Presence { near: Arc::clone(self), here, since: Instant::now() }
    }

    /// He is about to make what nobody waits for.
    pub(super) fn spread(&self, maker: Option<&Seat>) {
        let maker = maker.unwrap_or(&self.keeper);
        self.has_others.store(true, Ordering::Relaxed);
        let mut served = self.served();
        served.ask();
        maker.move_to(None, &served);
    }

    fn served(&self) -> MutexGuard<'_, Served> {
        // Each change is one assignment, so a panic elsewhere leaves nothing half done.
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Presence {
    /// How much longer its guest is held. `None` if it is no more.
    pub(super) fn is_left(&self, now: Instant) -> Option<Duration> {
        HELD_FOR.checked_sub(now.saturating_duration_since(self.since)).filter(|it| !it.is_zero())
    }

    /// The caller is about to sleep until he is woken by one of those beside him. Left to the kernel, he would be woken
    /// where there is nothing to do, and everybody else had to follow him there.
    pub(super) fn stay(&self) -> Option<Stays> {
        // Elsewhere it would be a way to go, for him and for those who look for him.
        self.here.filter(|here| sched_getcpu().is_ok_and(|at| at == *here)).and_then(Stays::at)
    }

    /// It lives longer than those that are in a hurry: whoever watches it may be anywhere, too.
    pub(super) fn let_go(&self, family: &Family) {
        family.let_go();
        self.near.watcher.move_to(None, &self.near.served());
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let mut served = self.near.served();
        served.count -= 1;
        if served.count == 0 && self.near.has_others.load(Ordering::Relaxed) {
            self.near.watcher.move_to(None, &served);
        }
    }
}

impl Stays {
    pub(super) fn at(processor: usize) -> Option<Self> {
        let (here, own) = (only(processor)?, Pid::from_raw(0));
        let was = sched_getaffinity(own).ok()?;
        if was == here {
            return None;
        }
        let stays = Self::from(Stay { here, was });
        // Nobody is held where this fails, and nobody is given anything back.
        place(own, &here).then_some(stays)
    }
}

impl From<Stay> for Stays {
    fn from(stay: Stay) -> Self {
        staying().push((Caller::this(stay.was).thread, stay));
        Self(())
    }
}

impl Drop for Stays {
    fn drop(&mut self) {
        let own = Pid::from_raw(0);
        let thread = Caller::this(*EVERYWHERE).thread;
        let stay = find(&staying(), thread);
        // Somebody may have given it another place meanwhile.
        if let Some(Stay { here, was }) = stay
            && sched_getaffinity(own) == Ok(here)
        {
            give_back(own, &was);
        }
        staying().retain(|(who, _)| *who != thread);
    }
}

/// Gives this thread back what it was allowed. Who may use all that his cpuset has is not bound to just these processors: he may
/// use those, too, that it is given later.
fn give_back(own: Pid, was: &CpuSet) {
    let known = KNOWN.get().filter(|known| known.was == *was);
    match known {
        Some(known) if known.is_whole => _ = place(own, &EVERYWHERE),
        Some(known) if known.asked.elapsed() < LESS_FOR => _ = place(own, was),
        _ => {
            let is_whole = place(own, &EVERYWHERE) && sched_getaffinity(own) == Ok(*was);
            if !is_whole {
                // Somebody has allowed it less.
                place(own, was);
            }
            KNOWN.set(Some(Known { was: *was, is_whole, asked: Instant::now() }));
        }
    }
}

/// Has a thread run there only. It fails for one that is gone, and where none of these is to be had.
pub(super) fn place(who: Pid, processors: &CpuSet) -> bool {
    sched_setaffinity(who, processors).is_ok()
}

/// The set of one.
pub(super) fn only(processor: usize) -> Option<CpuSet> {
    let mut set = CpuSet::new();
    set.set(processor).ok().map(|()| set)
}

#[cfg(test)]
mod tests;
