//! The pool over processes that stay, and over processes that stand ready: what dies is replaced, and nobody's call is
//! hit by it.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sandtrap::policy::restart::RestartSettings;
use sandtrap::policy::retry::RetrySettings;
use sandtrap::{
    ByteSize, ExecutorSettings, Label, Limits, Loaded, Order, Pool, PoolSettings, Program, Reuse,
    Runtime, Task,
};
use sandtrap_tests::children::children;
use sandtrap_tests::guests;

fn limits() -> Limits {
    let ample = Duration::from_secs(120);
    Limits { wall: ample, cpu: ample, memory: ByteSize::mib(64), ..Limits::default() }
}

pub(super) fn load(guest: &str) -> Loaded {
    let program = Program::file(guests::native(guest)).limits(limits());
    Runtime::new().unwrap().load(program).unwrap()
}

pub(super) fn one_worker(keep: Option<Reuse>, spares: usize) -> PoolSettings {
    // Whoever has to wait for a restart waits for an hour.
    let hour = Duration::from_secs(3_600);
    let restart = RestartSettings { first: hour, most: hour, ..RestartSettings::default() };
    PoolSettings { keep, spares, restart, ..PoolSettings::with_workers(1) }
}

/// Nobody waits for a restart.
fn at_once() -> RestartSettings {
    let (first, most) = (Duration::from_micros(1), Duration::from_micros(1));
    RestartSettings { first, most, deaths: u32::MAX, ..RestartSettings::default() }
}

pub(super) fn next() -> Order {
    Order::new(Task::invoke("next", &()).unwrap())
}

/// What `next` says, and who.
fn counted(pool: &Pool) -> (u64, u32) {
    let report = pool.run(next());
    (report.value().unwrap_or_else(|_| panic!("{:?}", report.verdict)), report.task.pid.unwrap())
}

/// The processes of a guest that are there; zombies are not.
pub(super) fn processes(guest: &str) -> BTreeSet<u32> {
    let is_guest = |pid: &u32| {
        fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| {
            let name = line.split(|byte| *byte == 0).next().unwrap_or_default();
            name.ends_with(format!("/{guest}").as_bytes())
        })
    };
    children().into_iter().map(i32::cast_unsigned).filter(is_guest).collect()
}

fn end(pid: u32) {
    kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).unwrap();
    while processes("stays").contains(&pid) {
        std::thread::yield_now();
    }
}

pub(super) fn wait_for(pool: &Pool, spares: usize) {
    while pool.status().spares < spares {
        std::thread::yield_now();
    }
}

#[test]
fn s70_processes_are_recycled_by_tasks_by_what_they_hold_and_by_age() {
    let loaded = load("stays");
    let tasks = Reuse { max_tasks: 3, ..Reuse::default() };
    let pool = loaded.pool(one_worker(Some(tasks), 0));
    let said: Vec<u64> = (0..7).map(|_| counted(&pool).0).collect();
    assert_eq!(said, [1, 2, 3, 1, 2, 3, 1]);

    let resident = Reuse { max_resident: ByteSize::mib(16), ..Reuse::default() };
    let pool = loaded.pool(one_worker(Some(resident), 0));
    counted(&pool);
    let holds = Order::new(Task::invoke("holds", &(24_usize << 20)).unwrap());
    assert_eq!(pool.run(holds).verdict.label(), Label::Completed);
    assert_eq!(counted(&pool).0, 1);

    let age = Reuse { max_age: Duration::from_millis(20), ..Reuse::default() };
    let pool = loaded.pool(one_worker(Some(age), 0));
    let mut pids = BTreeSet::new();
    while pids.len() < 3 {
        pids.insert(counted(&pool).1);
    }
    assert_eq!(pool.status().workers[0].crashes, 0, "none of that is a death");
}

#[test]
fn a_worker_killed_while_it_waits_costs_no_call() {
    let pool = load("stays").pool(one_worker(Some(Reuse::default()), 0));
    let (_, first) = counted(&pool);
    end(first);
    // Nobody had to ask for it to be seen.
    while pool.status().workers[0].crashes == 0 {
        std::thread::yield_now();
    }
    let (said, second) = counted(&pool);
    assert!(said == 1 && first != second);
    assert_eq!(pool.status().workers[0].crashes, 1);
}

#[test]
fn p1_a_worker_killed_before_it_reads_its_call_costs_no_call_however_late_that_is_seen() {
    let settings = PoolSettings { keep: Some(Reuse::default()), ..PoolSettings::with_workers(2) };
    let pool = load("stays").pool(PoolSettings { restart: at_once(), ..settings });
    let mut died = 0;
    for _ in 0..200 {
        let (_, pid) = counted(&pool);
        kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).unwrap();
        // Whoever looks finds it alive, dying, or dead.
        let (said, next) = counted(&pool);
        assert!(said == 1 || next != pid);
        died += 1;
    }
    while pool.status().workers.iter().map(|worker| worker.crashes).sum::<u64>() < died {
        std::thread::yield_now();
    }
}

#[test]
fn p2_a_crash_of_a_kept_process_costs_one_call_and_a_spare_takes_its_place() {
    let pool = load("stays").pool(one_worker(Some(Reuse::default()), 2));
    wait_for(&pool, 2);
    // The first restart is at once, the second after an hour: there is no second one.
    for _ in 0..4 {
        counted(&pool);
        let died = pool.run(Order::new(Task::invoke("aborts", &()).unwrap()));
        assert_eq!(died.verdict.label(), Label::CrashedAbort);
        assert_eq!(counted(&pool).0, 1);
        wait_for(&pool, 2);
    }
}

#[test]
fn b6_each_call_in_a_spare_has_a_process_of_its_own_that_was_there_before() {
    let pool = load("stays").pool(one_worker(None, 2));
    let mut pids = BTreeSet::new();
    for _ in 0..10 {
        wait_for(&pool, 2);
        // What was just started shows under its own name when the kernel has come to its program.
        let ready = loop {
            let ready: BTreeSet<_> = processes("stays").difference(&pids).copied().collect();
            if ready.len() == 2 {
                break ready;
            }
            std::thread::yield_now();
        };
        let (said, pid) = counted(&pool);
        assert_eq!(said, 1, "nobody has used it before");
        assert!(ready.contains(&pid), "it was there before its call");
        assert!(pids.insert(pid), "nobody uses it again");
    }
    // One that takes more than is ready is served all the same.
    let tickets: Vec<_> = (0..4).map(|_| pool.try_submit(next()).unwrap()).collect();
    tickets.into_iter().for_each(|it| assert_eq!(it.wait().value::<u64>().unwrap(), 1));
    drop(pool);
    assert_eq!(processes("stays"), BTreeSet::new());
}

#[test]
fn commands_and_calls_with_other_limits_are_not_served_by_spares() {
    let pool = load("stays").pool(one_worker(None, 1));
    wait_for(&pool, 1);
    let command = pool.run(Order::new(Task::command(["next", "null"])));
    assert_eq!(command.output.stdout_text().trim(), "1", "{:?}", command.verdict);
    assert_eq!(pool.status().spares, 1);
    let ready = processes("stays");
    let limits = Limits { memory: ByteSize::mib(32), ..Limits::default() };
    let report = pool.run(Order::new(Task::invoke("next", &()).unwrap().limits(limits)));
    assert_eq!(report.limits.memory, ByteSize::mib(32));
    assert!(!ready.contains(&report.task.pid.unwrap()));
}

#[test]
fn a_spare_that_dies_is_replaced_and_hits_nobody() {
    let settings = PoolSettings { spares: 1, ..PoolSettings::with_workers(1) };
    let pool = load("stays").pool(settings);
    for _ in 0..3 {
        wait_for(&pool, 1);
        let before = processes("stays");
        before.iter().for_each(|pid| end(*pid));
        // Nobody had to ask for it.
        while processes("stays").difference(&before).count() == 0 {
            std::thread::yield_now();
        }
        wait_for(&pool, 1);
        assert_eq!(counted(&pool).0, 1);
    }
    assert_eq!(pool.status().workers[0].crashes, 0);
}

#[test]
fn s12_spares_that_die_at_start_are_not_made_without_end() {
    // It has no functions, and ends at once; its second start is after an hour.
    let pool = load("hello").pool(one_worker(None, 1));
    let report = pool.run(Order::new(Task::command(["x"; 0])));
    assert_eq!(report.verdict.label(), Label::Completed);
    while pool.status().spares > 0 {
        std::thread::yield_now();
    }
    let report = pool.run(next());
    assert_eq!(report.verdict.label(), Label::CrashedProtocol, "{}", report.verdict);
}

#[test]
fn s12_a_program_without_functions_says_so_when_it_is_to_be_kept() {
    let pool = load("hello").pool(one_worker(Some(Reuse::default()), 0));
    let report = pool.run(next());
    assert_eq!(report.verdict.label(), Label::CrashedProtocol, "{}", report.verdict);
}

#[test]
fn a_task_under_limits_of_its_own_has_a_guest_of_its_own_and_the_kept_one_is_there_for_the_others()
{
    let pool = load("stays").pool(one_worker(Some(Reuse::default()), 0));
    let own = |memory| {
        let mut order = next();
        let limits = Limits { memory: ByteSize::mib(memory), ..limits() };
        order.task.limits = Some(limits);
        let report = pool.run(order);
        assert_eq!(report.limits.memory, ByteSize::mib(memory));
        report.value::<u64>().unwrap_or_else(|_| panic!("{:?}", report.verdict))
    };
    // Before its guest has had a task, and after.
    assert_eq!(own(96), 1);
    let (first, pid) = counted(&pool);
    assert_eq!((first, own(80), own(96)), (1, 1, 1));
    assert_eq!(counted(&pool), (2, pid));
    let status = pool.status();
    assert_eq!((status.workers[0].crashes, status.workers[0].tasks), (0, 5));
}

#[test]
fn a_task_that_is_refused_under_limits_of_its_own_leaves_the_kept_guest_where_it_is() {
    for guest in [guests::native("stays"), guests::wasm("stays")] {
        let loaded = Runtime::new().unwrap().load(Program::file(guest).limits(limits())).unwrap();
        let pool = loaded.pool(one_worker(Some(Reuse::default()), 0));
        let next_of = |pool: &Pool| pool.run(next()).value::<u64>().unwrap();
        assert_eq!(next_of(&pool), 1);
        let none = Duration::ZERO;
        let refused = [
            Limits { memory: ByteSize::mib(96), wall: none, ..limits() },
            Limits { memory: ByteSize::mib(96), stack: ByteSize::mib(3), ..limits() },
        ];
        for (calls, limits) in (2..).zip(refused) {
            let mut order = next();
            order.task.limits = Some(limits);
            let report = pool.run(order);
            assert_eq!(report.verdict.label(), Label::UnstartedRejected, "{}", report.verdict);
            assert_eq!(next_of(&pool), calls, "the guest that was kept");
        }
        assert_eq!(pool.status().workers[0].worker, 1);
    }
}

#[test]
fn s40_a_retry_with_more_memory_leaves_the_kept_guests_as_they_are() {
    let retry = RetrySettings { most_memory: Some(ByteSize::mib(256)), ..RetrySettings::default() };
    let grace = Some(Duration::from_secs(3_600));
    let pool = PoolSettings { restart: at_once(), grace, ..one_worker(Some(Reuse::default()), 0) };
    let settings = ExecutorSettings { retry: Some(retry), pool, ..ExecutorSettings::default() };
    let executor = load("stays").executor(settings);
    let touches = |bytes: usize| {
        let order = Order::new(Task::invoke("touches", &bytes).unwrap()).idempotent();
        let report = executor.run(order);
        assert_eq!(Some(report.limits.grace), grace, "the pool's, in each attempt");
        (report.verdict.label(), report.attempts, report.limits.memory)
    };
    assert_eq!(touches(96 << 20), (Label::Completed, 2, ByteSize::mib(128)));
    for _ in 0..3 {
        assert_eq!(touches(1 << 20), (Label::Completed, 1, ByteSize::mib(64)));
    }
}
