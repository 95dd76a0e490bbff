//! What a guest can do with files: what it was granted, as far as it was granted, and nothing beside it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use sandtrap::{Access, Limits, Permissions, Profile, Program, Report, Runtime, Task, Wall};
use sandtrap_tests::guests::{self, Form};
use tempfile::TempDir;

use Access::{ReadOnly, ReadWrite};

/// A directory to be granted, and a secret beside it.
pub(super) struct Place {
    around: TempDir,
}

impl Place {
    pub(super) fn new() -> Self {
        let place = Self { around: tempfile::tempdir().unwrap() };
        fs::create_dir_all(place.granted().join("sub")).unwrap();
        fs::create_dir(place.outside()).unwrap();
        fs::write(place.granted().join("file"), "text").unwrap();
        fs::write(place.outside().join("file"), "secret").unwrap();
        place
    }

    pub(super) fn granted(&self) -> PathBuf {
        self.around.path().join("granted")
    }

    fn outside(&self) -> PathBuf {
        self.around.path().join("outside")
    }

    /// Everything in both directories, with what the files hold.
    pub(super) fn state(&self) -> Vec<(PathBuf, Option<String>)> {
        let mut found = Vec::new();
        let mut folders = vec![self.around.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                }
                found.push((entry.path(), fs::read_to_string(entry.path()).ok()));
            }
        }
        found.sort();
        found
    }
}

/// Long enough for the slowest machine: only guests that hang run into it.
pub(super) fn ample() -> Limits {
    Limits { wall: Duration::from_secs(60), cpu: Duration::from_secs(60), ..Limits::default() }
}

pub(super) fn files(host: &Path, access: Access, limits: Limits, words: &[&str]) -> Report {
    files_of(&guests::wasm("files"), host, access, limits, words)
}

/// The same, of the guest in this form.
pub(super) fn files_of(
    guest: &Path,
    host: &Path,
    access: Access,
    limits: Limits,
    words: &[&str],
) -> Report {
    let mut permissions = Permissions::default();
    permissions.grant_dir(host, "/data", access);
    let program = Program::file(guest).permissions(permissions).limits(limits);
    Runtime::new().unwrap().run(program, &Task::command(words))
}

/// What the guest said of each thing it did.
pub(super) fn said(host: &Path, access: Access, words: &[&str]) -> Vec<String> {
    let report = files(host, access, ample(), words);
    assert!(report.verdict.is_completed(), "{}", report.verdict);
    report.output.stdout_text().lines().map(str::to_owned).collect()
}

/// Everything that writes, beginning with what `file`, `sub` and `sub/other` are.
const WRITES: [&[&str]; 14] = [
    &["write", "/data/file", "new"],
    &["write", "/data/new", "new"],
    &["append", "/data/file", "more"],
    &["write-at", "/data/file", "2", "x"],
    &["resize", "/data/file", "1"],
    &["touch", "/data/file"],
    &["make-dir", "/data/made"],
    &["rename", "/data/file", "/data/renamed"],
    &["rename", "/data/renamed", "/data/file"],
    &["hard-link", "/data/file", "/data/hard"],
    &["soft-link", "file", "/data/soft"],
    &["remove", "/data/file"],
    &["remove-dir", "/data/sub"],
    &["write", "/data/link", "through it"],
];

#[test]
fn a_directory_can_be_looked_at() {
    let place = Place::new();
    let words = ["read", "/data/file", "list", "/data", "read", "/data/none", "read", "/etc/hosts"];
    for access in [ReadOnly, ReadWrite] {
        let seen = said(&place.granted(), access, &words);
        assert_eq!(seen[..3], ["read: text", "list: file sub", "read: NotFound"], "{access:?}");
        assert!(seen[3].starts_with("read: ") && !seen[3].contains("localhost"), "{seen:?}");
    }
}

#[test]
fn a_directory_to_look_at_cannot_be_changed_in_any_way() {
    let place = Place::new();
    symlink("file", place.granted().join("link")).unwrap();
    fs::write(place.granted().join("renamed"), "text").unwrap();
    let before = place.state();
    let seen = said(&place.granted(), ReadOnly, &WRITES.concat());
    assert_eq!(seen, WRITES.map(|words| format!("{}: PermissionDenied", words[0])));
    assert_eq!(place.state(), before);
    let times = fs::metadata(place.granted().join("file")).unwrap().modified().unwrap();
    assert_ne!(times, std::time::SystemTime::UNIX_EPOCH);
}

#[test]
fn a_directory_to_change_can_be_changed_in_all_of_them() {
    let place = Place::new();
    symlink("file", place.granted().join("link")).unwrap();
    let seen = said(&place.granted(), ReadWrite, &WRITES.concat());
    assert_eq!(seen, WRITES.map(|words| format!("{}: ok", words[0])));
    let read = |name: &str| fs::read_to_string(place.granted().join(name)).unwrap();
    assert_eq!(
        (read("new"), read("hard"), read("file")),
        ("new".into(), "n".into(), "through it".into())
    );
    assert!(!place.granted().join("sub").exists() && place.granted().join("made").is_dir());
}

#[test]
fn a_hard_link_between_two_directories_of_different_access_is_refused() {
    let place = Place::new();
    let mut permissions = Permissions::default();
    permissions.grant_dir(place.outside(), "/look", ReadOnly);
    permissions.grant_dir(place.granted(), "/data", ReadWrite);
    let program = Program::file(guests::wasm("files")).permissions(permissions).limits(ample());
    let words = [
        "hard-link",
        "/look/file",
        "/data/stolen",
        "rename",
        "/look/file",
        "/data/stolen",
        "rename",
        "/data/file",
        "/look/given",
    ];
    let report = Runtime::new().unwrap().run(program, &Task::command(words));
    assert_eq!(report.output.stdout_text().matches("PermissionDenied").count(), 3);
}

#[test]
fn nothing_leads_out_of_a_directory() {
    let place = Place::new();
    let outside = place.outside();
    symlink(outside.join("file"), place.granted().join("absolute")).unwrap();
    symlink("../outside/file", place.granted().join("relative")).unwrap();
    symlink(&outside, place.granted().join("folder")).unwrap();
    symlink("../..", place.granted().join("sub/up")).unwrap();
    symlink("/proc/self/root", place.granted().join("root")).unwrap();
    let absolute = outside.join("file").display().to_string();
    let inside = format!("root{absolute}");
    let paths = [
        "../outside/file",
        "sub/../../outside/file",
        "absolute",
        "relative",
        "folder/file",
        "sub/up/outside/file",
        &absolute,
        &inside,
    ];
    let before = place.state();
    let mut words = Vec::new();
    for path in paths {
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/data/{path}") };
        let line = format!(
            "read {path} write {path} x append {path} x resize {path} 1 touch {path} \
             hard-link /data/file {path}"
        );
        words.extend(line.split(' ').map(str::to_owned));
    }
    for path in ["../outside/new", "folder/new", "sub/up/outside/new"] {
        let line = format!(
            "write /data/{path} x make-dir /data/{path} rename /data/file /data/{path} hard-link \
             /data/file /data/{path} soft-link x /data/{path} remove /data/folder/file hard-link \
             /data/../outside/file /data/hard hard-link /data/folder/file /data/hard"
        );
        words.extend(line.split(' ').map(str::to_owned));
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    for line in said(&place.granted(), ReadWrite, &words) {
        assert!(!line.contains("secret") && !line.ends_with(": ok"), "{line}");
    }
    assert_eq!(place.state(), before);
    let words = [
        "soft-link",
        "/etc/passwd",
        "/data/a",
        "soft-link",
        "../outside/file",
        "/data/b",
        "read",
        "/data/b",
    ];
    let seen = said(&place.granted(), ReadWrite, &words);
    assert_eq!(seen, ["soft-link: PermissionDenied", "soft-link: ok", "read: PermissionDenied"]);
}

/// Runs a guest that reads `swapped/file` until its time is over, while somebody changes what that is.
fn while_somebody_swaps(place: &Place, path: &str, one: &Path, other: &Path) -> Report {
    let swapped = place.granted().join("swapped");
    let limits = Limits { wall: Duration::from_millis(700), ..ample() };
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                for next in [one, other] {
                    fs::rename(next, &swapped).unwrap();
                    fs::rename(&swapped, next).unwrap();
                }
            }
        });
        let report = files(&place.granted(), ReadOnly, limits, &["read-on-and-on", path]);
        is_over.store(true, Ordering::Relaxed);
        report
    })
}

#[test]
fn a_link_that_changes_under_the_guest_leads_nowhere_else() {
    let place = Place::new();
    let (good, bad) = (place.granted().join("good"), place.granted().join("bad"));
    fs::create_dir(&good).unwrap();
    fs::write(good.join("file"), "text").unwrap();
    symlink("../outside", &bad).unwrap();
    let report = while_somebody_swaps(&place, "/data/swapped/file", &good, &bad);
    assert_eq!(report.verdict.label().as_str(), "stopped.wall-time");
    assert_eq!(report.output.stdout_text(), "");
}

#[test]
fn a_pipe_that_takes_the_place_of_a_file_holds_up_nobody_beyond_the_deadline() {
    let place = Place::new();
    let (good, bad) = (place.granted().join("good"), place.granted().join("bad"));
    fs::write(&good, "text").unwrap();
    mkfifo(&bad, Mode::S_IRWXU).unwrap();
    let report = while_somebody_swaps(&place, "/data/swapped", &good, &bad);
    assert_eq!(report.verdict.label().as_str(), "stopped.wall-time");
}

#[test]
fn pipes_and_devices_are_not_opened() {
    let place = Place::new();
    mkfifo(&place.granted().join("pipe"), Mode::S_IRWXU).unwrap();
    symlink("pipe", place.granted().join("link")).unwrap();
    for form in [Form::Module, Form::Component] {
        let said = |host: &Path, access, words: &[&str]| {
            let report = files_of(&form.guest("files"), host, access, ample(), words);
            assert!(report.verdict.is_completed(), "{form:?}: {}", report.verdict);
            let lines = report.output.stdout_text();
            lines.lines().map(str::to_owned).collect::<Vec<_>>()
        };
        for path in ["/data/pipe", "/data/link"] {
            let words = ["read", path, "append", path, "x", "write", path, "x", "touch", path];
            let seen = said(&place.granted(), ReadWrite, &words);
            assert_eq!(seen.len(), 4, "{form:?}");
            let refused = seen.iter().all(|line| line.ends_with(": PermissionDenied"));
            assert!(refused, "{form:?}, {path}: {seen:?}");
        }
        let seen = said(Path::new("/dev"), ReadOnly, &["read", "/data/null", "read", "/data/zero"]);
        assert_eq!(seen, ["read: PermissionDenied", "read: PermissionDenied"], "{form:?}");
    }
}

#[test]
fn a_socket_is_no_reason_to_die() {
    let place = Place::new();
    let _socket = std::os::unix::net::UnixListener::bind(place.granted().join("socket")).unwrap();
    let seen = said(&place.granted(), ReadOnly, &["list", "/data", "read", "/data/socket"]);
    assert_eq!(seen, ["list: file socket sub", "read: PermissionDenied"]);
}

#[test]
fn what_cannot_be_granted_is_refused_with_what_to_do() {
    let place = Place::new();
    let (none, file) = (place.granted().join("none"), place.granted().join("file"));
    for wall in [Wall::Wasm, Wall::Native] {
        let path = match wall {
            Wall::Wasm => guests::wasm("files"),
            Wall::Native => guests::native("files"),
        };
        let refused = |dirs: &[(&Path, &Path)]| {
            let mut permissions = Permissions::default();
            for (host, guest) in dirs {
                permissions.grant_dir(*host, *guest, ReadOnly);
            }
            let program = Program::file(&path).within(wall).permissions(permissions);
            let report = Runtime::new().unwrap().run(program, &Task::command([""; 0]));
            assert_eq!(report.verdict.label().as_str(), "unstarted.rejected", "{}", report.verdict);
            report.verdict.to_string()
        };
        let words = refused(&[(&none, &none)]);
        assert!(
            words.contains("none` cannot be granted") && words.contains("make it first"),
            "{words}"
        );
        let words = refused(&[(&file, &file)]);
        assert!(words.contains("it is no directory"), "{words}");
        let (one, other) = (place.granted(), place.outside());
        let words = refused(&[(&one, &one), (&other, &one)]);
        assert!(words.contains("give each a name of its own"), "{words}");
    }
}

#[test]
fn a_process_finds_a_directory_under_the_name_it_was_given_and_nothing_beside_it() {
    let place = Place::new();
    let run = |access, words: &[&str]| {
        let mut permissions = Permissions { profile: Profile::Files, ..Permissions::default() };
        permissions.grant_dir(place.granted(), "/data", access);
        let program = Program::file(guests::native("files")).permissions(permissions);
        let report = Runtime::new().unwrap().run(program, &Task::command(words));
        report.output.stdout_text()
    };
    assert_eq!(run(ReadOnly, &["read", "/data/file"]), "read: text\n");
    let original = place.granted().join("file").display().to_string();
    assert_eq!(
        run(ReadOnly, &["read", &original]),
        "read: NotFound\n",
        "its own name leads nowhere"
    );
    assert_ne!(run(ReadOnly, &["write", "/data/new", "x"]), "write: ok\n");
    assert!(!place.granted().join("new").exists());
    assert_eq!(run(ReadWrite, &["write", "/data/new", "x"]), "write: ok\n");
    assert!(place.granted().join("new").exists());
}

#[test]
fn a_caller_inside_a_runtime_can_have_files_read() {
    let place = Place::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let seen =
        runtime.block_on(async { said(&place.granted(), ReadOnly, &["read", "/data/file"]) });
    assert_eq!(seen, ["read: text"]);
}

#[test]
fn a_directory_that_went_away_is_missed_when_a_task_starts() {
    let place = Place::new();
    let mut permissions = Permissions::default();
    permissions.grant_dir(place.outside(), "/data", ReadOnly);
    let program = Program::file(guests::wasm("files")).permissions(permissions);
    let loaded = Runtime::new().unwrap().load(program).unwrap();
    let task = Task::command(["read", "/data/file"]);
    assert_eq!(loaded.run(&task).output.stdout_text(), "read: secret\n");
    fs::remove_dir_all(place.outside()).unwrap();
    let report = loaded.run(&task);
    assert_eq!(report.verdict.label().as_str(), "unstarted.rejected");
    assert!(report.verdict.to_string().contains("cannot be opened"), "{}", report.verdict);
}
