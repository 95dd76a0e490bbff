//! Which files of the host there are inside a cage, and under which names.
//!
//! The system's own folders to read, so that dynamic programs find their libraries; a few devices; the program and
//! what it names as its needs; the directories that were granted. No `/proc`, no `/sys`, no home, an empty
//! `/tmp`, and nothing of `/etc` but what loaders and clocks (and, where the network is granted, resolvers) read.
//!
//! Nothing is ever made inside a folder of the host: a grant within another one needs its place there.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use crate::evidence::Step;
use crate::isolation::LoadError;
use crate::permissions::{Access, DirGrant, Network, Permissions, Profile};

use super::{Deed, NEW_ROOT, OLD_ROOT, Seen, needs};

const SYSTEM: [&str; 7] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];
const STORES: [&str; 2] = ["/nix/store", "/gnu/store"];
const ETC: [&str; 6] = [
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/alternatives",
    "/etc/localtime",
    "/etc/timezone",
];
const ETC_OF_NETWORKS: [&str; 9] = [
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/protocols",
    "/etc/ssl",
    "/etc/pki",
];
const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// What is seen inside, as deeds for the child and as paths of the host for the rules.
#[derive(Debug, Default)]
pub(in crate::native) struct Layout {
    pub(in crate::native) deeds: Vec<Deed>,
    /// Where tasks begin.
    pub(in crate::native) folder: CString,
    /// Files and folders of the host that can be read.
    pub(super) readable: Vec<PathBuf>,
    /// Those that can be executed.
    pub(super) executable: Vec<PathBuf>,
    pub(super) devices: Vec<PathBuf>,
    pub(super) granted: Vec<(PathBuf, Access)>,
    /// Names inside, and what of the host's is seen there.
    seen: Vec<(PathBuf, PathBuf)>,
    /// Links to within the system, and where they lead.
    links: Vec<(PathBuf, PathBuf)>,
}

impl Layout {
    /// Lays out the cage of one program, which is shown at its place, or nowhere if it is executed by a descriptor.
    pub(in crate::native) fn of(
        program: &Path,
        place: Option<&Path>,
        permissions: &Permissions,
    ) -> Result<Self, LoadError> {
        let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        let mut layout = Self { folder: c"/".to_owned(), ..Self::default() };
        layout.system(permissions.net);
        let needs = needs::of(program);
        if permissions.profile == Profile::Pure && !needs.is_empty() {
            let detail = format!(
                "`{}` opens files to load itself (an interpreter, shared libraries), and the profile `pure` opens \
                 none; link it statically, or take the profile `compute`",
                program.display()
            );
            return Err(LoadError::at(Step::Accept, detail));
        }
        layout.needed(program, &needs);
        if permissions.proc {
            let at = inside_name(Path::new("/proc"));
            layout.deeds.extend([Deed::Folder(at.clone()), Deed::Proc { at }]);
        }
        let mut grants: Vec<(PathBuf, &DirGrant)> =
            permissions.dirs.iter().map(|dir| (name_inside(&dir.guest, &here), dir)).collect();
        // A directory within another one is put upon it.
        grants.sort_by_key(|(inside, _)| inside.components().count());
        for (inside, dir) in &grants {
            layout.grant(inside, dir)?;
        }
        if let Some(place) = place {
            layout.executable.push(place.to_owned());
            layout.show(place, place, Seen::ToRead).map_err(|error| hidden(place, &error))?;
        }
        let is_seen = |path: &Path| layout.seen.iter().any(|(inside, _)| path.starts_with(inside));
        if is_seen(&here) || permissions.dirs.iter().any(|dir| dir.guest.is_relative()) {
            layout.folders(&here);
            layout.folder = text(here.as_os_str().as_bytes());
        }
        Ok(layout)
    }

    /// Has a place for something that is a task's own.
    pub(in crate::native) fn has_place(&mut self, inside: &str) {
        self.folders(Path::new(inside));
    }

    fn system(&mut self, net: Network) {
        for path in SYSTEM.map(Path::new) {
            match fs::read_link(path) {
                Ok(to) => {
                    let at = inside_name(path);
                    self.deeds.push(Deed::Link { to: text(to.as_os_str().as_bytes()), at });
                    self.links.extend(path.canonicalize().map(|end| (path.to_owned(), end)));
                }
                Err(_) => self.show_if_there(path),
            }
        }
        self.folders(Path::new("/etc"));
        let of_networks: &[&str] = if net == Network::Host { &ETC_OF_NETWORKS } else { &[] };
        for path in ETC.iter().chain(of_networks) {
            self.show_if_there(Path::new(path));
        }
        self.folders(Path::new("/dev"));
        self.folders(Path::new("/tmp"));
        for path in DEVICES.map(Path::new).into_iter().filter(|path| path.exists()) {
            self.deeds.push(Deed::File(inside_name(path)));
            self.bind(path, path, Seen::AsDevice);
            self.devices.push(path.to_owned());
        }
    }

    fn show_if_there(&mut self, path: &Path) {
        let Ok(real) = path.canonicalize() else { return };
        self.readable.push(real.clone());
        // These come first, so nothing can stand in their way.
        let _ = self.show(&real, path, Seen::ToRead);
    }

    /// Loaders and interpreters are named by the guest itself, so they open nothing: one that is not among what
    /// everybody sees is not there.
    fn needed(&mut self, program: &Path, needs: &[PathBuf]) {
        let found: Vec<PathBuf> =
            needs.iter().filter_map(|path| path.canonicalize().ok()).collect();
        for store in STORES.map(Path::new) {
            if found.iter().any(|path| path.starts_with(store)) || program.starts_with(store) {
                self.show_if_there(store);
            }
        }
        let is_seen = |path: &Path| self.readable.iter().any(|folder| path.starts_with(folder));
        let seen: Vec<PathBuf> = found.into_iter().filter(|path| is_seen(path)).collect();
        self.executable.extend(seen);
    }

    fn grant(&mut self, inside: &Path, dir: &DirGrant) -> Result<(), LoadError> {
        let failed = |error: &io::Error| {
            let detail = format!(
                "the directory `{}` cannot be granted as `{}`: {error}",
                dir.host.display(),
                dir.guest.display()
            );
            LoadError::at(Step::Accept, detail).with_errno(error.raw_os_error())
        };
        let real = dir.host.canonicalize().map_err(|error| failed(&error))?;
        let access = match dir.access {
            Access::ReadOnly => Seen::ToRead,
            Access::ReadWrite => Seen::ToWrite,
        };
        self.granted.push((real.clone(), dir.access));
        self.show(&real, inside, access).map_err(|error| failed(&error))
    }

    /// Lets something of the host's be seen inside under a name.
    fn show(&mut self, real: &Path, inside: &Path, access: Seen) -> io::Result<()> {
        let inside = &self.without_links(inside);
        let cover = self.seen.iter().rev().find(|(cover, _)| inside.starts_with(cover));
        if let Some((cover, covered)) = cover {
            let below = inside.strip_prefix(cover).unwrap_or(Path::new(""));
            let there = covered.join(below);
            let is_same = there.canonicalize().is_ok_and(|there| there == real);
            if is_same && access == Seen::ToRead {
                return Ok(());
            }
            if !there.exists() {
                let words = format!(
                    "its place would be within `{}`, which has no `{}`; make it there first",
                    covered.display(),
                    below.display()
                );
                return Err(io::Error::new(io::ErrorKind::NotFound, words));
            }
        } else if real.is_dir() {
            self.folders(inside);
        } else {
            self.folders(inside.parent().unwrap_or(Path::new("/")));
            self.deeds.push(Deed::File(inside_name(inside)));
        }
        self.bind(real, inside, access);
        Ok(())
    }

    /// The name of a place that doesn't lead over a link.
    fn without_links(&self, inside: &Path) -> PathBuf {
        let link = self
            .links
            .iter()
            .find_map(|(link, end)| inside.strip_prefix(link).ok().map(|below| end.join(below)));
        link.unwrap_or_else(|| inside.to_owned())
    }

    fn bind(&mut self, real: &Path, inside: &Path, access: Seen) {
        let from = text(&[OLD_ROOT.as_bytes(), real.as_os_str().as_bytes()].concat());
        self.deeds.push(Deed::Bind { from, at: inside_name(inside), access });
        self.seen.push((inside.to_owned(), real.to_owned()));
    }

    /// Makes the folders on the way to a place, as far as they are the cage's own.
    fn folders(&mut self, to: &Path) {
        let to = self.without_links(to);
        let mut way = PathBuf::from("/");
        for part in to.components().filter(|part| matches!(part, Component::Normal(_))) {
            way.push(part);
            if self.seen.iter().any(|(inside, _)| way.starts_with(inside)) {
                return;
            }
            let folder = Deed::Folder(inside_name(&way));
            if !self.deeds.contains(&folder) {
                self.deeds.push(folder);
            }
        }
    }
}

fn hidden(program: &Path, error: &io::Error) -> LoadError {
    let detail = format!("`{}` would not be found in its cage: {error}", program.display());
    LoadError::at(Step::Accept, detail)
}

/// A name without `.`, from the root on.
fn name_inside(guest: &Path, here: &Path) -> PathBuf {
    let parts = guest.components().filter(|part| *part != Component::CurDir);
    here.join(parts.collect::<PathBuf>())
}

fn inside_name(path: &Path) -> CString {
    text(&[NEW_ROOT.as_bytes(), path.as_os_str().as_bytes()].concat())
}

/// Paths of the system have no null bytes; one that has is nobody's.
fn text(bytes: &[u8]) -> CString {
    CString::new(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn laid_out(dirs: &[(&Path, &str, Access)]) -> Result<Layout, String> {
        let mut permissions = Permissions::default();
        for (host, guest, access) in dirs {
            permissions.grant_dir(host, guest, *access);
        }
        let program = Path::new("/bin/sh").canonicalize().unwrap();
        Layout::of(&program, Some(&program), &permissions).map_err(|error| error.to_string())
    }

    fn binds(layout: &Layout) -> Vec<(&str, Seen)> {
        let binds = layout.deeds.iter().filter_map(|deed| match deed {
            Deed::Bind { at, access, .. } => at.to_str().ok().map(|at| (at, *access)),
            _ => None,
        });
        binds.collect()
    }

    #[test]
    fn the_system_is_there_to_be_read_and_nothing_else() {
        let layout = laid_out(&[]).unwrap();
        let binds = binds(&layout);
        assert!(binds.contains(&("/newroot/usr", Seen::ToRead)), "{binds:?}");
        assert!(binds.contains(&("/newroot/dev/null", Seen::AsDevice)), "{binds:?}");
        assert!(binds.iter().all(|(_, access)| *access != Seen::ToWrite), "{binds:?}");
        for nowhere in ["/newroot/proc", "/newroot/sys", "/newroot/root", "/newroot/etc"] {
            assert!(binds.iter().all(|(at, _)| *at != nowhere), "{nowhere}: {binds:?}");
        }
        assert_eq!(layout.folder.as_c_str(), c"/");
    }

    #[test]
    fn a_grant_within_another_needs_its_place_there() {
        let folder = tempfile::tempdir().unwrap();
        let (outer, inner) = (folder.path().join("outer"), folder.path().join("inner"));
        fs::create_dir(&outer).unwrap();
        fs::create_dir(&inner).unwrap();
        let grants = [
            (inner.as_path(), "/data/sub", Access::ReadWrite),
            (outer.as_path(), "/data", Access::ReadOnly),
        ];
        let error = laid_out(&grants).unwrap_err();
        assert!(error.contains("has no `sub`; make it there first"), "{error}");
        fs::create_dir(outer.join("sub")).unwrap();
        let layout = laid_out(&grants).unwrap();
        let granted = &binds(&layout)[binds(&layout).len() - 2..];
        let wanted = [("/newroot/data", Seen::ToRead), ("/newroot/data/sub", Seen::ToWrite)];
        assert_eq!(granted, wanted);
        assert!(!layout.deeds.contains(&Deed::Folder(c"/newroot/data/sub".to_owned())));
    }

    #[test]
    fn a_program_that_names_a_file_as_its_interpreter_does_not_get_to_see_it() {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret");
        fs::write(&secret, "secret").unwrap();
        let script = folder.path().join("script");
        for named in [secret.as_path(), Path::new("/"), Path::new("/proc"), Path::new("/etc")] {
            fs::write(&script, format!("#!{}\n", named.display())).unwrap();
            let layout = Layout::of(&script, Some(&script), &Permissions::default()).unwrap();
            let own = inside_name(&script);
            let shown = binds(&layout).into_iter().filter(|(at, _)| own.to_str() != Ok(at));
            let expected = laid_out(&[]).unwrap();
            assert!(shown.clone().all(|it| binds(&expected).contains(&it)), "{named:?}");
            let readable = |path: &Path| layout.readable.iter().any(|it| path.starts_with(it));
            assert!(!readable(&secret) && !layout.executable.contains(&secret), "{named:?}");
            assert!(!readable(Path::new("/etc/shadow")), "{named:?}");
        }
    }

    #[test]
    fn what_opens_files_to_load_itself_is_not_pure() {
        let permissions = Permissions { profile: Profile::Pure, ..Permissions::default() };
        let program = Path::new("/bin/sh").canonicalize().unwrap();
        // A statically linked shell is fine.
        if !needs::of(&program).is_empty() {
            let error = Layout::of(&program, Some(&program), &permissions).unwrap_err();
            assert!(error.to_string().contains("link it statically"), "{error}");
        }
    }

    #[test]
    fn a_relative_name_is_found_from_where_the_host_is() {
        let folder = tempfile::tempdir().unwrap();
        let layout = laid_out(&[(folder.path(), "./work", Access::ReadWrite)]).unwrap();
        let here = std::env::current_dir().unwrap();
        let work = format!("/newroot{}/work", here.display());
        assert_eq!(binds(&layout).last(), Some(&(work.as_str(), Seen::ToWrite)));
        assert_eq!(layout.folder.to_bytes(), here.as_os_str().as_bytes());
    }
}
