//! A cage and its keeper as data, made ready by the caller, for the thread that starts them.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::OnceLock;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::cage::enter::{ABOVE, CageStep, Orders, enter};
use super::cage::{Deed, Layout, Namespaces};
use super::sys::{self, ChildStack};

/// The keeper itself, as built beside this library.
const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/keeper"));

/// What a cage is built from.
#[derive(Debug)]
pub(super) struct Cage<'a> {
    pub(super) namespaces: Namespaces,
    pub(super) layout: &'a Layout,
    pub(super) rules: Option<BorrowedFd<'a>>,
    pub(super) program: Option<BorrowedFd<'a>>,
    /// Each task puts it upon itself, or all inherit it.
    pub(super) filter: &'a [libc::sock_filter],
    pub(super) inherit_filter: bool,
}

/// What the thread needs to start a keeper, all of it its own.
pub(super) struct Prepared {
    namespaces: Namespaces,
    texts: [CString; 2],
    base: CString,
    deeds: Vec<Deed>,
    folder: CString,
    filter: Option<Vec<libc::sock_filter>>,
    null: OwnedFd,
    socket: OwnedFd,
    board: OwnedFd,
    rules: Option<OwnedFd>,
    program: Option<OwnedFd>,
    keeper: OwnedFd,
}

impl Prepared {
    pub(super) fn new(
        cage: &Cage<'_>,
        socket: BorrowedFd<'_>,
        board: BorrowedFd<'_>,
    ) -> io::Result<Self> {
        let null = File::options().read(true).write(true).open("/dev/null")?;
        let (user, group) = (nix::unistd::geteuid(), nix::unistd::getegid());
        Ok(Self {
            namespaces: cage.namespaces,
            texts: [
                CString::new(format!("{user} {user} 1"))?,
                CString::new(format!("{group} {group} 1"))?,
            ],
            base: base(),
            deeds: cage.layout.deeds.clone(),
            folder: cage.layout.folder.clone(),
            filter: (cage.inherit_filter && !cage.filter.is_empty()).then(|| cage.filter.to_vec()),
            null: raised(null.as_fd())?,
            socket: raised(socket)?,
            board: raised(board)?,
            rules: cage.rules.map(raised).transpose()?,
            program: cage.program.map(raised).transpose()?,
            keeper: raised(program()?)?,
        })
    }

    pub(super) fn start(&self) -> Result<i32, (Option<CageStep>, io::Error)> {
        let mut orders = Orders {
            namespaces: self.namespaces,
            user_map: &self.texts[0],
            group_map: &self.texts[1],
            base: &self.base,
            deeds: &self.deeds,
            folder: &self.folder,
            filter: self.filter.as_deref(),
            null: self.null.as_raw_fd(),
            socket: self.socket.as_raw_fd(),
            board: self.board.as_raw_fd(),
            rules: self.rules.as_ref().map(|it| it.as_raw_fd()),
            program: self.program.as_ref().map(|it| it.as_raw_fd()),
            keeper: self.keeper.as_raw_fd(),
            failure: None,
        };
        let child = sys::start_child(&mut ChildStack::new(), enter, &mut orders)
            .map_err(|error| (None, error))?;
        match orders.failure {
            None => Ok(child),
            Some((step, errno)) => {
                // It has ended itself; nobody but this thread may know that it was there.
                sys::reap(child);
                Err((Some(step), io::Error::from_raw_os_error(errno)))
            }
        }
    }
}

/// A copy with a number above those that a keeper's descriptors get.
pub(super) fn raised(descriptor: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let raw = fcntl(descriptor, FcntlArg::F_DUPFD_CLOEXEC(ABOVE))?;
    Ok(sys::adopt(raw))
}

/// A folder that is on every host, to make the new root upon, where only the cage sees it.
fn base() -> CString {
    let found = ["/tmp", "/run", "/mnt", "/dev"].into_iter().find(|path| Path::new(path).is_dir());
    CString::new(found.unwrap_or("/tmp")).unwrap_or_default()
}

/// The keeper's program as a file in memory that nobody can change. Made once for all.
pub(super) fn program() -> io::Result<BorrowedFd<'static>> {
    static FILE: OnceLock<Result<File, i32>> = OnceLock::new();
    let made = FILE.get_or_init(|| {
        let make = || -> io::Result<File> {
            let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
            // "To be executed", which newer kernels want to be told.
            let to_execute = flags | MFdFlags::from_bits_retain(0x10);
            let executable = memfd_create(c"sandtrap-keeper", to_execute);
            // An older kernel doesn't know the word, and needs none.
            let file = executable.or_else(|_| memfd_create(c"sandtrap-keeper", flags))?;
            let mut file = File::from(file);
            file.write_all(PROGRAM)?;
            let seals = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK;
            fcntl(&file, FcntlArg::F_ADD_SEALS(seals | SealFlag::F_SEAL_SEAL))?;
            Ok(file)
        };
        make().map_err(|error| error.raw_os_error().unwrap_or(libc::EIO))
    });
    match made {
        Ok(file) => Ok(file.as_fd()),
        Err(errno) => Err(io::Error::from_raw_os_error(*errno)),
    }
}
