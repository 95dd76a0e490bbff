//! How long after the wall limit does the caller have its verdict about a module that is hard to compile, and how
//! much has the host grown meanwhile? 50 ms and 32 MiB are what is promised.
#![expect(clippy::print_stdout, reason = "a bench shows its figures")]

use std::fs;
use std::time::{Duration, Instant};

use sandtrap::{CompileLimits, GuardMode, Program, Runtime, Wall};
use sandtrap_tests::bombs;

const WALL: Duration = Duration::from_secs(2);

fn main() {
    sandtrap::init();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("bomb.wasm");
    for (name, make) in [
        ("900000 empty functions", (|| bombs::empty_functions(900_000)) as fn() -> Vec<u8>),
        ("400000 empty functions", || bombs::empty_functions(400_000)),
        ("one function of 6 MB", || bombs::one_function(6_000_000)),
        ("58 MB, wrong at its end", || bombs::wrong_at_its_end(58_000_000)),
        ("58 MB of ordinary functions", || bombs::ordinary(58_000_000)),
    ] {
        fs::write(&path, make()).expect("there is room");
        let runtime = Runtime::new().expect("a runtime");
        let limits = CompileLimits { wall: WALL, cpu: WALL * 10, ..CompileLimits::default() };
        let program = Program::file(&path).within(Wall::Wasm).compile_limits(limits);
        fs::write("/proc/self/clear_refs", "5").expect("the peak can be set back");
        let (before, began) = (memory("VmRSS:"), Instant::now());
        let loaded = runtime.load(program.guards(GuardMode::Required));
        let (took, after) = (began.elapsed(), memory("VmHWM:"));
        let label = loaded.err().map_or("completed", |error| error.verdict().label().as_str());
        let late = took.saturating_sub(WALL).as_millis();
        let grown = after.saturating_sub(before) / 1024;
        println!(
            "compile_bombs/{name}: {label} after {} ms ({late} ms late), grown by {grown} MiB",
            took.as_millis()
        );
    }
}

/// A line of what the kernel knows about this process, in KiB.
fn memory(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("the kernel tells");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a number");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
