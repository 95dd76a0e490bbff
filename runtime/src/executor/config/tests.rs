//! The settings file: every key does something, and every mistake is told with its line.

use super::values::Field;
use super::*;

fn error(text: &str) -> String {
    ExecutorSettings::from_toml(text).unwrap_err().to_string()
}

#[test]
fn s47_s48_s49_s50_s51_the_crash_barriers_own_names_and_defaults_are_read() {
    let text = "[crash_barrier]
        enabled = true
        worker_restart_delay_ms = 100
        worker_max_crashes = 10
        worker_crash_window_ms = 60_000
        circuit_failure_threshold = 5
        circuit_success_threshold = 3
        circuit_open_duration_ms = 30_000
        retry_max_attempts = 3
        retry_backoff = \":exponential\"
        retry_initial_delay_ms = 100
        retry_max_delay_ms = 5000
        crash_history_retention_ms = 3_600_000";
    let read = ExecutorSettings::from_toml(text).unwrap();
    assert_eq!(
        read.to_toml(),
        ExecutorSettings::default().to_toml(),
        "they are the defaults here, too"
    );
}

#[test]
fn s48_s51_every_one_of_those_names_changes_something() {
    // The original reads two of them nowhere. Its `health_check_interval_ms` has no meaning here: nothing is polled, a death
    // is known when it happens, and so the key is refused instead of being ignored.
    let usual = ExecutorSettings::default().to_toml();
    for (name, ..) in ALIASES {
        let value = match *name {
            "enabled" => "false",
            "retry_backoff" => "\"linear\"",
            "retry_initial_delay_ms" | "worker_restart_delay_ms" => "70",
            _ => "700",
        };
        let read =
            ExecutorSettings::from_toml(&format!("[crash_barrier]\n{name} = {value}")).unwrap();
        let text = read.to_toml();
        let changed = text.lines().zip(usual.lines()).filter(|(one, other)| one != other).count();
        assert_eq!(changed, 1, "{name}");
    }
    assert!(error("[crash_barrier]\nhealth_check_interval_ms = 1").contains("is unknown"));
}

#[test]
fn every_key_is_read_as_it_is_printed_and_changes_nothing_else() {
    let usual = ExecutorSettings::default();
    for (section, key, field) in KEYS {
        let other = match field {
            Field::Flag(at) => (!*at(&mut Draft::of(usual.clone()))).to_string(),
            Field::Count(_) | Field::MaybeCount(_) | Field::Number(_) | Field::Tasks(_) => {
                "9".into()
            }
            Field::Factor(_) => "9.5".into(),
            Field::Time(_) | Field::MaybeTime(_) => "\"4s\"".into(),
            Field::Size(_) | Field::MaybeSize(_) => "\"9KiB\"".into(),
            Field::Texts(_) => "[\"a \\\"word\\\"\"]".into(),
            Field::Codes(_) => "[9, 10]".into(),
            Field::Verdicts(_) => "[\"failed\", \"crashed.abort\"]".into(),
            Field::Word(words, _, get) => {
                let now = get(&Draft::of(usual.clone()));
                format!("\"{}\"", words[(now + 1) % words.len()])
            }
        };
        // What would contradict the defaults otherwise.
        let with = match (*section, *key) {
            ("pool", "keep_tasks" | "keep_age" | "keep_resident" | "keep_silence") => {
                "[pool]\nkeep = true\n".to_owned()
            }
            ("breaker", "slow_than") => "[breaker]\nslow_rate = 80\n".to_owned(),
            ("breaker", "longest_open") => "[breaker]\nopen_for = \"1s\"\n".to_owned(),
            ("breaker", "window_calls") => "[breaker]\nminimum_calls = 1\n".to_owned(),
            ("restart", "first") => "[restart]\nmost = \"9s\"\n".to_owned(),
            ("retry", "first") => "[retry]\nmost = \"9s\"\n".to_owned(),
            ("hedge", "percentile" | "samples" | "least") => "[hedge]\nenabled = true\n".to_owned(),
            ("health", "degraded_above") => "[health]\nunhealthy_above = 50\n".to_owned(),
            ("quarantine", "suspect_after") => "[quarantine]\npoison_after = 50\n".to_owned(),
            _ => format!("[{section}]\n"),
        };
        let read = ExecutorSettings::from_toml(&format!("{with}{key} = {other}"));
        let read = read.unwrap_or_else(|error| panic!("{section}.{key}: {error}"));
        let printed = read.to_toml();
        let without = ExecutorSettings::from_toml(&with).unwrap();
        assert_ne!(printed, without.to_toml(), "{section}.{key}");
        assert_eq!(ExecutorSettings::from_toml(&printed).unwrap().to_toml(), printed);
    }
}

#[test]
fn what_is_wrong_is_told_with_its_line_and_what_to_write() {
    for (text, words) in [
        (
            "[pool]\nworkers = 2\nthreads = 3",
            "line 3: `pool.threads` is unknown; this section has workers",
        ),
        ("[wood]\n", ""),
        ("\n[wood]\nx = 1", "line 3: there is no section [wood]"),
        ("workers = 2", "line 1: `workers` belongs into a section"),
        ("[pool]\n\npatience = 5", "line 3: `pool.patience` is a time with a unit in quotes"),
        (
            "[pool]\npatience = \"5 parsecs\"",
            "line 2: `pool.patience` is a time: `5 parsecs` has a unit that is not known",
        ),
        ("[pool]\nqueue_bytes = \"5s\"", "line 2: `pool.queue_bytes` is a size"),
        ("[pool]\nworkers = \"two\"", "line 2: `pool.workers` is a number"),
        ("[pool]\nworkers = -1", "line 2: `pool.workers` is a number"),
        (
            "[retry]\nbackoff = \"random\"",
            "line 2: `retry.backoff` is one of constant, linear, exponential",
        ),
        (
            "[retry]\non = [\"crash\"]",
            "line 2: `retry.on` is a list of labels: `crash` is no verdict label",
        ),
        (
            "[crash_barrier]\nretry_max_delay_ms = \"5s\"",
            "line 2: `crash_barrier.retry_max_delay_ms` is a number of milliseconds",
        ),
        ("[device]\nfailed = [\"\"]", "line 2: `device.failed` has an empty text in it"),
        ("[device]\nexits = [\"x\"]", "line 2: `device.exits` is a list of numbers"),
        ("[pool\n", "line 1: "),
    ] {
        if words.is_empty() {
            assert!(ExecutorSettings::from_toml(text).is_ok());
            continue;
        }
        let error = error(text);
        assert!(error.starts_with(words), "{text}: {error}");
    }
    assert_eq!(ExecutorSettings::from_toml("\n[pool]\nx = 1").unwrap_err().line(), 3);
}

#[test]
fn contradictions_are_told_with_their_line() {
    for (text, words) in [
        ("[retry]\nfirst = \"10s\"", "line 2: `retry.first` is longer than `retry.most`"),
        ("[retry]\nmost = \"10ms\"", "line 2: `retry.first` is longer than `retry.most`"),
        ("[breaker]\nprobes = 0", "line 2: `breaker.probes` is at least 1"),
        (
            "[breaker]\nfailure_rate = 101",
            "line 2: `breaker.failure_rate` is a number from 1 to 100",
        ),
        ("[breaker]\nwindow_calls = 5", "line 2: `breaker.window_calls` is less than"),
        ("[hedge]\npercentile = 0", "line 2: `hedge.percentile` is a number from 1 to 100"),
        ("[pool]\nkeep_tasks = 1", "line 2: `pool.keep_tasks` is for kept guests"),
        ("[breaker]\nslow_than = \"1s\"", "line 2: `breaker.slow_than` needs `slow_rate`, too"),
        ("[health]\nunhealthy_above = 1", "line 2: `health.degraded_above` is more than"),
        (
            "[breaker]\nfailures = 3\n[crash_barrier]\ncircuit_failure_threshold = 4",
            "line 4: `crash_barrier.circuit_failure_threshold` says 4, and line 2 says 3",
        ),
    ] {
        let error = error(text);
        assert!(error.starts_with(words), "{text}: {error}");
    }
    let same = "[breaker]\nfailures = 4\n[crash_barrier]\ncircuit_failure_threshold = 4";
    assert!(ExecutorSettings::from_toml(same).is_ok());
}
