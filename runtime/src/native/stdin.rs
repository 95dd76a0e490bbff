//! What a guest finds on its standard input, as an open descriptor.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::task::Stdin;

/// Opens it. Bytes lie in memory of the kernel's, so that nobody has to feed a pipe.
pub(super) fn open(stdin: &Stdin) -> io::Result<OwnedFd> {
    match stdin {
        Stdin::Null => Ok(File::open("/dev/null")?.into()),
        Stdin::Bytes(bytes) => {
            let mut file = File::from(memfd_create("sandtrap-stdin", MFdFlags::MFD_CLOEXEC)?);
            file.write_all(bytes)?;
            file.rewind()?;
            Ok(file.into())
        }
        Stdin::File(path) => open_file(path),
    }
}

/// Opens without waiting (a named pipe has perhaps no writer yet) and reads with waiting.
fn open_file(path: &Path) -> io::Result<OwnedFd> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    fcntl(&file, FcntlArg::F_SETFL(OFlag::empty()))?;
    Ok(file.into())
}
