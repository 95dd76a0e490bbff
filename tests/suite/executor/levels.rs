//! What may be done twice, and why: because its caller says so, because it was done already, or because of what it is.

use sandtrap::{Loaded, Reuse};

use super::*;

#[test]
fn s42_what_was_done_under_a_key_is_not_done_again_and_its_report_says_so() {
    let (wall, told) = (Acted::new(), Told::default());
    wall.flaky_for(1);
    let executor = executor(&wall, telling(&told, ExecutorSettings { retry: quick(), ..bare() }));
    let once = |does: &str| Order { idempotent: false, ..task(does) }.once("order-12");
    let first = executor.run(once("flaky"));
    assert_eq!((label(&first), first.attempts), ("completed", 2), "a key says that it may be");
    let began = wall.began().len();
    let again = once("flaky");
    let name = again.task.id.clone();
    let report = executor.run(again);
    assert_eq!((label(&report), report.attempts, &report.task.id), ("completed", 0, &name));
    assert_eq!(report.history, first.history, "how it was done stands there");
    assert_eq!((wall.began().len(), told.names("task.answered").len()), (began, 1));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(runtime.block_on(executor.submit(once("flaky"))).attempts, 0);
    // Another key is another matter, and so is what did not complete.
    assert_eq!(executor.run(task("ok").once("order-13")).attempts, 1);
    for _ in 0..2 {
        assert_eq!(label(&executor.run(task("error").once("order-14"))), "failed.exit");
    }
    assert_eq!(wall.began().len(), began + 3);
}

/// A module that traps or never ends, and imports nothing or something.
fn ends_badly(imports: &str) -> Loaded {
    let module = format!(
        r#"(module {imports} (func (export "traps") unreachable) (func (export "spins") (loop (br 0))))"#
    );
    let limits = sandtrap::Limits { wall: Duration::from_millis(20), ..Default::default() };
    let program = Program::module("ends_badly", module.as_bytes()).limits(limits);
    Runtime::new().unwrap().load(program).unwrap()
}

#[test]
fn s42_a_module_that_imports_nothing_may_be_done_twice_by_what_it_is() {
    let exit = r#"(import "wasi_snapshot_preview1" "proc_exit" (func (param i32))) (memory (export "memory") 1)"#;
    let unmarked = quick().map(|retry| RetrySettings { marks: false, ..retry });
    let kept = sandtrap::PoolSettings {
        keep: Some(Reuse::default()),
        ..sandtrap::PoolSettings::with_workers(1)
    };
    let (late, died) = ("stopped.wall-time", "crashed.abort");
    for (function, imports, settings, expected) in [
        ("spins", "", ExecutorSettings { retry: quick(), ..bare() }, (late, 3)),
        ("spins", exit, ExecutorSettings { retry: quick(), ..bare() }, (late, 1)),
        ("spins", "", ExecutorSettings { retry: unmarked, ..bare() }, (late, 1)),
        // A guest that goes on has a state, which is an effect.
        ("spins", "", ExecutorSettings { retry: quick(), pool: kept, ..bare() }, (late, 1)),
        // It would die of that again.
        ("traps", "", ExecutorSettings { retry: quick(), ..bare() }, (died, 1)),
    ] {
        let call = Task::call(function, Vec::<sandtrap::Value>::new());
        let report = ends_badly(imports).executor(settings).run(Order::new(call));
        assert_eq!((label(&report), report.attempts), expected, "{function} {imports}");
    }
}
