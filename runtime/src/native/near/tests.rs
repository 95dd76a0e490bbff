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

/// A test stays where it is, after it has started its threads. What it was allowed, where it is, and what holds it there.
fn stay() -> (CpuSet, CpuSet, Option<Stays>) {
    let all = sched_getaffinity(Pid::from_raw(0)).unwrap();
    let at = sched_getcpu().unwrap();
    (all, only(at).unwrap(), Stays::at(at))
}

fn near(keeper: &Sleeper, watcher: &Sleeper, all: CpuSet) -> Arc<Near> {
    Arc::new(Near {
        keeper: Seat::of(keeper.tid),
        watcher: Seat::of(watcher.tid),
        served: Mutex::new(Served { count: 0, all, changes: 0 }),
        has_others: AtomicBool::new(false),
    })
}

/// The first two processors of a set, each alone.
fn two_of(all: &CpuSet) -> Option<[CpuSet; 2]> {
    let mut has = (0..CpuSet::count()).filter(|at| all.is_set(*at) == Ok(true));
    let [first, second] = [(); 2].map(|()| has.next().and_then(only));
    Some([first?, second?])
}

#[test]
fn a_task_that_is_alone_has_all_who_take_part_beside_its_caller() {
    let [keeper, watcher, zygote] = [(); 3].map(|()| Sleeper::new());
    let (all, here, _stays) = stay();
    let (seat, family) = (Seat::of(zygote.tid), Family::default());
    let near = near(&keeper, &watcher, all);
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
        return assert!(Stays::at(at).is_none());
    }
    let held = Stays::at(at);
    assert!(held.is_some() && may_use() == here);
    assert!(Stays::at(at).is_none(), "he is there already");
    drop(held);
    assert_eq!(may_use(), all);
    let held = Stays::at(at);
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
        drop(Stays::from(Stay { here, was }));
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
    let (all, here, _stays) = stay();
    let family = Family::default();
    family.add(first.tid);
    family.hold(Some((first.tid, here)), Caller::this(all));
    assert_eq!(first.may_use(), here);
    place(Pid::from_raw(born.tid), &here);
    family.let_go();
    assert_eq!([first.may_use(), born.may_use()], [all, here]);
    family.let_go_for_good(&[born.tid]);
    assert_eq!(born.may_use(), all);
}

#[test]
fn whoever_is_let_go_may_use_what_his_caller_may_by_then() {
    let [keeper, watcher, guest, spare] = [(); 4].map(|()| Sleeper::new());
    let own = Pid::from_raw(0);
    let all = sched_getaffinity(own).unwrap();
    let Some([first, second]) = two_of(&all) else { return };
    let (near, family) = (near(&keeper, &watcher, all), Family::default());
    for member in [&guest, &spare] {
        family.add(member.tid);
    }
    let alone = near.bring(guest.tid, &family);
    assert!(guest.may_use() != all);
    assert!(place(own, &second));
    alone.let_go(&family);
    assert_eq!(guest.may_use(), second, "and not what he might when it was held");
    // What is made now is made within it, and what was made before is put there.
    let _other = near.gather(None, &Family::default());
    assert_eq!(keeper.may_use(), second);
    let _third = near.bring(spare.tid, &family);
    assert_eq!(spare.may_use(), second);
    assert!(place(own, &all));
    near.spread(None);
    assert_eq!(keeper.may_use(), all, "he may use more again");
    // He is held where he is himself, and that is no less than he may use.
    assert!(place(own, &first));
    assert!(place(own, &all));
    let stays = Stays::at(sched_getcpu().unwrap());
    assert!(family.hold(Some((guest.tid, first)), Caller::this(second)));
    family.let_go_for_good(&[]);
    assert_eq!(guest.may_use(), all);
    drop(stays);
}

#[test]
fn a_caller_who_is_gone_leaves_what_was_known_of_him() {
    let all = sched_getaffinity(Pid::from_raw(0)).unwrap();
    let Some([first, _]) = two_of(&all) else { return };
    let gone = std::thread::spawn(move || Caller::this(first)).join().unwrap();
    assert_eq!(gone.may_use(), first);
    let here = Caller::this(first);
    assert_eq!(std::thread::spawn(move || here.may_use()).join().unwrap(), all);
}
