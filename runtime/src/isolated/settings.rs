//! The settings of one isolated function, as limits and grants. The attribute has looked at their shape where they
//! were written; their values are read here, by those who know them.

use std::ffi::OsString;
use std::fmt;

use crate::guarding::{GuardMode, Guarding};
use crate::limits::{Limits, OnMemoryLimit};
use crate::permissions::{Access, Network, Permissions};
use crate::quantity::parse_duration;
use crate::start::Start;

/// A setting that the attribute took, and its value: both are text of the program's source.
pub(super) type Pair = (&'static str, &'static str);

/// What a function is run under.
#[derive(Debug, Default)]
pub(super) struct Settings {
    pub(super) limits: Limits,
    pub(super) permissions: Permissions,
    pub(super) guards: Guarding,
    pub(super) start: Start,
}

/// Where one of the streams goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum To {
    Host,
    Nobody,
    Report,
}

impl Settings {
    /// Reads them all, or says which one can't be.
    pub(super) fn read(pairs: &[Pair]) -> Result<Self, String> {
        let mut settings = Self::default();
        for (key, value) in pairs {
            let set = settings.set(key, value);
            set.map_err(|fault| format!("`{key} = \"{value}\"`: {fault}"))?;
        }
        Ok(settings)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let Self { limits, permissions, guards, start } = self;
        match key {
            "memory" => limits.memory = read(value.parse())?,
            "stack" => limits.stack = read(value.parse())?,
            "output" => limits.output = read(value.parse())?,
            "result" => limits.result = read(value.parse())?,
            "file_bytes" => limits.file_bytes = read(value.parse())?,
            "wall" => limits.wall = read(parse_duration(value))?,
            "grace" => limits.grace = read(parse_duration(value))?,
            "scratch" => limits.scratch = read(value.parse())?,
            "scratch_files" => limits.scratch_files = read(value.parse())?,
            "proc" => permissions.proc = read(value.parse())?,
            "cpus" => limits.cpus = Some(read(value.parse())?),
            "cpu" => limits.cpu = read(parse_duration(value))?,
            "processes" => limits.processes = read(value.parse())?,
            "threads" => limits.threads = read(value.parse())?,
            "open_files" => limits.open_files = read(value.parse())?,
            "on_memory_limit" if value == "refuse" => {
                limits.on_memory_limit = OnMemoryLimit::Refuse;
            }
            "on_memory_limit" => limits.on_memory_limit = OnMemoryLimit::Trap,
            "profile" => permissions.profile = read(value.parse())?,
            "net" if value == "host" => permissions.net = Network::Host,
            "net" => permissions.net = Network::None,
            "guards" if value == "required" => all_guards(guards, GuardMode::Required),
            "guards" => all_guards(guards, GuardMode::BestEffort),
            "require_guard" => guard(guards, value, GuardMode::Required)?,
            "optional_guard" => guard(guards, value, GuardMode::BestEffort)?,
            "dir" => grant(permissions, value),
            "env" => grant_variable(permissions, value)?,
            "start" if value == "fork" => *start = Start::Fork,
            "start" => *start = Start::Spawn,
            // Said of the streams, which are not the process's business.
            "stdout" | "stderr" => {}
            unknown => return Err(format!("this version of sandtrap knows no `{unknown}`")),
        }
        Ok(())
    }
}

/// Where a stream goes: to the host's own, unless it was said otherwise.
pub(super) fn outlet(pairs: &[Pair], stream: &str) -> To {
    match pairs.iter().find(|(key, _)| *key == stream).map(|(_, value)| *value) {
        Some("null") => To::Nobody,
        Some("capture") => To::Report,
        _ => To::Host,
    }
}

fn read<T, E: fmt::Display>(value: Result<T, E>) -> Result<T, String> {
    value.map_err(|error| error.to_string())
}

/// `/data` or `/data:ro` to look at, `/data:rw` to change; inside it has the same name.
fn grant(permissions: &mut Permissions, value: &str) {
    let (path, access) = match value.strip_suffix(":rw") {
        Some(path) => (path, Access::ReadWrite),
        None => (value.strip_suffix(":ro").unwrap_or(value), Access::ReadOnly),
    };
    permissions.grant_dir(path, path, access);
}

/// Those that are named may have been named before.
fn all_guards(guards: &mut Guarding, mode: GuardMode) {
    *guards = std::mem::take(guards).otherwise(mode);
}

fn guard(guards: &mut Guarding, name: &str, mode: GuardMode) -> Result<(), String> {
    *guards = read(std::mem::take(guards).with(name, mode))?;
    Ok(())
}

/// `NAME=VALUE`, or the name of one that this process has.
fn grant_variable(permissions: &mut Permissions, value: &str) -> Result<(), String> {
    let (name, value): (&str, OsString) = match value.split_once('=') {
        Some((name, value)) => (name, value.into()),
        None => {
            let found = std::env::var_os(value);
            (value, found.ok_or("it is not set here; set it, or give its value behind a `=`")?)
        }
    };
    permissions.grant_env(name, value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::permissions::Profile;
    use crate::quantity::{ByteSize, Cpus};
    use std::time::Duration;

    #[test]
    fn every_setting_reaches_what_it_names() {
        let Settings { limits, permissions, guards, start } = Settings::read(&[
            ("start", "fork"),
            ("memory", "1MiB"),
            ("on_memory_limit", "refuse"),
            ("wall", "2s"),
            ("grace", "1s"),
            ("cpu", "3s"),
            ("cpus", "1.5"),
            ("scratch", "1MiB"),
            ("scratch_files", "11"),
            ("proc", "true"),
            ("stack", "4MiB"),
            ("output", "5MiB"),
            ("result", "6MiB"),
            ("processes", "7"),
            ("threads", "8"),
            ("open_files", "9"),
            ("file_bytes", "10MiB"),
            ("profile", "files"),
            ("dir", "/a"),
            ("dir", "/b:rw"),
            ("dir", "/c:ro"),
            ("env", "A=1=2"),
            ("net", "host"),
            ("optional_guard", "tracing"),
            ("guards", "required"),
            ("require_guard", "seccomp"),
            ("stdout", "null"),
        ])
        .unwrap();
        let expected = Limits {
            memory: ByteSize::mib(1),
            on_memory_limit: OnMemoryLimit::Refuse,
            wall: Duration::from_secs(2),
            grace: Duration::from_secs(1),
            cpu: Duration::from_secs(3),
            cpus: Some(Cpus::thousandths(1500)),
            fuel: None,
            stack: ByteSize::mib(4),
            output: ByteSize::mib(5),
            stdin: None,
            result: ByteSize::mib(6),
            processes: 7,
            threads: 8,
            open_files: 9,
            file_bytes: ByteSize::mib(10),
            scratch: ByteSize::mib(1),
            scratch_files: 11,
        };
        assert_eq!(limits, expected);
        let (profile, net) = (Profile::Files, Network::Host);
        let mut granted = Permissions { profile, net, proc: true, ..Permissions::default() };
        granted.grant_dir("/a", "/a", Access::ReadOnly);
        granted.grant_dir("/b", "/b", Access::ReadWrite);
        granted.grant_dir("/c", "/c", Access::ReadOnly);
        granted.grant_env("A", "1=2");
        let expected = Guarding::from(GuardMode::Required)
            .with("tracing", GuardMode::BestEffort)
            .and_then(|it| it.with("seccomp", GuardMode::Required));
        assert_eq!((permissions, Ok(guards)), (granted, expected));
        assert_eq!(start, Start::Fork);
    }

    #[test]
    fn a_value_that_can_t_be_is_named_with_its_key() {
        for (pair, words) in [
            (("memory", "1parsec"), "`memory = \"1parsec\"`: `1parsec`"),
            (("env", "SANDTRAP_NO_SUCH_THING"), "it is not set here"),
            (("colour", "red"), "knows no `colour`"),
            (("require_guard", "moat"), "`moat` is no guard; there are memory-group"),
        ] {
            let error = Settings::read(&[pair]).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn streams_go_to_the_host_unless_it_is_said_otherwise() {
        let pairs = [("stdout", "null"), ("wall", "1s")];
        assert_eq!(outlet(&pairs, "stdout"), To::Nobody);
        assert_eq!(outlet(&pairs, "stderr"), To::Host);
        assert_eq!(outlet(&[("stderr", "capture")], "stderr"), To::Report);
    }
}
