//! Does a task cost more when its host is large? A bare spawn through a fork would cost a thousand times as much.

use sandtrap::{Program, Runtime, Task, Wall};
use sandtrap_benches::notebook::not_measured;
use sandtrap_benches::{Case, in_turns, tell_ratio};

use crate::floors::{NO_VICTIM, spawn, victim};

const HEAP: usize = 1 << 30;

/// How often the heap comes and goes: what is compared should share the machine's moods.
const TIMES: usize = 3;

pub(crate) fn ask() {
    let Some(victim) = victim() else {
        return not_measured("spawn_from_big_host", NO_VICTIM);
    };
    let runtime = Runtime::new().expect("a runtime");
    let loaded = runtime.load(Program::file(&victim).within(Wall::Native)).expect("it is built");
    let task = Task::command(["completes"]);
    let caged = || assert!(loaded.run(&task).verdict.is_completed());
    let mut figures = Vec::new();
    for _ in 0..TIMES {
        let [empty] = in_turns("spawn_from_big_host", [Case::new("empty", caged)]);
        let mut heap = vec![0_u8; HEAP];
        heap.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
        let [large, bare] = in_turns(
            "spawn_from_big_host",
            [
                Case::new("1GiB", caged),
                Case::new("1GiB-bare-spawn", || assert!(spawn(&victim, "completes"))),
            ],
        );
        drop(std::hint::black_box(heap));
        figures.push((empty, large, bare));
    }
    // The best pair: a busy moment falls on one side of a pair only, as they can't run in turns.
    let best = figures
        .iter()
        .min_by(|one, other| one.1.ratio_to(&one.0).total_cmp(&other.1.ratio_to(&other.0)));
    if let Some((empty, large, _)) = best {
        tell_ratio("spawn_from_big_host", large, empty, 1.05);
    }
}
