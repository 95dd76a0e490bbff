//! A guest that is told to end and has some time for it: what it makes of that, and what is made of it.

use std::sync::OnceLock;
use std::time::Duration;

use sandtrap::{
    ByteSize, Ending, Event, Limits, Loaded, Permissions, Profile, Program, Report, Runtime,
    Signal, Source, StopHandle, StopReason, Task, Wall, classify,
};
use sandtrap::{
    Death, ErrorReport, Evidence, PanicReport, Payload, Refusal, Sender, Step, TrapCause,
};
use sandtrap_tests::guests;

pub(super) const WALLS: [Wall; 2] = [Wall::Native, Wall::Wasm];

/// Nobody waits for its end.
pub(super) const LONG: Duration = Duration::from_secs(3_600);

pub(super) fn limits(grace: Duration) -> Limits {
    let ample = Duration::from_secs(120);
    Limits {
        wall: ample,
        cpu: ample,
        grace,
        memory: ByteSize::mib(64),
        result: ByteSize::mib(1),
        ..Limits::default()
    }
}

pub(super) fn program(wall: Wall, name: &str, limits: Limits) -> Program {
    let path = match wall {
        Wall::Native => guests::native(name),
        Wall::Wasm => guests::wasm(name),
    };
    Program::file(path).within(wall).limits(limits)
}

/// Loaded once: each task brings its own limits.
pub(super) fn load(wall: Wall) -> Loaded {
    static LOADED: [OnceLock<Loaded>; 2] = [OnceLock::new(), OnceLock::new()];
    let at = usize::from(wall == Wall::Wasm);
    let load = || Runtime::new().unwrap().load(program(wall, "told", limits(Duration::ZERO)));
    LOADED[at].get_or_init(|| load().unwrap()).clone()
}

pub(super) fn ends(how: &str, grace: Duration) -> Task {
    Task::invoke("ends", how).unwrap().limits(limits(grace))
}

pub(super) fn label(report: &Report) -> &'static str {
    report.verdict.label().as_str()
}

/// Asks for an end as soon as the guest has begun.
pub(super) fn asking(stop: &StopHandle, reason: StopReason) -> impl FnMut(Event<'_>) {
    move |event: Event<'_>| {
        if matches!(event, Event::Emitted { .. }) {
            stop.stop(reason);
        }
    }
}

fn told(wall: Wall, how: &str, limits: Limits, reason: StopReason) -> Report {
    let stop = StopHandle::new();
    let task = Task::invoke("ends", how).unwrap().limits(limits);
    load(wall).run_with(&task, &stop, &mut asking(&stop, reason))
}

fn told_of(report: &Report) -> (Option<StopReason>, Option<StopReason>) {
    (report.facts.told_to_end, report.facts.stopped_by_us)
}

#[test]
fn what_a_guest_does_in_its_time_decides_what_is_said_of_it() {
    for wall in WALLS {
        for (how, expected) in [
            ("all", "completed"),
            ("fails", "stopped.cancelled"),
            ("gives up", "stopped.cancelled"),
            ("exits", "stopped.cancelled"),
            ("exits in order", "stopped.cancelled"),
            ("panics", "failed.panic"),
            ("aborts", "crashed.abort"),
            ("reads wild", "crashed.memory-fault"),
            ("fills memory", "crashed.out-of-memory"),
            ("floods", "stopped.result"),
        ] {
            let report = told(wall, how, limits(LONG), StopReason::Cancelled);
            assert_eq!(label(&report), expected, "{wall:?} {how}: {report:#?}");
            assert_eq!(report.facts.told_to_end, Some(StopReason::Cancelled), "{wall:?} {how}");
        }
    }
}

#[test]
fn what_it_said_before_it_ended_is_kept() {
    for wall in WALLS {
        let all = told(wall, "all", limits(LONG), StopReason::Cancelled);
        assert_eq!(all.value::<String>().unwrap(), "all of it is done", "{wall:?}");
        assert_eq!(all.facts.stopped_by_us, None);
        let fails = told(wall, "fails", limits(LONG), StopReason::Shutdown);
        assert_eq!(label(&fails), "stopped.shutdown");
        assert_eq!(fails.facts.error.unwrap().message, "half of it is done", "{wall:?}");
        let exits = told(wall, "exits", limits(LONG), StopReason::Cancelled);
        assert_eq!(exits.facts.ending, Ending::Exited(3), "{wall:?}");
    }
}

#[test]
fn one_that_stays_is_ended_when_its_time_is_over() {
    let soon = Duration::from_millis(20);
    for wall in WALLS {
        for reason in [StopReason::Cancelled, StopReason::Shutdown] {
            for how in ["never", "lingers"] {
                let report = told(wall, how, limits(soon), reason);
                let expected = format!("stopped.{}", reason.name());
                assert_eq!(label(&report), expected, "{wall:?} {how}");
                assert_eq!(told_of(&report), (Some(reason), Some(reason)), "{wall:?} {how}");
                assert!(report.usage.wall >= soon);
            }
        }
    }
}

#[test]
fn without_such_a_time_nothing_is_told() {
    for wall in WALLS {
        for how in ["all", "fails", "never"] {
            let report = told(wall, how, limits(Duration::ZERO), StopReason::Cancelled);
            assert_eq!(label(&report), "stopped.cancelled", "{wall:?} {how}");
            assert_eq!(told_of(&report), (None, Some(StopReason::Cancelled)), "{wall:?} {how}");
        }
    }
}

#[test]
fn other_limits_end_that_time_and_who_has_asked_first_is_named() {
    for wall in WALLS {
        let second = Duration::from_secs(1);
        let wall_time = Limits { wall: 3 * second, ..limits(LONG) };
        let report = told(wall, "never", wall_time, StopReason::Cancelled);
        assert_eq!(label(&report), "stopped.cancelled", "{wall:?}");
        let by = (Some(StopReason::Cancelled), Some(StopReason::WallTime));
        assert_eq!(told_of(&report), by, "{wall:?}");
        let cpu_time = Limits { cpu: second, ..limits(LONG) };
        let report = told(wall, "never", cpu_time, StopReason::Shutdown);
        assert_eq!(label(&report), "stopped.shutdown", "{wall:?}");
        assert_eq!(report.facts.told_to_end, Some(StopReason::Shutdown), "{wall:?}");
    }
}

#[test]
fn who_insists_takes_the_time_away() {
    for wall in WALLS {
        let stop = StopHandle::new();
        let mut ear = |event: Event<'_>| {
            if matches!(event, Event::Emitted { .. }) {
                stop.stop(StopReason::Cancelled);
                assert!(stop.stop_now(StopReason::Shutdown));
                assert!(!stop.stop_now(StopReason::Shutdown));
            }
        };
        let report = load(wall).run_with(&ends("lingers", LONG), &stop, &mut ear);
        assert_eq!(label(&report), "stopped.cancelled", "{wall:?}: the first reason counts");
        assert_eq!(report.facts.stopped_by_us, Some(StopReason::Cancelled));
    }
}

#[test]
fn what_was_cancelled_before_it_began_is_not_begun() {
    for wall in WALLS {
        let stop = StopHandle::new();
        stop.stop(StopReason::Cancelled);
        let mut begun = false;
        let mut ear = |event: Event<'_>| begun |= matches!(event, Event::Emitted { .. });
        let report = load(wall).run_with(&ends("all", LONG), &stop, &mut ear);
        assert_eq!((label(&report), begun), ("stopped.cancelled", false), "{wall:?}");
    }
}

/// A program that knows nothing of us, told to end as soon as it says that it is ready.
fn run(name: &str, how: &str, grace: Duration) -> Report {
    let permissions = Permissions { profile: Profile::Process, ..Permissions::default() };
    let program = program(Wall::Native, name, limits(grace)).permissions(permissions);
    let (guest, stop) = (Runtime::new().unwrap().load(program).unwrap(), StopHandle::new());
    let mut ear = |event: Event<'_>| {
        if matches!(event, Event::Stdout(_)) {
            stop.stop(StopReason::Cancelled);
        }
    };
    guest.run_with(&Task::command([how]), &stop, &mut ear)
}

#[test]
fn a_program_that_is_run_is_told_by_sigterm() {
    for (how, expected) in [
        ("0", "stopped.cancelled"),
        ("7", "stopped.cancelled"),
        ("again", "stopped.cancelled"),
        ("fault", "crashed.memory-fault"),
    ] {
        let report = run("heeds_sigterm", how, LONG);
        assert_eq!(label(&report), expected, "{how}: {report:#?}");
        assert_eq!(report.output.stdout_text(), "ready\ntold\n", "{how}");
        assert_eq!(told_of(&report), (Some(StopReason::Cancelled), None), "{how}");
        match (how.parse::<i32>(), &report.facts.ending) {
            (Ok(code), Ending::Exited(exited)) => assert_eq!(*exited, code),
            (Ok(_), other) => panic!("{other:?}"),
            (Err(_), Ending::Signalled(_)) => {}
            (Err(_), other) => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_program_that_does_not_heed_sigterm_is_killed_when_its_time_is_over() {
    let report = run("heeds_sigterm", "never", Duration::from_millis(50));
    assert_eq!(label(&report), "stopped.cancelled", "{report:#?}");
    let cancelled = Some(StopReason::Cancelled);
    assert_eq!(told_of(&report), (cancelled, cancelled));
    assert!(
        matches!(&report.facts.ending, Ending::Signalled(death) if death.signal == Signal::Kill)
    );
    // Nothing is sent to one that has no time.
    let report = run("heeds_sigterm", "7", Duration::ZERO);
    assert_eq!(label(&report), "stopped.cancelled");
    assert_eq!(report.output.stdout_text(), "ready\n");
    assert_eq!(told_of(&report), (None, cancelled));
}

#[test]
fn a_program_that_sigterm_ends_is_over_then() {
    let stop = StopHandle::new();
    let program = program(Wall::Native, "sleep", limits(LONG));
    let guest = Runtime::new().unwrap().load(program).unwrap();
    let mut ear = |event: Event<'_>| {
        if matches!(event, Event::Started { .. }) {
            stop.stop(StopReason::Shutdown);
        }
    };
    let report = guest.run_with(&Task::command([""; 0]), &stop, &mut ear);
    assert_eq!(label(&report), "stopped.shutdown", "{report:#?}");
    assert_eq!(told_of(&report), (Some(StopReason::Shutdown), None));
}

#[test]
fn a_module_that_is_run_can_not_be_told_and_ends_at_once() {
    let stop = StopHandle::new();
    let program = program(Wall::Wasm, "flood_stdout", limits(LONG));
    let guest = Runtime::new().unwrap().load(program).unwrap();
    let mut ear = |event: Event<'_>| {
        if matches!(event, Event::Stdout(_)) {
            stop.stop(StopReason::Cancelled);
        }
    };
    let report = guest.run_with(&Task::command([""; 0]), &stop, &mut ear);
    assert_eq!(label(&report), "stopped.cancelled");
    assert_eq!(told_of(&report), (None, Some(StopReason::Cancelled)));
}

fn evidence(ending: Ending, by: Option<StopReason>) -> Evidence {
    let told_to_end = Some(StopReason::Cancelled);
    Evidence { told_to_end, stopped_by_us: by, ..Evidence::of(Source::Ptrace, ending) }
}

#[test]
fn the_judge_tells_who_has_heeded_from_who_has_crashed() {
    use StopReason::{Cancelled, CpuTime, Output, Silence, WallTime};
    let died =
        |signal, sender| Ending::Signalled(Death { signal, code: None, sender, fault: None });
    let term = |sender| died(Signal::Other(15), sender);
    let kill = || died(Signal::Kill, Sender::Unseen);
    let rows = [
        (Ending::Exited(0), None, "stopped.cancelled"),
        (Ending::Exited(101), None, "stopped.cancelled"),
        (term(Sender::Process(0)), None, "stopped.cancelled"),
        (term(Sender::Itself), None, "stopped.cancelled"),
        (term(Sender::Unseen), None, "stopped.cancelled"),
        (kill(), Some(Cancelled), "stopped.cancelled"),
        (kill(), Some(WallTime), "stopped.cancelled"),
        (kill(), Some(Silence), "stopped.cancelled"),
        (kill(), Some(Output), "stopped.output"),
        (kill(), None, "crashed.killed"),
        (died(Signal::Xcpu, Sender::Kernel), None, "stopped.cancelled"),
        (died(Signal::Xcpu, Sender::Itself), None, "crashed.killed"),
        (died(Signal::Segv, Sender::Kernel), None, "crashed.memory-fault"),
        (died(Signal::Abrt, Sender::Itself), None, "crashed.abort"),
        (Ending::Trapped(TrapCause::Interrupted), Some(CpuTime), "stopped.cancelled"),
        (Ending::Trapped(TrapCause::Interrupted), Some(Output), "stopped.output"),
        (Ending::Trapped(TrapCause::OutOfFuel), None, "stopped.cancelled"),
        (Ending::Trapped(TrapCause::Unreachable), None, "crashed.abort"),
        (Ending::Vanished, Some(Cancelled), "stopped.cancelled"),
        (Ending::Vanished, None, "crashed.unknown"),
    ];
    for (ending, by, expected) in rows {
        let verdict = classify(&evidence(ending.clone(), by));
        assert_eq!(verdict.label().as_str(), expected, "{ending:?} {by:?}");
    }
    let mut answered = evidence(Ending::Exited(0), None);
    answered.testimony.result = Some(Payload::raw(*b"it"));
    assert_eq!(classify(&answered).label().as_str(), "completed");
    answered.testimony.error = Some(ErrorReport { message: "no".into(), chain: Vec::new() });
    assert_eq!(classify(&answered).label().as_str(), "stopped.cancelled");
    let mut panicked = evidence(Ending::Exited(101), None);
    panicked.testimony.panic =
        Some(PanicReport { message: "no".into(), place: None, fatal: false });
    assert_eq!(classify(&panicked).label().as_str(), "failed.panic");
}

#[test]
fn what_is_stopped_before_it_began_never_started_and_was_stopped() {
    let refusal = Refusal { step: Step::Stopped, errno: None, detail: "later".into() };
    for (reason, label) in [
        (StopReason::Cancelled, "stopped.cancelled"),
        (StopReason::Shutdown, "stopped.shutdown"),
        (StopReason::WallTime, "stopped.wall-time"),
    ] {
        let evidence =
            Evidence { stopped_by_us: Some(reason), ..Evidence::never_started(refusal.clone()) };
        assert_eq!(classify(&evidence).label().as_str(), label);
    }
    assert_eq!(classify(&Evidence::never_started(refusal)).label().as_str(), "unstarted.rejected");
}
