//! `--start fork`: tasks that are forks of a warm guest.

use std::fs;
use std::path::Path;
use std::thread;

use nix::sys::signal::Signal;
use sandtrap_tests::guests;

use crate::kit::{Ran, sandtrap};
use crate::running::{Running, groups_of, is_alive, wait_for_ends};

/// The processes that run this file.
fn running_from(program: &Path) -> Vec<u64> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let of_it = entries
        .filter(|entry| fs::read_link(entry.path().join("exe")).is_ok_and(|it| it == program));
    of_it.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

#[test]
fn b7_a_call_in_a_fork_gives_what_the_guest_learnt_before_it() {
    let guest = guests::native("warmed");
    for start in ["fork", "spawn"] {
        let mut command = sandtrap(["call", "--wall", "10m", "--start", start]);
        let ran: Ran = command.arg(&guest).arg("learnt").output().unwrap().into();
        assert_eq!((ran.code, ran.text()), (Some(0), "41\n"), "{}", ran.stderr);
    }
}

#[test]
fn s7_a_call_whose_guest_does_not_become_warm_ends_with_its_wall_time_kept_or_not() {
    let guest = guests::native("warmed");
    for reuse in ["fresh", "warm"] {
        let flags =
            ["call", "--wall", "3s", "--env", "WARM_UP=prints and hangs", "--start", "fork"];
        let mut command = sandtrap([&flags[..], &["--reuse", reuse]].concat());
        let ran: Ran = command.arg(&guest).arg("learnt").output().unwrap().into();
        assert_eq!((ran.code, ran.label()), (Some(124), "stopped.wall-time"), "{}", ran.stderr);
        for words in ["warming up\n", "while it warmed up to be forked"] {
            assert!(ran.stderr.contains(words), "{reuse}: {}", ran.stderr);
        }
        assert!(!ran.stderr.contains("wall 0 ns"), "{reuse}: {}", ran.stderr);
    }
}

#[test]
fn a_batch_in_forks_warms_its_guest_up_once() {
    let folder = tempfile::tempdir().unwrap();
    let (tasks, guest) = (folder.path().join("tasks.jsonl"), guests::native("warmed"));
    let line = format!("{{\"program\": {guest:?}, \"function\": \"learnt\", \"input\": null}}\n");
    fs::write(&tasks, line.repeat(20)).unwrap();
    let mut command = sandtrap(["batch", "--wall", "10m", "--start", "fork"]);
    let ran: Ran = command.arg(&tasks).output().unwrap().into();
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let results: Vec<_> = ran
        .text()
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|report| (report["output"]["result"].clone(), report["output"]["stderr_tail"].clone()))
        .collect();
    // What it says when it warms up belongs to no task.
    assert!(results.iter().all(|(value, said)| *value == 41 && *said == ""), "{results:?}");
    assert_eq!(results.len(), 20);
}

#[test]
fn a_guest_that_dies_before_it_is_warm_is_told_so_with_its_own_words() {
    let mut command = sandtrap(["call", "--wall", "10m", "--env", "WARM_UP=panics"]);
    let command = command.args(["--start", "fork"]).arg(guests::native("warmed")).arg("learnt");
    let ran: Ran = command.output().unwrap().into();
    assert_eq!(ran.label(), "failed.panic", "{}", ran.stderr);
    for words in ["there is no model", "warming up", "while it warmed up to be forked"] {
        assert!(ran.stderr.contains(words), "{words}: {}", ran.stderr);
    }
}

#[test]
fn b7_b24_sandtrap_that_is_killed_takes_its_warm_guest_and_the_forks_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().canonicalize().unwrap().join("warmed");
    fs::copy(guests::native("warmed"), &file).unwrap();
    let mut command = sandtrap(["call", "--wall", "10m", "--start", "fork"]);
    command.arg(&file).arg("sleeps");
    let mut running = Running::start(command);
    assert_eq!(running.hear(5), b"here\n");
    let (pid, heir, guests) = (running.pid(), running.heir(), running_from(&file));
    assert_eq!(guests.len(), 2, "the warm guest and its fork");
    running.signal_until_it_ends(Signal::SIGKILL);
    for guest in guests {
        while is_alive(guest) {
            thread::yield_now();
        }
    }
    wait_for_ends(heir);
    assert_eq!(groups_of(pid), Vec::<String>::new());
    assert_eq!(running_from(&file), Vec::<u64>::new());
}
