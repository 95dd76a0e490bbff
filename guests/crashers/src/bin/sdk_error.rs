//! Dies of: an error that its task returned, with the error that caused it.
//!
//! Both walls: `failed.error`, with the chain of causes.

use std::error::Error;
use std::fmt;
use std::num::ParseIntError;

#[derive(Debug)]
struct BadLine(ParseIntError);

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("line 3 is no number")
    }
}

impl Error for BadLine {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

#[sandtrap_guest::main]
fn main() -> Result<(), BadLine> {
    "three".parse::<u32>().map_err(BadLine)?;
    Ok(())
}
