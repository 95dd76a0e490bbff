//! Each frame that one end can say has a task here in which it is said behind both walls, or a reason why there is none.
//!
//! Both tables are matches that name every frame: one that is new doesn't build before it has its row.

use std::path::Path;

use sandtrap::{ByteSize, Loaded, OnMemoryLimit, Payloads, Task, Wall};
use sandtrap_protocol::{Codec, ErrorReport, FromGuest, Level, PanicReport, ToGuest, VERSION};
use serde::Serialize;

use super::{WAYS, program, runtime, seen};

/// Where a frame is to be seen.
enum Row {
    /// In a call of this guest's function, by these words among what is seen of it.
    Both(&'static str, Box<Task>, &'static str),
    /// A module has no use for it. This file of the suite has it.
    OfProcesses(&'static str),
    /// No host of this version says it.
    Never,
}

fn calls<T: Serialize>(function: &str, input: T, words: &'static str) -> Row {
    Row::Both("calls", Box::new(Task::invoke(function, &input).unwrap()), words)
}

fn stays<T: Serialize>(function: &str, input: T, words: &'static str) -> Row {
    Row::Both("stays", Box::new(Task::invoke(function, &input).unwrap()), words)
}

/// The row of a frame of the guest's, and the frame that follows it in the order of their kinds.
fn of_guest(frame: &FromGuest) -> (Row, Option<FromGuest>) {
    use FromGuest as F;
    let (codec, id, requested) = (Codec::Raw, 1, 1);
    match frame {
        F::Hello { .. } => {
            let error = ErrorReport { message: String::new(), chain: Vec::new() };
            (calls("add", (2_i64, 40_i64), "completed"), Some(F::Error(error)))
        }
        F::Error(_) => {
            let panic = PanicReport { message: String::new(), place: None, fatal: false };
            (calls("refuse", "no", "failed.error the task failed: no"), Some(F::Panic(panic)))
        }
        F::Panic(_) => {
            (calls("panics", "boom", "failed.panic"), Some(F::OutOfMemory { requested }))
        }
        F::OutOfMemory { .. } => {
            let much = 1_500_000_000_usize;
            let next = F::Functions(Vec::new());
            (calls("allocates", much, "crashed.out-of-memory"), Some(next))
        }
        // Names that were not listed before them can't be called twice.
        F::Functions(_) => {
            (stays("next", (), "twice [\"aborts_again\"]"), Some(F::Return { id, codec }))
        }
        F::Return { .. } => (calls("parse", "42", "completed"), Some(F::ErrorValue { codec })),
        F::ErrorValue { .. } => {
            (calls("divide", (1_i64, 0_i64), "error Some"), Some(F::Emit { id, codec }))
        }
        F::Emit { .. } => {
            (calls("count", 1_u64, "item Typed"), Some(F::Log { level: Level::Info }))
        }
        F::Log { .. } => {
            let next = F::Progress { done: 1, total: None };
            (calls("count", 1_u64, "log Warning that was all"), Some(next))
        }
        F::Progress { .. } => {
            let next = F::HostCall { id, codec, function: String::new() };
            (calls("count", 1_u64, "progress 1 Some(1) counting"), Some(next))
        }
        F::HostCall { .. } => (calls("asks", ("shout", "loud"), "completed"), Some(F::Beat)),
        F::Beat => (stays("beats", 3_u64, "completed"), Some(F::Placed { at: 0, length: 0 })),
        F::Placed { .. } => (calls("makes", 100_000_usize, "completed"), Some(F::Fatal)),
        F::Fatal => {
            (calls("gives_up", "for good", "fatal true"), Some(F::DeviceOutOfMemory { requested }))
        }
        F::DeviceOutOfMemory { .. } => {
            let next = F::Idempotent(Vec::new());
            (stays("device_is_full", true, "device Some(1073741824)"), Some(next))
        }
        F::Idempotent(_) => (stays("next", (), "twice [\"aborts_again\"]"), Some(F::Warm)),
        F::Warm => (Row::OfProcesses("forks"), Some(F::Lane)),
        F::Lane => (Row::OfProcesses("kept_lane"), Some(F::Stack)),
        F::Stack => (Row::OfProcesses("backtraces"), None),
    }
}

/// The same of a frame of the host's.
fn of_host(frame: &ToGuest<'_>) -> (Row, Option<ToGuest<'static>>) {
    use ToGuest as T;
    let (codec, id) = (Codec::Raw, 1);
    match frame {
        T::Hello { .. } => {
            let next = T::Call { id, codec, time_left: 0, function: "" };
            (calls("nothing", (), "completed"), Some(next))
        }
        T::Call { .. } => {
            let next = T::HostReply { id, is_result: true, codec };
            (calls("add", (2_i64, 40_i64), "completed"), Some(next))
        }
        T::HostReply { .. } => {
            (calls("asks", ("shout", "loud"), "completed"), Some(T::Cancel { id }))
        }
        // The end of the call's time says it, and the end of the guest.
        T::Cancel { .. } => (Row::Never, Some(T::Shutdown)),
        T::Shutdown => (calls("nothing", (), "completed"), Some(T::Placed { at: 0, length: 0 })),
        // Sizes of values are the walk over all ways of the suite's own module.
        T::Placed { .. } => (Row::OfProcesses("parity"), Some(T::Functions(Vec::new()))),
        T::Functions(_) => (calls("knows", "shout", "completed"), None),
    }
}

/// Both guests in each way.
struct Guests(Vec<(&'static str, Vec<Loaded>)>);

impl Guests {
    fn load() -> Self {
        let load = |guest| {
            let one = |way: &(Wall, Payloads)| {
                let program = program(way, guest, ByteSize::mib(64));
                let mut limits = program.policy().limits.clone();
                // A guest that is refused memory is one that says so.
                limits.on_memory_limit = OnMemoryLimit::Refuse;
                runtime().load(program.limits(limits)).unwrap()
            };
            (guest, WAYS.iter().map(one).collect())
        };
        Self(["calls", "stays"].map(load).into())
    }

    /// What is seen of a frame is the same in each way.
    fn check(&self, what: &str, row: Row) {
        let (guest, task, words) = match row {
            Row::Both(guest, task, words) => (guest, task, words),
            Row::OfProcesses(module) => {
                let suite = Path::new(env!("CARGO_MANIFEST_DIR")).join("suite");
                assert!(suite.join(format!("{module}.rs")).exists(), "{what}: {module}");
                return;
            }
            Row::Never => return,
        };
        let (_, loaded) = self.0.iter().find(|(name, _)| *name == guest).unwrap();
        let all: Vec<_> = loaded.iter().map(|guest| seen(guest, &task)).collect();
        for (seen, way) in all.iter().zip(WAYS) {
            assert!(seen.iter().any(|line| line.contains(words)), "{way:?} {what}: {seen:?}");
            assert_eq!(*seen, all[0], "{way:?} {what}");
        }
    }
}

#[test]
fn every_frame_of_a_guest_is_heard_behind_both_walls() {
    let guests = Guests::load();
    let mut next = Some(FromGuest::Hello { version: VERSION });
    while let Some(frame) = next {
        let (row, follows) = of_guest(&frame);
        guests.check(&format!("{frame:?}"), row);
        next = follows;
    }
}

#[test]
fn every_frame_of_a_host_is_read_behind_both_walls() {
    let guests = Guests::load();
    let mut next = Some(ToGuest::Hello { version: VERSION });
    while let Some(frame) = next {
        let (row, follows) = of_host(&frame);
        guests.check(&format!("{frame:?}"), row);
        next = follows;
    }
}
