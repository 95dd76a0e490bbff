//! The library as its users meet it: threads, async programs, stops, calls, other children.

use std::time::Duration;

use sandtrap::{
    Deaf, Event, Limits, Program, Runtime, StopHandle, StopReason, Task, Value, Verdict, Wall,
};
use sandtrap_tests::guests;

const WALLS: [Wall; 2] = [Wall::Native, Wall::Wasm];

const ADDER: &str = r#"(module
  (func (export "add") (param i32 i32) (result i32)
    (i32.add (local.get 0) (local.get 1)))
  (func (export "half") (param f64) (result f64)
    (f64.div (local.get 0) (f64.const 2)))
  (func (export "_start")))"#;

fn program(wall: Wall, guest: &str) -> Program {
    let path = match wall {
        Wall::Native => guests::native(guest),
        Wall::Wasm => guests::wasm(guest),
    };
    Program::file(path).within(wall)
}

fn task() -> Task {
    Task::command(Vec::<String>::new())
}

fn runtime() -> Runtime {
    Runtime::new().unwrap()
}

#[test]
fn many_threads_run_tasks_of_one_program_at_once() {
    let runtime = runtime();
    for wall in WALLS {
        let (good, bad) = (program(wall, "hello"), program(wall, "wild_read"));
        let (good, bad) = (runtime.load(good).unwrap(), runtime.load(bad).unwrap());
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..10 {
                        assert!(good.run(&task()).verdict.is_completed());
                        assert!(matches!(bad.run(&task()).verdict, Verdict::Crashed(_)));
                    }
                });
            }
        });
    }
}

#[test]
fn a_stop_ends_one_task_and_no_other() {
    let runtime = runtime();
    for wall in WALLS {
        let limits = Limits { wall: Duration::from_secs(600), ..Limits::default() };
        let loaded = runtime.load(program(wall, "sleep").limits(limits)).unwrap();
        let stops: Vec<StopHandle> = (0..8).map(|_| StopHandle::new()).collect();
        std::thread::scope(|scope| {
            let (ended, endings) = std::sync::mpsc::channel();
            for (index, stop) in stops.iter().enumerate() {
                let (loaded, ended) = (&loaded, ended.clone());
                scope.spawn(move || {
                    let report = loaded.run_with(&task(), stop, &mut sandtrap::Deaf);
                    ended.send((index, report.verdict.label().to_string())).unwrap();
                });
            }
            // One by one, each in its own turn: the next ending is always that of the one stopped.
            for (index, stop) in stops.iter().enumerate() {
                stop.stop(if index % 2 == 0 {
                    StopReason::Cancelled
                } else {
                    StopReason::Shutdown
                });
                let (who, label) = endings.recv().unwrap();
                let expected =
                    if index % 2 == 0 { "stopped.cancelled" } else { "stopped.shutdown" };
                assert_eq!((who, label.as_str()), (index, expected), "{wall:?}");
            }
        });
    }
}

#[test]
fn a_stop_before_the_start_is_a_stop() {
    let runtime = runtime();
    for wall in WALLS {
        let stop = StopHandle::new();
        stop.stop(StopReason::Cancelled);
        let report = runtime.run_with(program(wall, "spin"), &task(), &stop, &mut sandtrap::Deaf);
        assert_eq!(report.verdict.label().as_str(), "stopped.cancelled", "{wall:?}");
    }
}

#[test]
fn i1_a_caller_inside_an_async_runtime_is_served() {
    let runtime = runtime();
    let asynchronous = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    asynchronous.block_on(async {
        for wall in WALLS {
            let report = runtime.run(program(wall, "hello"), &task());
            assert_eq!(report.output.stdout_text(), "hello from the guest\n", "{wall:?}");
        }
    });
}

#[test]
fn processor_time_is_limited_behind_both_walls() {
    for wall in WALLS {
        let limits = Limits { cpu: Duration::from_millis(50), ..Limits::default() };
        let report = runtime().run(program(wall, "spin").limits(limits), &task());
        assert_eq!(report.verdict.label().as_str(), "stopped.cpu-time", "{wall:?}");
        assert!(report.usage.cpu >= Duration::from_millis(50), "{wall:?}: {:?}", report.usage);
    }
}

#[test]
fn fuel_ends_a_module_and_is_refused_for_a_process() {
    let limits = Limits { fuel: Some(1_000_000), ..Limits::default() };
    let report = runtime().run(program(Wall::Wasm, "spin").limits(limits.clone()), &task());
    assert_eq!(report.verdict.label().as_str(), "stopped.fuel");
    assert_eq!(report.usage.fuel, Some(1_000_000));
    let report = runtime().run(program(Wall::Native, "spin").limits(limits), &task());
    assert_eq!(report.verdict.label().as_str(), "unstarted.rejected");
}

#[test]
fn an_export_is_called_with_values_and_returns_them() {
    let loaded = runtime().load(Program::module("adder", ADDER.as_bytes())).unwrap();
    let report = loaded.run(&Task::call("add", [Value::I32(2), Value::I32(40)]));
    assert_eq!(report.verdict, Verdict::Completed);
    assert_eq!(report.output.values, [Value::I32(42)]);
    let report = loaded.run(&Task::call("half", [Value::F64(3.0)]));
    assert_eq!(report.output.values, [Value::F64(1.5)]);
    for wrong in [
        Task::call("add", [Value::I32(1)]),
        Task::call("add", [Value::I32(1), Value::F64(1.0)]),
        Task::call("subtract", []),
    ] {
        let report = loaded.run(&wrong);
        assert_eq!(report.verdict.label().as_str(), "unstarted.rejected", "{:?}", report.verdict);
    }
}

#[test]
fn a_process_cannot_be_called_and_a_module_in_memory_is_no_process() {
    let report = runtime().run(program(Wall::Native, "hello"), &Task::call("main", []));
    assert_eq!(report.verdict.label().as_str(), "unstarted.rejected");
    let module = Program::module("adder", ADDER.as_bytes()).within(Wall::Native);
    assert_eq!(runtime().run(module, &task()).verdict.label().as_str(), "unstarted.rejected");
}

#[test]
fn i25_the_hosts_own_children_are_never_reaped() {
    let mut own = std::process::Command::new(guests::native("sleep")).spawn().unwrap();
    let loaded = runtime().load(program(Wall::Native, "abort")).unwrap();
    for _ in 0..20 {
        assert_eq!(loaded.run(&task()).verdict.label().as_str(), "crashed.abort");
    }
    assert_eq!(own.try_wait().unwrap(), None);
    own.kill().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&own.wait().unwrap()), Some(9));
}

#[test]
fn i9_a_kill_from_outside_is_told_from_our_own() {
    let mut killer = |event: Event<'_>| {
        if let Event::Started { pid } = event {
            let pid = nix::unistd::Pid::from_raw(pid.cast_signed());
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
        }
    };
    let stop = StopHandle::new();
    let report = runtime().run_with(program(Wall::Native, "sleep"), &task(), &stop, &mut killer);
    assert_eq!(report.verdict.to_string(), "killed by SIGKILL, sent by somebody unseen");
}

#[test]
fn output_is_heard_while_the_guest_runs() {
    for wall in WALLS {
        let stop = StopHandle::new();
        let ear_stop = stop.clone();
        let mut heard = 0;
        // The flood would hit its limit: being stopped before shows that this was heard in time.
        let mut ear = |event: Event<'_>| {
            if let Event::Stdout(bytes) = event {
                heard += bytes.len();
                ear_stop.stop(StopReason::Cancelled);
            }
        };
        let report = runtime().run_with(program(wall, "flood_stdout"), &task(), &stop, &mut ear);
        assert_eq!(report.verdict.label().as_str(), "stopped.cancelled", "{wall:?}");
        assert!(heard > 0);
    }
}

#[test]
fn one_handle_stops_every_task_it_was_given_to() {
    let runtime = runtime();
    for wall in WALLS {
        let limits = Limits { wall: Duration::from_secs(600), ..Limits::default() };
        let loaded = runtime.load(program(wall, "spin").limits(limits)).unwrap();
        let stop = StopHandle::new();
        std::thread::scope(|scope| {
            let (started, starts) = std::sync::mpsc::channel();
            let tasks: Vec<_> = (0..4)
                .map(|_| {
                    let (loaded, stop, started) = (&loaded, &stop, started.clone());
                    scope.spawn(move || {
                        started.send(()).unwrap();
                        loaded.run_with(&task(), stop, &mut sandtrap::Deaf)
                    })
                })
                .collect();
            for _ in &tasks {
                starts.recv().unwrap();
            }
            stop.stop(StopReason::Cancelled);
            for task in tasks {
                let label = task.join().unwrap().verdict.label();
                assert_eq!(label.as_str(), "stopped.cancelled", "{wall:?}");
            }
        });
    }
}

#[test]
fn a_panicking_ear_takes_its_guest_with_it() {
    let mut pid = 0;
    let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut ear = |event: Event<'_>| {
            if let Event::Started { pid: started } = event {
                pid = started;
                panic!("an ear that panics, as a test");
            }
        };
        let limits = Limits { wall: Duration::MAX, cpu: Duration::MAX, ..Limits::default() };
        let program = program(Wall::Native, "sleep").limits(limits);
        runtime().run_with(program, &task(), &StopHandle::new(), &mut ear)
    }));
    assert!(unwound.is_err());
    let process = std::path::PathBuf::from(format!("/proc/{pid}/exe"));
    // The kill was sent before the unwinding came here; the reaping is another thread's.
    while std::fs::read_link(&process).is_ok_and(|exe| exe.ends_with("sleep")) {
        std::thread::yield_now();
    }
}

#[test]
fn limits_without_an_end_are_limits_like_any_other() {
    for wall in WALLS {
        let limits = Limits { wall: Duration::MAX, cpu: Duration::MAX, ..Limits::default() };
        let report = runtime().run(program(wall, "hello").limits(limits), &task());
        assert!(report.verdict.is_completed(), "{wall:?}: {:?}", report.verdict);
    }
}

#[test]
fn tasks_that_share_a_handle_do_not_end_by_each_others_limits() {
    let spin = r#"(module (func (export "_start") (loop br 0)))"#;
    let soon = Limits { wall: Duration::from_millis(50), ..Limits::default() };
    let loaded = Runtime::new().unwrap().load(Program::module("spin", spin.as_bytes())).unwrap();
    let (stop, task) = (StopHandle::new(), Task::command(["x"; 0]));
    let late = std::thread::scope(|scope| {
        let late = scope.spawn(|| loaded.run_with(&task, &stop, &mut Deaf));
        let short = task.clone().limits(soon);
        let report = loaded.run_with(&short, &stop, &mut Deaf);
        assert_eq!(report.verdict.label().as_str(), "stopped.wall-time");
        assert_eq!(stop.reason(), None);
        stop.stop(StopReason::Cancelled);
        late.join().unwrap()
    });
    assert_eq!(late.verdict.label().as_str(), "stopped.cancelled");
}
