//! The same guest in both forms: which of the files that are named, or lie beside each other, is which.

use std::path::{Path, PathBuf};

use sandtrap::{Error, Wall};

/// The target for which a module is built, as cargo names its folder.
const MODULES: &str = "wasm32-wasip1";

/// Why there is nothing to compare.
#[derive(Debug)]
pub(crate) enum NoGuests {
    /// A file that can't be looked at.
    Unreadable(Error),
    /// Files that are no guest, or not one and the same.
    Misnamed(String),
}

/// The files of one guest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Guests {
    pub(crate) native: Option<PathBuf>,
    pub(crate) wasm: Option<PathBuf>,
    /// Where the other form was looked for, if only one is there.
    pub(crate) looked_for: Vec<PathBuf>,
}

impl Guests {
    /// Finds out what the files are, and the other form where only one is named.
    pub(crate) fn find(named: &[PathBuf]) -> Result<Self, NoGuests> {
        let mut guests = Self::default();
        for path in named {
            let place = match wall_of(path)? {
                Wall::Native => &mut guests.native,
                Wall::Wasm => &mut guests.wasm,
            };
            if let Some(other) = place {
                let (one, other) = (path.display(), other.display());
                return Err(NoGuests::Misnamed(format!(
                    "`{other}` and `{one}` run behind the same wall; name one guest in both its forms, a process and \
                     a module"
                )));
            }
            *place = Some(path.clone());
        }
        guests.complete();
        Ok(guests)
    }

    /// The file for a wall.
    pub(crate) fn of(&self, wall: Wall) -> Option<&Path> {
        match wall {
            Wall::Native => self.native.as_deref(),
            Wall::Wasm => self.wasm.as_deref(),
        }
    }

    /// Looks beside the one for the other.
    fn complete(&mut self) {
        let (place, candidates, wall) = match (&self.native, &self.wasm) {
            (Some(native), None) => (&mut self.wasm, modules_beside(native), Wall::Wasm),
            (None, Some(wasm)) => (&mut self.native, processes_beside(wasm), Wall::Native),
            _ => return,
        };
        *place = candidates.iter().find(|path| wall_of(path).is_ok_and(|it| it == wall)).cloned();
        if place.is_none() {
            self.looked_for = candidates;
        }
    }
}

fn wall_of(path: &Path) -> Result<Wall, NoGuests> {
    match sandtrap::inspect(path).map_err(NoGuests::Unreadable)?.wall {
        Some(wall) if wall == Wall::Native.name() => Ok(Wall::Native),
        Some(_) => Ok(Wall::Wasm),
        None => Err(NoGuests::Misnamed(format!(
            "`{}` is neither a module nor a program; `sandtrap inspect` says what it is",
            path.display()
        ))),
    }
}

/// Where the module of a process would be: beside it, or where cargo puts it.
fn modules_beside(native: &Path) -> Vec<PathBuf> {
    let mut name = native.file_name().unwrap_or_default().to_owned();
    name.push(".wasm");
    let mut candidates = vec![native.with_file_name(&name)];
    if let Some((profile, target)) = profile_and_target(native) {
        candidates.push(target.join(MODULES).join(profile).join(&name));
    }
    candidates
}

/// Where the process of a module would be: beside it, or where cargo puts it.
fn processes_beside(wasm: &Path) -> Vec<PathBuf> {
    let name = wasm.file_stem().unwrap_or_default();
    let mut candidates = vec![wasm.with_file_name(name)];
    if let Some((profile, target)) = profile_and_target(wasm)
        && target.file_name().is_some_and(|folder| folder == MODULES)
        && let Some(target) = target.parent()
    {
        candidates.push(target.join(profile).join(name));
    }
    candidates
}

/// Of `target/release/guest`: `release` and `target`.
fn profile_and_target(path: &Path) -> Option<(&Path, &Path)> {
    let folder = path.parent()?;
    Some((Path::new(folder.file_name()?), folder.parent()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sandtrap_tests::guests;

    #[test]
    fn both_forms_are_told_apart_in_either_order() {
        let (native, wasm) = (guests::native("calls"), guests::wasm("calls"));
        let expected = Guests {
            native: Some(native.clone()),
            wasm: Some(wasm.clone()),
            looked_for: Vec::new(),
        };
        assert_eq!(Guests::find(&[native.clone(), wasm.clone()]).unwrap(), expected);
        assert_eq!(Guests::find(&[wasm, native]).unwrap(), expected);
    }

    #[test]
    fn the_other_form_is_found_where_cargo_puts_it() {
        let (native, wasm) = (guests::native("calls"), guests::wasm("calls"));
        for named in [native, wasm] {
            let found = Guests::find(&[named]).unwrap();
            assert!(found.native.is_some() && found.wasm.is_some(), "{found:?}");
        }
    }

    #[test]
    fn a_form_that_is_nowhere_is_said_with_where_it_was_looked_for() {
        let found = Guests::find(&[guests::native("fork_bomb")]).unwrap();
        assert!(found.wasm.is_none());
        assert!(found.looked_for[0].ends_with("fork_bomb.wasm"), "{found:?}");
    }

    #[test]
    fn two_of_the_same_form_are_refused() {
        let error = Guests::find(&[guests::native("calls"), guests::native("hello")]).unwrap_err();
        assert!(matches!(error, NoGuests::Misnamed(what) if what.contains("behind the same wall")));
    }

    #[test]
    fn what_is_no_guest_is_refused() {
        let find = |path: &str| Guests::find(&[path.into()]).unwrap_err();
        assert!(matches!(find("/nonexistent/guest"), NoGuests::Unreadable(_)));
        assert!(matches!(find("/etc/passwd"), NoGuests::Misnamed(_)));
    }
}
