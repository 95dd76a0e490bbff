//! Lends the caller's ear to a guest that runs on the caller's own thread.
//!
//! What a store holds must not borrow anything, but the ear is only borrowed. So it is not put into the
//! store: it lies in a place of its own of this thread for as long as the guest runs, and what the guest
//! writes goes there. A guest that the ear starts while it listens has an ear of its own.
#![expect(unsafe_code, reason = "a borrow is put where its lifetime can't be written down")]

use std::cell::Cell;
use std::mem;
use std::ptr::NonNull;

use crate::event::Event;

/// What takes in what a guest writes and says.
pub(super) type Hear<'a> = dyn FnMut(Event<'_>) + 'a;

/// One that is lent. Its lifetime is as long as `lend` runs, whatever is written here.
type Lent = NonNull<Hear<'static>>;

thread_local! {
    static LENT: Cell<Option<Lent>> = const { Cell::new(None) };
}

/// Puts back what was there, also when something panics meanwhile.
struct PutBack(Option<Lent>);

impl Drop for PutBack {
    fn drop(&mut self) {
        LENT.set(self.0);
    }
}

/// Everything that is told on this thread by `during` goes to `hear`.
pub(super) fn lend<R>(hear: &mut Hear<'_>, during: impl FnOnce() -> R) -> R {
    let borrowed: NonNull<Hear<'_>> = NonNull::from(hear);
    // SAFETY: only the lifetime changes. The pointer is in `LENT` of this thread only, which the guard
    // below sets back before the borrow ends, also on a panic; `hear` puts nothing else there.
    let lent = unsafe { mem::transmute::<NonNull<Hear<'_>>, Lent>(borrowed) };
    let _put_back = PutBack(LENT.replace(Some(lent)));
    during()
}

/// Tells the listener of this thread. Says whether there is one.
pub(super) fn hear(event: Event<'_>) -> bool {
    let Some(mut lent) = LENT.take() else { return false };
    let _put_back = PutBack(Some(lent));
    // SAFETY: it was there, so `lend` is still running on this thread and holds the only borrow, which it
    // does not use; and while it is taken out nobody else can find it.
    let listener = unsafe { lent.as_mut() };
    listener(event);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    fn tell(words: &str) -> bool {
        hear(Event::Stdout(words.as_bytes()))
    }

    fn bytes(event: Event<'_>) -> &[u8] {
        let Event::Stdout(bytes) = event else { panic!("{event:?}") };
        bytes
    }

    #[test]
    fn what_is_told_reaches_the_ear_of_its_own_loan_only() {
        let mut outer = Vec::new();
        let mut inner = Vec::new();
        assert!(!tell("nobody"));
        let mut listener = |event: Event<'_>| {
            outer.push(bytes(event).to_vec());
            assert!(!tell("while it listens"));
            let mut nested = |event: Event<'_>| inner.push(bytes(event).to_vec());
            lend(&mut nested, || assert!(tell("in")));
        };
        lend(&mut listener, || {
            assert!(tell("one"));
            assert!(std::thread::spawn(|| !tell("elsewhere")).join().unwrap());
            assert!(tell("two"));
        });
        assert!(!tell("late"));
        assert_eq!(
            (outer, inner),
            (vec![b"one".to_vec(), b"two".to_vec()], vec![b"in".to_vec(); 2])
        );
    }

    #[test]
    fn a_panic_ends_the_loan_and_not_more() {
        let mut heard = 0;
        let mut listener = |event: Event<'_>| {
            heard += 1;
            assert_ne!(bytes(event), b"panic");
        };
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            lend(&mut listener, || {
                assert!(catch_unwind(|| tell("panic")).is_err());
                assert!(tell("still there"));
                tell("panic")
            })
        }));
        assert!(panicked.is_err() && !tell("gone"));
        assert_eq!(heard, 3);
    }
}
