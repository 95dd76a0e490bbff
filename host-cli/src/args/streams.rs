//! Where the guest's streams come from and go to, as flags.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use sandtrap::Stdin;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Streams")]
pub(crate) struct InputArgs {
    /// What the guest reads: a file, `null` for nothing, or `-` for sandtrap's own stdin
    #[arg(long, value_name = "FILE|null|-", default_value = "null", allow_hyphen_values = true)]
    #[arg(value_parser = OsStringValueParser::new().map(Target::from))]
    stdin: Target,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Streams")]
pub(crate) struct StreamArgs {
    /// Where the guest's stdout goes: a file, or `null` for nowhere [default: through, as it comes]
    #[arg(long, value_name = "FILE|null", allow_hyphen_values = true)]
    #[arg(value_parser = OsStringValueParser::new().map(Target::from))]
    pub(crate) stdout: Option<Target>,

    /// Where the guest's stderr goes: a file, or `null` for nowhere [default: through, as it comes]
    #[arg(long, value_name = "FILE|null", allow_hyphen_values = true)]
    #[arg(value_parser = OsStringValueParser::new().map(Target::from))]
    pub(crate) stderr: Option<Target>,
}

/// One end of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Sandtrap's own stream of that name.
    Through,
    /// Nothing.
    Null,
    /// A file.
    File(PathBuf),
}

impl From<OsString> for Target {
    fn from(text: OsString) -> Self {
        if text == OsStr::new("null") {
            Self::Null
        } else if text == OsStr::new("-") {
            Self::Through
        } else {
            Self::File(text.into())
        }
    }
}

impl InputArgs {
    /// The guest's input.
    pub(crate) fn stdin(&self) -> Stdin {
        match &self.stdin {
            Target::Through => Stdin::File("/dev/stdin".into()),
            Target::Null => Stdin::Null,
            Target::File(path) => Stdin::File(path.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_words_are_special_and_a_path_makes_files_of_them() {
        for (text, target) in [
            ("null", Target::Null),
            ("-", Target::Through),
            ("./null", Target::File("./null".into())),
            ("./-", Target::File("./-".into())),
        ] {
            assert_eq!(Target::from(OsString::from(text)), target);
        }
    }
}
