//! Processes that stand ready for a command: executed with its arguments, and held in front of their first instruction. It is
//! all the same to the program, to its verdict, and to everybody who looks on.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sandtrap::policy::restart::RestartSettings;
use sandtrap::{
    Happening, Label, Limits, Loaded, Order, Pool, PoolSettings, Program, Report, Reuse, Runtime,
    Stdin, Task, Telemetry, Verdict, Wall,
};
use sandtrap_tests::expect::{Expect, Row, SilentPipe, table};
use sandtrap_tests::guests::{self, Form};

use super::fallbacks::guard;
use super::pool_processes::{processes, wait_for};

/// A pool of one worker with so many that stand ready for this, and why some could not be made.
fn ready(loaded: &Loaded, spares: usize, task: &Task) -> (Pool, Receiver<String>) {
    let (tell, told) = mpsc::channel();
    let telemetry = Telemetry::to(move |happening| {
        if let Happening::WorkerFailedToStart { why } = happening {
            // The test is over if nobody hears it.
            let _ = tell.send(why.clone());
        }
    });
    let hour = Duration::from_secs(3_600);
    let restart = RestartSettings { most: hour, deaths: u32::MAX, ..RestartSettings::default() };
    let spares_for = Some(task.entry.clone());
    let settings = PoolSettings::with_workers(1);
    (loaded.pool(PoolSettings { spares, spares_for, telemetry, restart, ..settings }), told)
}

fn load(program: &Path) -> Loaded {
    let program = Program::file(program).within(Wall::Native);
    Runtime::new().unwrap().load(program).unwrap()
}

/// Runs it, and says whether its process was there before.
fn run(pool: &Pool, guest: &str, task: &Task) -> (Report, bool) {
    let before = processes(guest);
    let report = pool.run(Order::new(task.clone()));
    let was_there = report.task.pid.is_some_and(|pid| before.contains(&pid));
    (report, was_there)
}

fn bytes(text: &str) -> Stdin {
    Stdin::Bytes(text.as_bytes().into())
}

fn words(report: &Report) -> String {
    assert_eq!(report.verdict.label(), Label::Completed, "{}", report.verdict);
    report.output.stdout_text()
}

/// One row of the table, a few times; says what was wrong.
fn complaints(runtime: &Runtime, row: &Row, silent: &SilentPipe) -> Vec<String> {
    let Expect::Ends(label, code) = row.native else { return Vec::new() };
    let scratch = tempfile::tempdir().unwrap();
    let Ok(loaded) = runtime.load(row.program(Form::Process, scratch.path())) else {
        return Vec::new();
    };
    let task = row.task(silent);
    let (pool, told) = ready(&loaded, 1, &task);
    let mut wrong = Vec::new();
    for _ in 0..3 {
        let mut why = None;
        while pool.status().spares == 0 && why.is_none() {
            why = told.try_recv().ok();
            std::thread::yield_now();
        }
        let (report, was_there) = run(&pool, row.guest, &task);
        let got = match report.verdict {
            Verdict::Failed(sandtrap::Failure::Exit { code }) => Some(code),
            _ => None,
        };
        if report.verdict.label() != label || got != code || was_there == why.is_some() {
            let (guest, args) = (row.guest, &row.args);
            wrong.push(format!(
                "{guest} {args:?}: expected {label} {code:?}, got {:?} ({was_there}, {why:?})",
                report.verdict
            ));
        }
    }
    wrong
}

#[test]
fn every_guest_ends_as_expected_where_it_stood_ready() {
    let (runtime, silent) = (Runtime::new().unwrap(), SilentPipe::new());
    let wrong: Vec<String> =
        table().iter().flat_map(|row| complaints(&runtime, row, &silent)).collect();
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn each_command_has_a_process_of_its_own_that_was_executed_before() {
    let loaded = load(&guests::native("hello"));
    let task = Task::command(["x"]);
    let (pool, _) = ready(&loaded, 2, &task);
    let mut pids = BTreeSet::new();
    for _ in 0..20 {
        wait_for(&pool, 2);
        let (report, was_there) = run(&pool, "hello", &task);
        words(&report);
        assert!(was_there && pids.insert(report.task.pid.unwrap()));
    }
    wait_for(&pool, 2);
    drop(pool);
    assert_eq!(processes("hello"), BTreeSet::new());
}

#[test]
fn whoever_asks_for_something_else_has_a_process_that_is_started_for_it() {
    let loaded = load(&guests::native("hello"));
    let task = Task::command(["x"]);
    let (pool, _) = ready(&loaded, 1, &task);
    let other_time = Limits { cpu: Duration::from_secs(1), ..Limits::default() };
    let other_room = Limits { open_files: 17, ..Limits::default() };
    for other in [
        Task::command(["y"]),
        Task::command(["x", "y"]),
        Task::command(["x"]).stdin(bytes("z")),
        task.clone().limits(other_time),
        task.clone().limits(other_room),
    ] {
        wait_for(&pool, 1);
        let (report, was_there) = run(&pool, "hello", &other);
        words(&report);
        assert!(!was_there, "{:?}", other.entry);
    }
    // Time and words are a task's own, whoever runs it.
    let own = Limits { wall: Duration::from_secs(77), ..Limits::default() };
    wait_for(&pool, 1);
    let (report, was_there) = run(&pool, "hello", &task.limits(own));
    assert!(was_there && report.verdict.is_completed());
}

#[test]
fn bytes_for_its_input_come_with_the_task() {
    let loaded = load(&guests::native("echo"));
    let (pool, _) = ready(&loaded, 1, &Task::command(["x"; 0]).stdin(bytes("-")));
    for text in ["", "a", &"long ".repeat(40_000)] {
        wait_for(&pool, 1);
        let task = Task::command(["x"; 0]).stdin(bytes(text));
        let (report, was_there) = run(&pool, "echo", &task);
        assert!(was_there && words(&report) == text);
    }
}

/// Writes down all its registers before it does anything else: what rustc's and C's start-up would change.
#[cfg(target_arch = "x86_64")]
const REGISTERS: &str = r#"
.globl _start
_start:
    push %rsp
    pushf
    push %rax
    push %rbx
    push %rcx
    push %rdx
    push %rsi
    push %rdi
    push %rbp
    push %r8
    push %r9
    push %r10
    push %r11
    push %r12
    push %r13
    push %r14
    push %r15
    mov $17, %ebx
    mov %rsp, %r12
next:
    mov (%r12), %rax
    add $8, %r12
    mov $16, %r13
    lea line(%rip), %r14
digit:
    rol $4, %rax
    mov %al, %cl
    and $15, %cl
    add $48, %cl
    cmp $57, %cl
    jle put
    add $39, %cl
put:
    mov %cl, (%r14)
    inc %r14
    dec %r13
    jnz digit
    mov $1, %eax
    mov $1, %edi
    lea line(%rip), %rsi
    mov $17, %edx
    syscall
    dec %ebx
    jnz next
    mov $60, %eax
    xor %edi, %edi
    syscall
.data
line: .ascii "................\n"
"#;

/// A program of nothing but that.
#[cfg(target_arch = "x86_64")]
fn tells_registers(folder: &Path) -> std::path::PathBuf {
    let (source, program) = (folder.join("registers.s"), folder.join("registers"));
    fs::write(&source, REGISTERS).unwrap();
    let arguments = ["-nostdlib", "-static", "-o"];
    let built = Command::new("cc").args(arguments).arg(&program).arg(&source).status().unwrap();
    assert!(built.success());
    program
}

#[test]
#[cfg(target_arch = "x86_64")]
fn it_begins_with_the_registers_that_the_kernel_gave_it() {
    let folder = tempfile::tempdir().unwrap();
    let program = tells_registers(folder.path());
    let (loaded, task) = (load(&program), Task::command(["x"]));
    // Where its stack begins is chance.
    let told = |report: &Report| {
        let mut lines: Vec<String> = words(report).lines().map(str::to_owned).collect();
        assert_eq!(lines.len(), 17, "{lines:?}");
        let stack = lines.pop().unwrap();
        assert!(stack.ends_with('0') && stack.starts_with("00007f"), "{stack}");
        lines
    };
    let started = told(&loaded.run(&task));
    let (pool, _) = ready(&loaded, 1, &task);
    for _ in 0..5 {
        wait_for(&pool, 1);
        let (report, was_there) = run(&pool, "registers", &task);
        assert!(was_there && told(&report) == started, "{started:?} {:?}", told(&report));
    }
}

#[test]
fn it_is_born_with_what_every_other_one_is() {
    for guest in ["prints_signals", "lists_descriptors", "prints_environment"] {
        let (loaded, task) = (load(&guests::native(guest)), Task::command(["x"; 0]));
        let (pool, _) = ready(&loaded, 1, &task);
        wait_for(&pool, 1);
        let (report, was_there) = run(&pool, guest, &task);
        assert!(was_there && words(&report) == words(&loaded.run(&task)), "{guest}");
    }
}

#[test]
fn a_signal_of_a_strangers_does_not_let_it_begin() {
    let loaded = load(&guests::native("hello"));
    let task = Task::command(["x"; 0]);
    let (pool, _) = ready(&loaded, 1, &task);
    for signal in [Signal::SIGCONT, Signal::SIGWINCH, Signal::SIGCHLD, Signal::SIGCONT] {
        wait_for(&pool, 1);
        let [pid] = processes("hello").into_iter().collect::<Vec<_>>()[..] else { panic!() };
        let stood = Pid::from_raw(pid.cast_signed());
        for _ in 0..20 {
            kill(stood, signal).unwrap();
        }
        let (report, _) = run(&pool, "hello", &task);
        assert_eq!((report.task.pid, words(&report).is_empty()), (Some(pid), false), "{signal}");
    }
}

#[test]
fn one_that_dies_while_it_stands_ready_costs_no_task() {
    let loaded = load(&guests::native("hello"));
    let task = Task::command(["x"; 0]);
    let (pool, _) = ready(&loaded, 1, &task);
    for signal in [Signal::SIGKILL, Signal::SIGTERM, Signal::SIGSEGV].repeat(20) {
        wait_for(&pool, 1);
        for pid in processes("hello") {
            kill(Pid::from_raw(pid.cast_signed()), signal).unwrap();
        }
        // Whoever looks finds it alive, dying, or dead.
        words(&pool.run(Order::new(task.clone())));
        pool.reset();
    }
}

#[test]
fn what_can_not_stand_ready_is_told_and_runs_all_the_same() {
    let (hello, task) = (guests::native("hello"), Task::command(["x"; 0]));
    let module = Runtime::new().unwrap().load(Program::file(guests::wasm("hello"))).unwrap();
    let file = task.clone().stdin(Stdin::File("/dev/null".into()));
    let call = Task::invoke("next", &()).unwrap();
    for (loaded, ready_for, why) in [
        (module, &task, "begin at once"),
        (load(&hello), &file, "without input, or with bytes"),
        (load(&hello), &call, "where no command is named"),
    ] {
        let (pool, told) = ready(&loaded, 1, ready_for);
        let said = told.recv().unwrap();
        assert!(said.contains(why), "{said}");
        words(&pool.run(Order::new(task.clone())));
        assert_eq!(pool.status().spares, 0);
    }
    let keep = Some(Reuse::default());
    let (tell, told) = mpsc::channel();
    let telemetry = Telemetry::to(move |happening| {
        if let Happening::WorkerFailedToStart { why } = happening {
            let _ = tell.send(why.clone());
        }
    });
    let spares_for = Some(task.entry);
    let settings =
        PoolSettings { keep, spares: 1, spares_for, telemetry, ..PoolSettings::default() };
    let _pool = load(&guests::native("stays")).pool(settings);
    let said = told.recv().unwrap();
    assert!(said.contains("leave one of `keep` and `spares_for` out"), "{said}");
}

/// Where nobody may trace, nobody could hold it: it must not begin before its task.
#[test]
fn where_tracing_is_refused_none_is_made_and_nothing_runs() {
    let output = Command::new(env!("CARGO_BIN_EXE_poor_host"))
        .args(["tracing", "best-effort", "compute"])
        .arg(guests::native("hello"))
        .arg("ready")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["verdict"]["label"], "completed", "{report:#}");
    assert_eq!(guard(&report, "tracing")["state"], "missing");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("does not let this program be held"), "{said}");
}
