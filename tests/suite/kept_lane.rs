//! The lane of a process that is kept: calls and answers in memory that both share, beside the channel. What passes there
//! is the same; what a guest writes there that is no message is its own misfortune.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use sandtrap::{
    ByteSize, CallError, Codec, Event, Kept, Limits, Payload, Payloads, Permissions, Profile,
    Program, Report, Reuse, Runtime, Source, StopHandle, StopReason, Task,
};
use sandtrap_protocol::{FromGuest, LANE_BYTES, encode_with};
use sandtrap_tests::guests;

use super::hostile_talk::{Script, result};

fn limits() -> Limits {
    let ample = Duration::from_secs(120);
    Limits { wall: ample, cpu: ample, memory: ByteSize::mib(64), ..Limits::default() }
}

fn keep_with(guest: &str, limits: Limits, payloads: Payloads) -> Kept {
    let mut permissions = Permissions::default();
    permissions.grant_host_function("double");
    let program = Program::file(guests::native(guest))
        .limits(limits)
        .permissions(permissions)
        .payloads(payloads);
    let host = Runtime::builder().host("double", |_, number: u64| number * 2).build().unwrap();
    host.load(program).unwrap().keep(Reuse { max_tasks: u64::MAX, ..Reuse::default() }).unwrap()
}

fn keep(guest: &str) -> Kept {
    keep_with(guest, limits(), Payloads::Auto)
}

/// One whose guest looks for calls in its lane: the first is greeted, and the second finds it at the channel still.
pub(super) fn warm() -> Kept {
    let mut kept = keep("stays");
    for next in 1..4 {
        assert_eq!(kept.call::<_, u64>("next", &()).unwrap(), next);
    }
    kept
}

pub(super) fn label(report: &Report) -> &'static str {
    report.verdict.label().as_str()
}

fn report(ended: Result<u64, CallError>) -> Report {
    match ended {
        Err(CallError::Ended(report)) => *report,
        other => panic!("{other:?}"),
    }
}

/// How often a process has read something.
pub(super) fn reads(pid: u32) -> Option<u64> {
    let counts = fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    counts.lines().find_map(|line| line.strip_prefix("syscr: "))?.parse().ok()
}

/// Whether lanes are used on this host: where nobody can be born unseen.
pub(super) fn has_lanes(report: &Report) -> bool {
    let is_filtered = report.guards.iter().any(|it| it.name == "seccomp" && it.why.is_none());
    is_filtered && report.facts.source == Source::Ptrace
}

#[test]
fn calls_pass_by_the_channel_once_a_guest_looks_for_them_elsewhere() {
    let mut kept = warm();
    let task = Task::invoke("next", &()).unwrap();
    let known = kept.run(&task);
    let pid = known.task.pid.unwrap();
    // Not everybody may ask that.
    let Some(mut before) = reads(pid).filter(|_| has_lanes(&known)) else { return };
    let mut calls = 4;
    loop {
        for _ in 0..100 {
            assert_eq!(kept.call::<_, u64>("next", &()).unwrap(), calls + 1);
            assert_eq!(kept.run(&task).value::<u64>().unwrap(), calls + 2);
            calls += 2;
        }
        // One that this host was too late for is sent over the channel, and so may be the one behind it: while the machine is
        // busy, most of them may be.
        let read = reads(pid).unwrap();
        if read < before + 100 {
            break;
        }
        before = read;
    }
    let held = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let links = held.filter_map(|it| fs::read_link(it.ok()?.path()).ok());
    let lanes = links.filter(|link| link.starts_with(Path::new("/memfd:sandtrap-lane")));
    assert_eq!(lanes.count(), 0, "what is written there could be mapped as code");
}

#[test]
fn a_guest_that_nobody_calls_sleeps() {
    let mut kept = warm();
    let pid = kept.run(&Task::invoke("next", &()).unwrap()).task.pid.unwrap();
    kept.call::<_, u64>("next", &()).unwrap();
    let sleeps = || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap().contains(") S ");
    while !sleeps() {
        std::thread::yield_now();
    }
    assert!(kept.is_usable());
    assert_eq!(kept.call::<_, u64>("next", &()).unwrap(), 6);
}

#[test]
fn values_of_every_size_and_what_is_said_before_them_arrive_in_order() {
    for payloads in [Payloads::Inline, Payloads::Shared] {
        let mut kept = keep_with("calls", limits(), payloads);
        for bytes in [0, 1, 7, 64, 3900, 3930, 3960, 4000, 4100, 65_535, 65_536, 1 << 20] {
            for byte in 0..4 {
                let sent = vec![byte; bytes];
                assert_eq!(kept.call::<_, Vec<u8>>("echo", &sent).unwrap(), sent, "{bytes}");
            }
        }
        for to in [0_u64, 1, 3, 100] {
            let mut heard = Vec::new();
            let mut ear = |event: Event<'_>| match event {
                Event::Emitted { bytes, .. } => heard.push(u64::from(bytes[0])),
                Event::Progress { done, .. } => heard.push(done),
                Event::Log { .. } => heard.push(u64::MAX),
                _ => {}
            };
            let task = Task::invoke("count", &to).unwrap();
            let report = kept.run_with(&task, &StopHandle::new(), &mut ear);
            assert_eq!(report.value::<u64>().unwrap(), to, "{}", report.verdict);
            let expected: Vec<u64> =
                (0..to).flat_map(|item| [item, item + 1]).chain([u64::MAX]).collect();
            assert_eq!(heard, expected);
            assert_eq!(kept.call::<_, u64>("count", &to).unwrap(), to);
        }
        for count in [1_u64, 2, 30] {
            let sum = kept.call::<_, u64>("asks_often", &count).unwrap();
            assert_eq!(sum, count * (count - 1));
        }
        for round in 0..10 {
            let text = format!("{round}\n");
            kept.call::<_, ()>("writes", &"of another call\n").unwrap();
            let report = kept.run(&Task::invoke("writes", &text).unwrap());
            assert_eq!(report.output.stdout_text(), text);
            let none = kept.run(&Task::invoke("refuse", &"no").unwrap());
            assert_eq!((label(&none), none.usage.stdout_bytes), ("failed.error", 0));
        }
    }
}

#[test]
fn every_end_but_a_value_is_told_in_a_report_of_that_call() {
    for (function, expected) in [
        ("reads_wild", "crashed.memory-fault"),
        ("calls_nothing", "crashed.bad-call"),
        ("overflows", "crashed.stack-overflow"),
        ("aborts", "crashed.abort"),
        ("panics", "failed.panic"),
        ("floods", "stopped.output"),
    ] {
        let mut kept = warm();
        let ended = report(kept.call(function, &()));
        assert_eq!(label(&ended), expected, "{function}: {}", ended.verdict);
        assert_eq!(ended.task.function.as_deref(), Some(function));
        assert!(!kept.is_usable(), "{function}");
        assert_eq!(label(&report(kept.call("next", &()))), "unstarted.rejected", "{function}");
    }
    let mut kept = warm();
    let refused = kept.call::<_, ()>("refuses", &()).unwrap_err();
    assert_eq!(refused.report().map(label), Some("failed.error"));
    let unknown = kept.call::<_, ()>("nowhere", &()).unwrap_err();
    assert!(unknown.to_string().contains("there is no function `nowhere`"), "{unknown}");
    let other = kept.call::<_, String>("next", &()).unwrap_err();
    assert!(matches!(other, CallError::Value(_)), "{other}");
    assert_eq!(kept.call::<_, u64>("next", &()).unwrap(), 5, "it goes on");
}

#[test]
fn limits_hold_in_calls_that_begin_in_the_lane() {
    let hard = [
        // The guest is started under it, too.
        ("sleeps", Limits { wall: Duration::from_secs(2), ..limits() }, "stopped.wall-time"),
        ("spins", Limits { wall: Duration::from_secs(2), ..limits() }, "stopped.wall-time"),
        ("spins", Limits { cpu: Duration::from_millis(100), ..limits() }, "stopped.cpu-time"),
    ];
    for (function, hard, expected) in hard {
        let mut kept = keep_with("stays", hard, Payloads::Auto);
        // A busy machine may need longer than that for one that is as quick as can be.
        let mut calls = 0;
        while calls < 3 && kept.call::<_, u64>("next", &()).is_ok() {
            calls += 1;
        }
        if calls == 3 {
            let ended = report(kept.call(function, &()));
            assert_eq!(label(&ended), expected, "{function}");
            assert!(ended.usage.wall <= Duration::from_secs(60), "{function}");
        }
    }
    let narrow = Limits { output: ByteSize::bytes(1000), ..limits() };
    let mut kept = keep_with("stays", narrow, Payloads::Auto);
    for _ in 0..5 {
        kept.call::<_, ()>("says", &"x".repeat(400)).unwrap();
    }
    let ended = kept.call::<_, ()>("says", &"x".repeat(600)).unwrap_err();
    assert_eq!(ended.report().map(label), Some("stopped.output"));
}

#[test]
fn whoever_stops_a_call_wakes_its_caller_wherever_he_waits() {
    for round in 0..12 {
        let (mut kept, stop, is_begun) = (warm(), StopHandle::new(), AtomicBool::new(false));
        let task = Task::invoke("spins", &()).unwrap();
        let ended = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_begun.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
                // Now in the middle of a watch, now in one's sleep, now at the channel.
                (0..1 << (round * 2)).for_each(|_| std::hint::spin_loop());
                stop.stop(StopReason::Cancelled)
            });
            is_begun.store(true, Ordering::Relaxed);
            kept.run_with(&task, &stop, &mut |_: Event<'_>| {})
        });
        assert_eq!(label(&ended), "stopped.cancelled");
        assert!(!kept.is_usable());
    }
}

#[test]
fn two_that_have_one_processor_take_turns() {
    std::thread::spawn(|| {
        let this = Pid::from_raw(0);
        let all = sched_getaffinity(this).unwrap();
        let first = (0..CpuSet::count()).find(|cpu| all.is_set(*cpu).unwrap()).unwrap();
        let mut one = CpuSet::new();
        one.set(first).unwrap();
        sched_setaffinity(this, &one).unwrap();
        let mut kept = warm();
        for next in 4..2000 {
            assert_eq!(kept.call::<_, u64>("next", &()).unwrap(), next);
        }
        assert_eq!(label(&report(kept.call("aborts", &()))), "crashed.abort");
        assert_eq!(sched_getaffinity(this).unwrap(), one, "a caller stays where he is");
    })
    .join()
    .unwrap();
}

/// The way of the guest, where its message begins, and where it says whether it looks for one.
const OWN: usize = LANE_BYTES / 2;
const WORDS: usize = OWN + 8;
const PRESENCE: usize = OWN + 3968;
const WATCHES: u32 = 1;
const SLEEPS: u32 = 2;

/// A guest that has taken its lane and answered its first call, and says there whether it looks for the next one.
fn takes_lane(presence: u32) -> Script {
    let script = Script::hello().frame(&FromGuest::Lane).frame(&result());
    script.shares(1, PRESENCE, &presence.to_ne_bytes())
}

/// How its second call ends, which finds the guest at its lane or at the channel.
fn second_call(script: Script) -> (&'static str, String) {
    let mut kept = keep("speaks_raw");
    let first = kept.run(&Task::invoke_with("f", Payload::raw(script.0)));
    assert_eq!(label(&first), "completed", "{}", first.verdict);
    let limits = Limits { wall: Duration::from_millis(200), ..limits() };
    let report = kept.run(&Task::invoke("g", &()).unwrap().limits(limits));
    (label(&report), report.verdict.to_string())
}

#[test]
fn a_guest_that_takes_a_call_and_says_nothing_is_ended_at_its_deadline() {
    for presence in [WATCHES, SLEEPS] {
        let looks = takes_lane(presence).hangs();
        assert_eq!(second_call(looks).0, "stopped.wall-time");
    }
}

#[test]
fn whatever_a_guest_scribbles_there_harms_nobody_else() {
    for word in [0, 1, 2, 3, 1 << 31, u32::MAX] {
        let every_word: Vec<u8> = word.to_le_bytes().repeat(LANE_BYTES / 4);
        // It goes on while the call waits.
        let script = takes_lane(WATCHES).shares(u32::MAX, 0, &every_word);
        let (label, message) = second_call(script.hangs());
        let is_told = ["stopped.wall-time", "crashed.protocol"].contains(&label);
        assert!(is_told, "{word}: {label}: {message}");
    }
}

#[test]
fn an_answer_from_the_lane_has_to_be_one_of_its_call() {
    for (call, expected) in [(2, "completed"), (3, "crashed.protocol")] {
        let answer = encode_with(&FromGuest::Return { id: call, codec: Codec::Raw }, b"").unwrap();
        // How many messages were laid down, and the length of the last one.
        let head = [1, answer.len() as u32].map(u32::to_ne_bytes).concat();
        let script =
            || takes_lane(WATCHES).shares(1, WORDS, &answer).shares(u32::MAX, OWN, &head).hangs();
        // It has to be there while the host looks, which is not for long.
        loop {
            let (label, message) = second_call(script());
            if label != "stopped.wall-time" {
                assert_eq!(label, expected, "{message}");
                break;
            }
        }
    }
}

#[test]
fn a_lane_that_is_taken_too_late_or_twice_is_a_breach() {
    for script in [
        Script::hello().frame(&FromGuest::Lane).frame(&FromGuest::Lane),
        Script::hello().frame(&FromGuest::Beat).frame(&FromGuest::Lane),
        Script::default().frame(&FromGuest::Lane),
    ] {
        let mut kept = keep("speaks_raw");
        let report = kept.run(&Task::invoke_with("f", Payload::raw(script.hangs().0)));
        assert_eq!(label(&report), "crashed.protocol", "{}", report.verdict);
    }
}

#[test]
fn a_lane_that_a_guest_has_not_taken_can_not_be_written_to() {
    let mut kept = keep("speaks_raw");
    // It may do so as long as its first call is not answered; then it waits for the second one before it tries again.
    let script = Script::hello()
        .shares(1, 0, b"x")
        .frame(&result())
        .waits(1)
        .shares(1, 0, b"x")
        .frame(&FromGuest::Return { id: 2, codec: Codec::Raw });
    let first = kept.run(&Task::invoke_with("f", Payload::raw(script.0)));
    assert_eq!(label(&first), "completed", "{}", first.verdict);
    let second = kept.run(&Task::invoke_with("g", Payload::raw([])));
    assert_ne!(label(&second), "completed");
    let words = second.output.stderr_text();
    assert!(words.contains("no lane"), "{words}");
}

#[test]
fn what_may_have_processes_of_its_own_is_counted_in_each_call() {
    let program = Program::file(guests::native("stays"))
        .limits(Limits { processes: 2, ..limits() })
        .permissions(Permissions { profile: Profile::Process, ..Permissions::default() });
    let mut kept = Runtime::new().unwrap().load(program).unwrap().keep(Reuse::default()).unwrap();
    for next in 1..20 {
        assert_eq!(kept.call::<_, u64>("next", &()).unwrap(), next);
    }
    let task = Task::invoke("holds", &268_435_456_u64).unwrap();
    assert_eq!(label(&kept.run(&task)), "crashed.out-of-memory");
}

/// Each end is kept from its processor now and then, and finds the other one gone, or come back, at any step.
#[test]
fn of_very_many_calls_each_has_its_own_answer_whoever_is_kept_waiting() {
    let (mut kept, is_over) = (warm(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    (0..200_000).for_each(|_| std::hint::spin_loop());
                    std::thread::yield_now();
                }
            });
        }
        let wrong = (4..100_000).find_map(|next| match kept.call::<_, u64>("next", &()) {
            Ok(found) if found == next => None,
            other => Some(format!("{next}: {other:?}")),
        });
        is_over.store(true, Ordering::Relaxed);
        assert_eq!(wrong, None);
    });
}

#[test]
fn the_least_of_open_files_is_enough_for_a_guest_with_a_lane() {
    let limits = Limits { open_files: 5, ..limits() };
    let mut kept = keep_with("stays", limits, Payloads::Auto);
    for next in 1..5 {
        assert_eq!(kept.call::<_, u64>("next", &()).unwrap(), next);
    }
}

#[test]
fn a_limit_that_is_none_of_a_process_is_told_however_a_call_is_made() {
    let mut kept = keep_with("stays", Limits { fuel: Some(1), ..limits() }, Payloads::Auto);
    for _ in 0..3 {
        let ended = report(kept.call::<_, u64>("next", &()));
        assert_eq!(label(&ended), "unstarted.rejected");
    }
}
