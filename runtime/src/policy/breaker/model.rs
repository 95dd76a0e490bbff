//! The breaker against a model that keeps everything and counts it anew each time.

use proptest::prelude::*;

use super::tests::{Rig, SECOND};
use super::*;
use crate::policy::window::{SLICES, Span};

/// What may happen to a breaker.
#[derive(Clone, Copy, Debug)]
enum Act {
    Ask,
    Tell(usize, Weight),
    GiveBack(usize),
    Die(usize),
    Pass(u16),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let weight = prop_oneof![
        2 => Just(Weight::Success), 3 => Just(Weight::Failure), 1 => Just(Weight::Ignored)
    ];
    let act = prop_oneof![
        5 => Just(Act::Ask),
        5 => (0_usize..4, weight).prop_map(|(which, weight)| Act::Tell(which, weight)),
        1 => (0_usize..4).prop_map(Act::GiveBack),
        1 => (0_usize..4).prop_map(Act::Die),
        2 => (0_u16..12_000).prop_map(Act::Pass),
    ];
    prop::collection::vec(act, 0..400)
}

/// The same machine, written down as a list of everything that was told.
struct Model {
    settings: BreakerSettings,
    start: Instant,
    mode: Mode,
    calls: Vec<(u64, Weight)>,
    until: Instant,
    probes: Vec<(u64, Instant)>,
    good: u32,
    opened: u32,
}

impl Model {
    fn slice(&self, now: Instant) -> u64 {
        let Span::Time(span) = self.settings.window else { unreachable!() };
        ((now - self.start).as_nanos() / (span / SLICES).as_nanos()) as u64
    }

    fn open(&mut self, now: Instant) {
        let grown = 30 * SECOND * 2_u32.pow(self.opened.min(8));
        self.opened += 1;
        (self.mode, self.until) = (Mode::Open, now + grown.min(300 * SECOND));
        (self.calls, self.probes, self.good) = (Vec::new(), Vec::new(), 0);
    }

    fn tick(&mut self, now: Instant) {
        if self.mode == Mode::Open && now >= self.until {
            self.mode = Mode::HalfOpen;
        } else if self.mode == Mode::HalfOpen && self.probes.iter().any(|probe| probe.1 <= now) {
            self.open(now);
        }
    }

    fn told(&mut self, weight: Weight, now: Instant) {
        if weight == Weight::Ignored {
            return;
        }
        self.calls.push((self.slice(now), weight));
        let failed = |call: &&(u64, Weight)| call.1 == Weight::Failure;
        let in_a_row = self.calls.iter().rev().take_while(failed).count();
        let (oldest, calls) = (self.slice(now).saturating_sub(9), &self.calls);
        let recent: Vec<_> = calls.iter().filter(|call| call.0 >= oldest).collect();
        let failures = recent.iter().filter(|call| call.1 == Weight::Failure).count();
        if in_a_row >= 5 || recent.len() >= 10 && failures * 2 >= recent.len() {
            self.open(now);
        }
    }

    fn probed(&mut self, number: u64, weight: Weight, now: Instant) {
        self.probes.retain(|probe| probe.0 != number);
        match weight {
            Weight::Ignored => {}
            Weight::Failure => self.open(now),
            Weight::Success if self.good == 2 => {
                (self.mode, self.opened) = (Mode::Closed, 0);
                (self.calls, self.probes, self.good) = (Vec::new(), Vec::new(), 0);
            }
            Weight::Success => self.good += 1,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn s59_the_breaker_does_what_the_model_does(acts in acts()) {
        let mut rig = Rig::new();
        let (start, settings) = (rig.now, BreakerSettings::default());
        let mut model = Model {
            settings, start, mode: Mode::Closed, calls: Vec::new(), until: start,
            probes: Vec::new(), good: 0, opened: 0,
        };
        let mut out: Vec<(Permit, u64)> = Vec::new();
        // The model's own generations: a permit counts only in the state in which it was given.
        let (mut states, mut seen) = (0_u64, Mode::Closed);
        for act in acts {
            if let Act::Pass(milliseconds) = act {
                rig.passes(Duration::from_millis(milliseconds.into()));
            }
            model.tick(rig.now);
            prop_assert_eq!(rig.mode(), model.mode);
            (states, seen) = (states + u64::from(seen != model.mode), model.mode);
            match act {
                Act::Ask => {
                    let may = match model.mode {
                        Mode::Closed => true,
                        Mode::HalfOpen => model.probes.len() + (model.good as usize) < 3,
                        _ => false,
                    };
                    let answer = rig.ask();
                    prop_assert_eq!(answer.is_ok(), may);
                    if let Ok(permit) = answer {
                        if model.mode == Mode::HalfOpen {
                            model.probes.push((permit.number, rig.now + 10 * SECOND));
                            prop_assert!(model.probes.len() <= 3, "too many probes are out");
                        }
                        out.push((permit, states));
                    }
                }
                Act::Tell(which, weight) if !out.is_empty() => {
                    let (permit, given) = out.swap_remove(which % out.len());
                    let number = permit.number;
                    rig.tell(permit, weight);
                    match model.mode {
                        Mode::Closed if given == states => model.told(weight, rig.now),
                        Mode::HalfOpen if given == states => model.probed(number, weight, rig.now),
                        _ => {}
                    }
                }
                Act::GiveBack(which) if !out.is_empty() => {
                    let (permit, given) = out.swap_remove(which % out.len());
                    if given == states {
                        model.probes.retain(|probe| probe.0 != permit.number);
                    }
                    rig.breaker.give_back(permit);
                }
                Act::Die(which) if !out.is_empty() => {
                    let _ = out.swap_remove(which % out.len());
                }
                _ => {}
            }
            prop_assert_eq!(rig.mode(), model.mode);
            (states, seen) = (states + u64::from(seen != model.mode), model.mode);
        }
        let joined = rig.told.windows(2).all(|pair| pair[0].to == pair[1].from);
        prop_assert!(joined, "a transition is missing: {:?}", rig.told);
        // Never stuck: whatever happened, somebody is let through after a while.
        let _ = rig.passes(10 * SECOND).mode();
        prop_assert!(rig.passes(301 * SECOND).ask().is_ok());
    }
}
