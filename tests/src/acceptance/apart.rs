//! `b`: one function run apart from its program.

use super::Row;

pub(super) const ROWS: [Row; 25] = [
    Row::new("b1", "one function is isolated where it is written, and no pool is needed")
        .differs("an attribute for Rust functions; programs and modules are loaded and run"),
    Row::new("b2", "it runs in a process of its own")
        .differs("or in an instance of its own: which wall it is, is a value and no other way to call"),
    Row::new("b3", "every signal becomes a value in the caller, which lives on"),
    Row::new("b4", "exit codes and signals are told apart")
        .differs("two verdicts with a number each, and no negative numbers: 137 is no kill"),
    Row::new("b5", "an error of the function reaches its caller as what it is")
        .differs("as a value of its type where the caller knows that, and as words with all causes where it doesn't; nothing is loaded to read it"),
    Row::new("b6", "a start that takes over nothing of the caller's process"),
    Row::new("b7", "a start that copies a process that is warm already")
        .differs("the copy is of the guest, warmed up in its cage, and never of the caller: what the caller holds costs nothing"),
    Row::new("b8", "results of any size").differs("no file with a name, unless one is asked for: nothing is left, whoever dies"),
    Row::new("b9", "small results come without a detour"),
    Row::new("b10", "which way is right for which size")
        .differs("nobody has to choose: one call takes every size"),
    Row::new("b11", "a bound on results")
        .differs("a limit with a default and a verdict of its own, kept while the result comes in"),
    Row::new("b12", "a function that runs out of memory doesn't take its caller along")
        .differs("and it is told as that, with the cap and who refused; a kill by somebody else is another verdict"),
    Row::new("b13", "what the function prints can be seen"),
    Row::new("b14", "it is there in one line")
        .differs("for shells, too: `sandtrap run ./program`"),
    Row::new("b15", "the examples of the README work as they are printed"),
    Row::new("b16", "a free licence").differs("two, at the user's choice: MIT or Apache-2.0"),
    Row::new("b17", "a failure says what was called")
        .differs("with the task's id, its function, its process, and a digest of its input, which isn't kept alive itself"),
    Row::new("b18", "an exit with 0 and without a result is no success"),
    Row::new("b19", "where the function failed is there to be read")
        .differs("in the error; the library prints nothing by itself"),
    Row::new("b20", "many kinds of tasks")
        .differs("a function and values of serde, any program, or any module; no closures, whose code can't be named"),
    Row::new("b21", "an argument that can't be written fails before anything starts"),
    Row::new("b22", "a setting that is none is refused")
        .differs("where it was written, while the program is compiled"),
    Row::new("b23", "a death is noticed soon")
        .differs("at once: the kernel tells it, and nobody looks every now and then"),
    Row::new("b24", "nothing is left behind").differs("not even by a caller that is killed"),
    Row::new("b25", "a result that came before a bad end")
        .differs("doesn't count, but is in the report: a function that crashes after its result has crashed"),
];
