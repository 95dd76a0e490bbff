//! What does a small frame cost on its way: written by one side, read by the other?

use std::hint::black_box;

use sandtrap_benches::notebook::Sense;
use sandtrap_benches::{Case, in_turns, tell_value};
use sandtrap_protocol::{
    Codec, Decoder, Frame, FromGuest, LENGTH_BYTES, ToGuest, decode_to_guest, head_into,
};

/// What most values are no larger than.
const VALUE: [u8; 64] = [7; 64];

/// What is promised for both ways of one frame, in nanoseconds.
const GOAL: f64 = 100.0;

pub(crate) fn ask() {
    let mut decoder = Decoder::new(1 << 20);
    let [results, calls, copies] = in_turns(
        "frames",
        [
            Case::new("result/64", || result(&mut decoder)),
            Case::new("call/64", call),
            Case::new("bare-copy/64", || black_box(black_box(&VALUE).to_owned())),
        ],
    );
    let worse = results.median.max(calls.median);
    // The copy is the floor: no frame can cost less.
    sandtrap_benches::tell_beside("frames/result", &results, &copies);
    tell_value("frames", "ns", worse * 1e9, Sense::AtMost, GOAL);
}

/// A result on its way to the host.
fn result(decoder: &mut Decoder) {
    let frame = FromGuest::Return { id: black_box(7), codec: Codec::Typed };
    let mut buffer = [0; 128];
    let length = write(&frame, &mut buffer);
    let heard = decoder.feed(black_box(&buffer[..length]), |frame, tail| {
        black_box((frame, tail.len()));
        Ok(())
    });
    assert_eq!(heard, Ok(()));
}

/// A call on its way to the guest.
fn call() {
    let frame = ToGuest::Call {
        id: black_box(7),
        codec: Codec::Typed,
        time_left: 1 << 20,
        function: "add",
    };
    let mut buffer = [0; 128];
    let length = write(&frame, &mut buffer);
    assert!(
        decode_to_guest(black_box(&buffer[LENGTH_BYTES..length])).is_ok_and(|(_, at)| at < length)
    );
}

/// The frame's fields, and its value behind them.
fn write(frame: &impl Frame, buffer: &mut [u8; 128]) -> usize {
    let mut head = [0; 64];
    let head = head_into(frame, VALUE.len(), &mut head).expect("a small frame");
    let length = head.len() + VALUE.len();
    buffer[..head.len()].copy_from_slice(head);
    buffer[head.len()..length].copy_from_slice(&VALUE);
    length
}
