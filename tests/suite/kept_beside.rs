//! Where a process runs that is kept, and what it says while nobody calls it.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
use nix::unistd::{Pid, gettid};
use sandtrap::{Kept, Task};

use super::kept_lane::{has_lanes, label, warm};

/// Calls it so that it is found asleep each time, and is as slow as one that takes long to wake.
fn call_now_and_then(kept: &mut Kept, pid: u32) {
    let sleeps = || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap().contains(") S ");
    while !sleeps() {
        std::thread::yield_now();
    }
    kept.call::<_, ()>("lingers", &20_u64).unwrap();
}

/// A guest that is called in its lane, where this host allows that, and its number.
fn warm_with_a_lane() -> Option<(Kept, u32)> {
    let mut kept = warm();
    let known = kept.run(&Task::invoke("next", &()).unwrap());
    has_lanes(&known).then(|| (kept, known.task.pid.unwrap()))
}

#[test]
fn a_guest_that_is_called_now_and_then_is_beside_its_caller_until_it_takes_long() {
    let this = Pid::from_raw(0);
    let all = sched_getaffinity(this).unwrap();
    let Some((mut kept, pid)) = warm_with_a_lane() else { return };
    let may_use = || sched_getaffinity(Pid::from_raw(pid.cast_signed())).unwrap();
    let mut is_held = |is_held: bool, what: &str| {
        let mut calls = 0;
        while (may_use() != all) != is_held {
            match is_held {
                true => call_now_and_then(&mut kept, pid),
                // It is let go while it works, and is where it likes then.
                false => _ = kept.call::<_, u64>("works", &20_u64).unwrap(),
            }
            calls += 1;
            assert!(calls < 1000, "{what}");
        }
    };
    for round in 0..3 {
        is_held(true, &format!("held, {round}"));
        is_held(false, &format!("let go, {round}"));
    }
    assert_eq!(sched_getaffinity(this).unwrap(), all, "its caller is not moved");
}

#[test]
fn a_guest_that_is_let_go_may_use_what_its_caller_may_by_then() {
    let this = Pid::from_raw(0);
    let all = sched_getaffinity(this).unwrap();
    let Some((mut kept, pid)) = warm_with_a_lane() else { return };
    let may_use = || sched_getaffinity(Pid::from_raw(pid.cast_signed())).unwrap();
    while may_use() == all {
        call_now_and_then(&mut kept, pid);
    }
    // Held where its caller is, it has not asked yet where else it may run; he may use less by then.
    let mut one = CpuSet::new();
    one.set(sched_getcpu().unwrap()).unwrap();
    sched_setaffinity(this, &one).unwrap();
    for _ in 0..3 {
        kept.call::<_, u64>("works", &20_u64).unwrap();
        assert_eq!(may_use(), one);
        call_now_and_then(&mut kept, pid);
    }
    sched_setaffinity(this, &all).unwrap();
    while may_use() != all {
        call_now_and_then(&mut kept, pid);
        kept.call::<_, u64>("works", &20_u64).unwrap();
    }
}

#[test]
fn what_is_said_between_two_calls_belongs_to_one_or_ends_the_guest() {
    for _ in 0..5 {
        let mut kept = warm();
        kept.call::<_, ()>("panics_aside", &()).unwrap();
        while matches!(kept.call::<_, bool>("has_panicked_aside", &()), Ok(false)) {}
        let next = kept.run(&Task::invoke("next", &()).unwrap());
        // Its words on stderr are nobody's, unless the thread is late with the last of them.
        match label(&next) {
            "completed" => assert!(kept.is_usable()),
            "unstarted.rejected" => assert!(!kept.is_usable()),
            other => panic!("{other}: {}", next.verdict),
        }
    }
}

/// How often this thread and a process have gone to sleep.
fn sleeps(pid: u32) -> Vec<String> {
    let of = |who: &str| {
        let status = fs::read_to_string(format!("/proc/{who}/status")).unwrap();
        status.lines().find(|line| line.starts_with("voluntary_ctxt")).unwrap().to_owned()
    };
    vec![of("thread-self"), of(&pid.to_string())]
}

/// From now on nobody with an ordinary schedule comes between this thread or process and others of the same kind.
fn comes_first(id: u32) -> bool {
    let mut chrt = Command::new("chrt");
    chrt.args(["--fifo", "--pid", "1", &id.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    chrt.status().is_ok_and(|status| status.success())
}

#[test]
fn where_caller_and_guest_have_one_processor_none_of_them_sleeps_in_a_row_of_calls() {
    let this = Pid::from_raw(0);
    let all = sched_getaffinity(this).unwrap();
    let mut one = CpuSet::new();
    one.set(sched_getcpu().unwrap()).unwrap();
    sched_setaffinity(this, &one).unwrap();
    let found = warm_with_a_lane();
    // With others it would be left off for a while: whether there are any is not for this test.
    let found =
        found.filter(|(_, pid)| comes_first(*pid) && comes_first(gettid().as_raw().unsigned_abs()));
    let is_awake = found.is_none_or(|(mut kept, pid)| {
        // What was lost before that has it left off for a while.
        let end = Instant::now() + Duration::from_secs(30);
        let mut rows = std::iter::repeat_with(|| {
            let before = sleeps(pid);
            (0..20).for_each(|_| _ = kept.call::<_, u64>("next", &()).unwrap());
            sleeps(pid) == before
        });
        rows.find(|is_awake| *is_awake || Instant::now() > end).unwrap()
    });
    sched_setaffinity(this, &all).unwrap();
    assert!(is_awake);
}
