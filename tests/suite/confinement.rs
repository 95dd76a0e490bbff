//! What a guest starts with, bullet by bullet, behind both walls.

use std::os::fd::AsRawFd as _;
use std::process::Command;

use sandtrap::{
    Access, ByteSize, GuardState, Limits, Network, Permissions, Profile, Program, Report, Runtime,
    Stdin, Task,
};
use sandtrap_tests::guests::{self, Form};

fn run(wall: Form, guest: &str, permissions: Permissions, task: &Task) -> Report {
    let program = Program::file(wall.guest(guest)).within(wall.wall()).permissions(permissions);
    Runtime::new().unwrap().run(program, task)
}

fn task<const N: usize>(args: [&str; N]) -> Task {
    Task::command(args)
}

fn lines(report: &Report) -> Vec<String> {
    assert!(report.verdict.is_completed(), "{:?}", report.verdict);
    report.output.stdout_text().lines().map(str::to_owned).collect()
}

const WALLS: [Form; 3] = Form::ALL;

#[test]
fn b6_a_guest_gets_its_arguments_and_no_environment() {
    for wall in WALLS {
        let seen = lines(&run(wall, "arguments", Permissions::default(), &task(["a b", "", "ü"])));
        let (arguments, environment) = seen.split_at(3);
        assert_eq!(arguments, ["a b", "", "ü"], "{wall:?}");
        let foreign = environment.iter().filter(|line| !line.starts_with("SANDTRAP_CHANNEL="));
        assert_eq!(foreign.count(), 0, "{wall:?}: {environment:?}");
    }
}

#[test]
fn a_program_that_is_in_memory_only_has_the_guards_of_every_other() {
    let made = nix::sys::memfd::memfd_create("program", nix::sys::memfd::MFdFlags::empty());
    let mut file = std::fs::File::from(made.unwrap());
    std::io::copy(&mut std::fs::File::open(guests::native("hello")).unwrap(), &mut file).unwrap();
    let in_memory = format!("/proc/self/fd/{}", file.as_raw_fd());
    let [of_file, in_memory] = [guests::native("hello"), in_memory.into()].map(|path| {
        let report = Runtime::new().unwrap().run(Program::file(path), &task([]));
        assert!(report.verdict.is_completed(), "{:?}", report.verdict);
        report.guards
    });
    assert_eq!(in_memory, of_file);
}

#[test]
fn only_granted_variables_reach_a_guest() {
    let mut granted = Permissions::default();
    granted.grant_env("COLOUR", "red");
    granted.grant_env("COLOUR", "blue");
    for wall in WALLS {
        let seen = lines(&run(wall, "arguments", granted.clone(), &task([])));
        let seen: Vec<_> = seen.iter().filter(|line| !line.starts_with("SANDTRAP_")).collect();
        assert_eq!(seen, ["COLOUR=blue"], "{wall:?}");
    }
}

#[test]
fn stdin_is_empty_unless_given() {
    for wall in WALLS {
        let seen = run(wall, "wordcount", Permissions::default(), &task([]));
        assert_eq!(lines(&seen), ["0 0 0"], "{wall:?}");
        let given = task([]).stdin(Stdin::Bytes(b"two words\n".as_slice().into()));
        assert_eq!(lines(&run(wall, "wordcount", Permissions::default(), &given)), ["1 2 10"]);
    }
}

#[test]
fn a_large_input_and_its_echo_do_not_block_each_other() {
    let input = "0123456789abcdef".repeat(64 * 1024);
    for wall in WALLS {
        let given = task([]).stdin(Stdin::Bytes(input.as_bytes().into()));
        let report = run(wall, "echo", Permissions::default(), &given);
        assert!(report.output.stdout.as_deref() == Some(input.as_bytes()), "{wall:?}");
    }
}

#[test]
fn a_file_can_be_the_input() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut file, b"a\nb\n").unwrap();
    for wall in WALLS {
        let given = task([]).stdin(Stdin::File(file.path().to_owned()));
        assert_eq!(lines(&run(wall, "wordcount", Permissions::default(), &given)), ["2 2 4"]);
        let missing = task([]).stdin(Stdin::File("/nowhere/at/all".into()));
        let report = run(wall, "wordcount", Permissions::default(), &missing);
        assert_eq!(report.verdict.label().as_str(), "unstarted.rejected", "{wall:?}");
        assert!(report.verdict.to_string().contains("/nowhere/at/all"), "{}", report.verdict);
    }
}

#[test]
fn behind_either_wall_nobody_is_reached() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let there = listener.local_addr().unwrap().to_string();
    for form in Form::ALL {
        let report = run(form, "reaches_out", Permissions::default(), &task([&*there]));
        if form != Form::Process {
            assert_eq!(lines(&report), Vec::<String>::new(), "{form:?}");
        }
        let called = listener.accept().map_err(|error| error.kind());
        assert_eq!(called.unwrap_err(), std::io::ErrorKind::WouldBlock, "{form:?}");
        let reached = report.output.stdout_text();
        assert!(!reached.contains("peer") && !reached.contains("file"), "{form:?}: {reached}");
    }
    let granted = Permissions { net: Network::Host, ..Permissions::default() };
    let native = run(Form::Process, "reaches_out", granted, &task([&*there]));
    assert!(lines(&native).contains(&"peer".to_owned()), "the guest does try");
}

#[test]
fn binary_output_arrives_unchanged() {
    let expected: Vec<u8> = (0..16).flat_map(|_| 0..=255).collect();
    for wall in WALLS {
        let report = run(wall, "binary_stdout", Permissions::default(), &task([]));
        assert_eq!(report.output.stdout.as_deref(), Some(&expected[..]), "{wall:?}");
        assert_eq!(report.usage.stdout_bytes, 4096, "{wall:?}");
    }
}

#[test]
fn b6_a_process_has_four_descriptors_and_no_more() {
    // The host has this one open, and it is not marked to be closed.
    let kept = std::fs::File::open("/dev/null").unwrap();
    nix::fcntl::fcntl(&kept, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())).unwrap();
    let report = run(Form::Process, "lists_descriptors", Permissions::default(), &task([]));
    assert_eq!(lines(&report), ["0", "1", "2", "3"]);
}

#[test]
fn a_process_ignores_and_blocks_no_signal() {
    let report = run(Form::Process, "prints_signals", Permissions::default(), &task([]));
    for line in lines(&report) {
        assert!(line.split_whitespace().any(|word| word == "0"), "{line}");
    }
}

#[test]
fn a_process_cannot_open_more_than_its_limit() {
    let limits = Limits { open_files: 8, ..Limits::default() };
    let program = Program::file(guests::native("leaks_descriptors")).limits(limits);
    let report = Runtime::new().unwrap().run(program, &task([]));
    assert!(report.verdict.is_completed(), "{:?}", report.verdict);
}

#[test]
fn i12_i16_p10_the_tree_of_a_process_is_gone_when_its_report_is_there() {
    let limits = Limits { processes: 3, ..Limits::default() };
    let permissions = Permissions { profile: Profile::Process, ..Permissions::default() };
    let program = Program::file(guests::native("orphan")).limits(limits).permissions(permissions);
    let report = Runtime::new().unwrap().run(program, &task([]));
    assert!(report.verdict.is_completed(), "{:?}", report.verdict);
    let survivor = std::fs::read_dir("/proc").unwrap().flatten().find(|entry| {
        std::fs::read_link(entry.path().join("exe")).is_ok_and(|exe| exe.ends_with("orphan"))
    });
    assert_eq!(survivor.map(|entry| entry.path()), None);
}

#[test]
fn a_host_that_waits_for_the_signal_of_its_children_gets_it() {
    let mut host = Command::new(env!("CARGO_BIN_EXE_waiting_host"));
    let output = host.arg(guests::native("hello")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_program_that_does_not_fit_into_its_memory_never_starts() {
    let (memory, stack) = (ByteSize::kib(64), ByteSize::kib(64));
    let limits = Limits { memory, stack, ..Limits::default() };
    let program = Program::file(guests::native("hello")).limits(limits);
    let report = Runtime::new().unwrap().run(program, &task([]));
    assert_eq!(report.verdict.label().as_str(), "unstarted.limit-too-small", "{report:#?}");
}

#[test]
fn b12_memory_is_capped_exactly_and_its_peak_is_told() {
    for wall in WALLS {
        let limits = Limits { memory: ByteSize::mib(32), ..Limits::default() };
        let path = wall.guest("heap_slow_growth");
        let report = Runtime::new().unwrap().run(Program::file(path).limits(limits), &task([]));
        assert_eq!(report.verdict.label().as_str(), "crashed.out-of-memory", "{wall:?}");
        let peak = report.usage.peak_memory;
        // The kernel counts in batches of pages, so its peak may be a little above its cap.
        assert!((16 << 20..=33 << 20).contains(&peak), "{wall:?}: {peak}");
    }
}

#[test]
fn a_component_reaches_the_network_only_if_that_was_granted() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let there = listener.local_addr().unwrap().to_string();
    let granted = Permissions { net: Network::Host, ..Permissions::default() };
    let reached = run(Form::Component, "reaches_out", granted, &task([&there]));
    assert!(lines(&reached).contains(&"peer".to_owned()), "{:?}", lines(&reached));
    let reached = run(Form::Component, "reaches_out", Permissions::default(), &task([&there]));
    assert_eq!(lines(&reached), [""; 0]);
}

#[test]
fn files_are_limited_in_every_form_that_has_directories() {
    let folder = tempfile::tempdir().unwrap();
    let mut permissions = Permissions::default();
    permissions.grant_dir(folder.path(), folder.path(), Access::ReadOnly);
    for form in [Form::Module, Form::Component] {
        let report = run(form, "hello", permissions.clone(), &task([]));
        let guard = report.guards.iter().find(|guard| guard.name == "file-limits");
        assert_eq!(guard.map(|guard| guard.state), Some(GuardState::InForce), "{form:?}");
    }
}

#[test]
fn more_arguments_than_fit_are_refused_behind_either_wall() {
    let huge = "x".repeat(3 << 20);
    for wall in WALLS {
        let report = run(wall, "arguments", Permissions::default(), &task([&huge]));
        assert_eq!(report.verdict.label().kind(), "unstarted", "{wall:?}: {}", report.verdict);
    }
    let large = "x".repeat(1 << 20);
    let seen = lines(&run(Form::Module, "arguments", Permissions::default(), &task([&large])));
    assert_eq!(seen, [large]);
}
