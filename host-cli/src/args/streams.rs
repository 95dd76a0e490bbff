//! Where the guest's streams come from and go to, as flags.

use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
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
    pub(crate) fn stdin(&self) -> anyhow::Result<Stdin> {
        match &self.stdin {
            Target::Through => own_stdin().context("cannot pass on sandtrap's own stdin"),
            Target::Null => Ok(Stdin::Null),
            Target::File(path) => Ok(Stdin::File(path.clone())),
        }
    }
}

/// What sandtrap itself was given, at the place where others stopped reading it.
fn own_stdin() -> io::Result<Stdin> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Ok(Stdin::Descriptor(Arc::new(stdin.as_fd().try_clone_to_owned()?)));
    }
    // Only the group in the foreground may read from a terminal, and a guest has a group of its own, so
    // what is typed is passed on.
    let (reader, mut writer) = io::pipe()?;
    std::thread::Builder::new().name("stdin".to_owned()).spawn(move || {
        // It ends when the guest reads no more, or with sandtrap.
        let _ = io::copy(&mut stdin.lock(), &mut writer);
    })?;
    Ok(Stdin::Descriptor(Arc::new(reader.into())))
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
