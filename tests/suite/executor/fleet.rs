//! Several devices: each with workers and an environment of its own, and the least loaded for whoever doesn't mind.

use sandtrap::policy::breaker::Mode;
use sandtrap::{Device, DeviceStatus, Fleet};
use sandtrap_tests::guests;

use super::*;

fn fleet(wall: &Acted, devices: &[(&str, usize)]) -> Fleet {
    let runtime = Runtime::with_walls(Arc::new(wall.clone()), Arc::new(wall.clone()));
    let program = Program::file("acted").within(Wall::Native);
    let devices = devices.iter().map(|(name, workers)| Device::named(*name, *workers));
    let settings = ExecutorSettings { breaker: Some(BreakerSettings::default()), ..bare() };
    runtime.fleet(program, devices, settings).unwrap()
}

fn status_of(fleet: &Fleet, device: &str) -> DeviceStatus {
    fleet.status().into_iter().find(|status| *status.device == *device).unwrap()
}

#[test]
fn s06_s21_each_device_has_an_environment_of_its_own() {
    let program = Program::file(guests::native("prints_environment"));
    let devices = [Device::cpu(1), Device::cuda(0, 1), Device::cuda(7, 2).env("MORE", "yes")];
    let fleet = Runtime::new().unwrap().fleet(program, devices, bare()).unwrap();
    for (device, words) in [
        ("cpu", "CUDA_VISIBLE_DEVICES=\n"),
        ("cuda:0", "CUDA_VISIBLE_DEVICES=0\n"),
        ("cuda:7", "CUDA_VISIBLE_DEVICES=7\n"),
        ("cuda:7", "MORE=yes\n"),
    ] {
        let report = fleet.run(Order::new(Task::command(["x"; 0])).device(device));
        let printed = report.output.stdout_text();
        assert!(printed.contains(words), "{device}: {printed}");
    }
}

#[test]
fn s34_s35_the_least_loaded_device_is_chosen_and_counts_are_real() {
    let wall = Acted::new();
    let fleet = fleet(&wall, &[("one", 1), ("three", 3)]);
    std::thread::scope(|scope| {
        let mut runs = Vec::new();
        for tasks in 1..=4 {
            runs.push(scope.spawn(|| fleet.run(task("gate"))));
            wall.wait_for(tasks);
        }
        // Nobody waits while somebody is idle.
        for (device, workers) in [("one", 1), ("three", 3)] {
            let status = status_of(&fleet, device);
            assert_eq!((status.workers, status.busy, status.waiting), (workers, workers, 0));
        }
        wall.let_go();
        runs.into_iter().for_each(|run| assert_eq!(label(&run.join().unwrap()), "completed"));
    });
    let health = fleet.executor("three").unwrap().pool();
    assert_eq!(health.finished, 3);
}

#[test]
fn s06_a_task_stays_on_its_device_however_much_waits_there() {
    let wall = Acted::new();
    let fleet = fleet(&wall, &[("a", 1), ("b", 1)]);
    std::thread::scope(|scope| {
        let runs: Vec<_> =
            (0..3).map(|_| scope.spawn(|| fleet.run(task("gate").device("a")))).collect();
        wall.wait_for(1);
        assert_eq!(label(&fleet.run(task("ok").device("b"))), "completed");
        wall.let_go();
        runs.into_iter().for_each(|run| assert_eq!(label(&run.join().unwrap()), "completed"));
    });
    assert_eq!(fleet.executor("a").unwrap().pool().finished, 3);
    assert_eq!(fleet.executor("b").unwrap().pool().finished, 1);
}

#[test]
fn s21_who_does_not_mind_is_not_sent_to_a_device_that_breaks() {
    let wall = Acted::new();
    let fleet = fleet(&wall, &[("a", 2), ("b", 1)]);
    assert!(fleet.executor("a").unwrap().set_breaker("a", Mode::ForcedOpen));
    (0..4).for_each(|_| assert_eq!(label(&fleet.run(task("ok"))), "completed"));
    assert_eq!(fleet.executor("b").unwrap().pool().finished, 4);
    assert_eq!(label(&fleet.run(task("ok").device("a"))), "unstarted.rejected");
}

#[test]
fn s46_a_device_that_is_not_there_is_told() {
    let fleet = fleet(&Acted::new(), &[("a", 1)]);
    let report = fleet.run(task("ok").device("tpu"));
    assert_eq!(label(&report), "unstarted.rejected");
    assert!(report.verdict.to_string().contains("there is no device `tpu`"), "{}", report.verdict);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(label(&runtime.block_on(fleet.submit(task("ok")))), "completed");
    let drained = fleet.drain(Duration::ZERO);
    assert_eq!((drained.finished, drained.killed), (0, 0));
}

#[test]
fn s06_a_fleet_has_devices_and_no_two_of_one_name() {
    let wall = Acted::new();
    let runtime = Runtime::with_walls(Arc::new(wall.clone()), Arc::new(wall));
    let program = || Program::file("acted").within(Wall::Native);
    let error = runtime.fleet(program(), [], bare()).unwrap_err().to_string();
    assert!(error.contains("has no device"), "{error}");
    let twice = [Device::cpu(1), Device::cpu(2)];
    let error = runtime.fleet(program(), twice, bare()).unwrap_err().to_string();
    assert!(error.contains("`cpu` twice"), "{error}");
}
