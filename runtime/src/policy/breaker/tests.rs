//! The breaker, question by question.

use super::*;

pub(super) const SECOND: Duration = Duration::from_secs(1);

/// A breaker without chance, and a clock to turn.
pub(super) struct Rig {
    pub(super) breaker: Breaker,
    pub(super) now: Instant,
    pub(super) told: Vec<Change>,
}

impl Rig {
    fn of(settings: BreakerSettings) -> Self {
        let now = Instant::now();
        Self { breaker: Breaker::new(Arc::new(settings), now), now, told: Vec::new() }
    }

    pub(super) fn new() -> Self {
        Self::of(BreakerSettings::default())
    }

    pub(super) fn passes(&mut self, time: Duration) -> &mut Self {
        self.now += time;
        self
    }

    pub(super) fn ask(&mut self) -> Result<Permit, Refused> {
        let answer = self.breaker.admit(Duration::ZERO, self.now, 0.0);
        self.told.extend(self.breaker.take_changes());
        answer
    }

    pub(super) fn tell(&mut self, permit: Permit, weight: Weight) {
        self.breaker.record(permit, weight, Duration::ZERO, self.now, 0.0);
        self.told.extend(self.breaker.take_changes());
    }

    fn call(&mut self, weight: Weight) -> &mut Self {
        let permit = self.ask().unwrap();
        self.tell(permit, weight);
        self
    }

    fn calls(&mut self, times: u32, weight: Weight) -> &mut Self {
        (0..times).for_each(|_| {
            self.call(weight);
        });
        self
    }

    pub(super) fn mode(&mut self) -> Mode {
        self.breaker.tick(self.now, 0.0);
        self.told.extend(self.breaker.take_changes());
        self.breaker.mode()
    }

    fn half_open() -> Self {
        let mut rig = Self::new();
        rig.calls(5, Weight::Failure).passes(30 * SECOND);
        assert_eq!(rig.mode(), Mode::HalfOpen);
        rig
    }
}

#[test]
fn s16_s59_opens_after_five_failures_in_a_row_and_not_before() {
    let mut rig = Rig::new();
    assert_eq!(rig.calls(4, Weight::Failure).mode(), Mode::Closed);
    assert_eq!(rig.call(Weight::Failure).mode(), Mode::Open);
    assert_eq!(rig.told[0].why, Why::Failures(5));
}

#[test]
fn s16_failures_far_apart_do_not_add_up() {
    // The original has no window, and a success takes off one failure only: five failures of ten thousand calls opened it.
    let mut rig = Rig::new();
    for _ in 0..10 {
        rig.calls(4, Weight::Failure).calls(5, Weight::Success).passes(31 * SECOND);
    }
    assert_eq!(rig.mode(), Mode::Closed);
}

#[test]
fn s16_opens_at_a_rate_of_failures_where_there_were_enough_calls() {
    let mut rig = Rig::new();
    for _ in 0..4 {
        rig.call(Weight::Failure).call(Weight::Success);
    }
    rig.call(Weight::Success);
    assert_eq!(rig.mode(), Mode::Closed, "nine calls say nothing yet");
    rig.call(Weight::Failure);
    assert_eq!(rig.mode(), Mode::Open);
    let tally = Tally { calls: 10, failures: 5, slow: 0 };
    assert_eq!(rig.told[0].why, Why::FailureRate(tally));
}

#[test]
fn s16_opens_at_a_rate_of_slow_calls_if_asked_to() {
    let slow = Some(SlowCalls { rate: 80, than: 10 * SECOND });
    let mut rig = Rig::of(BreakerSettings { slow, ..BreakerSettings::default() });
    for _ in 0..10 {
        let permit = rig.ask().unwrap();
        rig.breaker.record(permit, Weight::Success, 11 * SECOND, rig.now, 0.0);
    }
    assert_eq!(rig.breaker.mode(), Mode::Open);
}

#[test]
fn s20_the_seeds_own_way_of_forgiving_can_be_had() {
    let forgiveness = Forgiveness::One;
    let mut rig =
        Rig::of(BreakerSettings { forgiveness, failure_rate: None, ..BreakerSettings::default() });
    rig.calls(4, Weight::Failure).call(Weight::Success).call(Weight::Failure);
    assert_eq!(rig.mode(), Mode::Closed);
    assert_eq!(rig.call(Weight::Failure).mode(), Mode::Open);
}

#[test]
fn s18_stays_open_for_thirty_seconds_and_says_how_long() {
    let mut rig = Rig::new();
    rig.calls(5, Weight::Failure).passes(10 * SECOND);
    let refused = rig.ask().unwrap_err();
    assert_eq!(refused, Refused { mode: Mode::Open, retry_after: Some(20 * SECOND) });
    assert_eq!(rig.breaker.next_change(), Some(rig.now + 20 * SECOND));
    rig.passes(20 * SECOND - Duration::from_nanos(1));
    assert!(rig.ask().is_err());
    assert!(rig.passes(Duration::from_nanos(1)).ask().is_ok());
}

#[test]
fn s18_late_failures_do_not_hold_it_open() {
    // In the original each failure of an older call moves the end of the open time, and tells again that it opened.
    let mut rig = Rig::new();
    let late: Vec<Permit> = (0..9).map(|_| rig.ask().unwrap()).collect();
    rig.calls(5, Weight::Failure).passes(29 * SECOND);
    late.into_iter().for_each(|permit| rig.tell(permit, Weight::Failure));
    assert_eq!(rig.passes(SECOND).mode(), Mode::HalfOpen);
    assert_eq!(rig.told.len(), 2, "{:?}", rig.told);
}

#[test]
fn s18_each_further_opening_lasts_longer_up_to_a_most_and_closing_starts_over() {
    let mut rig = Rig::new();
    rig.calls(5, Weight::Failure);
    let mut spans = Vec::new();
    for _ in 0..6 {
        let span = rig.ask().unwrap_err().retry_after.unwrap();
        spans.push(span.as_secs());
        rig.passes(span).call(Weight::Failure);
    }
    assert_eq!(spans, [30, 60, 120, 240, 300, 300]);
    rig.passes(300 * SECOND).calls(3, Weight::Success).calls(5, Weight::Failure);
    assert_eq!(rig.ask().unwrap_err().retry_after, Some(30 * SECOND));
}

#[test]
fn s18_chance_is_added_at_the_cap_too() {
    // The original caps after its jitter, so that all who have reached the cap come back together.
    let mut breaker = Rig::new().breaker;
    let now = Instant::now();
    breaker.openings = 20;
    breaker.set(Mode::Open, now, 1.0);
    assert_eq!(breaker.next_change(), Some(now + 360 * SECOND));
}

#[test]
fn s19_half_open_admits_three_probes() {
    // The original declares this number and never reads it: a thousand of a thousand calls got through.
    let mut rig = Rig::half_open();
    let probes: Vec<Permit> = (0..3).map(|_| rig.ask().unwrap()).collect();
    assert_eq!(rig.ask().unwrap_err().mode, Mode::HalfOpen);
    assert_eq!((0..1_000).filter(|_| rig.ask().is_ok()).count(), 0);
    probes.into_iter().for_each(|permit| rig.tell(permit, Weight::Success));
    assert_eq!(rig.mode(), Mode::Closed);
}

#[test]
fn s12_s19_a_permit_that_is_given_back_changes_nothing_and_makes_room() {
    let mut rig = Rig::half_open();
    let probes: Vec<Permit> = (0..3).map(|_| rig.ask().unwrap()).collect();
    probes.into_iter().for_each(|permit| rig.breaker.give_back(permit));
    assert_eq!(rig.mode(), Mode::HalfOpen);
    assert!(rig.ask().is_ok());
}

#[test]
fn s17_three_probes_have_to_succeed() {
    let mut rig = Rig::half_open();
    assert_eq!(rig.calls(2, Weight::Success).mode(), Mode::HalfOpen);
    assert_eq!(rig.call(Weight::Success).mode(), Mode::Closed);
    assert_eq!(rig.told.last().unwrap().why, Why::Probes(3));
}

#[test]
fn s17_more_successes_than_probes_are_gathered_round_by_round() {
    let settings = BreakerSettings { probes: 1, successes: 3, ..BreakerSettings::default() };
    let mut rig = Rig::of(settings);
    rig.calls(5, Weight::Failure).passes(30 * SECOND);
    let first = rig.ask().unwrap();
    assert!(rig.ask().is_err());
    rig.tell(first, Weight::Success);
    assert_eq!(rig.calls(2, Weight::Success).mode(), Mode::Closed);
}

#[test]
fn s19_the_first_probe_that_fails_opens_again() {
    // In the original half-open could survive four failures, if late successes had lowered the count meanwhile.
    let mut rig = Rig::half_open();
    rig.call(Weight::Success);
    let other = rig.ask().unwrap();
    assert_eq!(rig.call(Weight::Failure).mode(), Mode::Open);
    assert_eq!(rig.told.last().unwrap().why, Why::ProbeFailed);
    rig.tell(other, Weight::Success);
    assert_eq!(rig.mode(), Mode::Open, "it belongs to a state that is over");
}

#[test]
fn s19_a_probe_whose_caller_died_has_failed_when_its_lease_is_over() {
    // An earlier breaker stays half-open for ever then.
    let mut rig = Rig::half_open();
    let _never_told = rig.ask().unwrap();
    assert_eq!(rig.passes(10 * SECOND).mode(), Mode::Open);
    assert_eq!(rig.told.last().unwrap().why, Why::LeaseOver);
    assert!(rig.passes(60 * SECOND).ask().is_ok());
}

#[test]
fn s19_a_probe_that_may_take_longer_has_a_longer_lease() {
    let mut rig = Rig::half_open();
    let permit = rig.breaker.admit(40 * SECOND, rig.now, 0.0).unwrap();
    assert_eq!(rig.passes(39 * SECOND).mode(), Mode::HalfOpen);
    rig.tell(permit, Weight::Success);
    assert_eq!(rig.mode(), Mode::HalfOpen);
}

#[test]
fn s15_s18_states_set_by_hand_stay_until_they_are_set_again() {
    let mut rig = Rig::new();
    for (mode, lets_through) in [
        (Mode::ForcedOpen, false),
        (Mode::Disabled, true),
        (Mode::MetricsOnly, true),
        (Mode::Closed, true),
    ] {
        rig.breaker.set(mode, rig.now, 0.0);
        for _ in 0..20 {
            match rig.ask() {
                Ok(permit) if mode == Mode::Closed => rig.tell(permit, Weight::Success),
                Ok(permit) => rig.tell(permit, Weight::Failure),
                Err(refused) => assert_eq!(refused, Refused { mode, retry_after: None }),
            }
        }
        assert_eq!(rig.ask().is_ok(), lets_through, "{mode:?}");
        assert_eq!(rig.passes(1_000 * SECOND).mode(), mode);
    }
    rig.breaker.set(Mode::MetricsOnly, rig.now, 0.0);
    rig.calls(7, Weight::Failure);
    assert_eq!(rig.breaker.tally(rig.now).failures, 7, "what is let through is counted");
    rig.breaker.set(Mode::HalfOpen, rig.now, 0.0);
    assert_eq!(rig.calls(3, Weight::Success).mode(), Mode::Closed);
    assert!(!rig.breaker.is_at_rest(rig.now) || rig.breaker.tally(rig.now).calls == 0);
}

#[test]
fn s23_s53_s54_every_transition_is_told_once_with_its_reason() {
    // In the original closing was declared as an event and never told.
    let mut rig = Rig::half_open();
    rig.calls(3, Weight::Success);
    let told: Vec<(&str, &str)> =
        rig.told.iter().map(|change| (change.from.name(), change.to.name())).collect();
    assert_eq!(told, [("closed", "open"), ("open", "half-open"), ("half-open", "closed")]);
    assert_eq!(rig.told[1].why, Why::TimeUp);
}

#[test]
fn s40_what_is_ignored_neither_opens_nor_closes() {
    let mut rig = Rig::new();
    assert_eq!(rig.calls(100, Weight::Ignored).mode(), Mode::Closed);
    assert!(rig.breaker.is_at_rest(rig.now));
    let mut rig = Rig::half_open();
    assert_eq!(rig.calls(100, Weight::Ignored).mode(), Mode::HalfOpen);
}

#[test]
fn s16_s17_s18_s19_s49_each_setting_changes_what_it_says() {
    let settings = BreakerSettings {
        failures: 2,
        successes: 1,
        open_for: SECOND,
        probes: 2,
        failure_rate: None,
        ..BreakerSettings::default()
    };
    let mut rig = Rig::of(settings);
    assert_eq!(rig.calls(2, Weight::Failure).mode(), Mode::Open);
    rig.passes(SECOND);
    let (one, two) = (rig.ask().unwrap(), rig.ask().unwrap());
    assert!(rig.ask().is_err());
    rig.tell(one, Weight::Success);
    assert_eq!(rig.mode(), Mode::Closed);
    rig.tell(two, Weight::Failure);
    assert_eq!(rig.breaker.tally(rig.now).calls, 0, "a probe of an older state is not counted");
}
