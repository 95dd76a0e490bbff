//! Processes that are kept between calls: their state stays, each call has its own limits, and nothing piles up.

use std::collections::BTreeSet;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sandtrap::{
    ByteSize, Event, Kept, Limits, Loaded, Payload, Payloads, Program, Report, Reuse, Runtime,
    StopHandle, Task,
};
use sandtrap_tests::guests;
use sandtrap_tests::soak::Counted;
use serde::Serialize;

fn limits() -> Limits {
    let ample = Duration::from_secs(120);
    Limits { wall: ample, cpu: ample, memory: ByteSize::mib(64), ..Limits::default() }
}

fn load(limits: Limits) -> Loaded {
    let program = Program::file(guests::native("stays")).limits(limits);
    Runtime::new().unwrap().load(program).unwrap()
}

fn keep(limits: Limits) -> Kept {
    load(limits).keep(Reuse::default()).unwrap()
}

fn call<T: Serialize + ?Sized>(kept: &mut Kept, function: &str, input: &T) -> Report {
    kept.run(&Task::invoke(function, input).unwrap())
}

fn next(kept: &mut Kept) -> u64 {
    kept.call("next", &()).unwrap()
}

fn label(report: &Report) -> &'static str {
    report.verdict.label().as_str()
}

/// Whether there is a process of this number, be it dead.
fn exists(pid: u32) -> bool {
    kill(Pid::from_raw(pid.cast_signed()), None).is_ok()
}

#[test]
fn state_stays_from_call_to_call_in_one_process() {
    let loaded = load(limits());
    let mut kept = loaded.keep(Reuse::default()).unwrap();
    let pids: BTreeSet<_> = (1..=100)
        .map(|expected| {
            let report = call(&mut kept, "next", &());
            assert_eq!(report.value::<u64>().unwrap(), expected);
            report.task.pid
        })
        .collect();
    assert_eq!((pids.len(), kept.vitals().tasks_run), (1, 100));
    assert_eq!(loaded.call::<_, u64>("next", &()).unwrap(), 1, "a fresh one knows nothing of it");
    let other = loaded.keep(Reuse::default()).unwrap().call::<_, u64>("next", &());
    assert_eq!(other.unwrap(), 1, "nor does another that is kept");
    assert_eq!(next(&mut kept), 101);
}

#[test]
fn an_error_is_an_orderly_end_of_a_call() {
    let mut kept = keep(limits());
    assert_eq!(label(&call(&mut kept, "refuses", &())), "failed.error");
    assert_eq!(label(&call(&mut kept, "there_is_none", &())), "failed.error");
    assert_eq!(label(&call(&mut kept, "next", &"too much")), "failed.error");
    assert_eq!(next(&mut kept), 1);
}

#[test]
fn it_moves_between_threads_and_values_of_any_size_pass() {
    let mut kept = keep(limits());
    for bytes in [0, 1, 1023, 1024, 1025, 65_536, 5_000_000] {
        let sent = Payload::raw(vec![7_u8; bytes]);
        kept = std::thread::spawn(move || {
            let report = kept.run(&Task::invoke_with("echo", sent.clone()));
            assert_eq!(report.output.result.map(|result| result.bytes().len()), Some(bytes));
            kept
        })
        .join()
        .unwrap();
    }
}

#[test]
fn what_is_written_belongs_to_the_call_that_wrote_it() {
    let mut kept = keep(Limits { output: ByteSize::bytes(1000), ..limits() });
    for round in 0..20 {
        let text = format!("{round:0300}");
        let mut heard = Vec::new();
        let mut ear = |event: Event<'_>| {
            if let Event::Stdout(bytes) = event {
                heard.extend_from_slice(bytes);
            }
        };
        let task = Task::invoke("says", &text).unwrap();
        let report = kept.run_with(&task, &StopHandle::new(), &mut ear);
        // Twice three hundred of a thousand bytes: all calls together would be too much.
        assert_eq!(label(&report), "completed");
        assert_eq!(heard, text.as_bytes());
        assert_eq!((report.usage.stdout_bytes, report.usage.stderr_bytes), (300, 300));
        assert_eq!(report.output.stderr_text(), text);
        assert_eq!(call(&mut kept, "next", &()).usage.stdout_bytes, 0);
    }
}

#[test]
fn processor_time_and_results_are_limited_for_each_call() {
    let cpu = Duration::from_millis(1500);
    let mut kept = keep(Limits { cpu, result: ByteSize::mib(1), ..limits() });
    let mut used = Duration::ZERO;
    // More than twice the limit, and more than the seconds at which a process of one task would be ended.
    while used < 3 * cpu {
        let report = call(&mut kept, "works", &200_u64);
        assert_eq!(label(&report), "completed");
        assert!(report.usage.cpu > Duration::ZERO && report.usage.cpu < cpu);
        used += report.usage.cpu;
    }
    for _ in 0..3 {
        let report = kept.run(&Task::invoke_with("echo", Payload::raw(vec![7; 900_000])));
        assert_eq!(label(&report), "completed");
    }
    assert!(kept.is_usable());
}

#[test]
fn a_call_may_have_less_time_and_no_other_memory() {
    let mut kept = keep(limits());
    let shorter = Limits { wall: Duration::from_secs(60), output: ByteSize::kib(1), ..limits() };
    let other = Limits { memory: ByteSize::mib(32), ..limits() };
    let task = |limits: &Limits| Task::invoke("next", &()).unwrap().limits(limits.clone());
    assert_eq!(kept.run(&task(&shorter)).value::<u64>().unwrap(), 1);
    let refused = kept.run(&task(&other));
    assert_eq!(label(&refused), "unstarted.rejected");
    assert!(refused.verdict.to_string().contains("memory limit stays"), "{}", refused.verdict);
    assert_eq!(next(&mut kept), 2, "nothing of it ran");
    // Before the first call there is no state to lose, so it is started again with what that call wants.
    let mut kept = keep(limits());
    assert_eq!(kept.run(&task(&other)).limits.memory, ByteSize::mib(32));
    assert_eq!(label(&call(&mut kept, "holds", &0_usize)), "unstarted.rejected");
}

/// Whether a group's peak can be measured anew: not in those of version 2 before Linux 6.12.
fn can_be_set_back() -> bool {
    let found = sandtrap::probe();
    let is_v2 = found.iter().any(|it| it.probe.name() == "memory-group-v2" && it.fact.is_some());
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map(|number| number.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    !is_v2 || version >= (6, 12)
}

#[test]
fn peak_memory_is_that_of_the_call() {
    let mut kept = keep(limits());
    call(&mut kept, "next", &());
    let touched = call(&mut kept, "touches", &(32_usize << 20));
    assert!(touched.usage.peak_memory >= 32 << 20, "{}", touched.usage.peak_memory);
    let has_group = touched.guards.iter().any(|it| it.name == "memory-group" && it.why.is_none());
    if has_group && can_be_set_back() {
        let after = call(&mut kept, "next", &()).usage.peak_memory;
        assert!(after > 0 && after < 32 << 20, "{after}");
    }
}

#[test]
fn commands_and_programs_without_functions_are_not_kept() {
    let mut kept = keep(limits());
    let report = kept.run(&Task::command(["x"; 0]));
    assert_eq!(label(&report), "unstarted.rejected");
    assert_eq!(next(&mut kept), 1, "nothing of it ran");
    let program = Program::file("/bin/true").limits(limits());
    let mut kept = Runtime::new().unwrap().load(program).unwrap().keep(Reuse::default()).unwrap();
    let report = call(&mut kept, "next", &());
    assert_eq!(label(&report), "crashed.protocol");
    assert!(report.verdict.to_string().contains("never said hello"), "{}", report.verdict);
    assert!(!kept.is_usable());
}

#[test]
fn a_process_is_used_up_by_tasks_by_age_and_by_what_it_holds() {
    let loaded = load(limits());
    let mut kept = loaded.keep(Reuse { max_tasks: 2, ..Reuse::default() }).unwrap();
    assert_eq!((next(&mut kept), next(&mut kept)), (1, 2));
    assert!(!kept.is_usable());
    let refused = call(&mut kept, "next", &()).verdict.to_string();
    assert!(refused.contains("it has run 2 tasks"), "{refused}");

    let reuse = Reuse { max_resident: ByteSize::mib(16), ..Reuse::default() };
    let mut kept = loaded.keep(reuse).unwrap();
    call(&mut kept, "touches", &(32_usize << 20));
    assert!(kept.is_usable(), "it has given that back");
    call(&mut kept, "holds", &(32_usize << 20));
    assert!(kept.vitals().resident_bytes >= 32 << 20);
    assert!(call(&mut kept, "next", &()).verdict.to_string().contains("it holds"));

    let mut kept = loaded.keep(Reuse { max_age: Duration::ZERO, ..Reuse::default() }).unwrap();
    assert!(call(&mut kept, "next", &()).verdict.to_string().contains("s old"));
}

#[test]
fn a_worker_killed_while_it_waits_is_noticed() {
    let mut kept = keep(limits());
    let pid = call(&mut kept, "next", &()).task.pid.unwrap();
    assert!(kept.is_usable());
    kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).unwrap();
    while exists(pid) {
        std::thread::yield_now();
    }
    assert!(!kept.is_usable());
    assert_eq!(label(&call(&mut kept, "next", &())), "unstarted.rejected");
}

#[test]
fn a_worker_that_works_while_nobody_called_is_used_no_more() {
    let mut kept = keep(Limits { cpu: Duration::from_millis(500), ..limits() });
    assert_eq!(label(&call(&mut kept, "leaves_one_who_spins", &())), "completed");
    while kept.is_usable() {
        std::thread::yield_now();
    }
}

#[test]
fn whoever_drops_it_ends_it_at_once() {
    let mut kept = keep(limits());
    let pid = call(&mut kept, "next", &()).task.pid.unwrap();
    assert!(exists(pid));
    drop(kept);
    assert!(!exists(pid), "it is gone, and nothing waits to be reaped");
}

#[test]
fn ten_thousand_calls_leave_nothing_behind() {
    let loaded = load(limits());
    let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
    let mut kept = loaded.keep(Reuse::default()).unwrap();
    call(&mut kept, "next", &());
    let (before, threads_before) = (Counted::now(), threads());
    for _ in 0..10_000 {
        next(&mut kept);
    }
    let after = Counted::now();
    assert_eq!(
        (after.descriptors, after.children, after.groups, threads()),
        (before.descriptors, before.children, before.groups, threads_before),
    );
    drop(kept);
    assert_eq!((Counted::now().children, Counted::now().groups), (0, 0));
}

#[test]
fn a_call_that_can_not_be_sent_costs_no_guest() {
    let mut kept = keep(limits());
    for expected in 1..=3 {
        let long = call(&mut kept, &"x".repeat(2_000), &());
        assert_eq!(label(&long), "unstarted.rejected", "{}", long.verdict);
        assert_eq!((next(&mut kept), kept.vitals().tasks_run), (expected, expected));
    }
}

#[test]
fn what_a_guest_keeps_of_a_call_is_not_touched_by_the_next_one() {
    for payloads in [Payloads::Inline, Payloads::Shared] {
        let program =
            Program::file(guests::native("stays")).limits(limits()).payloads(payloads.clone());
        let loaded = Runtime::new().unwrap().load(program).unwrap();
        let mut kept = loaded.keep(Reuse::default()).unwrap();
        // Each longer than the last, so that the input comes to where the room was, too.
        for round in 1..=4_u8 {
            let input = vec![round; 100_000 * usize::from(round)];
            let count = kept.call::<_, usize>("keeps", &input).unwrap();
            assert_eq!(count, 2 * usize::from(round));
        }
        let expected: Vec<_> =
            (1..=4).flat_map(|round| [round, round + 100]).map(|it| (it, it, true)).collect();
        let found = kept.call::<_, Vec<(u8, u8, bool)>>("has_kept", &()).unwrap();
        assert_eq!(found, expected, "{payloads:?}");
        // As a result it is what it was, wherever it lies.
        assert_eq!(kept.call::<_, Vec<u8>>("gives_kept", &1_usize).unwrap(), vec![101; 100_000]);
        assert_eq!(kept.call::<_, Vec<u8>>("gives_kept", &0_usize).unwrap(), vec![1; 100_000]);
    }
}

#[test]
fn what_a_task_writes_into_an_input_that_it_keeps_stays_there() {
    for payloads in [Payloads::Inline, Payloads::Shared] {
        let program = Program::file(guests::native("stays")).limits(limits()).payloads(payloads);
        let loaded = Runtime::new().unwrap().load(program).unwrap();
        let mut kept = loaded.keep(Reuse::default()).unwrap();
        for round in 1..=3_u8 {
            kept.call::<_, ()>("keeps_changed", &vec![round; 300_000]).unwrap();
        }
        for round in [1, 3, 2] {
            let mut expected = vec![round; 300_000];
            (expected[0], expected[299_999]) = (round + 50, round + 50);
            let found = kept.call::<_, Vec<u8>>("gives_kept", &0_usize).unwrap();
            assert!(found == expected, "{round}: {:?} … {:?}", &found[..2], &found[299_998..]);
        }
    }
}
