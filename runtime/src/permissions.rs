//! What a guest may see of the world. Nothing, unless it was granted by name.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

/// Grants. The default grants nothing: no environment variable, no directory, no network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permissions {
    /// The whole environment of the guest, in this order.
    pub env: Vec<(OsString, OsString)>,
    /// The directories it may reach.
    pub dirs: Vec<DirGrant>,
    /// The network it may reach.
    pub net: Network,
    /// Which system calls it may make. Only the native wall has any.
    pub profile: Profile,
    /// Whether a process finds a `/proc` that has its own processes and nothing else, to be read. A module never does.
    pub proc: bool,
    /// Whether it sees made-up clocks and random numbers, the same in every run, and from which seed they
    /// come. Only the wasm wall can do that.
    pub deterministic: Option<u64>,
    /// The functions of the host that it may call, by the names that they were registered with
    /// ([`RuntimeBuilder::host`](crate::RuntimeBuilder::host)).
    pub host_functions: Vec<String>,
}

/// One directory of the host that a guest may reach, with everything in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirGrant {
    /// Where it is on the host.
    pub host: PathBuf,
    /// What the guest calls it.
    pub guest: PathBuf,
    /// What the guest may do in it.
    pub access: Access,
}

/// What a guest may do in a directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Look at everything, and change nothing.
    #[default]
    ReadOnly,
    /// Look at everything, and change it.
    ReadWrite,
}

/// The network a guest may reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Network {
    /// None.
    #[default]
    None,
    /// The host's own. WASI preview 1 has no call that would reach it.
    Host,
}

/// Which system calls a process may make. `docs/profiles.md` has the table of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Profile {
    /// Memory, threads, clocks, and the descriptors it was given. Nothing that opens a file, so the program has to
    /// be a static one.
    Pure,
    /// That, and opening what the walls around it let it see.
    #[default]
    Compute,
    /// That, and changing files: their names, sizes, modes and locks.
    Files,
    /// That, and processes: starting, waiting for and signalling them, executing other programs.
    Process,
    /// What `Compute` has, and memory that is written first and executed then.
    Jit,
}

impl Profile {
    /// Every profile, the least first.
    pub const ALL: [Self; 5] = [Self::Pure, Self::Compute, Self::Files, Self::Process, Self::Jit];

    /// The word used on the command line and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pure => "pure",
            Self::Compute => "compute",
            Self::Files => "files",
            Self::Process => "process",
            Self::Jit => "jit",
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word that names no profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no profile; the profiles are pure, compute, files, process and jit")]
pub struct UnknownProfile(String);

impl FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|profile| profile.name() == text);
        known.ok_or_else(|| UnknownProfile(text.to_owned()))
    }
}

/// A grant that no guest could be given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the directory `{}` cannot be granted: {fault}", host.display())]
pub struct GrantError {
    host: PathBuf,
    fault: String,
    errno: Option<i32>,
}

impl GrantError {
    fn new(dir: &DirGrant, fault: impl Into<String>) -> Self {
        Self { host: dir.host.clone(), fault: fault.into(), errno: None }
    }

    /// The system's own error number, where it had one.
    pub fn errno(&self) -> Option<i32> {
        self.errno
    }
}

impl DirGrant {
    /// Whether the guest calls it what the host calls it.
    pub fn keeps_its_name(&self) -> bool {
        same(&self.host, &self.guest)
    }

    /// Refuses what is no directory on this host.
    pub fn look(&self) -> Result<(), GrantError> {
        match fs::metadata(&self.host) {
            Ok(meta) if meta.is_dir() => Ok(()),
            Ok(_) => Err(GrantError::new(self, "it is no directory; name the one it is in")),
            Err(error) => {
                let fault = format!("{error}; make it first, or name another one");
                Err(GrantError { errno: error.raw_os_error(), ..GrantError::new(self, fault) })
            }
        }
    }
}

impl Permissions {
    /// Grants one environment variable. A later grant of the same name replaces the earlier one.
    pub fn grant_env(&mut self, key: impl Into<OsString>, value: impl Into<OsString>) {
        let key = key.into();
        self.env.retain(|(known, _)| *known != key);
        self.env.push((key, value.into()));
    }

    /// Grants one directory under the name that the guest has for it. It has to be there when a program is
    /// loaded and when a task of it starts.
    pub fn grant_dir(
        &mut self,
        host: impl Into<PathBuf>,
        guest: impl Into<PathBuf>,
        access: Access,
    ) {
        self.dirs.push(DirGrant { host: host.into(), guest: guest.into(), access });
    }

    /// Grants one function of the host. It has to be registered when a program is loaded.
    pub fn grant_host_function(&mut self, name: impl Into<String>) {
        self.host_functions.push(name.into());
    }

    /// Refuses grants that contradict each other or make no sense, without looking at the host.
    pub fn check(&self) -> Result<(), GrantError> {
        for (index, dir) in self.dirs.iter().enumerate() {
            let fail = |fault: String| Err(GrantError::new(dir, fault));
            if dir.guest.as_os_str().is_empty() {
                return fail("it has no name for the guest; give it one, as in /data".to_owned());
            }
            let guest = dir.guest.display();
            if dir.guest.components().any(|part| part == Component::ParentDir) {
                return fail(format!(
                    "the guest's name for it, `{guest}`, has a `..`; write it without"
                ));
            }
            let earlier = self.dirs.iter().take(index);
            if let Some(other) = earlier.into_iter().find(|other| same(&other.guest, &dir.guest)) {
                return fail(format!(
                    "the guest would find `{}` as `{guest}`, too; give each a name of its own",
                    other.host.display()
                ));
            }
        }
        Ok(())
    }
}

/// Whether two paths are the same to a guest, however they are written.
fn same(one: &Path, other: &Path) -> bool {
    let parts = |path: &Path| -> Vec<OsString> {
        let parts = path.components().filter(|part| *part != Component::CurDir);
        parts.map(|part| part.as_os_str().to_owned()).collect()
    };
    parts(one) == parts(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(dirs: &[(&str, &str)]) -> Result<(), String> {
        let mut permissions = Permissions::default();
        for (host, guest) in dirs {
            permissions.grant_dir(host, guest, Access::ReadOnly);
        }
        permissions.check().map_err(|error| error.to_string())
    }

    #[test]
    fn every_directory_has_a_name_of_its_own() {
        assert_eq!(granted(&[("a", "/a"), ("b", "/b"), ("a", "/c")]), Ok(()));
        for (first, second) in [("/a", "/a"), ("/a", "/a/"), ("a", "./a"), (".", "./")] {
            let error = granted(&[("one", first), ("two", second)]).unwrap_err();
            assert!(error.contains("`two`") && error.contains("`one`"), "{error}");
        }
    }

    #[test]
    fn profiles_are_read_back_by_their_names() {
        for profile in Profile::ALL {
            assert_eq!(profile.to_string().parse(), Ok(profile));
            let error = "everything".parse::<Profile>().unwrap_err().to_string();
            assert!(error.contains(profile.name()), "{error}");
        }
    }

    #[test]
    fn a_name_that_leads_elsewhere_or_nowhere_is_refused() {
        assert!(granted(&[("x", "")]).unwrap_err().contains("as in /data"));
        assert!(granted(&[("x", "a/../b")]).unwrap_err().contains("write it without"));
    }
}
