//! One guest source, the same talk behind both walls: every frame, every shape of an error, every size of a value,
//! however values travel; every stream, and every callback.

mod frames;
mod streams;

use std::time::Duration;

use sandtrap::{
    ByteSize, Event, Limits, Loaded, Payload, Payloads, Permissions, Program, Runtime, StopHandle,
    Task, Wall,
};
use sandtrap_tests::guests;
use serde::Serialize;

/// Each wall in each way in which values travel.
const WAYS: [(Wall, Payloads); 4] = [
    (Wall::Native, Payloads::Inline),
    (Wall::Native, Payloads::Shared),
    (Wall::Wasm, Payloads::Auto),
    (Wall::Wasm, Payloads::Inline),
];

const SIZES: [usize; 11] =
    [0, 1, 4095, 4096, 65_500, 65_535, 65_536, 65_537, 1 << 20, (1 << 20) + 1, 64 << 20];

fn program((wall, payloads): &(Wall, Payloads), guest: &str, memory: ByteSize) -> Program {
    let path = match wall {
        Wall::Native => guests::native(guest),
        Wall::Wasm => guests::wasm(guest),
    };
    let ample = Duration::from_secs(500);
    let result = ByteSize::bytes(memory.as_u64() / 3);
    let limits = Limits { wall: ample, cpu: ample, memory, result, ..Limits::default() };
    let mut permissions = Permissions::default();
    permissions.grant_host_function("shout");
    let program = Program::file(path).within(*wall).limits(limits).permissions(permissions);
    program.payloads(payloads.clone())
}

fn runtime() -> Runtime {
    Runtime::builder().host("shout", |_, text: String| text.to_uppercase()).build().unwrap()
}

fn load(way: &(Wall, Payloads), memory: ByteSize) -> Loaded {
    runtime().load(program(way, "calls", memory)).unwrap()
}

/// Bytes that are nowhere the same for long.
fn bytes(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at % 251) as u8 ^ (at >> 16) as u8).collect()
}

#[test]
fn values_of_every_size_go_in_and_come_out_in_every_way() {
    let sent = bytes(64 << 20);
    for way in WAYS {
        let guest = load(&way, ByteSize::mib(600));
        for size in SIZES {
            for function in ["echo", "returns"] {
                let raw = Task::invoke_with(function, Payload::raw(&sent[..size]));
                // Typed ones are written and read one by one here, which takes a while.
                let typed = (size <= 1 << 20).then(|| Task::invoke(function, &sent[..size]));
                for task in [raw].into_iter().chain(typed.map(Result::unwrap)) {
                    let report = guest.run(&task);
                    let result = report.output.result.as_ref().and_then(Payload::as_bytes);
                    let is_same = result == Some(&sent[..size]);
                    assert!(is_same, "{way:?} {function} {size}: {:?}", report.verdict);
                    assert!(report.verdict.is_completed(), "{way:?} {function} {size}");
                }
            }
        }
    }
}

#[test]
fn a_value_is_made_where_it_is_read() {
    for way in WAYS {
        let guest = load(&way, ByteSize::mib(600));
        for size in [0, 1, 65_536, 100 << 20] {
            let report = guest.run(&Task::invoke("makes", &size).unwrap());
            let result = report.output.result.as_ref().and_then(Payload::as_bytes).unwrap();
            assert!(result.len() == size && result.iter().all(|it| *it == 7), "{way:?} {size}");
            drop(guest.run(&Task::invoke_with("echo", Payload::raw([1]))));
            assert!(result.iter().all(|it| *it == 7), "{way:?} {size}: it has changed");
        }
    }
}

/// Needs about 6 GiB: `cargo nextest run --run-ignored only -E 'test(a_gibibyte_goes)'`.
#[test]
#[ignore = "it needs more memory than a usual machine has to spare"]
fn a_gibibyte_goes_in_and_comes_out_at_once() {
    let sent = bytes(1 << 30);
    for way in WAYS {
        let guest = load(&way, ByteSize::mib(3600));
        let report = guest.run(&Task::invoke_with("returns", Payload::raw(&*sent)));
        let result = report.output.result.as_ref().and_then(Payload::as_bytes);
        assert!(result == Some(&*sent), "{way:?}: {:?}", report.verdict);
    }
}

/// What is seen of a task, in words that know no walls.
fn seen(guest: &Loaded, task: &Task) -> Vec<String> {
    let mut heard = Vec::new();
    let mut ear = |event: Event<'_>| match event {
        Event::Emitted { codec, bytes } => heard.push(format!("item {codec:?} {bytes:?}")),
        Event::Log { level, text } => heard.push(format!("log {level:?} {text}")),
        Event::Progress { done, total, text } => {
            heard.push(format!("progress {done} {total:?} {text}"));
        }
        Event::Stdout(bytes) => heard.push(format!("out {bytes:?}")),
        Event::Stderr(_) | Event::Started { .. } => {}
    };
    let report = guest.run_with(task, &StopHandle::new(), &mut ear);
    heard.push(format!("{} {}", report.verdict.label(), report.verdict));
    heard.push(format!("result {:?}", report.output.result.as_ref().map(Payload::bytes)));
    heard.push(format!("error {:?}", report.output.error_value.as_ref().map(Payload::bytes)));
    heard.push(format!("fatal {}", report.facts.is_fatal));
    heard.push(format!("device {:?}", report.facts.device_out_of_memory));
    heard.push(format!("twice {:?}", report.facts.idempotent));
    heard
}

#[test]
fn every_word_and_every_error_is_the_same_behind_both_walls() {
    fn typed<T: Serialize>(function: &str, input: T) -> Task {
        Task::invoke(function, &input).unwrap()
    }
    let json =
        |function: &str, text: &str| Task::invoke_with(function, Payload::json_text(text).unwrap());
    let tasks = [
        typed("add", (2_i64, 40_i64)),
        json("add", "[2, 40]"),
        json("turn", r#"{"name": "x", "width": 1, "height": 2}"#),
        typed("nothing", ()),
        json("nothing", "null"),
        typed("count", 3_u64),
        json("count", "2"),
        typed("divide", (1_i64, 0_i64)),
        json("divide", "[1, 0]"),
        typed("parse", "x"),
        typed("refuse", "no"),
        typed("gives_up", "for good"),
        typed("panics", "boom"),
        typed("exits", 0),
        typed("exits", 3),
        typed("writes", "text"),
        typed("nowhere", ()),
        typed("add", "no pair"),
        json("add", "[1]"),
        Task::invoke_with("add", Payload::raw("1")),
        typed("asks", ("shout", "loud")),
        typed("asks", ("whisper", "x")),
        typed("knows", "shout"),
    ];
    let [native, others @ ..] = WAYS;
    let native = load(&native, ByteSize::mib(64));
    let others = others.map(|way| (load(&way, ByteSize::mib(64)), way));
    for task in &tasks {
        let expected = seen(&native, task);
        for (guest, way) in &others {
            assert_eq!(seen(guest, task), expected, "{way:?} {task:?}");
        }
    }
}
