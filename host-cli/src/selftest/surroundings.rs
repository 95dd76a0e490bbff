//! What the cases find, or should not find: a folder with a secret, sockets of the host's, an open descriptor.

use std::fs::{self, DirBuilder, File};
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, process};

use anyhow::Context as _;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use crate::abuse::{ENTRANCE, Given};

static NEXT: AtomicU32 = AtomicU32::new(1);

/// All of it goes when this is dropped.
pub(super) struct Surroundings {
    folder: PathBuf,
    /// The same name where temporary files usually are: a case may look there, and find its host's.
    usual: PathBuf,
    port: TcpListener,
    _abstract: UnixListener,
    _socket: UnixListener,
    _leak: File,
}

impl Surroundings {
    pub(super) fn make() -> anyhow::Result<Self> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sandtrap-selftest-{}-{number}", process::id());
        let (folder, usual) = (env::temp_dir().join(&name), Path::new("/tmp").join(&name));
        let shown = folder.display().to_string();
        DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .with_context(|| format!("cannot make the scratch folder `{shown}`; set TMPDIR"))?;
        let made = Self::furnish(&folder, usual);
        if made.is_err() {
            // What was made of it goes, too; the error is told.
            let _ = fs::remove_dir_all(&folder);
        }
        made.with_context(|| format!("cannot furnish the scratch folder `{shown}`"))
    }

    fn furnish(folder: &Path, usual: PathBuf) -> anyhow::Result<Self> {
        let secret = folder.join("secret");
        fs::write(&secret, b"a secret of the host's\n")?;
        let leak = File::open(&secret)?;
        // A host may have descriptors that are not marked to be closed.
        fcntl(&leak, FcntlArg::F_SETFD(FdFlag::empty()))?;
        let address = SocketAddr::from_abstract_name(abstract_name(folder))?;
        Ok(Self {
            folder: folder.to_owned(),
            usual,
            port: TcpListener::bind(("127.0.0.1", 0))?,
            _abstract: UnixListener::bind_addr(&address)?,
            _socket: UnixListener::bind(folder.join("socket"))?,
            _leak: leak,
        })
    }

    pub(super) fn given(&self, case: &str, open_files: u32) -> Given {
        Given {
            case: case.to_owned(),
            host: process::id() as i32,
            port: self.port.local_addr().map_or(0, |address| address.port()),
            abstract_name: abstract_name(&self.folder),
            folder: self.folder.clone(),
            directory: env::current_dir().unwrap_or_default(),
            open_files,
        }
    }

    /// Takes away what a case may have left where it found no private folder.
    pub(super) fn clear(&self) {
        for left in ["inodes", "mark"] {
            let left = self.usual.join(left);
            // There is nothing, where the walls stand.
            let _ = fs::remove_dir_all(&left).or_else(|_| fs::remove_file(&left));
        }
    }
}

impl Drop for Surroundings {
    fn drop(&mut self) {
        for folder in [&self.folder, &self.usual] {
            // They may be the same, or one never made.
            let _ = fs::remove_dir_all(folder);
        }
    }
}

fn abstract_name(folder: &Path) -> String {
    folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The processes of a case of ours that are alive.
pub(super) fn guests(case: &str) -> Vec<i32> {
    let wanted = format!("\0{ENTRANCE}\0{case}\0{}\0", process::id());
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            // One that is gone, or a zombie, has none.
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.windows(wanted.len()).any(|window| window == wanted.as_bytes())
        })
        .collect()
}

/// Whether one is alive although its report says that it is not.
pub(super) fn has_survivors(case: &str) -> bool {
    !guests(case).is_empty()
}
