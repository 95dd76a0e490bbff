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
    fn collector(answer: &'static str) -> (SocketAddr, JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let collector = thread::spawn(move || {
            let mut all = String::new();
            for peer in listener.incoming() {
                let posted = take(peer.expect("somebody comes"), answer);
                if posted.is_empty() {
                    break;
                }
                all.push_str(&posted);
            }
            all
        });
        (address, collector)
    }

    /// One request, with its body as far as that is text.
    fn take(mut peer: TcpStream, answer: &str) -> String {
        let (mut bytes, mut byte) = (Vec::new(), [0]);
        while !bytes.ends_with(b"\r\n\r\n") {
            if peer.read(&mut byte).expect("it can be read") == 0 {
                return String::new();
            }
            bytes.push(byte[0]);
        }
        let head = String::from_utf8(bytes).expect("a head is text");
        let length = head.split("Content-Length: ").nth(1).and_then(|rest| rest.lines().next());
        let mut body = vec![0; length.expect("a length").parse().expect("a number")];
        peer.read_exact(&mut body).expect("the whole body");
        peer.write_all(answer.as_bytes()).expect("it is heard");
        head + &String::from_utf8_lossy(&body)
    }

    fn all_posted(address: SocketAddr, collector: JoinHandle<String>) -> String {
        drop(TcpStream::connect(address).expect("it still listens"));
        collector.join().expect("no request was bad")
    }

    #[test]
    fn each_task_is_a_span_with_its_verdict() {
        let (address, collector) = collector("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        let ran = batch(&format!("http://{address}"), &[]);
        let posted = all_posted(address, collector);
        assert_eq!(ran.code, Some(1), "{}", ran.stderr);
        assert!(!ran.stderr.contains("spans"), "{}", ran.stderr);
        assert!(posted.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{posted}");
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
    fn a_collector_that_is_not_there_or_refuses_or_is_silent_costs_one_warning_and_no_report() {
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
            assert_eq!(ran.stderr.matches("spans are lost").count(), 1, "{}", ran.stderr);
            assert!(ran.stderr.contains(&address.to_string()), "{}", ran.stderr);
            assert!(ran.stderr.contains(why), "{}", ran.stderr);
            let row = ran.stderr.lines().find(|line| line.starts_with("  spans lost"));
            assert_eq!(row.and_then(|row| row.split(' ').next_back()), Some("2"), "{}", ran.stderr);
        }
        assert!(all_posted(refusing, collector).contains("the first"));
    }

    #[test]
    fn what_is_no_endpoint_begins_no_batch() {
        let ran = finish(sandtrap(["batch", "-", "--otlp", "https://127.0.0.1:4318"]));
        ran.assert_refused(2);
        assert!(ran.stderr.contains("--otlp http://127.0.0.1:4318"), "{}", ran.stderr);
    }
}
