//! The directories that a guest was granted, looked at once when its program is loaded.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

use crate::evidence::Step;
use crate::isolation::LoadError;
use crate::permissions::{Access, DirGrant, Permissions};

use super::opening::Places;

/// What every guest of one program may reach.
pub(in crate::wasm) struct Dirs {
    all: Vec<Dir>,
    places: Option<Arc<Places>>,
}

struct Dir {
    host: PathBuf,
    guest: String,
    access: FsPerms,
}

impl Dirs {
    /// Looks at what is granted.
    pub(in crate::wasm) fn of(permissions: &Permissions) -> Result<Self, LoadError> {
        let all: Vec<Dir> = permissions.dirs.iter().map(Dir::of).collect::<Result<_, _>>()?;
        let places = all.first().and_then(|dir| {
            // Any file will do. Where none can be had, what opens is done on the guest's own thread.
            let any = fs::File::open(&dir.host).or_else(|_| fs::File::open("/"));
            any.and_then(|any| Places::new(&any)).ok().map(Arc::new)
        });
        Ok(Self { all, places })
    }

    pub(super) fn places(&self) -> Option<Arc<Places>> {
        self.places.clone()
    }

    pub(in crate::wasm) fn count(&self) -> usize {
        self.all.len()
    }

    /// Opens all of them for one guest.
    pub(super) fn open(&self, context: &mut WasiCtxBuilder) -> Result<(), LoadError> {
        for dir in &self.all {
            let opened = context.preopened_dir(&dir.host, &dir.guest, dir.access);
            if let Err(error) = opened {
                return Err(match error.downcast_ref() {
                    Some(error) => not_opened(&dir.host, error),
                    None => refused(&dir.host, &error.to_string()),
                });
            }
        }
        Ok(())
    }
}

impl Dir {
    fn of(grant: &DirGrant) -> Result<Self, LoadError> {
        let host = grant.host.clone();
        let Some(guest) = grant.guest.to_str() else {
            let fault = "the guest's name for it is not UTF-8, which modules require";
            return Err(refused(&host, fault));
        };
        grant.look()?;
        let access = match grant.access {
            Access::ReadOnly => FsPerms::ReadOnly,
            Access::ReadWrite => FsPerms::ReadWrite,
        };
        Ok(Self { guest: guest.to_owned(), host, access })
    }
}

fn not_opened(host: &Path, error: &io::Error) -> LoadError {
    let fault = format!("it cannot be opened: {error}");
    refused(host, &fault).with_errno(error.raw_os_error())
}

fn refused(host: &Path, fault: &str) -> LoadError {
    let detail = format!("the directory `{}` cannot be granted: {fault}", host.display());
    LoadError::at(Step::Accept, detail)
}
