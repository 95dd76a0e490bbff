//! Dies of: nothing. Has a process of its own, and for each byte that it reads has that one fork as a wall does, with nothing but
//! the kernel's part of it: a namespace for processes, a tracer, Landlock, no capabilities, a filter. It sends the child a byte,
//! has it back, ends the child, waits for its end, and writes how many nanoseconds all of that took: a bench runs it outside of any
//! wall, to know what the kernel takes for the guards alone.
#![cfg_attr(target_os = "linux", expect(unsafe_code, reason = "forks, traces, and puts up guards"))]
#![cfg_attr(
    target_os = "linux",
    expect(clippy::print_stderr, reason = "says what is not allowed here")
)]

#[cfg(target_os = "linux")]
fn main() {
    linux::run();
}

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
mod linux {
    use std::ffi::{c_int, c_long};
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::time::Instant;

    const LANDLOCK_CREATE_RULESET: c_long = 444;
    const LANDLOCK_RESTRICT_SELF: c_long = 446;

    /// Every right over files that the first version knows.
    const ALL_RIGHTS: u64 = (1 << 13) - 1;

    /// About as many as a fork of a warm guest puts on.
    const INSTRUCTIONS: usize = 24;

    pub(super) fn run() {
        let (mut asked, mut answers) = (std::io::stdin().lock(), std::io::stdout().lock());
        if asked.read_exact(&mut [0]).is_err() {
            // Nobody asks.
            return;
        }
        let (mut orders, their_orders) = UnixStream::pair().expect("a pair");
        let (mut channel, their_channel) = UnixStream::pair().expect("a pair");
        // What is forked from now on is the first in its namespace, and may make others.
        unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWPID, "namespaces");
        let zygote = fork();
        if zygote == 0 {
            drop((orders, channel));
            fork_on_order(their_orders, their_channel);
        }
        drop((their_orders, their_channel));
        let options = (libc::PTRACE_O_TRACEFORK | libc::PTRACE_O_EXITKILL) as usize;
        trace(libc::PTRACE_SEIZE, zygote, options);
        loop {
            let begin = Instant::now();
            task(zygote, &mut orders, &mut channel);
            let took = begin.elapsed().as_nanos() as u64;
            let is_told = answers.write_all(&took.to_ne_bytes()).and_then(|()| answers.flush());
            if is_told.is_err() || asked.read_exact(&mut [0]).is_err() {
                break;
            }
        }
    }

    /// One order, to the end of the fork that is made for it.
    fn task(zygote: c_int, orders: &mut UnixStream, channel: &mut UnixStream) {
        orders.write_all(b"o").expect("it waits for orders");
        stopped(zygote);
        let mut child = 0_u64;
        trace(libc::PTRACE_GETEVENTMSG, zygote, &raw mut child as usize);
        let child = child as c_int;
        trace(libc::PTRACE_CONT, zygote, 0);
        stopped(child);
        trace(libc::PTRACE_CONT, child, 0);
        channel.read_exact(&mut [0]).expect("it is ready");
        channel.write_all(b"c").expect("it reads");
        channel.read_exact(&mut [0]).expect("it answers");
        called(libc::SYS_kill, [child as usize, libc::SIGKILL as usize, 0], "to kill");
        let status = waited(child);
        assert!(libc::WIFSIGNALED(status), "{status:#x}");
    }

    fn stopped(pid: c_int) {
        let status = waited(pid);
        assert!(libc::WIFSTOPPED(status), "{status:#x}");
    }

    fn waited(pid: c_int) -> c_int {
        let mut status = 0;
        // SAFETY: writes one number, which there is room for.
        let waited = unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) };
        checked(waited.into(), "to wait");
        status
    }

    /// What is forked, and is told when.
    fn fork_on_order(mut orders: UnixStream, channel: UnixStream) -> ! {
        let rights = ALL_RIGHTS;
        let create = [&raw const rights as usize, size_of::<u64>(), 0];
        // Without Landlock its part is not there.
        let rules = answered(LANDLOCK_CREATE_RULESET, create);
        let no_more = [libc::PR_SET_NO_NEW_PRIVS as usize, 1, 0];
        called(libc::SYS_prctl, no_more, "to gain nothing");
        // SAFETY: a switch: children that nobody waits for vanish.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
        let own = [std::process::id() as usize, 0, 0];
        let own = called(libc::SYS_pidfd_open, own, "to hold its own namespace");
        while orders.read_exact(&mut [0]).is_ok() {
            unshare(libc::CLONE_NEWPID, "a namespace for processes");
            if fork() == 0 {
                confine(rules);
                serve(channel);
            }
            called(libc::SYS_setns, [own as usize, libc::CLONE_NEWPID as usize, 0], "to go back");
        }
        end(0)
    }

    fn confine(rules: c_long) {
        let allow = libc::sock_filter { code: 0x06, jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW };
        let load = libc::sock_filter { code: 0x20, jt: 0, jf: 0, k: 0 };
        let mut filter = [load; INSTRUCTIONS];
        filter[INSTRUCTIONS - 1] = allow;
        let program = libc::sock_fprog { len: INSTRUCTIONS as u16, filter: filter.as_mut_ptr() };
        let (header, none) = ([0x2008_0522_u32, 0], [0_u32; 6]);
        called(libc::SYS_setpgid, [0; 3], "a group of processes");
        if rules >= 0 {
            called(LANDLOCK_RESTRICT_SELF, [rules as usize, 0, 0], "Landlock");
        }
        let dropped = [header.as_ptr() as usize, none.as_ptr() as usize, 0];
        called(libc::SYS_capset, dropped, "to drop capabilities");
        let mode = libc::SECCOMP_SET_MODE_FILTER as usize;
        called(libc::SYS_seccomp, [mode, 0, &raw const program as usize], "a filter");
    }

    fn serve(mut channel: UnixStream) -> ! {
        let is_ready = channel.write_all(b"r").is_ok();
        if is_ready && channel.read_exact(&mut [0]).is_ok() {
            let _ = channel.write_all(b"a");
        }
        // Nothing is left to be done but to wait for the end that is sent.
        answered(libc::SYS_ppoll, [0; 3]);
        end(0)
    }

    fn fork() -> c_int {
        // SAFETY: there is one thread.
        let child = unsafe { libc::fork() };
        checked(child.into(), "to fork");
        child
    }

    fn unshare(what: c_int, words: &str) {
        called(libc::SYS_unshare, [what as usize, 0, 0], words);
    }

    fn trace(request: libc::c_uint, pid: c_int, data: usize) {
        // SAFETY: a number, or the address of a number that there is room for.
        let answer = unsafe { libc::ptrace(request, pid, 0_usize, data) };
        checked(answer, "to trace");
    }

    /// Calls the kernel with what must be done.
    fn called(number: c_long, arguments: [usize; 3], what: &str) -> c_long {
        checked(answered(number, arguments), what)
    }

    fn answered(number: c_long, [first, second, third]: [usize; 3]) -> c_long {
        // SAFETY: callers name numbers, or what is there during the call; the others are nothing.
        unsafe { libc::syscall(number, first, second, third, 0_usize, 0_usize) }
    }

    fn checked(answer: c_long, what: &str) -> c_long {
        if answer < 0 {
            eprintln!("guarded_fork: {what}: {}", std::io::Error::last_os_error());
            end(1)
        }
        answer
    }

    fn end(code: c_int) -> ! {
        // SAFETY: ends this process, and runs nothing of its parent's. Who waits for it sees the end.
        unsafe { libc::_exit(code) }
    }
}
