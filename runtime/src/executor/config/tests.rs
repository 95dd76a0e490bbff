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
    // The original reads two of them nowhere.
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
        // Without any part there is no word of them.
        let is_one = if *name == "enabled" { !text.contains("[breaker]") } else { changed == 1 };
        assert!(is_one, "{name}: {text}");
    }
}

#[test]
fn s51_a_key_that_can_mean_nothing_here_is_refused_with_what_to_write_instead() {
    // Nothing is polled, a death is known when it happens: whoever sets the interval believes otherwise.
    let error = error("[crash_barrier]\n\nhealth_check_interval_ms = 10_000");
    for words in
        ["line 3: `crash_barrier.health_check_interval_ms`", "leave it out", "keep_silence"]
    {
        assert!(error.contains(words), "{error}");
    }
    // What it says to write can be written.
    let instead = "[pool]\nkeep = true\nkeep_silence = \"10s\"";
    assert!(ExecutorSettings::from_toml(instead).is_ok());
}

/// A key of each part that may be left out, under each name it has.
const OF_PARTS: [(&str, &str, &str); 9] = [
    ("breaker", "[breaker]\nfailures = 3", "failures = 3"),
    ("breaker", "breaker.failures = 3", "failures = 3"),
    ("breaker", "[crash_barrier]\ncircuit_failure_threshold = 3", "failures = 3"),
    ("retry", "[retry]\nattempts = 7", "attempts = 7"),
    ("retry", "[crash_barrier]\nretry_max_attempts = 7", "attempts = 7"),
    ("quarantine", "[quarantine]\npoison_after = 4", "poison_after = 4"),
    ("hedge", "[hedge]\npercentile = 90", "percentile = 90"),
    ("health", "[health]\nkeep = 9", "keep = 9"),
    ("health", "[crash_barrier]\ncrash_history_retention_ms = 7000", "keep_for = \"7s\""),
];

fn bare() -> ExecutorSettings {
    ExecutorSettings {
        breaker: None,
        quarantine: None,
        retry: None,
        hedge: None,
        health: None,
        ..ExecutorSettings::default()
    }
}

#[test]
fn whoever_says_how_a_part_is_to_be_has_it() {
    let without = bare().to_toml();
    for (part, text, line) in OF_PARTS {
        assert!(without.contains(&format!("[{part}]\nenabled = false\n")), "{without}");
        let printed = bare().with_toml(text).unwrap().to_toml();
        assert!(printed.contains(&format!("[{part}]\nenabled = true\n")), "{text}: {printed}");
        assert!(printed.lines().any(|it| it == line), "{text}: {printed}");
        let others = printed.matches("enabled = false").count();
        assert_eq!(others, 4, "{text} switches on one part: {printed}");
    }
    let printed = bare().with_toml("[breaker]\nenabled = true").unwrap().to_toml();
    assert!(printed.contains("[breaker]\nenabled = true\nfailures = 5\n"), "{printed}");
    assert_eq!(bare().with_toml("[hedge]\nenabled = false").unwrap().to_toml(), without);
}

#[test]
fn a_part_that_is_left_out_and_set_at_once_is_told_with_both_lines() {
    for (part, text, _) in OF_PARTS {
        // Within its section, where the text has one.
        let section = format!("[{part}]\n");
        let (text, at) = match text.strip_prefix(&section) {
            Some(rest) => (format!("{section}enabled = false\n{rest}"), 2),
            None => (format!("{part}.enabled = false\n{text}"), 1),
        };
        let found = error(&text);
        let words = format!("as line {at} says `{part}.enabled = false`; leave one of the two out");
        assert!(found.ends_with(&words), "{text}: {found}");
        let line = text.lines().count();
        assert!(found.starts_with(&format!("line {line}: `")), "{text}: {found}");
    }
    for (text, words) in [
        (
            "[crash_barrier]\nenabled = false\ncircuit_failure_threshold = 3",
            "line 3: `crash_barrier.circuit_failure_threshold` has nothing to set, as line 2 says \
             `crash_barrier.enabled = false`",
        ),
        (
            "[executor]\nenabled = false\n[breaker]\nenabled = true",
            "line 4: `breaker.enabled` has nothing to set, as line 2 says `executor.enabled = false`",
        ),
        (
            "[executor]\nenabled = false\n[device]\nexits = [1]",
            "line 4: `device.exits` has nothing to set",
        ),
        (
            "[executor]\nenabled = false\ndeadline = \"1s\"",
            "line 3: `executor.deadline` has nothing to set",
        ),
    ] {
        let found = error(text);
        assert!(found.starts_with(words), "{text}: {found}");
    }
    let pool = "[executor]\nenabled = false\n[pool]\nworkers = 3\n[breaker]\nenabled = false";
    assert_eq!(ExecutorSettings::from_toml(pool).unwrap().pool.workers, 3);
}

#[test]
fn a_key_is_known_by_its_older_name_too() {
    let read = |key: &str| {
        let text = format!("[breaker]\nslow_rate = 50\n{key} = \"3s\"");
        ExecutorSettings::from_toml(&text).unwrap().to_toml()
    };
    assert_eq!(read("slow_than"), read("slower_than"));
    assert!(read("slow_than").contains("slower_than = \"3s\"\n"));
    let both = "[breaker]\nslow_rate = 50\nslow_than = \"3s\"\nslower_than = \"4s\"";
    assert!(error(both).contains("\"3s\"") && error(both).contains("\"4s\""), "{}", error(both));
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
            Field::MaybePath(_) => "\"crashes \\\"of\\\" all.jsonl\"".into(),
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
            (
                "pool",
                "keep_tasks" | "keep_age" | "keep_resident" | "keep_silence" | "keep_spread",
            ) => "[pool]\nkeep = true\n".to_owned(),
            ("restart", "strategy") => "pool.keep = true\n[restart]\n".to_owned(),
            ("breaker", "slower_than") => "[breaker]\nslow_rate = 80\n".to_owned(),
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
        ("\n[wood]\nx = 1", "line 3: there is no section [wood]"),
        ("\n[wood]", "line 2: there is no section [wood]"),
        ("workers = 2", "line 1: `workers` belongs into a section, as in [pool]"),
        (
            "retry_backoff = \"linear\"",
            "line 1: `retry_backoff` belongs into a section, as in [crash_barrier]",
        ),
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
        ("[health]\nhistory = \"\"", "line 2: `health.history` is the name of a file in quotes"),
        ("[pool\n", "line 1: "),
    ] {
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
        (
            "[restart]\nstrategy = \"one_for_all\"",
            "line 2: `restart.strategy` is for kept guests; say `pool.keep = true`",
        ),
        ("[pool]\nkeep = true\nkeep_spread = 101", "line 3: `pool.keep_spread` is a number up to"),
        ("[pool]\nkeep = true\nkeep_tasks = 0", "line 3: `pool.keep_tasks` is at least 1"),
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
