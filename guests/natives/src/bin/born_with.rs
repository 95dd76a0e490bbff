//! Lives: prints what it was born with of everything that a process has from whoever started it, a line for each.
//! A C main, because Rust's start-up changes some of it. KILL, STOP, 32 and 33 are not asked about.
#![no_main]
#![expect(unsafe_code, reason = "a C main, and raw questions")]
#![expect(clippy::print_stdout, reason = "printing is what this guest is for")]

use std::{env, mem, ptr};

fn signals() -> (libc::c_int, libc::c_int) {
    // SAFETY: zeros are a valid mask.
    let mut mask: libc::sigset_t = unsafe { mem::zeroed() };
    // SAFETY: the mask is valid, and the call only asks.
    unsafe { libc::sigprocmask(libc::SIG_BLOCK, ptr::null(), &raw mut mask) };
    let (mut ignored, mut blocked) = (0, 0);
    for signal in (1..=64).filter(|it| ![libc::SIGKILL, libc::SIGSTOP, 32, 33].contains(it)) {
        // SAFETY: the mask is valid.
        blocked += unsafe { libc::sigismember(&raw const mask, signal) };
        // SAFETY: zeros are a valid sigaction.
        let mut action: libc::sigaction = unsafe { mem::zeroed() };
        // SAFETY: the action is valid, and the call only asks.
        unsafe { libc::sigaction(signal, ptr::null(), &raw mut action) };
        ignored += libc::c_int::from(action.sa_sigaction == libc::SIG_IGN);
    }
    (ignored, blocked)
}

/// Looks for the key of an untidy host in its session's keyring.
fn finds_key() -> &'static str {
    const SEARCH: libc::c_int = 10;
    const SESSION: libc::c_int = -3;
    let (kind, name) = (c"user".as_ptr(), c"sandtrap-untidy".as_ptr());
    // SAFETY: two constant texts; nothing is linked to any other keyring.
    let found = unsafe { libc::syscall(libc::SYS_keyctl, SEARCH, SESSION, kind, name, 0) };
    match std::io::Error::last_os_error().raw_os_error() {
        _ if found >= 0 => "true",
        Some(libc::EPERM | libc::ENOSYS) => "unheard-of",
        _ => "false",
    }
}

// SAFETY: the C runtime calls this once, and no other main is linked.
#[unsafe(no_mangle)]
extern "C" fn main() -> libc::c_int {
    // SAFETY: F_GETFD only asks, whatever the number.
    let is_open = |number: &libc::c_int| unsafe { libc::fcntl(*number, libc::F_GETFD) } >= 0;
    let open: Vec<libc::c_int> = (0..1024).filter(is_open).collect();
    let (ignored, blocked) = signals();
    println!("ignored {ignored}");
    println!("blocked {blocked}");
    // SAFETY: a number; this process makes no files.
    println!("umask {:03o}", unsafe { libc::umask(0) });
    // SAFETY: the number that asks, and changes nothing.
    println!("personality {:#x}", unsafe { libc::personality(0xffff_ffff) });
    // SAFETY: asks about this process.
    println!("session {}", unsafe { libc::getsid(0) });
    // SAFETY: the same.
    let group = unsafe { libc::getpgid(0) };
    println!("leads-group {}", i64::from(group) == i64::from(std::process::id()));
    println!("key {}", finds_key());
    println!("descriptors {open:?}");
    let mut names: Vec<_> = env::vars_os().map(|(name, _)| name).collect();
    names.sort();
    println!("environment {names:?}");
    0
}
