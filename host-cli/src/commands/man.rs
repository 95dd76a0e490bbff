//! `sandtrap man`: the manual page of the command or of one verb, for packagers.

use anyhow::Context as _;
use clap::CommandFactory as _;

use crate::args::{Cli, ManArgs, misuse};
use crate::streams;

/// Prints it.
pub(crate) fn man(args: &ManArgs) -> anyhow::Result<u8> {
    let mut cli = Cli::command();
    cli.build();
    let page = match &args.verb {
        None => cli,
        Some(verb) => match cli.find_subcommand(verb) {
            Some(command) => {
                command.clone().name(format!("sandtrap-{verb}")).version(env!("CARGO_PKG_VERSION"))
            }
            None => {
                let what = format!("there is no verb `{verb}`; `sandtrap --help` lists them");
                return Err(misuse("man", what).into());
            }
        },
    };
    let mut text = Vec::new();
    clap_mangen::Man::new(page).render(&mut text).context("cannot write the manual page")?;
    streams::print(&String::from_utf8_lossy(&text))?;
    Ok(0)
}
