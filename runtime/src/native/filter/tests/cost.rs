//! What a filter costs: a measurement, to be run by hand.

use std::time::{Duration, Instant};

use super::{LAUNCHERS, plain};
use crate::native::filter::rules::Terms;
use crate::permissions::Profile;

const ROUNDS: usize = 200;

/// Installs the filter in a thread of its own, which ends with it.
fn install(terms: Terms) -> (usize, Duration, Duration) {
    let began = Instant::now();
    let program = terms.program();
    let made = began.elapsed();
    let code = program.instructions().iter().map(|it| seccompiler::sock_filter {
        code: it.code,
        jt: it.jt,
        jf: it.jf,
        k: it.k,
    });
    let code: Vec<_> = code.collect();
    let count = code.len();
    let installed = std::thread::spawn(move || {
        let began = Instant::now();
        seccompiler::apply_filter(&code).expect("filters are allowed here");
        began.elapsed()
    });
    (count, made, installed.join().expect("a thread that only ends"))
}

#[test]
#[ignore = "a measurement: run it by name, with --no-capture"]
#[expect(clippy::print_stderr, reason = "its figures are its result")]
fn what_making_and_installing_a_filter_takes() {
    for profile in Profile::ALL {
        for launcher in [LAUNCHERS[0], LAUNCHERS[2]] {
            let terms = Terms { launcher, ..plain(profile) };
            let mut rounds: Vec<_> = (0..ROUNDS).map(|_| install(terms)).collect();
            rounds.sort_by_key(|(_, _, installed)| *installed);
            let (count, _, median) = rounds[ROUNDS / 2];
            let least = rounds[ROUNDS / 10].2;
            let made = rounds.iter().map(|(_, made, _)| *made).min().unwrap_or_default();
            eprintln!(
                "{profile} {launcher:?}: {count} instructions, made in {made:?}, installed in \
                 {least:?} (p10) or {median:?} (median)"
            );
        }
    }
}
