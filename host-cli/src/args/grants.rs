//! What a guest may see of the world, as flags. Nothing, unless a flag says so.

use std::env;
use std::ffi::OsString;

use clap::ValueEnum;
use clap::builder::{OsStringValueParser, PossibleValuesParser, TypedValueParser as _};
use sandtrap::{DirGrant, GuardMode, Guarding, Network, Permissions, Profile};

use super::values;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Permissions")]
pub(crate) struct GrantArgs {
    /// Give the guest an environment variable; may be repeated [default: none]
    #[arg(long = "env", value_name = "NAME=VALUE")]
    #[arg(value_parser = OsStringValueParser::new().try_map(values::env_pair))]
    pairs: Vec<(OsString, OsString)>,

    /// Give the guest a variable of sandtrap's own environment; may be repeated [default: none]
    #[arg(long = "inherit-env", value_name = "NAME")]
    inherited: Vec<OsString>,

    /// Let the guest reach a directory, and all in it, under its own name or another one: to look at it
    /// (`ro`) or to change it, too (`rw`); may be repeated [default: none, and `ro`]
    #[arg(long = "dir", value_name = "HOST[:GUEST][:ro|rw]")]
    #[arg(value_parser = OsStringValueParser::new().try_map(values::dir_grant))]
    dirs: Vec<DirGrant>,

    /// Let the guest reach no network, or the host's own. Modules have no call that would reach one
    #[arg(long, value_name = "NET", default_value = "none")]
    net: NetArg,

    /// Let a process make the system calls that this kind of work needs: `pure` opens nothing, `files` changes
    /// files, `process` starts processes, `jit` executes code that it has written to memory
    #[arg(long, value_name = "PROFILE", default_value = "compute")]
    profile: ProfileArg,

    /// Let a process find a /proc that has its own processes and nothing else, to be read
    #[arg(long)]
    proc: bool,

    /// Let a module see made-up clocks and random numbers, which are the same in every run, and spend no time
    /// asleep. What it reads is still its input. Without --fuel it gets 5000000000 [default seed: 0]
    #[arg(long, value_name = "SEED", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "0", value_parser = values::seed)]
    deterministic: Option<u64>,

    /// Where this host lacks a guard: refuse to run, or run and name it in the report
    #[arg(long, value_name = "MODE", default_value = "best-effort")]
    guards: GuardsArg,

    /// Refuse to run where this guard is missing, whatever --guards says; may be repeated [default: none]
    #[arg(long = "require-guard", value_name = "NAME[,NAME]", value_delimiter = ',')]
    #[arg(hide_possible_values = true, value_parser = PossibleValuesParser::new(Guarding::NAMES))]
    required: Vec<String>,

    /// Run where this guard is missing, although --guards required is given; may be repeated [default: none]
    #[arg(long = "optional-guard", value_name = "NAME[,NAME]", value_delimiter = ',')]
    #[arg(hide_possible_values = true, value_parser = PossibleValuesParser::new(Guarding::NAMES))]
    optional: Vec<String>,
}

/// The modes, as they are called on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum GuardsArg {
    Required,
    BestEffort,
}

/// The networks, as they are called on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum NetArg {
    None,
    Host,
}

/// The profiles, as they are called on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum ProfileArg {
    Pure,
    Compute,
    Files,
    Process,
    Jit,
}

impl From<ProfileArg> for Profile {
    fn from(arg: ProfileArg) -> Self {
        match arg {
            ProfileArg::Pure => Self::Pure,
            ProfileArg::Compute => Self::Compute,
            ProfileArg::Files => Self::Files,
            ProfileArg::Process => Self::Process,
            ProfileArg::Jit => Self::Jit,
        }
    }
}

impl GrantArgs {
    /// The grants. A value that is written out counts more than an inherited one.
    pub(crate) fn permissions(&self) -> Result<Permissions, String> {
        let mut permissions = Permissions::default();
        for name in &self.inherited {
            let value = env::var_os(name).ok_or_else(|| not_set(name))?;
            permissions.grant_env(name, value);
        }
        for (name, value) in &self.pairs {
            permissions.grant_env(name, value);
        }
        permissions.dirs.clone_from(&self.dirs);
        permissions.net = match self.net {
            NetArg::None => Network::None,
            NetArg::Host => Network::Host,
        };
        permissions.profile = self.profile.into();
        permissions.proc = self.proc;
        permissions.deterministic = self.deterministic;
        permissions.check().map_err(|error| error.to_string())?;
        Ok(permissions)
    }

    /// How strictly guards are meant.
    pub(crate) fn guards(&self) -> Result<Guarding, String> {
        if let Some(name) = self.required.iter().find(|name| self.optional.contains(name)) {
            return Err(format!(
                "--require-guard {name} and --optional-guard {name} contradict each other; leave one of them out"
            ));
        }
        let mode = match self.guards {
            GuardsArg::Required => GuardMode::Required,
            GuardsArg::BestEffort => GuardMode::BestEffort,
        };
        let required = self.required.iter().map(|name| (name, GuardMode::Required));
        let optional = self.optional.iter().map(|name| (name, GuardMode::BestEffort));
        let mut named = required.chain(optional);
        named
            .try_fold(Guarding::from(mode), |guards, (name, mode)| guards.with(name, mode))
            .map_err(|error| error.to_string())
    }
}

fn not_set(name: &OsString) -> String {
    let is_pair = name.as_encoded_bytes().contains(&b'=');
    let name = name.display();
    if is_pair {
        return format!(
            "--inherit-env {name}: this is a name and a value; write it as --env {name}"
        );
    }
    format!(
        "--inherit-env {name}: it is not set in sandtrap's own environment; set it, or give its value with --env {name}=VALUE"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory as _, Parser};
    use sandtrap::Access;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        grants: GrantArgs,
    }

    fn permissions(line: &[&str]) -> Result<Permissions, String> {
        Line::parse_from([&["x"], line].concat()).grants.permissions()
    }

    #[test]
    fn nothing_is_granted_without_a_flag() {
        assert_eq!(permissions(&[]).unwrap(), Permissions::default());
    }

    #[test]
    fn a_written_value_counts_more_than_an_inherited_one() {
        let found = permissions(&["--env", "PATH=/guest", "--inherit-env", "PATH"]).unwrap();
        assert_eq!(found.env, [("PATH".into(), "/guest".into())]);
    }

    #[test]
    fn inheriting_what_is_not_set_is_refused_by_name() {
        let error = permissions(&["--inherit-env", "SANDTRAP_NO_SUCH_THING"]).unwrap_err();
        assert!(error.contains("--inherit-env SANDTRAP_NO_SUCH_THING: it is not set"), "{error}");
    }

    #[test]
    fn directories_and_the_network_are_granted_as_they_are_written() {
        let line = ["--dir", "a", "--dir", "b:/b:rw", "--dir", "c:ro", "--net", "host"];
        let found = permissions(&line).unwrap();
        let mut expected = Permissions { net: Network::Host, ..Permissions::default() };
        expected.grant_dir("a", "a", Access::ReadOnly);
        expected.grant_dir("b", "/b", Access::ReadWrite);
        expected.grant_dir("c", "c", Access::ReadOnly);
        assert_eq!(found, expected);
    }

    #[test]
    fn every_profile_is_called_by_its_name() {
        for profile in Profile::ALL {
            assert_eq!(permissions(&["--profile", profile.name()]).unwrap().profile, profile);
        }
        assert!(Line::try_parse_from(["x", "--profile", "all"]).is_err());
    }

    #[test]
    fn a_list_of_its_own_processes_is_granted_by_its_flag() {
        assert!(permissions(&["--proc"]).unwrap().proc);
    }

    #[test]
    fn a_seed_can_be_left_out_and_never_takes_the_programs_name() {
        for (line, seed) in
            [(&[][..], None), (&["--deterministic"], Some(0)), (&["--deterministic=7"], Some(7))]
        {
            assert_eq!(permissions(line).unwrap().deterministic, seed);
        }
        assert!(Line::try_parse_from(["x", "--deterministic", "7"]).is_err());
        let fuel = sandtrap::DETERMINISTIC_FUEL.to_string();
        let help = Line::command().render_long_help().to_string();
        assert!(help.contains(&fuel), "the help names another amount of fuel: {help}");
    }

    #[test]
    fn two_directories_of_one_name_are_refused() {
        let error = permissions(&["--dir", "a:/x", "--dir", "b:/x/"]).unwrap_err();
        assert!(error.contains("the guest would find `a` as `/x/`, too"), "{error}");
    }

    #[test]
    fn guards_are_best_effort_like_the_librarys_default() {
        let grants = Line::parse_from(["x"]).grants;
        assert_eq!(grants.guards(), Ok(Guarding::default()));
    }

    #[test]
    fn guards_are_required_and_not_needed_by_their_names() {
        let line = "x --guards required --optional-guard landlock,tracing --require-guard seccomp";
        let grants = Line::parse_from(line.split(' ')).grants;
        let guards = grants.guards().unwrap();
        for name in ["seccomp", "memory-group"] {
            assert!(guards.requires(name), "{name}");
        }
        assert!(!guards.requires("landlock") && !guards.requires("tracing"));
        let line = "x --optional-guard seccomp --require-guard tracing,seccomp";
        let error = Line::parse_from(line.split(' ')).grants.guards().unwrap_err();
        assert!(error.contains("--require-guard seccomp and --optional-guard seccomp"), "{error}");
        let error = Line::try_parse_from(["x", "--require-guard", "moat"]).map(|_| ());
        assert!(error.unwrap_err().to_string().contains("memory-group, "), "names all");
    }
}
