//! The pool over the real walls: processes, modules, components, and guests that die.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use sandtrap::{
    ByteSize, Event, Happening, Label, Limits, Loaded, Order, PoolSettings, Program, Reuse,
    Runtime, Task, Telemetry, Value,
};
use sandtrap_tests::guests::Form;
use sandtrap_tests::late::{Over, read_late};
use sandtrap_tests::soak::Counted;

/// Guests, and how they end behind both walls.
const GUESTS: [(&str, &str); 6] = [
    ("hello", "completed"),
    ("wild_read", "crashed.memory-fault"),
    ("abort", "crashed.abort"),
    ("exit_3", "failed.exit"),
    ("stack_overflow", "crashed.stack-overflow"),
    ("exit_0", "completed"),
];

fn command() -> Order {
    Order::new(Task::command(["x"; 0]))
}

fn load(runtime: &Runtime, form: Form, guest: &str) -> Loaded {
    let limits = Limits { memory: ByteSize::mib(64), ..Limits::default() };
    runtime.load(Program::file(form.guest(guest)).limits(limits)).unwrap()
}

#[test]
fn p1_p2_s57_every_way_to_die_costs_one_task_behind_every_wall() {
    let runtime = Runtime::new().unwrap();
    for form in Form::ALL {
        for (guest, label) in GUESTS {
            let pool = load(&runtime, form, guest).pool(PoolSettings::with_workers(2));
            let reports: Vec<_> = pool.map((0..6).map(|_| command())).collect();
            assert_eq!(reports.len(), 6);
            for report in reports {
                assert_eq!(report.verdict.label().as_str(), label, "{form:?} {guest}");
            }
        }
    }
}

#[test]
fn p1_p10_a_worker_killed_from_outside_costs_its_own_task_only() {
    let runtime = Runtime::new().unwrap();
    let (started, starts) = std::sync::mpsc::channel();
    let sleeper = load(&runtime, Form::Process, "sleep");
    // The pool's reports carry the process, but only once it is over; an ear hears of it in time.
    let victim = thread::spawn(move || {
        let mut ear = |event: Event<'_>| {
            if let Event::Started { pid } = event {
                started.send(pid).unwrap();
            }
        };
        let stop = sandtrap::StopHandle::new();
        sleeper.run_with(&Task::command(["x"; 0]), &stop, &mut ear)
    });
    let pool = load(&runtime, Form::Process, "hello").pool(PoolSettings::with_workers(2));
    let innocents: Vec<_> = (0..5).map(|_| pool.try_submit(command()).unwrap()).collect();
    let pid = nix::unistd::Pid::from_raw(starts.recv().unwrap().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    assert_eq!(victim.join().unwrap().verdict.label(), Label::CrashedKilled);
    for ticket in innocents {
        assert_eq!(ticket.wait().verdict.label(), Label::Completed);
    }
}

#[test]
fn s13_s14_what_a_guest_exits_with_or_prints_is_never_taken_for_a_signal() {
    // The original takes exit codes of 128 and more for signals, and calls every 137 killed.
    let runtime = Runtime::new().unwrap();
    for form in [Form::Process, Form::Module] {
        for (guest, label) in [
            ("exit_134", Label::FailedExit),
            ("exit_137", Label::FailedExit),
            ("exit_139", Label::FailedExit),
            ("lie_segfault", Label::Completed),
            ("lie_out_of_memory", Label::Completed),
        ] {
            let pool = load(&runtime, form, guest).pool(PoolSettings::with_workers(1));
            let report = pool.run(command());
            assert_eq!(report.verdict.label(), label, "{form:?} {guest}");
        }
    }
}

#[test]
fn s45_a_task_that_sleeps_is_cancelled_behind_every_wall() {
    let runtime = Runtime::new().unwrap();
    for form in Form::ALL {
        let (begins, begun) = std::sync::mpsc::channel();
        let telemetry = Telemetry::to(move |happening| {
            if let Happening::TaskStarted { .. } = happening {
                begins.send(()).unwrap();
            }
        });
        let settings = PoolSettings { telemetry, ..PoolSettings::with_workers(1) };
        let pool = load(&runtime, form, "sleep").pool(settings);
        let ticket = pool.try_submit(command()).unwrap();
        begun.recv().unwrap();
        ticket.cancel();
        assert_eq!(ticket.wait().verdict.label(), Label::StoppedCancelled, "{form:?}");
    }
}

#[test]
fn s44_a_deadline_ends_what_spins_behind_every_wall() {
    let runtime = Runtime::new().unwrap();
    for form in Form::ALL {
        let pool = load(&runtime, form, "spin").pool(PoolSettings::with_workers(1));
        let mut time = Duration::from_millis(100);
        let mut ends_in = || {
            time *= 2;
            pool.run(command().within(time)).verdict.label()
        };
        // On a slow machine the first of these may not even begin in time.
        let label =
            std::iter::repeat_with(&mut ends_in).find(|label| *label != Label::UnstartedRejected);
        assert_eq!(label, Some(Label::StoppedWallTime), "{form:?}");
        assert_eq!(pool.status().abandoned, 0, "the wall kept its promise");
    }
}

#[test]
fn p07_p08_eight_processes_that_return_much_to_a_caller_who_reads_late_hold_it_once() {
    let (whole, peak) = read_late(Form::Process, Over::Stdout, 8, 64);
    assert_eq!(whole, 8);
    // Each result is held once, and what a pipe holds besides. A second copy of one would be seen.
    assert!(peak.besides_kib() < 48 * 1024, "{peak:?}");
}

#[test]
fn p07_p08_modules_that_return_much_to_a_caller_who_reads_late_are_no_deadlock() {
    let (whole, peak) = read_late(Form::Module, Over::Stdout, 4, 32);
    assert_eq!(whole, 4);
    assert!(peak.most_kib > peak.results_kib, "{peak:?}");
}

/// `SANDTRAP_LATE_MIB=200` has eight results of 200 MiB each behind either wall.
#[test]
fn p07_p08_eight_results_at_once_for_a_caller_who_reads_late_are_held_once_behind_both_walls() {
    let mib =
        std::env::var("SANDTRAP_LATE_MIB").ok().and_then(|mib| mib.parse().ok()).unwrap_or(24);
    for form in [Form::Process, Form::Module] {
        let (whole, peak) = read_late(form, Over::Channel, 8, mib);
        assert_eq!(whole, 8, "{form:?}");
        // A module's memory is the host's, too, as long as it runs: each of them makes its result there.
        let guests = if form == Form::Module { peak.results_kib } else { 0 };
        assert!(peak.besides_kib() < guests + 64 * 1024, "{form:?}: {peak:?}");
    }
}

const COUNTER: &str = r#"(module (global $n (mut i32) (i32.const 0))
    (func (export "next") (result i32)
      (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n))
    (func (export "traps") unreachable))"#;

fn next() -> Order {
    Order::new(Task::call("next", []))
}

#[test]
fn s8_a_kept_module_that_traps_is_replaced_by_one_that_knows_nothing_of_it() {
    let loaded =
        Runtime::new().unwrap().load(Program::module("counter", COUNTER.as_bytes())).unwrap();
    let settings =
        PoolSettings { keep: Some(Reuse::default()), spares: 1, ..PoolSettings::with_workers(1) };
    let pool = loaded.pool(settings);
    let value = |order| pool.run(order).output.values;
    assert_eq!((value(next()), value(next())), (vec![Value::I32(1)], vec![Value::I32(2)]));
    let report = pool.run(Order::new(Task::call("traps", [])));
    assert_eq!(report.verdict.label(), Label::CrashedAbort);
    assert_eq!(value(next()), [Value::I32(1)]);
    assert_eq!(pool.status().workers[0].crashes, 1);
}

#[test]
fn a_ticket_is_awaited_in_a_runtime_of_somebody_elses() {
    let loaded =
        Runtime::new().unwrap().load(Program::module("counter", COUNTER.as_bytes())).unwrap();
    let pool = Arc::new(loaded.pool(PoolSettings::with_workers(2)));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let report = runtime.block_on(async {
        let first = pool.try_submit(next()).unwrap();
        let second = pool.try_submit(next()).unwrap();
        first.await;
        second.await
    });
    assert_eq!(report.output.values, [Value::I32(1)], "each has a guest of its own");
}

#[test]
fn p10_a_thousand_tasks_of_which_half_crash_leave_no_process_and_no_thread_behind() {
    let runtime = Runtime::new().unwrap();
    let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
    let mut before = None;
    for round in 0..3 {
        for form in [Form::Process, Form::Module] {
            for (guest, label) in [("abort", "crashed.abort"), ("hello", "completed")] {
                let pool = load(&runtime, form, guest).pool(PoolSettings::with_workers(4));
                for report in pool.map((0..100).map(|_| command())) {
                    assert_eq!(report.verdict.label().as_str(), label);
                }
            }
        }
        if round == 0 {
            before = Some((Counted::now(), threads()));
        }
    }
    let (after, (before, threads_before)) = (Counted::now(), before.unwrap());
    assert_eq!((after.children, after.groups), (0, 0), "{after:?}");
    assert!(after.descriptors <= before.descriptors + 8, "{before:?} {after:?}");
    assert!(threads() <= threads_before + 8, "{} {threads_before}", threads());
}
