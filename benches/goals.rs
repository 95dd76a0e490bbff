//! What was promised, row by row, and under which name the figure for it is told.

/// One promise.
#[derive(Clone, Copy, Debug)]
pub struct Goal {
    /// The name under which a bench tells its figure.
    pub question: &'static str,
    /// In words.
    pub words: &'static str,
    /// Why there is no figure, where no bench of this package measures it.
    pub otherwise: Option<&'static str>,
}

const fn goal(question: &'static str, words: &'static str) -> Goal {
    Goal { question, words, otherwise: None }
}

const fn elsewhere(question: &'static str, words: &'static str, why: &'static str) -> Goal {
    Goal { question, words, otherwise: Some(why) }
}

/// All of them, in the order of the table.
pub const GOALS: &[Goal] = &[
    goal(
        "fresh_task/wasm/lean",
        "a fresh instance for a task, beside the bare engine at its fastest",
    ),
    goal("fresh_task/wasm/on-demand", "the same beside the bare engine as it comes"),
    goal("warm_call/wasm", "a call of an instance that is kept, beside a bare typed call"),
    goal("crash_to_next/wasm", "a trap and the next success, beside the same with the bare engine"),
    goal("cold_start/wasm/26MB", "loading a kept module of 26 MB, beside mapping its code"),
    goal("deadline/wasm", "a verdict after its deadline, at the median"),
    goal("payload/wasm-warm/100MiB", "100 MiB from an instance that is kept, beside one copy"),
    goal("payload/wasm-fresh/100MiB", "100 MiB from a fresh instance, beside `to_vec`"),
    goal("density/wasm/live", "instances alive in one process"),
    goal("compile_bombs", "a compile bomb's verdict after its wall limit"),
    goal("compile_bombs/grown", "what a host grows by because of it"),
    goal(
        "fresh_task/native",
        "a fresh caged process for a task, beside a bare spawn of the same program",
    ),
    goal(
        "fresh_task/native/bwrap",
        "a task in a process that stood ready and does nothing else, all of it on one processor, so many times less than `bwrap --unshare-all`",
    ),
    goal(
        "fresh_task/native-fork",
        "a task in a fork of a warmed-up guest that stood ready, beside a bare fork and exit",
    ),
    goal(
        "warm_call/spare",
        "a call of a spare that was never used, beside a ping-pong over pipes, both without the quickest tenth",
    ),
    goal("cold_start/native", "building a cage and its first task, beside those that follow"),
    goal("fresh_task/native/classification", "what the verdict costs on the way of success"),
    goal(
        "spawn_from_big_host",
        "a task from a host that holds 1 GiB, beside one from an empty host",
    ),
    goal(
        "crash_to_next/native",
        "a fault and the next success, in processes that stood ready, beside the same by a bare process that starts programs",
    ),
    goal("density/native/keeper", "private memory of a program that waits for tasks"),
    goal("frames", "encoding and decoding a small frame"),
    elsewhere(
        "frames/allocations",
        "allocations for it",
        "none: `cargo nextest run -p sandtrap-protocol without_a_copy` counts them",
    ),
    goal(
        "warm_call/native/hot",
        "a call of a process that is kept, hot, beside a ping-pong in shared memory",
    ),
    goal("warm_call/native/parked", "the same, parked, beside a ping-pong over pipes"),
    goal("payload/native/1GiB/memcpy", "1 GiB made in place, in terms of the bandwidth of a copy"),
    goal("payload/native/1GiB/pipe", "the same, in terms of a pipe's"),
    goal("peers/procspawn/warm", "a warm call, so many times less than procspawn's pool"),
    goal(
        "peers/procspawn/fresh",
        "a call in a process that was never used and stands ready, so many times less than procspawn's fresh one",
    ),
    goal(
        "peers/procspawn/fresh/fork",
        "the same in a fork of a warm guest, made when it is asked for",
    ),
    goal(
        "peers/python/warm",
        "a warm call by a pool, so many times less than by the best of Python's",
    ),
    goal(
        "peers/procspawn/one-processor",
        "the same beside procspawn's, where caller and worker have one processor",
    ),
    goal("crash_to_next/spare", "a fault and the next success with a spare"),
    goal(
        "crash_to_next/spare/hot",
        "the same, where guests are kept, beside a call of that guest after the same pause",
    ),
    goal("queue/100", "cost of a task among 100, beside one among 1000"),
    goal("queue/10000", "cost of a task among 10 000, beside one among 1000"),
    goal("queue/1000000", "cost of a task among 1 000 000, beside one among 1000"),
    goal("queue/bytes", "bytes kept for a queued task, besides its input"),
    goal("throughput/wasm/2", "fresh instances on two processors, in terms of two bare threads"),
];
