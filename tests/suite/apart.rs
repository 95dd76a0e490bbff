//! One piece of work apart from its program: every way in which it can end is told, and nothing else happens.

use std::process::Command;
use std::time::Duration;

use sandtrap::{
    Failure, Limits, Loaded, Order, Payload, Permissions, PoolSettings, Profile, Program, Record,
    Runtime, Task, Verdict, Wall,
};
use sandtrap_tests::guests;

fn shell() -> Loaded {
    let limits = Limits { wall: Duration::from_secs(100), processes: 4, ..Limits::default() };
    let permissions = Permissions { profile: Profile::Process, ..Permissions::default() };
    let program = Program::file("/bin/sh").limits(limits).permissions(permissions);
    Runtime::new().unwrap().load(program).unwrap()
}

fn calls(wall: Wall) -> Loaded {
    let path = match wall {
        Wall::Native => guests::native("calls"),
        Wall::Wasm => guests::wasm("calls"),
    };
    let limits = Limits { wall: Duration::from_secs(100), ..Limits::default() };
    Runtime::new().unwrap().load(Program::file(path).within(wall).limits(limits)).unwrap()
}

/// What a program is not ended by, unless it asked for something else: it is told or stopped, and goes on.
const HARMLESS: [i32; 8] = [17, 18, 19, 20, 21, 22, 23, 28];

#[test]
fn b3_every_signal_is_a_value_in_the_caller() {
    let shell = shell();
    // Those between are the C library's own.
    for signal in (1..=31).chain(34..=64) {
        let report = shell.run(&Task::command(["-c", &format!("kill -{signal} $$; exit 7")]));
        let verdict = report.verdict;
        let survived = verdict == Verdict::Failed(Failure::Exit { code: 7 });
        assert_eq!(survived, HARMLESS.contains(&signal), "{signal}: {verdict:?}");
        let is_ended = matches!(verdict, Verdict::Crashed(_) | Verdict::Stopped(_));
        assert!(
            survived || is_ended || verdict.label().as_str() == "denied.syscall",
            "{verdict:?}"
        );
    }
}

#[test]
fn b4_i19_all_exit_codes_are_the_tasks_own() {
    let shell = shell();
    let module = calls(Wall::Wasm);
    for code in 0..=255 {
        let expected = match code {
            0 => Verdict::Completed,
            code => Verdict::Failed(Failure::Exit { code }),
        };
        let report = shell.run(&Task::command(["-c", &format!("exit {code}")]));
        assert_eq!(report.verdict, expected);
        if code != 0 {
            let task = Task::invoke("exits", &code).unwrap();
            assert_eq!(module.run(&task).verdict, expected);
        }
    }
}

#[test]
fn b17_a_failure_says_what_was_called_and_keeps_no_input() {
    for wall in [Wall::Native, Wall::Wasm] {
        let input = Payload::raw("a word of the input");
        let report = calls(wall).run(&Task::invoke_with("add", input));
        assert_eq!(report.task.function.as_deref(), Some("add"));
        assert_eq!(report.task.pid.is_some(), wall == Wall::Native);
        let record = serde_json::to_string(&Record::from(&report)).unwrap();
        assert!(record.contains(&report.task.id.to_string()), "{record}");
        let kept = format!("{report:?}{record}");
        assert!(!report.verdict.is_completed() && !kept.contains("a word of the input"), "{kept}");
        let given = report.task.input.unwrap();
        assert_eq!(given.bytes, 19);
        assert!(record.contains(&given.digest.clone().unwrap()), "{record}");
        let pool = calls(wall).pool(PoolSettings::with_workers(1));
        let of = |input: &str| {
            let task = Task::invoke_with("add", Payload::raw(input));
            let report = pool.run(Order::new(task));
            (report.task.input.unwrap(), report.attempts)
        };
        assert_eq!(of("a word of the input"), (given.clone(), 1), "{wall:?}");
        assert_ne!(of("another word, so"), (given, 1), "{wall:?}");
        let well = Task::invoke("add", &(2_i64, 3_i64)).unwrap();
        assert_eq!(calls(wall).run(&well).task.input, None, "{wall:?}: nobody asks");
    }
}

/// Two seconds of waiting, by a process that does nothing else.
#[test]
fn b23_nobody_looks_every_now_and_then_whether_it_has_ended() {
    let host = Command::new(env!("CARGO_BIN_EXE_isolated_host")).arg("waits").output().unwrap();
    let text = String::from_utf8_lossy(&host.stdout).into_owned();
    let woken: u64 = text.trim().parse().unwrap_or_else(|_| panic!("{text}"));
    assert!(woken < 100, "woken {woken} times");
}

#[test]
fn b15_the_programs_of_the_readme_are_run_or_compiled() {
    let library = include_str!("../../runtime/src/lib.rs");
    assert!(library.contains("#[doc = include_str!(\"../../README.md\")]"));
    let readme = include_str!("../../README.md");
    let checked = readme.matches("```rust\n").count() + readme.matches("```rust,no_run\n").count();
    assert!(checked >= 4, "{checked} programs are checked");
}

#[test]
fn b16_every_part_has_both_licences() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for file in ["LICENSE-APACHE", "LICENSE-MIT"] {
        assert!(root.join(file).is_file(), "{file}");
    }
    let workspace = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    assert!(workspace.contains("license = \"MIT OR Apache-2.0\""));
    let members = workspace.split_once("members = [").unwrap().1.split_once(']').unwrap().0;
    for member in members.split('"').skip(1).step_by(2) {
        let manifest = std::fs::read_to_string(root.join(member).join("Cargo.toml")).unwrap();
        assert!(manifest.contains("license.workspace = true"), "{member}");
    }
}
