//! Directories, the network and determinism, as flags.

use std::fs;

use sandtrap::Wall;
use tempfile::TempDir;

use crate::kit::{Ran, finish, guest, run_command, sandtrap, text_of};

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "text").unwrap();
    folder
}

fn files(wall: Wall, flags: &[&str], words: &[&str]) -> Ran {
    finish(run_command(flags, &guest(wall, "files"), words))
}

#[test]
fn a_directory_is_read_only_unless_it_is_said_otherwise() {
    let folder = folder();
    let host = text_of(folder.path());
    let words = ["read", "/data/file", "write", "/data/file", "new"];
    for (end, written) in [("", "PermissionDenied"), (":ro", "PermissionDenied"), (":rw", "ok")] {
        let ran = files(Wall::Wasm, &["--dir", &format!("{host}:/data{end}")], &words);
        assert_eq!((ran.code, ran.text()), (Some(0), &*format!("read: text\nwrite: {written}\n")));
    }
    assert_eq!(fs::read_to_string(folder.path().join("file")).unwrap(), "new");
}

#[test]
fn a_directory_keeps_its_name_unless_it_is_given_another_one() {
    let folder = folder();
    let (host, file) = (text_of(folder.path()), folder.path().join("file"));
    for wall in [Wall::Wasm, Wall::Native] {
        let ran = files(wall, &["--dir", host, "--net", "none"], &["read", text_of(&file)]);
        assert_eq!((ran.code, ran.text()), (Some(0), "read: text\n"), "{wall:?}");
    }
    for wall in [Wall::Wasm, Wall::Native] {
        let ran = files(wall, &["--dir", &format!("{host}:/data")], &["read", "/data/file"]);
        assert_eq!((ran.code, ran.text()), (Some(0), "read: text\n"), "{wall:?}");
    }
}

#[test]
fn what_cannot_be_granted_is_refused_with_what_to_do() {
    let ran = files(Wall::Wasm, &["--dir", "/nowhere/at/all:/data"], &[]);
    ran.assert_refused(125);
    assert!(ran.stderr.contains("/nowhere/at/all") && ran.stderr.contains("make it first"));
    for (flag, words) in
        [("/tmp:/data:rx", "`rx` is neither `ro` nor `rw`"), (":/data", "lacks a name")]
    {
        let ran = files(Wall::Wasm, &["--dir", flag], &[]);
        ran.assert_refused(2);
        assert!(ran.stderr.contains(words), "{}", ran.stderr);
    }
    let ran = files(Wall::Wasm, &["--dir", "/:/data", "--dir", "/tmp:/data"], &[]);
    ran.assert_refused(2);
    assert!(ran.stderr.contains("give each a name of its own"), "{}", ran.stderr);
}

#[test]
fn a_file_that_grows_too_large_is_a_verdict_with_its_code() {
    let folder = folder();
    let flags = ["--dir", &format!("{}:/data:rw", text_of(folder.path())), "--file-bytes", "1KiB"];
    let ran = files(Wall::Wasm, &flags, &["resize", "/data/file", "1025"]);
    assert_eq!((ran.code, ran.label()), (Some(153), "stopped.files"), "{}", ran.stderr);
    assert!(ran.stderr.contains("at the file-bytes limit of 1 KiB"), "{}", ran.stderr);
}

#[test]
fn the_same_seed_gives_the_same_output() {
    let world = |flag: &str| {
        let ran = finish(run_command(&[flag], &guest(Wall::Wasm, "world"), &["3600000"]));
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        ran.stdout
    };
    assert_eq!(world("--deterministic"), world("--deterministic=0"));
    assert_ne!(world("--deterministic=1"), world("--deterministic=2"));
    let ran = finish(run_command(&["--deterministic"], &guest(Wall::Native, "world"), &[]));
    ran.assert_refused(125);
}

#[test]
fn the_policy_shows_what_is_granted() {
    let line = "run --show-policy --dir a --dir b:/b:rw --net host --deterministic=7";
    let ran = finish(sandtrap(line.split(' ')));
    for row in ["a (read-only), b as /b (read-write)", "the host's", "5000000000"] {
        assert!(ran.text().contains(row), "no `{row}` in\n{}", ran.text());
    }
}
