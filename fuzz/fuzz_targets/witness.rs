//! The host's end of the channel, with its limits, and a guest that says whatever it likes: frames that are sound,
//! frames that were changed, and bytes that are none.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sandtrap_fuzzed::{Heard, StopReason, hear};
use sandtrap_protocol::{Codec, ErrorReport, FromGuest, Level, PanicReport, Tail, VERSION, encode_with};

/// Reads the talk out of the fuzzer's bytes: an order each, and what belongs to it.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn bytes(&mut self) -> Vec<u8> {
        let count = usize::from(self.byte().unwrap_or(0)).min(self.0.len());
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken.to_vec()
    }

    fn text(&mut self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    fn frame(&mut self, kind: u8) -> FromGuest {
        let id = u64::from(kind / 16 % 3);
        let codec = [Codec::Raw, Codec::Typed, Codec::Json][usize::from(kind / 64 % 3)];
        match kind % 16 {
            0 => FromGuest::Hello { version: VERSION + u16::from(kind > 240) },
            1 => FromGuest::Error(ErrorReport { message: self.text(), chain: vec![self.text()] }),
            2 => FromGuest::Panic(PanicReport {
                message: self.text(),
                place: Some(self.text()),
                fatal: kind > 128,
            }),
            3 => FromGuest::OutOfMemory { requested: id << 40 },
            4 => FromGuest::Functions(vec![self.text(), self.text()]),
            5 => FromGuest::Return { id, codec },
            6 => FromGuest::ErrorValue { codec },
            7 => FromGuest::Emit { id, codec },
            8 => FromGuest::Log { level: Level::Warning },
            9 => FromGuest::Progress { done: id, total: (kind > 128).then_some(7) },
            10 => FromGuest::HostCall { id, codec, function: self.text() },
            11 => FromGuest::DeviceOutOfMemory { requested: id << 40 },
            12 => FromGuest::Idempotent(vec![self.text()]),
            13 if kind > 128 => FromGuest::Stack,
            13 => FromGuest::Beat,
            14 => FromGuest::Lane,
            _ => FromGuest::Fatal,
        }
    }

    fn talk(&mut self) -> Vec<u8> {
        let mut talk = Vec::new();
        while let Some(order) = self.byte() {
            if order >= 250 {
                talk.extend(self.bytes());
                continue;
            }
            let frame = self.frame(order);
            let tail = if frame.tail() == Tail::None { Vec::new() } else { self.bytes() };
            let begin = talk.len();
            talk.extend(encode_with(&frame, &tail).unwrap_or_default());
            // One in four is changed at one place.
            if order % 4 == 3 && talk.len() > begin {
                let at = begin + usize::from(self.byte().unwrap_or(0)) % (talk.len() - begin);
                talk[at] = self.byte().unwrap_or(0);
            }
        }
        talk
    }
}

fn check(heard: &Heard, talk: &[u8], limit: u64) {
    let testimony = &heard.testimony;
    match heard.stop {
        None | Some(StopReason::Result) => {}
        Some(StopReason::Protocol) => assert!(testimony.broken.is_some(), "a breach has words"),
        Some(other) => panic!("a guest that talks is not ended for {other:?}"),
    }
    if let Some(result) = &testimony.result {
        assert!(result.bytes().len() as u64 <= limit + 64 * 1024);
    }
    // Each event takes five bytes at least.
    assert!(heard.events.len() <= talk.len() / 5);
}

fuzz_target!(|data: &[u8]| {
    let [piece, limit, call, rest @ ..] = data else { return };
    let (limit, is_call) = (u64::from(*limit) * 8, call % 4 != 0);
    let mut talk = Script(rest).talk();
    if call % 8 > 1 {
        let hello = FromGuest::Hello { version: VERSION };
        talk.splice(0..0, encode_with(&hello, b"").unwrap_or_default());
    }
    let bytewise = hear(&talk, 1, limit, is_call);
    check(&bytewise, &talk, limit);
    let pieces = hear(&talk, usize::from(*piece), limit, is_call);
    check(&pieces, &talk, limit);
    let whole = hear(&talk, talk.len(), limit, is_call);
    check(&whole, &talk, limit);
    // What comes together with the byte that is too much is not looked at, so there the talks may differ.
    if [&bytewise, &pieces, &whole].iter().all(|heard| heard.stop != Some(StopReason::Result)) {
        assert_eq!(bytewise, whole);
        assert_eq!(bytewise, pieces);
    }
});
