//! Waiting for clocks and descriptors.
//!
//! The reference implementation waits by the timers of a runtime; this waits on the guest's bell, for the
//! nearest clock and for the input. Files and the output are always ready.

use wasmtime_wasi::p0;
use wasmtime_wasi::p1::types::{self, Errno, Event, EventFdReadwrite, Eventrwflags, Eventtype};
use wasmtime_wasi::p1::wasi_snapshot_preview1::WasiSnapshotPreview1 as _;
use wiggle::{GuestError, GuestMemory, GuestPtr, GuestType};

use crate::wasm::ending::Interrupted;

use super::clocks::Due;
use super::{World, code, told};

/// How many things a guest may wait for at once. Each costs the host a multiple of what it costs the guest.
const MOST_SUBSCRIPTIONS: u32 = 1024;

/// One thing that a guest waits for, and what it calls it.
struct Subscription {
    userdata: u64,
    source: Source,
}

/// What it is.
#[derive(Clone, Copy)]
enum Source {
    /// A moment.
    Clock(Due),
    /// The input.
    Input,
    /// A file to be read, at its end or not.
    File { is_at_end: bool },
    /// A file or a stream to be written.
    Output,
}

/// What the two versions say in different ways.
enum Wish {
    Clock { id: types::Clockid, timeout: u64, is_absolute: bool },
    Read(types::Fd),
    Write(types::Fd),
}

/// A subscription of one of the two versions.
trait Version: GuestType {
    fn wish(self) -> (u64, Wish);
}

impl Version for types::Subscription {
    fn wish(self) -> (u64, Wish) {
        let wish = match self.u {
            types::SubscriptionU::Clock(clock) => Wish::Clock {
                id: clock.id,
                timeout: clock.timeout,
                is_absolute: clock.flags.contains(types::Subclockflags::SUBSCRIPTION_CLOCK_ABSTIME),
            },
            types::SubscriptionU::FdRead(read) => Wish::Read(read.file_descriptor),
            types::SubscriptionU::FdWrite(write) => Wish::Write(write.file_descriptor),
        };
        (self.userdata, wish)
    }
}

impl Version for p0::types::Subscription {
    fn wish(self) -> (u64, Wish) {
        use p0::types::{Subclockflags, SubscriptionU};
        let wish = match self.u {
            SubscriptionU::Clock(clock) => Wish::Clock {
                id: clock.id.into(),
                timeout: clock.timeout,
                is_absolute: clock.flags.contains(Subclockflags::SUBSCRIPTION_CLOCK_ABSTIME),
            },
            SubscriptionU::FdRead(read) => Wish::Read(read.file_descriptor.into()),
            SubscriptionU::FdWrite(write) => Wish::Write(write.file_descriptor.into()),
        };
        (self.userdata, wish)
    }
}

/// `poll_oneoff` of preview 1.
pub(super) async fn poll_oneoff(
    world: &mut World,
    memory: &mut GuestMemory<'_>,
    subscriptions: i32,
    events: i32,
    count: i32,
    ready: i32,
) -> wasmtime::Result<i32> {
    poll::<types::Subscription>(world, memory, subscriptions, events, count, ready)
}

/// `poll_oneoff` of `wasi_unstable`. Its events look the same.
pub(super) async fn poll_oneoff_unstable(
    world: &mut World,
    memory: &mut GuestMemory<'_>,
    subscriptions: i32,
    events: i32,
    count: i32,
    ready: i32,
) -> wasmtime::Result<i32> {
    poll::<p0::types::Subscription>(world, memory, subscriptions, events, count, ready)
}

fn poll<V: Version>(
    world: &mut World,
    memory: &mut GuestMemory<'_>,
    subscriptions: i32,
    events: i32,
    count: i32,
    ready: i32,
) -> wasmtime::Result<i32> {
    let count = count.cast_unsigned();
    if count == 0 || count > MOST_SUBSCRIPTIONS {
        return Ok(code(Errno::Inval));
    }
    let first = GuestPtr::<V>::new(subscriptions.cast_unsigned());
    let all = match subscribe(world, memory, first.as_array(count)) {
        Ok(all) => all,
        Err(error) => return told(error),
    };
    wait(world, &all)?;
    let events = GuestPtr::new(events.cast_unsigned());
    let ready = GuestPtr::new(ready.cast_unsigned());
    match tell(world, memory, &all, events, ready) {
        Ok(()) => Ok(code(Errno::Success)),
        Err(error) => told(error.into()),
    }
}

fn subscribe<V: Version>(
    world: &mut World,
    memory: &mut GuestMemory<'_>,
    all: GuestPtr<[V]>,
) -> Result<Vec<Subscription>, types::Error> {
    let each = all.iter().map(|one| {
        let (userdata, wish) = memory.read(one?)?.wish();
        Ok((userdata, wish))
    });
    let wishes = each.collect::<Result<Vec<_>, types::Error>>()?;
    let each = wishes.into_iter().map(|(userdata, wish)| {
        let source = match wish {
            Wish::Clock { id, timeout, is_absolute } => clock(world, id, timeout, is_absolute)?,
            Wish::Read(fd) => readable(world, memory, fd)?,
            Wish::Write(fd) => writable(world, memory, fd)?,
        };
        Ok(Subscription { userdata, source })
    });
    each.collect()
}

fn clock(
    world: &World,
    id: types::Clockid,
    timeout: u64,
    is_absolute: bool,
) -> Result<Source, types::Error> {
    let due = match id {
        types::Clockid::Monotonic => world.clocks.due(timeout, is_absolute),
        types::Clockid::Realtime if is_absolute => {
            world.clocks.due(timeout.saturating_sub(world.clocks.wall()), false)
        }
        types::Clockid::Realtime => world.clocks.due(timeout, false),
        types::Clockid::ProcessCputimeId | types::Clockid::ThreadCputimeId => {
            return Err(Errno::Inval.into());
        }
    };
    Ok(Source::Clock(due))
}

/// What kind of thing a descriptor is, as far as waiting goes.
enum Kind {
    Input,
    Output,
    File { position: u64 },
}

fn kind(
    world: &mut World,
    memory: &mut GuestMemory<'_>,
    fd: types::Fd,
) -> Result<Kind, types::Error> {
    match world.reference.fd_tell(memory, fd) {
        Ok(position) => return Ok(Kind::File { position }),
        // That is what the streams say.
        Err(error) if error.downcast_ref() == Some(&Errno::Spipe) => {}
        Err(error) => return Err(error),
    }
    // Of a stream this is known without asking the system, so there is nothing to wait for.
    let stat = world.signal.wait_for(world.reference.fd_fdstat_get(memory, fd));
    let rights = stat.map_err(|ended| types::Error::trap(ended.into()))??.fs_rights_base;
    Ok(if rights.contains(types::Rights::FD_READ) { Kind::Input } else { Kind::Output })
}

fn readable(
    world: &mut World,
    memory: &mut GuestMemory<'_>,
    fd: types::Fd,
) -> Result<Source, types::Error> {
    match kind(world, memory, fd)? {
        Kind::Input => Ok(Source::Input),
        Kind::Output => Err(Errno::Badf.into()),
        Kind::File { position } => {
            let stat = world.signal.wait_for(world.reference.fd_filestat_get(memory, fd));
            let size = stat.map_err(|ended| types::Error::trap(ended.into()))??.size;
            Ok(Source::File { is_at_end: size <= position })
        }
    }
}

fn writable(
    world: &mut World,
    memory: &mut GuestMemory<'_>,
    fd: types::Fd,
) -> Result<Source, types::Error> {
    match kind(world, memory, fd)? {
        Kind::Input => Err(Errno::Badf.into()),
        Kind::Output | Kind::File { .. } => Ok(Source::Output),
    }
}

/// Waits until one of them is ready.
fn wait(world: &World, all: &[Subscription]) -> Result<(), Interrupted> {
    let moments = all.iter().filter_map(|one| match one.source {
        Source::Clock(due) => Some(due),
        Source::Input | Source::File { .. } | Source::Output => None,
    });
    let any_is_ready = || all.iter().any(|one| is_ready(world, one.source));
    if world.clocks.are_made_up() {
        // How long the input takes must not be seen, so it is waited for, and no time passes.
        if all.iter().any(|one| matches!(one.source, Source::Input)) {
            return world.signal.wait_until(None, || world.input.is_ready());
        }
        if !any_is_ready() {
            world.clocks.pass(moments);
        }
        return world.signal.check();
    }
    let until = moments.filter_map(|due| match due {
        Due::At(due) => Some(due),
        Due::MadeUp(_) | Due::Never => None,
    });
    world.signal.wait_until(until.min(), any_is_ready)
}

fn is_ready(world: &World, source: Source) -> bool {
    match source {
        Source::Clock(due) => world.clocks.has_come(due),
        Source::Input => world.input.is_ready(),
        Source::File { .. } | Source::Output => true,
    }
}

/// Writes down what is ready, and how many that are.
fn tell(
    world: &World,
    memory: &mut GuestMemory<'_>,
    all: &[Subscription],
    events: GuestPtr<Event>,
    ready: GuestPtr<u32>,
) -> Result<(), GuestError> {
    let mut count = 0;
    for one in all.iter().filter(|one| is_ready(world, one.source)) {
        memory.write(events.add(count)?, event(one))?;
        count += 1;
    }
    memory.write(ready, count)
}

fn event(of: &Subscription) -> Event {
    let (type_, flags, nbytes) = match of.source {
        Source::Clock(_) => (Eventtype::Clock, Eventrwflags::empty(), 0),
        Source::File { is_at_end: true } => {
            (Eventtype::FdRead, Eventrwflags::FD_READWRITE_HANGUP, 1)
        }
        Source::Input | Source::File { .. } => (Eventtype::FdRead, Eventrwflags::empty(), 1),
        Source::Output => (Eventtype::FdWrite, Eventrwflags::empty(), 1),
    };
    let fd_readwrite = EventFdReadwrite { flags, nbytes };
    Event { userdata: of.userdata, error: Errno::Success, type_, fd_readwrite }
}
