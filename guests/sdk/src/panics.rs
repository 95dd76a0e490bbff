//! What a guest says of its panics. There may be no memory and hardly any stack left: nothing is allocated here.
//!
//! Most are told by the hook, with their place. A panic that somebody resumes (`resume_unwind`) calls no hook, nor does one
//! whose hook the guest has replaced by its own: those are told when they leave the guest's code, as far as they unwind.

use std::any::{Any, TypeId};
use std::fmt::{self, Write};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sandtrap_protocol::{MAX_FRAME, around_panic};

use crate::wire;

/// A message that is longer than this is cut.
const LONGEST_TEXT: usize = MAX_FRAME / 4;

/// The standard library's own words for panics that nobody can catch in a program that unwinds.
const UNCATCHABLE: [&str; 2] =
    ["panic in a function that cannot unwind", "panic in a destructor during cleanup"];

const NO_TEXT: &str = "a panic with a payload that is no text";

/// So much of its words is kept of the last panic, and so much of its place.
const KEPT_TEXT: usize = 1024;
const LONGEST_PLACE: usize = 512;

/// What the last panic said, and whose it was.
static LAST: Mutex<Last> =
    Mutex::new(Last { of: None, length: 0, words: Text::new(), place: Text::new() });

/// Whether memory was refused to a thread that was panicking.
static IS_SHORT: AtomicBool = AtomicBool::new(false);

struct Last {
    /// A thread, and the type of what it threw. `None` if there was no panic.
    of: Option<(usize, TypeId)>,
    /// Bytes of all its words.
    length: usize,
    words: Text<KEPT_TEXT>,
    place: Text<LONGEST_PLACE>,
}

/// A text in a place of its own, which takes as much as there is room for.
#[derive(Clone, Copy)]
struct Text<const ROOM: usize> {
    bytes: [u8; ROOM],
    length: usize,
}

impl<const ROOM: usize> Text<ROOM> {
    const fn new() -> Self {
        Self { bytes: [0; ROOM], length: 0 }
    }

    fn as_str(&self) -> &str {
        // It was cut between two characters.
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

impl<const ROOM: usize> Write for Text<ROOM> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let taken = cut(text, ROOM - self.length);
        self.bytes[self.length..self.length + taken.len()].copy_from_slice(taken.as_bytes());
        self.length += taken.len();
        if taken.len() == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

impl Last {
    fn note(&mut self, payload: &dyn Any, place: &Text<LONGEST_PLACE>) {
        let words = words_of(payload);
        (self.of, self.length) = (Some((this_thread(), payload.type_id())), words.len());
        (self.words.length, self.place) = (0, *place);
        // The beginning is enough to know it again.
        let _ = self.words.write_str(words);
    }

    /// Whether it was this one, perhaps in another thread.
    fn was(&self, payload: &dyn Any) -> bool {
        let words = words_of(payload);
        self.of.is_some_and(|(_, kind)| kind == payload.type_id())
            && self.length == words.len()
            && words.starts_with(self.words.as_str())
    }
}

/// The hook.
pub(crate) fn said(info: &PanicHookInfo<'_>) {
    let (payload, words) = (info.payload(), words_of(info.payload()));
    let is_uncatchable = UNCATCHABLE.contains(&words);
    let fatal = cfg!(panic = "abort") || is_uncatchable;
    // What nobody could catch is the panic that this thread has just told of.
    let is_own = |last: &Last| last.of.is_some_and(|(whose, _)| whose == this_thread());
    if is_uncatchable && let Some(cause) = Some(last()).filter(|last| is_own(last)) {
        return tell([cause.words.as_str(), " (", words, ")"], cause.place.as_str(), fatal);
    }
    let mut place = Text::new();
    if let Some(location) = info.location() {
        // What has no room was the end of a long path.
        let _ = write!(place, "{location}");
    }
    tell([words, "", "", ""], place.as_str(), fatal);
    last().note(payload, &place);
}

fn last() -> MutexGuard<'static, Last> {
    LAST.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is thrown on where a panic was told, and its payload is gone.
struct Told;

/// Runs the guest's own code. A panic that leaves it goes on, and was told by then.
pub(crate) fn heard<T>(run: impl FnOnce() -> T) -> T {
    if cfg!(panic = "abort") {
        // Nothing can be caught, and to try would be six frames of every trace.
        return run();
    }
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|payload| go_on(payload))
}

fn go_on(payload: Box<dyn Any + Send>) -> ! {
    if payload.is::<Told>() {
        resume_unwind(payload);
    }
    let mut place = Text::new();
    let was_told = last().was(&*payload);
    if was_told {
        place = last().place;
    } else {
        tell([words_of(&*payload), "", "", ""], "", false);
    }
    if text_of(&*payload).is_some() {
        resume_unwind(payload);
    }
    // Whatever else was thrown may panic once more when it is dropped. The standard library would abort over that, and nobody
    // would know of what.
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        let words = [NO_TEXT, " (dropping it: ", words_of(&*second), ")"];
        tell(words, place.as_str(), false);
        std::mem::forget(second);
    }
    resume_unwind(Box::new(Told))
}

/// The module is about to end itself. A panic that was resumed comes to that without a word.
#[cfg(all(target_family = "wasm", not(target_env = "p2")))]
pub(crate) fn aborts() {
    if std::thread::panicking() && last().of.is_none() && !IS_SHORT.load(Ordering::Relaxed) {
        tell(
            ["a panic that was resumed, of whose words a module knows nothing", "", "", ""],
            "",
            true,
        );
    }
}

/// Memory was refused. If it was for the words of a panic, that is what it ends of: nobody has them.
pub(crate) fn is_short_of_memory() {
    IS_SHORT.fetch_or(std::thread::panicking(), Ordering::Relaxed);
}

fn text_of(payload: &dyn Any) -> Option<&str> {
    let text = payload.downcast_ref::<&'static str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
}

fn words_of(payload: &dyn Any) -> &str {
    text_of(payload).unwrap_or(NO_TEXT)
}

/// A thread as a number. The standard library's own number may take memory to find out.
fn this_thread() -> usize {
    thread_local!(static MARK: u8 = const { 0 });
    MARK.with(|mark| std::ptr::from_ref(mark).addr())
}

/// The message is these pieces in a row; there may be no place.
fn tell(words: [&str; 4], place: &str, fatal: bool) {
    let [first, second, third, last] = words.map(|piece| cut(piece, LONGEST_TEXT));
    let length = first.len() + second.len() + third.len() + last.len();
    let place = Some(place).filter(|place| !place.is_empty());
    let mut buffer = [0; LONGEST_PLACE + 32];
    if let Ok((before, behind)) = around_panic(length, place, fatal, &mut buffer) {
        let [first, second, third, last] = [first, second, third, last].map(str::as_bytes);
        wire::send_pieces(&[before, first, second, third, last, behind]);
    }
}

fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_takes_what_it_has_room_for() {
        let mut text = Text::<4>::new();
        assert!(text.write_str("aé").is_ok() && text.write_str("éé").is_err());
        assert_eq!(text.as_str(), "aé");
        assert!(text.write_str("").is_ok());
    }

    #[test]
    fn the_last_panic_is_known_again_by_its_type_and_words() {
        let mut last = Last { of: None, length: 0, words: Text::new(), place: Text::new() };
        let long = "x".repeat(KEPT_TEXT + 7);
        assert!(!last.was(&"a"));
        last.note(&"a", &Text::new());
        assert!(last.was(&"a") && !last.was(&"b") && !last.was(&"a".to_owned()) && !last.was(&7));
        last.note(&long, &Text::new());
        assert!(last.was(&long) && !last.was(&format!("{long}x")));
        last.note(&7_u8, &Text::new());
        assert!(last.was(&8_u8) && !last.was(&7_u16));
    }

    #[test]
    fn a_panic_goes_on_with_its_words_and_without_what_is_no_text() {
        let words = catch_unwind(|| heard(|| resume_unwind(Box::new("words")))).unwrap_err();
        assert_eq!(words.downcast_ref(), Some(&"words"));
        let told = catch_unwind(|| heard(|| heard(|| resume_unwind(Box::new(7_u8))))).unwrap_err();
        assert!(told.is::<Told>());
        assert_eq!(heard(|| 7), 7);
    }
}
