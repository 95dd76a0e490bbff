//! Each attempt runs within a span of its task. A test of its own: a subscriber for all threads can be set once.

use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber, span};

use crate::evidence::{Ending, Evidence, Guard, Source as Seen};
use crate::isolation::{Attempt, Cell, Ear, Image, OpenError, StopHandle, Vitals};
use crate::order::Order;
use crate::task::{Program, Task, Wall};

use super::{Pool, PoolSettings, Source};

/// Notes which spans are entered and left.
struct Notes(Arc<Mutex<Vec<String>>>);

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.push_str(&format!(" {}={value:?}", field.name()));
    }
}

impl Subscriber for Notes {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && metadata.target().starts_with("sandtrap")
    }
    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        let mut fields = Fields(attributes.metadata().name().to_owned());
        attributes.record(&mut fields);
        self.0.lock().unwrap().push(fields.0);
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &span::Id) {
        self.0.lock().unwrap().push("enter".to_owned());
    }
    fn exit(&self, _: &span::Id) {
        self.0.lock().unwrap().push("exit".to_owned());
    }
}

/// A wall whose guests note that they run.
struct Noting(Arc<Mutex<Vec<String>>>);

impl Image for Noting {
    fn open(&self) -> Result<Box<dyn Cell>, OpenError> {
        Ok(Box::new(Self(Arc::clone(&self.0))))
    }
    fn guards(&self) -> Vec<Guard> {
        Vec::new()
    }
}

impl Cell for Noting {
    fn run(&mut self, _: &Attempt<'_>, _: &StopHandle, _: &mut dyn Ear) -> Evidence {
        self.0.lock().unwrap().push("runs".to_owned());
        Evidence::of(Seen::Status, Ending::Exited(0))
    }
    fn is_usable(&self) -> bool {
        false
    }
    fn vitals(&self) -> Vitals {
        Vitals::default()
    }
}

#[test]
fn s67_each_attempt_runs_within_a_span_of_its_task() {
    let notes: Arc<Mutex<Vec<String>>> = Arc::default();
    tracing::subscriber::set_global_default(Notes(Arc::clone(&notes))).unwrap();
    let (image, program) =
        (Arc::new(Noting(Arc::clone(&notes))), Arc::new(Program::file("noting")));
    let wall = Wall::Native;
    let source = Source { image, program, wall, listener: None, shortcut: None };
    let pool = Pool::start(source, PoolSettings::with_workers(1));
    let mut task = Task::command(["x"; 0]);
    task.id = crate::task::TaskId::named("mine");
    pool.run(Order::new(task));
    drop(pool);
    let noted = notes.lock().unwrap();
    assert_eq!(*noted, ["task id=mine program=noting", "enter", "runs", "exit"]);
}
