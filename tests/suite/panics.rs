//! Panics in places where there is little to tell them with: hardly any stack, no memory, another panic, other threads.
//! The table of expectations has their labels; here are their words, at every depth and behind both walls.

use sandtrap::{
    ByteSize, CrashCause, Failure, Label, Limits, Loaded, OnMemoryLimit, Program, Report, Reuse,
    Runtime, Task, Verdict, Wall,
};
use sandtrap_tests::expect::{Row, SilentPipe, table};
use sandtrap_tests::guests::Form;
use serde::Serialize;

const FORMS: [Form; 2] = [Form::Process, Form::Module];

fn row(guest: &str) -> Row {
    table().into_iter().find(|row| row.guest == guest).expect("a row of the table")
}

fn load(guest: &str, form: Form) -> Loaded {
    let scratch = tempfile::tempdir().unwrap();
    Runtime::new().unwrap().load(row(guest).program(form, scratch.path())).unwrap()
}

fn run(guest: &str, form: Form) -> Report {
    load(guest, form).run(&row(guest).task(&SilentPipe::new()))
}

/// What a panic said, and where it was.
fn words(report: &Report) -> (&str, &str) {
    let Verdict::Failed(Failure::Panic { message, place: Some(place) }) = &report.verdict else {
        panic!("{:?}", report.verdict);
    };
    (message, place)
}

#[test]
fn a_panic_keeps_its_words_where_it_can() {
    let cases = [
        ("sdk_panic_memory_full", ["no memory is left, not even pieces of 1 byte"; 2], 20),
        ("sdk_panic_payload", ["a panic with a payload that is no text"; 2], 7),
        ("sdk_panic_in_threads", ["the first thread's words"; 2], 15),
        (
            "sdk_panic_across_c",
            ["a panic below C (panic in a function that cannot unwind)", "a panic below C"],
            6,
        ),
    ];
    for (guest, expected, line) in cases {
        for (form, expected) in FORMS.into_iter().zip(expected) {
            let report = run(guest, form);
            let (message, place) = words(&report);
            assert_eq!(message, expected, "{form:?} {guest}");
            assert!(place.contains(&format!("{guest}.rs:{line}:")), "{form:?} {place}");
        }
    }
}

#[test]
fn a_panic_within_a_panic_is_told_with_its_own_words() {
    let (process, module) =
        (run("sdk_panic_in_drop", Form::Process), run("sdk_panic_in_drop", Form::Module));
    let (message, place) = words(&process);
    assert_eq!(message, "the second panic (panic in a destructor during cleanup)");
    assert!(place.contains("sdk_panic_in_drop.rs:9:"), "{place}");
    // Nothing unwinds there: it ends with the first one.
    assert_eq!(words(&module).0, "the first panic");
}

#[test]
fn a_mebibyte_of_words_is_cut_between_two_characters() {
    for form in FORMS {
        let report = run("sdk_panic_long", form);
        let (message, place) = words(&report);
        assert!((10_000..=16_384).contains(&message.len()), "{form:?} {}", message.len());
        assert!(message.strip_prefix('x').unwrap().chars().all(|it| it == 'é'), "{form:?}");
        assert!(place.contains("sdk_panic_long.rs"), "{place}");
    }
}

/// What a panic said that has no place: nobody saw where it began.
fn words_alone(report: &Report) -> &str {
    let Verdict::Failed(Failure::Panic { message, place: None }) = &report.verdict else {
        panic!("{:?}", report.verdict);
    };
    message
}

/// Nothing unwinds there, so that a panic which is resumed ends it before anybody could look at its words.
const RESUMED_IN_A_MODULE: &str = "a panic that was resumed, of whose words a module knows nothing";

#[test]
fn a_panic_that_no_hook_has_seen_is_told_where_it_leaves_the_guest() {
    let resumed = FORMS.map(|form| run("sdk_panic_resumed", form));
    let resumed = resumed.each_ref().map(words_alone);
    assert_eq!(resumed, ["words that no hook has seen", RESUMED_IN_A_MODULE]);
    // It isn't the last one that was told; and of a module it is the first one that was its end.
    let [process, module] = FORMS.map(|form| run("sdk_panic_resumed_caught", form));
    assert_eq!(words_alone(&process), "the other thread's words");
    assert_eq!(words(&module).0, "words that were caught");
}

const NO_TEXT: &str = "a panic with a payload that is no text";

#[test]
fn a_payload_that_panics_when_it_is_dropped_is_told_with_the_panic_that_threw_it() {
    let dropped = format!("{NO_TEXT} (dropping it: the payload's own end)");
    for (form, expected) in FORMS.into_iter().zip([&*dropped, NO_TEXT]) {
        let report = run("sdk_panic_payload_drop", form);
        let (message, place) = words(&report);
        assert_eq!(message, expected, "{form:?}");
        assert!(place.contains("sdk_panic_payload_drop.rs:27:"), "{form:?} {place}");
    }
    // The standard library ends the process over what a thread has left.
    let report = load("sdk_panic_payload_drop", Form::Process).run(&Task::command(["thread"]));
    assert_eq!(report.verdict.label(), Label::CrashedAbort, "{:?}", report.verdict);
    let stderr = report.output.stderr_text();
    assert!(stderr.contains("thread result panicked on drop"), "{stderr}");
}

#[test]
fn many_words_are_told_where_no_memory_is_left_as_far_as_they_would_be_otherwise() {
    for form in FORMS {
        let guest = load("sdk_panic_memory_full_long", form);
        for (length, told) in [(2_000, 2_000), (12_000, 12_000), (24_000, 16_370)] {
            let report = guest.run(&Task::command([length.to_string()]));
            let (message, place) = words(&report);
            let message = message.strip_prefix("no memory: ").unwrap();
            assert!(message.len().abs_diff(told) < 8, "{form:?} {length}: {}", message.len());
            assert!(message.chars().all(|it| it == 'é'), "{form:?} {length}");
            assert!(place.contains("sdk_panic_memory_full_long.rs:22:"), "{form:?} {place}");
        }
        // The standard library puts all words together before anybody sees them, and ends where it can't.
        let report = guest.run(&Task::command(["200000"]));
        assert_eq!(report.verdict.label(), Label::CrashedOutOfMemory, "{form:?} {report:?}");
    }
}

/// Calls it in a guest of its own, and in one that has answered before: what it says must be the same, and it is the end of both.
fn called<T: Serialize>(form: Form, function: &str, input: &T) -> [Report; 2] {
    let limits = Limits {
        memory: ByteSize::mib(64),
        on_memory_limit: OnMemoryLimit::Refuse,
        ..Limits::default()
    };
    let program = Program::file(form.guest("calls")).within(form.wall()).limits(limits);
    let guest = Runtime::new().unwrap().load(program).unwrap();
    let task = Task::invoke(function, input).unwrap();
    let mut kept = guest.keep(Reuse::default()).unwrap();
    assert_eq!(kept.call::<_, i64>("add", &(1_i64, 2_i64)).unwrap(), 3);
    let reports = [guest.run(&task), kept.run(&task)];
    assert!(!kept.is_usable(), "{form:?} {function}: {:?}", reports[1].verdict);
    reports
}

#[test]
fn what_a_called_function_panics_of_is_told_whether_its_guest_is_kept_or_not() {
    let dropped = format!("{NO_TEXT} (dropping it: the payload's own end)");
    for (form, resumed, dropped) in [
        (Form::Process, "the words of a call", &*dropped),
        (Form::Module, RESUMED_IN_A_MODULE, NO_TEXT),
    ] {
        for report in called(form, "resumes", &"the words of a call") {
            assert_eq!(words_alone(&report), resumed, "{form:?}");
        }
        for report in called(form, "throws_fragile", &()) {
            assert_eq!(words(&report).0, dropped, "{form:?}");
        }
        for report in called(form, "panics_when_full", &12_000_usize) {
            assert_eq!(words(&report).0.len(), "no memory: ".len() + 12_000, "{form:?}");
        }
    }
}

/// Whether it was told that the guest, which panics so deep, ran out of stack.
fn runs_out_of_stack(guest: &Loaded, depth: u64) -> bool {
    let report = guest.run(&Task::command([depth.to_string()]));
    match &report.verdict {
        Verdict::Crashed(crash) if matches!(crash.cause, CrashCause::StackOverflow) => true,
        verdict => {
            // Neither a hang nor an end that nobody could make sense of, however near the end of the stack it was.
            assert_eq!(words(&report).0, "at the bottom of the stack", "{depth}: {verdict:?}");
            false
        }
    }
}

#[test]
fn a_panic_with_hardly_any_stack_left_is_a_panic_or_the_stack_s_end() {
    for form in FORMS {
        let guest = load("sdk_panic_deep", form);
        assert!(!runs_out_of_stack(&guest, 10) && runs_out_of_stack(&guest, 1 << 20), "{form:?}");
        let (mut lives, mut dies) = (10_u64, 1_u64 << 20);
        while dies - lives > 1 {
            let middle = lives.midpoint(dies);
            match runs_out_of_stack(&guest, middle) {
                true => dies = middle,
                false => lives = middle,
            }
        }
        // Around the edge each depth leaves other steps of the panic without stack.
        for depth in lives.saturating_sub(40)..dies + 200 {
            runs_out_of_stack(&guest, depth);
        }
        assert!(form.wall() == Wall::Wasm || lives > 1000, "{form:?}: {lives} calls deep");
    }
}
