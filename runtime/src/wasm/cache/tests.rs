//! Whatever happens to the directory: the right code, or none.

use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};
use std::path::PathBuf;

use super::*;
use crate::wasm::compiler::Kind;
use crate::wasm::shape::Shape;
use nix::unistd::Uid;

const MIB: u64 = 1 << 20;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("sandtrap-cache-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
        Self(path)
    }

    fn cache(&self, most: u64) -> Cache {
        Cache::open(&self.0, most).unwrap()
    }

    /// The only file of a kind.
    fn only(&self, kind: &str) -> PathBuf {
        let mut found = self.all(kind);
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }

    fn all(&self, kind: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.extension().is_some_and(|it| it == kind)).collect()
    }

    fn bytes(&self) -> u64 {
        let entries = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap());
        entries.map(|entry| entry.metadata().map_or(0, |metadata| metadata.len())).sum()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn facts(source: &str) -> Facts {
    Facts { source: source.to_owned(), kind: Kind::Module(Shape::default()) }
}

fn key(source: &str) -> Key {
    Key::of(source, "engine")
}

fn keep(cache: &Cache, source: &str, code: &[u8]) -> Code {
    let mut draft = cache.draft().unwrap();
    draft.write_all(code).unwrap();
    cache.keep(&key(source), &facts(source), draft).unwrap()
}

fn content(code: &Code) -> Vec<u8> {
    let mut bytes = Vec::new();
    code.reader().read_to_end(&mut bytes).unwrap();
    bytes
}

fn found(cache: &Cache, source: &str) -> Option<Vec<u8>> {
    let hit = cache.find(&key(source))?;
    assert_eq!(hit.facts, facts(source));
    Some(content(&hit.code))
}

#[test]
fn what_is_kept_is_found_by_another_one() {
    let folder = Folder::new("found");
    assert_eq!(content(&keep(&folder.cache(MIB), "one", b"code")), b"code");
    let other = folder.cache(MIB);
    assert_eq!(found(&other, "one").unwrap(), b"code");
    assert_eq!(found(&other, "two"), None);
    assert_eq!(other.find(&Key::of("one", "another engine")).map(|_| ()), None);
}

#[test]
fn a_file_is_known_by_its_marks_until_it_changes() {
    let folder = Folder::new("marks");
    let cache = folder.cache(MIB);
    keep(&cache, "one", b"code");
    let module = folder.0.join("module.wasm");
    fs::write(&module, "module").unwrap();
    let identity = |engine| Identity::of(&fs::metadata(&module).unwrap(), engine);
    let fresh = identity("engine");
    cache.remember(&fresh, &key("one"));
    assert!(cache.find_file(&fresh).is_none(), "a change within the same instant would not show");
    cache.remember(&Identity { is_settled: true, ..identity("engine") }, &key("one"));
    assert!(cache.find_file(&fresh).is_some());

    assert_eq!(content(&cache.find_file(&identity("engine")).unwrap().code), b"code");
    assert!(cache.find_file(&identity("another")).is_none());

    // A change within the same step of the clock is what `remember` guards against.
    assert!(fresh.stamp.settle().unwrap());
    OpenOptions::new().write(true).open(&module).unwrap().write_at(b"M", 0).unwrap();
    assert!(cache.find_file(&identity("engine")).is_none());
    assert!(!fresh.fits(&fs::metadata(&module).unwrap()));
}

#[test]
fn a_record_for_one_file_says_nothing_about_another_one() {
    let folder = Folder::new("swapped-files");
    let cache = folder.cache(MIB);
    keep(&cache, "one", b"code");
    let (a, b) = (folder.0.join("a.wasm"), folder.0.join("b.wasm"));
    fs::write(&a, "a").unwrap();
    fs::write(&b, "b").unwrap();
    let identity = |path| Identity::of(&fs::metadata(path).unwrap(), "engine");
    let known = Identity { is_settled: true, name: identity(&b).name, ..identity(&a) };
    cache.remember(&known, &key("one"));
    assert!(cache.find_file(&identity(&b)).is_none());
}

/// Does something to the kept files, and says that nothing is found then, that it can be kept again, and that
/// then the right code is found.
#[track_caller]
fn assert_thrown_away(name: &str, harm: impl Fn(&Folder)) {
    let folder = Folder::new(name);
    let cache = folder.cache(MIB);
    keep(&cache, "one", b"code of one");
    harm(&folder);
    assert_eq!(found(&cache, "one"), None);
    keep(&cache, "one", b"code of one");
    assert_eq!(found(&cache, "one").unwrap(), b"code of one");
}

fn with_times_restored(path: &Path, change: impl FnOnce(&File)) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let before = file.metadata().unwrap().modified().unwrap();
    change(&file);
    file.set_modified(before).unwrap();
}

#[test]
fn a_changed_byte_anywhere_is_noticed() {
    for kind in ["code", "facts"] {
        let probe = Folder::new(&format!("probe-{kind}"));
        keep(&probe.cache(MIB), "one", b"code of one");
        let length = fs::metadata(probe.only(kind)).unwrap().len();
        // Every byte of the code, every few of the record.
        for offset in (0..length).step_by(if kind == "code" { 1 } else { 7 }) {
            let name = format!("flip-{kind}-{offset}");
            assert_thrown_away(&name, |folder| {
                with_times_restored(&folder.only(kind), |file| {
                    // A record is as long as the numbers in it, and may be shorter than another one.
                    let offset = offset.min(file.metadata().unwrap().len() - 1);
                    let mut byte = [0];
                    file.read_exact_at(&mut byte, offset).unwrap();
                    file.write_all_at(&[byte[0] ^ 0x20], offset).unwrap();
                });
            });
        }
    }
}

#[test]
fn an_entry_that_is_cut_off_or_longer_is_noticed() {
    for kind in ["code", "facts"] {
        assert_thrown_away(&format!("cut-{kind}"), |folder| {
            with_times_restored(&folder.only(kind), |file| {
                file.set_len(file.metadata().unwrap().len() - 1).unwrap();
            });
        });
        assert_thrown_away(&format!("empty-{kind}"), |folder| {
            with_times_restored(&folder.only(kind), |file| file.set_len(0).unwrap());
        });
        assert_thrown_away(&format!("longer-{kind}"), |folder| {
            with_times_restored(&folder.only(kind), |file| {
                file.write_all_at(b"!", file.metadata().unwrap().len()).unwrap();
            });
        });
        assert_thrown_away(&format!("gone-{kind}"), |folder| {
            fs::remove_file(folder.only(kind)).unwrap();
        });
    }
}

#[test]
fn a_replaced_file_is_noticed_whatever_it_holds() {
    for kind in ["code", "facts"] {
        assert_thrown_away(&format!("link-{kind}"), |folder| {
            let (path, away) = (folder.only(kind), folder.0.join("away"));
            fs::rename(&path, &away).unwrap();
            symlink(&away, &path).unwrap();
        });
        assert_thrown_away(&format!("folder-{kind}"), |folder| {
            let path = folder.only(kind);
            fs::remove_file(&path).unwrap();
            // Nothing can be put in its place, so what is kept gets another name, or none.
            if kind == "code" {
                fs::create_dir(&path).unwrap();
            }
        });
        assert_thrown_away(&format!("pipe-{kind}"), |folder| {
            let path = folder.only(kind);
            fs::remove_file(&path).unwrap();
            nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        });
        assert_thrown_away(&format!("open-{kind}"), |folder| {
            fs::set_permissions(folder.only(kind), Permissions::from_mode(0o620)).unwrap();
        });
    }
    assert_thrown_away("copy", |folder| {
        let (path, copy) = (folder.only("code"), folder.0.join("copy"));
        fs::copy(&path, &copy).unwrap();
        fs::rename(&copy, &path).unwrap();
    });
}

#[test]
fn entries_that_changed_places_are_noticed() {
    for kind in ["code", "facts"] {
        let folder = Folder::new(&format!("swap-{kind}"));
        let cache = folder.cache(MIB);
        keep(&cache, "one", b"code of one");
        keep(&cache, "two", b"code of two");
        let files = folder.all(kind);
        let between = folder.0.join("between");
        fs::rename(&files[0], &between).unwrap();
        fs::rename(&files[1], &files[0]).unwrap();
        fs::rename(&between, &files[1]).unwrap();
        assert_eq!((found(&cache, "one"), found(&cache, "two")), (None, None), "{kind}");
    }
}

#[test]
fn a_directory_of_others_is_refused() {
    let folder = Folder::new("others");
    for mode in [0o770, 0o702, 0o777] {
        fs::set_permissions(&folder.0, Permissions::from_mode(mode)).unwrap();
        let error = Cache::open(&folder.0, MIB).unwrap_err().to_string();
        assert!(error.contains("others may write"), "{error}");
    }
    fs::set_permissions(&folder.0, Permissions::from_mode(0o755)).unwrap();
    folder.cache(MIB);
    let link = folder.0.join("link");
    symlink(&folder.0, &link).unwrap();
    assert!(Cache::open(&link, MIB).unwrap_err().to_string().contains("link"));
    let file = folder.0.join("file");
    fs::write(&file, "").unwrap();
    Cache::open(&file, MIB).unwrap_err();
    let new = folder.0.join("a/b");
    Cache::open(&new, MIB).unwrap();
    assert_eq!(fs::metadata(&new).unwrap().permissions().mode() & 0o777, 0o700);
    if Uid::effective().is_root() {
        // Only then there is a directory of somebody else's to be had.
        std::os::unix::fs::chown(&new, Some(65_534), None).unwrap();
        let error = Cache::open(&new, MIB).unwrap_err().to_string();
        assert!(error.contains("another user"), "{error}");
    }
}

#[test]
fn entries_of_others_are_thrown_away() {
    if Uid::effective().is_root() {
        for kind in ["code", "facts"] {
            assert_thrown_away(&format!("owner-{kind}"), |folder| {
                std::os::unix::fs::chown(folder.only(kind), Some(65_534), None).unwrap();
            });
        }
    }
}

#[test]
fn a_crash_before_the_end_leaves_nothing_that_is_found() {
    let folder = Folder::new("crash");
    let cache = folder.cache(MIB);
    let mut draft = cache.draft().unwrap();
    draft.write_all(b"half of the co").unwrap();
    // The process ends here: the draft stays.
    drop(draft);
    assert_eq!(found(&cache, "one"), None);
    keep(&cache, "one", b"code");
    assert_eq!(found(&cache, "one").unwrap(), b"code");

    // Or here: the code has its name, and there is no record.
    fs::remove_file(folder.only("facts")).unwrap();
    assert_eq!(found(&cache, "one"), None);
    keep(&cache, "one", b"code");
    assert_eq!(found(&cache, "one").unwrap(), b"code");
}

#[test]
fn what_was_not_used_for_longest_makes_room() {
    let folder = Folder::new("room");
    let cache = folder.cache(MIB);
    let code = vec![7; 300 << 10];
    let used = |source: &str, age| {
        let record = File::open(folder.0.join(key(source).record())).unwrap();
        record.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
        for path in folder.all("code") {
            File::open(path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        }
    };
    for (source, age) in [("one", 300), ("two", 100), ("three", 200)] {
        keep(&cache, source, &code);
        used(source, age);
    }
    keep(&cache, "four", &code);
    let left =
        ["one", "two", "three", "four"].map(|source| folder.0.join(key(source).record()).exists());
    assert_eq!(left, [false, true, true, true]);
    assert!(folder.bytes() <= MIB);
}

#[test]
fn what_a_crash_left_behind_goes_and_what_is_not_ours_stays() {
    let folder = Folder::new("left");
    let cache = folder.cache(MIB);
    let long_ago = SystemTime::now() - Duration::from_secs(7_200);
    for (name, stays) in [("draft-1-2-3", false), ("tmp-1-2-3", false), ("notes.txt", true)] {
        let file = File::create(folder.0.join(name)).unwrap();
        file.set_modified(long_ago).unwrap();
        let _somebody_at_work = cache.draft().unwrap();
        keep(&cache, name, b"code");
        assert_eq!(folder.0.join(name).exists(), stays, "{name}");
        assert!(cache.place.list().unwrap().iter().any(|(name, _)| name.starts_with("draft")));
    }
}

#[test]
fn code_that_is_too_large_to_be_kept_is_still_given_back() {
    let folder = Folder::new("tiny");
    let cache = folder.cache(10);
    assert_eq!(content(&keep(&cache, "one", b"more than ten bytes")), b"more than ten bytes");
    assert_eq!(found(&cache, "one"), None);
    assert_eq!(folder.all("code"), Vec::<PathBuf>::new());
}

#[test]
fn code_that_was_changed_while_it_was_written_is_never_given_back() {
    let folder = Folder::new("meanwhile");
    let cache = folder.cache(MIB);
    let mut draft = cache.draft().unwrap();
    draft.write_all(b"code").unwrap();
    draft.file.write_all_at(b"evil", 0).unwrap();
    cache.keep(&key("one"), &facts("one"), draft).unwrap_err();
    assert_eq!(found(&cache, "one"), None);
}

#[test]
fn many_at_once_find_the_right_code_or_none() {
    let folder = Folder::new("many");
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let folder = &folder;
            scope.spawn(move || {
                // Room for three of the five.
                let cache = folder.cache(200 << 10);
                for round in 0..30 {
                    let number = (round * 7 + thread) % 5;
                    let source = number.to_string();
                    let code = vec![number as u8; 60 << 10];
                    match found(&cache, &source) {
                        Some(bytes) => assert_eq!(bytes, code),
                        None => assert_eq!(content(&keep(&cache, &source, &code)), code),
                    }
                }
            });
        }
    });
}

#[test]
fn the_secret_is_one_for_all_and_nobody_elses() {
    let folder = Folder::new("secret");
    let cache = folder.cache(MIB);
    let secret = cache.secret().unwrap();
    assert_eq!(folder.cache(MIB).secret().unwrap(), secret);
    let key = folder.0.join("key");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    fs::set_permissions(&key, Permissions::from_mode(0o640)).unwrap();
    assert_ne!(cache.secret().unwrap(), secret, "others may have read it");
}
