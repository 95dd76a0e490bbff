//! Results in files, for those who choose that: where they lie, who removes them, and inputs that come out of files.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use sandtrap::{
    Access, ByteSize, Codec, Limits, Loaded, Payload, Payloads, Permissions, Program, Record,
    Report, Reuse, Runtime, Task, Wall,
};
use sandtrap_protocol::encode_with;
use sandtrap_tests::guests;

use super::hostile_talk::{Script, result};

const WALLS: [Wall; 2] = [Wall::Native, Wall::Wasm];
const LARGE: usize = 300_000;

fn program(wall: Wall, guest: &str, dir: &Path) -> Program {
    let path = match wall {
        Wall::Native => guests::native(guest),
        Wall::Wasm => guests::wasm(guest),
    };
    let ample = Duration::from_secs(200);
    let memory = ByteSize::mib(700);
    let result = ByteSize::mib(300);
    let limits = Limits { wall: ample, cpu: ample, memory, result, ..Limits::default() };
    Program::file(path).within(wall).limits(limits).payloads(Payloads::File(dir.to_owned()))
}

fn load(wall: Wall, guest: &str, dir: &Path) -> Loaded {
    Runtime::new().unwrap().load(program(wall, guest, dir)).unwrap()
}

fn count(dir: &Path) -> usize {
    dir.read_dir().unwrap().count()
}

fn file_of(report: &Report) -> &Path {
    assert!(report.verdict.is_completed(), "{:?}", report.verdict);
    report.output.result.as_ref().unwrap().path().expect("a result in a file")
}

fn makes(bytes: usize) -> Task {
    Task::invoke("makes", &bytes).unwrap()
}

#[test]
fn p9_a_large_result_goes_into_a_file_and_its_name_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let sent: Vec<u8> = (0..LARGE).map(|at| (at % 251) as u8).collect();
    for wall in WALLS {
        let guest = load(wall, "calls", dir);
        for function in ["echo", "returns"] {
            let report = guest.run(&Task::invoke_with(function, Payload::raw(&*sent)));
            let path = file_of(&report);
            assert_eq!(path.parent(), Some(&*dir.canonicalize().unwrap()), "{wall:?}");
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{wall:?}");
            assert!(fs::read(path).unwrap() == sent, "{wall:?} {function}");
            let record = serde_json::to_value(Record::from(&report)).unwrap();
            assert_eq!(record["output"]["result_file"], path.to_str().unwrap(), "{wall:?}");
            assert!(record["output"]["result"].is_null(), "{wall:?}");
            assert!(report.value::<Vec<u8>>().unwrap() == sent, "{wall:?} {function}");
        }
        assert_eq!(count(dir), 0, "{wall:?}: each went with its report");
        let report = guest.run(&makes(3));
        assert_eq!(report.output.result.as_ref().unwrap().path(), None, "a small one has no file");
        let report = guest.run(&makes(LARGE));
        let path = report.output.result.as_ref().unwrap().keep().unwrap().to_owned();
        drop(report);
        let kept = Payload::file(Codec::Typed, &path).unwrap();
        assert!(kept.read::<Vec<u8>>().unwrap() == vec![7; LARGE], "{wall:?}");
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn p9_results_of_a_kept_guest_lie_in_files_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    for wall in WALLS {
        let mut kept = load(wall, "calls", folder.path()).keep(Reuse::default()).unwrap();
        let reports: Vec<Report> = (0..3).map(|more| kept.run(&makes(LARGE + more))).collect();
        assert_eq!(count(folder.path()), 3, "{wall:?}");
        for (more, report) in reports.iter().enumerate() {
            file_of(report);
            assert!(report.value::<Vec<u8>>().unwrap() == vec![7; LARGE + more], "{wall:?}");
        }
        drop(reports);
        assert_eq!(count(folder.path()), 0, "{wall:?}");
    }
}

/// The most memory that this process has had.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// A module's own memory is its host's, so this is about processes.
#[test]
fn p9_a_result_on_its_way_into_a_file_and_out_of_it_is_in_nobodys_memory() {
    let folder = tempfile::tempdir().unwrap();
    let guest = load(Wall::Native, "calls", folder.path());
    drop(guest.run(&makes(LARGE)));
    let before = peak();
    let made = guest.run(&makes(200 << 20));
    assert!(file_of(&made).metadata().unwrap().len() > 200 << 20);
    let again = guest.run(&Task::invoke_with("returns", made.output.result.clone().unwrap()));
    assert!(file_of(&again).metadata().unwrap().len() > 200 << 20);
    let grown = peak() - before;
    assert!(grown < 32 << 20, "the host has grown by {grown} bytes");
}

#[test]
fn p9_no_file_is_left_of_a_result_that_does_not_count() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let whole = encode_with(&result(), &[7; LARGE]).unwrap();
    let torn = &whole[..LARGE / 2];
    for wall in WALLS {
        let guest = load(wall, "speaks_raw", dir);
        for (script, label) in [
            (Script::hello().says(&whole).exits(3), "failed.exit"),
            (Script::hello().says(&whole).says(&whole).exits(0), "crashed.protocol"),
            (Script::hello().says(torn).exits(0), "crashed.protocol"),
        ] {
            let report = guest.run(&Task::invoke_with("f", Payload::raw(script.0)));
            assert_eq!(report.verdict.label().as_str(), label, "{wall:?}");
            assert_eq!(count(dir), 0, "{wall:?} {label}, while its report is there");
        }
        let report = load(wall, "calls", dir).run(&makes(301 << 20));
        assert_eq!(report.verdict.label().as_str(), "stopped.result", "{wall:?}");
        assert_eq!(count(dir), 0, "{wall:?}");
    }
}

#[test]
fn an_input_is_sent_out_of_its_file_and_one_that_is_shorter_by_then_is_no_call() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("input");
    let sent: Vec<u8> = (0..LARGE * 4).map(|at| (at % 251) as u8).collect();
    for wall in WALLS {
        let guest = load(wall, "calls", folder.path());
        fs::write(&path, &sent).unwrap();
        let task = Task::invoke_with("returns", Payload::file(Codec::Raw, &path).unwrap());
        let report = guest.run(&task);
        assert!(fs::read(file_of(&report)).unwrap() == sent, "{wall:?}");
        fs::write(&path, &sent[..LARGE]).unwrap();
        let report = guest.run(&task);
        let words = format!("{} {}", report.verdict.label(), report.verdict);
        assert!(words.contains("unstarted.rejected"), "{wall:?}: {words}");
        assert!(words.contains("it has become shorter"), "{wall:?}: {words}");
        fs::remove_file(&path).unwrap();
        let words = guest.run(&task).verdict.to_string();
        assert!(words.contains("can't be sent"), "{wall:?}: {words}");
    }
}

#[test]
fn a_directory_that_is_not_there_or_that_the_guest_may_change_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    fs::create_dir(&inner).unwrap();
    let runtime = Runtime::new().unwrap();
    for wall in WALLS {
        let none = program(wall, "calls", &folder.path().join("none"));
        let error = runtime.load(none).unwrap_err().to_string();
        assert!(error.contains("results can't be put into"), "{wall:?}: {error}");
        for (results, granted) in [(folder.path(), &*inner), (&inner, folder.path())] {
            for (access, is_refused) in [(Access::ReadWrite, true), (Access::ReadOnly, false)] {
                let mut permissions = Permissions::default();
                permissions.grant_dir(granted, "/data", access);
                let loaded = runtime.load(program(wall, "calls", results).permissions(permissions));
                let told = loaded.map_err(|error| error.to_string()).err().unwrap_or_default();
                assert_eq!(told.contains("its guest may change"), is_refused, "{wall:?}: {told}");
            }
        }
    }
}
