//! Who takes part in a short task, on one processor: on that of whoever waits for it.
//!
//! The caller, the keeper or a zygote, the thread that watches and the guest wake one another a dozen times in a task, and
//! only one of them has anything to do at a time. To wake somebody on another processor takes several times as long as on
//! the same one (on a virtual machine, ten times), and the kernel spreads them over all there are. So they are put beside
//! the caller, who is never moved himself: each sleeps when that is done, and is moved by its next waking. It is done for a
//! task that is alone; those that are served at the same time are left to the kernel.
//!
//! A guest is let go when it has lived for a moment (`HELD_FOR`), and before it has a second thread, a process, or an answer
//! to how many processors there are: it may use all that its host may, and finds no sign of anything else.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
use nix::unistd::Pid;

use super::family::Family;

/// A guest that lives longer than this is not in a hurry.
const HELD_FOR: Duration = Duration::from_millis(2);

/// No processor in particular.
const ANY: usize = usize::MAX;

/// The place of a thread of ours, or of a process from which tasks are made.
#[derive(Debug)]
pub(super) struct Seat {
    who: Pid,
    at: AtomicUsize,
}

/// Who takes part in all tasks of a keeper.
#[derive(Debug)]
pub(super) struct Near {
    keeper: Seat,
    watcher: Seat,
    /// Where they may be otherwise.
    all: CpuSet,
    /// How many tasks are being waited for.
    served: Mutex<usize>,
    /// Whether there are others, too, whom the watcher must not keep waiting while nobody is waited for.
    has_others: AtomicBool,
}

/// A task is being waited for as long as there is this.
#[derive(Debug)]
pub(super) struct Presence {
    near: Arc<Near>,
    since: Instant,
}

impl Seat {
    pub(super) fn of(pid: i32) -> Self {
        Self { who: Pid::from_raw(pid), at: AtomicUsize::new(ANY) }
    }

    /// Says whether it is at that one processor now.
    fn move_to(&self, processor: Option<usize>, all: &CpuSet) -> bool {
        let wanted = processor.unwrap_or(ANY);
        if self.at.swap(wanted, Ordering::Relaxed) != wanted {
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

impl Near {
    /// Asked by the thread that watches, when it has started the keeper. `None` where there is nothing to choose from.
    pub(super) fn new(keeper: i32) -> Option<Self> {
        let all = sched_getaffinity(Pid::from_raw(0)).ok()?;
        let count = (0..CpuSet::count()).filter(|at| all.is_set(*at).unwrap_or(false)).count();
        let watcher = Seat::of(nix::unistd::gettid().as_raw());
        let (keeper, served) = (Seat::of(keeper), Mutex::new(0));
        let near = Self { keeper, watcher, all, served, has_others: AtomicBool::new(false) };
        (count > 1).then_some(near)
    }

    /// Somebody, or the keeper, is about to make a task that is waited for. What is made is where its maker is, and is let go
    /// from there.
    pub(super) fn gather(self: &Arc<Self>, maker: Option<&Seat>, family: &Family) -> Presence {
        let maker = maker.unwrap_or(&self.keeper);
        let mut served = self.served();
        *served += 1;
        let here = self.here(*served);
        if maker.move_to(here, &self.all) {
            family.hold(None, self.all);
        }
        self.watcher.move_to(here, &self.all);
        Presence { near: Arc::clone(self), since: Instant::now() }
    }

    /// The same for one that was made in advance, and waits for its call.
    pub(super) fn bring(self: &Arc<Self>, pid: i32, family: &Family) -> Presence {
        let mut served = self.served();
        *served += 1;
        let here = self.here(*served);
        if let Some(here) = here.and_then(only) {
            family.hold(Some((pid, here)), self.all);
        }
        self.watcher.move_to(here, &self.all);
        Presence { near: Arc::clone(self), since: Instant::now() }
    }

    /// He is about to make what nobody waits for.
    pub(super) fn spread(&self, maker: Option<&Seat>) {
        let maker = maker.unwrap_or(&self.keeper);
        self.has_others.store(true, Ordering::Relaxed);
        let _served = self.served();
        maker.move_to(None, &self.all);
    }

    /// Where the caller is, if he is alone.
    fn here(&self, served: usize) -> Option<usize> {
        let here = if served == 1 { sched_getcpu().ok() } else { None };
        here.filter(|at| self.all.is_set(*at).unwrap_or(false))
    }

    fn served(&self) -> MutexGuard<'_, usize> {
        // Each change is one addition, so a panic elsewhere leaves nothing half done.
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Presence {
    /// How much longer its guest is held. `None` if it is no more.
    pub(super) fn is_left(&self, now: Instant) -> Option<Duration> {
        HELD_FOR.checked_sub(now.saturating_duration_since(self.since)).filter(|it| !it.is_zero())
    }

    /// It lives longer than those that are in a hurry: whoever watches it may be anywhere, too.
    pub(super) fn let_go(&self, family: &Family) {
        family.let_go();
        let _served = self.near.served();
        self.near.watcher.move_to(None, &self.near.all);
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let mut served = self.near.served();
        *served -= 1;
        if *served == 0 && self.near.has_others.load(Ordering::Relaxed) {
            self.near.watcher.move_to(None, &self.near.all);
        }
    }
}

/// Has a thread run there only. It fails for one that is gone, and where none of these is to be had.
pub(super) fn place(who: Pid, processors: &CpuSet) -> bool {
    sched_setaffinity(who, processors).is_ok()
}

fn only(processor: usize) -> Option<CpuSet> {
    let mut set = CpuSet::new();
    set.set(processor).ok().map(|()| set)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Sender, channel};

    /// A thread that sleeps until this is dropped.
    struct Sleeper {
        tid: i32,
        _wake: Sender<()>,
    }

    impl Sleeper {
        fn new() -> Self {
            let ((wake, woken), (tell, told)) = (channel::<()>(), channel());
            std::thread::spawn(move || {
                tell.send(nix::unistd::gettid().as_raw()).unwrap();
                let _ = woken.recv();
            });
            Self { tid: told.recv().unwrap(), _wake: wake }
        }

        fn may_use(&self) -> CpuSet {
            sched_getaffinity(Pid::from_raw(self.tid)).unwrap()
        }
    }

    /// A test stays where it is, after it has started its threads. What it was allowed, and where it is.
    fn stay() -> (CpuSet, CpuSet) {
        let own = Pid::from_raw(0);
        let all = sched_getaffinity(own).unwrap();
        let here = only(sched_getcpu().unwrap()).unwrap();
        assert!(place(own, &here));
        (all, here)
    }

    #[test]
    fn a_task_that_is_alone_has_all_who_take_part_beside_its_caller() {
        let [keeper, watcher, zygote] = [(); 3].map(|()| Sleeper::new());
        let (all, here) = stay();
        let (seat, family) = (Seat::of(zygote.tid), Family::default());
        let near = Near {
            keeper: Seat::of(keeper.tid),
            watcher: Seat::of(watcher.tid),
            all,
            served: Mutex::new(0),
            has_others: AtomicBool::new(false),
        };
        let near = Arc::new(near);
        let first = near.gather(None, &family);
        assert_eq!([keeper.may_use(), watcher.may_use(), zygote.may_use()], [here, here, all]);
        let second = near.gather(Some(&seat), &family);
        assert_eq!([keeper.may_use(), watcher.may_use(), zygote.may_use()], [here, all, all]);
        drop((first, second));
        assert_eq!(watcher.may_use(), all);
        drop(near.gather(None, &family));
        assert_eq!(watcher.may_use(), here);
        near.spread(None);
        drop(near.gather(None, &family));
        assert_eq!(watcher.may_use(), all, "there are others, too");
        let third = near.gather(Some(&seat), &family);
        assert_eq!([watcher.may_use(), zygote.may_use()], [here, here]);
        third.let_go(&family);
        near.spread(None);
        assert_eq!([keeper.may_use(), watcher.may_use(), zygote.may_use()], [all, all, here]);
    }

    #[test]
    fn who_was_being_born_when_the_others_were_let_go_is_let_go_by_the_tracer() {
        let [first, born] = [(); 2].map(|()| Sleeper::new());
        let (all, here) = stay();
        let family = Family::default();
        family.add(first.tid);
        family.hold(Some((first.tid, here)), all);
        assert_eq!(first.may_use(), here);
        place(Pid::from_raw(born.tid), &here);
        family.let_go();
        assert_eq!([first.may_use(), born.may_use()], [all, here]);
        family.let_go_for_good(&[born.tid]);
        assert_eq!(born.may_use(), all);
    }
}
