//! Devices: what a guest says of its own, and by which signs of the user's a failed one is known.

use sandtrap::policy::breaker::Mode;
use sandtrap::policy::health::{HealthSettings, Level, Stats};
use sandtrap::policy::signs::DeviceSigns;
use sandtrap::{Loaded, PoolSettings, Reuse};
use sandtrap_tests::guests::Form;

use super::*;

fn load(form: Form, guest: &str) -> Loaded {
    Runtime::new().unwrap().load(Program::file(form.guest(guest))).unwrap()
}

fn watched(settings: ExecutorSettings) -> ExecutorSettings {
    let breaker = Some(BreakerSettings::default());
    ExecutorSettings { health: Some(HealthSettings::default()), breaker, ..settings }
}

fn of_device(executor: &Executor, device: &str) -> (Level, Stats) {
    let devices = executor.health().unwrap().devices;
    let found = devices.into_iter().find(|(name, ..)| **name == *device);
    found.map(|(_, level, stats)| (level, stats)).unwrap()
}

fn full(goes_on: bool) -> Order {
    Order::new(Task::invoke("device_is_full", &goes_on).unwrap()).device("cuda:0")
}

#[test]
fn s02_s26_a_guest_says_that_its_device_has_no_memory_left_and_that_is_counted_behind_both_walls() {
    for form in [Form::Process, Form::Module] {
        for keep in [None, Some(Reuse::default())] {
            let mut settings = watched(bare());
            settings.pool = PoolSettings { keep, ..PoolSettings::with_workers(1) };
            let executor = load(form, "stays").executor(settings);
            let next = || Order::new(Task::invoke("next", &()).unwrap()).device("cuda:0");
            let ends = [full(true), full(false), next()].map(|order| executor.run(order));
            let labels = ends.each_ref().map(label);
            assert_eq!(labels, ["completed", "failed.error", "completed"], "{form:?}");
            let said = ends.each_ref().map(|report| report.facts.device_out_of_memory);
            assert_eq!(said, [Some(1 << 30), Some(1 << 30), None], "{form:?}");
            let (level, stats) = of_device(&executor, "cuda:0");
            assert_eq!((level, stats.out_of_memory, stats.crashes), (Level::Healthy, 2, 0));
            assert_eq!(executor.breaker("cuda:0").unwrap().0, Mode::Closed, "it answered");
        }
    }
}

#[test]
fn s02_signs_of_the_users_count_against_the_device_and_change_no_verdict() {
    let device = DeviceSigns {
        failed: vec!["not today".into()],
        out_of_memory: vec!["no memory left".into()],
        exits: vec![43],
    };
    let executor =
        load(Form::Process, "stays").executor(ExecutorSettings { device, ..watched(bare()) });
    let on = |device: &str, function: &str, input: i32| {
        let task = match function {
            "exits" => Task::invoke(function, &input),
            "refuses" => Task::invoke(function, &()),
            _ => Task::invoke(function, &false),
        };
        label(&executor.run(Order::new(task.unwrap()).device(device)))
    };
    for _ in 0..3 {
        assert_eq!(on("cuda:0", "refuses", 0), "failed.error");
    }
    assert_eq!(
        (on("cuda:0", "exits", 43), on("cuda:0", "exits", 42)),
        ("failed.exit", "failed.exit")
    );
    let (level, stats) = of_device(&executor, "cuda:0");
    assert_eq!((level, stats.crashes, stats.out_of_memory), (Level::Healthy, 4, 0));
    // Another code is the task's own affair, and an answer of the device's.
    assert_eq!(executor.breaker("cuda:0").unwrap().0, Mode::Closed);
    (0..5).for_each(|_| _ = on("cuda:0", "refuses", 0));
    assert_eq!(executor.breaker("cuda:0").unwrap().0, Mode::Open);
    assert_eq!(executor.breaker(&guests_name()).unwrap().0, Mode::Closed, "the program is well");
    assert_eq!(on("cuda:1", "device_is_full", 0), "failed.error");
    let (_, stats) = of_device(&executor, "cuda:1");
    assert_eq!((stats.crashes, stats.out_of_memory), (0, 1));
    assert_eq!(executor.breaker("cuda:1").unwrap().0, Mode::Closed);
}

/// The name of the program, as its breaker has it.
fn guests_name() -> String {
    Form::Process.guest("stays").display().to_string()
}
