//! What a guest that knows no rules is told to do, and frames for it to say.

use sandtrap::Codec;
use sandtrap_protocol::{ErrorReport, FromGuest, PanicReport, VERSION, encode};

/// What a guest does, step by step.
#[derive(Default)]
pub(crate) struct Script(pub(crate) Vec<u8>);

impl Script {
    pub(crate) fn hello() -> Self {
        Self::default().frame(&FromGuest::Hello { version: VERSION })
    }

    pub(crate) fn says(mut self, bytes: &[u8]) -> Self {
        self.0.push(b's');
        self.words(bytes)
    }

    pub(crate) fn frame(self, frame: &FromGuest) -> Self {
        self.says(&encode(frame).unwrap())
    }

    pub(crate) fn for_ever(mut self, bytes: &[u8]) -> Self {
        self.0.push(b'r');
        self.0.extend_from_slice(&u32::MAX.to_le_bytes());
        self.words(bytes)
    }

    pub(crate) fn exits(mut self, code: u32) -> Self {
        self.0.push(b'x');
        self.0.extend_from_slice(&code.to_le_bytes());
        self
    }

    pub(crate) fn resizes(mut self, length: u64) -> Self {
        self.0.push(b'z');
        self.0.extend_from_slice(&length.to_le_bytes());
        self
    }

    /// Writes so often into its lane.
    pub(crate) fn shares(mut self, count: u32, at: usize, bytes: &[u8]) -> Self {
        self.0.push(b'm');
        self.0.extend_from_slice(&count.to_le_bytes());
        self.0.extend_from_slice(&(at as u32).to_le_bytes());
        self.words(bytes)
    }

    /// Waits for so many bytes of its host.
    pub(crate) fn waits(mut self, bytes: u32) -> Self {
        self.0.push(b'w');
        self.0.extend_from_slice(&bytes.to_le_bytes());
        self
    }

    /// Opens this file until it is refused, and closes none.
    pub(crate) fn hoards(mut self, path: &str) -> Self {
        self.0.push(b'o');
        self.words(path.as_bytes())
    }

    /// Says this so often, with descriptors of its own beside it.
    pub(crate) fn passes(mut self, count: u32, bytes: &[u8]) -> Self {
        self.0.push(b'p');
        self.0.extend_from_slice(&count.to_le_bytes());
        self.words(bytes)
    }

    /// Writes to a descriptor, whatever it is.
    pub(crate) fn writes(mut self, number: u32, bytes: &[u8]) -> Self {
        self.0.push(b'v');
        self.0.extend_from_slice(&number.to_le_bytes());
        self.words(bytes)
    }

    /// Closes one.
    pub(crate) fn closes(mut self, number: u32) -> Self {
        self.0.push(b'c');
        self.0.extend_from_slice(&number.to_le_bytes());
        self
    }

    fn words(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        self.0.extend_from_slice(bytes);
        self
    }

    pub(crate) fn hangs(mut self) -> Self {
        self.0.push(b'h');
        self
    }
}

pub(crate) fn result() -> FromGuest {
    FromGuest::Return { id: 1, codec: Codec::Raw }
}

pub(crate) fn error() -> FromGuest {
    FromGuest::Error(ErrorReport { message: "no".into(), chain: vec![] })
}

pub(crate) fn emit(id: u64) -> FromGuest {
    FromGuest::Emit { id, codec: Codec::Raw }
}

pub(crate) fn functions() -> FromGuest {
    FromGuest::Functions(vec!["f".into()])
}

pub(crate) fn value() -> FromGuest {
    FromGuest::ErrorValue { codec: Codec::Raw }
}

pub(crate) fn panic() -> FromGuest {
    FromGuest::Panic(PanicReport { message: "x".into(), place: None, fatal: true })
}

pub(crate) fn host() -> FromGuest {
    FromGuest::HostCall { id: 1, codec: Codec::Raw, function: "kv.get".into() }
}
