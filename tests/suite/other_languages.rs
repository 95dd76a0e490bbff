//! Guests in C and in Python that know of us what `docs/channel.md` says, and nothing else.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use sandtrap::{
    Access, ByteSize, Event, Limits, Loaded, Payload, Permissions, Program, Runtime, StopHandle,
    Task,
};

/// A guest in another language, ready to be started. `None` where this machine has no such language.
fn guest(language: &str, folder: &Path) -> Option<Program> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("channel");
    let guest = folder.join(language);
    let mut permissions = Permissions::default();
    permissions.grant_host_function("kv.get");
    match language {
        "c" => {
            let mut compiler = Command::new("cc");
            compiler.args(["-O1", "-Wall", "-Wextra", "-Werror", "-o"]).arg(&guest);
            let status = compiler.arg(source.join("guest.c")).status();
            // Rust itself can't link anything without this one.
            assert!(status.expect("there is a compiler of C").success());
        }
        _ => {
            // What is found by name may be a script itself, which starts the interpreter in another process.
            let mut asked = Command::new("python3");
            asked.args([
                "-c",
                "import os, sys; print(os.path.realpath(sys.executable)); print(sys.base_prefix)",
            ]);
            let found = asked.output().ok().filter(|found| found.status.success())?;
            let found = String::from_utf8(found.stdout).ok()?;
            let (interpreter, library) = found.trim().split_once('\n')?;
            if !library.starts_with("/usr") {
                permissions.grant_dir(library, library, Access::ReadOnly);
            }
            let script = fs::read_to_string(source.join("guest.py")).unwrap();
            fs::write(&guest, format!("#!{interpreter}\n{script}")).unwrap();
            fs::set_permissions(&guest, fs::Permissions::from_mode(0o755)).unwrap();
        }
    }
    Some(Program::file(guest).permissions(permissions))
}

#[expect(clippy::print_stderr, reason = "a test that tries nothing says so")]
fn for_each(test: impl Fn(&str, &Loaded)) {
    let folder = tempfile::tempdir().unwrap();
    for language in ["c", "python"] {
        let Some(guest) = guest(language, folder.path()) else {
            eprintln!("there is no {language} on this machine, so nothing was tried with it");
            continue;
        };
        let limits = Limits { stack: ByteSize::mib(8), ..Limits::default() };
        let runtime = Runtime::builder().host("kv.get", |_, key: String| (key == "a").then_some(7));
        let loaded = runtime.build().unwrap().load(guest.limits(limits)).unwrap();
        test(language, &loaded);
    }
}

fn json(function: &str, text: &str) -> Task {
    Task::invoke_with(function, Payload::json_text(text).unwrap())
}

#[test]
fn their_functions_are_called_with_json() {
    for_each(|language, guest| {
        let report = guest.run(&json("add", "[2, 40]"));
        assert_eq!(report.value::<i64>(), Ok(42), "{language}: {}", report.output.stderr_text());
    });
}

#[test]
fn their_words_are_heard() {
    for_each(|language, guest| {
        let mut heard = Vec::new();
        let mut ear = |event: Event<'_>| match event {
            Event::Emitted { codec, bytes } => {
                heard.push(Payload::new(codec, bytes).read::<u64>().unwrap().to_string());
            }
            Event::Progress { done, total, text } => heard.push(format!("{done}{total:?}{text}")),
            Event::Log { level, text } => heard.push(format!("{} {text}", level.name())),
            Event::Started { .. } | Event::Stdout(_) | Event::Stderr(_) => {}
        };
        let report = guest.run_with(&json("count", "2"), &StopHandle::new(), &mut ear);
        assert_eq!(report.value::<u64>(), Ok(2), "{language}");
        let words = ["0", "1Some(2)counting", "1", "2Some(2)counting", "warning that was all"];
        assert_eq!(heard, words, "{language}");
    });
}

#[test]
fn they_call_functions_of_the_host() {
    for_each(|language, guest| {
        for (key, value) in [("\"a\"", Some(7)), ("\"b\"", None)] {
            let report = guest.run(&json("look_up", key));
            assert_eq!(report.value::<Option<i32>>(), Ok(value), "{language}");
        }
        let report = guest.run(&json("look_up", "5"));
        let words = report.verdict.to_string();
        assert!(words.contains("`kv.get` takes a `alloc::string::String`"), "{language}: {words}");
    });
}

/// One of them reads what may be called; the other one skips the frame, as it does with all that it doesn't know.
#[test]
fn they_know_which_functions_of_the_host_they_may_call() {
    for_each(|language, guest| {
        if language == "python" {
            let report = guest.run(&json("known", "null"));
            assert_eq!(report.value::<Vec<String>>(), Ok(vec!["kv.get".to_owned()]), "{language}");
        }
    });
}

#[test]
fn their_errors_have_causes() {
    for_each(|language, guest| {
        let report = guest.run(&json("fail", "\"x\""));
        assert_eq!(report.verdict.to_string(), "the task failed: no number", "{language}");
        let report = guest.run(&json("resize", "null"));
        assert_eq!(report.verdict.label().as_str(), "failed.error", "{language}");
    });
}

#[test]
fn their_values_may_be_large() {
    for_each(|language, guest| {
        let bytes: Vec<u8> = (0..16_000_000_u32).map(|index| index as u8).collect();
        let report = guest.run(&Task::invoke_with("reverse", Payload::raw(bytes.clone())));
        let same = report.output.result.unwrap().bytes().iter().rev().eq(&bytes);
        assert!(same && report.verdict.is_completed(), "{language}");
    });
}
