//! What every program does: memory, threads, clocks, signals to itself, and the descriptors it was given.

use crate::permissions::Profile;

use super::arguments::{
    ADVICE, ASK_DEVICE, DESCRIPTOR, LOCKS, MAP, ORDINARY_PERSONALITY, PROTECT, READ_LIMITS,
    REGISTERS, SELF_SETTINGS, THREADS_ONLY,
};
use super::rules::{Rule, Whom};
use super::table::{ALLOW, ENOSYS, EPERM, GENERATING, LOCKING, OPENING};

pub(super) const RULES: &[Rule] = &[
    Rule {
        title: "memory",
        calls: "brk munmap mremap membarrier mincore get_mempolicy",
        whom: Whom::Everybody,
        cases: ALLOW,
    },
    Rule {
        title: "mappings (code that comes from no file: `process` and `jit` only)",
        calls: "mmap mprotect",
        whom: GENERATING,
        cases: ALLOW,
    },
    Rule {
        title: "mappings (code that comes from no file: `process` and `jit` only)",
        calls: "mmap",
        whom: Whom::Everybody,
        cases: MAP,
    },
    Rule {
        title: "mappings (code that comes from no file: `process` and `jit` only)",
        calls: "mprotect",
        whom: Whom::Everybody,
        cases: PROTECT,
    },
    Rule { title: "advice about memory", calls: "madvise", whom: Whom::Everybody, cases: ADVICE },
    Rule {
        title: "files in memory (ENOSYS where no group counts them)",
        calls: "memfd_create",
        whom: Whom::Counted(&[Profile::Jit]),
        cases: ALLOW,
    },
    Rule {
        title: "threads (children of its own: `process` only)",
        calls: "clone",
        whom: Whom::Everybody,
        cases: THREADS_ONLY,
    },
    Rule {
        title: "births whose flags a filter can't see (libraries use `clone` then)",
        calls: "clone3",
        whom: Whom::Everybody,
        cases: ENOSYS,
    },
    Rule {
        title: "what threads wait and run by",
        calls: "futex futex_waitv futex_wake futex_wait futex_requeue set_robust_list get_robust_list \
                rseq set_tid_address gettid sched_yield sched_getaffinity sched_getparam \
                sched_getscheduler sched_get_priority_max sched_get_priority_min sched_getattr \
                sched_rr_get_interval getpriority ioprio_get getcpu exit exit_group restart_syscall",
        whom: Whom::Everybody,
        cases: ALLOW,
    },
    Rule {
        title: "priorities and processors",
        calls: "setpriority sched_setparam sched_setscheduler sched_setattr sched_setaffinity \
                ioprio_set mlock mlock2 mlockall munlock munlockall mbind set_mempolicy \
                set_mempolicy_home_node migrate_pages move_pages",
        whom: Whom::Everybody,
        cases: EPERM,
    },
    Rule {
        title: "clocks and timers",
        calls: "clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time times getrusage \
                alarm getitimer setitimer timer_create timer_settime timer_gettime \
                timer_getoverrun timer_delete timerfd_create timerfd_settime timerfd_gettime",
        whom: Whom::Everybody,
        cases: ALLOW,
    },
    Rule { title: "random numbers", calls: "getrandom", whom: Whom::Everybody, cases: ALLOW },
    Rule {
        title: "receiving signals",
        calls: "rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait rt_sigsuspend \
                sigaltstack pause signalfd signalfd4",
        whom: Whom::Everybody,
        cases: ALLOW,
    },
    Rule {
        title: "who and where it is",
        calls: "getpid getppid getpgrp getpgid getsid getuid geteuid getgid getegid getresuid \
                getresgid getgroups capget uname sysinfo getrlimit",
        whom: Whom::Everybody,
        cases: ALLOW,
    },
    Rule {
        title: "its own limits, to be read",
        calls: "prlimit64",
        whom: Whom::Everybody,
        cases: READ_LIMITS,
    },
    Rule { title: "its own settings", calls: "prctl", whom: Whom::Everybody, cases: SELF_SETTINGS },
    Rule {
        title: "registers of its own",
        calls: "arch_prctl",
        whom: Whom::Everybody,
        cases: REGISTERS,
    },
    Rule {
        title: "its personality",
        calls: "personality",
        whom: Whom::Everybody,
        cases: ORDINARY_PERSONALITY,
    },
    Rule {
        title: "reading, writing and waiting",
        calls: "read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 lseek close \
                close_range fstat dup dup2 dup3 poll ppoll select pselect6 epoll_create \
                epoll_create1 epoll_ctl epoll_ctl_old epoll_wait epoll_wait_old epoll_pwait epoll_pwait2 \
                eventfd eventfd2",
        whom: Whom::Everybody,
        cases: ALLOW,
    },
    Rule { title: "pipes of its own", calls: "pipe pipe2", whom: OPENING, cases: ALLOW },
    Rule {
        title: "devices: terminals and descriptors",
        calls: "ioctl",
        whom: Whom::Everybody,
        cases: ASK_DEVICE,
    },
    Rule { title: "descriptors", calls: "fcntl", whom: LOCKING, cases: LOCKS },
    Rule { title: "descriptors", calls: "fcntl", whom: Whom::Everybody, cases: DESCRIPTOR },
    Rule {
        title: "its own privileges and limits, to be changed",
        calls: "setuid setgid setreuid setregid setresuid setresgid setfsuid setfsgid setgroups \
                capset setrlimit",
        whom: Whom::Everybody,
        cases: EPERM,
    },
];
