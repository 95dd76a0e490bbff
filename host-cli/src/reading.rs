//! Reads what the user has named, up to a stated most: a device or a pipe may never end.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use anyhow::Context as _;
use sandtrap::ByteSize;

use crate::args::Mistake;

/// The most of an input that is read before it is sent.
pub(crate) const MOST_INPUT: ByteSize = ByteSize::mib(256);

/// The most of a file of settings.
const MOST_SETTINGS: ByteSize = ByteSize::mib(1);

/// All of it. `what` is how it is called, `instead` what to do where it holds more than `most`.
fn whole(from: impl Read, most: ByteSize, what: &str, instead: &str) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = from.take(most.as_u64() + 1).read_to_end(&mut bytes);
    read.with_context(|| format!("cannot read {what}"))?;
    if bytes.len() as u64 > most.as_u64() {
        let words =
            format!("{what} holds more than {most}, the most that is read of it; {instead}");
        return Err(Mistake(words).into());
    }
    Ok(bytes)
}

/// What stands for the input of a function: itself, a file, or what comes on stdin.
pub(crate) fn input(input: &OsStr) -> anyhow::Result<Vec<u8>> {
    let instead = "`sandtrap call` sends a plain file of any size, named as in --input @FILE";
    if input == OsStr::new("-") {
        return whole(io::stdin(), MOST_INPUT, "the input from stdin", instead);
    }
    let Some(path) = input.as_bytes().strip_prefix(b"@") else {
        return Ok(input.as_bytes().to_vec());
    };
    let path = Path::new(OsStr::from_bytes(path));
    let what = format!("the input from `{}`", path.display());
    let file = File::open(path).with_context(|| format!("cannot read {what}"))?;
    whole(file, MOST_INPUT, &what, instead)
}

/// A file of settings, as text.
pub(crate) fn settings(path: &Path) -> anyhow::Result<String> {
    let what = format!("`{}`", path.display());
    let file = File::open(path).with_context(|| format!("cannot read {what}"))?;
    let bytes = whole(file, MOST_SETTINGS, &what, "name a file of settings in TOML")?;
    String::from_utf8(bytes)
        .map_err(|_| Mistake(format!("{what} is no text; name a file of settings in TOML")).into())
}

/// Lines of no more than so many bytes.
pub(crate) struct BoundedLines<R> {
    from: R,
    most: ByteSize,
    line: Vec<u8>,
    is_over: bool,
}

impl<R: BufRead> BoundedLines<R> {
    pub(crate) fn new(from: R, most: ByteSize) -> Self {
        Self { from, most, line: Vec::new(), is_over: false }
    }

    /// The next line with its end, which the last one may lack. After an error there are no more.
    pub(crate) fn next(&mut self) -> Option<io::Result<&[u8]>> {
        if self.is_over {
            return None;
        }
        self.line.clear();
        let most = self.most.as_u64();
        let read = (&mut self.from).take(most + 1).read_until(b'\n', &mut self.line);
        self.is_over = !matches!(read, Ok(1..));
        match read {
            Ok(0) => None,
            Ok(_) if self.line.len() as u64 > most && self.line.last() != Some(&b'\n') => {
                self.is_over = true;
                let words = format!("it is longer than {}, the most for one line", self.most);
                Some(Err(io::Error::new(io::ErrorKind::InvalidData, words)))
            }
            Ok(_) => Some(Ok(&self.line)),
            Err(error) => Some(Err(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str, most: u64) -> Vec<String> {
        let mut lines = BoundedLines::new(text.as_bytes(), ByteSize::bytes(most));
        let mut found = Vec::new();
        while let Some(line) = lines.next() {
            found.push(match line {
                Ok(line) => String::from_utf8(line.to_vec()).unwrap(),
                Err(error) => error.to_string(),
            });
        }
        found
    }

    #[test]
    fn a_line_has_its_end_and_a_bound() {
        assert_eq!(lines("", 3), [""; 0]);
        assert_eq!(lines("one\ntwo\n\nx", 3), ["one\n", "two\n", "\n", "x"]);
        assert_eq!(lines("one", 3), ["one"]);
        let told = "it is longer than 3 B, the most for one line";
        assert_eq!(lines("one\nfour\nfive\n", 3), ["one\n", told]);
        assert_eq!(lines("four", 3), [told]);
    }

    #[test]
    fn no_more_is_read_than_the_most_and_the_words_say_what_to_do() {
        let most = ByteSize::bytes(4);
        assert_eq!(whole(&b"four"[..], most, "it", "").unwrap(), b"four");
        let error = whole(io::repeat(0), most, "`/dev/zero`", "name a file").unwrap_err();
        assert!(error.is::<Mistake>());
        let words = "`/dev/zero` holds more than 4 B, the most that is read of it; name a file";
        assert_eq!(error.to_string(), words);
    }
}
