//! The system calls that no crate offers in the form needed here, each behind a safe function.
//!
//! # Safety
//!
//! Every block names the contract of the call and what fulfils it.
#![expect(unsafe_code, reason = "raw clone and wait; see the contract at each block")]

use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use libc::{c_int, c_long, c_void, pid_t};

use super::around::{Kind, Piece};
use super::wire::Rlimit;

/// The stack on which a child runs between clone and exec. Kept for the next child.
pub(super) struct ChildStack(Box<[u128]>);

const CHILD_STACK_BYTES: usize = 64 * 1024;

impl ChildStack {
    pub(super) fn new() -> Self {
        Self(vec![0; CHILD_STACK_BYTES / size_of::<u128>()].into_boxed_slice())
    }
}

/// Starts a child of this thread that shares this process's memory and runs `entry(argument)` until it executes
/// another program or exits; this thread stands still until then.
pub(super) fn start_child<T>(
    stack: &mut ChildStack,
    entry: extern "C" fn(&mut T) -> c_int,
    argument: &mut T,
) -> io::Result<pid_t> {
    // SAFETY: a `&mut T` and a `*mut c_void` are passed in the same register, and both functions return
    // `c_int`; the pointer that will be passed is `argument`, which is a valid `&mut T`.
    let entry = unsafe {
        std::mem::transmute::<extern "C" fn(&mut T) -> c_int, extern "C" fn(*mut c_void) -> c_int>(
            entry,
        )
    };
    let flags = libc::CLONE_VM | libc::CLONE_VFORK;
    let top = stack.0.as_mut_ptr_range().end.cast::<c_void>();
    // SAFETY: clone(2) wants the end of a stack that lives as long as the child uses it: CLONE_VFORK
    // keeps this thread, and with it `stack` and `argument`, in this call until the child has left our
    // memory. The stack is aligned to 16 by its element type.
    let pid = unsafe { libc::clone(entry, top, flags, std::ptr::from_mut(argument).cast()) };
    if pid < 0 { Err(io::Error::last_os_error()) } else { Ok(pid) }
}

/// A word in shared memory into which the kernel writes when this thread ends, however it ends, and before anybody
/// else hears of it or takes over its children: it takes the word for a lock that the thread held.
pub(super) struct LastWill<'a> {
    /// What the kernel was told; it reads this when the thread ends.
    _list: Box<RobustList>,
    _word: PhantomData<&'a AtomicU32>,
}

#[repr(C)]
struct RobustList {
    next: *const RobustList,
    offset: c_long,
    pending: *const AtomicU32,
}

impl<'a> LastWill<'a> {
    pub(super) fn make(word: &'a AtomicU32) -> io::Result<Self> {
        let list =
            RobustList { next: std::ptr::null(), offset: 0, pending: std::ptr::from_ref(word) };
        let mut list = Box::new(list);
        // An empty list ends where it begins; the one lock is the one that is being taken.
        list.next = std::ptr::from_ref(&*list);
        // SAFETY: takes nothing and cannot fail.
        let thread = unsafe { libc::gettid() };
        word.store(thread.unsigned_abs(), Ordering::Release);
        set_robust_list(&*list)?;
        Ok(Self { _list: list, _word: PhantomData })
    }
}

impl Drop for LastWill<'_> {
    fn drop(&mut self) {
        // It fails only where it was never made.
        let _ = set_robust_list(std::ptr::null());
    }
}

fn set_robust_list(list: *const RobustList) -> io::Result<()> {
    // SAFETY: the kernel keeps the address for this thread and reads it at its end; whoever made it keeps it there
    // until it is taken back. This thread holds no lock of the C library's that survives its owner.
    let answer = unsafe { libc::syscall(libc::SYS_set_robust_list, list, size_of::<RobustList>()) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// How the kernel shares processors out to a thread. What newer kernels add comes behind it.
#[repr(C)]
struct Share {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    /// For how long it runs at a stretch, in nanoseconds, where it is an ordinary one.
    slice: u64,
    deadline: u64,
    period: u64,
}

/// Lets a thread run for short stretches, and so before others that have just begun a longer one; its share of the
/// processors stays the same, and what it starts has the usual ones. Kernels before 6.12 have one length for all.
pub(super) fn run_shortly(tid: pid_t) {
    /// The shortest that the kernel takes.
    const SHORT: u64 = 100_000;
    const RESET_ON_FORK: u64 = 1;
    let size = size_of::<Share>();
    // SAFETY: `Share` is plain integers; all zeroes is a value of it.
    let mut share: Share = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes at most `size` bytes to the struct.
    let asked = unsafe { libc::syscall(libc::SYS_sched_getattr, tid, &mut share, size, 0) };
    let is_ordinary = matches!(share.policy as c_int, libc::SCHED_OTHER | libc::SCHED_BATCH);
    // What has more than the usual share would not hand that on either.
    if asked == 0 && is_ordinary && share.nice >= 0 {
        (share.slice, share.flags) = (SHORT, share.flags | RESET_ON_FORK);
        // SAFETY: the kernel reads as many bytes as the struct says that it has.
        unsafe { libc::syscall(libc::SYS_sched_setattr, tid, &share, 0) };
    }
}

/// One change of state of a child or tracee of this thread.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waited {
    pub(super) pid: pid_t,
    pub(super) status: c_int,
    /// Processor time of the process and of the children it has waited for.
    pub(super) cpu: Duration,
}

/// What there is to hear of a child or tracee.
#[derive(Clone, Copy, Debug)]
pub(super) enum News {
    Ended,
    /// It stands at a signal or at its exit. As soon as its tracer lets it go on this is no news any more, taken or not.
    Stands(Waited),
    /// Any other stop. (At an exec, the kernel wants it to be taken: the thread has another number since. And one for a
    /// terminal may be left as it is.)
    Stopped,
}

/// Which child or tracee of this thread, and of no other thread's, has news. They are not taken yet: until an end is, nobody
/// else can get that number. `None` when there is nobody left to wait for.
pub(super) fn next_news() -> Option<(pid_t, News)> {
    loop {
        // SAFETY: `siginfo_t` is plain data; all zeroes is a value of it.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let flags =
            libc::WEXITED | libc::WSTOPPED | libc::WNOWAIT | libc::__WALL | libc::__WNOTHREAD;
        // SAFETY: waitid fills the struct it is given.
        let answer = unsafe { libc::waitid(libc::P_ALL, 0, &mut info, flags) };
        if answer == 0 {
            // SAFETY: the kernel filled in the fields that belong to a child.
            let pid = unsafe { info.si_pid() };
            // SAFETY: the same.
            let status = unsafe { info.si_status() };
            let news = match info.si_code {
                libc::CLD_TRAPPED if ends_when_resumed(status) => {
                    // As `wait4` would have it.
                    let status = (status << 8) | 0x7f;
                    News::Stands(Waited { pid, status, cpu: Duration::ZERO })
                }
                libc::CLD_EXITED | libc::CLD_KILLED | libc::CLD_DUMPED => News::Ended,
                _ => News::Stopped,
            };
            return Some((pid, news));
        }
        if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return None;
        }
    }
}

/// Whether a tracee that stands there is let go on in any case.
fn ends_when_resumed(stop: c_int) -> bool {
    stop >> 8 == libc::PTRACE_EVENT_EXIT
        || stop >> 8 == 0 && !matches!(stop, libc::SIGTTIN | libc::SIGTTOU)
}

/// Takes the news of one of them.
pub(super) fn take_news(pid: pid_t) -> Option<Waited> {
    let mut status = 0;
    // SAFETY: `rusage` is a struct of integers; all zeroes is a value of it.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // Stops of those that are not traced, too: what is not taken is heard of again and again.
    let flags = libc::__WALL | libc::__WNOTHREAD | libc::WNOHANG | libc::WUNTRACED;
    // SAFETY: wait4 writes to the two places given, which outlive the call.
    let answer = unsafe { libc::wait4(pid, &mut status, flags, &mut usage) };
    let cpu = time(usage.ru_utime) + time(usage.ru_stime);
    (answer == pid).then_some(Waited { pid, status, cpu })
}

/// The children of this thread: what it started, and what that made its siblings.
pub(super) fn children() -> Vec<pid_t> {
    let list = std::fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
    list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// Waits for the end of one child of this thread that is ending already.
pub(super) fn reap(pid: pid_t) {
    let mut status = 0;
    // SAFETY: waitpid writes to the place given, which outlives the call.
    while unsafe { libc::waitpid(pid, &mut status, libc::__WALL) } == -1
        && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
    {}
}

fn time(value: libc::timeval) -> Duration {
    Duration::new(value.tv_sec as u64, value.tv_usec as u32 * 1000)
}

/// A descriptor of a process, which can be read when it has ended.
pub(super) fn whole_process(pid: pid_t) -> io::Result<OwnedFd> {
    // SAFETY: takes two integers.
    let descriptor = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if descriptor < 0 { Err(io::Error::last_os_error()) } else { Ok(adopt(descriptor as c_int)) }
}

/// Sends a signal to a process, a group (negative) or a thread that this thread waits for.
pub(super) fn send(pid: pid_t, signal: c_int) {
    // SAFETY: kill(2) takes two integers. It fails only when nobody is there.
    unsafe {
        libc::kill(pid, signal);
    }
}

/// The processor on which this thread runs.
pub(super) fn processor() -> u32 {
    // SAFETY: takes nothing.
    unsafe { libc::sched_getcpu() }.cast_unsigned()
}

/// Has the processor get a part of the memory that may be wanted soon.
pub(super) fn near(word: &AtomicU64) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: it reads nothing that the program could see, and changes nothing.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(word.as_ptr().cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = word;
}

/// Sleeps for as long as a word that others have in their memory, too, is this one; until it is woken, and not longer than
/// so. Says whether that time is over.
pub(super) fn sleep_on(word: &AtomicU32, is: u32, most: Duration) -> bool {
    let tv_sec = i64::try_from(most.as_secs()).unwrap_or(i64::MAX);
    let time = libc::timespec { tv_sec, tv_nsec: most.subsec_nanos().into() };
    let (operation, none) = (libc::FUTEX_WAIT, std::ptr::null::<u32>());
    // SAFETY: the word and the time are there during the call, and are only read.
    let answer = unsafe { libc::syscall(libc::SYS_futex, word, operation, is, &time, none, 0) };
    answer == -1 && io::Error::last_os_error().kind() == io::ErrorKind::TimedOut
}

/// Wakes whoever sleeps on the word.
pub(super) fn wake(word: &AtomicU32) {
    // SAFETY: the kernel looks for those who sleep at this address, and writes nothing.
    unsafe { libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAKE, 1) };
}

/// Takes over a descriptor that a system call has just made.
pub(super) fn adopt(raw: c_int) -> OwnedFd {
    // SAFETY: callers pass the fresh result of a call that makes a descriptor; nobody else owns it.
    unsafe { OwnedFd::from_raw_fd(raw) }
}

/// What this C library takes for the number of a limit, and for that of a tracer's request.
#[cfg(target_env = "musl")]
pub(super) type Number = c_int;
#[cfg(not(target_env = "musl"))]
pub(super) type Number = libc::c_uint;

/// The kernel's number of a limit.
pub(super) fn number_of(resource: Number) -> u64 {
    #[cfg(target_env = "musl")]
    let resource = resource.cast_unsigned();
    resource.into()
}

/// The hard limit of this process for a resource.
pub(super) fn hard_limit(resource: Number) -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: getrlimit fills the struct it is given.
    let answer = unsafe { libc::getrlimit(resource, &mut limit) };
    (answer == 0).then_some(limit.rlim_max)
}

/// Sets a limit of a process of ours. It fails for one that is gone, and for a limit above its hard one.
pub(super) fn set_limit(pid: pid_t, wanted: &Rlimit) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: wanted.soft, rlim_max: wanted.hard };
    // SAFETY: prlimit reads the struct it is given, and is told not to write the old one.
    let answer = unsafe { libc::prlimit(pid, wanted.resource as _, &limit, std::ptr::null_mut()) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// What the kernel is asked and answers about a mapping.
#[repr(C)]
#[derive(Default)]
struct MappingQuery {
    size: u64,
    flags: u64,
    address: u64,
    start: u64,
    end: u64,
    access: u64,
    page_size: u64,
    offset: u64,
    inode: u64,
    device: [u32; 2],
    name_size: u32,
    build_id_size: u32,
    name: u64,
    build_id: u64,
}

/// The mapping that an address is in, or the next one above, by the open list of a process's mappings. An error where this
/// kernel can't be asked.
pub(super) fn mapping_from(maps: &File, address: u64) -> io::Result<Option<Piece>> {
    const COVERING_OR_NEXT: u64 = 0x10;
    const SIZE: u64 = size_of::<MappingQuery>() as u64;
    /// Reads and writes so many bytes; the kind is `f`, and the number 17.
    const QUERY: libc::Ioctl = (3 << 30 | SIZE << 16 | (b'f' as u64) << 8 | 17) as libc::Ioctl;
    // All other names are longer, or of no interest.
    let mut name = [0_u8; 128];
    let mut query = MappingQuery {
        size: SIZE,
        flags: COVERING_OR_NEXT,
        address,
        name_size: name.len() as u32,
        name: name.as_mut_ptr() as u64,
        ..MappingQuery::default()
    };
    loop {
        // SAFETY: the kernel reads and writes one such struct, of the size that it is told in it, and at most so many bytes of
        // the name as that says.
        let answer = unsafe { libc::ioctl(maps.as_raw_fd(), QUERY, &raw mut query) };
        if answer == 0 {
            break;
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::ENOENT) => return Ok(None),
            // That of a file, for nobody gives such a name to anything else.
            Some(libc::ENAMETOOLONG) if query.name_size > 0 => {
                (query.name_size, query.name) = (0, 0);
            }
            _ => return Err(error),
        }
    }
    let length = (query.name_size as usize).saturating_sub(1).min(name.len());
    let may = |bit: u64| query.access & bit != 0;
    Ok(Some(Piece {
        start: query.start,
        end: query.end,
        readable: may(1),
        writable: may(2),
        executable: may(4),
        kind: Kind::of(query.inode, &name[..length]),
    }))
}
