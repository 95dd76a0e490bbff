//! Modules: compiled in a confined process, kept for the next time, and compiled ahead.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use sandtrap::Wall;
use sandtrap_tests::bombs;
use serde_json::{Value, json};

use crate::kit::{Ran, finish, guest, host_has, report, run, run_command, sandtrap, text_of};
use crate::running::{Running, groups_of};

/// A module that prints, compiled ahead into a folder of its own, with a cache of its own.
struct Ahead {
    folder: tempfile::TempDir,
}

impl Ahead {
    fn new(flags: &[&str]) -> Self {
        let ahead = Self { folder: tempfile::tempdir().unwrap() };
        let ran = ahead.compile(flags, &guest(Wall::Wasm, "hello"));
        assert_eq!((ran.code, ran.text(), ran.stderr.as_str()), (Some(0), "", ""));
        ahead
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("hello.cwasm")
    }

    fn cache(&self) -> String {
        text_of(&self.folder.path().join("cache")).to_owned()
    }

    fn compile(&self, flags: &[&str], module: &Path) -> Ran {
        let mut command = sandtrap(["compile", "--cache", &self.cache(), "-o"]);
        command.arg(self.file()).args(flags).arg(module);
        finish(command)
    }

    fn run(&self, flags: &[&str]) -> Ran {
        run(&[&["--cache", &self.cache()], flags].concat(), &self.file())
    }

    #[track_caller]
    fn assert_refused(&self, flags: &[&str], words: &str) {
        let ran = self.run(flags);
        assert_eq!((ran.code, ran.label()), (Some(126), "unstarted.invalid-module"), "{ran:?}");
        assert!(ran.stderr.contains(words), "{}", ran.stderr);
    }
}

fn guard(report: &Value) -> &Value {
    let guards = report["guards"].as_array().expect("a list of guards");
    guards.iter().find(|guard| guard["name"] == "compile-confinement").expect("the guard")
}

#[test]
fn a_module_of_others_is_compiled_in_confinement_and_ones_own_is_not() {
    let module = guest(Wall::Wasm, "hello");
    for (flags, state) in [
        (&["--no-cache"][..], "in-force"),
        (&["--no-cache", "--guards", "required"], "in-force"),
        (&["--no-cache", "--trust", "own"], "off"),
        (&["--trust", "own"], "off"),
        (&["--trust", "untrusted"], "in-force"),
    ] {
        let report = report(flags, &module);
        assert_eq!(report["verdict"]["label"], "completed", "{flags:?}");
        assert_eq!(guard(&report)["state"], state, "{flags:?}");
    }
}

#[test]
fn what_compiling_may_use_is_limited_and_the_limit_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let module = folder.path().join("long.wasm");
    fs::write(&module, bombs::empty_functions(400_000)).unwrap();
    let memory = match host_has("memory-group") {
        true => "crashed: out of memory, with a limit of 768 MiB",
        false => "768 MiB",
    };
    for (flags, words) in [
        (["--compile-wall", "300ms"], "was stopped: wall time limit of 300 ms"),
        (["--compile-cpu", "300ms"], "was stopped: processor time limit of 300 ms"),
        (["--compile-memory", "768MiB"], memory),
    ] {
        // Only the limit that is meant is hit.
        let ample = ["--compile-wall", "10m", "--compile-cpu", "20m"];
        let ample = ample.chunks(2).filter(|flag| flag[0] != flags[0]).flatten().copied();
        let flags: Vec<&str> = ["--no-cache"].into_iter().chain(ample).chain(flags).collect();
        let ran = run(&flags, &module);
        let expected = (Some(125), "unstarted.limit-too-small");
        assert_eq!((ran.code, ran.label()), expected, "{ran:?}");
        assert!(ran.stderr.contains(words), "{}", ran.stderr);
    }
}

#[test]
fn a_compiler_without_room_for_itself_is_no_reason_to_compile_elsewhere() {
    let module = guest(Wall::Wasm, "hello");
    let ran = run(&["--no-cache", "--compile-memory", "1MiB"], &module);
    assert_eq!((ran.code, ran.label()), (Some(125), "unstarted.limit-too-small"), "{ran:?}");
}

#[test]
fn ctrl_c_ends_a_compiler_too() {
    let folder = tempfile::tempdir().unwrap();
    let module = folder.path().join("long.wasm");
    fs::write(&module, bombs::empty_functions(400_000)).unwrap();
    let flags = ["--no-cache", "--compile-wall", "10m", "--compile-cpu", "20m", "--json"];
    let running = Running::start(run_command(&flags, &module, &[]));
    let pid = running.pid();
    while running.children().is_empty() {
        std::thread::yield_now();
    }
    running.signal(Signal::SIGINT);
    let ran = running.finish();
    assert_eq!(ran.code, Some(130), "{ran:?}");
    let report = ran.report();
    assert_eq!(report["verdict"]["label"], "stopped.cancelled");
    // Of its guest there was nothing yet.
    assert_eq!(report["evidence"]["ending"], "never-started");
    assert_eq!(groups_of(pid), Vec::<String>::new());
}

#[test]
fn a_module_compiled_ahead_runs_like_itself() {
    let ahead = Ahead::new(&[]);
    for _ in 0..2 {
        let ran = ahead.run(&[]);
        assert_eq!((ran.code, ran.text()), (Some(0), run(&[], &guest(Wall::Wasm, "hello")).text()));
    }
    assert_eq!(guard(&report(&["--cache", &ahead.cache()], &ahead.file()))["state"], "in-force");
}

#[test]
fn without_a_name_the_file_appears_beside_the_module() {
    let folder = tempfile::tempdir().unwrap();
    let module = folder.path().join("m.wat");
    fs::write(&module, "(module (func (export \"_start\")))").unwrap();
    let ran = finish(sandtrap(["compile", text_of(&module)]));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(run(&[], &folder.path().join("m.cwasm")).code, Some(0));
    let mut names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["m.cwasm", "m.wat"], "nothing else is left");
}

#[test]
fn a_changed_byte_anywhere_breaks_the_seal() {
    let ahead = Ahead::new(&[]);
    let length = fs::metadata(ahead.file()).unwrap().len();
    let places =
        (0..length).step_by(usize::try_from(length).unwrap() / 20).chain([length - 1, length - 20]);
    for place in places.filter(|place| *place > 3) {
        let file = OpenOptions::new().read(true).write(true).open(ahead.file()).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, place).unwrap();
        file.write_all_at(&[byte[0] ^ 1], place).unwrap();
        let words = if place + 16 < length { "no seal of this user" } else { "is not a module" };
        ahead.assert_refused(&[], words);
        file.write_all_at(&byte, place).unwrap();
    }
    assert_eq!(ahead.run(&[]).code, Some(0));
}

#[test]
fn a_file_that_is_cut_off_longer_or_somebody_elses_is_refused() {
    let ahead = Ahead::new(&[]);
    let whole = fs::read(ahead.file()).unwrap();
    for (bytes, words) in [
        (&whole[..whole.len() - 1], "is not a module"),
        (&[&whole[..], b"!"].concat(), "is not a module"),
        (&whole[1000..], "is not a module"),
        (&whole[..4], "is not a module"),
        (&whole[whole.len() - 52..], "is not a module"),
        (&fs::read("/bin/true").unwrap(), "native executable"),
    ] {
        fs::write(ahead.file(), bytes).unwrap();
        ahead.assert_refused(&[], words);
    }
    fs::write(ahead.file(), &whole).unwrap();
    let elsewhere = text_of(&ahead.folder.path().join("elsewhere")).to_owned();
    let ran = run(&["--cache", &elsewhere], &ahead.file());
    assert!(ran.stderr.contains("no seal of this user"), "{ran:?}");
    let ran = run(&["--no-cache"], &ahead.file());
    assert!(ran.stderr.contains("there is no cache"), "{ran:?}");
}

#[test]
fn code_that_counts_instructions_is_made_by_asking_for_it() {
    Ahead::new(&[]).assert_refused(&["--fuel", "1000000"], "for other limits");
    let counting = Ahead::new(&["--count-fuel"]);
    assert_eq!(counting.run(&["--fuel", "100000000"]).code, Some(0));
    assert_eq!(counting.run(&["--fuel", "1"]).label(), "stopped.fuel");
    counting.assert_refused(&[], "for other limits");
}

#[test]
fn what_cant_be_compiled_leaves_no_file() {
    let ahead = Ahead::new(&[]);
    let compiled = fs::read(ahead.file()).unwrap();
    let (bad, again) =
        (ahead.folder.path().join("bad.wat"), ahead.folder.path().join("again.cwasm"));
    fs::copy(ahead.file(), &again).unwrap();
    fs::write(&bad, "(module (func (result i32)))").unwrap();
    for (module, code, label) in [
        (bad.as_path(), 126, "unstarted.invalid-module"),
        (Path::new("/nonexistent.wasm"), 127, "unstarted.not-found"),
        (&guest(Wall::Native, "hello"), 126, "unstarted.invalid-module"),
        (&again, 126, "unstarted.invalid-module"),
    ] {
        let ran = ahead.compile(&[], module);
        assert_eq!((ran.code, ran.label()), (Some(code), label), "{ran:?}");
        assert_eq!(fs::read(ahead.file()).unwrap(), compiled, "what was there stays");
    }
    let ran = finish(sandtrap(["compile", text_of(&bad), "-o", "/nonexistent/x.cwasm"]));
    assert_eq!(ran.code, Some(125), "{ran:?}");
    assert!(ran.stderr.contains("cannot write `/nonexistent/x.cwasm`"), "{ran:?}");
}

#[test]
fn a_directory_that_cant_be_trusted_is_refused_where_it_was_named() {
    let folder = tempfile::tempdir().unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs::set_permissions(folder.path(), open).unwrap();
    let module = guest(Wall::Wasm, "hello");
    let ran = run(&["--cache", text_of(folder.path())], &module);
    ran.assert_refused(125);
    assert!(ran.stderr.contains("others may write to it"), "{ran:?}");

    // The usual one is only a help: without it, everything still runs.
    let usual = folder.path().join("sandtrap");
    fs::create_dir(&usual).unwrap();
    fs::set_permissions(&usual, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let mut command = run_command(&[], &module, &[]);
    command.env("XDG_CACHE_HOME", folder.path());
    assert_eq!(finish(command).code, Some(0));
    assert_eq!(fs::read_dir(&usual).unwrap().count(), 0);
}

#[test]
fn what_is_read_has_a_largest_size_of_its_own_for_modules_and_for_code() {
    let ahead = Ahead::new(&[]);
    assert_eq!(ahead.run(&["--compile-input", "1KiB"]).code, Some(0));
    let less = ["--compile-input", "1KiB", "--compile-output", "1KiB"];
    for (ran, what) in [
        (ahead.run(&less), "code that was compiled ahead"),
        (run(&less, &guest(Wall::Wasm, "hello")), "a module"),
    ] {
        assert_eq!((ran.code, ran.label()), (Some(125), "unstarted.limit-too-small"), "{ran:?}");
        let words = format!("is larger than 1 KiB, the most for {what}; raise");
        assert!(ran.stderr.contains(&words), "{}", ran.stderr);
    }
}

#[test]
fn a_function_of_a_module_that_was_compiled_ahead_needs_no_more_said_than_of_the_module() {
    let folder = tempfile::tempdir().unwrap();
    let ahead = folder.path().join("calls.cwasm");
    let finish = |words: &[&str]| finish(sandtrap(words));
    let made = finish(&["compile", text_of(&guest(Wall::Wasm, "calls")), "-o", text_of(&ahead)]);
    assert_eq!(made.code, Some(0), "{made:?}");
    let ran = finish(&["call", text_of(&ahead), "nothing"]);
    assert_eq!((ran.code, ran.text()), (Some(0), "null\n"), "{}", ran.stderr);
    let found = finish(&["inspect", "--json", text_of(&ahead)]).report();
    assert_eq!((&found["kind"], &found["serves"]), (&json!("precompiled"), &json!(true)));
    let plain = Ahead::new(&[]);
    let found = finish(&["inspect", "--json", text_of(&plain.file())]).report();
    assert_eq!(found["serves"], json!(false));
}
