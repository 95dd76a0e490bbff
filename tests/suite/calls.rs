//! Functions of guests, called behind both walls: what goes in, what comes out, and what is heard on the way.

use std::time::Duration;

use sandtrap::{
    ByteSize, CallError, Capture, Codec, CrashCause, Event, Failure, Level, Limits, Loaded,
    Payload, Program, Report, Reuse, Runtime, StopHandle, Task, Verdict, Wall,
};
use sandtrap_tests::guests;
use serde::{Deserialize, Serialize};

const WALLS: [Wall; 2] = [Wall::Native, Wall::Wasm];

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Picture {
    name: String,
    width: u32,
    height: u32,
}

#[derive(Debug, PartialEq, Deserialize)]
struct DivisionError {
    dividend: i64,
    divisor: i64,
}

fn limits() -> Limits {
    let ample = Duration::from_secs(120);
    Limits { wall: ample, cpu: ample, ..Limits::default() }
}

fn load(wall: Wall, limits: Limits) -> Loaded {
    load_guest(wall, "calls", limits)
}

fn load_guest(wall: Wall, name: &str, limits: Limits) -> Loaded {
    let path = match wall {
        Wall::Native => guests::native(name),
        Wall::Wasm => guests::wasm(name),
    };
    Runtime::new().unwrap().load(Program::file(path).within(wall).limits(limits)).unwrap()
}

fn invoke<T: Serialize + ?Sized>(wall: Wall, function: &str, input: &T) -> Report {
    load(wall, limits()).run(&Task::invoke(function, input).unwrap())
}

fn failure(report: &Report) -> (&str, &[String]) {
    match &report.verdict {
        Verdict::Failed(Failure::Error { message, chain }) => (message, chain),
        other => panic!("{other:?}"),
    }
}

#[test]
fn b20_i13_a_typed_value_goes_in_and_one_comes_out() {
    for wall in WALLS {
        let guest = load(wall, limits());
        assert_eq!(guest.call::<_, i64>("add", &(2_i64, 40_i64)).unwrap(), 42, "{wall:?}");
        let picture = Picture { name: "é".into(), width: 3, height: 4 };
        let turned: Picture = guest.call("turn", &picture).unwrap();
        assert_eq!(turned, Picture { width: 4, height: 3, ..picture }, "{wall:?}");
        guest.call::<_, ()>("nothing", &()).unwrap();
    }
}

#[test]
fn a_guest_of_ordinary_crates_is_one_program_behind_both_walls() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Page {
        html: String,
        headings: u32,
        links: Vec<String>,
    }
    let text = "# One\n\nand [two](three)\n";
    for wall in WALLS {
        let guest = load_guest(wall, "markdown", limits());
        let page: Page = guest.call("render", text).unwrap();
        let html = "<h1>One</h1>\n<p>and <a href=\"three\">two</a></p>\n".to_owned();
        assert_eq!(page, Page { html, headings: 1, links: vec!["three".into()] }, "{wall:?}");
        let error = guest.call::<_, Page>("render", "").unwrap_err();
        let words = "`render`: the task failed: there is nothing to render";
        assert_eq!(error.to_string(), words, "{wall:?}");
    }
}

#[test]
fn json_goes_in_and_json_comes_out() {
    for wall in WALLS {
        let input = Payload::json_text(r#"{"height":1,"width":2,"name":"x"}"#).unwrap();
        let report = load(wall, limits()).run(&Task::invoke_with("turn", input));
        let result = report.output.result.as_ref().unwrap();
        assert_eq!(result.codec(), Codec::Json);
        assert_eq!(result.bytes(), br#"{"name":"x","width":1,"height":2}"#, "{wall:?}");
    }
}

#[test]
fn b8_b9_b10_bytes_of_every_size_go_both_ways() {
    let sizes = [0, 1, 4095, 4096, 65_535, 65_536, 65_537, 1 << 20];
    for wall in WALLS {
        let guest = load(wall, limits());
        for size in sizes {
            let bytes: Vec<u8> = (0..size).map(|index| (index % 251) as u8).collect();
            let report = guest.run(&Task::invoke_with("echo", Payload::raw(bytes.clone())));
            assert!(report.verdict.is_completed(), "{wall:?} {size}: {:?}", report.verdict);
            assert!(report.value::<Vec<u8>>().unwrap() == bytes, "{wall:?} {size}");
            let typed: Vec<u8> = guest.call("echo", &bytes).unwrap();
            assert!(typed == bytes, "{wall:?} {size}");
        }
    }
}

/// The same bytes in and out at once, far more than any pipe holds.
fn echoes(wall: Wall, size: usize) {
    let room = ByteSize::bytes(3 * size as u64 + (64 << 20));
    let limits = Limits { memory: room, result: ByteSize::bytes(size as u64), ..limits() };
    // Every page is another one.
    let mut bytes = vec![0_u8; size];
    for (page, chunk) in bytes.chunks_mut(4096).enumerate() {
        chunk[..8].copy_from_slice(&page.to_le_bytes());
    }
    let input = Payload::raw(bytes);
    let report = load(wall, limits).run(&Task::invoke_with("echo", input.clone()));
    assert!(report.verdict.is_completed(), "{wall:?}: {:?}", report.verdict);
    assert!(report.output.result.unwrap() == input, "{wall:?}");
}

#[test]
fn b8_p8_a_hundred_mebibytes_go_both_ways_without_a_deadlock() {
    for wall in WALLS {
        echoes(wall, 100 << 20);
    }
}

#[test]
#[ignore = "takes gigabytes of memory"]
fn a_gibibyte_goes_both_ways_without_a_deadlock() {
    for wall in WALLS {
        echoes(wall, 1 << 30);
    }
}

#[test]
fn b5_an_error_comes_whole_with_its_causes_and_its_value() {
    for wall in WALLS {
        let report = invoke(wall, "divide", &(1_i64, 0_i64));
        assert_eq!(failure(&report).0, "1 can't be divided by 0");
        let value = report.error_as::<DivisionError>();
        assert_eq!(value, Some(DivisionError { dividend: 1, divisor: 0 }), "{wall:?}");
        assert_eq!(report.error_as::<String>(), None);
        let report = invoke(wall, "parse", "x");
        let chain = ["invalid digit found in string".to_owned()];
        assert_eq!(failure(&report), ("`x` is no number", &chain[..]), "{wall:?}");
        let report = invoke(wall, "refuse", "never");
        assert_eq!(failure(&report), ("never", &[][..]), "{wall:?}");
    }
}

#[test]
fn i2_i23_an_error_of_a_megabyte_is_cut_and_not_lost() {
    for wall in WALLS {
        let report = invoke(wall, "refuse", &"é".repeat(1 << 19));
        let (message, _) = failure(&report);
        assert!(message.len() > 8000 && message.chars().all(|c| c == 'é'), "{wall:?}");
    }
}

#[test]
fn a_mismatch_of_types_is_said_by_whoever_finds_it() {
    for wall in WALLS {
        let report = invoke(wall, "turn", &7_u8);
        let (message, _) = failure(&report);
        assert!(message.contains("`turn`") && message.contains("Picture"), "{message}");
        let guest = load(wall, limits());
        let error = guest.call::<_, String>("add", &(1_i64, 2_i64)).unwrap_err();
        let words = error.to_string();
        assert!(words.contains("the result of `add`") && words.contains("String"), "{words}");
        let error = guest.call::<_, i64>("add", &(1_u64, 2_u64)).unwrap_err();
        let words = error.to_string();
        assert!(
            words.contains("takes a `(i64, i64)`") && words.contains("another type"),
            "{words}"
        );
        let input = Payload::json_text("[1]").unwrap();
        let report = guest.run(&Task::invoke_with("add", input));
        assert!(failure(&report).0.contains("line 1 column 3"), "{:?}", report.verdict);
    }
}

#[test]
fn an_unknown_function_is_answered_with_those_that_there_are() {
    for wall in WALLS {
        let error = load(wall, limits()).call::<_, ()>("resize", &()).unwrap_err();
        let words = error.to_string();
        assert!(words.contains("`resize`") && words.contains("`turn`, `divide`"), "{words}");
    }
}

#[test]
fn a_function_that_panics_exits_or_crashes_has_that_verdict() {
    for wall in WALLS {
        let report = invoke(wall, "panics", "boom");
        let Verdict::Failed(Failure::Panic { message, place }) = &report.verdict else {
            panic!("{wall:?}: {:?}", report.verdict)
        };
        let place = place.as_deref().unwrap();
        assert!(message == "boom" && place.contains("calls.rs:"), "{place}");
        for (function, input, label) in [
            ("exits", 3, "failed.exit"),
            ("exits", 0, "crashed.protocol"),
            ("overflows", 1_u64 << 40, "crashed.stack-overflow"),
            ("allocates", 1 << 30, "crashed.out-of-memory"),
        ] {
            let task = Task::invoke_with(function, Payload::json(&input).unwrap());
            let report = load(wall, limits()).run(&task);
            assert_eq!(report.verdict.label().as_str(), label, "{wall:?} {function}");
            assert_eq!(report.output.result, None);
            assert!(report.value::<u64>().unwrap_err().to_string().contains("no result"));
        }
    }
}

#[test]
fn b18_i20_an_exit_with_0_and_without_a_result_is_no_success() {
    for wall in WALLS {
        let Verdict::Crashed(crash) = invoke(wall, "exits", &0_i32).verdict else { panic!() };
        let CrashCause::Protocol { fault } = crash.cause else { panic!("{:?}", crash.cause) };
        assert!(fault.contains("`exits` has given no result"), "{fault}");
    }
}

#[test]
fn items_progress_and_logs_are_heard_in_order_before_the_result() {
    for wall in WALLS {
        for stack in [256 << 10, 16 << 20] {
            let mut heard = Vec::new();
            let mut ear = |event: Event<'_>| match event {
                Event::Emitted { codec, bytes } => {
                    let item: u64 = Payload::new(codec, bytes).read().unwrap();
                    heard.push(format!("item {item}"));
                }
                Event::Progress { done, total, text } => {
                    heard.push(format!("{done}/{total:?} {text}"));
                }
                Event::Log { level: Level::Warning, text } => heard.push(text.to_owned()),
                Event::Log { level, .. } => panic!("{level:?}"),
                Event::Started { .. } | Event::Stdout(_) | Event::Stderr(_) => {}
            };
            let task = Task::invoke("count", &2_u64).unwrap();
            let guest = load(wall, limits());
            // Too small a stack for the guest, and it runs on another thread; what is heard is the same.
            let report = std::thread::scope(|scope| {
                let thread = std::thread::Builder::new().stack_size(stack);
                let run = || guest.run_with(&task, &StopHandle::new(), &mut ear);
                thread.spawn_scoped(scope, run).unwrap().join().unwrap()
            });
            assert_eq!(report.value::<u64>().unwrap(), 2);
            let expected =
                ["item 0", "1/Some(2) counting", "item 1", "2/Some(2) counting", "that was all"];
            assert_eq!(heard, expected, "{wall:?}");
        }
    }
}

#[test]
fn b11_endless_items_end_at_the_result_limit() {
    for wall in WALLS {
        let limits = Limits { result: ByteSize::mib(1), ..limits() };
        let report = load(wall, limits).run(&Task::invoke("count", &u64::MAX).unwrap());
        assert_eq!(report.verdict.label().as_str(), "stopped.result", "{wall:?}");
    }
}

#[test]
fn a_task_knows_how_much_time_it_has() {
    for wall in WALLS {
        let (left, is_cancelled): (Option<u64>, bool) =
            load(wall, limits()).call("left", &()).unwrap();
        assert!(left.is_some_and(|left| (1..=120_000).contains(&left)), "{wall:?}: {left:?}");
        assert!(!is_cancelled, "{wall:?}");
    }
}

#[test]
fn what_a_task_writes_is_there_with_its_result() {
    for wall in WALLS {
        let report = invoke(wall, "writes", "no end of a line");
        assert!(report.verdict.is_completed(), "{:?}", report.verdict);
        assert_eq!(report.output.stdout_text(), "no end of a line", "{wall:?}");
        assert_eq!(report.output.stderr_text(), "no end of a line", "{wall:?}");
    }
}

#[test]
fn a_program_that_serves_no_calls_is_told_so() {
    let runtime = Runtime::new().unwrap();
    let task = Task::invoke("add", &(1, 2)).unwrap();
    let report = runtime.run(Program::file("/bin/true"), &task);
    assert_eq!(report.verdict.label().as_str(), "crashed.protocol");
    assert!(report.verdict.to_string().contains("never said hello"), "{}", report.verdict);
    let report = runtime.run(Program::file(guests::module("no_start")), &task);
    assert_eq!(report.verdict.label().as_str(), "unstarted.rejected");
    assert!(report.verdict.to_string().contains("sandtrap-guest"), "{}", report.verdict);
}

#[test]
fn a_guest_with_functions_is_a_command_for_people_too() {
    for wall in WALLS {
        let guest = load(wall, limits());
        let report = guest.run(&Task::command(["add", "[2, 3]"]));
        assert_eq!(report.output.stdout_text(), "5\n", "{wall:?}: {:?}", report.verdict);
        let report = guest.run(&Task::command(["resize"]));
        assert_eq!(report.verdict, Verdict::Failed(Failure::Exit { code: 2 }), "{wall:?}");
        assert!(report.output.stderr_text().contains("add, echo"), "{wall:?}");
    }
}

#[test]
fn b6_each_call_has_a_guest_without_a_past() {
    for wall in WALLS {
        let guest = load(wall, limits());
        for _ in 0..3 {
            assert_eq!(guest.call::<_, u64>("next", &()).unwrap(), 1, "{wall:?}");
        }
    }
}

#[test]
fn a_kept_guest_answers_call_after_call_with_its_state() {
    let mut kept = load(Wall::Wasm, limits()).keep(Reuse::default()).unwrap();
    for expected in 1..=100_u64 {
        assert_eq!(kept.call::<_, u64>("next", &()).unwrap(), expected);
    }
    let error = kept.call::<_, i64>("divide", &(1_i64, 0_i64)).unwrap_err();
    assert!(error.error_as::<DivisionError>().is_some());
    assert_eq!(kept.call::<_, u64>("next", &()).unwrap(), 101, "an error is orderly");
    let Err(CallError::Ended(report)) = kept.call::<_, ()>("panics", "boom") else { panic!() };
    assert_eq!(report.verdict.label().as_str(), "failed.panic");
    assert!(!kept.is_usable());
}

#[test]
fn each_call_of_a_kept_guest_has_its_own_streams_and_limits() {
    let mut kept = load(Wall::Wasm, limits()).keep(Reuse::default()).unwrap();
    for text in ["one", "two"] {
        let report = kept.run(&Task::invoke("writes", text).unwrap());
        assert_eq!(report.output.stdout_text(), text);
        let report = kept.run(&Task::invoke_with("echo", Payload::raw(vec![7; 1 << 20])));
        assert_eq!(report.value::<Vec<u8>>().unwrap().len(), 1 << 20);
    }
    let small = Limits { result: ByteSize::bytes(100), ..limits() };
    let task = Task::invoke_with("echo", Payload::raw(vec![7; 1 << 20])).limits(small);
    assert_eq!(kept.run(&task).verdict.label().as_str(), "stopped.result");
}

#[test]
fn the_output_is_not_kept_unless_it_is_wanted_and_the_result_is() {
    for wall in WALLS {
        let task = Task { stdout: Capture::Discard, ..Task::invoke("writes", "x").unwrap() };
        let report = load(wall, limits()).run(&task);
        assert_eq!((report.output.stdout, report.output.result.is_some()), (None, true));
    }
}
