//! Restarts: delays, intensity and its end state, starts that fail.

use proptest::prelude::*;

use super::*;
use crate::policy::dice::Dice;

const SECOND: Duration = Duration::from_secs(1);

fn after(restart: Restart, now: Instant) -> u128 {
    match restart {
        Restart::At(at) => (at - now).as_millis(),
        Restart::Never => panic!("never"),
    }
}

/// Deaths of a worker that is never healthy, each at the time of its restart.
fn delays(settings: RestartSettings, random: f64, deaths: usize) -> Vec<u128> {
    let (mut restarts, mut past) = (Restarts::new(settings), Past::default());
    let mut now = Instant::now();
    (0..deaths)
        .map(|_| {
            restarts.ready(&mut past, now);
            let waits = after(restarts.died(&mut past, now, random), now);
            now += Duration::from_millis(waits as u64);
            waits
        })
        .collect()
}

#[test]
fn s11_s48_the_first_restart_is_at_once_then_delays_double_up_to_five_seconds() {
    let settings = RestartSettings { deaths: 100, ..RestartSettings::default() };
    let grown = [0, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000];
    // As if chance were always at its most; the original has no chance in it, so all workers come back together.
    assert_eq!(delays(settings, 1.0, 9), grown);
    assert_eq!(delays(settings, 0.5, 4), [0, 50, 100, 200]);
    let own = RestartSettings { first: SECOND, most: 3 * SECOND, ..settings };
    assert_eq!(delays(own, 1.0, 5), [0, 1_000, 2_000, 3_000, 3_000]);
}

#[test]
fn s11_a_worker_that_was_healthy_for_a_while_starts_over() {
    // In the original its count never falls: ten deaths in a year are the end of it.
    let (mut restarts, mut past) = (Restarts::new(RestartSettings::default()), Past::default());
    let mut now = Instant::now();
    for _ in 0..3 {
        restarts.ready(&mut past, now);
        let _ = restarts.died(&mut past, now, 1.0);
    }
    restarts.ready(&mut past, now);
    now += 10 * SECOND;
    assert_eq!(restarts.died(&mut past, now, 1.0), Restart::At(now));
    assert_eq!((past.deaths, past.last_death), (4, Some(now)));
}

#[test]
fn s12_s48_one_death_too_many_within_a_minute_makes_restarts_rare_and_calm_ends_it() {
    let mut restarts = Restarts::new(RestartSettings::default());
    let start = Instant::now();
    let die = |restarts: &mut Restarts, now| {
        let mut fresh = Past::default();
        restarts.ready(&mut fresh, now);
        after(restarts.died(&mut fresh, now, 1.0), now)
    };
    for _ in 0..10 {
        assert_eq!(die(&mut restarts, start), 0);
    }
    assert_eq!(restarts.condition(start), Condition::Sound);
    let delays: Vec<u128> = (0..4).map(|_| die(&mut restarts, start)).collect();
    assert_eq!(delays, [0, 1_000, 2_000, 3_000]);
    assert_eq!(restarts.condition(start).name(), "degraded");
    assert_eq!(restarts.condition(start + 59 * SECOND), Condition::Degraded);
    assert_eq!(restarts.condition(start + 60 * SECOND), Condition::Sound);
    assert_eq!(die(&mut restarts, start + 60 * SECOND), 0);
}

#[test]
fn s12_deaths_far_apart_are_never_too_many() {
    let (mut restarts, mut now) = (Restarts::new(RestartSettings::default()), Instant::now());
    for _ in 0..1_000 {
        let _ = restarts.died(&mut Past::default(), now, 1.0);
        now += Duration::from_millis(6_001);
        assert_eq!(restarts.condition(now), Condition::Sound);
    }
}

#[test]
fn s12_a_pool_may_stop_instead_and_says_so_until_it_is_reset() {
    // The original stops a worker, and its supervisor starts it again with a count of nothing.
    let settings =
        RestartSettings { deaths: 2, on_excess: OnExcess::Stop, ..RestartSettings::default() };
    let (mut restarts, mut past, now) = (Restarts::new(settings), Past::default(), Instant::now());
    let all: Vec<Restart> = (0..4).map(|_| restarts.died(&mut past, now, 0.0)).collect();
    assert_eq!(all, [Restart::At(now), Restart::At(now), Restart::Never, Restart::Never]);
    let later = now + 1_000 * SECOND;
    assert_eq!(restarts.condition(later).name(), "stopped");
    restarts.reset();
    assert_eq!(restarts.condition(later).name(), "sound");
}

#[test]
fn s7_three_starts_in_a_row_that_fail_are_told_and_never_end_the_pool() {
    let (mut restarts, mut past) = (Restarts::new(RestartSettings::default()), Past::default());
    let now = Instant::now();
    let told: Vec<(u128, bool)> = (0..4)
        .map(|_| {
            let (restart, tell) = restarts.failed_to_start(&mut past, now, 1.0);
            (after(restart, now), tell)
        })
        .collect();
    assert_eq!(told, [(100, false), (200, false), (400, true), (800, true)]);
    assert_eq!(restarts.condition(now), Condition::Sound, "no worker died");
    restarts.ready(&mut past, now);
    assert!(!restarts.failed_to_start(&mut past, now, 1.0).1, "one was ready in between");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The model keeps every death and counts anew.
    #[test]
    fn s12_intensity_is_what_a_list_of_all_deaths_says(
        steps in prop::collection::vec((0_u64..20_000, 0_usize..4, any::<bool>()), 1..300),
        seed in any::<u64>(),
    ) {
        let settings = RestartSettings::default();
        let (mut restarts, mut pasts, mut dice) = (Restarts::new(settings), [Past::default(); 4], Dice(seed));
        let (mut now, mut deaths, mut degraded) = (Instant::now(), Vec::<Instant>::new(), false);
        let mut slow: Vec<Instant> = Vec::new();
        for (milliseconds, which, dies) in steps {
            now += Duration::from_millis(milliseconds / 4);
            let within = |deaths: &[Instant]| {
                deaths.iter().filter(|at| now - **at < settings.window).count()
            };
            // What overflowed once was counted off: a degraded pool counts ten at most.
            degraded &= within(&deaths).min(10) > 5;
            if dies {
                deaths.push(now);
                degraded |= within(&deaths) > 10;
                restarts.ready(&mut pasts[which], now);
                let Restart::At(at) = restarts.died(&mut pasts[which], now, dice.chance()) else {
                    return Err(TestCaseError::fail("it never stops"));
                };
                prop_assert!(at >= now && (degraded || at <= now + settings.most));
                if degraded {
                    prop_assert!(slow.last().is_none_or(|last| at >= *last + SECOND));
                    slow.push(at);
                }
            }
            let condition = restarts.condition(now);
            prop_assert_eq!(condition == Condition::Degraded, degraded);
            if !degraded {
                slow.clear();
            }
        }
    }
}
