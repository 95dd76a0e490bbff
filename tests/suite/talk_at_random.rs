//! Guests that talk at random, and guests that are ended while they talk: there is a verdict each time, soon, and no
//! result that was not given whole.

use std::collections::BTreeMap;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sandtrap::{Codec, Event, Level, Loaded, Payload, Report, StopHandle, Task, Wall};
use sandtrap_protocol::{ErrorReport, FromGuest, PanicReport, VERSION, encode_with};

use super::hostile_talk::{Script, emit, load, result};

const WALLS: [Wall; 2] = [Wall::Native, Wall::Wasm];
const PATIENCE: Duration = Duration::from_secs(100);

/// Numbers that are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below as u64) as usize
    }
}

/// One of each kind.
fn frames() -> Vec<Vec<u8>> {
    let codec = Codec::Raw;
    let panic = PanicReport { message: "x".into(), place: None, fatal: false };
    [
        (FromGuest::Hello { version: VERSION }, &b""[..]),
        (FromGuest::Error(ErrorReport { message: "no".into(), chain: vec!["why".into()] }), b""),
        (FromGuest::Panic(panic), b""),
        (FromGuest::OutOfMemory { requested: 1 << 40 }, b""),
        (FromGuest::Functions(vec!["f".into()]), b""),
        (result(), &[7; 700]),
        (FromGuest::ErrorValue { codec }, b"value"),
        (emit(1), b"item"),
        (FromGuest::Log { level: Level::Info }, b"words"),
        (FromGuest::Progress { done: 1, total: None }, b"half"),
        (FromGuest::HostCall { id: 1, codec, function: "kv.get".into() }, b"key"),
        (FromGuest::Beat, b""),
        (FromGuest::Fatal, b""),
        (FromGuest::DeviceOutOfMemory { requested: 1 << 40 }, b""),
        (FromGuest::Idempotent(vec!["f".into()]), b""),
        (FromGuest::Lane, b""),
        (FromGuest::Stack, b"eight or so"),
    ]
    .map(|(frame, tail)| encode_with(&frame, tail).unwrap())
    .into()
}

/// A greeting mostly, then frames in any order, some of them changed or cut.
fn talk(numbers: &mut Numbers, frames: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = if numbers.next(8) == 0 { Vec::new() } else { frames[0].clone() };
    for _ in 0..numbers.next(5) {
        bytes.extend(&frames[numbers.next(frames.len())]);
    }
    if numbers.next(3) > 0 {
        bytes.extend(&frames[5]);
    }
    for _ in 0..numbers.next(3) {
        if !bytes.is_empty() {
            let at = numbers.next(bytes.len());
            bytes[at] = numbers.next(256) as u8;
        }
    }
    bytes.truncate(bytes.len() - numbers.next(4).min(bytes.len()));
    bytes
}

fn run(guest: &Loaded, script: Script) -> Report {
    guest.run(&Task::invoke_with("f", Payload::raw(script.0)))
}

#[test]
fn whatever_a_guest_says_there_is_a_verdict_and_no_result_that_was_not_given() {
    let frames = frames();
    for wall in WALLS {
        let (guest, mut numbers) = (load(wall, PATIENCE), Numbers(0x2545_f491_4f6c_dd1d));
        let mut ends = BTreeMap::<&str, u32>::new();
        for _ in 0..150 {
            let said = talk(&mut numbers, &frames);
            let report = run(&guest, Script::default().says(&said).exits(0));
            let label = report.verdict.label().as_str();
            *ends.entry(label).or_default() += 1;
            let known = ["completed", "crashed.protocol", "failed.error", "stopped.result"];
            assert!(known.contains(&label), "{wall:?} {said:?}: {:?}", report.verdict);
            let counts = report.value::<Vec<u8>>();
            assert_eq!(counts.is_ok(), label == "completed", "{wall:?} {said:?}");
            // What was given may have been changed on its way into the talk, but never on its way out of it.
            assert!(counts.map_or(true, |value| said.windows(value.len()).any(|it| it == value)));
        }
        assert!(ends["completed"] > 5 && ends["crashed.protocol"] > 40, "{wall:?} {ends:?}");
        let sound = run(&guest, Script::hello().frame(&result()).exits(0));
        assert!(sound.verdict.is_completed(), "{wall:?}: the host is as it was");
    }
}

#[test]
fn b25_a_result_before_a_bad_end_does_not_count_and_is_in_the_report() {
    for wall in WALLS {
        let report = run(&load(wall, PATIENCE), Script::hello().frame(&result()).exits(3));
        assert_eq!(report.verdict.label().as_str(), "failed.exit", "{wall:?}");
        assert!(report.value::<Vec<u8>>().is_err() && report.output.result.is_some(), "{wall:?}");
    }
}

/// Its worker is killed while it writes a result: several pools wait for the rest for ever.
#[test]
fn p7_a_result_that_a_kill_tore_is_none_and_nobody_waits_for_the_rest() {
    let torn = encode_with(&result(), &[7; 5000]).unwrap();
    let script = Script::hello().frame(&emit(1)).says(&torn[..3000]).hangs();
    let mut pid = None;
    let mut ear = |event: Event<'_>| match event {
        Event::Started { pid: started } => pid = Some(Pid::from_raw(started.cast_signed())),
        Event::Emitted { .. } => kill(pid.unwrap(), Signal::SIGKILL).unwrap(),
        _ => {}
    };
    let guest = load(Wall::Native, PATIENCE);
    let task = Task::invoke_with("f", Payload::raw(script.0));
    let report = guest.run_with(&task, &StopHandle::new(), &mut ear);
    assert_eq!(report.verdict.label().as_str(), "crashed.killed", "{:?}", report.verdict);
    assert!(report.output.result.is_none());
}
