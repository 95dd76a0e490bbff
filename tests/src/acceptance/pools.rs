//! `p`: a note on process pools that break and hang.

use super::Row;

pub(super) const ROWS: [Row; 10] = [
    Row::new("p1", "a worker that dies makes the pool useless")
        .differs("it costs the one task that killed it"),
    Row::new("p2", "a new pool has to be made").differs("the same one goes on"),
    Row::new("p3", "the whole batch begins anew").differs("every task has its own report"),
    Row::new("p4", "a task catches its errors itself, as a safety net")
        .differs("the net is there: nobody writes it"),
    Row::new("p5", "exits and interrupts are caught, too").differs("they are verdicts"),
    Row::new("p6", "the caller looks into a map for what happened").differs("into a typed verdict"),
    Row::new("p7", "a pool that hangs without doing anything")
        .differs("whatever is waited for is read meanwhile"),
    Row::new("p8", "a large result blocks its worker for ever"),
    Row::new("p9", "a large result goes into a file, and its name comes back")
        .differs("only for those who ask for that; no two share a name, and none is left behind unless it is kept"),
    Row::new("p10", "zombies").differs("no process is left, and none that its guest started"),
];
