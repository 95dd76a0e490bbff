//! Where a process was when it died: asked for by name, true to its source, and harmless whatever the guest does.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use nix::sys::stat::Mode;
use sandtrap::{
    Ending, Evidence, Failure, Frame, Limits, Program, Record, Report, Runtime, Source, Task,
    TaskSummary, Verdict, Wall,
};
use sandtrap_tests::confusion::builds::Builds;
use sandtrap_tests::confusion::{Asked, Matrix};
use sandtrap_tests::guests::{self, Form};

fn run_of(path: &Path, cause: &str, wanted: bool) -> Report {
    let limits = Limits { wall: Duration::from_millis(2000), ..Limits::default() };
    let program = Program::file(path).within(Wall::Native).limits(limits).backtrace(wanted);
    Runtime::new().unwrap().run(program, &Task::command([cause]))
}

fn run(cause: &str) -> Report {
    run_of(&guests::native("victim"), cause, true)
}

fn functions(report: &Report) -> Vec<&str> {
    report.facts.trace.iter().map(|frame| frame.function.as_str()).collect()
}

fn has_main(report: &Report) -> bool {
    functions(report).iter().any(|function| function.ends_with("victim::main"))
}

#[test]
fn it_is_taken_only_where_it_is_wanted() {
    assert!(run_of(&guests::native("victim"), "null-read", false).facts.trace.is_empty());
    assert!(run("completes").facts.trace.is_empty());
    assert!(run("exit-3").facts.trace.is_empty());
}

#[test]
fn a_fault_is_found_at_its_line_and_so_are_its_callers() {
    for (cause, file) in [
        ("null-read", "faults.rs:"),
        ("wild-write", "faults.rs:"),
        ("divide-by-zero", "faults.rs:"),
        ("ud2", "faults.rs:"),
        // What was called is nowhere; who called it is known.
        ("wild-call", "faults.rs:"),
        ("null-call", "faults.rs:"),
        // In the C library, which nobody has built with lines.
        ("wild-copy", "faults.rs:"),
        ("abort", "endings.rs:"),
        ("raise-fpe", "victim.rs:"),
        ("kill-itself", "victim.rs:"),
        ("spins", "resources.rs:"),
    ] {
        let report = run(cause);
        let places = report.facts.trace.iter().filter_map(|frame| frame.place.as_deref());
        assert!(
            places.into_iter().any(|place| place.contains(file)),
            "{cause}: {:#?}",
            report.facts
        );
        assert!(has_main(&report), "{cause}: {:?}", functions(&report));
        let json = serde_json::to_value(Record::from(&report)).unwrap();
        assert!(
            json["verdict"]["place"].as_str().is_some_and(|place| place.contains(':')),
            "{json}"
        );
        assert!(json["verdict"]["trace"].as_array().unwrap().len() >= 2, "{json}");
    }
}

#[test]
fn a_deep_recursion_is_one_frame_and_its_beginning_is_there() {
    for cause in ["recursion", "wide-recursion", "thread-recursion"] {
        let report = run(cause);
        let deepest = report.facts.trace.iter().max_by_key(|frame| frame.times).unwrap();
        assert!(deepest.function.contains("descend"), "{cause}: {:?}", functions(&report));
        assert!(deepest.times > 20, "{cause}: {}", deepest.times);
        assert!(deepest.to_string().ends_with(&format!("(x {})", deepest.times)));
        assert!(report.facts.trace.len() < 100);
        let beginning = functions(&report).iter().any(|function| function.ends_with("recursion"));
        assert!(beginning, "{cause}: {:?}", functions(&report));
    }
}

#[test]
fn a_call_that_a_filter_refused_is_found_where_it_was_made() {
    let report = run_of(&guests::native("seccomp_self"), "", true);
    assert_eq!(report.verdict.label().as_str(), "denied.syscall");
    let found = functions(&report).iter().any(|function| function.ends_with("seccomp_self::main"));
    assert!(found, "{:?}", functions(&report));
}

/// A guest that is linked with the guest's library, in a form, behind the wall of that form.
fn run_linked(form: Form, name: &str, wanted: bool) -> Report {
    let program = Program::file(form.guest(name)).within(form.wall()).backtrace(wanted);
    Runtime::new().unwrap().run(program, &Task::command(Vec::<String>::new()))
}

#[test]
fn a_panic_is_found_where_it_was_behind_both_walls() {
    for form in [Form::Process, Form::Module] {
        let report = run_linked(form, "sdk_panic", true);
        assert_eq!(report.verdict.label().as_str(), "failed.panic", "{form:?}");
        let own = |frame: &&Frame| frame.function.ends_with("sdk_panic::main");
        let main = report.facts.trace.iter().find(own);
        let main = main.unwrap_or_else(|| panic!("{form:?}: {:#?}", report.facts.trace));
        let place = main.place.as_deref().unwrap_or_default();
        assert!(place.contains("sdk_panic.rs:"), "{form:?}: {main:?}");
        let json = serde_json::to_value(Record::from(&report)).unwrap();
        let listed = json["verdict"]["trace"].as_array().unwrap();
        assert!(listed.iter().any(|frame| frame == &main.to_string()), "{form:?}: {json:#}");
    }
}

#[test]
fn a_process_that_is_not_asked_says_nothing_of_its_panic_but_its_words_and_its_place() {
    let report = run_linked(Form::Process, "sdk_panic", false);
    assert_eq!(report.verdict.label().as_str(), "failed.panic");
    assert!(report.facts.trace.is_empty(), "{:?}", functions(&report));
}

#[test]
fn a_panic_that_was_survived_is_no_place_of_the_end() {
    let mut evidence = Evidence::of(Source::Status, Ending::Exited(3));
    evidence.panicked_at =
        vec![Frame { function: "long_ago".to_owned(), place: None, times: 1 }].into();
    let loaded = Program::file("guest").within(Wall::Native);
    let summary = |id| TaskSummary::new(&loaded, Wall::Native, &Task::command([id]));
    let of = |verdict| Report::new(summary("x"), Limits::default(), verdict, evidence.clone());
    assert!(of(Verdict::Failed(Failure::Exit { code: 3 })).facts.trace.is_empty());
    let panic = Failure::Panic { message: "no".to_owned(), place: None };
    assert_eq!(functions(&of(Verdict::Failed(panic))), ["long_ago"]);
}

/// Runs a copy that is changed between its death and the look at where it was.
fn changed_meanwhile(change: impl FnOnce(&Path)) -> Report {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copied");
    fs::copy(guests::native("victim"), &copy).unwrap();
    let report = run_of(&copy, "null-read", true);
    change(&copy);
    let _ = report.facts.trace.len();
    report
}

#[test]
fn a_file_that_is_gone_or_another_one_gives_no_names() {
    assert!(has_main(&changed_meanwhile(|_| ())));
    let gone = |path: &Path| fs::remove_file(path).unwrap();
    let replaced = |path: &Path| {
        gone(path);
        fs::copy(guests::native("hello"), path).unwrap();
    };
    let cut =
        |path: &Path| fs::File::options().write(true).open(path).unwrap().set_len(5000).unwrap();
    let waiting = |path: &Path| {
        gone(path);
        nix::unistd::mkfifo(path, Mode::S_IRWXU).unwrap();
    };
    let huge =
        |path: &Path| fs::File::options().write(true).open(path).unwrap().set_len(1 << 40).unwrap();
    let changes: [&dyn Fn(&Path); 5] = [&gone, &replaced, &cut, &waiting, &huge];
    for (number, change) in changes.into_iter().enumerate() {
        let report = changed_meanwhile(change);
        let own: Vec<&str> = functions(&report)
            .into_iter()
            .filter(|function| function.contains("copied+0x"))
            .collect();
        assert!(!own.is_empty(), "{number}: {:?}", functions(&report));
        assert!(!has_main(&report), "{number}: {:?}", functions(&report));
    }
}

#[test]
fn a_file_with_damaged_tables_harms_nobody() {
    let whole = fs::read(guests::native("victim")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("damaged");
    let mut state = 7_u64;
    for _ in 0..20 {
        let mut bytes = whole.clone();
        for _ in 0..200 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // Behind the code: tables of frames, symbols and lines. What is loaded stays as it is, so that it runs.
            let at = whole.len() / 2 + (state >> 20) as usize % (whole.len() / 2);
            bytes[at] ^= state as u8;
        }
        write_program(&copy, &bytes);
        let report = run_of(&copy, "null-read", true);
        assert!(report.facts.trace.len() <= 256);
    }
}

/// Writes a program anew, which may be executed.
fn write_program(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn a_table_of_sections_that_was_spoiled_changes_no_verdict() {
    let whole = fs::read(guests::native("victim")).unwrap();
    let word = |at: usize| u64::from_le_bytes(*whole[at..].first_chunk().unwrap()) as usize;
    let (table, count) = (word(40), usize::from(whole[60]) + 256 * usize::from(whole[61]));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spoiled");
    let ends_as_ever = |what: &str, bytes: &[u8]| {
        write_program(&path, bytes);
        let report = run_of(&path, "null-read", true);
        assert_eq!(report.verdict.label().as_str(), "crashed.memory-fault", "{what}");
        let length = report.facts.trace.len();
        assert!((1..=256).contains(&length), "{what}: {length}");
    };
    // Where it is, how long its headers are, how many, and which one has the names.
    for (field, size) in [(40, 8), (58, 2), (60, 2), (62, 2)] {
        for byte in [0, 1, 0xff] {
            let mut bytes = whole.clone();
            bytes[field..field + size].fill(byte);
            ends_as_ever(&format!("field {field}: {byte}"), &bytes);
        }
    }
    // In all headers: kind, flags (all of them compressed), place, length, the table that belongs to it, of each entry.
    for (field, size) in [(0, 4), (4, 4), (8, 8), (24, 8), (32, 8), (40, 4), (56, 8)] {
        for byte in [0, 2, 0xff] {
            let mut bytes = whole.clone();
            for header in (0..count).map(|index| table + index * 64) {
                bytes[header + field..header + field + size].fill(byte);
            }
            ends_as_ever(&format!("field {field} of all headers: {byte}"), &bytes);
        }
    }
    // What is loaded is there, and the file ends somewhere behind it.
    let headers = (word(32)..).step_by(56).take(usize::from(whole[56]));
    let loaded = headers.filter(|at| whole[*at..].starts_with(&[1, 0, 0, 0]));
    let end = loaded.map(|at| word(at + 8) + word(at + 32)).max().unwrap();
    assert!(end < whole.len());
    for part in 0..24 {
        let length = end + (whole.len() - end) / 24 * part;
        ends_as_ever(&format!("{length} bytes"), &whole[..length]);
    }
}

#[test]
fn to_be_asked_changes_no_verdict() {
    let builds = Builds::make();
    let matrix = Matrix::run(&builds, Asked { rounds: 1, backtrace: true, within: None });
    assert!(matrix.wrong().is_empty(), "{}", matrix.text());
}
