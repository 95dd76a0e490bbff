//! Makes this process believe that its kernel has an older Landlock: whoever asks for the version is answered by a
//! thread of ours. What is asked for beyond that version nobody asks the kernel for then.
//!
//! # Safety
//!
//! A filter of four tests is installed for this thread, and its listener is read by another one. Every struct is the
//! kernel's own, and lives in the frame of the call.
#![expect(
    unsafe_code,
    reason = "seccomp listeners, which no crate offers; see the contract at each block"
)]

use std::os::fd::RawFd;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use nix::errno::Errno;
use nix::libc::{self, c_ulong, seccomp_notif, seccomp_notif_resp, sock_filter, sock_fprog};

/// `landlock_create_ruleset` asked for the version, and nothing else.
const ASKS_FOR_VERSION: u32 = 1;

/// `_IOWR('!', 0, struct seccomp_notif)` and `_IOWR('!', 1, struct seccomp_notif_resp)`.
const RECEIVE: c_ulong = 0xc050_2100;
const ANSWER: c_ulong = 0xc018_2101;

/// From here on this thread, and all that it starts, has Landlock of that version.
pub fn pretend(version: i64) {
    let (tell, told) = channel();
    // Before the filter is there: this thread is not asked about its own calls.
    thread::spawn(move || answer_all(&told, version));
    tell.send(listener()).expect("a thread that answers");
}

fn listener() -> RawFd {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    /// Where the third argument's lower half is, behind the number, the machine and the instruction.
    const FLAGS_AT: u32 = 32;
    let line = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    let mut lines = [
        line(LOAD, 0, 0, 0),
        line(EQUAL, 0, 3, libc::SYS_landlock_create_ruleset as u32),
        line(LOAD, 0, 0, FLAGS_AT),
        line(EQUAL, 0, 1, ASKS_FOR_VERSION),
        line(RETURN, 0, 0, libc::SECCOMP_RET_USER_NOTIF),
        line(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = sock_fprog { len: lines.len() as u16, filter: lines.as_mut_ptr() };
    // SAFETY: a switch that can only be turned on.
    let switched = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(switched, 0, "{}", Errno::last());
    let (mode, flags) = (libc::SECCOMP_SET_MODE_FILTER, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER);
    // SAFETY: the program names as many instructions as there are; the kernel copies them.
    let listener = unsafe { libc::syscall(libc::SYS_seccomp, mode, flags, &raw const program) };
    assert!(listener >= 0, "{}", Errno::last());
    listener as RawFd
}

fn answer_all(told: &Receiver<RawFd>, version: i64) {
    let Ok(listener) = told.recv() else { return };
    loop {
        // SAFETY: a struct of integers, for which zeroes are a value; the kernel wants them.
        let mut asked: seccomp_notif = unsafe { std::mem::zeroed() };
        // SAFETY: fills the struct it is given.
        if unsafe { libc::ioctl(listener, RECEIVE, &raw mut asked) } == -1 {
            // Who asked is gone already, or nobody is left who could.
            if Errno::last() == Errno::ENOENT {
                continue;
            }
            return;
        }
        let answer = seccomp_notif_resp { id: asked.id, val: version, error: 0, flags: 0 };
        // SAFETY: reads the struct it is given.
        unsafe { libc::ioctl(listener, ANSWER, &raw const answer) };
    }
}
