//! `sandtrap completions`: what a shell needs to know to complete our flags.

use clap::CommandFactory as _;

use crate::args::{Cli, CompletionsArgs};
use crate::streams;

/// Prints the script.
pub(crate) fn completions(args: &CompletionsArgs) -> anyhow::Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "sandtrap", &mut script);
    streams::print(&String::from_utf8_lossy(&script))?;
    Ok(0)
}
