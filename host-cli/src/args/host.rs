//! The verbs that look at the host itself, and those for packagers.

use std::path::PathBuf;

use crate::abuse::Profile;

#[derive(Debug, clap::Args)]
pub(crate) struct DoctorArgs {
    /// Print the findings as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

pub(super) const DOCTOR_EXAMPLE: &str = "\
Examples:
  sandtrap doctor
  setpriv --reuid=nobody --clear-groups sandtrap doctor --json";

pub(super) const DOCTOR_CODES: &str = "\
Everything is tried with the rights of whoever asks: groups and namespaces are made and removed,
filters installed in short-lived children. Nothing of it stays.
Exit code: 0 if this host has what the defaults require, 1 if a guard of theirs is missing.";

#[derive(Debug, clap::Args)]
pub(crate) struct SelftestArgs {
    /// Run this case only; may be repeated [default: all]
    #[arg(long, value_name = "NAME")]
    pub(crate) only: Vec<String>,

    /// Run processes under this profile only, and no modules; may be repeated [default: all of both]
    #[arg(long, value_name = "PROFILE")]
    pub(crate) profile: Vec<Profile>,

    /// Let this program be the guest of all cases: the same command, linked statically. The profile `pure` runs no other
    #[arg(long, value_name = "FILE")]
    pub(crate) guest: Option<PathBuf>,

    /// Run the attacks in another cage, too: its command, up to where the program comes
    #[arg(long, value_name = "COMMAND")]
    pub(crate) beside: Option<String>,

    /// Write the outcomes of the attacks to a file, as a table in Markdown
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,

    /// Print the outcomes as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

pub(super) const SELFTEST_EXAMPLE: &str = "\
Examples:
  sandtrap selftest
  sandtrap selftest --profile compute --only io-uring --only fork-bomb
  sandtrap selftest --guest target/x86_64-unknown-linux-musl/release/sandtrap
  sandtrap selftest --beside 'bwrap --unshare-all --ro-bind / / --proc /proc --dev /dev --'";

pub(super) const SELFTEST_CODES: &str = "\
Each case is a task under limits that bound it, and harms nothing even where a wall is missing. Nothing
is written outside of one temporary folder, which goes at the end.
Exit code: 0 if every case ended as expected, 1 if one didn't.";

#[derive(Debug, clap::Args)]
pub(crate) struct ManArgs {
    /// The verb [default: the page of the whole command]
    pub(crate) verb: Option<String>,
}

pub(super) const SCHEMA_EXAMPLE: &str = "\
Example:
  sandtrap schema > sandtrap-report.schema.json";

pub(super) const MAN_EXAMPLE: &str = "\
Examples:
  sandtrap man > sandtrap.1
  sandtrap man run > sandtrap-run.1";
