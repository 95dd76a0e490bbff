//! Every guest of the table through both walls, each twenty times: no wrong verdict.

use std::collections::BTreeSet;

use sandtrap::{Label, Report, Runtime, Verdict};
use sandtrap_tests::expect::{Expect, Row, SilentPipe, table};
use sandtrap_tests::guests::{self, Form};

const ROUNDS: usize = 20;

fn expected(row: &Row, form: Form) -> Expect {
    match form {
        Form::Process => row.native,
        Form::Module => row.wasm,
        // What was written by hand is there in one form only.
        Form::Component if !guests::component(row.guest).exists() => Expect::Absent,
        Form::Component => row.expected_of_component(),
    }
}

/// Runs one row in one form, and says what was wrong.
fn complaints(runtime: &Runtime, row: &Row, form: Form, silent: &SilentPipe) -> Vec<String> {
    let Expect::Ends(label, code) = expected(row, form) else { return Vec::new() };
    let scratch = tempfile::tempdir().unwrap();
    let program = row.program(form, scratch.path());
    let task = row.task(silent);
    let loaded = runtime.load(program.clone());
    let run = || match &loaded {
        Ok(loaded) => loaded.run(&task),
        Err(_) => runtime.run(program.clone(), &task),
    };
    (0..ROUNDS)
        .filter_map(|round| {
            let report = run();
            let wrong = report.verdict.label() != label || code_of(&report) != code;
            wrong.then(|| {
                format!(
                    "{} {:?} as a {form:?}, round {round}: expected {label} {code:?}, got {:?}\n{:#?}",
                    row.guest, row.args, report.verdict, report.facts
                )
            })
        })
        .collect()
}

fn code_of(report: &Report) -> Option<i32> {
    match &report.verdict {
        Verdict::Failed(sandtrap::Failure::Exit { code }) => Some(*code),
        _ => None,
    }
}

/// Runs all rows in one form on two threads.
fn run_table(form: Form) {
    let runtime = Runtime::new().unwrap();
    let rows = table();
    let silent = SilentPipe::new();
    let next = std::sync::atomic::AtomicUsize::new(0);
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let worker = || {
            let mut wrong = Vec::new();
            while let Some(row) = rows.get(next.fetch_add(1, std::sync::atomic::Ordering::SeqCst)) {
                wrong.extend(complaints(&runtime, row, form, &silent));
            }
            wrong
        };
        let threads = [scope.spawn(worker), scope.spawn(worker)];
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{} wrong verdicts:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_guest_ends_as_expected_behind_the_native_wall() {
    run_table(Form::Process);
}

#[test]
fn every_guest_ends_as_expected_behind_the_wasm_wall() {
    run_table(Form::Module);
}

#[test]
fn every_guest_ends_as_expected_as_a_component() {
    let count = table().iter().filter(|row| guests::component(row.guest).exists()).count();
    assert_eq!(count, guests::names("samples").len() + guests::names("crashers").len());
    run_table(Form::Component);
}

#[test]
fn a_component_has_a_word_of_its_own_only_where_it_differs() {
    let needless: Vec<&str> = table()
        .iter()
        .filter(|row| row.component.is_some_and(|(expect, _)| expect == row.wasm))
        .map(|row| row.guest)
        .collect();
    assert_eq!(needless, Vec::<&str>::new());
}

/// A guest without a row, and a row without a guest, by name.
fn unmatched(rows: &[Row], guests: &BTreeSet<String>) -> Vec<String> {
    let expected: BTreeSet<String> = rows.iter().map(|row| row.guest.to_owned()).collect();
    let without_row = guests.difference(&expected).map(|guest| format!("no row for `{guest}`"));
    let without_guest = expected.difference(guests).map(|row| format!("no guest for `{row}`"));
    without_row.chain(without_guest).collect()
}

fn all_guests() -> BTreeSet<String> {
    ["samples", "crashers", "natives", "modules"]
        .iter()
        .flat_map(|folder| guests::names(folder))
        .collect()
}

#[test]
fn every_guest_has_a_row_and_every_row_a_guest() {
    assert_eq!(unmatched(&table(), &all_guests()), Vec::<String>::new());
}

#[test]
fn a_guest_without_a_row_is_named() {
    let mut guests = all_guests();
    guests.insert("planted".to_owned());
    assert_eq!(unmatched(&table(), &guests), ["no row for `planted`"]);
}

#[test]
fn where_the_walls_differ_the_table_says_why() {
    let silent: Vec<&str> = table()
        .iter()
        .filter(|row| row.native != row.wasm && row.why.is_none())
        .map(|row| row.guest)
        .collect();
    assert_eq!(silent, Vec::<&str>::new());
}

#[test]
fn every_guest_says_what_it_dies_of() {
    for folder in ["crashers", "natives", "modules", "samples"] {
        for (path, text) in guests::sources(folder) {
            let first = text.lines().next().unwrap_or_default();
            let says = ["//! Dies of: ", "//! Lives: ", ";; Dies of: ", ";; Lives: "];
            assert!(says.iter().any(|word| first.starts_with(word)), "{}: {first}", path.display());
        }
    }
}

#[test]
fn i8_every_kind_of_crash_is_in_the_table() {
    let seen: BTreeSet<Label> = table()
        .iter()
        .flat_map(|row| [row.native, row.wasm])
        .filter_map(|expect| match expect {
            Expect::Ends(label, _) => Some(label),
            Expect::Absent => None,
        })
        .collect();
    for label in Label::ALL.into_iter().filter(|label| label.kind() == "crashed") {
        assert!(seen.contains(&label), "no guest ends with {label}");
    }
}
