//! What does a fresh process in a full cage cost beside a bare spawn of the same static program, and beside
//! bubblewrap? What does it cost from a host with a large heap, cold, and after a crash?
#![expect(clippy::print_stdout, reason = "a bench shows its figures")]

use std::path::Path;
use std::process::{Command, Stdio};

use sandtrap::{GuardState, Program, Runtime, Task, Wall};
use sandtrap_benches::{Case, in_turns, tell_ratio};
use sandtrap_tests::guests;

const HEAP: usize = 1 << 30;

fn main() {
    let Some(victim) = guests::musl("victim") else {
        println!(
            "there is no static guest: add the target x86_64-unknown-linux-musl and build again"
        );
        return;
    };
    let runtime = Runtime::new().expect("a runtime");
    let program = Program::file(&victim).within(Wall::Native);
    let loaded = runtime.load(program.clone()).expect("the guest is built");
    let (completes, crashes) = (Task::command(["completes"]), Task::command(["null-read"]));
    let report = loaded.run(&completes);
    assert!(report.verdict.is_completed(), "{:?}", report.verdict);
    for guard in report.guards.iter().filter(|guard| guard.state != GuardState::InForce) {
        println!("not in force here: {} ({})", guard.name, guard.why.as_deref().unwrap_or("off"));
    }
    let caged = |task: &Task| loaded.run(task).verdict.is_completed();
    let [bare, fresh, crash, cold] = in_turns(
        "native_wall",
        [
            Case::new("bare-spawn", || spawn(&victim, "completes")),
            Case::new("caged", || assert!(caged(&completes))),
            Case::new("crash-to-next-success", || {
                assert!(!caged(&crashes));
                assert!(caged(&completes));
            }),
            Case::new("cold-cage", || {
                let cold = runtime.load(program.clone()).expect("the guest is built");
                assert!(cold.run(&completes).verdict.is_completed());
            }),
        ],
    );
    tell_ratio("fresh caged process", &fresh, &bare, 2.0);
    println!("crash to next success: {:.2} caged runs", crash.ratio_to(&fresh));
    println!("a cold cage: {:.2} ms at the median", (cold.median - fresh.median) * 1e3);
    beside_bubblewrap(&victim, &|| assert!(caged(&completes)));
    let mut heap = vec![0_u8; HEAP];
    heap.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
    let [large] =
        in_turns("with a heap of 1 GiB", [Case::new("caged", || assert!(caged(&completes)))]);
    tell_ratio("spawn from a large host", &large, &fresh, 1.05);
    drop(heap);
}

fn spawn(program: &Path, word: &str) {
    let mut command = Command::new(program);
    command.arg(word).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(command.status().expect("it starts").success());
}

fn beside_bubblewrap(victim: &Path, caged: &dyn Fn()) {
    let Some(victim) = victim.to_str() else { return };
    let words = ["--unshare-all", "--ro-bind", "/", "/", victim, "completes"];
    let run = || {
        let mut command = Command::new("bwrap");
        command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    if !run() {
        println!("bwrap is not here, or may not run: install bubblewrap to see it beside ours");
        return;
    }
    let [ours, theirs] =
        in_turns("beside bubblewrap", [Case::new("caged", caged), Case::new("bwrap", run)]);
    println!(
        "bwrap --unshare-all costs {:.1} times a caged process at the median, {:.1} at the least",
        theirs.median / ours.median,
        theirs.least / ours.least
    );
}
