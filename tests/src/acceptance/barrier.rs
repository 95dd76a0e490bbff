//! `s`: a barrier against crashes around many workers: supervision, breakers, retries, health.

use super::Row;

pub(super) const ROWS: [Row; 70] = [
    Row::new("s1", "isolation, recovery, transparency, visibility"),
    Row::new("s2", "crashes of devices and their libraries")
        .differs("by signs that the user names, and by the guest's own words"),
    Row::new("s3", "a tree of supervisors")
        .differs("workers depend on nobody, so nothing else has to be restarted with them; whoever has guests that share something says that the rest, or all, go with one that died"),
    Row::new("s4", "states of a worker"),
    Row::new("s5", "what is known of a worker"),
    Row::new("s6", "workers that belong to a device")
        .differs("by names of the user's, with an environment for each; what takes no device goes to the least loaded"),
    Row::new("s7", "a start that blocks nobody")
        .differs("and starts that fail are counted by themselves"),
    Row::new("s8", "an exit is judged and counted, once"),
    Row::new("s9", "whoever waits for a dead worker's task is told first"),
    Row::new("s10", "health hears of every crash"),
    Row::new("s11", "restarts with growing delays").differs("the first one is at once"),
    Row::new("s12", "too many crashes end it")
        .differs("restarts become rare instead, and health says so"),
    Row::new("s13", "a worker talks over its own streams")
        .differs("over a channel beside them: what a task prints is no message"),
    Row::new("s14", "exit codes above 128 are signals")
        .differs("they are exit codes; a signal is a signal"),
    Row::new("s15", "a breaker is closed, open or half open").differs("or set by hand"),
    Row::new("s16", "it opens after five failures")
        .differs("in a row, or at a rate within a window"),
    Row::new("s17", "it closes after three successes"),
    Row::new("s18", "it is open for thirty seconds")
        .differs("longer each time, and late failures don't hold it open"),
    Row::new("s19", "three probes while half open")
        .differs("no more than three, each with a lease"),
    Row::new("s20", "a success takes back a failure").differs("only if that is asked for"),
    Row::new("s21", "a breaker for each device").differs("and for any key of the callers' own, in a table that is bounded"),
    Row::new("s22", "ask first, tell afterwards").differs("by a permit that can't be forgotten"),
    Row::new("s23", "an event when it opens").differs("one for every transition, with its reason"),
    Row::new("s24", "a record of each crash").differs("with task, attempt, phase, evidence and the end of stderr"),
    Row::new("s25", "figures of each worker"),
    Row::new("s26", "figures of each device"),
    Row::new("s27", "a device is healthy, degraded or unhealthy")
        .differs("within a window, so it recovers"),
    Row::new("s28", "the health of the whole"),
    Row::new("s29", "health can be asked for at any time"),
    Row::new("s30", "the history of crashes can be searched"),
    Row::new("s31", "a thousand records for an hour"),
    Row::new("s32", "an alert at many crashes").differs("one for a storm, and an all-clear"),
    Row::new("s33", "an alert at memory faults").differs("and at five other patterns, each with the place, input, worker, program or device it is about"),
    Row::new("s34", "the device of a worker is known"),
    Row::new("s35", "healthy workers are counted"),
    Row::new("s36", "three attempts").differs("all three are in the last report"),
    Row::new("s37", "delays that grow exponentially, linearly, or not"),
    Row::new("s38", "from a tenth of a second to five"),
    Row::new("s39", "with some chance").differs("over the whole delay, at its cap, too"),
    Row::new("s40", "crashes and timeouts are tried again")
        .differs("what ran out of memory with twice as much, once"),
    Row::new("s41", "failures have classes")
        .differs("by their label, each of which has one weight"),
    Row::new("s42", "only what may be done twice is").differs("or what never began"),
    Row::new("s43", "the breaker is asked before and told afterwards").differs("for each attempt"),
    Row::new("s44", "thirty seconds for a task")
        .differs("one deadline for queue, attempts and delays"),
    Row::new("s45", "a worker is lent and given back").differs("never one whose task was stopped"),
    Row::new("s46", "no worker is there")
        .differs("refusals have reasons and times, and blame no device"),
    Row::new("s47", "it can be left out"),
    Row::new("s48", "the names of its settings for workers").differs("each of them does something"),
    Row::new("s49", "those for breakers"),
    Row::new("s50", "those for retries").differs("and a budget for them"),
    Row::new("s51", "those for health")
        .differs("but no interval: nothing is asked every now and then"),
    Row::new("s52", "a count of crashes"),
    Row::new("s53", "a count of openings"),
    Row::new("s54", "a count of closings"),
    Row::new("s55", "a count of retries"),
    Row::new("s56", "a count of alerts").differs("and one of their ends"),
    Row::new("s57", "after a crash the next task works"),
    Row::new("s58", "a flaky task succeeds when it is tried again"),
    Row::new("s59", "a breaker opens after five crashes").differs("compared with a model"),
    Row::new("s60", "first stage: processes, causes, restarts"),
    Row::new("s61", "second stage: breakers and their events"),
    Row::new("s62", "third stage: health and its questions"),
    Row::new("s63", "fourth stage: retries, all of it together, and documents"),
    Row::new("s64", "functions that may be called twice are marked as such")
        .differs("at the function itself, in the guest"),
    Row::new("s65", "the health of a function can be asked for")
        .differs("by its kind, in the host"),
    Row::new("s66", "crashes are told in errors")
        .differs("with words that say what to do next, for every end"),
    Row::new("s67", "crashes, openings and alerts are logged")
        .differs("through `tracing`, never printed"),
    Row::new("s68", "one crash costs one request"),
    Row::new("s69", "what killed is kept away for a while")
        .differs("a poisonous input, not the worker"),
    Row::new("s70", "workers are recycled, and end in good order"),
];
