//! Guests that broke.

use super::Page;

pub(super) const OUT_OF_MEMORY: Page = Page {
    summary: "It needed more memory than its cap.",
    meaning: "The guest asked for memory beyond --memory and did not survive the refusal. The host was \
              never short of memory. `probably` means that the refusal and the crash are facts, and \
              that one followed from the other is a conclusion.",
    native: "The kernel killed it within the task's memory group (not another process of the task: that one \
             is a note in the evidence), or because the whole host was out of memory; or an allocation was \
             refused and the guest then aborted or used the null pointer; or a program to be executed did \
             not fit; or the SDK saw an allocation fail.",
    wasm: "A growth of memories and tables beyond the cap was refused; whatever trap came next.",
    causes: &[
        "A collection that grows without bound, or a length taken from hostile input.",
        "Input that is larger than the cap was made for.",
        "A runtime that reserves much at its start (a JVM, a browser engine).",
    ],
    advice: &[
        "Compare `peak memory` in the diagnosis with the cap, and raise it: --memory 512MiB.",
        "If a larger cap is used up as well, look for the leak with a smaller input.",
    ],
};

pub(super) const STACK_OVERFLOW: Page = Page {
    summary: "It ran out of stack.",
    meaning: "The guest called too deeply, or kept too much in one frame. This was the first fault that \
              was seen, whatever signal it was turned into afterwards.",
    native: "The first hardware fault came while the stack pointer stood below a stack, with nothing between \
             them. Only a traced guest shows that; otherwise the verdict is an uncertain \
             crashed.memory-fault, which is also what a stack pointer is that was overwritten.",
    wasm: "The engine's call stack was exhausted, or the module's own stack ran below its memory.",
    causes: &[
        "Recursion without an end, or as deep as hostile input is nested.",
        "Large arrays in local variables.",
        "Debug builds: their frames are several times as large.",
    ],
    advice: &[
        "Look at `where` (of a process with --backtrace): a function that repeats (x 8192) is the recursion.",
        "Raise the stack if the depth is legitimate: --stack 8MiB.",
        "Limit the depth in the guest, or use a loop with a stack of its own.",
    ],
};

pub(super) const MEMORY_FAULT: Page = Page {
    summary: "It touched memory that is not its own.",
    meaning: "The guest read, wrote or executed where it may not. An address close to 0 is a null pointer \
              with an offset. `probably` means that only the signal's number was seen, and a stack \
              overflow can't be told apart from it.",
    native: "SIGSEGV or SIGBUS raised by the hardware, not by a call to kill or raise.",
    wasm: "An access outside linear memory, a table or an array, a misaligned atomic access, or the use \
           of a null reference. Nothing outside the module was reached.",
    causes: &[
        "Use after free, a null or dangling pointer, an index out of range.",
        "A file that was cut short while it was mapped (SIGBUS).",
        "An allocation that failed and was not checked.",
    ],
    advice: &[
        "Run the same input with the guest built with -fsanitize=address.",
        "Build with debug information, so that `where` (of a process with --backtrace) names file and line.",
        "Look for unsafe code and foreign functions if the guest is written in a safe language.",
    ],
};

pub(super) const BAD_CALL: Page = Page {
    summary: "It called through a broken function pointer.",
    meaning: "The guest jumped to where no function of the right kind is. Memory was most likely damaged \
              before: this is the sort of fault that attackers look for.",
    native: "A hardware fault whose address is the instruction pointer itself; or at a call, a jump or a return \
             to an address that this processor has none of.",
    wasm: "A call through an empty table element, or through one of another signature.",
    causes: &[
        "A function pointer that was never set, or was overwritten.",
        "An object used after it was freed, and with it its table of methods.",
        "A function declared with other parameters than it is defined with.",
    ],
    advice: &[
        "Look at the caller in `where`: it holds the pointer.",
        "Run with -fsanitize=address or -fsanitize=cfi to find the earlier damage.",
        "For modules built from C, heed the linker's warnings of signature mismatches.",
    ],
};

pub(super) const ARITHMETIC: Page = Page {
    summary: "It divided by zero, or a result did not fit.",
    meaning: "An instruction had no result to give. Languages that check divisions themselves panic or \
              abort instead, so this comes mostly from C, C++ and generated code.",
    native: "SIGFPE raised by the hardware. In spite of its name it is about integers.",
    wasm: "A division by zero, an integer overflow in a division, or the conversion of a float that is \
           no integer.",
    causes: &[
        "A divisor from input that nobody checked.",
        "The smallest integer divided by -1.",
        "NaN or a huge float converted to an integer.",
    ],
    advice: &[
        "Check the divisor, or use checked division.",
        "In C and C++, -fsanitize=integer-divide-by-zero,float-cast-overflow names the line.",
        "Use saturating conversions where floats come from outside.",
    ],
};

pub(super) const ABORT: Page = Page {
    summary: "It found itself broken and ended itself.",
    meaning: "The guest stopped on purpose: abort(), a failed assertion in C, a double free found by the \
              allocator, or an instruction that compilers put where nothing may go on. No memory had \
              been refused to it, and it said nothing of a panic over its channel.",
    native: "SIGABRT that it raised itself, or a trap instruction of its compiler or C library (ud2, brk, int3, \
             hlt).",
    wasm: "The trap `unreachable` with nothing refused.",
    causes: &[
        "assert() or abort() in C, std::terminate in C++.",
        "A Rust panic with panic=abort in a guest built without the sandtrap SDK.",
        "The C library's own checks: `double free or corruption`, `stack smashing detected`.",
    ],
    advice: &[
        "Read the last lines of its stderr: what aborts usually says why first.",
        "Look at `where` for the function that gave up.",
        "Link the SDK into Rust guests, so that a panic comes with its message and place.",
    ],
};

pub(super) const ILLEGAL_INSTRUCTION: Page = Page {
    summary: "It ran into bytes that are no instruction.",
    meaning: "The processor or the engine could not decode what came next. This is not one of the trap \
              instructions that compilers use on purpose: those are crashed.abort.",
    native: "SIGILL raised by the hardware at anything but a compiler's trap, or an instruction that only the \
             kernel may use. `probably` means that the bytes could not be read.",
    wasm: "An opcode that is switched off.",
    causes: &[
        "A program built for a newer processor (-march=native, AVX-512).",
        "A jump into data after memory was damaged.",
        "A truncated or damaged executable.",
    ],
    advice: &[
        "Build for the oldest processor that must run it, as in -march=x86-64-v2.",
        "Compare the file's checksum with the original's.",
        "If neither helps, look for damaged memory with -fsanitize=address.",
    ],
};

pub(super) const KILLED: Page = Page {
    summary: "A signal killed it that sandtrap did not send.",
    meaning: "The guest died of a signal, but of no fault of its own instructions and not by sandtrap's \
              hand. The diagnosis says who sent it, as far as that can be told. A guest that calls \
              raise(SIGSEGV) ends here: a signal it sends itself is no memory fault.",
    native: "Any signal from the guest itself, from another process, or from somebody unseen.",
    wasm: "Not seen: modules have no signals.",
    causes: &[
        "An operator or a supervisor: kill, systemctl stop, a container that is torn down.",
        "The kernel's killer when the whole host is out of memory (SIGKILL, sender unseen).",
        "The guest itself, through raise() or kill().",
    ],
    advice: &[
        "Look for the sender in the `evidence` line.",
        "With SIGKILL from nowhere, search the kernel's log for `Out of memory`.",
        "Lower --memory, so that the guest's own cap holds before the host is short.",
    ],
};

pub(super) const PROTOCOL: Page = Page {
    summary: "It broke the rules of its channel.",
    meaning: "What the guest sent over its channel to the host was cut off, too long, out of turn, \
              repeated or undecodable. Everything from a guest is taken for hostile until it is \
              decoded; what came after the breach was not looked at. A call whose guest ended in order and never \
              answered is a breach, too.",
    native: "A broken frame on the channel's descriptor; or a program that was called ended with code 0 and no answer. \
             Whether it has functions nobody knows before it runs, so one that has none ends here, and not as \
             unstarted.rejected: its code did run.",
    wasm: "A broken frame through the channel's host functions; or an end without an answer. A function that a module \
           doesn't have is known before anything runs: unstarted.rejected.",
    causes: &[
        "A program without functions was called: the message says that it never said hello.",
        "A guest built with an SDK of another version than the host.",
        "Something in the guest writes into the channel's descriptor by mistake.",
        "A guest that tries to forge a result.",
    ],
    advice: &[
        "Read which rule was broken in the first line of the diagnosis.",
        "If it never said hello: run it with `sandtrap run`, or serve its functions with sandtrap-guest.",
        "Build the guest again with the sandtrap-guest that belongs to this sandtrap.",
        "Look for code that writes to or closes descriptors it did not open.",
    ],
};

pub(super) const UNKNOWN: Page = Page {
    summary: "It broke in a way that has no name yet.",
    meaning: "The raw fact is kept in the message and nothing more is claimed. This is not a guess with \
              another label: the evidence fits none of the known causes.",
    native: "The guest is gone, and nobody saw how it ended.",
    wasm: "A trap that none of the other labels stands for, by the engine's own name.",
    causes: &[
        "A failed cast between reference types, or a trap of a newer proposal.",
        "A process that was reaped by somebody else.",
    ],
    advice: &[
        "Read the raw fact in the first line of the diagnosis.",
        "Keep the report (--report FILE) and add it to a bug report about sandtrap.",
    ],
};
