//! The verbs that look at the host itself.

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
