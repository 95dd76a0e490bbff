//! Callbacks and lines, with guests that end in every way.

use std::sync::{Arc, Mutex};

use sandtrap::{
    CrashCause, Death, Ending, Evidence, Hooks, Lines, LoadError, Program, Report, Runtime, Sender,
    Signal, Source, Step, StopHandle, StopReason, Task, Verdict, Wall,
};
use sandtrap_tests::guests;
use sandtrap_tests::scripted::{Scripted, Step as Act};

fn report(ending: Ending, stopped_by_us: Option<StopReason>) -> Report {
    let evidence = Evidence { stopped_by_us, ..Evidence::of(Source::Ptrace, ending) };
    let wall = Scripted::following([Act::Ends(Box::new(evidence))]);
    let runtime = Runtime::with_walls(Arc::new(wall.clone()), Arc::new(wall));
    runtime.run(Program::file("scripted").within(Wall::Native), &Task::command([""; 0]))
}

fn signalled(signal: Signal, sender: Sender) -> Ending {
    Ending::Signalled(Death { signal, code: None, sender, fault: None })
}

/// What is called for a report, in order.
fn called(report: &Report) -> Vec<String> {
    let called = Mutex::new(Vec::new());
    let note = |name: &'static str| {
        let called = &called;
        move |_: &Report| called.lock().unwrap().push(name.to_owned())
    };
    let mut hooks = Hooks::new()
        .on_finish(note("finish"))
        .on_success(note("success"))
        .on_failure(note("failure"))
        .on_exit(|code, _| called.lock().unwrap().push(format!("exit {code}")))
        .on_crash(note("crash"))
        .on_killed(note("killed"))
        .on_timeout(note("timeout"));
    assert_eq!(hooks.tell(report), 0);
    drop(hooks);
    called.into_inner().unwrap()
}

#[test]
fn i3_i7_i8_i9_i10_i11_each_ending_has_its_callback_and_then_the_last_one() {
    let kill = || signalled(Signal::Kill, Sender::Unseen);
    for (ending, stopped, name) in [
        (Ending::Exited(0), None, "success"),
        (Ending::Exited(122), None, "exit 122"),
        (Ending::Exited(137), None, "exit 137"),
        (signalled(Signal::Abrt, Sender::Itself), None, "crash"),
        (signalled(Signal::Segv, Sender::Kernel), None, "crash"),
        (kill(), None, "killed"),
        (kill(), Some(StopReason::Cancelled), "killed"),
        (kill(), Some(StopReason::Shutdown), "killed"),
        (kill(), Some(StopReason::WallTime), "timeout"),
        (kill(), Some(StopReason::CpuTime), "timeout"),
        (kill(), Some(StopReason::Output), "failure"),
        (kill(), Some(StopReason::Result), "failure"),
        (Ending::NeverStarted(LoadError::at(Step::Find, "gone").into_refusal()), None, "failure"),
    ] {
        let shown = format!("{ending:?} {stopped:?}");
        assert_eq!(called(&report(ending, stopped)), [name, "finish"], "{shown}");
    }
}

#[test]
fn i3_i11_a_callback_that_panics_keeps_no_other_from_being_called() {
    let mut finished = 0;
    let mut hooks = Hooks::new()
        .on_success(|_| panic!("a callback that panics, as a test"))
        .on_finish(|_| finished += 1);
    assert_eq!(hooks.tell(&report(Ending::Exited(0), None)), 1);
    assert_eq!(hooks.tell(&report(Ending::Exited(1), None)), 0);
    drop(hooks);
    assert_eq!(finished, 2);
}

#[test]
fn i14_the_last_words_of_a_crash_are_a_line_too() {
    for wall in [Wall::Native, Wall::Wasm] {
        let path = match wall {
            Wall::Native => guests::native("calls"),
            Wall::Wasm => guests::wasm("calls"),
        };
        let guest = Runtime::new().unwrap().load(Program::file(path).within(wall)).unwrap();
        let mut heard = Vec::new();
        let mut lines = Lines::new(|line| {
            heard.push((line.is_stderr, line.text.into_owned(), line.is_ended));
        });
        let task = Task::invoke("writes", "one\r\ntwo").unwrap();
        let report = guest.run_with(&task, &StopHandle::new(), &mut lines);
        lines.finish();
        assert!(report.verdict.is_completed(), "{wall:?}: {:?}", report.verdict);
        heard.sort_by_key(|line| line.0);
        let of = |is_stderr, text: &str, is_ended| (is_stderr, text.to_owned(), is_ended);
        let expected = [
            of(false, "one", true),
            of(false, "two", false),
            of(true, "one", true),
            of(true, "two", false),
        ];
        assert_eq!(heard, expected, "{wall:?}");
    }
}

#[test]
fn an_unanswered_call_is_a_breach_only_where_it_ended_in_order() {
    let unanswered = |ending| {
        let mut evidence = Evidence::of(Source::Ptrace, ending);
        evidence.testimony.unanswered = Some("no answer".to_owned());
        sandtrap::classify(&evidence)
    };
    let Verdict::Crashed(crash) = unanswered(Ending::Exited(0)) else { panic!() };
    assert_eq!(crash.cause, CrashCause::Protocol { fault: "no answer".to_owned() });
    assert_eq!(unanswered(Ending::Exited(3)).label().as_str(), "failed.exit");
    let aborted = unanswered(signalled(Signal::Abrt, Sender::Itself));
    assert_eq!(aborted.label().as_str(), "crashed.abort");
}
