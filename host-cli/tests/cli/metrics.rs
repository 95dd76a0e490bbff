//! `sandtrap batch --metrics`: what Prometheus would see while a batch runs.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

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
        let told = |what| {
            answer.contains(&format!("sandtrap_{what}_total{{verdict=\"crashed.abort\"}} 1"))
        };
        // The task's end and the worker's are told one after the other.
        if told("tasks_finished") && told("worker_crashes") {
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
