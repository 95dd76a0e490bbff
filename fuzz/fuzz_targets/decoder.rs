//! The decoders of both directions. Whatever comes: no panic; the same frames in whatever pieces; and a frame that was
//! read is written and read again as the same frame.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sandtrap_protocol::{
    Decoder, FrameFault, FromGuest, MAX_FRAME, MAX_HEAD, ToGuest, decode_to_guest, encode_with,
};

type Frames = (Vec<(FromGuest, Vec<u8>)>, Result<(), FrameFault>);

fn decoded(bytes: &[u8], piece: usize, longest: usize) -> Frames {
    let (mut decoder, mut frames) = (Decoder::new(longest), Vec::new());
    for piece in bytes.chunks(piece.max(1)) {
        let fed = decoder.feed(piece, |frame, tail| {
            frames.push((frame, tail.into_owned()));
            Ok(())
        });
        if fed.is_err() {
            return (frames, fed);
        }
    }
    let end = decoder.end();
    (frames, end)
}

fn from_guest(bytes: &[u8], piece: usize, longest: usize) {
    let whole = decoded(bytes, bytes.len(), longest);
    assert_eq!(whole, decoded(bytes, piece, longest), "in pieces of {piece}");
    for (frame, tail) in &whole.0 {
        assert!(tail.len() <= longest.max(MAX_FRAME) + MAX_HEAD);
        let written = encode_with(frame, tail).expect("what was read can be written");
        let (again, end) = decoded(&written, 1, longest.max(MAX_FRAME));
        assert_eq!((&again[..], end), (&[(frame.clone(), tail.clone())][..], Ok(())));
    }
}

fn to_guest(bytes: &[u8]) {
    let Ok((frame, fields)) = decode_to_guest(bytes) else { return };
    assert!(fields <= bytes.len());
    // Whoever calls a function by so long a name is refused before anything is sent.
    if let Ok(written) = encode_with(&frame, b"") {
        let again: Result<(ToGuest<'_>, usize), _> = decode_to_guest(&written[4..]);
        assert_eq!(again, Ok((frame, written.len() - 4)));
    }
}

fuzz_target!(|data: &[u8]| {
    let [piece, longest, bytes @ ..] = data else { return };
    from_guest(bytes, usize::from(*piece), usize::from(*longest) * 64);
    to_guest(bytes);
});
