//! Every key of the settings file, and which of them contradict each other.

use std::ops::Range;

use crate::policy::breaker::Forgiveness;
use crate::policy::restart::Strategy;
use crate::policy::retry::{Backoff, Jitter};

use super::Draft;
use super::values::Field;
use super::values::Field::{
    Codes, Count, Factor, Flag, MaybeCount, MaybePath, MaybeSize, MaybeTime, Number, Size, Tasks,
    Texts, Time, Verdicts, Word,
};

type Row = (&'static str, &'static str, Field);

/// Section, key, and where it is kept; in the order in which they are printed.
pub(super) const KEYS: &[Row] = &[
    ("executor", "enabled", Flag(|draft| &mut draft.all.enabled)),
    ("executor", "deadline", MaybeTime(|draft| &mut draft.all.deadline)),
    ("pool", "workers", Number(|draft| &mut draft.all.pool.workers)),
    ("pool", "queue", Number(|draft| &mut draft.all.pool.queue)),
    ("pool", "queue_bytes", Size(|draft| &mut draft.all.pool.queue_bytes)),
    ("pool", "queue_time", MaybeTime(|draft| &mut draft.all.pool.queue_time)),
    ("pool", "unread_bytes", Size(|draft| &mut draft.all.pool.unread)),
    ("pool", "patience", Time(|draft| &mut draft.all.pool.patience)),
    ("pool", "grace", MaybeTime(|draft| &mut draft.all.pool.grace)),
    ("pool", "keep", Flag(|draft| &mut draft.keeps)),
    ("pool", "keep_tasks", Tasks(|draft| &mut draft.keep.max_tasks)),
    ("pool", "keep_age", Time(|draft| &mut draft.keep.max_age)),
    ("pool", "keep_resident", Size(|draft| &mut draft.keep.max_resident)),
    ("pool", "keep_silence", MaybeTime(|draft| &mut draft.keep.max_silence)),
    ("pool", "keep_spread", Count(|draft| &mut draft.all.pool.keep_spread)),
    ("pool", "spares", Number(|draft| &mut draft.all.pool.spares)),
    ("restart", "first", Time(|draft| &mut draft.all.pool.restart.first)),
    ("restart", "most", Time(|draft| &mut draft.all.pool.restart.most)),
    ("restart", "healthy_after", Time(|draft| &mut draft.all.pool.restart.healthy_after)),
    ("restart", "deaths", Count(|draft| &mut draft.all.pool.restart.deaths)),
    ("restart", "window", Time(|draft| &mut draft.all.pool.restart.window)),
    (
        "restart",
        "on_excess",
        Word(&["slow", "stop"], |draft, at| draft.stops = at == 1, |draft| draft.stops.into()),
    ),
    ("restart", "one_in", Time(|draft| &mut draft.slow_restart)),
    ("restart", "failed_starts", Count(|draft| &mut draft.all.pool.restart.failed_starts)),
    ("restart", "strategy", Word(STRATEGIES, set_strategy, strategy)),
    ("breaker", "enabled", Flag(|draft| &mut draft.breaks)),
    ("breaker", "failures", Count(|draft| &mut draft.breaker.failures)),
    ("breaker", "forgiveness", Word(&["all", "one"], set_forgiveness, forgiveness)),
    ("breaker", "window", Time(|draft| &mut draft.window)),
    ("breaker", "window_calls", MaybeCount(|draft| &mut draft.window_calls)),
    ("breaker", "minimum_calls", Count(|draft| &mut draft.breaker.minimum_calls)),
    ("breaker", "failure_rate", MaybeCount(|draft| &mut draft.breaker.failure_rate)),
    ("breaker", "slow_rate", MaybeCount(|draft| &mut draft.slow_rate)),
    ("breaker", "slower_than", Time(|draft| &mut draft.slower_than)),
    ("breaker", "open_for", Time(|draft| &mut draft.breaker.open_for)),
    ("breaker", "open_growth", Count(|draft| &mut draft.breaker.open_growth)),
    ("breaker", "longest_open", Time(|draft| &mut draft.breaker.longest_open)),
    ("breaker", "open_jitter", Count(|draft| &mut draft.breaker.open_jitter)),
    ("breaker", "probes", Count(|draft| &mut draft.breaker.probes)),
    ("breaker", "successes", Count(|draft| &mut draft.breaker.successes)),
    ("breaker", "lease", Time(|draft| &mut draft.breaker.lease)),
    ("breaker", "counts", Verdicts(|draft| &mut draft.breaker.counts)),
    ("retry", "enabled", Flag(|draft| &mut draft.retries)),
    ("retry", "attempts", Count(|draft| &mut draft.retry.attempts)),
    ("retry", "backoff", Word(&["constant", "linear", "exponential"], set_backoff, backoff)),
    ("retry", "first", Time(|draft| &mut draft.retry.first)),
    ("retry", "most", Time(|draft| &mut draft.retry.most)),
    ("retry", "jitter", Word(&["none", "full", "decorrelated"], set_jitter, jitter)),
    ("retry", "on", Verdicts(|draft| &mut draft.retry.on)),
    ("retry", "most_memory", MaybeSize(|draft| &mut draft.retry.most_memory)),
    ("retry", "marks", Flag(|draft| &mut draft.retry.marks)),
    ("retry", "budget_percent", Count(|draft| &mut draft.retry.budget.percent)),
    ("retry", "budget_most", Count(|draft| &mut draft.retry.budget.most)),
    ("retry", "budget_trickle", Time(|draft| &mut draft.retry.budget.trickle)),
    ("quarantine", "enabled", Flag(|draft| &mut draft.quarantines)),
    ("quarantine", "suspect_after", Count(|draft| &mut draft.quarantine.suspect_after)),
    ("quarantine", "poison_after", Count(|draft| &mut draft.quarantine.poison_after)),
    ("quarantine", "keep_for", Time(|draft| &mut draft.quarantine.keep_for)),
    ("quarantine", "most", Number(|draft| &mut draft.quarantine.most)),
    ("quarantine", "cluster", Count(|draft| &mut draft.quarantine.cluster)),
    ("quarantine", "together", Time(|draft| &mut draft.quarantine.together)),
    ("hedge", "enabled", Flag(|draft| &mut draft.hedges)),
    ("hedge", "percentile", Count(|draft| &mut draft.hedge.percentile)),
    ("hedge", "samples", Count(|draft| &mut draft.hedge.samples)),
    ("hedge", "least", Time(|draft| &mut draft.hedge.least)),
    ("health", "enabled", Flag(|draft| &mut draft.watches)),
    ("health", "history", MaybePath(|draft| &mut draft.all.history)),
    ("health", "keep", Number(|draft| &mut draft.health.keep)),
    ("health", "keep_for", Time(|draft| &mut draft.health.keep_for)),
    ("health", "most_keys", Number(|draft| &mut draft.health.most_keys)),
    ("health", "degraded_above", Number(|draft| &mut draft.health.degraded_above)),
    ("health", "unhealthy_above", Number(|draft| &mut draft.health.unhealthy_above)),
    ("health", "device_window", Time(|draft| &mut draft.health.device_window)),
    ("health", "critical_above", Number(|draft| &mut draft.health.critical_above)),
    ("health", "critical_window", Time(|draft| &mut draft.health.critical_window)),
    ("health", "pattern_window", Time(|draft| &mut draft.health.pattern_window)),
    ("health", "crash_rate", Number(|draft| &mut draft.health.crash_rate)),
    ("health", "memory_faults", Number(|draft| &mut draft.health.memory_faults)),
    ("health", "same_place", Number(|draft| &mut draft.health.same_place)),
    ("health", "one_input", Number(|draft| &mut draft.health.one_input)),
    ("health", "creep", Count(|draft| &mut draft.health.creep)),
    ("health", "slow_down", Factor(|draft| &mut draft.health.slow_down)),
    ("device", "failed", Texts(|draft| &mut draft.all.device.failed)),
    ("device", "out_of_memory", Texts(|draft| &mut draft.all.device.out_of_memory)),
    ("device", "exits", Codes(|draft| &mut draft.all.device.exits)),
];

/// The crash barrier's own names, in a section `[crash_barrier]`: the key, the row it means, and whether it is a number
/// of milliseconds.
pub(super) const ALIASES: &[(&str, &str, &str, bool)] = &[
    ("enabled", "executor", "enabled", false),
    ("worker_restart_delay_ms", "restart", "first", true),
    ("worker_max_crashes", "restart", "deaths", false),
    ("worker_crash_window_ms", "restart", "window", true),
    ("circuit_failure_threshold", "breaker", "failures", false),
    ("circuit_success_threshold", "breaker", "successes", false),
    ("circuit_open_duration_ms", "breaker", "open_for", true),
    ("retry_max_attempts", "retry", "attempts", false),
    ("retry_backoff", "retry", "backoff", false),
    ("retry_initial_delay_ms", "retry", "first", true),
    ("retry_max_delay_ms", "retry", "most", true),
    ("crash_history_retention_ms", "health", "keep_for", true),
];

/// Keys that have a better name by now: the section, the name they had, and the one they have.
pub(super) const OLDER_NAMES: &[(&str, &str, &str)] = &[("breaker", "slow_than", "slower_than")];

/// Keys of the crash barrier that can't mean anything here, and why not.
pub(super) const NOTHING_TO_SET: &[(&str, &str, &str)] = &[(
    "crash_barrier",
    "health_check_interval_ms",
    "has nothing to set: no worker is asked at intervals how it is, its death is known when it happens; leave it out, or, for \
     guests that hang, write [pool] with keep = true and keep_silence = \"10s\"",
)];

const STRATEGIES: &[&str] = &["one_for_one", "rest_for_one", "one_for_all"];

fn set_strategy(draft: &mut Draft, at: usize) {
    let all = [Strategy::OneForOne, Strategy::RestForOne, Strategy::OneForAll];
    draft.all.pool.restart.strategy = all[at];
}

fn strategy(draft: &Draft) -> usize {
    match draft.all.pool.restart.strategy {
        Strategy::OneForOne => 0,
        Strategy::RestForOne => 1,
        Strategy::OneForAll => 2,
    }
}

fn set_forgiveness(draft: &mut Draft, at: usize) {
    draft.breaker.forgiveness = [Forgiveness::All, Forgiveness::One][at];
}

fn forgiveness(draft: &Draft) -> usize {
    match draft.breaker.forgiveness {
        Forgiveness::All => 0,
        Forgiveness::One => 1,
    }
}

fn set_backoff(draft: &mut Draft, at: usize) {
    draft.retry.backoff = [Backoff::Constant, Backoff::Linear, Backoff::Exponential][at];
}

fn backoff(draft: &Draft) -> usize {
    match draft.retry.backoff {
        Backoff::Constant => 0,
        Backoff::Linear => 1,
        Backoff::Exponential => 2,
    }
}

fn set_jitter(draft: &mut Draft, at: usize) {
    draft.retry.jitter = [Jitter::None, Jitter::Full, Jitter::Decorrelated][at];
}

fn jitter(draft: &Draft) -> usize {
    match draft.retry.jitter {
        Jitter::None => 0,
        Jitter::Full => 1,
        Jitter::Decorrelated => 2,
    }
}

impl Draft {
    /// Why a key says nothing as the others are set, if that is so.
    pub(super) fn idle(&self, section: &str, key: &str) -> Option<&'static str> {
        let rules: [(bool, &str, &[&str], &str); 5] = [
            (
                !self.keeps,
                "pool",
                &["keep_tasks", "keep_age", "keep_resident", "keep_silence", "keep_spread"],
                "is for kept guests; say `keep = true`",
            ),
            (!self.keeps, "restart", &["strategy"], "is for kept guests; say `pool.keep = true`"),
            (self.stops, "restart", &["one_in"], "is for `on_excess = \"slow\"`"),
            (self.slow_rate.is_none(), "breaker", &["slower_than"], "needs `slow_rate`, too"),
            (
                self.window_calls.is_some(),
                "breaker",
                &["window"],
                "has no meaning where `window_calls` is a number",
            ),
        ];
        let of = |(is_so, of, keys, _): &&(bool, &str, &[&str], &str)| {
            *is_so && *of == section && keys.contains(&key)
        };
        rules.iter().find(of).map(|(.., why)| *why)
    }

    /// Whether a part is there, if the section is one that may be left out.
    pub(super) fn switch(&mut self, section: &str) -> Option<&mut bool> {
        match section {
            "breaker" => Some(&mut self.breaks),
            "retry" => Some(&mut self.retries),
            "quarantine" => Some(&mut self.quarantines),
            "hedge" => Some(&mut self.hedges),
            "health" => Some(&mut self.watches),
            _ => None,
        }
    }

    /// Whether nothing holds of what a key says, because its part is left out, or all of them.
    pub(super) fn is_off(&mut self, section: &str, key: &str) -> bool {
        let all_off = !self.all.enabled;
        match self.switch(section) {
            Some(is_on) => all_off || !*is_on && key != "enabled",
            None => all_off && (section == "device" || key == "deadline"),
        }
    }

    /// What can't be meant, each with the key that is to be looked at.
    pub(super) fn check(
        &self,
        span: impl Fn(&str) -> Range<usize>,
    ) -> Result<(), (Range<usize>, String)> {
        let (restart, breaker, retry) = (&self.all.pool.restart, &self.breaker, &self.retry);
        let (quarantine, health) = (&self.quarantine, &self.health);
        let percent = |rate: Option<u32>| rate.is_some_and(|rate| rate == 0 || rate > 100);
        let rules: &[(bool, &[&str], &str)] = &[
            (self.all.pool.workers == 0, &["pool.workers"], "is at least 1"),
            (self.all.pool.queue == 0, &["pool.queue"], "is at least 1"),
            (self.all.pool.keep_spread > 100, &["pool.keep_spread"], "is a number up to 100"),
            (self.keeps && self.keep.max_tasks == 0, &["pool.keep_tasks"], "is at least 1"),
            (
                restart.first > restart.most,
                &["restart.first", "restart.most"],
                "is longer than `restart.most`",
            ),
            (restart.deaths == 0, &["restart.deaths"], "is at least 1"),
            (breaker.failures == 0, &["breaker.failures"], "is at least 1"),
            (breaker.probes == 0, &["breaker.probes"], "is at least 1"),
            (breaker.successes == 0, &["breaker.successes"], "is at least 1"),
            (
                percent(breaker.failure_rate),
                &["breaker.failure_rate"],
                "is a number from 1 to 100, or false",
            ),
            (
                percent(self.slow_rate),
                &["breaker.slow_rate"],
                "is a number from 1 to 100, or false",
            ),
            (breaker.open_growth == 0, &["breaker.open_growth"], "is at least 1"),
            (
                breaker.open_for > breaker.longest_open,
                &["breaker.open_for", "breaker.longest_open"],
                "is longer than `breaker.longest_open`",
            ),
            (
                self.window_calls.is_some_and(|calls| calls < breaker.minimum_calls),
                &["breaker.window_calls", "breaker.minimum_calls"],
                "is less than `breaker.minimum_calls`: no rate would ever count",
            ),
            (retry.attempts == 0, &["retry.attempts"], "is at least 1"),
            (
                retry.first > retry.most,
                &["retry.first", "retry.most"],
                "is longer than `retry.most`",
            ),
            (
                quarantine.suspect_after > quarantine.poison_after,
                &["quarantine.suspect_after", "quarantine.poison_after"],
                "is more than `quarantine.poison_after`",
            ),
            (quarantine.poison_after == 0, &["quarantine.poison_after"], "is at least 1"),
            (
                health.degraded_above > health.unhealthy_above,
                &["health.degraded_above", "health.unhealthy_above"],
                "is more than `health.unhealthy_above`",
            ),
            (
                percent(Some(self.hedge.percentile)),
                &["hedge.percentile"],
                "is a number from 1 to 100",
            ),
            (self.hedge.samples == 0, &["hedge.samples"], "is at least 1"),
            (health.keep == 0, &["health.keep"], "is at least 1"),
            (health.slow_down < 1.0, &["health.slow_down"], "is at least 1"),
        ];
        match rules.iter().find(|(broken, ..)| *broken) {
            None => Ok(()),
            Some((_, keys, what)) => {
                let at = keys.iter().map(|key| span(key)).find(|span| !span.is_empty());
                Err((at.unwrap_or_default(), format!("`{}` {what}", keys[0])))
            }
        }
    }
}
