//! `sandtrap inspect`: what a file is and what it would need. Nothing of it runs.

use std::env;
use std::io::{self, Write as _};

use anyhow::Context as _;
use sandtrap::Error;

use super::run::find;
use crate::args::InspectArgs;
use crate::exit_code::{self, Rule};
use crate::render;
use crate::streams;

/// What a program that can't be run would end with.
const CANNOT_RUN: u8 = 126;

/// Prints what was found out. The exit code says whether it could be run.
pub(crate) fn inspect(args: &InspectArgs) -> anyhow::Result<u8> {
    let search_path = env::var_os("PATH").unwrap_or_default();
    let found = match sandtrap::inspect(find(&args.program, &search_path)) {
        Ok(found) => found,
        Err(error) => return Ok(unreadable(&error)),
    };
    let text = match args.json {
        true => serde_json::to_string_pretty(&found).context("cannot write what was found")? + "\n",
        false => render::inspection(&found),
    };
    streams::print(&text)?;
    Ok(if found.obstacle.is_some() { CANNOT_RUN } else { 0 })
}

/// Says why a file can't be looked at, and gives the exit code for it.
pub(super) fn unreadable(error: &Error) -> u8 {
    let label = error.verdict().label();
    // Nobody reads stderr; the exit code still says it.
    let _ = writeln!(io::stderr(), "sandtrap: {error}  [{label}]");
    match exit_code::rule(label) {
        Rule::Always(code) => code,
        Rule::TheGuests | Rule::OfTheSignal => exit_code::OWN_FAILURE,
    }
}
