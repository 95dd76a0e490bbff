//! `sandtrap schema`: the shape of the report, for programs that check one.

use sandtrap::Record;

use crate::streams;

/// Prints it.
pub(crate) fn schema() -> anyhow::Result<u8> {
    streams::print(&format!("{:#}\n", Record::schema()))?;
    Ok(0)
}
