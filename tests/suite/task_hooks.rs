//! Callbacks that hang on tasks: called once for each, whatever becomes of it, and nobody has to remember them.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::thread::{self, ThreadId};
use std::time::Duration;

use sandtrap::policy::retry::{BudgetSettings, RetrySettings};
use sandtrap::{
    Executor, ExecutorSettings, Hooks, Loaded, Order, Pool, PoolSettings, Program, Report, Reuse,
    Runtime, Task, Wall,
};
use sandtrap_tests::acted::Acted;
use sandtrap_tests::guests::Form;

/// What was called, in order, and on which thread.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<(String, ThreadId)>>>);

impl Heard {
    fn note(&self, name: &'static str) -> impl FnMut(&Report) + Send + 'static + use<> {
        let heard = self.clone();
        move |report: &Report| heard.push(format!("{name} {}", report.task.id))
    }

    fn push(&self, what: String) {
        self.0.lock().unwrap().push((what, thread::current().id()));
    }

    fn hooks(&self) -> Hooks<'static> {
        let heard = self.clone();
        Hooks::new()
            .on_finish(self.note("finish"))
            .on_success(self.note("success"))
            .on_failure(self.note("failure"))
            .on_exit(move |code, report| heard.push(format!("exit-{code} {}", report.task.id)))
            .on_crash(self.note("crash"))
            .on_killed(self.note("killed"))
            .on_timeout(self.note("timeout"))
    }

    /// What was called for a task.
    fn of(&self, task: &str) -> Vec<String> {
        let heard = self.0.lock().unwrap();
        let of = heard.iter().filter_map(|(what, _)| what.strip_suffix(&format!(" {task}")));
        of.map(str::to_owned).collect()
    }

    fn threads(&self) -> Vec<ThreadId> {
        self.0.lock().unwrap().iter().map(|(_, thread)| *thread).collect()
    }
}

fn named(mut task: Task, name: &str) -> Order {
    task.id = sandtrap::TaskId::named(name);
    Order::new(task)
}

fn acted(does: &str, name: &str, heard: &Heard) -> Order {
    named(Task::command([does]), name).hooks(heard.hooks())
}

fn load(wall: &Acted) -> Loaded {
    let runtime = Runtime::with_walls(Arc::new(wall.clone()), Arc::new(wall.clone()));
    runtime.load(Program::file("acted").within(Wall::Native)).unwrap()
}

fn pool(wall: &Acted, workers: usize) -> Pool {
    load(wall).pool(PoolSettings { queue: 10, ..PoolSettings::with_workers(workers) })
}

fn executor(wall: &Acted) -> Executor {
    let budget = BudgetSettings { most: 100, ..BudgetSettings::default() };
    let retry = RetrySettings { first: Duration::ZERO, budget, ..RetrySettings::default() };
    let settings = ExecutorSettings::with_workers(1);
    load(wall).executor(ExecutorSettings { retry: Some(retry), breaker: None, ..settings })
}

#[test]
fn i3_i11_real_tasks_of_pools_and_executors_have_their_callbacks_behind_both_walls() {
    for form in [Form::Process, Form::Module] {
        let loaded = Runtime::new().unwrap().load(Program::file(form.guest("calls"))).unwrap();
        let call = |function: &str, input: i64| match function {
            "add" => Task::invoke(function, &(input, 1_i64)).unwrap(),
            "divide" => Task::invoke(function, &(1_i64, input)).unwrap(),
            _ => Task::invoke(function, &3_i32).unwrap(),
        };
        let cases = [
            ("well", call("add", 1), "success"),
            ("fails", call("divide", 0), "failure"),
            ("exits", call("exits", 3), "exit-3"),
            ("nowhere", call("nowhere", 0), "failure"),
        ];
        for keep in [None, Some(Reuse::default())] {
            let heard = Heard::default();
            let settings = PoolSettings { keep, ..PoolSettings::with_workers(2) };
            let pool = loaded.pool(settings.clone());
            let tickets: Vec<_> = cases
                .iter()
                .map(|(name, task, _)| {
                    pool.submit(named(task.clone(), name).hooks(heard.hooks())).unwrap()
                })
                .collect();
            for (ticket, (name, _, kind)) in tickets.into_iter().zip(&cases) {
                drop(ticket.wait());
                // Whoever has the report comes after them.
                assert_eq!(heard.of(name), [*kind, "finish"], "{form:?} {keep:?} {name}");
            }
            let heard = Heard::default();
            let around = ExecutorSettings { pool: settings, ..ExecutorSettings::default() };
            let executor = loaded.executor(around);
            for (name, task, kind) in &cases {
                executor.run(named(task.clone(), name).hooks(heard.hooks()));
                assert_eq!(heard.of(name), [*kind, "finish"], "{form:?} {keep:?} {name}");
            }
            let here = thread::current().id();
            assert!(heard.threads().iter().all(|thread| *thread == here), "it is the caller's own");
        }
        let mut codes = Vec::new();
        loaded.run_then(&cases[2].1, Hooks::new().on_exit(|code, _| codes.push(code)));
        assert_eq!(codes, [3], "{form:?}");
    }
}

#[test]
fn i11_what_never_ran_has_its_callbacks_once_too() {
    let (wall, heard) = (Acted::new(), Heard::default());
    let pool = load(&wall).pool(PoolSettings { queue: 3, ..PoolSettings::with_workers(1) });
    drop(pool.submit(acted("gate", "runs", &heard)).unwrap());
    wall.wait_for(1);
    let soon = acted("ok", "late", &heard).queued_at_most(Duration::from_millis(2));
    let late = pool.try_submit(soon).unwrap();
    assert_eq!(late.wait().verdict.label().as_str(), "unstarted.rejected");
    let cancelled = pool.try_submit(acted("ok", "cancelled", &heard)).unwrap();
    let returned = ["a", "b"].map(|name| pool.try_submit(acted("ok", name, &heard)).unwrap());
    let refused = pool.try_submit(acted("ok", "refused", &heard)).unwrap_err();
    assert_eq!(heard.of("refused"), [""; 0], "it came back, and may be submitted again");
    (0..2).for_each(|_| _ = pool.report_of(&refused));
    cancelled.cancel();
    assert_eq!(heard.of("cancelled"), ["killed", "finish"]);
    let [first, dropped] = returned;
    drop(dropped);
    drop(pool);
    for (name, kind) in
        [("late", "failure"), ("refused", "failure"), ("a", "failure"), ("b", "failure")]
    {
        assert_eq!(heard.of(name), [kind, "finish"], "{name}");
    }
    assert_eq!(heard.of("runs"), ["killed", "finish"], "it was stopped with its pool");
    assert_eq!(first.wait().verdict.label().as_str(), "unstarted.rejected");
}

#[test]
fn i11_they_are_called_where_the_task_ends() {
    let (wall, heard) = (Acted::new(), Heard::default());
    let here = thread::current().id();
    let pool = pool(&wall, 1);
    drop(pool.submit(acted("ok", "theirs", &heard)).unwrap().wait());
    let worker = wall.thread().unwrap();
    assert_eq!(heard.threads(), [worker; 2], "on the worker's thread");
    let heard = Heard::default();
    pool.run(acted("ok", "ours", &heard));
    // Its caller stands in for a worker that is idle, or else a worker runs it.
    assert_eq!(heard.threads(), [wall.thread().unwrap(); 2]);
    drop(pool.submit(named(Task::command(["gate"]), "busy")).unwrap());
    wall.wait_for(3);
    let heard = Heard::default();
    pool.submit(acted("ok", "cancelled", &heard)).unwrap().cancel();
    assert_eq!(heard.threads(), [here; 2], "on that of whoever cancels it");
    wall.let_go();
}

#[test]
fn i11_a_run_with_many_attempts_ends_once_and_a_run_that_is_dropped_ends_by_that() {
    let (wall, heard) = (Acted::new(), Heard::default());
    let executor = executor(&wall);
    wall.flaky_for(2);
    let report = executor.run(acted("flaky", "flaky", &heard).idempotent());
    assert_eq!(
        (report.attempts, heard.of("flaky")),
        (3, vec!["success".to_owned(), "finish".into()])
    );
    let unpolled = executor.submit(acted("ok", "unpolled", &heard));
    assert_eq!(heard.of("unpolled"), [""; 0]);
    drop(unpolled);
    assert_eq!(heard.of("unpolled"), ["killed", "finish"]);
    {
        let mut begun = pin!(executor.submit(acted("gate", "begun", &heard)));
        assert!(begun.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        wall.wait_for(4);
    }
    assert_eq!(heard.of("begun"), ["killed", "finish"]);
}

#[test]
fn i3_a_callback_of_a_task_that_panics_harms_nobody() {
    struct Bursts;
    impl Drop for Bursts {
        fn drop(&mut self) {
            assert!(thread::panicking(), "what a callback holds panics when it goes, as a test");
        }
    }
    let (wall, heard) = (Acted::new(), Heard::default());
    let pool = pool(&wall, 1);
    let bursts = Bursts;
    let hooks = Hooks::new().on_success(|_| panic!("a callback that panics, as a test")).on_finish(
        move |report| {
            let _ = &bursts;
            heard.note("finish")(report);
        },
    );
    let order = named(Task::command(["ok"]), "panics").hooks(hooks);
    assert!(pool.submit(order).unwrap().wait().verdict.is_completed());
    for _ in 0..3 {
        assert!(pool.run(Order::new(Task::command(["ok"]))).verdict.is_completed());
    }
    assert_eq!((pool.status().workers[0].crashes, pool.status().finished), (0, 4));
}

#[test]
fn a_callback_may_use_the_pool_and_give_it_work() {
    let wall = Acted::new();
    let pool = Arc::new(pool(&wall, 1));
    let (tell, told) = std::sync::mpsc::channel();
    let again = Arc::clone(&pool);
    let hooks = Hooks::new().on_finish(move |_| {
        let ticket = again.submit(Order::new(Task::command(["ok"]))).unwrap();
        tell.send((ticket, again.status().finished)).unwrap();
    });
    drop(pool.submit(Order::new(Task::command(["ok"])).hooks(hooks)).unwrap());
    let (ticket, finished) = told.recv().unwrap();
    assert!(ticket.wait().verdict.is_completed() && finished >= 1);
}
