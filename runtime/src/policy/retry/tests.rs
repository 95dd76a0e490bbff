//! Retries: the delays, what is worth one, and the budget.

use proptest::prelude::*;

use super::*;
use crate::policy::dice::Dice;

fn budget() -> RetryBudget {
    RetryBudget::new(BudgetSettings::default(), Instant::now())
}

fn tried(attempt: u32, label: Label) -> Tried {
    let (memory, delay) = (ByteSize::mib(64), Duration::ZERO);
    Tried { attempt, label, idempotent: true, memory, raised: false, delay, left: None }
}

fn decide(settings: &RetrySettings, tried: Tried, random: f64) -> Decision {
    settings.decide(&tried, &mut budget(), Instant::now(), random)
}

fn delays(backoff: Backoff, jitter: Jitter, random: f64) -> Vec<u128> {
    let settings = RetrySettings { attempts: 10, backoff, jitter, ..RetrySettings::default() };
    let after = |attempt| match decide(&settings, tried(attempt, Label::CrashedAbort), random) {
        Decision::Again { after, .. } => after.as_millis(),
        Decision::Enough(enough) => panic!("{enough:?}"),
    };
    (1..10).map(after).collect()
}

#[test]
fn s37_s38_s50_delays_grow_as_asked_and_have_a_most() {
    let grown = [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000];
    assert_eq!(delays(Backoff::Exponential, Jitter::None, 0.5), grown);
    assert_eq!(delays(Backoff::Linear, Jitter::None, 0.5)[..3], [100, 200, 300]);
    assert_eq!(delays(Backoff::Constant, Jitter::None, 0.5)[..3], [100, 100, 100]);
}

#[test]
fn s43_a_retry_waits_for_a_breaker_within_its_own_bounds_and_its_deadline() {
    let settings = RetrySettings { jitter: Jitter::None, ..RetrySettings::default() };
    let second = Duration::from_secs(1);
    let wait = |probe_in, waited, left| settings.until_probe(probe_in, waited, left, 0.5);
    assert_eq!(wait(second, 0, None), Some(second));
    assert_eq!(wait(settings.most, 0, None), Some(settings.most));
    assert_eq!(wait(settings.most + second, 0, None), None, "longer than any delay");
    assert_eq!(wait(second, 0, Some(second)), None, "nothing would be left to run in");
    assert_eq!(wait(second, 0, Some(2 * second)), Some(second));
    assert_eq!(
        [0, 1, 2, 3].map(|waited| wait(second, waited, None).is_some()),
        [true, true, true, false]
    );
    // Those who wait for one moment don't all come at it, unless their deadline wants it.
    let spread = RetrySettings::default();
    let late = spread.until_probe(second, 0, None, 0.5).unwrap();
    assert_eq!(late, second + spread.first / 2);
    let just = second + Duration::from_millis(1);
    assert_eq!(spread.until_probe(second, 0, Some(just), 0.5), Some(second));
}

#[test]
fn s39_chance_spreads_the_whole_delay_at_the_cap_too() {
    // The original adds a quarter at most and caps the sum: at the cap everybody comes back at the same moment.
    assert_eq!(delays(Backoff::Exponential, Jitter::Full, 0.0), [0; 9]);
    assert_eq!(delays(Backoff::Exponential, Jitter::Full, 0.5)[6..], [2_500, 2_500, 2_500]);
}

#[test]
fn s37_a_delay_may_grow_from_the_last_one_instead() {
    let settings = RetrySettings { jitter: Jitter::Decorrelated, ..RetrySettings::default() };
    let after = |delay, random| {
        let last = Tried { delay, ..tried(1, Label::CrashedAbort) };
        match decide(&settings, last, random) {
            Decision::Again { after, .. } => after.as_millis(),
            Decision::Enough(enough) => panic!("{enough:?}"),
        }
    };
    assert_eq!(after(Duration::ZERO, 0.0), 100);
    assert_eq!(after(Duration::from_secs(1), 0.5), 1_550);
    assert_eq!(after(Duration::from_secs(9), 1.0), 5_000);
}

#[test]
fn s36_three_attempts_and_no_more() {
    let settings = RetrySettings::default();
    assert!(matches!(
        decide(&settings, tried(2, Label::CrashedAbort), 0.0),
        Decision::Again { .. }
    ));
    let last = decide(&settings, tried(3, Label::CrashedAbort), 0.0);
    assert_eq!(last, Decision::Enough(Enough::Attempts));
    let none = RetrySettings { attempts: 1, ..settings };
    let first = decide(&none, tried(1, Label::CrashedAbort), 0.0);
    assert_eq!(first, Decision::Enough(Enough::Attempts));
}

#[test]
fn s40_crashes_and_wall_time_are_worth_a_second_try_and_a_tasks_own_error_is_not() {
    let settings =
        RetrySettings { most_memory: Some(ByteSize::mib(1_024)), ..RetrySettings::default() };
    let again =
        |label: &Label| matches!(decide(&settings, tried(1, *label), 0.0), Decision::Again { .. });
    let again: Vec<&str> =
        Label::ALL.iter().filter(|label| again(label)).map(|l| l.as_str()).collect();
    assert_eq!(again.len(), 12, "{again:?}");
    for label in ["crashed.killed", "stopped.wall-time", "unstarted.resources"] {
        assert!(again.contains(&label), "{again:?}");
    }
    for label in ["completed", "failed.error", "stopped.cancelled", "unstarted.rejected"] {
        assert!(!again.contains(&label), "{again:?}");
    }
}

#[test]
fn s40_what_ran_out_of_memory_is_tried_once_more_with_twice_as_much() {
    let out = tried(1, Label::CrashedOutOfMemory);
    let settings = |most| RetrySettings { most_memory: most, ..RetrySettings::default() };
    assert_eq!(decide(&settings(None), out, 0.0), Decision::Enough(Enough::Memory));
    let more = |mib| Decision::Again { after: Duration::ZERO, memory: Some(ByteSize::mib(mib)) };
    assert_eq!(decide(&settings(Some(ByteSize::mib(1_024))), out, 0.0), more(128));
    assert_eq!(decide(&settings(Some(ByteSize::mib(96))), out, 0.0), more(96));
    for (most, raised) in [(64, false), (1_024, true)] {
        let again = decide(&settings(Some(ByteSize::mib(most))), Tried { raised, ..out }, 0.0);
        assert_eq!(again, Decision::Enough(Enough::Memory));
    }
}

#[test]
fn s42_only_what_may_be_done_twice_is_or_what_never_started() {
    let settings = RetrySettings::default();
    let once = |label| Tried { idempotent: false, ..tried(1, label) };
    let crashed = decide(&settings, once(Label::CrashedAbort), 0.0);
    assert_eq!(crashed, Decision::Enough(Enough::NotIdempotent));
    let unstarted = decide(&settings, once(Label::UnstartedResources), 0.0);
    assert!(matches!(unstarted, Decision::Again { .. }));
}

#[test]
fn s44_a_deadline_is_for_the_whole() {
    let left = |milliseconds| {
        let left = Some(Duration::from_millis(milliseconds));
        decide(&RetrySettings::default(), Tried { left, ..tried(2, Label::CrashedAbort) }, 0.5)
    };
    assert_eq!(left(100), Decision::Enough(Enough::Deadline));
    assert!(matches!(left(101), Decision::Again { .. }));
}

#[test]
fn s50_in_a_full_outage_retries_add_a_fifth_and_no_more() {
    let (start, mut dice) = (Instant::now(), Dice(7));
    let (mut budget, settings) =
        (RetryBudget::new(BudgetSettings::default(), start), RetrySettings::default());
    let (mut attempts, submissions) = (0_u64, 100_000_u64);
    for number in 0..submissions {
        let now = start + Duration::from_micros(number * 50);
        budget.deposit(now);
        for attempt in 1.. {
            attempts += 1;
            let tried = tried(attempt, Label::CrashedAbort);
            match settings.decide(&tried, &mut budget, now, dice.chance()) {
                Decision::Again { .. } => {}
                Decision::Enough(_) => break,
            }
        }
    }
    assert!(attempts <= submissions * 12 / 10 + 10, "{attempts}");
    assert!(attempts > submissions * 119 / 100, "the budget is there to be used: {attempts}");
}

#[test]
fn s50_who_runs_few_tasks_gets_a_retry_now_and_then() {
    let start = Instant::now();
    let mut budget = RetryBudget::new(BudgetSettings::default(), start);
    assert_eq!((0..20).filter(|_| budget.withdraw(start)).count(), 10);
    let later = start + Duration::from_secs(25);
    assert_eq!((0..5).filter(|_| budget.withdraw(later)).count(), 2);
    assert!(budget.withdraw(start + Duration::from_secs(30)), "what was over of the time is kept");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn s36_s39_no_delay_is_longer_than_the_most_and_every_task_comes_to_an_end(
        first in 0_u64..10_000,
        most in 1_u64..10_000,
        attempts in 1_u32..50,
        random in 0.0_f64..1.0,
        jitter in prop_oneof![Just(Jitter::None), Just(Jitter::Full), Just(Jitter::Decorrelated)],
        backoff in prop_oneof![
            Just(Backoff::Constant), Just(Backoff::Linear), Just(Backoff::Exponential)
        ],
    ) {
        let (first, most) = (Duration::from_millis(first), Duration::from_millis(most));
        let budget = BudgetSettings { most: 100, ..BudgetSettings::default() };
        let settings = RetrySettings {
            attempts, backoff, first, most, jitter, budget, ..RetrySettings::default()
        };
        let mut purse = RetryBudget::new(budget, Instant::now());
        let (mut attempt, mut delay) = (1, Duration::ZERO);
        loop {
            let tried = Tried { delay, ..tried(attempt, Label::CrashedKilled) };
            match settings.decide(&tried, &mut purse, Instant::now(), random) {
                Decision::Again { after, memory } => {
                    prop_assert!(after <= most && memory.is_none());
                    (attempt, delay) = (attempt + 1, after);
                }
                Decision::Enough(enough) => {
                    prop_assert_eq!(enough, Enough::Attempts);
                    break;
                }
            }
        }
        prop_assert_eq!(attempt, attempts);
    }
}
