//! What no guest is for: other processes' memory, the kernel's newest corners, the machine itself. Nobody calls these
//! by accident, so to ask is fatal, and told.

use super::rules::{Rule, Whom};
use super::table::{EPERM, KILL};

const fn deadly(title: &'static str, calls: &'static str) -> Rule {
    Rule { title, calls, whom: Whom::Everybody, cases: KILL }
}

pub(super) const RULES: &[Rule] = &[
    deadly(
        "other processes' memory and descriptors",
        "ptrace process_vm_readv process_vm_writev process_madvise process_mrelease pidfd_getfd kcmp",
    ),
    deadly("calls that pass a filter by", "io_uring_setup io_uring_enter io_uring_register"),
    deadly("programs in the kernel", "bpf seccomp perf_event_open"),
    deadly("memory with traps", "userfaultfd memfd_secret modify_ldt"),
    deadly("keys", "add_key request_key keyctl"),
    deadly("namespaces and roots", "unshare setns chroot pivot_root"),
    deadly(
        "mounts",
        "mount umount2 open_tree open_tree_attr move_mount fsopen fsconfig fsmount fspick mount_setattr",
    ),
    deadly("files by their handles", "open_by_handle_at fanotify_init"),
    deadly(
        "the kernel and the machine",
        "init_module finit_module delete_module create_module query_module get_kernel_syms \
         kexec_load kexec_file_load reboot swapon swapoff acct syslog quotactl quotactl_fd iopl \
         ioperm vhangup nfsservctl lookup_dcookie",
    ),
    Rule {
        title: "the machine's clock and name",
        calls: "settimeofday clock_settime clock_adjtime adjtimex sethostname setdomainname",
        whom: Whom::Everybody,
        cases: EPERM,
    },
];
