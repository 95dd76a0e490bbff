//! Flags: bad values are refused before anything runs, and what follows the program is the guest's.

use std::fs;

use sandtrap::Wall;

use crate::kit::{Ran, WALLS, finish, guest, run, run_command, sandtrap, text_of};
use crate::programs::script;

/// A bad line of flags, and what the message has to say: the flag by its name, and what is good instead.
const BAD: [(&[&str], &[&str]); 24] = [
    (&["--memory", "64"], &["--memory", "64MiB"]),
    (&["--memory", "-1MiB"], &["--memory", "below zero", "64MiB"]),
    (&["--memory", "0MiB"], &["--memory", "64MiB"]),
    (&["--memory", "64mib"], &["--memory", "64MiB"]),
    (&["--memory", "99999999TiB"], &["--memory", "too large", "64MiB"]),
    (&["--memory", "1KiB"], &["memory limit", "64 KiB", "16MiB"]),
    (&["--stack", "1KiB"], &["stack limit", "64 KiB", "1MiB"]),
    (&["--wall", "-1s"], &["--wall", "below zero", "5s"]),
    (&["--wall", "5"], &["--wall", "has no unit", "5s"]),
    (&["--wall", "0s"], &["--wall", "5s"]),
    (&["--cpu", "x"], &["--cpu", "5s"]),
    (&["--output", ""], &["--output", "64MiB"]),
    (&["--processes", "0"], &["processes", "at least 1"]),
    (&["--open-files", "-4"], &["--open-files", "below zero"]),
    (&["--fuel", "1.5"], &["--fuel", "whole number", "1000000"]),
    (&["--env", "NOEQUALS"], &["--env", "LANG=C"]),
    (&["--inherit-env", "SANDTRAP_NO_SUCH_THING"], &["--inherit-env", "SANDTRAP_NO_SUCH_THING"]),
    (&["--inherit-env", "A=B"], &["--inherit-env A=B", "--env A=B"]),
    (&["--scratch-files", "9"], &["--scratch <SIZE>"]),
    (&["--in", "nowhere"], &["--in", "wasm", "native"]),
    (&["--guards", "none"], &["--guards", "required", "best-effort"]),
    (&["--require-guard", "moat"], &["--require-guard", "moat", "seccomp", "memory-group"]),
    (&["--bogus"], &["--bogus", "Usage: sandtrap run"]),
    (&["--json", "--show-policy"], &["--json", "--show-policy"]),
];

#[test]
fn a_bad_value_is_refused_with_its_flag_and_a_good_one_and_nothing_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let marker = folder.path().join("marker");
    let script = script(folder.path(), &format!("echo > {}", text_of(&marker)));
    for (flags, words) in BAD {
        let ran = finish({
            let mut command = sandtrap(["run"]);
            command.args(flags).arg(&script);
            command
        });
        ran.assert_refused(2);
        for word in words {
            assert!(ran.stderr.contains(word), "{flags:?} without `{word}`: {}", ran.stderr);
        }
        assert!(!marker.exists(), "{flags:?}");
    }
    let granted = format!("{}:rw", text_of(folder.path()));
    let ran = run(&["--dir", &granted, "--profile", "files"], &script);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(marker.exists(), "the script leaves no marker, so this test proves nothing");
}

#[test]
fn a_line_without_a_program_is_refused_with_an_example() {
    for line in [&["run"][..], &["run", "--memory", "64MiB"], &["run", "--json"]] {
        let ran = finish(sandtrap(line));
        ran.assert_refused(2);
        assert!(ran.stderr.contains("sandtrap run ./parser"), "{}", ran.stderr);
    }
}

#[test]
fn a_line_without_a_verb_or_with_an_unknown_one_shows_how_it_is_done() {
    for line in [&[][..], &["walk"], &["--bogus"], &["./parser"]] {
        let ran = finish(sandtrap(line));
        ran.assert_refused(2);
        assert!(ran.stderr.contains("Usage: sandtrap"), "{line:?}: {}", ran.stderr);
    }
}

#[test]
fn the_policy_shows_every_default_and_runs_nothing() {
    let defaults = [
        "memory       256 MiB",
        "wall         30 s",
        "cpu          30 s",
        "cpus         all",
        "fuel         not counted",
        "stack        1 MiB",
        "output       16 MiB",
        "result       64 MiB",
        "processes    1",
        "threads      256",
        "open-files   64",
        "file-bytes   64 MiB",
        "scratch      none",
        "proc         none",
        "environment  empty",
        "directories  none",
        "network      none",
        "input        128 MiB",
        "output       1 GiB",
    ];
    let program = guest(Wall::Native, "hello");
    let lines = [
        &["run", "--show-policy"][..],
        &["run", "--show-policy", text_of(&program)],
        &["batch", "--show-policy"],
        &["bench", "--show-policy"],
    ];
    for line in lines {
        let ran = finish(sandtrap(line));
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
        for default in defaults {
            let found = ran.text().lines().any(|line| line.trim() == default);
            assert!(found, "no `{default}` in\n{}", ran.text());
        }
        assert!(!ran.text().contains("hello from the guest"));
    }
}

#[test]
fn the_policy_shows_what_was_asked_for_and_no_secrets() {
    let line = "run --show-policy --memory 64MiB --wall 250ms --fuel 7 --processes 3 --in wasm \
                --guards required --env TOKEN=secret";
    let ran = finish(sandtrap(line.split_whitespace()));
    for row in ["64 MiB", "250 ms", "7", "3", "wasm", "TOKEN"] {
        let found = ran.text().lines().any(|line| line.split("  ").any(|part| part.trim() == row));
        assert!(found, "no `{row}` in\n{}", ran.text());
    }
    assert!(ran.text().contains("required") && !ran.text().contains("secret"), "{}", ran.text());
}

#[test]
fn the_policy_names_the_guards_that_are_meant_otherwise() {
    for (line, expected) in [
        ("--require-guard seccomp,landlock", "named in the report; required: landlock, seccomp"),
        ("--guards required --optional-guard tracing", "is refused; not needed: tracing"),
    ] {
        let line = format!("run --show-policy {line}");
        let ran = finish(sandtrap(line.split_whitespace()));
        assert!(ran.text().lines().any(|row| row.ends_with(expected)), "{}", ran.text());
    }
}

#[test]
fn the_policy_of_a_call_can_be_asked_for_without_a_program() {
    let line = "call --show-policy --memory 64MiB --wall 250ms --threads 5";
    let ran = finish(sandtrap(line.split_whitespace()));
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    for row in
        ["memory       64 MiB", "wall         250 ms", "threads      5", "in           found out"]
    {
        assert!(
            ran.text().lines().any(|line| line.trim().starts_with(row)),
            "no `{row}` in\n{}",
            ran.text()
        );
    }
    finish(sandtrap(["call", "--memory", "64MiB"])).assert_refused(2);
}

#[test]
fn limits_that_contradict_each_other_are_wrong_usage_and_both_are_named() {
    for (line, words) in [
        (
            "run --processes 9 --threads 8 true",
            "the processes limit of 9 and the threads limit of 8",
        ),
        (
            "run --in native --stack 2MiB --memory 1MiB true",
            "the stack limit of 2 MiB and the memory",
        ),
        ("run --threads 0 true", "the threads limit of 0 lets nothing run"),
    ] {
        let ran = finish(sandtrap(line.split_whitespace()));
        ran.assert_refused(2);
        assert!(ran.stderr.contains(words), "{}", ran.stderr);
    }
}

/// The verbs that the help lists.
fn verbs() -> Vec<String> {
    let help = finish(sandtrap(["--help"]));
    assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
    let (_, list) = help.text().split_once("Commands:\n").expect("a list of verbs");
    let rows = list.lines().take_while(|line| !line.trim().is_empty());
    // A row that is indented further goes on with the words of the one above.
    let own = rows.filter(|row| row.starts_with("  ") && !row.starts_with("   "));
    own.filter_map(|row| row.split_whitespace().next().map(str::to_owned)).collect()
}

#[test]
fn the_help_of_each_verb_shows_an_example_first() {
    let verbs = verbs();
    for known in ["run", "call", "explain", "completions"] {
        assert!(verbs.iter().any(|verb| verb == known), "no `{known}` in {verbs:?}");
    }
    for verb in verbs {
        let help = finish(sandtrap([verb.as_str(), "--help"]));
        assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""), "{verb}");
        let example = help.text().find(&format!("  sandtrap {verb}"));
        let usage = help.text().find("Usage:");
        assert!(help.text().starts_with("Example"), "{}", help.text());
        assert!(example.is_some() && example < usage, "{verb}:\n{}", help.text());
    }
}

#[test]
fn the_help_and_the_version_are_asked_for_and_so_go_to_stdout() {
    let help = finish(sandtrap(["--help"]));
    assert!(help.text().starts_with("Example") && help.text().contains("Usage: sandtrap"));
    let version = finish(sandtrap(["--version"]));
    assert_eq!(version.text(), format!("sandtrap {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!((version.code, version.stderr.as_str()), (Some(0), ""));
}

/// What the guest `arguments` tells, without the way to its own channel, which every process is given.
fn told(ran: &Ran) -> Vec<&str> {
    ran.text().lines().filter(|line| !line.starts_with("SANDTRAP_CHANNEL=")).collect()
}

#[test]
fn what_follows_the_program_is_the_guests_even_what_looks_like_a_flag() {
    let args = ["--json", "-q", "--memory", "64", "--", "--help", "--in", "nowhere", ""];
    for wall in WALLS {
        let ran = finish(run_command(&[], &guest(wall, "arguments"), &args));
        assert_eq!(told(&ran), args);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    }
}

#[test]
fn a_guest_sees_only_the_environment_it_was_granted() {
    let flags = ["--env", "A=1=2", "--env", "EMPTY=", "--inherit-env", "SANDTRAP_TEST_GIVEN"];
    for wall in WALLS {
        let mut command = run_command(&flags, &guest(wall, "arguments"), &["x"]);
        command.env("SANDTRAP_TEST_GIVEN", "from outside").env("SANDTRAP_TEST_KEPT", "secret");
        let ran = finish(command);
        assert_eq!(told(&ran), ["x", "A=1=2", "EMPTY=", "SANDTRAP_TEST_GIVEN=from outside"]);
        let bare = finish(run_command(&[], &guest(wall, "arguments"), &[]));
        assert_eq!(told(&bare), Vec::<&str>::new());
    }
}

#[test]
fn each_variable_is_there_once_and_the_last_value_counts() {
    for wall in WALLS {
        let flags = ["--env", "A=1", "--env", "A=2", "--env", "SANDTRAP_CHANNEL=99"];
        let ran = run(&flags, &guest(wall, "arguments"));
        let mut names: Vec<&str> =
            ran.text().lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
        assert!(ran.text().contains("A=2\n"), "{}", ran.text());
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count, "{wall:?}: {}", ran.text());
    }
}

#[test]
fn quiet_leaves_out_the_diagnosis_and_nothing_else() {
    for wall in WALLS {
        let ran = run(&["--quiet"], &guest(wall, "abort"));
        assert_eq!((ran.code, ran.text(), ran.stderr.as_str()), (Some(134), "", ""));
        let ran = run(&["-q"], &guest(wall, "lie_segfault"));
        assert_eq!(ran.stderr, "Segmentation fault (core dumped)\n");
    }
}

#[test]
fn completions_are_a_script_for_each_shell() {
    for shell in ["bash", "zsh", "fish"] {
        let ran = finish(sandtrap(["completions", shell]));
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
        assert!(ran.text().contains("sandtrap") && ran.text().contains("show-policy"));
    }
    finish(sandtrap(["completions", "no-such-shell"])).assert_refused(2);
}

#[test]
fn a_fault_of_our_own_is_told_with_125_and_runs_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let missing = folder.path().join("missing");
    let folder_text = text_of(folder.path()).to_owned();
    let unreachable = text_of(&missing.join("out")).to_owned();
    for flags in [
        ["--stdin", text_of(&missing)],
        ["--stdin", &folder_text],
        ["--stdout", &unreachable],
        ["--stderr", &folder_text],
    ] {
        let ran = run(&flags, &guest(Wall::Native, "hello"));
        ran.assert_refused(125);
        assert!(ran.stderr.contains(flags[1]), "{flags:?}: {}", ran.stderr);
    }
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
}

#[test]
fn help_that_nobody_can_take_is_no_success() {
    for line in [&["--help"][..], &["--version"], &["run", "--help"]] {
        let mut command = sandtrap(line);
        let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("the device");
        command.stdout(full);
        let ran = finish(command);
        assert_eq!(ran.code, Some(125), "{line:?}");
        assert!(ran.stderr.contains("cannot write to stdout"), "{}", ran.stderr);
    }
}

#[test]
fn what_the_other_verbs_do_not_know_is_refused_with_words() {
    let batch = ["batch", "--resume", "-", "tasks.jsonl"];
    let call = ["call", "./guest", "f", "--stdin-bytes", "5B"];
    for (line, words) in [(&batch[..], "no file here"), (&call, "has no stdin; leave it out")] {
        let ran = finish(sandtrap(line));
        ran.assert_refused(2);
        assert!(ran.stderr.contains(words), "{}", ran.stderr);
    }
    assert_eq!(finish(sandtrap(["batch", "--show-config"])).code, Some(0));
}
