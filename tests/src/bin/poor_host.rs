//! A host that lacks something: runs one guest there and prints the report.
//!
//! `poor_host WHAT GUARDS PROFILE GUEST [PROCESSES]`, where WHAT is `tracing`, `groups`, `filters`, `users` (namespaces of
//! users), `namespaces` (all of them), `landlock`, `landlock-N` (its version N), `order` or `nothing`, and GUARDS `required` or
//! `best-effort`, and behind that, each behind a comma, those that are `+required` or `-not` by their names. With a number of processes the guest has a short processor time for all of them.
//! With `xN` in place of that so many are run at once, and their verdicts are printed. With `ready` one is to stand ready for it,
//! and why there is none is said on stderr. With `soon` it has half a second, and what this host worked meanwhile is said there, in
//! milliseconds.
//! Without order it has something of everything that a process has from whoever started it, runs the guest bare, and has
//! no filters either, so that the guest may ask for it.
//! `poor_host WHAT probe '' ''` prints what a probe finds there instead.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "its report is read by a test")]
#![expect(unsafe_code, reason = "what a host may have can't be had otherwise")]

use std::sync::Barrier;
use std::time::Duration;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::personality;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::stat::{Mode, umask};
use nix::time::{ClockId, clock_gettime};
use sandtrap::{
    ByteSize, GuardMode, Guarding, Happening, Limits, Loaded, Order, Permissions, PoolSettings,
    Profile, Program, Record, Report, Runtime, Task, Telemetry, Wall,
};
use sandtrap_tests::landlock_mask;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, what, guards, profile, guest, more @ ..] = arguments.as_slice() else {
        panic!("four arguments, or five")
    };
    match what.as_str() {
        "tracing" => forbid_tracing(),
        "groups" => hide_groups(),
        "filters" => forbid_filters(),
        "order" => make_a_mess(guest),
        "users" => forbid_namespaces(nix::libc::CLONE_NEWUSER as u64),
        "namespaces" => forbid(nix::libc::SYS_unshare),
        "landlock" => forbid(nix::libc::SYS_landlock_create_ruleset),
        "nothing" => {}
        other => {
            let version = other.strip_prefix("landlock-").expect("something that can be lacked");
            landlock_mask::pretend(version.parse().expect("a version"));
        }
    }
    if guards == "probe" {
        for found in sandtrap::probe() {
            println!("{} {}", found.probe.name(), found.state.name());
        }
        return;
    }
    let guards = guarding(guards);
    // Where nobody traces, several processes make it uncertain whose a kill for memory was.
    let processes = if guest.contains("heap") { 1 } else { 3 };
    let mut limits = Limits { memory: ByteSize::mib(64), processes, ..Limits::default() };
    let at_once = more.first().and_then(|word| word.strip_prefix('x'));
    let is_ready = more.first().is_some_and(|word| word == "ready");
    let is_soon = more.first().is_some_and(|word| word == "soon");
    if is_soon {
        limits.wall = Duration::from_millis(500);
    }
    if let Some(processes) = more.first().filter(|_| at_once.is_none() && !is_ready && !is_soon) {
        limits.processes = processes.parse().expect("a number");
        limits.cpu = Duration::from_millis(100);
    }
    let profile: Profile = profile.parse().expect("a profile");
    let permissions = Permissions { profile, ..Permissions::default() };
    let program = Program::file(guest).within(Wall::Native).limits(limits).guards(guards);
    let program = program.permissions(permissions).backtrace(true);
    let runtime = Runtime::new().expect("a runtime");
    if let Some(count) = at_once {
        return run_at_once(
            &runtime.load(program).expect("it loads"),
            count.parse().expect("a number"),
        );
    }
    let task = Task::command(["x"; 0]);
    let before = worked();
    let report = match is_ready {
        true => run_beside_one(&runtime.load(program).expect("it loads"), task),
        false => runtime.run(program, &task),
    };
    if is_soon {
        eprintln!("{}", (worked() - before).as_millis());
    }
    println!("{}", serde_json::to_string(&Record::from(&report)).expect("a report is JSON"));
}

/// The processor time of this program.
fn worked() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).expect("it has a clock").into()
}

/// After it was heard why no process stands ready for it.
fn run_beside_one(loaded: &Loaded, task: Task) -> Report {
    let (tell, told) = std::sync::mpsc::channel();
    let telemetry = Telemetry::to(move |happening| {
        if let Happening::WorkerFailedToStart { why } = happening {
            // The first one is enough.
            let _ = tell.send(why.clone());
        }
    });
    let spares_for = Some(task.entry.clone());
    let settings = PoolSettings::with_workers(1);
    let pool = loaded.pool(PoolSettings { spares: 1, spares_for, telemetry, ..settings });
    eprintln!("{}", told.recv().expect("one of them is made on the way"));
    pool.run(Order::new(task))
}

fn run_at_once(loaded: &Loaded, count: usize) {
    let together = Barrier::new(count);
    let run = || {
        together.wait();
        println!("{}", loaded.run(&Task::command(["x"; 0])).verdict.label());
    };
    std::thread::scope(|scope| (0..count).for_each(|_| _ = scope.spawn(run)));
}

fn guarding(text: &str) -> Guarding {
    let mode = |is_required| if is_required { GuardMode::Required } else { GuardMode::BestEffort };
    let mut words = text.split(',');
    let all = Guarding::from(mode(words.next() == Some("required")));
    words.fold(all, |guards, word| {
        guards.with(&word[1..], mode(word.starts_with('+'))).expect("the name of a guard")
    })
}

/// As a container does it: `ptrace` is an error, everything else is allowed.
fn forbid_tracing() {
    forbid(nix::libc::SYS_ptrace);
}

/// As where the kernel has no filters, or an outer sandbox keeps them to itself.
fn forbid_filters() {
    forbid(nix::libc::SYS_seccomp);
}

fn forbid(call: i64) {
    refuse(vec![(call, Vec::new())]);
}

/// As where a setting forbids some of them.
fn forbid_namespaces(kind: u64) {
    let (compare, size) = (SeccompCmpOp::MaskedEq(kind), SeccompCmpArgLen::Dword);
    let rule = || {
        let test = SeccompCondition::new(0, size.clone(), compare.clone(), kind);
        SeccompRule::new(vec![test.expect("a test")]).expect("a rule")
    };
    let calls = [nix::libc::SYS_unshare, nix::libc::SYS_clone];
    refuse(calls.map(|call| (call, vec![rule()])).into());
}

fn refuse(rules: Vec<(i64, Vec<SeccompRule>)>) {
    let filter = SeccompFilter::new(
        rules.into_iter().collect(),
        SeccompAction::Allow,
        SeccompAction::Errno(nix::libc::EPERM as u32),
        std::env::consts::ARCH.try_into().expect("a known architecture"),
    );
    let program: BpfProgram = filter.and_then(TryInto::try_into).expect("a filter");
    seccompiler::apply_filter(&program).expect("filters are allowed");
}

/// Has what no guest should have, and shows by a bare process that one would have it.
fn make_a_mess(guest: &str) {
    let everything = SigSet::all();
    everything.thread_set_mask().expect("a mask");
    for ignored in [Signal::SIGPIPE, Signal::SIGHUP, Signal::SIGUSR1] {
        let action = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
        // SAFETY: nothing is called where a signal is ignored.
        unsafe { sigaction(ignored, &action) }.expect("an action");
    }
    umask(Mode::empty());
    personality::set(personality::Persona::ADDR_NO_RANDOMIZE).expect("a personality");
    add_key();
    let leak = std::fs::File::open("/dev/null").expect("a file");
    fcntl(&leak, FcntlArg::F_SETFD(FdFlag::empty())).expect("not to be closed");
    std::mem::forget(leak);
    // SAFETY: this process has one thread.
    unsafe { std::env::set_var("SANDTRAP_SECRET", "x") };
    let ended = std::process::Command::new(guest).status().expect("a bare process");
    assert!(ended.success(), "{ended}");
    forbid_filters();
}

/// Into a keyring of this session's own, so that nothing is left of it.
fn add_key() {
    const JOIN_SESSION: i32 = 1;
    const SESSION: i32 = -3;
    let (kind, name, value) = (c"user".as_ptr(), c"sandtrap-untidy".as_ptr(), c"x".as_ptr());
    // SAFETY: no name for the keyring.
    let joined = unsafe { nix::libc::syscall(nix::libc::SYS_keyctl, JOIN_SESSION, 0, 0, 0, 0) };
    if joined < 0 {
        // In many a container nobody may have keys.
        return;
    }
    // SAFETY: constant texts, of which one byte is the value.
    let added =
        unsafe { nix::libc::syscall(nix::libc::SYS_add_key, kind, name, value, 1, SESSION) };
    assert!(added >= 0, "{}", std::io::Error::last_os_error());
}

/// Where control groups can't be written. Without being root they can't be anyway.
fn hide_groups() {
    if unshare(CloneFlags::CLONE_NEWNS).is_ok() {
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("private");
        mount(none, "/sys/fs/cgroup", Some("tmpfs"), MsFlags::MS_RDONLY, none).expect("hidden");
    }
}
