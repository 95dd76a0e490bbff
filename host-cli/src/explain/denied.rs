//! Guests that did what their permissions forbid.

use super::Page;

pub(super) const SYSCALL: Page = Page {
    summary: "It made a system call that is forbidden to it.",
    meaning: "The guest asked the kernel for something its permissions rule out, and the policy says that \
              this is fatal. The call had no effect.",
    native: "The system-call filter killed it before the call began, and no handler of the guest could \
             turn that aside. Where the guest is traced, the call, its arguments and the profile that \
             would allow it were read. A second exec is seen by the tracer alone: the new program is \
             killed before its first instruction, and what it was given is gone.",
    wasm: "Not seen: modules make no system calls.",
    causes: &[
        "A shell, a build tool or a test runner that starts programs: the profile `process` allows it.",
        "An engine that compiles while it runs (node, java, luajit): the profile `jit` allows it.",
        "A client or a server without a network: `--net host` allows it.",
        "A guest that wants more than it should: debugging others, loading kernel modules, mounting.",
    ],
    advice: &[
        "Take the profile that the diagnosis names, if it names one and the guest is meant to do that.",
        "Find out with `strace -f` which part of the guest makes the call, and leave that out.",
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
