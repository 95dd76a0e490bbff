//! Short tasks are held at one processor for a moment, to be faster. No guest is to notice.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use sandtrap::{Loaded, Order, PoolSettings, Program, Runtime, Start, Task, Wall};
use sandtrap_tests::guests;

/// Times that each is asked: where a guest is held is not the same every time.
const ROUNDS: usize = 12;

fn load(start: Start) -> Loaded {
    let program = Program::file(guests::native("warmed")).within(Wall::Native).started_by(start);
    Runtime::new().unwrap().load(program).unwrap()
}

/// How many the host may use.
fn of_the_host() -> usize {
    let may_use = sched_getaffinity(Pid::from_raw(0)).unwrap();
    (0..CpuSet::count()).filter(|at| may_use.is_set(*at).unwrap()).count()
}

/// What guests find that are started in some way, in their first moment: in the main thread, and in another one before it
/// and after it.
fn found(run: impl Fn(&Task) -> sandtrap::Report) -> Vec<[usize; 3]> {
    let rounds = (0..ROUNDS).map(|round| {
        let task = Task::invoke("processors", &(round % 2 == 0)).unwrap();
        let report = run(&task);
        report.value().unwrap_or_else(|_| panic!("{}", report.verdict))
    });
    rounds.collect()
}

#[test]
fn a_guest_may_use_every_processor_of_its_host_from_its_first_moment_on() {
    let all = vec![[of_the_host(); 3]; ROUNDS];
    let (spawned, forked) = (load(Start::Spawn), load(Start::Fork));
    assert_eq!(found(|task| spawned.run(task)), all);
    assert_eq!(found(|task| forked.run(task)), all);
    for loaded in [&spawned, &forked] {
        let pool = loaded.pool(PoolSettings { spares: 1, ..PoolSettings::with_workers(1) });
        assert_eq!(found(|task| pool.run(Order::new(task.clone()))), all);
    }
}

#[test]
fn callers_at_the_same_time_are_not_in_each_others_way() {
    let (loaded, all) = (load(Start::Spawn), vec![[of_the_host(); 3]; ROUNDS]);
    std::thread::scope(|scope| {
        let callers = [(); 3].map(|()| scope.spawn(|| found(|task| loaded.run(task))));
        for caller in callers {
            assert_eq!(caller.join().unwrap(), all);
        }
    });
}

#[test]
fn a_guest_may_use_what_its_caller_may_at_the_time_of_its_call() {
    let own = Pid::from_raw(0);
    let all = sched_getaffinity(own).unwrap();
    let mut one = CpuSet::new();
    one.set((0..CpuSet::count()).find(|at| all.is_set(*at).unwrap()).unwrap()).unwrap();
    let pools = [Start::Spawn, Start::Fork].map(|start| {
        let loaded = load(start);
        let pool = loaded.pool(PoolSettings { spares: 1, ..PoolSettings::with_workers(1) });
        (loaded, pool)
    });
    let everything = of_the_host();
    for (loaded, pool) in &pools {
        for (allowed, count) in [(all, everything), (one, 1), (all, everything)] {
            sched_setaffinity(own, &allowed).unwrap();
            let expected = vec![[count; 3]; ROUNDS];
            assert_eq!(found(|task| loaded.run(task)), expected);
            // A task that is not run here is run by a worker, who was never allowed anything else.
            for found in found(|task| pool.run(Order::new(task.clone()))) {
                assert!([[count; 3], [everything; 3]].contains(&found), "{found:?}, not {count}");
            }
        }
    }
}
