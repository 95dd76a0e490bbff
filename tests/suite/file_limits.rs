//! How many files a guest can have open, how large those it writes can get, and how many it can list.

use std::fs;
use std::time::Duration;

use sandtrap::Access::{ReadOnly, ReadWrite};
use sandtrap::{ByteSize, Limits, Permissions, Program, Runtime, Task};
use sandtrap_tests::guests;

use super::files::{Place, ample, files, files_of, said};

#[test]
fn a_file_that_grows_too_large_ends_the_guest_in_every_way_it_can_grow() {
    let limits = || Limits { file_bytes: ByteSize::bytes(1000), ..ample() };
    let (at_limit, above) = ("x".repeat(1000), "x".repeat(1001));
    let rows = [
        (&["write", "/data/new", &at_limit][..], "completed"),
        (&["write", "/data/new", &above], "stopped.files"),
        (&["write", "/data/new", &at_limit, "append", "/data/new", "y"], "stopped.files"),
        (&["write-at", "/data/new", "999", "y"], "completed"),
        (&["write-at", "/data/new", "1000", "y"], "stopped.files"),
        (&["write-at", "/data/new", "1000000000000", "y"], "stopped.files"),
        (&["resize", "/data/file", "1000"], "completed"),
        (&["resize", "/data/file", "1001"], "stopped.files"),
    ];
    for guest in [guests::wasm("files"), guests::component("files")] {
        for (words, ends) in &rows {
            let place = Place::new();
            let report = files_of(&guest, &place.granted(), ReadWrite, limits(), words);
            assert_eq!(report.verdict.label().as_str(), *ends, "{guest:?}: {}", words[0]);
            let sizes = place.state().into_iter().map(|(path, _)| fs::metadata(path).unwrap());
            let mut files = sizes.filter(fs::Metadata::is_file);
            assert!(files.all(|meta| meta.len() <= 1000), "{guest:?}: {}", words[0]);
        }
        // What can't be written anyway is an error, as it is without a limit.
        let (place, words) = (Place::new(), ["resize", "/data/file", "1001"]);
        let report = files_of(&guest, &place.granted(), ReadOnly, limits(), &words);
        assert!(report.verdict.is_completed(), "{guest:?}: {}", report.verdict);
    }
}

#[test]
fn only_so_many_files_can_be_open_in_every_form() {
    let place = Place::new();
    let file = place.granted().join("file").display().to_string();
    let limits = Limits { open_files: 20, ..ample() };
    // The streams and the directory are open, or the streams and what the process was started with.
    let report =
        files(&place.granted(), ReadOnly, limits.clone(), &["open-many", "/data/file", "99"]);
    assert_eq!(report.output.stdout_text(), "open-many: 16 and Some(33)\n", "EMFILE of WASI");
    let component = guests::component("files");
    let words = ["open-many", "/data/file", "99"];
    let report = files_of(&component, &place.granted(), ReadOnly, limits.clone(), &words);
    assert_eq!(report.output.stdout_text(), "open-many: 16 and Some(19)\n", "its quota");
    let mut permissions = Permissions::default();
    permissions.grant_dir(place.granted(), place.granted(), ReadOnly);
    let program = Program::file(guests::native("files")).limits(limits).permissions(permissions);
    let task = Task::command(["open-many", &file, "99"]);
    let report = Runtime::new().unwrap().run(program, &task);
    let text = report.output.stdout_text();
    assert!(text.ends_with("and Some(24)\n"), "EMFILE of Linux: {text}");
    let limits = Limits { open_files: 20, ..ample() };
    let words = ["open-many", "/data/file", "16", "open-many", "/data/file", "16"];
    let report = files(&place.granted(), ReadOnly, limits, &words);
    assert_eq!(report.output.stdout_text().matches("16 and no error").count(), 2);
    let limits = Limits { open_files: 20, ..ample() };
    let report = files_of(&component, &place.granted(), ReadOnly, limits, &words);
    assert_eq!(report.output.stdout_text().matches("16 and no error").count(), 2);
}

#[test]
fn a_stop_for_a_file_counts_whatever_came_after_it() {
    use sandtrap::{Ending, Evidence, Source, StopReason, TrapCause, classify};
    let interrupted = Ending::Trapped(TrapCause::Interrupted);
    for ending in [Ending::Exited(0), Ending::Vanished, interrupted] {
        let mut evidence = Evidence::of(Source::Trap, ending);
        evidence.stopped_by_us = Some(StopReason::Files);
        assert_eq!(classify(&evidence).label().as_str(), "stopped.files");
    }
}

#[test]
fn a_large_directory_is_listed_piece_by_piece_and_whole() {
    let place = Place::new();
    let many = place.granted().join("many");
    fs::create_dir(&many).unwrap();
    let words = ["make-many", "/data/many", "2000", "count", "/data/many", "count", "/data"];
    let seen = said(&place.granted(), ReadWrite, &words);
    assert_eq!(seen, ["make-many: ok", "count: 2000", "count: 3"]);
    let limits = Limits { wall: Duration::from_millis(300), ..ample() };
    let report = files(&place.granted(), ReadOnly, limits, &["count-on-and-on", "/data/many"]);
    assert_eq!(report.verdict.label().as_str(), "stopped.wall-time");
}

#[test]
fn a_limit_that_the_directories_alone_reach_is_too_small() {
    let place = Place::new();
    let mut permissions = Permissions::default();
    for name in ["/a", "/b", "/c"] {
        permissions.grant_dir(place.granted(), name, ReadOnly);
    }
    let limits = Limits { open_files: 5, ..ample() };
    let program = Program::file(guests::wasm("files")).permissions(permissions).limits(limits);
    let report = Runtime::new().unwrap().run(program, &Task::command([""; 0]));
    assert_eq!(report.verdict.label().as_str(), "unstarted.limit-too-small");
    assert!(report.verdict.to_string().contains("open-files limit of 5"), "{}", report.verdict);
}
