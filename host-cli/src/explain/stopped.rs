//! Guests that the host ended, at a limit or on request.

use super::Page;

pub(super) const WALL_TIME: Page = Page {
    summary: "Its time by the clock was up.",
    meaning: "The guest was still running when --wall had passed, and sandtrap ended it. The time counts \
              from the start of the attempt to its end, sleeping and waiting included.",
    native: "Our kill, with the reason written down before it.",
    wasm: "Our interrupt, with the reason written down before it.",
    causes: &[
        "It waits for something that never comes: input, a lock, a child.",
        "A loop without an end.",
        "More work than the limit was made for, or a busy host.",
        "A guest that is kept said nothing for longer than `keep_silence` allows (`stopped_by_us: silence`).",
    ],
    advice: &[
        "Compare cpu and wall in `usage`: little cpu means waiting, much means working.",
        "Raise it if the work is legitimate: --wall 2m.",
        "Give a guest that waits for input some: --stdin FILE.",
    ],
};

pub(super) const CPU_TIME: Page = Page {
    summary: "Its processor time was used up.",
    meaning: "All threads of the guest together computed longer than --cpu allows. Waiting does not \
              count, and two threads use it up twice as fast.",
    native: "Our kill, or SIGXCPU from the kernel.",
    wasm: "Our interrupt, with the reason written down before it.",
    causes: &[
        "A loop without an end.",
        "Input that makes an algorithm explode: a regular expression, a hash table.",
        "More threads than were thought of when the limit was set.",
    ],
    advice: &[
        "Raise it if the work is legitimate: --cpu 2m, and --wall with it.",
        "Run it with a smaller input and see how its time grows.",
    ],
};

pub(super) const FUEL: Page = Page {
    summary: "Its fuel was used up.",
    meaning: "The module ran as many instructions as --fuel allows. Unlike time, fuel runs out at the \
              same point on every host and in every run with the same input.",
    native: "Not seen: fuel is counted in modules only.",
    wasm: "The engine's own count of instructions reached the limit.",
    causes: &["A loop without an end.", "More work than the limit was made for."],
    advice: &[
        "Raise it: --fuel 1000000000.",
        "Leave --fuel out where only time matters: not counting is faster.",
    ],
};

pub(super) const OUTPUT: Page = Page {
    summary: "It wrote more than it may.",
    meaning: "Stdout and stderr together passed --output, and sandtrap ended the guest. What was written \
              up to the limit was passed on; the verdict stands whatever the guest did after it.",
    native: "The bytes that arrived were counted, then our kill.",
    wasm: "The bytes that were written were counted, then our interrupt.",
    causes: &[
        "A loop that prints.",
        "Tracing or debug output that was left on.",
        "A result that is legitimately large.",
    ],
    advice: &[
        "Raise it: --output 256MiB.",
        "Look at the last lines of the output for what it repeats.",
    ],
};

pub(super) const RESULT: Page = Page {
    summary: "It sent back more than it may.",
    meaning: "What the guest sent over its own channel to the host passed --result. Nothing that long is \
              ever held in the host's memory: it is counted before it is kept.",
    native: "The bytes on the channel were counted, then our kill.",
    wasm: "The bytes on the channel were counted, then our interrupt.",
    causes: &[
        "A result that grows with the input.",
        "An error message or a chain of causes that holds the whole input.",
    ],
    advice: &["Raise it: --result 256MiB.", "Send a summary, and write the rest to stdout."],
};

pub(super) const PROCESSES: Page = Page {
    summary: "It started more processes or threads than it may.",
    meaning: "The guest and its children together passed --processes, or all their threads --threads. The \
              default is 1 process, the guest alone, with 256 threads. The diagnosis says which of the two it was.",
    native: "The processes and threads of the task were counted, then our kill of all of them.",
    wasm: "Not seen: modules can't start processes or threads.",
    causes: &[
        "Shell scripts and build tools: each command is a process.",
        "A fork bomb, or a thread for each piece of work.",
        "Children that are never waited for.",
    ],
    advice: &[
        "Raise it if the children are legitimate: --processes 16, --threads 1024.",
        "Run the one program that matters instead of the script around it.",
    ],
};

pub(super) const FILES: Page = Page {
    summary: "It wrote more into files than it may.",
    meaning: "One file grew beyond --file-bytes; or its own /tmp held more than --scratch, or more files than \
              --scratch-files. The write that would have passed the limit was refused; what was written before it \
              into a granted directory is there.",
    native: "SIGXFSZ from the kernel. A guest that ignores this signal gets an error from its write \
             instead, and may go on. A full /tmp is an error for it, too (no space left on device), and is seen \
             when the host looks: ten times a second, and at the end.",
    wasm: "A write, or a change of size, that would have passed the limit; nothing of that one was written.",
    causes: &["A log or a temporary file in a loop.", "A result that is legitimately large."],
    advice: &[
        "Raise it: --file-bytes 1GiB, or --scratch 1GiB --scratch-files 100000.",
        "Split what is written into several files.",
    ],
};

pub(super) const STDIN: Page = Page {
    summary: "It read more of its input than it may.",
    meaning: "The guest took more of its stdin than --stdin-bytes allows, and sandtrap ended it. An input that is \
              longer is no breach by itself: what counts is what the guest reads. Unless the limit is said, \
              nothing is counted.",
    native: "Its stdin is a pipe then, which sandtrap fills. The byte after the last one that it may have was taken \
             out of that, then our kill.",
    wasm: "A read that would have given more; nothing of that one was given.",
    causes: &[
        "An input without an end: /dev/zero, a pipe whose writer never stops.",
        "An input that is legitimately large.",
        "A program that reads all of its input before it looks at it.",
    ],
    advice: &["Raise it: --stdin-bytes 1GiB.", "Give it the part of the input that it needs."],
};

pub(super) const CANCELLED: Page = Page {
    summary: "Somebody asked for its end.",
    meaning: "Ctrl-C (SIGINT) was pressed, a program that uses the library stopped the task, or nobody \
              read the output any more. It says nothing about the guest.",
    native: "Our kill, with the reason written down before it.",
    wasm: "Our interrupt, with the reason written down before it.",
    causes: &[
        "Ctrl-C at the terminal.",
        "A reader that had enough: `sandtrap run … | head -1`. This one ends without a diagnosis.",
    ],
    advice: &[
        "Run it again.",
        "Give it time to put things in order: --grace 5s. A function's guest is told by its channel, a process that is run by \
         SIGTERM; what it says or exits with in that time stands in the report.",
        "A second Ctrl-C ends sandtrap at once, without a report; or takes the time of grace away, if there is one.",
    ],
};

pub(super) const SHUTDOWN: Page = Page {
    summary: "The host was shutting down.",
    meaning: "Sandtrap, or the program that uses the library, was told to end, and ended its guests \
              first. It says nothing about the guest.",
    native: "Our kill, with the reason written down before it.",
    wasm: "Our interrupt, with the reason written down before it.",
    causes: &[
        "SIGTERM from a supervisor: systemd, a container runtime, a CI job's time limit.",
        "SIGHUP from a terminal that was closed.",
    ],
    advice: &[
        "Run it again, once the host is back.",
        "Give it time to put things in order: --grace 5s.",
        "Under nohup a closed terminal is ignored, as it should be.",
    ],
};
