//! The threads that guests run on. They are kept between attempts, and end when nobody keeps them.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use super::bell::Bell;

/// Stack for the host's own frames, beyond what the guest may use.
pub(super) const HOST_STACK: usize = 2 << 20;

/// How many threads wait for work at most. Others end after their attempt.
const MOST_IDLE: usize = 64;

type Work = Box<dyn FnOnce() + Send>;

/// Remains above this are cleared away beside the caller.
const MUCH: u64 = 16 << 20;

/// The stack of a thread that clears away.
const CLEARING_STACK: usize = 0;

/// How many guests are cleared away beside their callers at once. Whoever makes more of them waits, or memory
/// would fill with what is over.
const MOST_CLEARING: usize = 2;

/// Threads without work.
#[derive(Default)]
pub(super) struct Threads {
    idle: Mutex<Vec<GuestThread>>,
    clearing: AtomicUsize,
}

/// One thread. It ends when it has done its work and nobody can give it more.
struct GuestThread {
    work: mpsc::Sender<Work>,
    guest_stack: usize,
    time: ThreadTime,
    bell: Arc<Bell>,
    is_busy: Arc<AtomicBool>,
}

/// A thread for one attempt. It goes back to the others when this is dropped.
pub(super) struct Lease {
    thread: Option<GuestThread>,
    threads: Arc<Threads>,
    bell: Arc<Bell>,
    time: ThreadTime,
}

impl Threads {
    /// A thread with that much stack for a guest: one that waits for work, or a new one.
    pub(super) fn lease(self: &Arc<Self>, guest_stack: usize) -> io::Result<Lease> {
        let waiting = self.take_idle(guest_stack);
        let thread = waiting.map_or_else(|| GuestThread::start(guest_stack), Ok)?;
        let (bell, time) = (Arc::clone(&thread.bell), thread.time);
        Ok(Lease { thread: Some(thread), threads: Arc::clone(self), bell, time })
    }

    fn take_idle(&self, guest_stack: usize) -> Option<GuestThread> {
        let mut idle = self.idle();
        let fits = |thread: &GuestThread| thread.guest_stack == guest_stack && !thread.is_busy();
        // The one that worked last has the warmest caches.
        let index = idle.iter().rposition(fits)?;
        Some(idle.remove(index))
    }

    /// Drops what is left of a guest that held so much memory. To give much of it back takes longer than
    /// its caller shall wait for a verdict.
    pub(super) fn clear_away(self: &Arc<Self>, remains: impl Send + 'static, memory: u64) {
        if memory < MUCH {
            return drop(remains);
        }
        let clearing = Clearing::begin(self);
        if let Some(clearing) = clearing
            && let Ok(lease) = self.lease(CLEARING_STACK)
        {
            lease.run(move || {
                drop(remains);
                drop(clearing);
            });
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<GuestThread>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One guest that is being cleared away.
struct Clearing(Arc<Threads>);

impl Clearing {
    fn begin(threads: &Arc<Threads>) -> Option<Self> {
        let one_more = |count| (count < MOST_CLEARING).then_some(count + 1);
        let order = Ordering::AcqRel;
        threads.clearing.fetch_update(order, Ordering::Acquire, one_more).ok()?;
        Some(Self(Arc::clone(threads)))
    }
}

impl Drop for Clearing {
    fn drop(&mut self) {
        self.0.clearing.fetch_sub(1, Ordering::AcqRel);
    }
}

impl GuestThread {
    fn start(guest_stack: usize) -> io::Result<Self> {
        let (work, orders) = mpsc::channel::<Work>();
        let (say_time, time) = mpsc::sync_channel(1);
        let is_busy = Arc::new(AtomicBool::new(false));
        let busy = Arc::clone(&is_busy);
        let bell = Arc::new(Bell::new()?);
        std::thread::Builder::new()
            .name("sandtrap-guest".into())
            .stack_size(guest_stack.saturating_add(HOST_STACK))
            .spawn(move || {
                // Nobody waits for it only if the starter is gone, and then there will be no work.
                let _ = say_time.send(ThreadTime::of_this_thread());
                for work in orders {
                    work();
                    busy.store(false, Ordering::Release);
                }
            })?;
        let time = time.recv().map_err(|_| io::Error::other("a guest's thread ended at once"))?;
        Ok(Self { work, guest_stack, time, bell, is_busy })
    }

    fn is_busy(&self) -> bool {
        self.is_busy.load(Ordering::Acquire)
    }
}

impl Lease {
    pub(super) fn bell(&self) -> &Arc<Bell> {
        &self.bell
    }

    pub(super) fn time(&self) -> ThreadTime {
        self.time
    }

    /// Has the thread do this. `work` must not panic.
    pub(super) fn run(&self, work: impl FnOnce() + Send + 'static) {
        let Some(thread) = &self.thread else { return };
        thread.is_busy.store(true, Ordering::Release);
        // Its channel is closed only if it panicked, and then whoever waits for the work sees that.
        let _ = thread.work.send(Box::new(work));
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut idle = self.threads.idle();
        if idle.len() < MOST_IDLE {
            // It may still be clearing away the guest; it is not taken before it is done.
            idle.extend(self.thread.take());
        }
    }
}

/// The processor time of one thread, as anybody in this process can read it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ThreadTime {
    #[cfg(target_os = "linux")]
    clock: nix::time::ClockId,
}

#[cfg(target_os = "linux")]
impl ThreadTime {
    /// Whether a limit of processor time can be enforced on this system.
    pub(super) const IS_SEEN: bool = true;

    pub(super) fn of_this_thread() -> Self {
        /// The scheduler's own count (2) of one thread (4), as the kernel encodes it for every
        /// architecture: the C library makes the same number in `pthread_getcpuclockid`.
        const THREAD_SCHEDULED: i32 = 6;
        let thread = nix::unistd::gettid().as_raw();
        Self { clock: nix::time::ClockId::from_raw((!thread << 3) | THREAD_SCHEDULED) }
    }

    /// What the thread has used since it began. `None` if the system does not say.
    pub(super) fn used(&self) -> Option<Duration> {
        self.clock.now().ok().map(Duration::from)
    }
}

#[cfg(not(target_os = "linux"))]
impl ThreadTime {
    /// Whether a limit of processor time can be enforced on this system.
    pub(super) const IS_SEEN: bool = false;

    pub(super) fn of_this_thread() -> Self {
        Self {}
    }

    /// What the thread has used since it began. `None` if the system does not say.
    pub(super) fn used(&self) -> Option<Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STACK: usize = 1 << 20;

    #[test]
    fn a_thread_is_used_again_once_it_has_done_its_work() {
        let threads = Arc::new(Threads::default());
        let (say, said) = mpsc::channel();
        for _ in 0..2 {
            let lease = threads.lease(STACK).unwrap();
            let say = say.clone();
            lease.run(move || say.send(std::thread::current().id()).unwrap());
            let busy = Arc::clone(&lease.thread.as_ref().unwrap().is_busy);
            drop(lease);
            while busy.load(Ordering::Acquire) {
                std::thread::yield_now();
            }
        }
        assert_eq!(said.recv().unwrap(), said.recv().unwrap());
        assert!(threads.take_idle(2 * STACK).is_none(), "another stack is another thread");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_processor_time_of_a_thread_is_seen_from_another_one() {
        let threads = Arc::new(Threads::default());
        let lease = threads.lease(STACK).unwrap();
        let before = lease.time().used().unwrap();
        lease.run(|| {
            let time = ThreadTime::of_this_thread();
            let begin = time.used().unwrap();
            while time.used().unwrap() - begin < Duration::from_millis(20) {}
        });
        while lease.thread.as_ref().unwrap().is_busy() {
            std::thread::yield_now();
        }
        assert!(lease.time().used().unwrap() - before >= Duration::from_millis(20));
    }
}
