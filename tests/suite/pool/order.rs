//! What is told of a pool is told in the order in which it happened, whatever its threads are doing meanwhile.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use sandtrap::{Happening, PoolSettings, TaskId, Telemetry};
use sandtrap_tests::acted::Acted;

use super::{pool, task};

/// How far each task is, by what was told of it; and all that was told out of its turn.
#[derive(Default)]
struct Watched {
    steps: HashMap<TaskId, u8>,
    waiting: i64,
    wrong: Vec<String>,
}

impl Watched {
    fn hear(&mut self, happening: &Happening) {
        let (task, from, waiting) = match happening {
            Happening::TaskQueued { task, .. } => (task, 0, 1),
            Happening::TaskStarted { task, .. } => (task, 1, -1),
            Happening::TaskFinished { task, .. } => (task, 2, 0),
            _ => return,
        };
        self.waiting += waiting;
        let step = self.steps.entry(task.clone()).or_default();
        if *step != from || self.waiting < 0 {
            self.wrong.push(format!("{happening:?} at step {step}, {} wait", self.waiting));
        }
        *step += 1;
    }
}

#[test]
fn no_task_is_told_to_run_before_it_was_told_to_wait() {
    let (wall, watched) = (Acted::new(), Arc::new(Mutex::new(Watched::default())));
    let ear = Arc::clone(&watched);
    let telemetry = Telemetry::to(move |happening| ear.lock().unwrap().hear(happening));
    let pool = pool(&wall, PoolSettings { telemetry, ..PoolSettings::with_workers(4) });
    let (callers, each) = (4, 500);
    std::thread::scope(|scope| {
        for _ in 0..callers {
            scope.spawn(|| {
                let tickets: Vec<_> = (0..each).map(|_| pool.submit(task("ok")).unwrap()).collect();
                tickets.into_iter().for_each(|ticket| drop(ticket.wait()));
            });
        }
    });
    drop(pool);
    let watched = watched.lock().unwrap();
    assert_eq!(watched.wrong, Vec::<String>::new());
    assert_eq!(watched.steps.len(), callers * each);
    assert!(watched.steps.values().all(|step| *step == 3), "a task's end was not told");
}

#[test]
fn a_callback_that_gives_the_pool_work_hears_of_it_afterwards() {
    let (wall, told) = (Acted::new(), Arc::new(Mutex::new(Vec::new())));
    let held = Arc::new(Mutex::new(None));
    let (ear, giver) = (Arc::clone(&told), Arc::clone(&held));
    let telemetry = Telemetry::to(move |happening| {
        ear.lock().unwrap().push(happening.name());
        if matches!(happening, Happening::TaskFinished { .. })
            && let Some((pool, order)) = giver.lock().unwrap().take()
        {
            let pool: sandtrap::Pool = pool;
            let ticket = pool.submit(order).unwrap();
            // Its worker leaves its news to this thread, so that the report can be waited for here.
            assert_eq!(super::label(&ticket.wait()), "completed");
            ear.lock().unwrap().push("answered");
        }
    });
    let pool = pool(&wall, PoolSettings { telemetry, ..PoolSettings::with_workers(2) });
    let ticket = pool.try_submit(task("gate")).unwrap();
    wall.wait_for(1);
    *held.lock().unwrap() = Some((pool, task("ok")));
    wall.let_go();
    assert_eq!(super::label(&ticket.wait()), "completed");
    let names = loop {
        let names: Vec<_> =
            told.lock().unwrap().iter().copied().filter(|n| !n.starts_with("worker")).collect();
        if names.iter().filter(|name| **name == "task.finished").count() == 2 {
            break names;
        }
        std::thread::yield_now();
    };
    let expected = ["queued", "started", "finished", "queued", "started", "finished"];
    let mut expected: Vec<_> = expected.iter().map(|name| format!("task.{name}")).collect();
    expected.insert(3, "answered".to_owned());
    assert_eq!(names, expected);
}
