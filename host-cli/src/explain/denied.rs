//! Guests that did what their permissions forbid.

use super::Page;

pub(super) const SYSCALL: Page = Page {
    summary: "It made a system call that is forbidden to it.",
    meaning: "The guest asked the kernel for something its permissions rule out, and the policy says that \
              this is fatal. The call had no effect.",
    native: "The system-call filter killed it. The number of the call was read where the guest is \
             traced; look it up with `ausyscall NUMBER` or in unistd.h.",
    wasm: "Not seen: modules make no system calls.",
    causes: &[
        "A guest that wants more than it should: debugging others, loading kernel modules, mounting.",
        "A runtime or library that tries a newer call without need.",
    ],
    advice: &[
        "Find out with `strace -f` which part of the guest makes the call, and for what.",
        "Leave the feature out, or start the guest so that it is not used.",
        "If the call is harmless, tell us: the filter is meant to let harmless calls pass.",
    ],
};

pub(super) const CAPABILITY: Page = Page {
    summary: "It used a host function that is forbidden to it.",
    meaning: "The guest called for something of the host that was not granted, and the policy says that \
              this is fatal. The call had no effect.",
    native: "Not seen: processes ask the kernel, and that is denied.syscall.",
    wasm: "The host function refused and ended the guest; its name is in the diagnosis.",
    causes: &[
        "A module that opens files, connects or reads the environment without the grant.",
        "A library inside the guest that does so behind its back.",
    ],
    advice: &[
        "Grant what is missing if it is harmless, as with --env NAME=VALUE.",
        "Look for the caller in the module, and leave the feature out.",
    ],
};
