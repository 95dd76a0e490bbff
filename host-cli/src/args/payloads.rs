//! How large values travel, as a flag.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use sandtrap::Payloads;

#[derive(Debug, clap::Args)]
pub(crate) struct PayloadArgs {
    /// How values of 64 KiB and more travel: as the wall has it best (auto), with their frames (inline), or in memory
    /// that a process shares with its host (shared). With `file:DIR` a large result goes into a file of DIR, and
    /// `@` with its name is told in its place
    #[arg(long, value_name = "auto|inline|shared|file:DIR", default_value = "auto")]
    #[arg(value_parser = OsStringValueParser::new().try_map(payloads))]
    pub(crate) payloads: Payloads,
}

fn payloads(text: OsString) -> Result<Payloads, String> {
    match text.as_bytes() {
        b"auto" => Ok(Payloads::Auto),
        b"inline" => Ok(Payloads::Inline),
        b"shared" => Ok(Payloads::Shared),
        other => match other.strip_prefix(b"file:") {
            None | Some(b"") => Err(format!(
                "`{}` is none of auto, inline, shared and file:DIR; write it as in file:results",
                text.display()
            )),
            Some(dir) => Ok(Payloads::File(OsStr::from_bytes(dir).into())),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_is_called_by_its_name_and_files_have_a_directory() {
        for (text, found) in [
            ("auto", Payloads::Auto),
            ("inline", Payloads::Inline),
            ("shared", Payloads::Shared),
            ("file:a b", Payloads::File("a b".into())),
        ] {
            assert_eq!(payloads(text.into()), Ok(found));
        }
        for text in ["", "file", "file:", "disk"] {
            assert!(payloads(text.into()).unwrap_err().ends_with("file:results"), "{text}");
        }
    }
}
