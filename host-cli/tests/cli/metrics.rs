//! `sandtrap batch --metrics`: what Prometheus would see while a batch runs.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use sandtrap::Wall;
use serde_json::json;

use crate::kit::{finish, guest, sandtrap, text_of};
use crate::running::Running;

/// The whole answer to a question.
fn ask(address: &str, question: &str) -> String {
    let mut peer = TcpStream::connect(address).expect("somebody listens");
    peer.write_all(question.as_bytes()).expect("it is read");
    let mut answer = String::new();
    peer.read_to_string(&mut answer).expect("an answer");
    answer
}

pub(crate) fn metrics(address: &str) -> String {
    ask(address, "GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n")
}

/// Where it says that metrics are.
pub(crate) fn address(running: &mut Running) -> String {
    let line = running.hear_of_stderr();
    let address = line.split("http://").nth(1).and_then(|rest| rest.strip_suffix("/metrics"));
    address.unwrap_or_else(|| panic!("no address: {line}")).to_owned()
}

#[test]
fn s52_s56_what_happens_in_a_batch_can_be_read_while_it_runs() {
    let mut running =
        Running::start(sandtrap(["batch", "-", "--workers", "1", "--metrics", "127.0.0.1:0"]));
    let address = address(&mut running);
    for name in ["hello", "abort"] {
        running.say(&format!("{}\n", json!({"program": text_of(&guest(Wall::Wasm, name))})));
    }
    // The batch goes on as long as its stdin is open.
    let all = loop {
        let answer = metrics(&address);
        let told = |what, verdict| {
            answer.contains(&format!("sandtrap_{what}_total{{verdict=\"{verdict}\"}} 1"))
        };
        // The task's end and the worker's are told one after the other, and each program has workers of its own.
        let is_told =
            told("tasks_finished", "crashed.abort") && told("tasks_finished", "completed");
        if is_told && told("worker_crashes", "crashed.abort") {
            break answer;
        }
        std::thread::yield_now();
    };
    for line in [
        "HTTP/1.1 200 OK\r\n",
        "Content-Type: text/plain; version=0.0.4",
        "# HELP sandtrap_tasks_finished_total tasks that have their report, by verdict\n",
        "# TYPE sandtrap_tasks_finished_total counter\n",
        "sandtrap_tasks_finished_total{verdict=\"completed\"} 1\n",
        "sandtrap_worker_crashes_total{verdict=\"crashed.abort\"} 1\n",
        "# TYPE sandtrap_task_seconds histogram\n",
        "sandtrap_task_seconds_bucket{le=\"+Inf\"} 2\n",
        "sandtrap_tasks_waiting 0\n",
        "sandtrap_tasks_running 0\n",
    ] {
        assert!(all.contains(line), "{line} is not in\n{all}");
    }
    assert!(!all.contains("line-1") && !all.contains("hello"), "no task is a label:\n{all}");
    assert!(ask(&address, "GET / HTTP/1.1\r\n\r\n").contains("404 Not Found"));
    assert!(ask(&address, "POST /metrics HTTP/1.1\r\n\r\n").contains("405 Method Not Allowed"));
    assert!(ask(&address, "noise\r\n\r\n").contains("405"));
    running.close_stdin();
    assert_eq!(running.finish().code, Some(1));
}

#[test]
fn a_peer_that_asks_byte_by_byte_has_one_deadline_for_all_of_them() {
    let mut running = Running::start(sandtrap(["batch", "-", "--metrics", "127.0.0.1:0"]));
    let address = address(&mut running);
    let mut slow = TcpStream::connect(&address).expect("somebody listens");
    slow.set_read_timeout(Some(Duration::from_millis(100))).expect("a socket");
    // Each byte comes long before one read would be given up, and all of them take half a minute.
    let closed = (0..300).any(|_| {
        let said = slow.write_all(b"x");
        let heard = slow.read(&mut [0; 16]);
        said.is_err()
            || heard.map_or_else(|error| error.kind() != ErrorKind::WouldBlock, |n| n == 0)
    });
    assert!(closed, "it is still being listened to");
    assert!(metrics(&address).contains("200 OK"));
    running.close_stdin();
    assert_eq!(running.finish().code, Some(0));
}

#[test]
fn without_a_descriptor_for_another_peer_it_waits_and_does_not_spin() {
    let mut running = Running::start(sandtrap(["batch", "-", "--metrics", "127.0.0.1:0"]));
    let address = address(&mut running);
    let pid = running.pid();
    // Whoever has just begun needs descriptors for more than this. It has begun when a task is done.
    running.say(&format!("{}\n", json!({"program": text_of(&guest(Wall::Wasm, "hello"))})));
    while !metrics(&address).contains("finished_total{verdict=\"completed\"} 1") {
        std::thread::yield_now();
    }
    let thread = thread_of(pid);
    let (rests, ticks) = (rests(&thread), ticks(&thread));
    let usual = limit_descriptors(pid, Some(3));
    // A descriptor may have been put aside for this one. It is not for all kernels, so nothing is asked.
    drop(TcpStream::connect(&address));
    while self::rests(&thread) < rests + 8 {
        assert!(self::ticks(&thread) < ticks + 200, "it has computed for seconds");
        std::thread::yield_now();
    }
    limit_descriptors(pid, usual);
    assert!(metrics(&address).contains("200 OK"));
    running.close_stdin();
    assert_eq!(running.finish().code, Some(0));
}

/// Sets how many descriptors a process may have, and gives how many it might.
fn limit_descriptors(pid: u32, current: Option<u64>) -> Option<u64> {
    let pid = Pid::from_raw(pid.cast_signed());
    let maximum = getrlimit(Resource::Nofile).maximum;
    prlimit(pid, Resource::Nofile, Rlimit { current, maximum }).expect("a child of ours").current
}

/// The folder of the thread that answers. A list that is read while another thread ends may lack it.
fn thread_of(pid: u32) -> PathBuf {
    let is_it =
        |path: &PathBuf| fs::read_to_string(path.join("comm")).is_ok_and(|it| it == "metrics\n");
    loop {
        let mut all = fs::read_dir(format!("/proc/{pid}/task")).expect("threads").flatten();
        if let Some(found) = all.find_map(|entry| Some(entry.path()).filter(is_it)) {
            return found;
        }
        std::thread::yield_now();
    }
}

/// How often it has waited for something.
fn rests(thread: &Path) -> u64 {
    let status = fs::read_to_string(thread.join("status")).expect("it is there");
    let count = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    count.and_then(|count| count.trim().parse().ok()).expect("a number")
}

/// How long it has computed, in the kernel's hundredths of a second.
fn ticks(thread: &Path) -> u64 {
    let stat = fs::read_to_string(thread.join("stat")).expect("it is there");
    let (_, rest) = stat.rsplit_once(") ").expect("a name in brackets");
    rest.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number")).sum()
}

#[test]
fn what_is_no_address_or_is_taken_begins_no_batch() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let taken = listener.local_addr().expect("it has an address").to_string();
    for (address, code, words) in [
        ("nonsense", 2, "--metrics 127.0.0.1:9090"),
        (taken.as_str(), 125, "cannot give out metrics"),
    ] {
        let ran = finish(sandtrap(["batch", "-", "--metrics", address]));
        ran.assert_refused(code);
        assert!(ran.stderr.contains(words) && ran.stderr.contains(address), "{}", ran.stderr);
    }
}
