//! Chance for those who drive the policies: good enough to spread delays, and for nothing else.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// A small generator (splitmix64) that many threads may ask.
#[derive(Debug)]
pub(crate) struct Chance(AtomicU64);

impl Chance {
    /// One that begins somewhere else in each process.
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(RandomState::new().build_hasher().finish()))
    }

    /// Evenly spread over 0 up to 1.
    pub(crate) fn next(&self) -> f64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_is_spread_evenly_from_nothing_up_to_one() {
        let chance = Chance(AtomicU64::new(1));
        let all: Vec<f64> = (0..10_000).map(|_| chance.next()).collect();
        assert!(all.iter().all(|random| (0.0..1.0).contains(random)));
        for tenth in 0..10 {
            let of = |random: &&f64| (**random * 10.0) as u32 == tenth;
            let count = all.iter().filter(of).count();
            assert!((850..1_150).contains(&count), "{tenth}: {count}");
        }
    }
}
