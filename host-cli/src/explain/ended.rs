//! Guests that ended by themselves, in order.

use super::Page;

pub(super) const COMPLETED: Page = Page {
    summary: "It ended well.",
    meaning: "The guest ran to its end within all its limits, and said that it succeeded. Whether its \
              output is right is not judged.",
    native: "It exited with code 0.",
    wasm: "Its start function or the called export returned, or it called proc_exit(0).",
    causes: &["A guest that does its work."],
    advice: &[
        "Nothing. The report (--report FILE or --json) shows what the guest used, which helps to \
               set its limits more tightly.",
    ],
};

pub(super) const ERROR: Page = Page {
    summary: "The task returned an error.",
    meaning: "The guest ended in order and reported over its channel that it failed, with a message and \
              the chain of causes. It found the trouble itself; nothing broke.",
    native: "An error frame on the channel.",
    wasm: "An error frame on the channel.",
    causes: &[
        "Input that the guest does not accept.",
        "Something the guest needs was not granted: an environment variable, for one.",
    ],
    advice: &[
        "Read the message and the causes in the diagnosis; they are the guest's own words.",
        "Grant what is missing, as with --env NAME=VALUE or --stdin FILE.",
    ],
};

pub(super) const PANIC: Page = Page {
    summary: "It panicked, or nobody caught its exception.",
    meaning: "The guest found a state that its author held to be impossible and gave up: a failed \
              assertion, an index out of range, an unwrap of nothing. The message, and the place where \
              they are known, are the guest's own testimony.",
    native: "A panic frame on the channel, then exit code 101 or an abort. Without the guest's \
             testimony a panic is failed.exit or crashed.abort: text on stderr never decides.",
    wasm: "A panic frame on the channel, then the trap `unreachable`; or an exception that left the \
           outermost function.",
    causes: &[
        "A mistake in the guest, or input its author did not think of.",
        "An assertion that guards against exactly this.",
    ],
    advice: &[
        "Go to the place that the diagnosis names in its `where` line.",
        "Build the guest with debug information to get file and line.",
        "Look at the last lines of its stderr for what it was doing.",
    ],
};

pub(super) const EXIT: Page = Page {
    summary: "It exited with a code other than 0.",
    meaning: "The guest ended itself in order and says that it did not succeed. The code is its own, and \
              sandtrap exits with the same one. A code above 128 chosen by the guest is no signal: \
              exit(139) is this verdict, not a crash.",
    native: "The process exited with that code.",
    wasm: "It called proc_exit with that code. A module has more than eight bits for it; the lowest \
           eight are passed on, and 1 where they are 0. A component says a code only where it calls \
           `exit-with-code` of WASI 0.2.12; otherwise it says that it failed, which is 1.",
    causes: &[
        "Programs that use their exit code as an answer: grep, test, diff.",
        "Wrong arguments, or input that could not be read.",
        "A Rust program without the sandtrap SDK whose main thread panicked exits with 101.",
    ],
    advice: &[
        "Look at what it wrote to stderr, and at its documentation for the code.",
        "Where the code is an answer, --quiet keeps sandtrap from commenting on it.",
    ],
};
