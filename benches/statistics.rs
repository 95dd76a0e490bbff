//! The same cases by criterion, for whom its statistics serve better than turns: each case alone, with the spread of its
//! samples and the change since the last time, which is kept in `target/criterion`.
//!
//! Ratios are still told, from the samples that criterion took; but what ran minutes apart is not what ran in turns, so
//! the table of goals is never made from these.

use std::cell::RefCell;
use std::time::Duration;

use criterion::Criterion;

use crate::Case;

/// As many as criterion wants at least for its spread.
const SAMPLES: usize = 10;

thread_local! {
    static CRITERION: RefCell<Option<Criterion>> = const { RefCell::new(None) };
}

/// From now on cases of this thread are sampled by criterion.
pub fn by_criterion() {
    CRITERION.set(Some(Criterion::default().sample_size(SAMPLES).without_plots()));
}

/// Has the cases sampled, if that was asked for.
pub(crate) fn sampled(question: &str, cases: &mut [Case<'_>], turn: Duration) -> bool {
    CRITERION.with_borrow_mut(|criterion| {
        let Some(criterion) = criterion else { return false };
        let mut group = criterion.benchmark_group(question);
        group.warm_up_time(turn).measurement_time(turn * 8);
        for case in cases {
            let Case { name, measure, samples, .. } = case;
            group.bench_function(*name, |bencher| {
                bencher.iter_custom(|times| {
                    let times = u32::try_from(times).unwrap_or(u32::MAX);
                    let took = measure(times);
                    samples.push(took.as_secs_f64() / f64::from(times));
                    took
                });
            });
        }
        group.finish();
        true
    })
}
