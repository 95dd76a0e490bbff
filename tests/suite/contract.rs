//! The door and the contract, without any wall: a script plays the guest.

use sandtrap::{
    Ending, Event, Evidence, LoadError, Program, Runtime, Source, Step, StopHandle, StopReason,
    Task, Wall,
};
use sandtrap_tests::scripted::{Scripted, Step as Act};
use std::sync::Arc;

fn runtime(wall: &Scripted) -> Runtime {
    Runtime::with_walls(Arc::new(wall.clone()), Arc::new(wall.clone()))
}

fn program() -> Program {
    Program::file("scripted").within(Wall::Native)
}

fn task() -> Task {
    Task::command(Vec::<String>::new())
}

fn ends(ending: Ending) -> Act {
    Act::Ends(Box::new(Evidence::of(Source::Ptrace, ending)))
}

#[test]
fn every_ending_becomes_one_report() {
    let wall = Scripted::following([ends(Ending::Exited(0)), ends(Ending::Exited(3))]);
    let loaded = runtime(&wall).load(program()).unwrap();
    assert_eq!(loaded.run(&task()).verdict.label().as_str(), "completed");
    assert_eq!(loaded.run(&task()).verdict.to_string(), "exited with code 3");
    assert_eq!(wall.left(), 0);
}

#[test]
fn a_program_that_cannot_be_loaded_is_an_error_or_a_report_as_asked() {
    let wall = Scripted::refusing(LoadError::at(Step::Parse, "not a module"));
    let error = runtime(&wall).load(program()).unwrap_err();
    assert_eq!(error.verdict().label().as_str(), "unstarted.invalid-module");
    let report = runtime(&wall).run(program(), &task());
    assert_eq!(&report.verdict, error.verdict());
    assert_eq!(report.facts.stopped_by_us, None);
}

#[test]
fn a_program_that_was_stopped_while_it_was_loaded_is_no_bad_program() {
    for (reason, label) in
        [(StopReason::Cancelled, "stopped.cancelled"), (StopReason::Shutdown, "stopped.shutdown")]
    {
        let wall = Scripted::refusing(LoadError::stopped(reason));
        let report = runtime(&wall).run(program(), &task());
        assert_eq!(report.verdict.label().as_str(), label);
        assert_eq!(report.facts.stopped_by_us, Some(reason));
        let error = runtime(&wall).load(program()).unwrap_err();
        assert_eq!(error.verdict().label().as_str(), label);
    }
}

#[test]
fn a_cell_that_cannot_be_opened_is_a_report() {
    let error = LoadError::at(Step::Reserve, "no room").with_errno(Some(11));
    let wall = Scripted::following([Act::CannotOpen(error)]);
    let report = runtime(&wall).load(program()).unwrap().run(&task());
    assert_eq!(report.verdict.label().as_str(), "unstarted.resources");
}

#[test]
fn an_ear_hears_everything_in_order() {
    let says = |text: &str| Act::Says(text.as_bytes().to_vec());
    let wall = Scripted::following([says("a"), says("b"), ends(Ending::Exited(0))]);
    let mut heard = Vec::new();
    let mut ear = |event: Event<'_>| {
        if let Event::Stdout(bytes) = event {
            heard.extend_from_slice(bytes);
        }
    };
    runtime(&wall).run_with(program(), &task(), &StopHandle::new(), &mut ear);
    assert_eq!(heard, b"ab");
}

#[test]
fn a_stop_from_another_thread_ends_a_task_that_waits() {
    let wall = Scripted::following([Act::WaitsForStop]);
    let (stop, runtime) = (StopHandle::new(), runtime(&wall));
    std::thread::scope(|scope| {
        scope.spawn(|| stop.stop(StopReason::Cancelled));
        let report = runtime.run_with(program(), &task(), &stop, &mut sandtrap::Deaf);
        assert_eq!(report.verdict.label().as_str(), "stopped.cancelled");
    });
}

#[test]
fn limits_nothing_could_live_with_are_refused_before_the_wall_is_asked() {
    let wall = Scripted::following([ends(Ending::Exited(0))]);
    let limits =
        sandtrap::Limits { memory: sandtrap::ByteSize::kib(1), ..sandtrap::Limits::default() };
    let report = runtime(&wall).run(program().limits(limits.clone()), &task());
    assert_eq!(report.verdict.label().as_str(), "unstarted.rejected");
    let loaded = runtime(&wall).load(program()).unwrap();
    let report = loaded.run(&task().limits(limits));
    assert_eq!(report.verdict.label().as_str(), "unstarted.rejected");
    assert_eq!(wall.left(), 1);
}

#[test]
fn the_stack_of_a_task_cannot_differ_from_its_programs() {
    let wall = Scripted::following([ends(Ending::Exited(0))]);
    let limits =
        sandtrap::Limits { stack: sandtrap::ByteSize::mib(2), ..sandtrap::Limits::default() };
    let report = runtime(&wall).load(program()).unwrap().run(&task().limits(limits));
    assert_eq!(report.verdict.label().as_str(), "unstarted.rejected");
}
