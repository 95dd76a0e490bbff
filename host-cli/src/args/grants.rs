//! What a guest may see of the world, as flags. Nothing, unless a flag says so.

use std::env;
use std::ffi::OsString;

use clap::ValueEnum;
use clap::builder::{OsStringValueParser, TypedValueParser as _};
use sandtrap::{GuardMode, Permissions};

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

    /// Where this host lacks a guard: refuse to run, or run and name it in the report
    #[arg(long, value_name = "MODE", default_value = "best-effort")]
    guards: GuardsArg,
}

/// The modes, as they are called on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum GuardsArg {
    Required,
    BestEffort,
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
        Ok(permissions)
    }

    /// How strictly guards are meant.
    pub(crate) fn guards(&self) -> GuardMode {
        match self.guards {
            GuardsArg::Required => GuardMode::Required,
            GuardsArg::BestEffort => GuardMode::BestEffort,
        }
    }
}

fn not_set(name: &OsString) -> String {
    let name = name.display();
    format!(
        "--inherit-env {name}: it is not set in sandtrap's own environment; set it, or give its value with --env {name}=VALUE"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

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
    fn guards_are_best_effort_like_the_librarys_default() {
        let grants = Line::parse_from(["x"]).grants;
        assert_eq!(grants.guards(), GuardMode::default());
    }
}
