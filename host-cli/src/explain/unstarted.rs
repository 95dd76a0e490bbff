//! Guests of which no code ran.

use super::Page;

pub(super) const NOT_FOUND: Page = Page {
    summary: "There is no such program.",
    meaning: "Nothing is at that path, and a bare name was not found in PATH either. No guest code ran.",
    native: "The executable could not be opened: no such file.",
    wasm: "The module could not be opened: no such file.",
    causes: &[
        "A typing mistake, or another current directory than was thought.",
        "A program that was not built yet.",
        "A script whose interpreter (its first line, after #!) does not exist.",
    ],
    advice: &[
        "Look with `ls -l PROGRAM`, or give the full path.",
        "A bare name is looked up here first, then in PATH: write ./name to mean this directory.",
    ],
};

pub(super) const NOT_EXECUTABLE: Page = Page {
    summary: "The file is there, but it can't be executed.",
    meaning: "The program was found and the system refuses to execute it. No guest code ran.",
    native: "The system answered `permission denied` or `exec format error`, or it is a directory.",
    wasm: "Not seen: what is no module is unstarted.invalid-module.",
    causes: &[
        "The permission to execute is missing.",
        "A file for another processor or another system.",
        "A script without a first line that names its interpreter.",
        "A file system that is mounted with noexec.",
    ],
    advice: &[
        "Set the permission: chmod +x PROGRAM.",
        "See what it is with `file PROGRAM`.",
        "A module under another name needs to be told: --in wasm.",
    ],
};

pub(super) const INVALID_MODULE: Page = Page {
    summary: "It is no valid module or component.",
    meaning: "The bytes are not WebAssembly, are damaged, use what this engine does not support, or are \
              too large in some way to be compiled safely. No guest code ran.",
    native: "Not seen: see unstarted.not-executable.",
    wasm: "The module or component did not parse, did not validate, or was refused before compiling; \
           or the export to be called is not there or takes other arguments; or it is a component \
           without `wasi:cli/run`, which is no command.",
    causes: &[
        "A file that was cut short, or is no module at all.",
        "A feature that is switched off or not supported yet.",
        "A text module (.wat) with a mistake; the message names the line.",
        "More functions, types, locals or nested blocks than any real program has.",
        "A compiled file (.cwasm) of somebody else, of another version, or changed since.",
    ],
    advice: &[
        "Check it with `wasm-tools validate FILE`.",
        "Build it for wasm32-wasip1 or wasm32-wasip2.",
        "Compile a .cwasm again from its module: sandtrap compile MODULE.",
        "An executable of this system needs --in native, or no --in at all.",
    ],
};

pub(super) const MISSING_IMPORT: Page = Page {
    summary: "The module or component imports what nobody offers.",
    meaning: "It needs a host function, memory, global or interface that this host does not have. No \
              guest code ran.",
    native: "Not seen: processes have no imports of this kind.",
    wasm: "An import found nothing of its name and type; the diagnosis names it.",
    causes: &[
        "A module for a browser or for another host (imports from `env`, `wbg`, `go`).",
        "An undefined function that the linker turned into an import.",
        "A newer WASI than this host offers (0.3), or a part of it (`wasi:http`).",
    ],
    advice: &[
        "List what it wants: wasm-tools print FILE | grep '(import'.",
        "Build it for wasm32-wasip1 or wasm32-wasip2.",
        "Link without --allow-undefined, so that the linker names what is missing.",
    ],
};

pub(super) const LIMIT_TOO_SMALL: Page = Page {
    summary: "It needs more than a limit allows before it starts.",
    meaning: "What the guest declares for its first moment does not fit into its limits, so it can never \
              run with them. No guest code ran.",
    native: "The program could not be set up within its limits.",
    wasm: "The memories or tables that the module declares are larger than --memory; or compiling it took more \
           time or memory than --compile-wall, --compile-cpu and --compile-memory allow.",
    causes: &[
        "A limit that was set for another guest.",
        "A module with a large initial memory, or with large static data.",
        "A module that is very large, or made to be hard to compile.",
    ],
    advice: &[
        "Raise the limit that the diagnosis names, as in --memory 512MiB or --compile-wall 2m.",
        "Build the module with a smaller initial memory or less static data.",
    ],
};

pub(super) const GUARD: Page = Page {
    summary: "A guard that was required is missing on this host.",
    meaning: "A guard that --guards required or --require-guard asks for could not be put up around the guest. \
              Rather than run with less, sandtrap ran nothing. No guest code ran.",
    native: "Putting up the guard failed; the diagnosis names it and the system's error.",
    wasm: "The engine on this host can't give the guard; or there is no confined process to compile a module of \
           others in (compile-confinement).",
    causes: &[
        "A container or a kernel that forbids namespaces, tracing, memory groups or filters.",
        "An old kernel.",
    ],
    advice: &[
        "Follow the advice in the first line of the diagnosis.",
        "Run with what there is, and see in the report what is missing: --guards best-effort.",
        "Do without this one only: --optional-guard, with its name.",
    ],
};

pub(super) const RESOURCES: Page = Page {
    summary: "The host has no room for another guest.",
    meaning: "The host itself is out of processes, descriptors, memory or address space. It is not the \
              guest's fault, and its limits are not to blame. No guest code ran.",
    native: "The system refused a process, a pipe or memory.",
    wasm: "The system or the engine refused memory for the module or its instance.",
    causes: &[
        "Too many guests at the same time.",
        "Limits of the account or the container: ulimit -u, ulimit -n, pids.max.",
    ],
    advice: &[
        "Try again in a moment, with fewer at the same time.",
        "Look at `ulimit -a`, and at the limits of the container.",
    ],
};

pub(super) const REJECTED: Page = Page {
    summary: "The request contradicts itself or the policy.",
    meaning: "What was asked for can't be done by any guest: two settings exclude each other, or one does \
              not fit the kind of program. No guest code ran.",
    native: "The request was refused before a process was made, as for fuel or an export of a process.",
    wasm: "The request was refused before the module was instantiated.",
    causes: &[
        "An entry that this kind of program does not have, or a function that this module does not have.",
        "Limits that exclude each other, or that no guest could live with.",
    ],
    advice: &[
        "Read the first line of the diagnosis: it names what does not fit.",
        "Look at what would hold: sandtrap run --show-policy.",
    ],
};
