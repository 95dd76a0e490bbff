//! Files: looking at them, and changing them. Which ones there are is said by other walls.

use super::rules::{Answer, Case, Rule, Test, Whom};
use super::table::{ALLOW, CHANGING, EACCES, EPERM, LOCKING, OPENING, SIZING, always};

use Test::Bits;

const KIND: u32 = libc::S_IFMT;

/// A plain file or a named pipe. Devices are the host's.
const NODE: &[Case] = &[
    Case { tests: &[Bits(1, KIND, 0)], answer: Answer::Allow },
    Case { tests: &[Bits(1, KIND, libc::S_IFREG)], answer: Answer::Allow },
    Case { tests: &[Bits(1, KIND, libc::S_IFIFO)], answer: Answer::Allow },
    always(Answer::Fail(libc::EPERM)),
];

/// The same, behind a directory's descriptor.
const NODE_AT: &[Case] = &[
    Case { tests: &[Bits(2, KIND, 0)], answer: Answer::Allow },
    Case { tests: &[Bits(2, KIND, libc::S_IFREG)], answer: Answer::Allow },
    Case { tests: &[Bits(2, KIND, libc::S_IFIFO)], answer: Answer::Allow },
    always(Answer::Fail(libc::EPERM)),
];

/// A program that is not told of a file can go on, and most do.
const LOOKING: &str = "open openat openat2 creat stat lstat newfstatat statx access faccessat \
                       faccessat2 readlink readlinkat getdents getdents64 getcwd chdir fchdir \
                       statfs fstatfs umask fadvise64 readahead fsync fdatasync sync_file_range \
                       msync getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr";

const SIZES: &str = "ftruncate fallocate";

const CHANGES: &str = "truncate rename renameat renameat2 mkdir mkdirat rmdir \
                       link linkat symlink symlinkat unlink unlinkat chmod fchmod fchmodat \
                       fchmodat2 chown fchown lchown fchownat utime utimes utimensat futimesat \
                       sync syncfs inotify_init inotify_init1 inotify_add_watch \
                       inotify_rm_watch";

const LOCKS: &str = "locks of files (where a directory or a scratch was granted)";

pub(super) const RULES: &[Rule] = &[
    Rule { title: "opening and looking at files", calls: LOOKING, whom: OPENING, cases: ALLOW },
    Rule {
        title: "opening and looking at files",
        calls: LOOKING,
        whom: Whom::Everybody,
        cases: EACCES,
    },
    Rule { title: "sizes of open files", calls: SIZES, whom: SIZING, cases: ALLOW },
    Rule { title: "sizes of open files", calls: SIZES, whom: Whom::Everybody, cases: EPERM },
    Rule {
        title: "changing files, their names and modes",
        calls: CHANGES,
        whom: CHANGING,
        cases: ALLOW,
    },
    Rule {
        title: "changing files, their names and modes",
        calls: CHANGES,
        whom: Whom::Everybody,
        cases: EPERM,
    },
    Rule { title: LOCKS, calls: "flock", whom: LOCKING, cases: ALLOW },
    Rule { title: LOCKS, calls: "flock", whom: Whom::Everybody, cases: EPERM },
    Rule {
        title: "copying within the kernel (programs copy by themselves else)",
        calls: "copy_file_range sendfile",
        whom: CHANGING,
        cases: ALLOW,
    },
    Rule {
        title: "making files and pipes by `mknod`",
        calls: "mknod",
        whom: CHANGING,
        cases: NODE,
    },
    Rule {
        title: "making files and pipes by `mknod`",
        calls: "mknodat",
        whom: CHANGING,
        cases: NODE_AT,
    },
    Rule {
        title: "making files and pipes by `mknod`",
        calls: "mknod mknodat",
        whom: Whom::Everybody,
        cases: EPERM,
    },
];
