//! Who is held where, and who is let go.

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
fn a_caller_is_held_where_he_is_as_long_as_he_sleeps() {
    let may_use = || sched_getaffinity(Pid::from_raw(0)).unwrap();
    let (all, at) = (may_use(), sched_getcpu().unwrap());
    let here = only(at).unwrap();
    if all == here {
        return assert!(Stay::at(at).is_none());
    }
    let held = Stay::at(at);
    assert!(held.is_some() && may_use() == here);
    assert!(Stay::at(at).is_none(), "he is there already");
    drop(held);
    assert_eq!(may_use(), all);
    let held = Stay::at(at);
    let elsewhere = (0..CpuSet::count()).find(|to| *to != at && all.is_set(*to) == Ok(true));
    let elsewhere = elsewhere.and_then(only).unwrap();
    assert!(place(Pid::from_raw(0), &elsewhere));
    drop(held);
    assert_eq!(may_use(), elsewhere, "somebody else has put him there");
}

#[test]
fn who_is_allowed_less_than_all_is_asked_for_it_once_in_a_while() {
    let own = Pid::from_raw(0);
    let (all, at) = (sched_getaffinity(own).unwrap(), sched_getcpu().unwrap());
    let elsewhere = (0..CpuSet::count()).find(|to| *to != at && all.is_set(*to) == Ok(true));
    let Some(less) = elsewhere.and_then(only) else { return };
    let known = || KNOWN.get().map(|known| (known.was, known.is_whole, known.asked));
    give_back(own, &less);
    assert_eq!(sched_getaffinity(own), Ok(less));
    let asked = known().unwrap().2;
    assert_eq!(known(), Some((less, false, asked)));
    // It was asked long ago, and now it is again.
    let before = asked.checked_sub(LESS_FOR).unwrap();
    KNOWN.set(Some(Known { was: less, is_whole: false, asked: before }));
    give_back(own, &less);
    assert!(known().is_some_and(|(.., asked)| asked > before));
    give_back(own, &all);
    assert_eq!(sched_getaffinity(own), Ok(all));
}

/// A cpuset of this thread's own, and what it has. It ends when this is dropped.
struct Confined(std::path::PathBuf);

impl Confined {
    /// None where nobody may make one.
    fn to(processors: &str) -> Option<Self> {
        let tid = nix::unistd::gettid().as_raw();
        let root = std::path::Path::new("/sys/fs/cgroup/cpuset");
        let own = Self(root.join(format!("sandtrap-test-{tid}")));
        std::fs::create_dir(&own.0).ok()?;
        let nodes = std::fs::read(root.join("cpuset.mems")).ok()?;
        std::fs::write(own.0.join("cpuset.mems"), nodes).ok()?;
        own.has(processors).then_some(())?;
        std::fs::write(own.0.join("tasks"), tid.to_string()).ok()?;
        Some(own)
    }

    fn has(&self, processors: &str) -> bool {
        std::fs::write(self.0.join("cpuset.cpus"), processors).is_ok()
    }
}

impl Drop for Confined {
    fn drop(&mut self) {
        let tid = nix::unistd::gettid().as_raw().to_string();
        // Where it was never made, there is nothing to leave.
        let _ = std::fs::write("/sys/fs/cgroup/cpuset/tasks", tid);
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
fn who_was_held_may_use_what_his_cpuset_is_given_later_and_no_more_than_he_was_allowed() {
    let may_use = || sched_getaffinity(Pid::from_raw(0)).unwrap();
    let stays = || {
        let was = may_use();
        let at = (0..CpuSet::count()).find(|at| was.is_set(*at) == Ok(true)).unwrap();
        let here = only(at).unwrap();
        assert!(place(Pid::from_raw(0), &here));
        drop(Stay { here, was });
    };
    let all = may_use();
    for _ in 0..2 {
        stays();
        assert_eq!(may_use(), all);
    }
    let [first, second] = {
        let mut has = (0..CpuSet::count()).filter(|at| all.is_set(*at) == Ok(true));
        [(); 2].map(|()| has.next())
    };
    let (Some(first), Some(second)) = (first, second) else { return };
    let confined = Confined::to(&first.to_string());
    if let Some(confined) = &confined {
        assert_eq!(may_use(), only(first).unwrap());
        stays();
        assert!(confined.has(&format!("{first},{second}")));
        let mut both = only(first).unwrap();
        both.set(second).unwrap();
        assert_eq!(may_use(), both, "it is not bound to what it had when it was held");
    }
    drop(confined);
    // Who was allowed less by somebody has just that again.
    assert!(place(Pid::from_raw(0), &only(second).unwrap()));
    stays();
    assert_eq!(may_use(), only(second).unwrap());
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
