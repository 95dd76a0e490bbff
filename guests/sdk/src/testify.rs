//! What a guest says about its own end.

use std::error::Error;
use std::process::ExitCode;
use std::sync::Once;

use sandtrap_protocol::{
    ErrorReport, FromGuest, MAX_FRAME, VERSION, encode, encode_into, head_into,
};

use crate::{panics, wire};

static STARTED: Once = Once::new();

/// A message that is longer than this is cut: the frame must hold it and its causes.
const LONGEST_TEXT: usize = MAX_FRAME / 4;

/// Most causes of an error that are told.
const MOST_CAUSES: usize = 32;

/// Greets the host and tells it of every panic from now on. `#[sandtrap_guest::main]` does it first.
pub fn start() {
    start_with(&[]);
}

/// The same, with more to be said at once: the host is woken for each message.
pub(crate) fn start_with(more: &[FromGuest]) {
    let mut is_said = false;
    STARTED.call_once(|| {
        wire::open();
        open_stack();
        wire::send(&greeting(more), &[]);
        is_said = true;
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            panics::said(info);
            // After it: whatever comes of a look at a stack that may be nearly full, these words are said.
            tell_stack();
            usual(info);
        }));
    });
    if !is_said {
        wire::send(&all_of(more), &[]);
    }
}

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
use crate::stack::{open as open_stack, tell as tell_stack};

/// A module's host sees for itself where it was; elsewhere there is no host that would ask.
#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
fn open_stack() {}

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
fn tell_stack() {}

/// The first words.
pub(crate) fn greeting(more: &[FromGuest]) -> Vec<u8> {
    let mut bytes = all_of(&[FromGuest::Hello { version: VERSION }]);
    bytes.extend(all_of(more));
    bytes
}

fn all_of(frames: &[FromGuest]) -> Vec<u8> {
    frames.iter().filter_map(|frame| encode(frame).ok()).flatten().collect()
}

/// What `main` may return: nothing, or a result whose error the host shall know.
pub trait Outcome {
    /// The error, if there is one.
    fn into_error(self) -> Option<Box<dyn Error>>;
}

impl Outcome for () {
    fn into_error(self) -> Option<Box<dyn Error>> {
        None
    }
}

impl<E: Into<Box<dyn Error>>> Outcome for Result<(), E> {
    fn into_error(self) -> Option<Box<dyn Error>> {
        self.err().map(Into::into)
    }
}

/// Runs the guest's own `main` between a greeting and, if it fails, a word about its error.
pub fn run_main<T: Outcome>(main: impl FnOnce() -> T) -> ExitCode {
    start();
    let Some(error) = panics::heard(|| main().into_error()) else { return ExitCode::SUCCESS };
    let report = error_report(error.as_ref());
    eprintln_quietly(&report);
    error_said(report);
    ExitCode::FAILURE
}

/// Tells the host of an error.
pub(crate) fn error_said(report: ErrorReport) {
    say(&FromGuest::Error(report));
}

/// For people who read stderr. A closed stderr is no reason to die of something else.
pub(crate) fn eprintln_quietly(report: &ErrorReport) {
    use std::io::Write as _;
    let mut text = format!("error: {}\n", report.message);
    for cause in &report.chain {
        text.push_str(&format!("  caused by: {cause}\n"));
    }
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Without allocating: there is no memory.
pub(crate) fn out_of_memory(requested: usize) {
    panics::is_short_of_memory();
    let mut buffer = [0; 32];
    let frame = FromGuest::OutOfMemory { requested: requested as u64 };
    if let Ok(bytes) = encode_into(&frame, &mut buffer) {
        wire::send(bytes, &[]);
    }
}

pub(crate) fn error_report(error: &(dyn Error + 'static)) -> ErrorReport {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    let chain = causes.take(MOST_CAUSES).map(|cause| cut(&cause.to_string(), 1024)).collect();
    ErrorReport { message: cut(&error.to_string(), LONGEST_TEXT), chain }
}

fn cut(text: &str, most: usize) -> String {
    text[..text.floor_char_boundary(most)].to_owned()
}

/// Tells the host, as far as there is one. What can't be told must not change how the guest ends.
pub(crate) fn say(frame: &FromGuest) {
    if let Ok(bytes) = encode(frame) {
        wire::send(&bytes, &[]);
    }
}

/// The same of a frame with a value.
pub(crate) fn say_value(frame: &FromGuest, value: &[u8]) {
    let mut buffer = [0; 64];
    if let Ok(head) = head_into(frame, value.len(), &mut buffer) {
        wire::send(head, value);
    }
}

/// The same of the last word about a call.
pub(crate) fn say_last(frame: &FromGuest, value: &[u8]) {
    let mut buffer = [0; 64];
    if let Ok(head) = head_into(frame, value.len(), &mut buffer) {
        wire::send_last(head, value);
    }
}

/// The same of a frame with text, which is cut to what fits.
pub(crate) fn say_text(frame: &FromGuest, text: &str) {
    let text = &text[..text.floor_char_boundary(LONGEST_TEXT)];
    say_value(frame, text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_told_with_its_causes() {
        let parse = "x".parse::<u8>().unwrap_err();
        let error = std::io::Error::other(parse.clone());
        let report = error_report(&error);
        assert_eq!((report.message, report.chain.len()), (parse.to_string(), 0));
    }

    #[test]
    fn i23_a_long_text_is_cut_at_a_character() {
        assert_eq!(cut("aéé", 2), "a");
        assert_eq!(cut("aéé", 99), "aéé");
    }
}
