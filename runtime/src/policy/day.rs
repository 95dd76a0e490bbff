//! A day of traffic with storms, in virtual time: every machine at once, as an executor drives them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::breaker::{Breaker, BreakerSettings, Mode};
use super::dice::Dice;
use super::health::{CrashRecord, Health, HealthSettings, Level, Pattern, Phase};
use super::quarantine::{Culprit, Death, Quarantine, QuarantineSettings, Standing};
use super::restart::{Condition, Past, Restart, RestartSettings, Restarts};
use super::retry::{Decision, RetryBudget, RetrySettings, Tried};
use super::weight::Weight;
use crate::label::Label;
use crate::quantity::ByteSize;
use crate::task::TaskId;

const TASKS_AN_HOUR: u64 = 3_600;

/// Two storms: at six in the morning everything crashes for ten minutes, at noon half of it for an hour.
fn breaks(second: u64, dice: &mut Dice) -> bool {
    match second {
        21_600..22_200 => true,
        43_200..46_800 => dice.chance() < 0.5,
        _ => dice.chance() < 0.001,
    }
}

struct Day {
    dice: Dice,
    breaker: Breaker,
    retry: RetrySettings,
    budget: RetryBudget,
    restarts: Restarts,
    past: Past,
    quarantine: Quarantine,
    health: Health,
    attempts: u64,
    refused: u64,
    poisoned: u64,
    deaths_of_poison: u64,
}

impl Day {
    fn new(start: Instant) -> Self {
        Self {
            dice: Dice(2_026),
            breaker: Breaker::new(Arc::new(BreakerSettings::default()), start),
            retry: RetrySettings::default(),
            budget: RetryBudget::new(RetrySettings::default().budget, start),
            restarts: Restarts::new(RestartSettings::default()),
            past: Past::default(),
            quarantine: Quarantine::new(QuarantineSettings::default()),
            health: Health::new(HealthSettings::default()),
            attempts: 0,
            refused: 0,
            poisoned: 0,
            deaths_of_poison: 0,
        }
    }

    /// One task, with all its attempts at the same moment.
    fn task(&mut self, input: u8, second: u64, now: Instant) {
        let culprit = Culprit { kind: "day".into(), digest: [input; 16] };
        self.budget.deposit(now);
        for attempt in 1.. {
            if self.quarantine.admit(&culprit, now).is_err() {
                self.poisoned += 1;
                return;
            }
            let chance = self.dice.chance();
            let Ok(permit) = self.breaker.admit(Duration::ZERO, now, chance) else {
                self.refused += 1;
                return;
            };
            self.attempts += 1;
            let crashed = input == 0 || breaks(second, &mut self.dice);
            let label = if crashed { Label::CrashedAbort } else { Label::Completed };
            let weight = Weight::of(label, Weight::FAILURES);
            self.breaker.record(permit, weight, Duration::ZERO, now, chance);
            if crashed {
                self.died(&culprit, label, attempt, now);
            }
            let (memory, delay) = (ByteSize::mib(64), Duration::ZERO);
            let tried = Tried {
                attempt,
                label,
                idempotent: true,
                memory,
                raised: false,
                delay,
                left: None,
            };
            match self.retry.decide(&tried, &mut self.budget, now, self.dice.chance()) {
                Decision::Again { .. } => {}
                Decision::Enough(_) => return,
            }
        }
    }

    fn died(&mut self, culprit: &Culprit, label: Label, attempt: u32, now: Instant) {
        let standing =
            self.quarantine.died(culprit, Death { at: now, worker: self.attempts, label });
        self.deaths_of_poison += u64::from(culprit.digest[0] == 0);
        assert!(standing != Standing::Poison || self.quarantine.admit(culprit, now).is_err());
        self.restarts.ready(&mut self.past, now);
        let random = self.dice.chance();
        let Restart::At(at) = self.restarts.died(&mut self.past, now, random) else {
            panic!("this pool never stops")
        };
        assert!(at >= now);
        self.health.crashed(CrashRecord {
            at: now,
            task: TaskId::named("day"),
            attempt,
            worker: self.attempts,
            program: "day".into(),
            device: None,
            label,
            phase: Phase::Task,
            stderr: String::new(),
            signature: self.attempts,
            culprit: culprit.clone(),
        });
    }
}

#[test]
fn s1_s59_a_day_with_two_storms_ends_as_it_began() {
    let start = Instant::now();
    let mut day = Day::new(start);
    let (mut openings, mut closings, mut alerts, mut all_clears) = (0, 0, 0, 0);
    let mut worst = Level::Healthy;
    let tasks = 24 * TASKS_AN_HOUR;
    for second in 0..tasks {
        let now = start + Duration::from_secs(second);
        // Every hour the same poison comes back.
        let input = if second % 3_600 == 7 { 0 } else { 1 + (day.dice.below(200) as u8) };
        day.task(input, second, now);
        for change in day.breaker.take_changes() {
            openings += u64::from(change.to == Mode::Open);
            closings += u64::from(change.to == Mode::Closed);
        }
        day.health.tick(now);
        for alert in day.health.take_alerts() {
            if alert.pattern == Pattern::CrashRate {
                alerts += u64::from(alert.raised);
                all_clears += u64::from(!alert.raised);
            }
        }
        worst = worst.max(day.health.status(now).level);
    }
    let end = start + Duration::from_secs(tasks + 400);
    day.breaker.tick(end, 0.0);
    // The first storm is ten minutes of nothing but crashes; only probes got through after the first five of them.
    assert!((2..120).contains(&openings), "{openings} openings");
    assert_eq!(day.breaker.mode(), Mode::Closed, "{closings} closings");
    assert!(day.refused > 500, "{} refused", day.refused);
    assert!(day.attempts < tasks + tasks / 5 + 10, "{} attempts", day.attempts);
    assert!(alerts >= 1 && alerts == all_clears, "{alerts} alerts, {all_clears} all-clears");
    assert!(alerts < 40, "{alerts} alerts are noise");
    assert_eq!(day.health.status(end).level, Level::Healthy, "worst: {}", worst.name());
    assert_eq!(day.restarts.condition(end), Condition::Sound);
    // It may kill three workers; then it is refused until its time is over.
    assert!(day.deaths_of_poison <= 3 * 24 && day.poisoned > 0, "{}", day.deaths_of_poison);
}
