//! What was in a module's memories and globals when it died, for a debugger.

use std::fmt;
use std::sync::Arc;

/// A core dump, or why there is none though one was wanted. Made on request ([`Program::core_dump`](crate::Program::core_dump)) of
/// a module that trapped or was stopped, never of one that ended in order.
#[derive(Clone)]
pub enum CoreDump {
    /// The dump, in the format of the WebAssembly tool conventions: a module whose memories and globals are those
    /// of the dead guest, with its stack in a section of its own. The library writes it nowhere.
    Taken(Arc<[u8]>),
    /// There is none.
    Missing(&'static str),
}

impl CoreDump {
    /// The dump, if there is one.
    pub fn bytes(&self) -> Option<&Arc<[u8]>> {
        match self {
            Self::Taken(bytes) => Some(bytes),
            Self::Missing(_) => None,
        }
    }
}

impl fmt::Debug for CoreDump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken(bytes) => write!(f, "Taken({} bytes)", bytes.len()),
            Self::Missing(why) => f.debug_tuple("Missing").field(why).finish(),
        }
    }
}
