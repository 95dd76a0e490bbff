//! The bytes of every frame, and what becomes of bytes that are none.

use super::*;
use crate::codec::{
    around_panic, decode_to_guest, encode, encode_into, encode_with, head_into, only_return,
};
use crate::frame::{Codec, ErrorReport, Level, PanicReport, ToGuest};
use alloc::vec;

/// Every frame of a guest, with a tail where it may have one, and its bytes. They never change.
fn golden() -> Vec<(FromGuest, &'static [u8], &'static [u8])> {
    let error = ErrorReport { message: "no".into(), chain: vec!["why".into()] };
    let panic = PanicReport { message: "boom".into(), place: Some("a.rs:1:2".into()), fatal: true };
    let host = FromGuest::HostCall { id: 300, codec: Codec::Raw, function: "get".into() };
    vec![
        (FromGuest::Hello { version: 1 }, b"", b"\x02\0\0\0\x00\x01"),
        (FromGuest::Error(error), b"", b"\x09\0\0\0\x01\x02no\x01\x03why"),
        (FromGuest::Panic(panic), b"", b"\x11\0\0\0\x02\x04boom\x01\x08a.rs:1:2\x01"),
        (FromGuest::OutOfMemory { requested: 1 << 20 }, b"", b"\x04\0\0\0\x03\x80\x80\x40"),
        (
            FromGuest::Functions(vec!["add".into(), "f".into()]),
            b"",
            b"\x08\0\0\0\x04\x02\x03add\x01f",
        ),
        (FromGuest::Return { id: 7, codec: Codec::Typed }, b"\x2a", b"\x04\0\0\0\x05\x07\x01\x2a"),
        (FromGuest::ErrorValue { codec: Codec::Json }, b"{}", b"\x04\0\0\0\x06\x02{}"),
        (FromGuest::Emit { id: 7, codec: Codec::Raw }, b"x", b"\x04\0\0\0\x07\x07\x00x"),
        (FromGuest::Log { level: Level::Warning }, b"hot", b"\x05\0\0\0\x08\x02hot"),
        (
            FromGuest::Progress { done: 3, total: Some(200) },
            b"rows",
            b"\x09\0\0\0\x09\x03\x01\xc8\x01rows",
        ),
        (host, b"key", b"\x0b\0\0\0\x0a\xac\x02\x00\x03getkey"),
        (FromGuest::Beat, b"", b"\x01\0\0\0\x0b"),
        (FromGuest::DeviceOutOfMemory { requested: 300 }, b"", b"\x03\0\0\0\x0e\xac\x02"),
        (FromGuest::Idempotent(vec!["f".into()]), b"", b"\x04\0\0\0\x0f\x01\x01f"),
        (FromGuest::Placed { at: 4096, length: 300 }, b"", b"\x05\0\0\0\x0c\x80\x20\xac\x02"),
        (FromGuest::Fatal, b"", b"\x01\0\0\0\x0d"),
        (FromGuest::Warm, b"", b"\x01\0\0\0\x10"),
        (FromGuest::Lane, b"", b"\x01\0\0\0\x11"),
        (FromGuest::Stack, b"\x40\x10\0\0\0\0\0\0", b"\x09\0\0\0\x12\x40\x10\0\0\0\0\0\0"),
    ]
}

type Heard = Vec<(FromGuest, Vec<u8>)>;

fn decoded(bytes: &[u8], piece: usize) -> Result<Heard, FrameFault> {
    let (mut decoder, mut frames) = (Decoder::new(1 << 20), Vec::new());
    for chunk in bytes.chunks(piece) {
        decoder.feed(chunk, |frame, tail| {
            frames.push((frame, tail.into_owned()));
            Ok(())
        })?;
    }
    decoder.end().map(|()| frames)
}

#[test]
fn i15_the_bytes_of_every_frame_stay_the_same() {
    for (frame, tail, bytes) in golden() {
        assert_eq!(encode_with(&frame, tail).as_deref(), Ok(bytes), "{frame:?}");
        assert_eq!(FromGuest::tail_of(bytes[LENGTH_BYTES]), Some(frame.tail()), "{frame:?}");
    }
    let call = ToGuest::Call { id: 7, codec: Codec::Json, time_left: 300, function: "add" };
    let reply = ToGuest::HostReply { id: 300, is_result: true, codec: Codec::Raw };
    for (frame, tail, bytes) in [
        (ToGuest::Hello { version: 1 }, &b""[..], &b"\x02\0\0\0\x00\x01"[..]),
        (call, b"[1]", b"\x0c\0\0\0\x01\x07\x02\xac\x02\x03add[1]"),
        (reply, b"v", b"\x06\0\0\0\x02\xac\x02\x01\x00v"),
        (ToGuest::Cancel { id: 7 }, b"", b"\x02\0\0\0\x03\x07"),
        (ToGuest::Shutdown, b"", b"\x01\0\0\0\x04"),
        (ToGuest::Placed { at: 4096, length: 300 }, b"", b"\x05\0\0\0\x05\x80\x20\xac\x02"),
        (ToGuest::Functions(vec!["kv.get", "f"]), b"", b"\x0b\0\0\0\x06\x02\x06kv.get\x01f"),
    ] {
        assert_eq!(encode_with(&frame, tail).as_deref(), Ok(bytes), "{frame:?}");
        let (read, at) = decode_to_guest(&bytes[LENGTH_BYTES..]).unwrap();
        assert_eq!((read, &bytes[LENGTH_BYTES + at..]), (frame, tail));
    }
}

#[test]
fn a_frame_is_the_same_with_and_without_allocation() {
    let mut buffer = [0; 64];
    for (frame, tail, bytes) in golden() {
        let head = head_into(&frame, tail.len(), &mut buffer).unwrap();
        assert_eq!([head, tail].concat(), bytes);
        assert!(encode_into(&frame, &mut [0; 4]).is_err());
    }
}

#[test]
fn what_stands_around_a_panics_words_is_its_frame_without_them() {
    let mut buffer = [0; 64];
    for (length, place, fatal) in [(0, None, false), (4, Some("a.rs:1:2"), true), (300, None, true)]
    {
        let message = "x".repeat(length);
        let (before, behind) = around_panic(length, place, fatal, &mut buffer).unwrap();
        let written = [before, message.as_bytes(), behind].concat();
        let report = PanicReport { message, place: place.map(Into::into), fatal };
        assert_eq!(Ok(written), encode(&FromGuest::Panic(report)));
    }
    assert!(around_panic(MAX_FRAME, None, false, &mut buffer).is_err());
    assert!(around_panic(1, Some("a long place"), false, &mut [0; 12]).is_err());
}

#[test]
fn frames_survive_being_cut_anywhere() {
    let bytes: Vec<u8> = golden().iter().flat_map(|(.., bytes)| bytes.to_vec()).collect();
    let frames: Heard =
        golden().into_iter().map(|(frame, tail, _)| (frame, tail.to_vec())).collect();
    for piece in 1..=bytes.len() {
        assert_eq!(decoded(&bytes, piece).as_ref(), Ok(&frames), "pieces of {piece}");
    }
}

#[test]
fn values_of_every_size_arrive_in_pieces_of_every_size() {
    let frame = FromGuest::Return { id: 1, codec: Codec::Raw };
    for size in [0, 1, 1019, 1020, 1021, 1022, 1024, 4095, 65_535, 65_536, 65_537, 1 << 20] {
        let value: Vec<u8> = (0..size).map(|index| (index % 251) as u8).collect();
        let mut bytes = encode_with(&frame, &value).unwrap();
        bytes.extend(encode(&FromGuest::Beat).unwrap());
        for piece in [1 << 21, 65_536, 4096, 1023, 7] {
            let heard = decoded(&bytes, piece).unwrap();
            let expected = [(frame.clone(), value.clone()), (FromGuest::Beat, vec![])];
            assert!(heard == expected, "{size} bytes in pieces of {piece}");
        }
    }
}

#[test]
fn hostile_bytes_are_named_and_never_reserved_for() {
    for (bytes, fault) in [
        (&[0xff, 0xff, 0xff, 0xff, 1][..], FrameFault::TooLong(u32::MAX as usize)),
        (&[0xff, 0xff, 0xff, 0xff, 8], FrameFault::TooLong(u32::MAX as usize)),
        (&[0xff, 0xff, 0xff, 0xff, 5], FrameFault::TooMuch(u32::MAX as usize)),
        (&[0xff, 0xff, 0xff, 0xff, 0xff], FrameFault::Malformed),
        (&[1, 0, 1, 0, 0], FrameFault::TooLong(MAX_FRAME + 1)),
        (&[0, 0, 0, 0], FrameFault::Malformed),
        (&[0, 0, 0, 0, 1], FrameFault::Malformed),
        (&[1, 0, 0, 0, 99], FrameFault::Malformed),
        (&[1, 0, 0, 0, 5], FrameFault::Malformed),
        (&[3, 0, 0, 0, 5, 1, 9], FrameFault::Malformed),
        (&[3, 0, 0, 0, 0, 1, 7], FrameFault::Padded),
        (&[2, 0, 0, 0, 11, 7], FrameFault::Padded),
        (&[2, 0, 0], FrameFault::Torn),
        (&[2, 0, 0, 0, 0], FrameFault::Torn),
        (&[9, 0, 0, 0, 5, 1, 0, 7], FrameFault::Torn),
    ] {
        for piece in [1, bytes.len()] {
            assert_eq!(decoded(bytes, piece), Err(fault.clone()), "{bytes:?} by {piece}");
        }
    }
}

#[test]
fn a_value_that_never_comes_costs_no_room() {
    let mut decoder = Decoder::new(u32::MAX as usize);
    let mut bytes = vec![0xff, 0xff, 0xff, 0xf0, 5, 1, 0];
    bytes.resize(LENGTH_BYTES + MAX_HEAD, 7);
    decoder.feed(&bytes, |_, _| Ok(())).unwrap();
    assert!(decoder.value.as_ref().is_some_and(|value| value.bytes.capacity() <= FIRST_ROOM));
    decoder.feed(&[7], |_, _| Ok(())).unwrap();
    assert!(decoder.value.is_some_and(|value| value.bytes.capacity() <= 2 * FIRST_ROOM));
}

#[test]
fn what_is_too_long_is_not_written_either() {
    let log = FromGuest::Log { level: Level::Info };
    assert_eq!(encode_with(&log, &[b'x'; MAX_FRAME]), Err(FrameFault::TooLong(MAX_FRAME + 2)));
    assert_eq!(encode_with(&FromGuest::Beat, b"x"), Err(FrameFault::Padded));
    let function = "f".repeat(MAX_HEAD);
    let call = ToGuest::Call { id: 0, codec: Codec::Raw, time_left: 0, function: &function };
    assert!(matches!(encode(&call), Err(FrameFault::TooLong(_))));
}

#[test]
fn a_small_frame_is_read_and_written_without_a_copy_or_an_allocation() {
    let (mut buffer, mut decoder) = ([0; 80], Decoder::default());
    let frame = FromGuest::Return { id: 1, codec: Codec::Typed };
    let mut there_and_back = || {
        let head = head_into(&frame, 64, &mut buffer).unwrap().len();
        buffer[head..head + 64].fill(7);
        let value = buffer[head..head + 64].as_ptr();
        decoder.feed(&buffer[..head + 64], |frame, tail| {
            assert_eq!(frame, FromGuest::Return { id: 1, codec: Codec::Typed });
            assert!(matches!(tail, Cow::Borrowed(bytes) if bytes.as_ptr() == value));
            Ok(())
        })
    };
    let mut heard = Ok(());
    let taken = allocation_counter::measure(|| heard = there_and_back());
    assert_eq!((heard, taken.count_total), (Ok(()), 0));
    // What counts does count.
    assert_eq!(
        allocation_counter::measure(|| drop(core::hint::black_box(vec![7; 64]))).count_total,
        1
    );
}

#[test]
fn one_return_and_nothing_else_is_known_as_that() {
    for (frame, tail, bytes) in golden() {
        let expected = match frame {
            FromGuest::Return { id, codec } => Some((id, codec, tail)),
            _ => None,
        };
        assert_eq!(only_return(bytes), expected, "{frame:?}");
        assert_eq!(only_return(&[bytes, b"x"].concat()), None, "{frame:?}");
        assert_eq!(only_return(&bytes[..bytes.len() - 1]), None, "{frame:?}");
    }
}

#[test]
fn calls_and_returns_are_read_the_short_way_as_by_postcard() {
    let numbers = [0, 1, 127, 128, 300, 1 << 21, 1 << 40, (1 << 63) - 1, 1 << 63, u64::MAX];
    let mut seen = 0;
    let mut compare = |body: &[u8]| {
        let asked = decode_to_guest(body).ok();
        let whole = postcard::take_from_bytes::<ToGuest<'_>>(body).ok();
        let whole = whole.map(|(frame, tail)| (frame, body.len() - tail.len()));
        assert_eq!(asked, whole, "{body:?}");
        let frame = [&(body.len() as u32).to_le_bytes()[..], body].concat();
        let returned = match postcard::take_from_bytes::<FromGuest>(body) {
            Ok((FromGuest::Return { id, codec }, value)) => Some((id, codec, value)),
            _ => None,
        };
        // Of a number of ten bytes it says nothing; then the frame is heard like any other.
        let is_long = body.get(1..10).is_some_and(|id| id.iter().all(|byte| byte & 0x80 != 0));
        let short = only_return(&frame);
        assert!(short == returned || is_long && short.is_none(), "{body:?}");
        seen += 1;
    };
    for id in numbers {
        for time_left in numbers {
            for (codec, function) in
                [(Codec::Raw, ""), (Codec::Typed, "numbers"), (Codec::Json, "é")]
            {
                let call = ToGuest::Call { id, codec, time_left, function };
                let returned = FromGuest::Return { id, codec };
                for bytes in [encode_with(&call, b"tail"), encode_with(&returned, b"tail")] {
                    let mut body = bytes.unwrap().split_off(LENGTH_BYTES);
                    for at in 0..body.len() {
                        compare(&body[..at]);
                        let was = body[at];
                        for other in [0, 1, 2, 5, 0x7f, 0x80, 0xff, was ^ 0x80, was.wrapping_add(1)]
                        {
                            body[at] = other;
                            compare(&body);
                        }
                        body[at] = was;
                    }
                    compare(&body);
                }
            }
        }
    }
    assert!(seen > 50_000, "{seen}");
}
