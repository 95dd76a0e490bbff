//! Panics in places where there is little to tell them with: hardly any stack, no memory, another panic, other threads.
//! The table of expectations has their labels; here are their words, at every depth and behind both walls.

use sandtrap::{CrashCause, Failure, Loaded, Report, Runtime, Task, Verdict, Wall};
use sandtrap_tests::expect::{Row, SilentPipe, table};
use sandtrap_tests::guests::Form;

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
