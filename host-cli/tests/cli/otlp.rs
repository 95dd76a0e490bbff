//! `sandtrap batch --otlp`: what a collector of OpenTelemetry is sent. Where the command is built without it, it isn't there.

#[cfg(not(feature = "otlp"))]
use crate::kit::{finish, sandtrap};

#[cfg(not(feature = "otlp"))]
#[test]
fn a_command_without_otlp_has_no_flag_for_it() {
    let help = finish(sandtrap(["batch", "--help"]));
    assert!(help.text().contains("--metrics") && !help.text().contains("--otlp"));
    let ran = finish(sandtrap(["batch", "-", "--otlp", "http://127.0.0.1:4318"]));
    ran.assert_refused(2);
}

#[cfg(feature = "otlp")]
mod with_it {
    use std::io::{Read as _, Write as _};
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::thread::{self, JoinHandle};

    use sandtrap::Wall;
    use serde_json::json;

    use crate::kit::{Ran, finish, guest, sandtrap, text_of};
    use crate::running::Running;
    use crate::{metrics, protobuf};

    /// Two tasks, one of which crashes, and where their spans go.
    fn batch(endpoint: &str, flags: &[&str]) -> Ran {
        let flags = [&["batch", "-", "--otlp", endpoint], flags].concat();
        let mut running = Running::start(sandtrap(flags));
        for (id, name) in [("the first", "hello"), ("the second", "abort")] {
            let program = text_of(&guest(Wall::Wasm, name)).to_owned();
            running.say(&format!("{}\n", json!({"id": id, "program": program})));
        }
        running.close_stdin();
        running.finish()
    }

    /// Takes what is posted, until somebody comes who posts nothing, and gives all of it.
    fn collector(answer: &'static str) -> (SocketAddr, JoinHandle<Vec<Posted>>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let collector = thread::spawn(move || {
            let peers = listener.incoming();
            peers.map_while(|peer| take(peer.expect("somebody comes"), answer)).collect()
        });
        (address, collector)
    }

    /// One request.
    struct Posted {
        head: String,
        body: Vec<u8>,
    }

    impl Posted {
        fn is_to(&self, path: &str) -> bool {
            self.head.starts_with(&format!("POST {path} HTTP/1.1\r\n"))
        }
    }

    /// All that was posted to one place, as far as it is text.
    fn text(posted: &[Posted], path: &str) -> String {
        let there = posted.iter().filter(|posted| posted.is_to(path));
        there.map(|it| it.head.clone() + &String::from_utf8_lossy(&it.body)).collect()
    }

    fn take(mut peer: TcpStream, answer: &str) -> Option<Posted> {
        let (mut bytes, mut byte) = (Vec::new(), [0]);
        while !bytes.ends_with(b"\r\n\r\n") {
            if peer.read(&mut byte).expect("it can be read") == 0 {
                return None;
            }
            bytes.push(byte[0]);
        }
        let head = String::from_utf8(bytes).expect("a head is text");
        let length = head.split("Content-Length: ").nth(1).and_then(|rest| rest.lines().next());
        let mut body = vec![0; length.expect("a length").parse().expect("a number")];
        peer.read_exact(&mut body).expect("the whole body");
        peer.write_all(answer.as_bytes()).expect("it is heard");
        Some(Posted { head, body })
    }

    fn all_posted(address: SocketAddr, collector: JoinHandle<Vec<Posted>>) -> Vec<Posted> {
        drop(TcpStream::connect(address).expect("it still listens"));
        collector.join().expect("no request was bad")
    }

    #[test]
    fn each_task_is_a_span_with_its_verdict() {
        let (address, collector) = collector("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        let ran = batch(&format!("http://{address}"), &[]);
        let posted = text(&all_posted(address, collector), "/v1/traces");
        assert_eq!(ran.code, Some(1), "{}", ran.stderr);
        assert!(!ran.stderr.contains(" lost"), "{}", ran.stderr);
        for text in [
            "application/x-protobuf",
            "service.name",
            "sandtrap.task.id",
            "the first",
            "the second",
            "sandtrap.task.program",
            "hello.wasm",
            "sandtrap.verdict.label",
            "completed",
            "crashed.abort",
            "sandtrap.task.isolation",
            "sandtrap.attempts",
            "sandtrap.worker",
            "sandtrap.usage.wall_us",
        ] {
            assert!(posted.contains(text), "{text} is not in\n{posted}");
        }
        assert_eq!(posted.matches("sandtrap.task.id").count(), 2, "{posted}");
    }

    #[test]
    fn a_collector_that_is_not_there_or_refuses_or_is_silent_costs_a_warning_and_no_report() {
        let closed = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let nobody = closed.local_addr().expect("it has an address");
        drop(closed);
        let (refusing, collector) = collector("HTTP/1.1 404 Not Found\r\n\r\n");
        let silent = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let deaf = silent.local_addr().expect("it has an address");
        for (address, why) in
            [(nobody, "Connection refused"), (refusing, "404"), (deaf, "no answer within 5 s")]
        {
            let ran = batch(&format!("http://{address}"), &[]);
            assert_eq!((ran.code, ran.text().lines().count()), (Some(1), 2), "{}", ran.stderr);
            for (what, lost) in [("spans", "2"), ("metrics", "1")] {
                let warnings = ran.stderr.matches(&format!("{what} are lost")).count();
                assert_eq!(warnings, 1, "{}", ran.stderr);
                let row = format!("  {what} lost");
                let row = ran.stderr.lines().find(|line| line.starts_with(&row));
                let count = row.and_then(|row| row.split(' ').next_back());
                assert_eq!(count, Some(lost), "{}", ran.stderr);
            }
            assert!(ran.stderr.contains(&address.to_string()), "{}", ran.stderr);
            assert!(ran.stderr.contains(why), "{}", ran.stderr);
        }
        let posted = all_posted(refusing, collector);
        assert!(text(&posted, "/v1/traces").contains("the first"));
        assert!(text(&posted, "/v1/metrics").contains("sandtrap_tasks_finished_total"));
    }

    #[test]
    fn s52_a_collector_is_sent_the_metrics_that_prometheus_is_given() {
        let (address, collector) = collector("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        let endpoint = format!("http://{address}");
        let flags = ["--workers", "1", "--metrics", "127.0.0.1:0", "--otlp", &endpoint];
        let mut running = Running::start(sandtrap([&["batch", "-"], &flags[..]].concat()));
        let given_out = metrics::address(&mut running);
        for name in ["hello", "abort", "abort"] {
            running.say(&format!("{}\n", json!({"program": text_of(&guest(Wall::Wasm, name))})));
        }
        let expected = [
            "sandtrap_tasks_finished_total{verdict=\"completed\"} 1",
            "sandtrap_tasks_finished_total{verdict=\"crashed.abort\"} 2",
            "sandtrap_worker_crashes_total{verdict=\"crashed.abort\"} 2",
            "sandtrap_tasks_queued_total 3",
            "sandtrap_tasks_running 0",
            "sandtrap_tasks_waiting 0",
            "sandtrap_task_seconds_count 3",
        ];
        // The last things are told one after the other.
        let page = loop {
            let page = metrics::metrics(&given_out);
            if expected.iter().all(|line| page.lines().any(|it| it == *line)) {
                break page;
            }
            thread::yield_now();
        };
        running.close_stdin();
        assert_eq!(running.finish().code, Some(1));
        let posted = all_posted(address, collector);
        let last = posted.iter().rfind(|posted| posted.is_to("/v1/metrics")).expect("at the end");
        let sent = protobuf::metrics(&last.body);
        for line in expected {
            assert!(sent.iter().any(|it| it == line), "{line} is not in\n{sent:#?}");
        }
        // Every name and all labels are the same.
        let of_page = page.lines().filter(|line| line.starts_with("sandtrap_"));
        let of_page = of_page.filter(|line| !line.contains("_sum") && !line.contains("_bucket"));
        for row in of_page.filter_map(|line| Some(line.rsplit_once(' ')?.0)) {
            let is_it = |sent: &String| sent.rsplit_once(' ').is_some_and(|(it, _)| it == row);
            assert!(sent.iter().any(is_it), "{row} is not in\n{sent:#?}");
        }
        let buckets = sent.iter().find(|line| line.starts_with("sandtrap_task_seconds_bucket"));
        let counted = page.lines().filter(|line| line.starts_with("sandtrap_task_seconds_bucket"));
        let mut before = 0;
        let counted = counted.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok());
        let each: Vec<u64> =
            counted.map(|so_far| so_far - std::mem::replace(&mut before, so_far)).collect();
        assert_eq!(buckets.cloned(), Some(format!("sandtrap_task_seconds_bucket {each:?}")));
        let text = text(&posted, "/v1/metrics");
        for words in
            ["service.name", "application/x-protobuf", "tasks that have their report, by verdict"]
        {
            assert!(text.contains(words), "{words} is not in\n{text}");
        }
    }

    #[test]
    fn what_is_no_endpoint_begins_no_batch() {
        let ran = finish(sandtrap(["batch", "-", "--otlp", "https://127.0.0.1:4318"]));
        ran.assert_refused(2);
        assert!(ran.stderr.contains("--otlp http://127.0.0.1:4318"), "{}", ran.stderr);
    }
}
