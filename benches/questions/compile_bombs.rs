//! How long after the wall limit does the caller have its verdict about a module that is hard to compile, and how
//! much has the host grown meanwhile? 50 ms and 32 MiB are what is promised.

use std::fs;
use std::time::{Duration, Instant};

use sandtrap::{CompileLimits, GuardMode, Program, Runtime, Wall};
use sandtrap_benches::notebook::{Sense, not_measured};
use sandtrap_benches::{is_quick, tell_value};
use sandtrap_tests::bombs;

const WALL: Duration = Duration::from_secs(2);

/// Each with its maker; those in the second list are left out in a hurry.
type Bomb = (&'static str, fn() -> Vec<u8>);
const BOMBS: [Bomb; 4] = [
    ("900000 empty functions", || bombs::empty_functions(900_000)),
    ("one function of 6 MB", || bombs::one_function(6_000_000)),
    ("58 MB, wrong at its end", || bombs::wrong_at_its_end(58_000_000)),
    ("15300 types", || bombs::types(15_300)),
];
const SLOW: [Bomb; 2] = [
    ("400000 empty functions", || bombs::empty_functions(400_000)),
    ("58 MB of ordinary functions", || bombs::ordinary(58_000_000)),
];

/// Before all others, which leave holes in the memory of this process that nobody would see it grow into.
pub(crate) fn ask() {
    let slow = if is_quick() { &[][..] } else { &SLOW[..] };
    let (mut latest, mut most) = (Duration::ZERO, 0);
    for (name, make) in BOMBS.iter().chain(slow) {
        let Some((late, grown)) = defused(name, &make()) else {
            return not_measured("compile_bombs", "this host has no room or no walls for it");
        };
        (latest, most) = (latest.max(late), most.max(grown));
    }
    tell_value("compile_bombs", "ms late", latest.as_secs_f64() * 1e3, Sense::AtMost, 50.0);
    tell_value("compile_bombs/grown", "MiB grown", most as f64 / 1024.0, Sense::AtMost, 32.0);
}

/// How late its verdict came, and by how many KiB the host had grown at its peak.
fn defused(name: &str, module: &[u8]) -> Option<(Duration, u64)> {
    let folder = tempfile::tempdir().ok()?;
    let path = folder.path().join("bomb.wasm");
    fs::write(&path, module).ok()?;
    let runtime = Runtime::new().expect("a runtime");
    let limits = CompileLimits { wall: WALL, cpu: WALL * 10, ..CompileLimits::default() };
    let program = Program::file(&path).within(Wall::Wasm).compile_limits(limits);
    fs::write("/proc/self/clear_refs", "5").ok()?;
    let (before, began) = (memory("VmRSS:")?, Instant::now());
    let loaded = runtime.load(program.guards(GuardMode::Required));
    let (took, after) = (began.elapsed(), memory("VmHWM:")?);
    let label = loaded.err().map_or("completed", |error| error.verdict().label().as_str());
    if label == "unstarted.guard" {
        return None;
    }
    let (late, grown) = (took.saturating_sub(WALL), after.saturating_sub(before));
    println!(
        "compile_bombs/{name}: {label} after {} ms ({} ms late), grown by {} KiB",
        took.as_millis(),
        late.as_millis(),
        grown
    );
    Some((late, grown))
}

/// A line of what the kernel knows about this process, in KiB.
fn memory(name: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}
