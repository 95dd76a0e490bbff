//! Wrong usage: of a flag, which is shown with the usage of its verb, or of something that flags only name.

use std::fmt;

use clap::CommandFactory as _;
use clap::error::ErrorKind;

use super::Cli;

/// A mistake in what was asked of a verb, in the form in which clap tells of its own findings.
pub(crate) fn misuse(verb: &str, what: impl fmt::Display) -> clap::Error {
    let mut cli = Cli::command();
    cli.build();
    match cli.find_subcommand_mut(verb) {
        Some(command) => command.error(ErrorKind::ValueValidation, what),
        None => cli.error(ErrorKind::ValueValidation, what),
    }
}

/// A mistake in a file that was named, a line of it, or what came on stdin: how the flags are written doesn't matter.
#[derive(Debug)]
pub(crate) struct Mistake(pub(crate) String);

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Mistake {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misuse_is_shown_with_the_usage_of_its_verb() {
        let error = misuse("run", "the memory limit is too small");
        assert_eq!(error.exit_code(), 2);
        let text = error.to_string();
        assert!(text.contains("the memory limit is too small"), "{text}");
        assert!(text.contains("sandtrap run [OPTIONS]"), "{text}");
    }
}
