//! What guests say, in and out of turn.

use super::talk::MOST_ADDRESSES;
use super::*;
use crate::limits::Limits;
use crate::payload::Payload;
use crate::quantity::ByteSize;
use crate::task::{Capture, Stdin, TaskId};
use sandtrap_protocol::{
    Codec, ErrorReport, FromGuest, Level, PanicReport, VERSION, encode, encode_with,
};
use std::time::Instant;

pub(super) fn hello() -> FromGuest {
    FromGuest::Hello { version: VERSION }
}

pub(super) fn error() -> FromGuest {
    FromGuest::Error(ErrorReport { message: "no".into(), chain: vec![] })
}

fn panic(message: &str) -> FromGuest {
    FromGuest::Panic(PanicReport { message: message.into(), place: None, fatal: true })
}

pub(super) fn result(id: u64) -> FromGuest {
    FromGuest::Return { id, codec: Codec::Raw }
}

pub(super) fn value() -> FromGuest {
    FromGuest::ErrorValue { codec: Codec::Raw }
}

fn witness(entry: &Entry, limit: ByteSize, turn: Turn) -> Witness {
    let limits = Limits { result: limit, ..Limits::default() };
    let (task, stdout, began) = (TaskId::next(), Capture::Keep, Instant::now());
    Witness::of(
        &Attempt { task: &task, entry, limits: &limits, stdout, began, silence: None },
        turn,
    )
}

fn command(limit: ByteSize) -> Witness {
    witness(&Entry::Command { args: vec![], stdin: Stdin::Null }, limit, Turn::Only)
}

pub(super) fn called(limit: ByteSize, turn: Turn) -> Witness {
    let entry = Entry::Invoke { function: "resize".into(), input: Payload::raw([]) };
    witness(&entry, limit, turn)
}

pub(super) fn hear(witness: &mut Witness, frames: &[FromGuest]) -> Option<StopReason> {
    let deaf = &mut |_: Event<'_>| {};
    frames.iter().fold(None, |reason, frame| {
        reason.or(witness.hear(&encode_with(frame, b"").unwrap(), deaf))
    })
}

fn testimony_of(mut witness: Witness, frames: &[FromGuest]) -> Testimony {
    hear(&mut witness, frames);
    witness.finish()
}

#[test]
fn the_last_panic_and_the_error_are_kept() {
    let frames = [hello(), panic("one"), panic("two"), error()];
    let testimony = testimony_of(command(ByteSize::mib(1)), &frames);
    assert_eq!((&testimony.broken, &testimony.unanswered), (&None, &None));
    assert_eq!(testimony.panic.unwrap().message, "two");
    assert_eq!(testimony.error.unwrap().message, "no");
}

#[test]
fn every_breach_is_named() {
    let emit = || FromGuest::Emit { id: 1, codec: Codec::Raw };
    let host = FromGuest::HostCall { id: 1, codec: Codec::Raw, function: "kv.get".into() };
    let functions = || FromGuest::Functions(vec!["resize".into()]);
    let idempotent = |name: &str| FromGuest::Idempotent(vec![name.into()]);
    for (frames, words) in [
        (vec![panic("early")], "before the greeting"),
        (vec![result(1)], "before the greeting"),
        (vec![hello(), hello()], "second greeting"),
        (vec![hello(), error(), error()], "after the task's error"),
        (vec![hello(), error(), result(1)], "after the task's error"),
        (vec![hello(), error(), panic("late")], "after the task's error"),
        (vec![FromGuest::Hello { version: 99 }], "version 99"),
        (vec![hello(), result(1), result(1)], "second result"),
        (vec![hello(), result(1), error()], "error after the result"),
        (vec![hello(), result(1), value()], "error after the result"),
        (vec![hello(), result(1), emit()], "after the result"),
        (vec![hello(), result(1), FromGuest::Beat], "after the result"),
        (vec![hello(), result(2)], "result of call 2, which nobody made"),
        (vec![hello(), FromGuest::Emit { id: 0, codec: Codec::Raw }], "item of call 0"),
        (vec![hello(), FromGuest::Beat, functions()], "not follow the greeting"),
        (vec![hello(), functions(), functions()], "not follow the greeting"),
        (vec![hello(), idempotent("resize")], "not of those listed before"),
        (vec![hello(), functions(), idempotent("other")], "not of those listed before"),
        (
            vec![hello(), functions(), idempotent("resize"), idempotent("resize")],
            "not of those listed before",
        ),
        (vec![hello(), functions(), FromGuest::Lane], "a lane that was not offered"),
        (vec![hello(), value(), result(1)], "value without its error"),
        (vec![hello(), value(), value()], "value without its error"),
        (vec![hello(), result(1), host.clone()], "after the result"),
        (vec![hello(), error(), host], "after the task's error"),
    ] {
        let mut witness = called(ByteSize::mib(1), Turn::Only);
        assert_eq!(hear(&mut witness, &frames), Some(StopReason::Protocol), "{frames:?}");
        let broken = witness.finish().broken.unwrap();
        assert!(broken.contains(words), "{frames:?}: {broken}");
    }
}

#[test]
fn a_lane_that_was_offered_is_taken_once_and_with_the_greeting() {
    let functions = || FromGuest::Functions(vec!["resize".into()]);
    for (frames, is_taken) in [
        (vec![hello(), functions(), FromGuest::Lane, result(1)], true),
        (vec![hello(), FromGuest::Lane, result(1)], true),
        (vec![hello(), functions(), result(1)], false),
    ] {
        let mut witness = called(ByteSize::mib(1), Turn::Only);
        witness.has_offered_lane();
        assert_eq!(hear(&mut witness, &frames), None, "{frames:?}");
        assert_eq!(witness.has_taken_lane(), is_taken, "{frames:?}");
    }
    for frames in [
        vec![FromGuest::Lane],
        vec![hello(), FromGuest::Lane, FromGuest::Lane],
        vec![hello(), FromGuest::Lane, functions()],
        vec![hello(), FromGuest::Beat, FromGuest::Lane],
        vec![hello(), result(1), FromGuest::Lane],
    ] {
        let mut witness = called(ByteSize::mib(1), Turn::Only);
        witness.has_offered_lane();
        assert_eq!(hear(&mut witness, &frames), Some(StopReason::Protocol), "{frames:?}");
    }
}

#[test]
fn a_command_was_never_called() {
    let mut witness = command(ByteSize::mib(1));
    assert_eq!(hear(&mut witness, &[hello(), result(1)]), Some(StopReason::Protocol));
}

#[test]
fn a_call_has_its_result_and_what_was_heard_before_it() {
    let mut witness = called(ByteSize::mib(1), Turn::Only);
    let mut heard = Vec::new();
    let mut ear = |event: Event<'_>| heard.push(format!("{event:?}"));
    for (frame, tail) in [
        (hello(), &b""[..]),
        (FromGuest::Functions(vec!["resize".into()]), b""),
        (FromGuest::Idempotent(vec!["resize".into()]), b""),
        (FromGuest::Log { level: Level::Info }, b"a\xffb"),
        (FromGuest::DeviceOutOfMemory { requested: 7 }, b""),
        (FromGuest::Progress { done: 1, total: None }, b"rows"),
        (FromGuest::Emit { id: 1, codec: Codec::Json }, b"[]"),
        (FromGuest::Beat, b""),
        (result(1), b"done"),
        (panic("in a destructor"), b""),
    ] {
        assert_eq!(witness.hear(&encode_with(&frame, tail).unwrap(), &mut ear), None, "{frame:?}");
    }
    let testimony = witness.finish();
    assert_eq!((testimony.broken, testimony.unanswered), (None, None));
    assert_eq!(
        (testimony.functions, testimony.idempotent),
        (vec!["resize".into()], vec!["resize".into()])
    );
    assert_eq!(testimony.device_out_of_memory, Some(7));
    assert_eq!(testimony.result.unwrap().bytes(), b"done");
    assert_eq!(heard.len(), 3);
    assert!(heard[0].contains("a\u{fffd}b"), "{heard:?}");
}

#[test]
fn an_error_comes_with_its_value() {
    let testimony =
        testimony_of(called(ByteSize::mib(1), Turn::Only), &[hello(), value(), error()]);
    assert!(testimony.broken.is_none() && testimony.unanswered.is_none());
    assert!(testimony.error.is_some() && testimony.error_value.is_some());
}

#[test]
fn a_call_without_an_answer_is_told() {
    for (frames, words) in [
        (vec![hello()], "`resize` has given no result"),
        (vec![], "never said hello"),
        (vec![hello(), value()], "no result"),
    ] {
        let testimony = testimony_of(called(ByteSize::mib(1), Turn::Only), &frames);
        assert_eq!(testimony.never_greeted, words.contains("never"));
        let unanswered = testimony.unanswered.unwrap();
        assert!(unanswered.contains(words), "{unanswered}");
    }
}

#[test]
fn a_guest_that_was_kept_has_said_hello() {
    let turn = Turn::OneOfMany(2);
    let testimony = testimony_of(called(ByteSize::mib(1), turn), &[result(2)]);
    assert!(testimony.broken.is_none() && testimony.result.is_some());
    let testimony = testimony_of(called(ByteSize::mib(1), turn), &[result(1)]);
    assert!(testimony.broken.unwrap().contains("call 1"), "a late answer");
}

#[test]
fn a_guest_that_says_too_much_is_stopped_for_it() {
    let mut witness = command(ByteSize::bytes(8));
    assert_eq!(hear(&mut witness, &[hello()]), None);
    assert_eq!(hear(&mut witness, &[hello()]), Some(StopReason::Result));
}

#[test]
fn b11_a_result_of_exactly_the_limit_fits_and_one_more_byte_does_not() {
    let deaf = &mut |_: Event<'_>| {};
    let limit = 1 << 20;
    for (size, reason) in [(limit, None), (limit + 2048, Some(StopReason::Result))] {
        let mut witness = called(ByteSize::bytes(limit as u64), Turn::Only);
        hear(&mut witness, &[hello()]);
        let bytes = encode_with(&result(1), &vec![7; size]).unwrap();
        assert_eq!(witness.hear(&bytes, deaf), reason, "{size}");
        // Its length alone says so.
        let mut witness = called(ByteSize::bytes(limit as u64), Turn::Only);
        hear(&mut witness, &[hello()]);
        assert_eq!(witness.hear(&bytes[..16], deaf), reason, "{size}");
    }
}

#[test]
fn a_frame_cut_off_at_the_end_is_torn() {
    let mut witness = command(ByteSize::mib(1));
    hear(&mut witness, &[hello()]);
    witness.hear(&[9, 0, 0], &mut |_: Event<'_>| {});
    assert!(witness.finish().broken.unwrap().contains("cut off"));
    let mut witness = called(ByteSize::mib(1), Turn::Only);
    let bytes = [encode(&hello()).unwrap(), encode_with(&result(1), &[7; 4096]).unwrap()].concat();
    witness.hear(&bytes[..2000], &mut |_: Event<'_>| {});
    let testimony = witness.finish();
    assert!(testimony.broken.unwrap().contains("cut off") && testimony.result.is_none());
}

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

#[test]
fn whatever_is_said_is_heard_the_same_in_whatever_pieces() {
    let host = FromGuest::HostCall { id: 1, codec: Codec::Raw, function: "f".into() };
    let frames: Vec<Vec<u8>> = [
        (hello(), &b""[..]),
        (FromGuest::Functions(vec!["resize".into(), "turn".into()]), b""),
        (FromGuest::Log { level: Level::Error }, b"words"),
        (FromGuest::Progress { done: 1, total: Some(9) }, b"more words"),
        (FromGuest::Emit { id: 1, codec: Codec::Json }, b"{}"),
        (FromGuest::OutOfMemory { requested: 1 << 40 }, b""),
        (panic("boom"), b""),
        (value(), b"a value"),
        (error(), b""),
        (result(1), &[7; 2000]),
        (FromGuest::Beat, b""),
        (host, b"key"),
    ]
    .map(|(frame, tail)| encode_with(&frame, tail).unwrap())
    .into();
    let mut numbers = Numbers(0x2545_f491_4f6c_dd1d);
    let (mut breaches, mut sound) = (0, 0);
    for _ in 0..5_000 {
        let mut bytes = frames[0].clone();
        for _ in 0..numbers.next(6) {
            bytes.extend_from_slice(&frames[numbers.next(frames.len())]);
        }
        for _ in 0..numbers.next(3) {
            let at = numbers.next(bytes.len());
            bytes[at] = numbers.next(256) as u8;
        }
        bytes.truncate(bytes.len() - numbers.next(4).min(bytes.len()));
        let piece = 1 + numbers.next(40);
        let heard = [bytes.len(), piece, 1].map(|piece| {
            let mut witness = called(ByteSize::kib(4), Turn::Only);
            let mut events = Vec::new();
            let mut reason = None;
            for piece in bytes.chunks(piece.max(1)) {
                // A guest that must be ended is not heard any more.
                if reason.is_none() {
                    reason = witness.hear(piece, &mut |event| events.push(format!("{event:?}")));
                }
            }
            (reason, events, witness.finish())
        });
        assert!(heard[0].2 == heard[1].2 && heard[1].2 == heard[2].2, "{bytes:?}: {heard:?}");
        assert_eq!((heard[0].0, &heard[0].1), (heard[2].0, &heard[2].1), "{bytes:?}");
        match heard[0].2.broken {
            Some(_) => breaches += 1,
            None => sound += 1,
        }
    }
    assert!(breaches > 1_000 && sound > 100, "{breaches} breaches, {sound} sound talks");
}

#[test]
fn a_call_of_the_host_is_handed_on_once_and_only_while_a_call_is_served() {
    let host = || FromGuest::HostCall { id: 5, codec: Codec::Json, function: "kv.get".into() };
    let mut called = called(ByteSize::mib(1), Turn::Only);
    assert_eq!(hear(&mut called, &[hello(), host()]), None);
    let asked = called.asked();
    assert_eq!((asked.len(), asked[0].id, &*asked[0].function), (1, 5, "kv.get"));
    assert!(called.asked().is_empty());
    let mut command = command(ByteSize::mib(1));
    assert_eq!(hear(&mut command, &[hello(), host()]), Some(StopReason::Protocol));
    assert!(command.finish().broken.unwrap().contains("while it serves no call"));
}

#[test]
fn a_guest_is_warm_when_it_says_so_and_was_asked_to_be() {
    let entry = Entry::Command { args: vec![], stdin: Stdin::Null };
    let warming = || {
        let (task, limits, began) = (TaskId::next(), Limits::default(), Instant::now());
        let (entry, limits, stdout) = (&entry, &limits, Capture::Keep);
        Witness::of_warm_up(&Attempt { task: &task, entry, limits, stdout, began, silence: None })
    };
    let mut warm = warming();
    assert_eq!((hear(&mut warm, &[hello()]), warm.has_warmed_up()), (None, None));
    assert_eq!((hear(&mut warm, &[FromGuest::Warm]), warm.has_warmed_up()), (None, Some(true)));
    assert_eq!(hear(&mut warm, &[FromGuest::Warm]), Some(StopReason::Protocol));
    // One that knows nothing of forks names its functions, and waits for calls.
    let mut other = warming();
    assert_eq!(hear(&mut other, &[hello(), FromGuest::Functions(vec!["f".into()])]), None);
    assert_eq!(other.has_warmed_up(), Some(false));
    let mut called = called(ByteSize::mib(1), Turn::Only);
    assert_eq!(hear(&mut called, &[hello(), FromGuest::Warm]), Some(StopReason::Protocol));
}

#[test]
fn where_a_guest_stood_is_that_of_its_last_panic() {
    let say = |witness: &mut Witness, frame, tail: &[u8]| {
        witness.hear(&encode_with(&frame, tail).unwrap(), &mut |_: Event<'_>| {})
    };
    let words = |words: &[u64]| words.iter().flat_map(|it| it.to_le_bytes()).collect::<Vec<u8>>();
    let mut called = called(ByteSize::mib(1), Turn::Only);
    assert_eq!(say(&mut called, hello(), b""), None);
    assert_eq!(say(&mut called, panic("one"), b""), None);
    assert_eq!(say(&mut called, FromGuest::Stack, &words(&[1, 2])), None);
    // A thread that is left over may panic when the result is there; and what is no whole number is none.
    assert_eq!(say(&mut called, result(1), b"value"), None);
    assert_eq!(say(&mut called, panic("two"), b""), None);
    assert_eq!(called.talk.testimony.stack, [0; 0]);
    assert_eq!(say(&mut called, FromGuest::Stack, &[&words(&[7, 8, 9])[..], b"x"].concat()), None);
    assert_eq!(called.talk.testimony.stack, [7, 8, 9]);
    assert_eq!(say(&mut called, FromGuest::Stack, &words(&vec![5; 8000])), None);
    assert_eq!(called.finish().stack.len(), MOST_ADDRESSES);
    let mut early = command(ByteSize::mib(1));
    assert_eq!(say(&mut early, FromGuest::Stack, b""), Some(StopReason::Protocol));
}
