//! Modules compiled ahead (`.cwasm`): compiled code with a seal that only this user can make.
//!
//! Compiled code is run as it is, so a file of it that anybody could have written must never be loaded. The seal
//! is a keyed hash over the whole file; its key lies in the cache's directory, readable by this user alone. What
//! that protects: a file that somebody else made, or that was damaged or changed on its way or where it lay, is
//! refused, however it is called. What it doesn't: whoever can read this user's files can make seals, and can run
//! code as this user anyway. A sealed file is never mapped itself: it is copied to where nobody else can write
//! while its seal is checked, so it can't be changed in between or later.
//!
//! The file: the code (a whole ELF file), the heading, the heading's length, the seal, a mark.

use std::io::{self, Read, SeekFrom, Write};

use super::compiler::Heading;
use super::intake::{Intake, MOST_HEADING};
use super::source::Rereadable;

/// What a sealed file ends with.
const MARK: &[u8; 16] = b"sandtrap-cwasm-1";

const LENGTH_BYTES: u64 = 4;
const SEAL_BYTES: u64 = 32;

/// The length of the heading, the seal and the mark.
const FOOT_BYTES: u64 = LENGTH_BYTES + SEAL_BYTES + MARK.len() as u64;

/// Whether a file can be one of these: it begins as an ELF file.
pub(super) fn looks_sealed(beginning: &[u8]) -> bool {
    beginning.starts_with(b"\x7fELF")
}

/// Whether a whole file has the mark of one that was compiled ahead by this project. Whose it is only its seal tells.
pub(super) fn is_marked(file: &[u8]) -> bool {
    looks_sealed(file) && file.ends_with(MARK)
}

/// What a marked file says of itself. Nobody has checked that it is true.
pub(super) fn alleged(file: &[u8]) -> Option<Heading> {
    let rest = &file[..file.len().checked_sub(FOOT_BYTES as usize)?];
    let length = file[rest.len()..].first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length) as usize;
    let heading_at = rest.len().checked_sub(length).filter(|_| length <= MOST_HEADING)?;
    serde_json::from_slice(&rest[heading_at..]).ok()
}

/// Why a file is not taken.
#[derive(Debug)]
pub(super) enum Unsealed {
    /// It is no such file at all.
    Unmarked,
    /// Its seal is none of this user's, or it was changed since.
    Broken,
    Unreadable(io::Error),
}

impl From<io::Error> for Unsealed {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error)
    }
}

/// Writes compiled code with its seal.
pub(super) fn seal(
    heading: &Heading,
    code: &mut dyn Read,
    secret: &[u8; 32],
    out: &mut dyn Write,
) -> io::Result<()> {
    let heading = serde_json::to_vec(heading)?;
    let length = u32::try_from(heading.len()).map_err(io::Error::other)?.to_le_bytes();
    let mut hasher = begin(secret, &length, &heading);
    io::copy(&mut Tee { code, hasher: &mut hasher }, out)?;
    out.write_all(&heading)?;
    out.write_all(&length)?;
    out.write_all(hasher.finalize().as_bytes())?;
    out.write_all(MARK)
}

/// Copies code into `intake` and checks its seal. Whoever gets an error must not use what the intake has.
pub(super) fn unseal(
    file: &mut dyn Rereadable,
    secret: &[u8; 32],
    intake: &mut Intake<'_>,
) -> Result<(), Unsealed> {
    let all = file.seek(SeekFrom::End(0))?;
    let foot_at = all.checked_sub(FOOT_BYTES).ok_or(Unsealed::Unmarked)?;
    file.seek(SeekFrom::Start(foot_at))?;
    let (mut length, mut seal, mut mark) = ([0; 4], [0; 32], [0; 16]);
    file.read_exact(&mut length)?;
    file.read_exact(&mut seal)?;
    file.read_exact(&mut mark)?;
    if mark != *MARK {
        return Err(Unsealed::Unmarked);
    }
    let code_bytes =
        foot_at.checked_sub(u32::from_le_bytes(length).into()).ok_or(Unsealed::Broken)?;
    file.seek(SeekFrom::Start(code_bytes))?;
    let mut heading = Vec::new();
    (&mut *file).take(foot_at - code_bytes).read_to_end(&mut heading)?;
    // A heading that can't be read is one that nobody of us wrote.
    let write = |intake: &mut Intake<'_>, bytes: &[u8]| {
        intake.write_all(bytes).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => Unsealed::Broken,
            _ => error.into(),
        })
    };
    write(intake, &length)?;
    write(intake, &heading)?;
    let mut hasher = begin(secret, &length, &heading);
    file.seek(SeekFrom::Start(0))?;
    let mut code = file.take(code_bytes);
    let copied = io::copy(&mut Tee { code: &mut code, hasher: &mut hasher }, intake)?;
    // Compared in constant time.
    match copied == code_bytes && hasher.finalize() == seal {
        true => Ok(()),
        false => Err(Unsealed::Broken),
    }
}

fn begin(secret: &[u8; 32], length: &[u8], heading: &[u8]) -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new_keyed(secret);
    hasher.update(MARK).update(length).update(heading);
    hasher
}

/// Hashes what is read through it.
struct Tee<'a> {
    code: &'a mut dyn Read,
    hasher: &'a mut blake3::Hasher,
}

impl Read for Tee<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.code.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}
