//! Where a guest was when it ended: collected raw, and turned into names and lines when somebody reads it.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, LazyLock};

/// One step of a backtrace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The function's name, or its number in the module.
    pub function: String,
    /// File and line, where the program carries them.
    pub place: Option<String>,
    /// How often it is there in a row: more than once in a recursion, where it is not listed again and again.
    pub times: u32,
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{} ({place})", self.function)?,
            None => f.write_str(&self.function)?,
        }
        if self.times > 1 { write!(f, " (x {})", self.times) } else { Ok(()) }
    }
}

type Frames = LazyLock<Vec<Frame>, Box<dyn FnOnce() -> Vec<Frame> + Send>>;

/// The frames of a backtrace, innermost first. The first look at them may take milliseconds: names and lines are
/// looked up then, and not for a report that nobody reads.
#[derive(Clone, Default)]
pub struct Trace {
    frames: Option<Arc<Frames>>,
}

impl Trace {
    /// A backtrace that is looked up by `frames` at the first look.
    pub fn later(frames: impl FnOnce() -> Vec<Frame> + Send + 'static) -> Self {
        Self { frames: Some(Arc::new(LazyLock::new(Box::new(frames)))) }
    }

    /// Whether there is one to be looked up, without a look.
    pub fn is_taken(&self) -> bool {
        self.frames.is_some()
    }
}

impl From<Vec<Frame>> for Trace {
    fn from(frames: Vec<Frame>) -> Self {
        Self::later(|| frames)
    }
}

impl Deref for Trace {
    type Target = [Frame];

    fn deref(&self) -> &[Frame] {
        self.frames.as_ref().map_or(&[], |frames| frames)
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&**self).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn frames_are_looked_up_once_and_only_when_they_are_read() {
        let looked = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&looked);
        let trace = Trace::later(move || {
            count.fetch_add(1, Ordering::Relaxed);
            vec![Frame { function: "f".into(), place: None, times: 1 }]
        });
        let copy = trace.clone();
        assert_eq!((trace.is_taken(), looked.load(Ordering::Relaxed)), (true, 0));
        assert_eq!((copy.len(), &*trace[0].function), (1, "f"));
        assert_eq!(looked.load(Ordering::Relaxed), 1);
        assert!(Trace::default().is_empty() && !Trace::default().is_taken());
    }
}
