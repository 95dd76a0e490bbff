//! Where a process runs that is kept, and what it says while nobody calls it.

use std::fs;

use nix::sched::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
use nix::unistd::Pid;
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

/// What a test does on a thread of its own, which has one processor from the second half on.
fn on_one_processor(act: impl FnOnce(CpuSet, CpuSet, &dyn Fn()) + Send + 'static) {
    let thread = std::thread::spawn(|| {
        let this = Pid::from_raw(0);
        let all = sched_getaffinity(this).unwrap();
        let mut one = CpuSet::new();
        one.set(sched_getcpu().unwrap()).unwrap();
        act(all, one, &|| sched_setaffinity(this, &one).unwrap());
    });
    thread.join().unwrap();
}

#[test]
fn a_guest_that_is_called_now_and_then_is_beside_its_caller_until_it_takes_long() {
    on_one_processor(|all, one, stay| {
        let mut kept = warm();
        let known = kept.run(&Task::invoke("next", &()).unwrap());
        let pid = known.task.pid.unwrap();
        if !has_lanes(&known) {
            return;
        }
        stay();
        let may_use = || sched_getaffinity(Pid::from_raw(pid.cast_signed())).unwrap();
        for round in 0..3 {
            let mut calls = 0;
            while may_use() != one {
                call_now_and_then(&mut kept, pid);
                calls += 1;
                assert!(calls < 1000, "{round}");
            }
            // It is let go while it works, and is where it likes then: if its caller has the processor meanwhile.
            let mut calls = 0;
            while may_use() != all {
                kept.call::<_, u64>("works", &20_u64).unwrap();
                calls += 1;
                assert!(calls < 1000, "{round}");
            }
        }
        assert_eq!(sched_getaffinity(Pid::from_raw(0)).unwrap(), one, "its caller is not moved");
    });
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
