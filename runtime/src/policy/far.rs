//! Spans beyond all clocks: whoever sets one waits for as long as anybody can, and nothing overflows.

use super::breaker::{Breaker, BreakerSettings};
use super::quarantine::{Culprit, Death, Quarantine, QuarantineSettings};
use super::restart::{OnExcess, Past, Restart, RestartSettings, Restarts};
use super::retry::{BudgetSettings, Jitter, RetrySettings};
use super::weight::Weight;
use super::*;
use crate::label::Label;

const NEVER: Duration = Duration::MAX;

/// Longer than anybody waits.
const YEAR: Duration = Duration::from_secs(365 * 24 * 3_600);

#[test]
fn what_is_beyond_all_clocks_is_far_away() {
    let now = Instant::now();
    assert!(later(now, NEVER) > now + YEAR && later(later(now, NEVER), NEVER) > now + YEAR);
    assert_eq!(later(now, YEAR), now + YEAR);
    assert_eq!((part(NEVER, 1.0), part(NEVER, 0.0)), (NEVER, Duration::ZERO));
    assert_eq!(part(YEAR, 0.5), YEAR / 2);
}

#[test]
fn restarts_may_be_as_rare_as_anything() {
    for random in [0.0, 0.5, 1.0] {
        let restart = RestartSettings {
            first: NEVER,
            most: NEVER,
            healthy_after: NEVER,
            window: NEVER,
            deaths: 1,
            on_excess: OnExcess::Slow(NEVER),
            ..RestartSettings::default()
        };
        let (mut restarts, mut past) = (Restarts::new(restart), Past::default());
        let now = Instant::now();
        let all: Vec<Restart> = (0..4).map(|_| restarts.died(&mut past, now, random)).collect();
        assert_eq!(all[0], Restart::At(now));
        let is_far = |restart: &Restart| matches!(restart, Restart::At(at) if *at > now + YEAR);
        assert!(all[2..].iter().all(is_far), "{all:?}");
        let _ = restarts.failed_to_start(&mut past, now, random);
    }
}

#[test]
fn a_breaker_may_stay_open_for_ever() {
    let settings = BreakerSettings {
        failures: 1,
        open_for: NEVER,
        longest_open: NEVER,
        lease: NEVER,
        ..BreakerSettings::default()
    };
    let (mut breaker, now) = (Breaker::new(settings.into(), now()), now());
    let permit = breaker.admit(NEVER, now, 1.0).unwrap();
    breaker.record(permit, Weight::Failure, NEVER, now, 1.0);
    assert!(breaker.admit(NEVER, now + YEAR, 1.0).is_err());
    let settings = BreakerSettings { open_for: Duration::ZERO, ..settings };
    let mut probed = Breaker::new(settings.into(), now);
    let permit = probed.admit(NEVER, now, 0.0).unwrap();
    probed.record(permit, Weight::Failure, NEVER, now, 0.0);
    assert!(probed.admit(NEVER, now + YEAR, 0.0).is_ok(), "a probe, whose lease never ends");
}

#[test]
fn poison_may_be_so_for_ever() {
    let settings = QuarantineSettings { keep_for: NEVER, ..QuarantineSettings::default() };
    let (mut list, now) = (Quarantine::new(settings), now());
    let culprit = Culprit { kind: "parse".into(), digest: [1; 16] };
    for worker in 1..=3 {
        list.died(&culprit, Death { at: now, worker, label: Label::CrashedMemoryFault });
    }
    assert!(list.admit(&culprit, now).unwrap_err().until > now + YEAR);
    assert_eq!(list.list(now + YEAR).len(), 1);
}

#[test]
fn a_retry_may_be_as_late_as_anything() {
    for jitter in [Jitter::None, Jitter::Full, Jitter::Decorrelated] {
        let budget = BudgetSettings { trickle: NEVER, ..BudgetSettings::default() };
        let settings =
            RetrySettings { first: NEVER, most: NEVER, jitter, budget, ..RetrySettings::default() };
        for random in [0.0, 1.0] {
            let waits = settings.until_probe(NEVER, 0, None, random);
            assert_eq!(waits, Some(NEVER), "{jitter:?}");
        }
    }
}

fn now() -> Instant {
    Instant::now()
}
