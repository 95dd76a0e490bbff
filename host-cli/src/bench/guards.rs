//! What each guard and each limit costs: a fresh call with it and without, in turns.
//!
//! Only what has a switch can be switched. What stands around every process (namespaces, the root, the filter, the
//! rules for files, the groups) has none, by design: all of it together is the difference to a bare start.

use sandtrap::{
    Access, ByteSize, Capture, Cpus, Limits, Network, Profile, Program, Runtime, Task, Wall,
};

use super::findings::Switch;
use super::modes::Mode;
use super::timing::{Contestant, Pace, in_turns};

/// More than any call needs: it is the counting that costs.
const FUEL: u64 = 1 << 60;

/// Some room, no more than any memory limit that makes sense.
const SCRATCH: ByteSize = ByteSize::mib(1);

/// More than any host has: it is the counting that costs.
const ALL: Cpus = Cpus::thousandths(1_000_000);

/// One thing that can be switched.
pub(super) struct Setting {
    name: &'static str,
    pub(super) wall: Wall,
    with: Side,
    without: Side,
}

/// How a program stands with it, or without.
#[derive(Clone, Copy)]
struct Side {
    shape: fn(Program) -> Program,
    stdout: Capture,
    /// Whether places for guests are kept ready.
    places: bool,
}

/// As everything is unless somebody says otherwise.
const USUAL: Side = Side { shape: |program| program, stdout: Capture::Keep, places: true };

/// What is switched by a change of the program: with it, and without.
fn setting(name: &'static str, wall: Wall, with: fn(Program) -> Program) -> Setting {
    Setting { name, wall, with: Side { shape: with, ..USUAL }, without: USUAL }
}

/// The same for what is there unless somebody says otherwise.
fn usual(name: &'static str, wall: Wall, without: fn(Program) -> Program) -> Setting {
    Setting { name, wall, with: USUAL, without: Side { shape: without, ..USUAL } }
}

/// What can be switched behind a wall.
pub(super) fn settings(wall: Wall) -> Vec<Setting> {
    let discard = Side { stdout: Capture::Discard, ..USUAL };
    let kept = Setting { name: "output kept for the report", wall, with: USUAL, without: discard };
    let folder = setting("one directory granted (read-only)", wall, |program| {
        let mut permissions = program.policy().permissions.clone();
        permissions.grant_dir(std::env::temp_dir(), "/granted", Access::ReadOnly);
        program.permissions(permissions)
    });
    let more = match wall {
        Wall::Native => vec![
            usual("no network (a namespace of its own)", wall, |program| {
                let mut permissions = program.policy().permissions.clone();
                permissions.net = Network::Host;
                program.permissions(permissions)
            }),
            usual("the filter of `compute` instead of the wider one of `jit`", wall, |program| {
                let mut permissions = program.policy().permissions.clone();
                permissions.profile = Profile::Jit;
                program.permissions(permissions)
            }),
            setting("backtrace", wall, |program| program.backtrace(true)),
            setting("a /tmp of its own (--scratch)", wall, |program| {
                let limits = Limits { scratch: SCRATCH, ..program.policy().limits.clone() };
                program.limits(limits)
            }),
            setting("a /proc of its own (--proc)", wall, |program| {
                let mut permissions = program.policy().permissions.clone();
                permissions.proc = true;
                program.permissions(permissions)
            }),
            setting("a share of the processors (--cpus)", wall, |program| {
                let limits = Limits { cpus: Some(ALL), ..program.policy().limits.clone() };
                program.limits(limits)
            }),
        ],
        Wall::Wasm => vec![
            setting("fuel", wall, fuelled),
            setting("deterministic (fuel included)", wall, |program| {
                let mut permissions = program.policy().permissions.clone();
                permissions.deterministic = Some(0);
                fuelled(program.permissions(permissions))
            }),
            Setting {
                name: "places kept ready for guests (a gain)",
                wall,
                with: USUAL,
                without: Side { places: false, ..USUAL },
            },
        ],
    };
    [vec![kept, folder], more].into_iter().flatten().collect()
}

fn fuelled(program: Program) -> Program {
    let limits = Limits { fuel: Some(FUEL), ..program.policy().limits.clone() };
    program.limits(limits)
}

/// Where the programs of one side are loaded.
pub(super) struct Runtimes {
    pub(super) with_places: Runtime,
    pub(super) without_places: Runtime,
}

/// Measures one of them, on fresh calls.
pub(super) fn measure(
    setting: &Setting,
    runtimes: &Runtimes,
    program: &Program,
    task: &Task,
    pace: Pace,
    tick: &dyn Fn(),
) -> Result<Switch, String> {
    let mode = match setting.wall {
        Wall::Native => Mode::NativeFresh,
        Wall::Wasm => Mode::WasmFresh,
    };
    let contestant = |side: Side| -> Result<Contestant<'static>, String> {
        let runtime = if side.places { &runtimes.with_places } else { &runtimes.without_places };
        let mut cell = mode.start(runtime, (side.shape)(program.clone()))?;
        let mut task = task.clone();
        task.stdout = side.stdout;
        cell.complete(&task)?;
        Ok(Contestant::new(move || cell.complete(&task)))
    };
    let mut both = [contestant(setting.with)?, contestant(setting.without)?];
    in_turns(pace, &mut both, tick);
    let [with, without] = both;
    let (with, without) = (with.spread()?, without.spread()?);
    Ok(Switch { mode: mode.name(), name: setting.name, with, without })
}

impl Setting {
    pub(super) fn name(&self) -> &'static str {
        self.name
    }
}
