//! Lines of a batch that are no task, and files that are none of tasks, settings, inputs or reports: told, and never read for ever.

use std::fs;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use sandtrap::Wall;
use serde_json::{Value, json};

use crate::kit::{Ran, finish, guest, sandtrap, text_of};
use crate::running::Running;

const GOOD: &str = r#"write it as in {"program": "./parser", "args": ["one.txt"]}"#;

fn hello() -> String {
    json!({"program": text_of(&guest(Wall::Wasm, "hello"))}).to_string()
}

fn ids(ran: &Ran) -> Vec<String> {
    let of = |line: &str| {
        let report: Value = serde_json::from_str(line).expect("a report");
        report["task"]["id"].as_str().expect("an id").to_owned()
    };
    ran.text().lines().map(of).collect()
}

/// Nothing ran, and what is said is one line in plain words, without the usage of flags.
fn assert_told(ran: &Ran, code: i32, words: &[&str]) {
    ran.assert_refused(code);
    for word in words {
        assert!(ran.stderr.contains(word), "no `{word}` in {}", ran.stderr);
    }
    assert!(!ran.stderr.contains("Usage") && ran.stderr.lines().count() == 1, "{}", ran.stderr);
    assert!(ran.stderr.starts_with("sandtrap: "), "{}", ran.stderr);
}

#[test]
fn where_a_line_of_a_file_is_no_task_nothing_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("tasks.jsonl");
    for (bad, words) in [
        (&br#"{"programm": "x"}"#[..], "there is no key `programm`; a task has id, program"),
        (b"parser one.txt", "it is no JSON"),
        (b"[1]", "no object"),
        (b"{}", "`program` is missing"),
        (b"\xff\xfe", "no UTF-8"),
    ] {
        let lines = [hello().as_bytes(), b"\n\n", bad, b"\n", hello().as_bytes(), b"\n"].concat();
        fs::write(&file, lines).expect("a file");
        let first = format!("line 3 of `{}` is no task: ", text_of(&file));
        let told = [&*first, words, GOOD, "nothing was run"];
        let reports = folder.path().join("reports.jsonl");
        for flags in [&[][..], &["--quiet", "--resume", text_of(&reports)]] {
            let ran = finish(sandtrap([&["batch", text_of(&file)], flags].concat()));
            assert_told(&ran, 2, &told);
            assert!(!reports.exists());
        }
        // The same file on stdin is a file all the same.
        let mut command = sandtrap(["batch", "-"]);
        command.stdin(fs::File::open(&file).expect("a file"));
        assert_told(&finish(command), 2, &["line 3 of stdin is no task", words]);
    }
}

#[test]
fn a_file_on_stdin_is_read_from_where_it_stands_and_all_of_it_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("tasks.jsonl");
    fs::write(&file, format!("{0}\n\n{0}", hello())).expect("a file");
    let mut command = sandtrap(["batch", "-"]);
    command.stdin(fs::File::open(&file).expect("a file"));
    let ran = finish(command);
    assert_eq!((ran.code, ids(&ran)), (Some(0), vec!["line-1".to_owned(), "line-3".to_owned()]));
}

#[test]
fn of_a_pipe_a_line_that_is_no_task_is_told_when_it_comes_and_all_others_run() {
    let mut running = Running::start(sandtrap(["batch", "-", "--workers", "1"]));
    for line in [&*hello(), r#"{"programm": "x"}"#, "", &*hello()] {
        running.say(&format!("{line}\n"));
    }
    running.close_stdin();
    let ran = running.finish();
    assert_eq!((ran.code, ids(&ran)), (Some(2), vec!["line-1".to_owned(), "line-4".to_owned()]));
    for words in [
        "sandtrap: line 2 of stdin is no task: there is no key `programm`",
        GOOD,
        "  completed                           2\n",
        "  lines that are no task              1\n",
    ] {
        assert!(ran.stderr.contains(words), "{}", ran.stderr);
    }
    assert!(!ran.stderr.contains("Usage"), "{}", ran.stderr);
}

#[test]
fn a_directory_is_no_file_of_tasks() {
    let folder = tempfile::tempdir().expect("a folder");
    let ran = finish(sandtrap(["batch", text_of(folder.path())]));
    assert_told(&ran, 2, &["is a directory", "sandtrap batch tasks.jsonl"]);
    let ran = finish(sandtrap(["batch", "/no/such/tasks"]));
    assert_told(&ran, 125, &["cannot read the tasks from `/no/such/tasks`"]);
}

#[test]
fn what_never_ends_is_read_up_to_a_stated_most() {
    let folder = tempfile::tempdir().expect("a folder");
    let tasks = folder.path().join("tasks.jsonl");
    fs::write(&tasks, hello()).expect("a file");
    let (tasks, zero) = (text_of(&tasks), Path::new("/dev/zero"));
    for (line, code, words) in [
        (
            &["batch", tasks, "--config", text_of(zero)][..],
            2,
            &["`/dev/zero` holds more than 1 MiB"][..],
        ),
        (&["batch", tasks, "--resume", text_of(zero)], 125, &["which is no plain file"]),
        (&["batch", tasks, "--config", text_of(folder.path())], 125, &["cannot read", "directory"]),
    ] {
        assert_told(&finish(sandtrap(line)), code, words);
    }
    let calls = guest(Wall::Native, "calls");
    let ran = finish(sandtrap(["call", text_of(&calls), "echo", "--input", "@/dev/zero"]));
    let words = ["the input from `/dev/zero` holds more than 256 MiB", "--input @FILE"];
    assert_told(&ran, 2, &words);
    let ran = finish(sandtrap(["batch", "/dev/zero"]));
    ran.assert_refused(2);
    for words in ["cannot read on at line 1 of `/dev/zero`", "longer than 256 MiB", "is lost"] {
        assert!(ran.stderr.contains(words), "{}", ran.stderr);
    }
}

#[test]
fn where_tasks_can_not_be_read_on_that_is_no_mistake_of_theirs_and_what_came_before_is_done() {
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    // Whoever closes a socket before he has read it breaks the connection: the other side has an error, behind what was sent.
    (&ours).write_all(b"never read").expect("room");
    (&theirs).write_all(format!("{}\n", hello()).as_bytes()).expect("room");
    drop(theirs);
    let mut command = sandtrap(["batch", "-"]);
    command.stdin(OwnedFd::from(ours));
    let ran = finish(command);
    assert_eq!((ran.code, ids(&ran)), (Some(125), vec!["line-1".to_owned()]), "{}", ran.stderr);
    for words in ["cannot read on at line 2 of stdin", "nothing of what came before it is lost"] {
        assert!(ran.stderr.contains(words), "{}", ran.stderr);
    }
}
