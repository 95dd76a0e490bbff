//! Runs small modules through the whole wall and looks at the evidence.

mod component_calls;
mod component_stops;
mod components;
mod composed;
mod dumps;
mod endings;
mod entries;
mod heap;
#[cfg(target_os = "linux")]
mod inputs;
mod limits;
mod loading;
mod waiting;
mod wasi;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::event::Event;
use crate::evidence::{Ending, Evidence, Refusal, StopReason, TrapCause};
use crate::isolation::{Attempt, Deaf, Ear, Image, Isolation, LoadError, StopHandle};
use crate::limits::Limits;
use crate::task::{Program, Task};

use super::{Tools, WasmWall};

/// Far longer than anything here takes: a test that is ended by it fails by name instead of hanging.
const AMPLE: Duration = Duration::from_secs(60);

/// The functions of WASI that the modules here use.
const WASI: &str = r#"
    (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
    (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
"#;

fn limits() -> Limits {
    Limits { wall: AMPLE, cpu: AMPLE, ..Limits::default() }
}

fn command() -> Task {
    Task::command(Vec::<String>::new())
}

/// A module of these lines, with WASI imported.
fn wasi(body: &str) -> String {
    format!("(module {WASI} {body})")
}

/// A module that does this when it is run.
fn start(body: &str) -> String {
    format!("(module (memory (export \"memory\") 1) (func (export \"_start\") {body}))")
}

fn program(text: &str) -> Program {
    Program::module("test.wat", text.as_bytes()).limits(limits())
}

fn load(program: &Program) -> Result<Arc<dyn Image>, LoadError> {
    WasmWall::new(Tools::default(), 80).load(program)
}

fn run(text: &str) -> Evidence {
    run_task(&program(text), &command())
}

fn run_task(program: &Program, task: &Task) -> Evidence {
    let image = load(program).unwrap();
    run_image(&*image, program, task, &StopHandle::new(), &mut Deaf)
}

fn run_image(
    image: &dyn Image,
    program: &Program,
    task: &Task,
    stop: &StopHandle,
    ear: &mut dyn Ear,
) -> Evidence {
    let limits = task.limits.as_ref().unwrap_or(&program.policy().limits);
    let (entry, stdout, began) = (&task.entry, task.stdout, Instant::now());
    let attempt = Attempt { task: &task.id, entry, limits, stdout, began, silence: None };
    image.open().unwrap().run(&attempt, stop, ear)
}

#[track_caller]
fn refusal(evidence: &Evidence) -> &Refusal {
    match &evidence.ending {
        Ending::NeverStarted(refusal) => refusal,
        other => panic!("it was not refused: {other:?}"),
    }
}

/// What is heard of a guest, one letter for each piece.
fn letters(heard: &mut String) -> impl FnMut(Event<'_>) + '_ {
    |event| match event {
        Event::Stdout(_) => heard.push('o'),
        Event::Stderr(_) => heard.push('e'),
        Event::Started { .. } => heard.push('s'),
        Event::Log { .. } | Event::Progress { .. } | Event::Emitted { .. } => heard.push('w'),
    }
}

/// Runs many guests at once, each of which writes so many single bytes, and stops one of them: none of the
/// others notices.
fn assert_only_the_stopped_one_ends(program: &Program, guests: usize, writes: u64) {
    let image = load(program).unwrap();
    let stopped = guests / 4;
    let guest = |is_stopped: bool| {
        let stop = StopHandle::new();
        let own = stop.clone();
        let mut ear = move |_: Event<'_>| {
            if is_stopped {
                own.stop(StopReason::Cancelled);
            }
        };
        run_image(&*image, program, &command(), &stop, &mut ear)
    };
    let all: Vec<Evidence> = std::thread::scope(|scope| {
        let guest = &guest;
        let all: Vec<_> =
            (0..guests).map(|one| scope.spawn(move || guest(one == stopped))).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    for (one, evidence) in all.iter().enumerate() {
        if one == stopped {
            assert_eq!(evidence.stopped_by_us, Some(StopReason::Cancelled));
            assert_eq!(evidence.ending, Ending::Trapped(TrapCause::Interrupted));
        } else {
            assert_eq!((&evidence.ending, evidence.stopped_by_us), (&Ending::Exited(0), None));
            assert_eq!(evidence.usage.stdout_bytes, writes);
        }
    }
}
