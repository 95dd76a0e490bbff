//! `sandtrap explain`: what a verdict means, or the list of all of them.

use crate::args::ExplainArgs;
use crate::explain;
use crate::streams;

/// Prints one explanation, or the list.
pub(crate) fn explain(args: &ExplainArgs) -> anyhow::Result<u8> {
    let text = match args.label {
        Some(label) => explain::page(label),
        None => explain::list(),
    };
    streams::print(&text)?;
    Ok(0)
}
