//! What is told of a pool is told in the order in which it happened, whatever its threads are doing meanwhile.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use sandtrap::{Happening, Pool, PoolSettings, TaskId, Telemetry};
use sandtrap_tests::acted::Acted;

use super::{Told, label, pool, task};

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
    let (wall, told) = (Acted::new(), Told::default());
    let held: Arc<Mutex<Option<Pool>>> = Arc::default();
    let (giver, given) = (Arc::clone(&held), Arc::new(Mutex::new(None)));
    let gift = Arc::clone(&given);
    let hears = told.telemetry();
    let gives = Telemetry::to(move |happening| {
        if let Happening::TaskFinished { .. } = happening
            && let Some(pool) = giver.lock().unwrap().take()
        {
            *gift.lock().unwrap() = Some((pool.submit(task("ok")).unwrap(), pool));
        }
    });
    let telemetry = gives.and(hears);
    let pool = pool(&wall, PoolSettings { telemetry, ..PoolSettings::with_workers(1) });
    let ticket = pool.try_submit(task("gate")).unwrap();
    wall.wait_for(1);
    *held.lock().unwrap() = Some(pool);
    wall.let_go();
    assert_eq!(label(&ticket.wait()), "completed");
    while given.lock().unwrap().is_none() {
        std::thread::yield_now();
    }
    let (ticket, pool) = given.lock().unwrap().take().unwrap();
    assert_eq!(label(&ticket.wait()), "completed");
    drop(pool);
    let mut names = told.names();
    names.retain(|name| name.starts_with("task."));
    let each = ["task.queued", "task.started", "task.finished"];
    assert_eq!(names, [each, each].concat());
}
