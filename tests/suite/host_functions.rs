//! Functions of the host that guests call, behind both walls.

use std::sync::{Mutex, mpsc};
use std::time::Duration;

use sandtrap::{
    CallError, Failure, Limits, Loaded, Order, Permissions, PoolSettings, Program, Report, Reuse,
    Runtime, RuntimeBuilder, Start, Task, Verdict, Wall,
};
use sandtrap_tests::guests;

const WALLS: [Wall; 2] = [Wall::Native, Wall::Wasm];

fn limits() -> Limits {
    let ample = Duration::from_secs(120);
    Limits { wall: ample, cpu: ample, ..Limits::default() }
}

fn program(wall: Wall, granted: &[&str]) -> Program {
    let path = match wall {
        Wall::Native => guests::native("calls"),
        Wall::Wasm => guests::wasm("calls"),
    };
    let mut permissions = Permissions::default();
    for name in granted {
        permissions.grant_host_function(*name);
    }
    Program::file(path).within(wall).limits(limits()).permissions(permissions)
}

fn host() -> RuntimeBuilder {
    Runtime::builder()
        .host("greet", |cx, name: String| format!("hello, {name}, from {}", cx.task()))
        .host("double", |_, number: u64| number * 2)
        .host("reverse", |_, bytes: Vec<u8>| bytes.into_iter().rev().collect::<Vec<u8>>())
        .host("panic", |_, _: String| -> String { panic!("a secret") })
        .try_host("refuse", |_, why: String| Err::<String, _>(why))
}

fn load(wall: Wall, granted: &[&str]) -> Loaded {
    host().build().unwrap().load(program(wall, granted)).unwrap()
}

fn asks(guest: &Loaded, function: &str, text: &str) -> Result<String, String> {
    match guest.call("asks", &(function, text)) {
        Ok(answer) => Ok(answer),
        Err(CallError::Ended(report)) => match &report.verdict {
            Verdict::Failed(Failure::Error { message, .. }) => Err(message.clone()),
            other => panic!("{other:?}"),
        },
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_guest_calls_what_it_was_granted() {
    for wall in WALLS {
        let guest = load(wall, &["greet", "reverse", "double"]);
        let task = Task::invoke("asks", &("greet", "Ann")).unwrap();
        let expected = format!("hello, Ann, from {}", task.id);
        assert_eq!(guest.run(&task).value(), Ok(expected), "{wall:?}");
        for size in [0, 1, 5000, 1 << 20] {
            let bytes: Vec<u8> = (0..size).map(|at| at as u8).collect();
            let answer: Vec<u8> = guest.call("asks_bytes", &bytes).unwrap();
            assert!(answer.iter().eq(bytes.iter().rev()), "{wall:?} {size}");
        }
        assert_eq!(guest.call::<_, u64>("asks_often", &1000_u64).unwrap(), 999_000, "{wall:?}");
    }
}

#[test]
fn a_guest_knows_what_it_was_granted_before_it_calls() {
    let task = || Task::invoke("knows", "greet").unwrap();
    let is_told = |report: &Report, granted: &[&str]| {
        let (names, has_greet): (Vec<String>, bool) = report.value().unwrap();
        let granted = granted.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!((names, has_greet), (granted.clone(), !granted.is_empty()));
    };
    for wall in WALLS {
        for granted in [&[][..], &["double", "greet"]] {
            let guest = load(wall, granted);
            is_told(&guest.run(&task()), granted);
            // It is told once, and keeps it in mind; also where it was greeted before its first call.
            let mut kept = guest.keep(Reuse::default()).unwrap();
            let pool = guest.pool(PoolSettings { spares: 1, ..PoolSettings::with_workers(1) });
            for _ in 0..3 {
                is_told(&kept.run(&task()), granted);
                is_told(&pool.run(Order::new(task())), granted);
            }
        }
    }
    let granted = ["double", "greet"];
    let program = program(Wall::Native, &granted).started_by(Start::Fork);
    let forked = host().build().unwrap().load(program).unwrap();
    for _ in 0..2 {
        is_told(&forked.run(&task()), &granted);
    }
}

#[test]
fn what_goes_wrong_in_the_host_is_an_error_of_the_guests() {
    for wall in WALLS {
        let guest = load(wall, &["greet", "panic", "refuse", "double"]);
        for (function, words) in [
            ("refuse", "please"),
            ("panic", "the host's function `panic` panicked"),
            ("reverse", "`reverse` was not granted to this program; granted: `double`, `greet`"),
            ("no such", "`no such` was not granted"),
            ("double", "the host's function `double` takes a `u64`"),
        ] {
            let error = asks(&guest, function, "please").unwrap_err();
            assert!(error.contains(words) && !error.contains("secret"), "{wall:?} {error}");
        }
        assert!(asks(&guest, "greet", "you").is_ok());
        let nothing = asks(&load(wall, &[]), "greet", "x").unwrap_err();
        assert!(nothing.contains("not granted to this program; granted: none"), "{nothing}");
    }
}

#[test]
fn a_function_that_is_not_there_can_not_be_granted() {
    for wall in WALLS {
        let error = host().build().unwrap().load(program(wall, &["greet", "kv.get"])).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("`kv.get`") && text.contains("registered: `double`"), "{text}");
    }
}

#[test]
fn a_function_that_takes_too_long_costs_its_guest_the_deadline_and_hears_of_it() {
    for wall in WALLS {
        let (release, held) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel();
        let ends = Mutex::new((held, tell));
        let runtime = host().host("wait", move |cx, _: String| {
            let ends = ends.lock().unwrap();
            assert!(cx.time_left().is_some());
            // Until the test lets go of it: however long its guest's deadline is past.
            let _ = ends.0.recv();
            ends.1.send(cx.is_cancelled()).unwrap();
        });
        let program = program(wall, &["wait"]);
        let limits = Limits { wall: Duration::from_millis(300), ..limits() };
        let guest = runtime.build().unwrap().load(program.limits(limits)).unwrap();
        let report = guest.run(&Task::invoke("asks", &("wait", "")).unwrap());
        assert_eq!(report.verdict.label().as_str(), "stopped.wall-time", "{wall:?}");
        drop(release);
        // Under load the guest may have been ended before it asked; then nobody did.
        assert_ne!(told.recv(), Ok(false), "{wall:?}");
    }
}

#[test]
fn a_guest_that_is_kept_asks_in_every_call() {
    let mut kept = load(Wall::Wasm, &["double"]).keep(Reuse::default()).unwrap();
    for _ in 0..3 {
        assert_eq!(kept.call::<_, u64>("asks_often", &4_u64).unwrap(), 12);
    }
}
