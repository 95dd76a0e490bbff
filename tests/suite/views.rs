//! What a task has of its own: a `/tmp` with room for so much, and a `/proc` of its own processes.

use std::fs;

use sandtrap::{
    Access, ByteSize, GuardState, Label, Limits, Permissions, Profile, Program, Report, Runtime,
    StopReason, Task,
};
use sandtrap_tests::guests;

use super::files::ample;

fn program(limits: Limits, permissions: Permissions) -> Program {
    let permissions = Permissions { profile: Profile::Files, ..permissions };
    Program::file(guests::native("files")).limits(limits).permissions(permissions)
}

fn run(limits: Limits, permissions: Permissions, words: &[&str]) -> Report {
    Runtime::new().unwrap().run(program(limits, permissions), &Task::command(words))
}

fn room(scratch: ByteSize) -> Limits {
    Limits { scratch, ..ample() }
}

fn proc() -> Permissions {
    Permissions { proc: true, ..Permissions::default() }
}

/// Where nobody can make a root, nobody has anything of his own, and is told so.
fn is_refused_here(report: &Report) -> bool {
    let plain = run(ample(), Permissions::default(), &[]);
    let root = plain.guards.iter().find(|guard| guard.name == "mount-namespace").unwrap();
    if root.state == GuardState::InForce {
        return false;
    }
    assert_eq!(report.verdict.label(), Label::UnstartedRejected, "{report:#?}");
    assert!(report.verdict.to_string().contains("of its own takes a root of its own"));
    true
}

fn lines(report: &Report) -> Vec<String> {
    assert!(report.verdict.is_completed(), "{report:#?}");
    report.output.stdout_text().lines().map(str::to_owned).collect()
}

#[test]
fn a_scratch_is_written_and_read_and_fresh_for_every_task() {
    let words = ["list", "/tmp", "write", "/tmp/a", "text", "read", "/tmp/a", "make-dir", "/tmp/b"];
    let words = [&words[..], &["rename", "/tmp/a", "/tmp/b/c", "list", "/tmp"]].concat();
    let guest = Runtime::new().unwrap();
    let guest = guest.load(program(room(ByteSize::mib(1)), Permissions::default())).unwrap();
    for _ in 0..3 {
        let report = guest.run(&Task::command(&words));
        if is_refused_here(&report) {
            return;
        }
        let said = ["list: ", "write: ok", "read: text", "make-dir: ok", "rename: ok", "list: b"];
        assert_eq!(lines(&report), said);
        assert_eq!(report.limits.scratch, ByteSize::mib(1));
    }
}

#[test]
fn what_processes_share_by_name_lies_in_the_same_scratch() {
    let words = ["write", "/dev/shm/a", "text", "read", "/tmp/a", "list", "/dev/shm"];
    let report = run(room(ByteSize::mib(1)), Permissions::default(), &words);
    if !is_refused_here(&report) {
        assert_eq!(lines(&report), ["write: ok", "read: text", "list: a"]);
    }
    let full = ["fill", "/dev/shm/a", "2097152"];
    let report = run(room(ByteSize::mib(1)), Permissions::default(), &full);
    if !is_refused_here(&report) {
        assert_eq!(report.verdict.label().as_str(), "stopped.files", "{report:#?}");
    }
    // Without one there is no such folder.
    let report = run(ample(), Permissions::default(), &words);
    if !is_refused_here(&run(room(ByteSize::mib(1)), Permissions::default(), &[])) {
        assert_eq!(lines(&report)[0], "write: NotFound");
    }
}

#[test]
fn without_one_nothing_is_written_in_tmp() {
    let report = run(ample(), Permissions::default(), &["write", "/tmp/a", "x"]);
    let guard = report.guards.iter().find(|guard| guard.name == "mount-namespace").unwrap();
    if guard.state == GuardState::InForce {
        assert_ne!(lines(&report), ["write: ok"]);
    }
}

#[test]
fn a_scratch_that_holds_too_much_ends_the_task_and_one_that_is_just_full_does_not() {
    let (full, above) = ("x".repeat(64 << 10), "x".repeat((64 << 10) + 1));
    for (text, ends, reason) in
        [(&full, "completed", None), (&above, "stopped.files", Some(StopReason::Scratch))]
    {
        let report =
            run(room(ByteSize::kib(64)), Permissions::default(), &["write", "/tmp/a", text]);
        if is_refused_here(&report) {
            return;
        }
        assert_eq!(report.verdict.label().as_str(), ends, "{report:#?}");
        assert_eq!(report.facts.stopped_by_us, reason);
    }
}

#[test]
fn so_many_files_and_folders_fit_into_a_scratch() {
    let limits = || Limits { scratch_files: 5, ..room(ByteSize::kib(64)) };
    for (count, ends) in [("4", "completed"), ("5", "stopped.files"), ("500", "stopped.files")] {
        let words = ["make-dir", "/tmp/a", "make-many", "/tmp/a", count];
        let report = run(limits(), Permissions::default(), &words);
        if is_refused_here(&report) {
            return;
        }
        assert_eq!(report.verdict.label().as_str(), ends, "{count}: {report:#?}");
    }
}

#[test]
fn what_is_in_a_scratch_counts_as_memory_of_its_task() {
    let limits = Limits {
        memory: ByteSize::mib(16),
        file_bytes: ByteSize::mib(64),
        ..room(ByteSize::mib(16))
    };
    // Room for all of it, beside a guest that needs some itself.
    let words = ["fill", "/tmp/a", "16777216"];
    let report = run(limits, Permissions::default(), &words);
    if is_refused_here(&report) {
        return;
    }
    let has_group =
        report.guards.iter().any(|it| it.name == "memory-group" && it.state == GuardState::InForce);
    if has_group {
        assert_eq!(report.verdict.label(), Label::CrashedOutOfMemory, "{report:#?}");
    }
}

#[test]
fn whether_there_is_a_scratch_is_fixed_at_the_load_and_its_size_is_not() {
    let runtime = Runtime::new().unwrap();
    let with = runtime.load(program(room(ByteSize::mib(1)), Permissions::default())).unwrap();
    let words = ["write", "/tmp/a", "x"];
    let smaller = with.run(&Task::command(words).limits(room(ByteSize::kib(4))));
    if !is_refused_here(&smaller) {
        assert_eq!(
            (lines(&smaller), smaller.limits.scratch),
            (vec!["write: ok".to_owned()], ByteSize::kib(4))
        );
    }
    let without = runtime.load(program(ample(), Permissions::default())).unwrap();
    let refused = without.run(&Task::command(words).limits(room(ByteSize::mib(1))));
    assert_eq!(refused.verdict.label(), Label::UnstartedRejected);
    assert!(refused.verdict.to_string().contains("load it with a scratch limit"));
}

#[test]
fn what_would_be_hidden_behind_it_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    for (guest, own, limits, mut permissions) in [
        ("/tmp/data", "/tmp", room(ByteSize::mib(1)), Permissions::default()),
        ("/dev/shm/data", "/dev/shm", room(ByteSize::mib(1)), Permissions::default()),
        ("/proc/data", "/proc", ample(), proc()),
    ] {
        permissions.grant_dir(folder.path(), guest, Access::ReadOnly);
        let report = run(limits, permissions, &[]);
        assert_eq!(report.verdict.label(), Label::UnstartedRejected);
        let words = report.verdict.to_string();
        assert!(
            words.contains(guest) && words.contains(&format!("a `{own}` of its own")),
            "{words}"
        );
    }
}

#[test]
fn a_proc_has_the_tasks_own_processes_and_nothing_of_the_hosts() {
    let words = ["list", "/proc", "read", "/proc/self/comm", "read", "/proc/1/comm"];
    let more =
        ["read", "/proc/meminfo", "read", "/proc/sys/kernel/hostname", "read", "/proc/cmdline"];
    let report = run(ample(), proc(), &[&words[..], &more].concat());
    if is_refused_here(&report) {
        return;
    }
    // A name ends its line itself.
    let mut said = lines(&report);
    said.retain(|line| !line.is_empty());
    assert_eq!(said[0], "list: 1 self thread-self");
    assert!(said[1].starts_with("read: ") && said[1] == said[2], "{said:?}");
    assert_eq!(said[3..], ["read: NotFound"; 3]);
}

#[test]
fn a_proc_is_read_only_and_no_way_to_write_what_was_given_to_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("input");
    fs::write(&input, "input").unwrap();
    for path in ["/proc/self/comm", "/proc/self/mem", "/proc/self/fd/0", "/proc/self/exe"] {
        let task = Task::command(["write-at", path, "0", "new"])
            .stdin(sandtrap::Stdin::File(input.clone()));
        let report = Runtime::new().unwrap().run(program(ample(), proc()), &task);
        if is_refused_here(&report) {
            return;
        }
        assert_ne!(lines(&report), ["write-at: ok"], "{path}");
        assert_eq!(fs::read_to_string(&input).unwrap(), "input", "{path}");
    }
}

#[test]
fn a_module_has_nothing_of_the_kind_and_is_told_so() {
    let module = || Program::file(guests::wasm("files"));
    for (program, words) in [
        (module().limits(room(ByteSize::mib(1))), "the scratch limit of 1 MiB is for processes"),
        (module().permissions(proc()), "a module finds no `/proc`"),
    ] {
        let report = Runtime::new().unwrap().run(program, &Task::command([""; 0]));
        assert_eq!(report.verdict.label(), Label::UnstartedRejected);
        assert!(report.verdict.to_string().contains(words), "{}", report.verdict);
    }
}

#[test]
fn without_a_grant_there_is_no_proc() {
    let report = run(ample(), Permissions::default(), &["read", "/proc/self/comm"]);
    let guard = report.guards.iter().find(|guard| guard.name == "mount-namespace").unwrap();
    if guard.state == GuardState::InForce {
        assert_eq!(lines(&report), ["read: NotFound"]);
    }
}
