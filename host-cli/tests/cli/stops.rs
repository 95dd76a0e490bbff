//! Ctrl-C and its relatives: what is reported, and that nothing is left behind.

use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;
use sandtrap::Wall;

use crate::kit::{WALLS, guest, host_has, run_command, text_of};
use crate::report_files;
use crate::running::{Running, groups_of, is_alive, wait_for_ends};

fn echoing(wall: Wall, flags: &[&str]) -> Running {
    let flags = [&["--stdin", "-"], flags].concat();
    let mut running = Running::start(run_command(&flags, &guest(wall, "echo"), &[]));
    running.expect_echo();
    running
}

#[test]
fn ctrl_c_is_reported_and_leaves_nothing_behind() {
    for wall in WALLS {
        let (_folder, file) = report_files::place();
        let running = echoing(wall, &["--report", text_of(&file)]);
        let pid = running.pid();
        running.signal(Signal::SIGINT);
        let ran = running.finish();
        assert_eq!((ran.code, ran.label()), (Some(130), "stopped.cancelled"), "{ran:?}");
        let report = report_files::read(&file);
        assert_eq!(report["verdict"]["label"], "stopped.cancelled");
        assert_eq!(report["evidence"]["stopped_by_us"], "cancelled");
        assert_eq!(report["output"]["stdout"], "are you there?\n");
        if wall == Wall::Native {
            let guest = report["task"]["pid"].as_u64().expect("a process");
            assert!(!is_alive(guest), "process {guest} is still there");
        }
        assert_eq!(groups_of(pid), Vec::<String>::new());
    }
}

#[test]
fn a_request_to_end_is_reported_as_a_shutdown() {
    for wall in WALLS {
        for signal in [Signal::SIGTERM, Signal::SIGHUP] {
            let (_folder, file) = report_files::place();
            let running = echoing(wall, &["--report", text_of(&file)]);
            running.signal(signal);
            assert_eq!(running.finish().code, Some(130));
            let report = report_files::read(&file);
            assert_eq!(report["verdict"]["label"], "stopped.shutdown", "{signal}");
            assert_eq!(report["evidence"]["stopped_by_us"], "shutdown");
        }
    }
}

#[test]
fn a_whole_tree_of_processes_goes_with_one_ctrl_c() {
    let (folder, file) = report_files::place();
    let body = "(while :; do :; done) & echo $!; read line";
    let script = crate::programs::script(folder.path(), body);
    let flags =
        ["--stdin", "-", "--profile", "process", "--processes", "4", "--report", text_of(&file)];
    let mut running = Running::start(run_command(&flags, &script, &[]));
    let pid = running.pid();
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        line.extend(running.hear(1));
    }
    // What it says is a number of its own namespace; here it is known by what it runs.
    assert_eq!(running_from(folder.path()), 2, "{}", String::from_utf8_lossy(&line));
    running.signal(Signal::SIGINT);
    assert_eq!(running.finish().code, Some(130));
    let guest = report_files::read(&file)["task"]["pid"].as_u64().expect("a process");
    assert_eq!((is_alive(guest), running_from(folder.path())), (false, 0));
    assert_eq!(groups_of(pid), Vec::<String>::new());
}

/// How many processes beside ours have a file of this folder as an argument.
fn running_from(folder: &Path) -> usize {
    let name = text_of(folder);
    let lines = fs::read_dir("/proc").expect("processes").flatten().filter_map(|entry| {
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&line).into_owned())
    });
    lines.filter(|line| line.starts_with("/bin/sh") && line.contains(name)).count()
}

#[test]
fn an_end_by_itself_leaves_nothing_behind_either() {
    for (wall, name, flags) in [
        (Wall::Native, "hello", &[][..]),
        (Wall::Native, "abort", &[]),
        (Wall::Native, "sleep", &["--wall", "100ms"]),
        (Wall::Native, "orphan", &["--processes", "2", "--profile", "process"]),
        (Wall::Native, "fork_bomb", &["--profile", "process"]),
        (Wall::Wasm, "unreachable", &[]),
    ] {
        let running = Running::start(run_command(flags, &guest(wall, name), &[]));
        let pid = running.pid();
        let ran = running.finish();
        assert!(ran.code.is_some(), "{name}: {ran:?}");
        assert_eq!(groups_of(pid), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn a_second_ctrl_c_ends_at_once_though_nobody_takes_the_report() {
    for wall in WALLS {
        let flags = ["--json", "--output", "4MiB"];
        let mut running = Running::start(run_command(&flags, &guest(wall, "flood_stdout"), &[]));
        // The guest has ended, and the report is on its way into a pipe that nobody empties.
        running.hear(1);
        running.signal_until_it_ends(Signal::SIGINT);
        let ran = running.finish();
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(130), ""), "{wall:?}");
    }
}

#[test]
fn a_second_ctrl_c_ends_at_once_though_nobody_takes_the_output() {
    for wall in WALLS {
        let flags = ["--output", "100GiB"];
        let mut running = Running::start(run_command(&flags, &guest(wall, "flood_stdout"), &[]));
        running.hear(1);
        let (pid, heir, children) = (running.pid(), running.heir(), running.children());
        assert_eq!(children.is_empty(), wall == Wall::Wasm);
        running.signal_until_it_ends(Signal::SIGINT);
        assert_eq!(running.finish().code, Some(130), "{wall:?}");
        wait_for_ends(children.into_iter().chain(heir));
        assert_eq!(groups_of(pid), Vec::<String>::new());
    }
}

#[test]
fn b24_p10_sandtrap_that_is_killed_takes_its_guest_with_it() {
    // Nobody else has a scratch of this size.
    const SCRATCH: (&str, &str) = ("1236KiB", "size=1240k");
    let scratches = || {
        let lists = fs::read_dir("/proc").unwrap().flatten();
        let lists = lists.filter_map(|it| fs::read_to_string(it.path().join("mountinfo")).ok());
        lists.filter(|list| list.contains(SCRATCH.1)).count()
    };
    let flags = if host_has("mount-namespace") { &["--scratch", SCRATCH.0][..] } else { &[] };
    let mut running = echoing(Wall::Native, flags);
    let (pid, heir, children) = (running.pid(), running.heir(), running.children());
    assert!(!children.is_empty());
    assert_eq!(scratches() > 0, !flags.is_empty());
    assert_eq!(!groups_of(pid).is_empty(), heir.is_some());
    running.signal_until_it_ends(Signal::SIGKILL);
    assert_eq!(running.finish().code, None);
    wait_for_ends(children.into_iter().chain(heir));
    assert_eq!((scratches(), groups_of(pid)), (0, Vec::new()));
}

#[test]
fn a_signal_that_was_ignored_from_the_start_stays_ignored() {
    // As `nohup` does it.
    let mut command = std::process::Command::new("/bin/sh");
    let line = "trap '' HUP; exec \"$0\" run --stdin - \"$1\"";
    command.args(["-c", line, env!("CARGO_BIN_EXE_sandtrap")]);
    command.arg(guest(Wall::Native, "echo"));
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut running = Running::start(command);
    running.expect_echo();
    running.signal(Signal::SIGHUP);
    running.expect_echo();
    running.close_stdin();
    assert_eq!(running.finish().code, Some(0));
}

/// A program that waits for SIGTERM, and then does as it is told.
fn heeding(how: &str, grace: &str, file: &Path) -> Running {
    let flags = ["--grace", grace, "--report", text_of(file)];
    let command = run_command(&flags, &guest(Wall::Native, "heeds_sigterm"), &[how]);
    let mut running = Running::start(command);
    assert_eq!(running.hear(6), b"ready\n");
    running
}

#[test]
fn ctrl_c_leaves_a_guest_its_time_of_grace() {
    let (_folder, file) = report_files::place();
    let running = heeding("7", "1h", &file);
    running.signal(Signal::SIGINT);
    let ran = running.finish();
    assert_eq!((ran.code, ran.label()), (Some(130), "stopped.cancelled"), "{ran:?}");
    assert!(ran.stderr.contains("told to end, and ended by itself"), "{ran:?}");
    let report = report_files::read(&file);
    assert_eq!(report["output"]["stdout"], "ready\ntold\n");
    assert_eq!(report["evidence"]["told_to_end"], "cancelled");
    assert_eq!(report["evidence"]["exit_code"], 7);
    assert_eq!(report["limits"]["grace_us"], 3_600_000_000_u64);
}

#[test]
fn a_second_ctrl_c_takes_the_time_of_grace_away() {
    let (_folder, file) = report_files::place();
    let mut running = heeding("never", "1h", &file);
    running.signal(Signal::SIGINT);
    assert_eq!(running.hear(5), b"told\n");
    // It goes on until somebody insists.
    running.signal(Signal::SIGTERM);
    running.signal(Signal::SIGHUP);
    running.signal(Signal::SIGINT);
    let ran = running.finish();
    assert_eq!((ran.code, ran.label()), (Some(130), "stopped.cancelled"), "{ran:?}");
    assert!(ran.stderr.contains("told to end, and was not given the rest of its grace"), "{ran:?}");
    let evidence = &report_files::read(&file)["evidence"];
    assert_eq!(
        (&evidence["signal"], &evidence["stopped_by_us"], &evidence["hurried"]),
        (&"SIGKILL".into(), &"cancelled".into(), &true.into())
    );
}

#[test]
fn a_time_of_grace_that_is_over_is_named() {
    let (_folder, file) = report_files::place();
    let running = heeding("never", "10ms", &file);
    running.signal(Signal::SIGTERM);
    let ran = running.finish();
    assert_eq!((ran.code, ran.label()), (Some(130), "stopped.shutdown"), "{ran:?}");
    assert!(
        ran.stderr.contains("was still there when its grace, 10 ms at most, was over"),
        "{ran:?}"
    );
    assert_eq!(report_files::read(&file)["evidence"]["hurried"], false);
}
