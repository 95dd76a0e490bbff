//! Runs the shipped cases against this host, and compares what happened with what should have.
//!
//! Every case is an ordinary task of this very executable, of another build of it that was named, or of a small module, under limits that bound it whatever
//! it does. Nothing is written outside of one folder, which goes at the end.

mod beside;
mod guest;
mod host_dies;
mod modules;
mod surroundings;

use std::env;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use sandtrap::{ByteSize, Limits, Permissions, Program, Report, Runtime, Task, Verdict, Wall};

use crate::abuse::{self, Case, Expect, Profile, VARIABLE, VERSION};
pub(crate) use beside::{Peer, Said};
pub(crate) use guest::Guest;
use surroundings::Surroundings;

/// What one case came to.
pub(crate) struct Outcome {
    pub(crate) number: u8,
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) wall: Wall,
    pub(crate) profile: Option<Profile>,
    pub(crate) expected: &'static [Expect],
    pub(crate) actual: Expect,
    /// In words: its own, or the verdict's.
    pub(crate) detail: String,
    pub(crate) took: Duration,
}

impl Outcome {
    pub(crate) fn is_as_expected(&self) -> bool {
        self.expected.contains(&self.actual)
    }
}

/// Which cases are wanted.
pub(crate) struct Selection<'a> {
    pub(crate) names: &'a [String],
    pub(crate) profiles: &'a [Profile],
}

impl Selection<'_> {
    fn has(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|wanted| wanted == name)
    }

    /// A name that is no case's.
    pub(crate) fn unknown(&self) -> Option<&str> {
        let all = all_names();
        self.names.iter().map(String::as_str).find(|name| !all.contains(name))
    }

    fn profiles(&self) -> &[Profile] {
        if self.profiles.is_empty() { &Profile::ALL } else { self.profiles }
    }
}

/// The names of all cases.
pub(crate) fn all_names() -> Vec<&'static str> {
    let guests = abuse::cases().into_iter().map(|case| case.name);
    let modules = modules::cases().into_iter().map(|case| case.name);
    guests.chain([host_dies::NAME]).chain(modules).collect()
}

/// Runs them one after another, and hands each outcome on as soon as it is there.
pub(crate) fn run(
    selection: &Selection<'_>,
    guest: &Guest,
    hear: &mut dyn FnMut(Outcome) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let itself = env::current_exe().context("cannot find sandtrap's own executable")?;
    let bench = Bench { runtime: runtime()?, guest, surroundings: Surroundings::make()? };
    for profile in selection.profiles() {
        if *profile == Profile::Pure && !guest.is_static() {
            continue;
        }
        for case in abuse::cases().iter().filter(|case| selection.has(case.name)) {
            hear(bench.try_out(case, *profile))?;
        }
    }
    if selection.has(host_dies::NAME) && selection.profiles().contains(&Profile::Compute) {
        hear(host_dies::try_out(&itself, guest.program(), &bench.surroundings)?)?;
    }
    if selection.profiles.is_empty() {
        for case in modules::cases().iter().filter(|case| selection.has(case.name)) {
            hear(case.try_out(&bench.runtime))?;
        }
    }
    Ok(())
}

/// Runs those that attack something in another cage, and hands on what came of each.
pub(crate) fn run_beside(
    selection: &Selection<'_>,
    peer: &Peer,
    guest: &Guest,
    hear: &mut dyn FnMut(&'static str, Said) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let surroundings = Surroundings::make()?;
    /// Lies on the channel to `sandtrap`, which nobody else has.
    const LIES: u8 = 37;
    let attacks = abuse::cases().into_iter().filter(|case| case.number > 0 && case.number != LIES);
    for case in attacks.filter(|case| selection.has(case.name)) {
        hear(case.name, peer.try_out(&case, guest.program(), &surroundings)?)?;
    }
    Ok(())
}

/// Why some of it is not run here, if so.
pub(crate) fn left_out(selection: &Selection<'_>, guest: &Guest) -> Option<String> {
    let has_processes = abuse::cases().iter().any(|case| selection.has(case.name));
    let is_meant = has_processes && selection.profiles().contains(&Profile::Pure);
    (is_meant && !guest.is_static()).then(|| {
        format!(
            "the profile pure is not tried: it runs static programs only, and this sandtrap is a dynamic one; {}",
            guest::remedy()
        )
    })
}

fn runtime() -> anyhow::Result<Runtime> {
    Runtime::builder().instances(0).build().context("cannot make the runtime")
}

struct Bench<'a> {
    runtime: Runtime,
    guest: &'a Guest,
    surroundings: Surroundings,
}

impl Bench<'_> {
    fn try_out(&self, case: &Case, profile: Profile) -> Outcome {
        let began = Instant::now();
        let limits = limits_of(case.limits);
        if let Some(other) = case.after {
            self.run(other, profile, &limits);
        }
        let report = self.run(case.name, profile, &limits);
        self.surroundings.clear();
        let (mut actual, mut detail) = (Expect::of(&report), words_of(&report));
        if surroundings::has_survivors(case.name) {
            (actual, detail) = (Expect::Reaches, "a process of it lives on".to_owned());
        }
        Outcome {
            number: case.number,
            name: case.name,
            what: case.what,
            wall: Wall::Native,
            profile: Some(profile),
            expected: case.expected.under(Some(profile)),
            actual,
            detail,
            took: began.elapsed(),
        }
    }

    fn run(&self, name: &str, profile: Profile, limits: &Limits) -> Report {
        let program = Program::file(self.guest.program())
            .within(Wall::Native)
            .limits(limits.clone())
            .permissions(permissions(profile));
        let given = self.surroundings.given(name, limits.open_files);
        self.runtime.run(program, &Task::command(given.command()))
    }
}

/// What is granted to every case: the calls of the profile, and to know that it is meant.
fn permissions(profile: Profile) -> Permissions {
    let mut permissions = Permissions { profile: profile.into(), ..Permissions::default() };
    permissions.grant_env(VARIABLE, VERSION);
    permissions
}

/// Bounds for whatever a case does, where nothing else ends it.
fn limits_of(change: fn(&mut Limits)) -> Limits {
    let mut limits = Limits {
        memory: ByteSize::mib(256),
        wall: Duration::from_secs(20),
        cpu: Duration::from_secs(10),
        output: ByteSize::mib(1),
        result: ByteSize::mib(1),
        file_bytes: ByteSize::mib(256),
        threads: 64,
        ..Limits::default()
    };
    change(&mut limits);
    limits
}

/// What it said itself, or what is said of it.
fn words_of(report: &Report) -> String {
    let said = report.output.stdout_text();
    let own = said
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("BREACH: ").or_else(|| line.strip_prefix("refused: ")));
    match (own, &report.verdict) {
        (Some(own), Verdict::Completed | Verdict::Failed(_)) => own.to_owned(),
        (_, verdict) => verdict.to_string().lines().next().unwrap_or_default().to_owned(),
    }
}
