//! Listens to one guest's testimony and watches that it keeps the rules.
//!
//! The first frame is `Hello` with our version. An error is the last thing a task says. Panics may come
//! more than once (threads can be survived); the last one is kept. What a guest sends counts against
//! its result limit, and only one frame at a time is ever held.

use sandtrap_protocol::{Decoder, FromGuest, VERSION};

use crate::evidence::{StopReason, Testimony};
use crate::quantity::ByteSize;

/// Hears one guest from its start to its end.
#[derive(Debug)]
pub(crate) struct Witness {
    decoder: Decoder,
    testimony: Testimony,
    greeted: bool,
    heard: u64,
    limit: u64,
}

impl Witness {
    /// Nothing heard so far; no more than `limit` will be.
    pub(crate) fn new(limit: ByteSize) -> Self {
        Self {
            decoder: Decoder::default(),
            testimony: Testimony::default(),
            greeted: false,
            heard: 0,
            limit: limit.as_u64(),
        }
    }

    /// Takes what arrived. Says why the guest must be ended, if it must.
    pub(crate) fn hear(&mut self, bytes: &[u8]) -> Option<StopReason> {
        if self.testimony.broken.is_some() {
            return Some(StopReason::Protocol);
        }
        self.heard += bytes.len() as u64;
        if self.heard > self.limit {
            return Some(StopReason::Result);
        }
        let (testimony, greeted) = (&mut self.testimony, &mut self.greeted);
        let mut breach = None;
        let decoded = self.decoder.feed(bytes, |frame| {
            if breach.is_none() {
                breach = accept(frame, testimony, greeted);
            }
            Ok(())
        });
        let fault = decoded.err().map(|fault| fault.to_string()).or(breach)?;
        self.testimony.broken = Some(fault);
        Some(StopReason::Protocol)
    }

    /// What arrived is so wrong that it can't even be heard: notes why.
    pub(crate) fn refuse(&mut self, fault: String) -> StopReason {
        self.testimony.broken.get_or_insert(fault);
        StopReason::Protocol
    }

    /// No more will come: what was said.
    pub(crate) fn finish(mut self) -> Testimony {
        if self.testimony.broken.is_none()
            && let Err(fault) = self.decoder.end()
        {
            self.testimony.broken = Some(fault.to_string());
        }
        self.testimony
    }
}

/// Takes one frame into the testimony, or says which rule it breaks.
fn accept(frame: FromGuest, testimony: &mut Testimony, greeted: &mut bool) -> Option<String> {
    if testimony.error.is_some() {
        return Some("a frame after the task's error".to_owned());
    }
    match frame {
        FromGuest::Hello { .. } if *greeted => return Some("a second greeting".to_owned()),
        FromGuest::Hello { version } if version != VERSION => {
            return Some(format!(
                "the guest speaks version {version} of the channel and this host version {VERSION}; \
                 build the guest with the sandtrap-guest that belongs to this host"
            ));
        }
        FromGuest::Hello { .. } => *greeted = true,
        _ if !*greeted => return Some("a frame before the greeting".to_owned()),
        FromGuest::Error(error) => testimony.error = Some(error),
        FromGuest::Panic(panic) => {
            // A guest that goes on to panic has survived the allocation that failed before.
            testimony.out_of_memory = None;
            testimony.panic = Some(panic);
        }
        FromGuest::OutOfMemory { requested } => testimony.out_of_memory = Some(requested),
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use sandtrap_protocol::{ErrorReport, PanicReport, encode};

    fn hello() -> FromGuest {
        FromGuest::Hello { version: VERSION }
    }

    fn error() -> FromGuest {
        FromGuest::Error(ErrorReport { message: "no".into(), chain: vec![] })
    }

    fn panic(message: &str) -> FromGuest {
        FromGuest::Panic(PanicReport { message: message.into(), place: None, fatal: true })
    }

    fn testimony_of(frames: &[FromGuest]) -> Testimony {
        let mut witness = Witness::new(ByteSize::mib(1));
        for frame in frames {
            witness.hear(&encode(frame).unwrap());
        }
        witness.finish()
    }

    #[test]
    fn the_last_panic_and_the_error_are_kept() {
        let testimony = testimony_of(&[hello(), panic("one"), panic("two"), error()]);
        assert_eq!(testimony.broken, None);
        assert_eq!(testimony.panic.unwrap().message, "two");
        assert_eq!(testimony.error.unwrap().message, "no");
    }

    #[test]
    fn every_breach_is_named() {
        for (frames, words) in [
            (vec![panic("early")], "before the greeting"),
            (vec![hello(), hello()], "second greeting"),
            (vec![hello(), error(), error()], "after the task's error"),
            (vec![FromGuest::Hello { version: 99 }], "version 99"),
        ] {
            let broken = testimony_of(&frames).broken.unwrap();
            assert!(broken.contains(words), "{broken}");
        }
    }

    #[test]
    fn a_guest_that_says_too_much_is_stopped_for_it() {
        let mut witness = Witness::new(ByteSize::bytes(8));
        let frame = encode(&hello()).unwrap();
        assert_eq!(witness.hear(&frame), None);
        assert_eq!(witness.hear(&frame), Some(StopReason::Result));
    }

    #[test]
    fn a_frame_cut_off_at_the_end_is_torn() {
        let mut witness = Witness::new(ByteSize::mib(1));
        witness.hear(&encode(&hello()).unwrap());
        witness.hear(&[9, 0, 0]);
        assert!(witness.finish().broken.unwrap().contains("cut off"));
    }
}
