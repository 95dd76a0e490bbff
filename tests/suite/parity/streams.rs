//! Both streams of a guest, wherever they are led, and the callbacks at its end: the same behind both walls.

use std::process::Command;
use std::time::Duration;
use std::{env, fs, thread};

use sandtrap::{
    ByteSize, Hooks, Limits, Loaded, Outlet, Outlets, Report, StopHandle, StopReason, Streamed,
    Task,
};

use super::{WAYS, load, program, runtime};

/// Its second line is no line of a file, its last one has no end, and half of it comes after any border of a piece.
fn words() -> String {
    format!("one\r\ntwo\n{}\nlast", "long ".repeat(40_000))
}

fn write(guest: &Loaded, words: &str, mut outlets: Outlets<'_>) -> (Report, Streamed) {
    let task = Task::invoke("writes", words).unwrap();
    let report = guest.run_with(&task, &StopHandle::new(), &mut outlets);
    assert!(report.verdict.is_completed(), "{:?}", report.verdict);
    (report, outlets.finish())
}

#[test]
fn a_stream_that_is_captured_or_led_nowhere_is_the_same() {
    for way in WAYS {
        let guest = load(&way, ByteSize::mib(64));
        let (capture, words) = (|| Outlet::Capture(ByteSize::bytes(7)), words());
        let (report, streamed) =
            write(&guest, &words, Outlets::new().stdout(capture()).stderr(capture()));
        let last = &words.as_bytes()[words.len() - 7..];
        assert_eq!((&*streamed.stdout, &*streamed.stderr), (last, last), "{way:?}");
        assert_eq!(streamed.cut, 2 * (words.len() as u64 - 7), "{way:?}");
        let kept = report.output.stdout.as_deref();
        assert_eq!(kept, Some(words.as_bytes()), "{way:?}");
        assert!(words.ends_with(&*report.output.stderr_text()), "{way:?}");
        let nowhere = Outlets::new().stdout(Outlet::Null).stderr(Outlet::Null);
        let (_, streamed) = write(&guest, &words, nowhere);
        assert!(streamed.stdout.is_empty() && streamed.stderr.is_empty(), "{way:?}");
        assert!(streamed.failed.is_none() && streamed.cut == 0, "{way:?}");
    }
}

#[test]
fn a_stream_is_the_same_line_by_line_and_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    for way in WAYS {
        let guest = load(&way, ByteSize::mib(64));
        let (words, path) = (words(), folder.path().join("stream"));
        for is_stderr in [false, true] {
            let mut lines = Vec::new();
            let take = Outlet::lines(|line| {
                assert_eq!((line.is_stderr, line.cut > 0), (is_stderr, line.text.len() > 60_000));
                lines.push((line.text.into_owned(), line.is_ended));
            });
            let file = Outlet::file(&path).unwrap();
            let outlets = match is_stderr {
                false => Outlets::new().stdout(take).stderr(file),
                true => Outlets::new().stdout(file).stderr(take),
            };
            write(&guest, &words, outlets);
            let [first, second, long, last] = &*lines else { panic!("{way:?}: {lines:?}") };
            assert_eq!([first, second], [&("one".into(), true), &("two".into(), true)], "{way:?}");
            assert!(words.contains(&*long.0) && long.1, "{way:?}");
            assert_eq!(*last, ("last".into(), false), "{way:?}");
            assert_eq!(fs::read_to_string(&path).unwrap(), words, "{way:?}");
        }
    }
}

/// Tells the host that is started below by which of all ways its guest writes.
const WAY: &str = "PARITY_OF_INHERITED_STREAMS";

/// It is the host that the next test starts, for its streams are to be read. Started by anybody else, it has nothing to do.
#[test]
fn hosts_a_guest_that_inherits_its_streams() {
    let Ok(way) = env::var(WAY) else { return };
    let way = &WAYS[way.parse::<usize>().unwrap()];
    let guest = load(way, ByteSize::mib(64));
    write(&guest, &words(), Outlets::new().stdout(Outlet::Inherit).stderr(Outlet::Inherit));
}

#[test]
fn a_stream_that_is_inherited_is_the_host_s_own() {
    let words = words();
    for (index, way) in WAYS.iter().enumerate() {
        let mut host = Command::new(env::current_exe().unwrap());
        host.args(["parity::streams::hosts_a_guest_that_inherits_its_streams", "--exact"]);
        let said = host.arg("--nocapture").env(WAY, index.to_string());
        let said = said.output().unwrap();
        assert!(said.status.success(), "{way:?}: {said:?}");
        for stream in [said.stdout, said.stderr] {
            assert!(String::from_utf8_lossy(&stream).contains(&words), "{way:?}");
        }
    }
}

/// What is called at the end of a task, and whether all of it is on the thread that ran it.
fn called(run: impl FnOnce(Hooks<'_>)) -> Vec<String> {
    let (mut called, own) = (Vec::new(), thread::current().id());
    let log = std::sync::Mutex::new(&mut called);
    let note = |name: &str| {
        assert_eq!(thread::current().id(), own);
        log.lock().unwrap().push(name.to_owned());
    };
    run(Hooks::new()
        .on_finish(|_| note("finish"))
        .on_success(|_| note("success"))
        .on_failure(|_| note("failure"))
        .on_exit(|code, _| note(&format!("exit {code}")))
        .on_crash(|_| note("crash"))
        .on_killed(|_| note("killed"))
        .on_timeout(|_| note("timeout")));
    called
}

#[test]
fn the_same_callbacks_are_called_at_every_end() {
    for way in WAYS {
        let guest = load(&way, ByteSize::mib(64));
        for (task, name) in [
            (Task::invoke("add", &(2_i64, 40_i64)), "success"),
            (Task::invoke("refuse", "no"), "failure"),
            (Task::invoke("panics", "boom"), "failure"),
            (Task::invoke("exits", &3), "exit 3"),
            (Task::invoke("overflows", &u64::MAX), "crash"),
        ] {
            let task = task.unwrap();
            let called = called(|hooks| drop(guest.run_then(&task, hooks)));
            assert_eq!(called, [name, "finish"], "{way:?} {task:?}");
        }
        let endless = program(&way, "stays", ByteSize::mib(64));
        let (sleeps, stop) = (Task::invoke("sleeps", &()).unwrap(), StopHandle::new());
        let guest = runtime().load(endless.clone()).unwrap();
        // It says so before it sleeps.
        let report = guest.run_with(&sleeps, &stop, &mut |event: sandtrap::Event<'_>| {
            if matches!(event, sandtrap::Event::Log { .. }) {
                stop.stop(StopReason::Cancelled);
            }
        });
        assert_eq!(called(|mut hooks| _ = hooks.tell(&report)), ["killed", "finish"], "{way:?}");
        let limits = Limits { wall: Duration::from_millis(200), ..endless.policy().limits.clone() };
        let guest = runtime().load(endless.limits(limits)).unwrap();
        let called = called(|hooks| drop(guest.run_then(&sleeps, hooks)));
        assert_eq!(called, ["timeout", "finish"], "{way:?}");
    }
}
