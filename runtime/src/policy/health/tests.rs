//! Health: records, counts, levels, patterns.

use proptest::prelude::*;

use super::*;
use crate::policy::dice::Dice;

const SECOND: Duration = Duration::from_secs(1);

struct Rig {
    health: Health,
    start: Instant,
    now: Instant,
    number: u8,
}

impl Rig {
    fn new() -> Self {
        let now = Instant::now();
        Self { health: Health::new(HealthSettings::default()), start: now, now, number: 0 }
    }

    fn record(&mut self, label: Label, device: Option<&str>) -> CrashRecord {
        self.number = self.number.wrapping_add(1);
        CrashRecord {
            at: self.now,
            task: TaskId::named("t"),
            attempt: 1,
            worker: 1,
            program: "p".into(),
            device: device.map(Into::into),
            label,
            signature: u64::from(self.number),
            culprit: Culprit { kind: "k".into(), digest: [self.number; 16] },
        }
    }

    fn crash(&mut self, label: Label, device: Option<&str>) {
        let record = self.record(label, device);
        self.ends(label, device, (0, 1), SECOND);
        self.health.crashed(record);
    }

    fn ends(&mut self, label: Label, device: Option<&str>, memory: (u64, u64), took: Duration) {
        let device: Option<Arc<str>> = device.map(Into::into);
        self.health.ended(&Ended {
            at: self.now,
            worker: 1,
            program: &"p".into(),
            device: device.as_ref(),
            kind: &"k".into(),
            sign: None,
            label,
            took,
            memory,
        });
    }

    fn level(&mut self) -> Level {
        self.health.status(self.now).level
    }

    fn alerts(&mut self) -> Vec<(&'static str, bool)> {
        self.health.tick(self.now);
        self.health.take_alerts().map(|alert| (alert.pattern.name(), alert.raised)).collect()
    }
}

#[test]
fn s24_s30_records_carry_everything_and_are_found_by_it() {
    // In the original `request_info` is always nil, and there is a filter by device only.
    let mut rig = Rig::new();
    for (device, label) in [
        (Some("cuda:0"), Label::CrashedAbort),
        (None, Label::CrashedKilled),
        (Some("cuda:1"), Label::CrashedAbort),
    ] {
        rig.crash(label, device);
        rig.now += SECOND;
    }
    let (now, start) = (rig.now, rig.start);
    let mut found = |filter: Filter| rig.health.history(&filter, 100, now).len();
    assert_eq!(found(Filter::default()), 3);
    assert_eq!(found(Filter { device: Some("cuda:0".into()), ..Filter::default() }), 1);
    assert_eq!(found(Filter { label: Some(Label::CrashedAbort), ..Filter::default() }), 2);
    assert_eq!(found(Filter { since: Some(start + SECOND), ..Filter::default() }), 2);
    assert_eq!(found(Filter { worker: Some(2), ..Filter::default() }), 0);
    assert_eq!(found(Filter { program: Some("p".into()), ..Filter::default() }), 3);
    let newest = rig.health.history(&Filter::default(), 1, now);
    assert_eq!(newest[0].device.as_deref(), Some("cuda:1"));
}

#[test]
fn s31_s51_a_thousand_records_for_an_hour_and_no_more() {
    let mut rig = Rig::new();
    for _ in 0..3_000 {
        rig.crash(Label::CrashedAbort, None);
    }
    let all = Filter::default();
    assert_eq!(rig.health.history(&all, usize::MAX, rig.now).len(), 1_000);
    assert_eq!(rig.health.history(&all, usize::MAX, rig.now + 3_599 * SECOND).len(), 1_000);
    assert_eq!(rig.health.history(&all, usize::MAX, rig.now + 3_600 * SECOND).len(), 0);
    assert_eq!(rig.health.program(&"p".into()).unwrap().crashes, 3_000, "counts go on");
}

#[test]
fn s25_s35_workers_are_counted_and_so_are_the_healthy_ones() {
    // The original never fills its table of workers, and calls all of them healthy.
    let mut rig = Rig::new();
    rig.health.worker_started(1, rig.now);
    rig.health.worker_started(2, rig.now);
    rig.ends(Label::Completed, None, (0, 1), SECOND);
    let status = rig.health.status(rig.now);
    assert_eq!((status.workers, status.healthy_workers), (2, 2));
    rig.now += SECOND;
    rig.crash(Label::CrashedAbort, None);
    let status = rig.health.status(rig.now);
    assert_eq!((status.workers, status.healthy_workers), (2, 1));
    let stats = rig.health.worker(1).unwrap();
    assert_eq!((stats.started, stats.requests, stats.crashes), (rig.start, 2, 1));
    assert_eq!((stats.last_healthy, stats.last_active), (Some(rig.start), Some(rig.now)));
    rig.health.worker_ended(1);
    assert_eq!(rig.health.status(rig.now).workers, 1);
}

#[test]
fn s26_s34_devices_are_known_and_count_what_ran_out_of_memory() {
    // In the original the device is always nil, and no exit status is ever called out of memory.
    let mut rig = Rig::new();
    rig.crash(Label::CrashedOutOfMemory, Some("cuda:0"));
    let device: Arc<str> = "cuda:0".into();
    rig.health.ended(&Ended {
        at: rig.now,
        worker: 1,
        program: &"p".into(),
        device: Some(&device),
        kind: &"k".into(),
        sign: Some(Sign::OutOfMemory),
        label: Label::FailedError,
        took: SECOND,
        memory: (0, 1),
    });
    let (name, _, stats) = rig.health.status(rig.now).devices.remove(0);
    assert_eq!((&*name, stats.crashes, stats.out_of_memory), ("cuda:0", 1, 2));
}

#[test]
fn s65_each_kind_of_work_has_figures_and_a_level_of_its_own() {
    let mut rig = Rig::new();
    let (kind, other): (Arc<str>, Arc<str>) = ("k".into(), "other".into());
    assert!(rig.health.kind(&kind, rig.now).is_none());
    (0..6).for_each(|_| rig.crash(Label::CrashedAbort, None));
    rig.ends(Label::Completed, None, (0, 1), SECOND);
    let (level, stats) = rig.health.kind(&kind, rig.now).unwrap();
    assert_eq!((level, stats.crashes, stats.requests), (Level::Degraded, 6, 7));
    assert!(rig.health.kind(&other, rig.now).is_none());
    rig.now += 300 * SECOND;
    assert_eq!(rig.health.kind(&kind, rig.now).unwrap().0, Level::Healthy);
}

#[test]
fn s27_s28_a_device_is_ill_for_as_long_as_it_crashes_and_recovers_by_itself() {
    // In the original its count never falls: it is unhealthy for ever.
    let mut rig = Rig::new();
    for expected in
        [(5, Level::Healthy), (6, Level::Degraded), (10, Level::Degraded), (11, Level::Unhealthy)]
    {
        while rig.health.crashes.len() < expected.0 {
            rig.now += 10 * SECOND;
            rig.crash(Label::CrashedAbort, Some("cpu"));
        }
        assert_eq!(rig.level(), expected.1, "{}", expected.0);
    }
    assert_eq!(rig.health.status(rig.now).reasons[0], "device cpu is unhealthy");
    rig.now += 300 * SECOND;
    assert_eq!(rig.level(), Level::Healthy);
}

#[test]
fn s28_s29_more_than_ten_crashes_in_a_minute_are_critical_whatever_the_device() {
    let mut rig = Rig::new();
    for _ in 0..10 {
        rig.crash(Label::CrashedAbort, None);
    }
    assert_eq!(rig.level(), Level::Healthy);
    rig.crash(Label::CrashedAbort, None);
    let status = rig.health.status(rig.now);
    assert_eq!((status.level, status.recent_crashes), (Level::Critical, 11));
    assert!(status.reasons.contains(&"11 crashes lately".to_owned()));
    rig.now += 60 * SECOND;
    let status = rig.health.status(rig.now);
    assert_eq!((status.level, status.recent_crashes), (Level::Healthy, 11));
    let names: Vec<&str> = [Level::Healthy, Level::Degraded, Level::Unhealthy, Level::Critical]
        .map(Level::name)
        .into();
    assert_eq!(names, ["healthy", "degraded", "unhealthy", "critical"]);
}

#[test]
fn s32_s56_a_storm_raises_one_alert_and_one_all_clear() {
    // The original alerts at the sixth crash, and at the seventh, and at each one after it.
    let mut rig = Rig::new();
    for _ in 0..5 {
        rig.crash(Label::CrashedAbort, None);
    }
    assert_eq!(rig.alerts(), []);
    for _ in 0..10_000 {
        rig.crash(Label::CrashedAbort, None);
        rig.now += Duration::from_millis(1);
    }
    let alerts = rig.alerts();
    assert!(alerts.contains(&("crash-rate", true)));
    assert_eq!(alerts.iter().filter(|(name, _)| *name == "crash-rate").count(), 1, "{alerts:?}");
    rig.now += 60 * SECOND;
    assert!(rig.alerts().contains(&("crash-rate", false)));
    rig.now += 600 * SECOND;
    assert_eq!(rig.alerts(), []);
}

#[test]
fn s33_memory_faults_places_and_inputs_have_patterns_of_their_own() {
    let mut rig = Rig::new();
    for _ in 0..3 {
        assert_eq!(rig.alerts(), []);
        rig.crash(Label::CrashedMemoryFault, None);
    }
    assert_eq!(rig.alerts(), [("memory-faults", true)]);
    let mut rig = Rig::new();
    for _ in 0..3 {
        assert_eq!(rig.alerts(), []);
        let record = CrashRecord { signature: 7, ..rig.record(Label::CrashedAbort, None) };
        rig.health.crashed(record);
    }
    assert_eq!(rig.alerts(), [("same-place", true)]);
    let mut rig = Rig::new();
    let culprit = rig.record(Label::CrashedAbort, None).culprit;
    for _ in 0..3 {
        let record = rig.record(Label::CrashedAbort, None);
        rig.health.crashed(CrashRecord { culprit: culprit.clone(), ..record });
    }
    assert_eq!(rig.alerts(), [("one-input", true)]);
    assert_eq!(Pattern::ALL.map(Pattern::name).len(), 6);
}

#[test]
fn s33_memory_that_creeps_towards_its_cap_is_told_before_it_is_reached() {
    let mut rig = Rig::new();
    for peak in [50, 60, 70, 80, 88, 91] {
        assert_eq!(rig.alerts(), []);
        rig.ends(Label::Completed, None, (peak, 100), SECOND);
    }
    assert_eq!(rig.alerts(), [("memory-creep", true)]);
    rig.health.worker_ended(1);
    assert_eq!(rig.alerts(), [("memory-creep", false)]);
    let mut rig = Rig::new();
    for _ in 0..100 {
        rig.ends(Label::Completed, None, (95, 100), SECOND);
    }
    assert_eq!(rig.alerts(), [], "much and always the same is no creeping");
}

#[test]
fn s33_a_program_that_slows_down_is_told_and_so_is_its_recovery() {
    let mut rig = Rig::new();
    (0..200).for_each(|_| rig.ends(Label::Completed, None, (0, 1), SECOND));
    (0..30).for_each(|_| rig.ends(Label::Completed, None, (0, 1), 9 * SECOND));
    assert_eq!(rig.alerts(), [("slow-down", true)]);
    (0..100).for_each(|_| rig.ends(Label::Completed, None, (0, 1), SECOND));
    assert_eq!(rig.alerts(), [("slow-down", false)]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens, alerts and all-clears of a pattern alternate, and calm ends them all.
    #[test]
    fn s32_alerts_and_all_clears_take_turns(seed in any::<u64>(), length in 1_usize..400) {
        let (mut rig, mut dice) = (Rig::new(), Dice(seed));
        let mut raised: Vec<Pattern> = Vec::new();
        for step in 0..=length {
            rig.now += Duration::from_millis(dice.below(20_000));
            if step == length {
                rig.now += 120 * SECOND;
                rig.health.tick(rig.now);
            } else if dice.chance() < 0.7 {
                let (place, input) = (dice.below(4), [dice.below(4) as u8; 16]);
                let culprit = Culprit { kind: "k".into(), digest: input };
                let label = [Label::CrashedMemoryFault, Label::CrashedAbort][dice.below(2) as usize];
                let record = rig.record(label, None);
                rig.health.crashed(CrashRecord { signature: place, culprit, ..record });
            }
            for alert in rig.health.take_alerts() {
                prop_assert_eq!(alert.raised, !raised.contains(&alert.pattern));
                if alert.raised {
                    raised.push(alert.pattern);
                } else {
                    raised.retain(|pattern| *pattern != alert.pattern);
                }
            }
        }
        prop_assert!(raised.is_empty(), "{:?}", raised);
    }
}
