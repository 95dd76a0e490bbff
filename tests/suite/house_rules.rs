//! The rules of the house, checked over the source. Each is proved once on a planted breach.

use std::fs;
use std::path::{Path, PathBuf};

const LONGEST_FILE: usize = 400;

/// Who may import whom, within the library. A room is a folder, or a file on the first level.
const ROOMS: [(&str, &[&str], &[&str]); 8] = [
    (
        "words",
        &[
            "core_dump",
            "debug_info",
            "ending",
            "event",
            "evidence",
            "finding",
            "guarding",
            "hooks",
            "host",
            "inspection",
            "label",
            "labels",
            "limits",
            "order",
            "payload",
            "permissions",
            "quantity",
            "record",
            "rejection",
            "report",
            "reuse",
            "call",
            "signals",
            "start",
            "task",
            "trace",
            "trust",
            "value_file",
            "verdict",
        ],
        &["words"],
    ),
    ("judgment", &["classify", "isolation"], &["words"]),
    ("policy", &["policy"], &["words", "policy"]),
    (
        "direction",
        &["chance", "executor", "pool", "supervisor", "telemetry"],
        &["words", "judgment", "policy", "direction"],
    ),
    ("channel", &["channel"], &["words", "judgment", "channel"]),
    ("native", &["native"], &["words", "contract", "channel", "native"]),
    ("wasm", &["wasm"], &["words", "contract", "channel", "wasm"]),
    (
        "door",
        &[
            "lib", "builder", "confined", "error", "fleet", "function", "init", "inspect",
            "isolated", "kept", "lines", "outlets", "probe", "runtime",
        ],
        &["words", "judgment", "policy", "direction", "channel", "native", "wasm", "door"],
    ),
];

/// The only files with unsafe code, and folders of guests whose purpose it is.
const UNSAFE_FILES: [&str; 29] = [
    "runtime/keeper/",
    "runtime/src/native/arena.rs",
    "runtime/src/native/cage/enter.rs",
    "runtime/src/native/cage/resets.rs",
    "runtime/src/native/cage/root.rs",
    "runtime/src/native/page.rs",
    "runtime/src/native/probe/calls.rs",
    "runtime/src/native/probe/child.rs",
    "runtime/src/native/sys.rs",
    "runtime/src/native/tracing.rs",
    "runtime/src/wasm/code.rs",
    "runtime/src/wasm/lend.rs",
    "host-cli/src/abuse/calls.rs",
    "host-cli/src/abuse/faults.rs",
    "benches/questions/cold_start.rs",
    "guests/sdk/src/arena.rs",
    "guests/sdk/src/lane.rs",
    "guests/sdk/src/memory.rs",
    "guests/sdk/src/stack.rs",
    "guests/sdk/src/wire.rs",
    "guests/sdk/src/zygote.rs",
    "guests/crashers/",
    "guests/tasks/src/bin/speaks_raw.rs",
    "guests/tasks/src/bin/stays.rs",
    "guests/tasks/src/bin/warmed.rs",
    "guests/tasks/src/wild.rs",
    "guests/natives/",
    "tests/src/bin/poor_host.rs",
    "tests/src/landlock_mask.rs",
];

/// Files in which every case is written out.
const WITHOUT_WILDCARD: [&str; 3] =
    ["runtime/src/classify.rs", "runtime/src/verdict.rs", "host-cli/src/exit_code.rs"];

struct Source {
    path: String,
    text: String,
    /// The text without comments and without what stands in string literals.
    code: String,
}

impl Source {
    fn new(path: &str, text: impl Into<String>) -> Self {
        let text = text.into();
        let code = if path.ends_with(".rs") { code_of(&text) } else { text.clone() };
        Self { path: path.to_owned(), text, code }
    }

    fn code(&self) -> impl Iterator<Item = &str> {
        self.code.lines()
    }
}

/// Leaves out comments and the content of string literals; lines stay lines.
fn code_of(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['"', '/', '\'']) {
        let (before, from) = rest.split_at(at);
        code.push_str(before);
        let skipped = if from.starts_with("//") {
            from.find('\n').unwrap_or(from.len())
        } else if from.starts_with("'\"'") {
            3
        } else if from.starts_with('"') {
            let hashes = before.len() - before.trim_end_matches('#').len();
            let raw = before[..before.len() - hashes].ends_with('r');
            string_length(from, raw, hashes)
        } else {
            code.push_str(&from[..1]);
            rest = &from[1..];
            continue;
        };
        code.extend(from[..skipped].matches('\n'));
        rest = &from[skipped..];
    }
    code.push_str(rest);
    code
}

/// How long a string literal is that begins here.
fn string_length(from: &str, raw: bool, hashes: usize) -> usize {
    if raw {
        let end = format!("\"{}", "#".repeat(hashes));
        return from[1..].find(&end).map_or(from.len(), |at| at + 1 + end.len());
    }
    let mut escaped = false;
    let end = from[1..].find(|c: char| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    end.map_or(from.len(), |at| at + 2)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn collect(folder: &Path, root: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                collect(&path, root, found);
            }
        } else if name.ends_with(".rs") || name == "Cargo.toml" {
            let relative = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
            found.push(Source::new(&relative, fs::read_to_string(&path).unwrap()));
        }
    }
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    collect(&root(), &root(), &mut found);
    assert!(found.len() > 50, "the sources were not found");
    found
}

/// The names that follow `crate::` in a line, one level deep, groups included.
fn imports(line: &str) -> Vec<&str> {
    line.match_indices("crate::")
        // What a macro writes is another crate's.
        .filter(|(at, _)| !line[..*at].ends_with('$'))
        .map(|(at, found)| &line[at + found.len()..])
        .map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or(""))
        .filter(|name| !name.is_empty())
        .collect()
}

fn room_of(module: &str) -> Option<&'static str> {
    ROOMS.iter().find(|(_, modules, _)| modules.contains(&module)).map(|(room, ..)| *room)
}

/// A wing knows the contract, but not the judge beside it.
fn may_import(room: &str, module: &str) -> bool {
    let allowed =
        ROOMS.iter().find(|(name, ..)| *name == room).map_or(&[][..], |(.., rooms)| rooms);
    match room_of(module) {
        Some("judgment") if allowed.contains(&"contract") => module == "isolation",
        Some(of) => allowed.contains(&of),
        // A type or function that is re-exported at the top, or a module nobody has given a room.
        None => false,
    }
}

fn upward_imports(sources: &[Source]) -> Vec<String> {
    let mut breaches = Vec::new();
    for source in sources {
        let Some(below) = source.path.strip_prefix("runtime/src/") else { continue };
        let module = below.split(['/', '.']).next().unwrap_or_default();
        let Some(room) = room_of(module) else {
            breaches.push(format!("{}: this file has no room", source.path));
            continue;
        };
        for line in source.code() {
            for import in imports(line).into_iter().filter(|import| !may_import(room, import)) {
                breaches.push(format!("{}: {room} may not import {import}", source.path));
            }
            if line.contains("super::super::") {
                breaches.push(format!("{}: climbs out of its room", source.path));
            }
        }
    }
    breaches
}

fn unsafe_elsewhere(sources: &[Source]) -> Vec<String> {
    let is_unsafe = |line: &str| {
        line.match_indices("unsafe").any(|(at, word)| {
            let before = line[..at].chars().next_back();
            let after = line[at + word.len()..].chars().next();
            let quoted =
                |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || "_\"`".contains(c));
            !quoted(before) && !quoted(after)
        })
    };
    rust(sources)
        .filter(|source| !UNSAFE_FILES.iter().any(|file| source.path.starts_with(file)))
        .filter(|source| source.code().any(is_unsafe))
        .map(|source| format!("{}: unsafe outside the named files", source.path))
        .collect()
}

fn long_files(sources: &[Source]) -> Vec<String> {
    rust(sources)
        .filter(|source| source.text.lines().count() > LONGEST_FILE)
        .map(|source| format!("{}: {} lines", source.path, source.text.lines().count()))
        .collect()
}

fn guests_that_reach_the_host(sources: &[Source]) -> Vec<String> {
    let reaches = |line: &str| {
        line.contains("use sandtrap::")
            || line.contains(" sandtrap::")
            || line.trim_start().starts_with("sandtrap =")
            || line.trim_start().starts_with("sandtrap.workspace")
            || line.contains("../runtime")
            || line.contains("../host-cli")
    };
    sources
        .iter()
        .filter(|source| source.path.starts_with("guests/"))
        .filter(|source| source.code().any(reaches))
        .map(|source| format!("{}: a guest reaches the host", source.path))
        .collect()
}

fn wildcards(sources: &[Source]) -> Vec<String> {
    sources
        .iter()
        .filter(|source| WITHOUT_WILDCARD.contains(&source.path.as_str()))
        .filter(|source| source.code().any(|line| line.trim_start().starts_with("_ ")))
        .map(|source| format!("{}: a wildcard arm", source.path))
        .collect()
}

fn rust(sources: &[Source]) -> impl Iterator<Item = &Source> {
    sources.iter().filter(|source| source.path.ends_with(".rs"))
}

#[test]
fn nobody_imports_upwards() {
    assert_eq!(upward_imports(&sources()), Vec::<String>::new());
}

#[test]
fn an_upward_import_is_found() {
    for (path, text) in [
        ("runtime/src/native/cell.rs", "use crate::classify::classify;"),
        ("runtime/src/native/cell.rs", "use crate::wasm::WasmWall;"),
        ("runtime/src/wasm/mod.rs", "    let x = crate::runtime::Runtime::new();"),
        ("runtime/src/verdict.rs", "use crate::isolation::StopHandle;"),
        ("runtime/src/classify.rs", "use crate::channel::Witness;"),
        ("runtime/src/channel/witness.rs", "use crate::native::NativeWall;"),
        ("runtime/src/native/cell.rs", "use super::super::classify::classify;"),
        ("runtime/src/wasm/mod.rs", "use crate::policy::breaker::Breaker;"),
        ("runtime/src/policy/breaker.rs", "use crate::isolation::StopHandle;"),
        ("runtime/src/pool/worker.rs", "use crate::wasm::WasmWall;"),
        ("runtime/src/supervisor.rs", "use crate::channel::Witness;"),
        ("runtime/src/executor/mod.rs", "use crate::native::NativeWall;"),
        ("runtime/src/telemetry/mod.rs", "use crate::runtime::Runtime;"),
        ("runtime/src/somewhere_new.rs", ""),
    ] {
        assert_eq!(upward_imports(&[Source::new(path, text)]).len(), 1, "{path}: {text}");
    }
    let fine =
        Source::new("runtime/src/native/cell.rs", "use crate::isolation::Cell; // crate::wasm");
    assert_eq!(upward_imports(&[fine]), Vec::<String>::new());
}

#[test]
fn unsafe_stays_in_the_named_files() {
    assert_eq!(unsafe_elsewhere(&sources()), Vec::<String>::new());
}

#[test]
fn unsafe_in_another_file_is_found() {
    for text in
        ["let x = \"a\"; unsafe { libc::fork() };", "unsafe fn f() {}", "unsafe impl Send for X {}"]
    {
        let planted = Source::new("runtime/src/task.rs", text);
        assert_eq!(unsafe_elsewhere(&[planted]).len(), 1, "{text}");
    }
    let fine = Source::new(
        "runtime/src/task.rs",
        "#![deny(unsafe_code)] // unsafe\nlet x = \"an unsafe thing\";",
    );
    assert_eq!(unsafe_elsewhere(&[fine]), Vec::<String>::new());
}

#[test]
fn no_file_is_too_long() {
    assert_eq!(long_files(&sources()), Vec::<String>::new());
}

#[test]
fn a_file_that_is_too_long_is_found() {
    let planted = |lines| Source::new("tests/src/lib.rs", "x\n".repeat(lines));
    assert_eq!(long_files(&[planted(LONGEST_FILE)]).len(), 0);
    assert_eq!(long_files(&[planted(LONGEST_FILE + 1)]).len(), 1);
}

#[test]
fn no_guest_reaches_the_host() {
    assert_eq!(guests_that_reach_the_host(&sources()), Vec::<String>::new());
}

#[test]
fn a_guest_that_reaches_the_host_is_found() {
    for (path, text) in [
        ("guests/samples/src/bin/hello.rs", "use sandtrap::Runtime;"),
        ("guests/sdk/Cargo.toml", "sandtrap = { workspace = true }"),
        ("guests/sdk/Cargo.toml", "host = { path = \"../../runtime\" }"),
    ] {
        assert_eq!(guests_that_reach_the_host(&[Source::new(path, text)]).len(), 1, "{text}");
    }
    let fine = Source::new("guests/sdk/Cargo.toml", "sandtrap-protocol = { workspace = true }");
    assert_eq!(guests_that_reach_the_host(&[fine]).len(), 0);
}

#[test]
fn every_case_is_written_out_where_it_matters() {
    assert_eq!(wildcards(&sources()), Vec::<String>::new());
    let planted = Source::new("runtime/src/classify.rs", "        _ => unknown(),");
    assert_eq!(wildcards(&[planted]).len(), 1);
}
