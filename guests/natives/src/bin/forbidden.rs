//! Dies of: a system call that no profile allows, or not its own: the one that its argument names.
//! SIGSYS, which no handler could turn aside. Some arguments name what looks like one and is none; those
//! say so. (Code 9: the call was made, and what came back. Code 8: no such case here.)
#![expect(unsafe_code, reason = "raw system calls are the purpose of the file")]

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};
use std::{env, io, process, ptr, thread};

use libc::c_long;

/// Makes a call and says what came of it, if anything did.
fn call(number: c_long, arguments: [c_long; 6]) -> ExitCode {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: the arguments are plain numbers or pointers to what lives on, as each case below says.
    let answer = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    let error = io::Error::last_os_error();
    // Nobody has to read it.
    let _ = writeln!(io::stderr(), "the call went through: {answer}, {error}");
    ExitCode::from(9)
}

fn parent() -> c_long {
    std::os::unix::process::parent_id().into()
}

/// Calls by number, with arguments that harm nobody should they go through.
fn plain(case: &str) -> Option<(c_long, [c_long; 6])> {
    const SEIZE: c_long = 0x4206;
    let unspecific = [0; 6];
    let new_user = c_long::from(libc::CLONE_NEWUSER);
    Some(match case {
        "ptrace-parent" => (libc::SYS_ptrace, [SEIZE, parent(), 0, 0, 0, 0]),
        "read-parent" => (libc::SYS_process_vm_readv, [parent(), 0, 0, 0, 0, 0]),
        "io-uring" => (libc::SYS_io_uring_setup, [1, 0, 0, 0, 0, 0]),
        "userfaultfd" => (libc::SYS_userfaultfd, unspecific),
        "keyctl" => (libc::SYS_keyctl, unspecific),
        "add-key" => (libc::SYS_add_key, unspecific),
        "bpf" => (libc::SYS_bpf, unspecific),
        "perf-events" => (libc::SYS_perf_event_open, [0, 0, -1, -1, 0, 0]),
        "unshare-user" => (libc::SYS_unshare, [new_user, 0, 0, 0, 0, 0]),
        "clone-user" => (libc::SYS_clone, [new_user, 0, 0, 0, 0, 0]),
        "fork" => (libc::SYS_clone, [c_long::from(libc::SIGCHLD), 0, 0, 0, 0, 0]),
        "socket-internet" => {
            (libc::SYS_socket, [libc::AF_INET.into(), libc::SOCK_STREAM.into(), 0, 0, 0, 0])
        }
        "socket-vsock" => {
            (libc::SYS_socket, [libc::AF_VSOCK.into(), libc::SOCK_STREAM.into(), 0, 0, 0, 0])
        }
        "socket-alg" => {
            (libc::SYS_socket, [libc::AF_ALG.into(), libc::SOCK_SEQPACKET.into(), 0, 0, 0, 0])
        }
        "socket-raw" => {
            (libc::SYS_socket, [libc::AF_INET.into(), libc::SOCK_RAW.into(), 1, 0, 0, 0])
        }
        "memfd-secret" => (libc::SYS_memfd_secret, unspecific),
        "personality" => (libc::SYS_personality, [libc::ADDR_NO_RANDOMIZE.into(), 0, 0, 0, 0, 0]),
        "mount" => (libc::SYS_mount, unspecific),
        "signal-everybody" => (libc::SYS_kill, [-1, 0, 0, 0, 0, 0]),
        "own-filter" => (libc::SYS_prctl, [libc::PR_SET_SECCOMP.into(), 2, 0, 0, 0, 0]),
        "type-on-terminal" => {
            // Only the lower half counts for the kernel, so the upper half must not hide anything.
            (libc::SYS_ioctl, [0, libc::TIOCSTI as c_long | 1 << 32, 0, 0, 0, 0])
        }
        "write-then-execute" => {
            let protection = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
            let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            (libc::SYS_mmap, [0, 4096, protection.into(), kind.into(), -1, 0])
        }
        _ => return None,
    })
}

/// Calls that only this kind of machine has.
#[cfg(target_arch = "x86_64")]
fn of_the_machine(case: &str) -> Option<ExitCode> {
    match case {
        "modify-ldt" => Some(call(libc::SYS_modify_ldt, [0; 6])),
        // getpid, which is harmless, in the other ABI of this machine.
        "x32" => Some(call(0x4000_0027, [0; 6])),
        "int-0x80" => {
            let mut answer = 20_i64;
            // SAFETY: call 20 of 32-bit programs is getpid; it changes its answer's register only.
            unsafe { std::arch::asm!("int 0x80", inlateout("rax") answer, options(nostack)) };
            let _ = writeln!(io::stderr(), "the call went through: {answer}");
            Some(ExitCode::from(9))
        }
        _ => None,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn of_the_machine(_: &str) -> Option<ExitCode> {
    None
}

extern "C" fn leave(_: libc::c_int) {
    // SAFETY: ends the process at once; allowed in handlers.
    unsafe { libc::_exit(9) };
}

/// More than one call.
fn composed(case: &str) -> ExitCode {
    match case {
        "second-exec" => {
            let error =
                Command::new(env::args_os().next().unwrap_or_default()).arg("nothing").exec();
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::from(9)
        }
        // Lives: what the second program does.
        "nothing" => ExitCode::SUCCESS,
        "swallow" => {
            // SAFETY: the handler makes one call that is allowed in handlers.
            unsafe { libc::signal(libc::SIGSYS, leave as *const () as libc::sighandler_t) };
            call(libc::SYS_add_key, [0; 6])
        }
        "block" => {
            let mut set = std::mem::MaybeUninit::<libc::sigset_t>::zeroed();
            // SAFETY: the set is filled here.
            unsafe { libc::sigfillset(set.as_mut_ptr()) };
            // SAFETY: the set is full; the old one is not asked for.
            unsafe { libc::sigprocmask(libc::SIG_BLOCK, set.as_ptr(), ptr::null_mut()) };
            call(libc::SYS_add_key, [0; 6])
        }
        "second-thread" => {
            // The first one is in the middle of a call meanwhile.
            let caller = thread::spawn(|| call(libc::SYS_add_key, [0; 6]));
            caller.join().unwrap_or(ExitCode::from(9))
        }
        // Dies of: SIGSYS of its own making, which is no violation.
        "raise" => {
            // SAFETY: a plain number.
            unsafe { libc::raise(libc::SIGSYS) };
            ExitCode::from(9)
        }
        // Lives: each of these gets an error that it can live with.
        "soft" => soft(),
        other => {
            let _ = writeln!(io::stderr(), "`{other}` is no case of this machine");
            ExitCode::from(8)
        }
    }
}

/// What is refused without being deadly, and with which error.
fn soft() -> ExitCode {
    let path = c"/nonexistent/at/all".as_ptr() as c_long;
    let here = c_long::from(libc::AT_FDCWD);
    let own = c_long::from(process::id());
    let cases: [(&str, c_long, [c_long; 6], i32); 11] = [
        ("clone3", libc::SYS_clone3, [0; 6], libc::ENOSYS),
        ("unknown", 1000, [0; 6], libc::ENOSYS),
        ("memfd", libc::SYS_memfd_create, [path, 0, 0, 0, 0, 0], libc::ENOSYS),
        ("unlinkat", libc::SYS_unlinkat, [here, path, 0, 0, 0, 0], libc::EPERM),
        ("mkdirat", libc::SYS_mkdirat, [here, path, 0o755, 0, 0, 0], libc::EPERM),
        ("setpriority", libc::SYS_setpriority, [0, 0, -5, 0, 0, 0], libc::EPERM),
        ("prlimit64", libc::SYS_prlimit64, [1, 0, 0, 0, 0, 0], libc::EPERM),
        ("setsid", libc::SYS_setsid, [0; 6], libc::EPERM),
        ("ioctl", libc::SYS_ioctl, [0, 0x1234, 0, 0, 0, 0], libc::ENOTTY),
        ("undumpable", libc::SYS_prctl, [4, 0, 0, 0, 0, 0], libc::EPERM),
        ("unix", libc::SYS_socket, [1, 1, 0, 0, 0, 0], libc::EAFNOSUPPORT),
    ];
    for (name, number, [a, b, c, d, e, f], expected) in cases {
        // SAFETY: a path that lives for ever, and plain numbers.
        let answer = unsafe { libc::syscall(number, a, b, c, d, e, f) };
        let found = io::Error::last_os_error().raw_os_error();
        if answer != -1 || found != Some(expected) {
            let _ = writeln!(io::stderr(), "{name}: {answer}, {found:?} of {own}");
            return ExitCode::from(9);
        }
    }
    ExitCode::SUCCESS
}

fn main() -> ExitCode {
    let case = env::args().nth(1).unwrap_or_default();
    match plain(&case) {
        Some((number, arguments)) => call(number, arguments),
        None => of_the_machine(&case).unwrap_or_else(|| composed(&case)),
    }
}
