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
            phase: Phase::Task,
            stderr: String::new(),
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
fn s32_s33_s34_each_subject_has_its_own_alert_and_all_clear_and_is_named() {
    let mut rig = Rig::new();
    let told = |rig: &mut Rig| -> Vec<(String, bool)> {
        rig.health.tick(rig.now);
        let tell = |it: Alert| (format!("{} {}", it.pattern.name(), it.subject), it.raised);
        rig.health.take_alerts().map(tell).collect()
    };
    let dies_at = |rig: &mut Rig, place: u64| {
        let record = rig.record(Label::CrashedAbort, None);
        rig.health.crashed(CrashRecord { signature: place, ..record });
    };
    (0..3).for_each(|_| dies_at(&mut rig, 7));
    assert_eq!(told(&mut rig), [("same-place place 0000000000000007".to_owned(), true)]);
    rig.now += 30 * SECOND;
    // A second place, while the first one lasts; with it there are six crashes.
    (0..3).for_each(|_| dies_at(&mut rig, 8));
    let both = ["same-place place 0000000000000008", "crash-rate everything"];
    let mut second = told(&mut rig);
    second.sort_by(|one, other| other.cmp(one));
    assert_eq!(second, both.map(|it| (it.to_owned(), true)));
    rig.now += 31 * SECOND;
    let over = told(&mut rig);
    assert!(over.contains(&("same-place place 0000000000000007".to_owned(), false)), "{over:?}");
    assert!(!over.contains(&(both[0].to_owned(), false)), "the other one lasts: {over:?}");
    let reasons = rig.health.status(rig.now).reasons;
    assert_eq!(reasons, ["same-place of place 0000000000000008"]);
    // A storm on one device is told of it and of everything, and of no other device.
    let mut rig = Rig::new();
    (0..6).for_each(|_| rig.crash(Label::CrashedAbort, Some("cuda:0")));
    rig.crash(Label::CrashedAbort, Some("cuda:1"));
    let storm = ["crash-rate everything", "crash-rate device cuda:0"];
    assert_eq!(told(&mut rig), storm.map(|it| (it.to_owned(), true)));
}

#[test]
fn s32_whoever_stops_watching_gives_the_all_clear_for_everything() {
    let mut rig = Rig::new();
    for _ in 0..20 {
        rig.crash(Label::CrashedMemoryFault, Some("cuda:0"));
    }
    let raised = rig.alerts();
    assert!(raised.len() >= 3 && raised.iter().all(|(_, is_raised)| *is_raised), "{raised:?}");
    rig.health.end();
    let cleared = rig.alerts();
    let names = |alerts: &[(&'static str, bool)]| {
        let mut names: Vec<_> = alerts.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        names
    };
    assert_eq!(names(&cleared), names(&raised));
    assert!(cleared.iter().all(|(_, is_raised)| !is_raised), "{cleared:?}");
    rig.health.end();
    assert_eq!(rig.alerts(), []);
}

#[test]
fn s32_alerts_are_bounded_however_many_subjects_there_are() {
    let mut rig = Rig::new();
    rig.health.settings.keep = 100_000;
    for place in 0..5_000_u32 {
        for _ in 0..3 {
            let record = rig.record(Label::CrashedAbort, None);
            let culprit = Culprit { kind: "k".into(), digest: u128::from(place).to_be_bytes() };
            rig.health.crashed(CrashRecord { signature: u64::from(place), culprit, ..record });
        }
    }
    let raised: Vec<Alert> = rig.health.take_alerts().collect();
    assert!(raised.iter().all(|alert| alert.raised) && raised.len() <= 1_001, "{}", raised.len());
    assert!(raised.iter().any(|alert| alert.subject == Subject::Everything));
    let reasons = rig.health.status(rig.now).reasons;
    assert!(reasons.len() <= 35 && reasons.contains(&"crash-rate".to_owned()), "{reasons:?}");
    rig.now += 60 * SECOND;
    rig.health.tick(rig.now);
    let cleared = rig.health.take_alerts().filter(|alert| !alert.raised).count();
    assert_eq!(cleared, raised.len());
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

    /// Whatever happens, alerts and all-clears of a pattern and a subject alternate, and calm ends them all.
    #[test]
    fn s32_alerts_and_all_clears_take_turns(seed in any::<u64>(), length in 1_usize..400) {
        let (mut rig, mut dice) = (Rig::new(), Dice(seed));
        let mut raised: Vec<(Pattern, Subject)> = Vec::new();
        for step in 0..=length {
            rig.now += Duration::from_millis(dice.below(20_000));
            if step == length {
                rig.now += 120 * SECOND;
                rig.health.tick(rig.now);
            } else if dice.chance() < 0.7 {
                let (place, input) = (dice.below(4), [dice.below(4) as u8; 16]);
                let culprit = Culprit { kind: "k".into(), digest: input };
                let label = [Label::CrashedMemoryFault, Label::CrashedAbort][dice.below(2) as usize];
                let device = [None, Some("cuda:0"), Some("cuda:1")][dice.below(3) as usize];
                let record = rig.record(label, device);
                rig.health.crashed(CrashRecord { signature: place, culprit, ..record });
            }
            for alert in rig.health.take_alerts() {
                let of = (alert.pattern, alert.subject);
                prop_assert_eq!(alert.raised, !raised.contains(&of));
                if alert.raised {
                    raised.push(of);
                } else {
                    raised.retain(|other| *other != of);
                }
            }
        }
        prop_assert!(raised.is_empty(), "{:?}", raised);
    }
}
