//! `i`: a block run in a forked process, with callbacks for its ends.

use super::Row;

pub(super) const ROWS: [Row; 25] = [
    Row::new("i1", "a call that blocks until the end")
        .differs("and one that is awaited, in any async runtime"),
    Row::new("i2", "errors come back to the caller")
        .differs("however long they are: both sides are read while the guest runs"),
    Row::new("i3", "callbacks for the ends").differs("beside a match over the verdict"),
    Row::new("i4", "stderr into a file").differs("emptied or appended to; and stdout likewise"),
    Row::new("i5", "stderr to nobody, if nothing else was said")
        .differs("its last 64 KiB are in the report in any case"),
    Row::new("i6", "stderr where the caller's goes"),
    Row::new("i7", "a callback for success"),
    Row::new("i8", "a callback for crashes")
        .differs("for all of them: the original heard of SIGABRT only"),
    Row::new("i9", "a callback for kills").differs("and who killed is told"),
    Row::new("i10", "a callback for exits, with the code"),
    Row::new("i11", "a callback for every end")
        .differs("always, once, and last; errors and what never started included"),
    Row::new("i12", "a time limit")
        .differs("for the whole tree of processes, with a verdict of its own"),
    Row::new("i13", "the block's result comes back"),
    Row::new("i14", "a callback for each line of stderr")
        .differs("and of stdout; long lines are cut, and the last one needs no end"),
    Row::new("i15", "errors survive whatever a library does to the error types")
        .differs("on the wire there are texts and bytes, and no code of anybody's"),
    Row::new("i16", "what is left of a broken process is cleaned up")
        .differs("with the report in hand, everything is gone already"),
    Row::new("i17", "systems where it can't work are named")
        .differs("what a host lacks is found by looking, and listed with its reason"),
    Row::new("i18", "tests with a real crash")
        .differs("shipped, for every user: `sandtrap selftest`"),
    Row::new("i19", "exit codes of its own, to tell what happened")
        .differs("none: all 256 are the task's own"),
    Row::new("i20", "an exit with 0 is a success and an exit")
        .differs("a success for a command; for a function that gave no result it is none"),
    Row::new("i21", "the raw status of the process")
        .differs("evidence: signal, sender, code, usage, guards"),
    Row::new("i22", "one within the other").differs(
        "refused by name: a cage can't be built within a cage, and a lesser one would not be said",
    ),
    Row::new("i23", "an error that can't be written is sent as its words")
        .differs("words are cut to what fits, and never lost"),
    Row::new("i24", "errors of every kind are sent")
        .differs("panics with any payload, with their place"),
    Row::new("i25", "a process that is gone already is no trouble").differs(
        "only processes of ours are waited for, and no number is used after its process was reaped",
    ),
];
