//! A fork of a warm guest is over with its answer: what it said before is heard, what it used is told, and nothing of it stays.

use sandtrap::{Loaded, Report, Start, Task};
use sandtrap_tests::guests;

use super::forks::{alone, load, program, running};

fn task(function: &str) -> Task {
    Task::invoke(function, &()).unwrap()
}

fn answered(guest: &Loaded, task: &Task) -> Report {
    let report = guest.run(task);
    assert!(report.verdict.is_completed(), "{}", report.verdict);
    report
}

/// How many descriptors this process has.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn however_fast_forks_are_called_few_of_them_are_about_to_end_and_none_outlives_its_program() {
    let (_folder, file) = alone();
    let guest = load(program(&file, Start::Fork));
    answered(&guest, &task("learnt"));
    let (mut most, before) = (0, descriptors());
    for _ in 0..200 {
        answered(&guest, &task("learnt"));
        most = most.max(descriptors().saturating_sub(before));
        // Itself, those that are about to end, and one of them that is being cleared away.
        let alive = running(&file).len();
        assert!(alive <= 6, "{alive} are alive");
    }
    // Each has about a dozen, and its group a few.
    assert!(most <= 200, "{most} descriptors more");
    drop(guest);
    assert_eq!(running(&file), []);
}

#[test]
fn callers_of_forks_who_run_beside_each_other_leave_nothing() {
    let (_folder, file) = alone();
    let guest = load(program(&file, Start::Fork));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..25).for_each(|_| _ = answered(&guest, &task("learnt"))));
        }
    });
    drop(guest);
    assert_eq!(running(&file), []);
}

#[test]
fn what_a_fork_has_written_before_its_answer_is_heard_whoever_kept_it_back() {
    let guest = load(program(guests::native("warmed"), Start::Fork));
    for _ in 0..20 {
        let report = answered(&guest, &task("mutters"));
        let said = String::from_utf8(report.output.stdout.clone().unwrap()).unwrap();
        assert!(said.contains("by C\n") && said.contains("by Rust"), "{said:?}");
        assert!(report.output.stderr_text().ends_with("aloud\n"));
    }
}

#[test]
fn what_a_fork_has_used_until_its_answer_is_told() {
    let guest = load(program(guests::native("warmed"), Start::Fork));
    let bytes = 16 << 20;
    let report = answered(&guest, &Task::invoke("allocates", &bytes).unwrap());
    let usage = &report.usage;
    assert!(usage.peak_memory >= bytes, "{usage:?}");
    assert!(!usage.cpu.is_zero() && usage.cpu <= usage.wall * 64, "{usage:?}");
}
