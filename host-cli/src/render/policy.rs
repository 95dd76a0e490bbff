//! What `--show-policy` prints: everything that would hold for a guest.

use std::fmt::{Display, Write as _};
use std::time::Duration;

use sandtrap::{
    Access, DirGrant, GuardMode, Guarding, Limits, Network, Policy, Profile, Trust, Wall,
    show_duration,
};

/// The policy as people read it, and how the task is tried. Values of variables are not shown: they may be secrets.
pub(crate) fn policy(
    policy: &Policy,
    wall: Option<Wall>,
    cache: String,
    attempts: Vec<(&'static str, String)>,
) -> String {
    let limits = policy.limits_for(None);
    let names: Vec<String> =
        policy.permissions.env.iter().map(|(name, _)| name.display().to_string()).collect();
    let env = if names.is_empty() { "empty".to_owned() } else { names.join(", ") };
    let trust = match policy.trust {
        Trust::Own => "own: compiled by sandtrap itself, without these limits",
        Trust::Untrusted => "untrusted: compiled in a confined process",
    };
    let sections = [
        (
            "Limits",
            vec![
                ("memory", limits.memory.to_string()),
                ("on-memory-limit", limits.on_memory_limit.name().to_owned()),
                ("wall", show_duration(limits.wall)),
                ("grace", grace(limits.grace)),
                ("cpu", show_duration(limits.cpu)),
                ("cpus", or(limits.cpus, "all")),
                ("fuel", or(limits.fuel, "not counted")),
                ("stack", limits.stack.to_string()),
                ("output", limits.output.to_string()),
                ("stdin-bytes", or(limits.stdin, "not counted")),
                ("result", limits.result.to_string()),
                ("processes", limits.processes.to_string()),
                ("threads", limits.threads.to_string()),
                ("open-files", limits.open_files.to_string()),
                ("file-bytes", limits.file_bytes.to_string()),
                ("scratch", scratch(&limits)),
            ],
        ),
        (
            "Permissions",
            vec![
                ("environment", env),
                ("directories", directories(&policy.permissions.dirs)),
                ("network", network(policy.permissions.net).to_owned()),
                ("profile", profile(policy.permissions.profile)),
                ("proc", proc(policy.permissions.proc).to_owned()),
                ("clocks", clocks(policy.permissions.deterministic)),
                ("guards", guarding(&policy.guards)),
            ],
        ),
        (
            "Compiling modules",
            vec![
                ("trust", trust.to_owned()),
                ("wall", show_duration(policy.compile.wall)),
                ("cpu", show_duration(policy.compile.cpu)),
                ("memory", policy.compile.memory.to_string()),
                ("input", policy.compile.module.to_string()),
                ("output", policy.compile.code.to_string()),
                ("cache", cache),
            ],
        ),
        ("Attempts", attempts),
        (
            "Wall",
            vec![(
                "in",
                wall.map_or("found out from the program's content", Wall::name).to_owned(),
            )],
        ),
    ];
    let mut text = String::new();
    for (heading, rows) in sections.into_iter().filter(|(_, rows)| !rows.is_empty()) {
        let gap = if text.is_empty() { "" } else { "\n" };
        // Writing to a string can't fail.
        let _ = writeln!(text, "{gap}{heading}");
        for (name, value) in rows {
            let _ = writeln!(text, "  {name:<12} {value}");
        }
    }
    text
}

fn grace(grace: Duration) -> String {
    match grace.is_zero() {
        true => "none: a guest that is to end is ended at once".to_owned(),
        false => show_duration(grace),
    }
}

/// A limit that need not be there.
fn or(limit: Option<impl Display>, otherwise: &str) -> String {
    limit.map_or_else(|| otherwise.to_owned(), |limit| limit.to_string())
}

fn directories(dirs: &[DirGrant]) -> String {
    if dirs.is_empty() {
        return "none".to_owned();
    }
    let each = dirs.iter().map(|dir| {
        let access = match dir.access {
            Access::ReadOnly => "read-only",
            Access::ReadWrite => "read-write",
        };
        let name = match dir.keeps_its_name() {
            true => String::new(),
            false => format!(" as {}", dir.guest.display()),
        };
        format!("{}{name} ({access})", dir.host.display())
    });
    each.collect::<Vec<_>>().join(", ")
}

fn network(net: Network) -> &'static str {
    match net {
        Network::None => "none",
        Network::Host => "the host's",
    }
}

fn scratch(limits: &Limits) -> String {
    match limits.scratch.as_u64() {
        0 => "none".to_owned(),
        _ => format!("{} in {} files, as /tmp", limits.scratch, limits.scratch_files),
    }
}

fn proc(is_granted: bool) -> &'static str {
    if is_granted { "its own processes" } else { "none" }
}

fn profile(profile: Profile) -> String {
    let words = match profile {
        Profile::Pure => "memory, threads, and the streams it was given",
        Profile::Compute => "memory, threads, and opening, reading and writing files",
        Profile::Files => "computing, and removing, renaming and locking files",
        Profile::Process => "the same as files, and processes of its own",
        Profile::Jit => "computing, and executing what it has written to memory",
    };
    format!("{profile}: {words}")
}

fn guarding(guards: &Guarding) -> String {
    let mode = match guards.mode() {
        GuardMode::Required => "required: what this host can't guard is refused",
        GuardMode::BestEffort => "best-effort: what this host can't guard is named in the report",
    };
    let others: Vec<&str> =
        guards.named().filter(|(_, mode)| *mode != guards.mode()).map(|(name, _)| name).collect();
    let word = match guards.mode() {
        GuardMode::Required => "not needed",
        GuardMode::BestEffort => "required",
    };
    match others.is_empty() {
        true => mode.to_owned(),
        false => format!("{mode}; {word}: {}", others.join(", ")),
    }
}

fn clocks(deterministic: Option<u64>) -> String {
    match deterministic {
        None => "the host's, as are random numbers".to_owned(),
        Some(seed) => format!("made up, as are random numbers; from the seed {seed}"),
    }
}
