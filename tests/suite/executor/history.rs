//! The history of crashes in a file: it outlives its executor, and says what the executor knew.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use sandtrap::policy::health::{CrashRecord, Filter, HealthSettings, Level};

use super::*;

fn remembering(history: &Path, keep_for: Duration) -> ExecutorSettings {
    let health = Some(HealthSettings { keep_for, ..HealthSettings::default() });
    ExecutorSettings { health, history: Some(history.to_owned()), ..bare() }
}

fn crash(does: &str) -> Order {
    Order { idempotent: false, ..task(does) }.device("cpu")
}

fn crashes(executor: &Executor) -> Vec<CrashRecord> {
    executor.crashes(&Filter::default(), 100)
}

fn lines(file: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(file).unwrap();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[test]
fn s30_the_history_of_crashes_is_a_file_of_json_lines_that_survives_its_executor() {
    let folder = tempfile::tempdir().unwrap();
    let (file, wall) = (folder.path().join("crashes.jsonl"), Acted::new());
    let settings = remembering(&file, LONG);
    let first = executor(&wall, settings.clone());
    for (does, says) in
        [("screams", "crashed.memory-fault"), ("ok", "completed"), ("abort", "crashed.abort")]
    {
        assert_eq!(label(&first.run(crash(does))), says);
    }
    let known = crashes(&first);
    drop(first);
    let written = lines(&file);
    let labels: Vec<_> = written.iter().map(|line| line["label"].as_str().unwrap()).collect();
    assert_eq!(labels, ["crashed.memory-fault", "crashed.abort"], "and none of what ended well");
    assert!(written[0]["stderr"].as_str().unwrap().ends_with("last words"));
    let (second, told) = (Told::default(), Told::default());
    let second = executor(&wall, telling(&second, settings.clone()));
    let read = crashes(&second);
    assert_eq!(read.len(), 2);
    for (read, known) in read.iter().zip(&known) {
        // A file has milliseconds.
        assert!(read.at.max(known.at) - read.at.min(known.at) < LONG);
        assert_eq!(CrashRecord { at: known.at, ..read.clone() }, *known);
    }
    let status = second.health().unwrap();
    assert_eq!((status.recent_crashes, &*status.devices[0].0), (2, "cpu"));
    drop(second);
    // Many, of one device: it is not well, and that is known after its executor is gone.
    let third = executor(&wall, telling(&told, settings.clone()));
    (0..9).for_each(|_| _ = third.run(crash("abort")));
    drop(third);
    let fourth = executor(&wall, settings);
    assert_eq!(fourth.health().unwrap().devices[0].1, Level::Unhealthy);
    assert_eq!(told.names("health.history-lost").len(), 0);
}

#[test]
fn s30_a_file_of_crashes_may_be_torn_shared_and_old() {
    let folder = tempfile::tempdir().unwrap();
    let (file, wall) = (folder.path().join("crashes.jsonl"), Acted::new());
    let settings = remembering(&file, LONG);
    _ = executor(&wall, settings.clone()).run(crash("abort"));
    let whole = lines(&file).remove(0);
    let mut other = whole.clone();
    other["program"] = "somebody else".into();
    let mut old = whole.clone();
    old["at_unix_ms"] = 1.into();
    let mut append = fs::OpenOptions::new().append(true).open(&file).unwrap();
    write!(append, "{other}\n{old}\nno json\n{{\"label\": \"crashed.abort\", \"tor").unwrap();
    drop(append);
    let next = executor(&wall, settings.clone());
    assert_eq!(crashes(&next).len(), 1, "its own, and not older than it keeps them");
    _ = next.run(crash("abort"));
    drop(next);
    assert_eq!(lines(&file).len(), 4, "what is written behind a torn line is whole");
    assert_eq!(crashes(&executor(&wall, settings)).len(), 2);
    let brief = remembering(&file, Duration::from_nanos(1));
    assert_eq!(crashes(&executor(&wall, brief)).len(), 0);
}

#[test]
fn s30_a_history_that_can_not_be_written_is_told_and_costs_no_task() {
    let (folder, told) = (tempfile::tempdir().unwrap(), Told::default());
    let executor = executor(&Acted::new(), telling(&told, remembering(folder.path(), LONG)));
    assert_eq!(told.names("health"), ["health.history-lost"]);
    assert_eq!(label(&executor.run(crash("abort"))), "crashed.abort");
    assert_eq!(crashes(&executor).len(), 1);
}
