//! The victims in each form in which programs come: two languages, two C libraries.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::guests;

/// One built victim.
#[derive(Debug)]
pub struct Build {
    /// What it was built with.
    pub name: &'static str,
    /// The executable.
    pub path: PathBuf,
    /// The causes that it knows.
    pub causes: BTreeSet<String>,
}

/// What was built, and what could not be, in words.
#[derive(Debug)]
pub struct Builds {
    /// In a fixed order.
    pub built: Vec<Build>,
    /// One line for each form that this machine can't build.
    pub skipped: Vec<String>,
    /// Where those in C are.
    _folder: tempfile::TempDir,
}

/// How C is compiled: with symbols, and without probing stacks, as most programs are.
const C_FLAGS: [&str; 5] = ["-O1", "-g", "-w", "-fno-stack-clash-protection", "-lpthread"];

impl Builds {
    /// Builds those in C; those in Rust were built with this kit.
    pub fn make() -> Self {
        let folder = tempfile::tempdir().expect("a folder for the victims");
        let (mut built, mut skipped) = (Vec::new(), Vec::new());
        let mut take = |made: Result<(&'static str, PathBuf), String>| match made {
            Ok((name, path)) => {
                let causes = causes_of(&path);
                built.push(Build { name, path, causes });
            }
            Err(why) => skipped.push(why),
        };
        take(compile(folder.path(), "C glibc", "cc", &[]));
        let musl = compile(folder.path(), "C musl", "musl-gcc", &["-static"]);
        let has_musl = musl.is_ok();
        take(musl);
        if !has_musl {
            take(compile(folder.path(), "C glibc static", "cc", &["-static"]));
        }
        take(Ok(("Rust glibc", guests::native("victim"))));
        take(guests::musl("victim").map(|path| ("Rust musl", path)).ok_or_else(|| {
            "Rust musl: `rustup target add x86_64-unknown-linux-musl` installs what it needs"
                .to_owned()
        }));
        Self { built, skipped, _folder: folder }
    }
}

fn compile(
    folder: &Path,
    name: &'static str,
    compiler: &str,
    flags: &[&str],
) -> Result<(&'static str, PathBuf), String> {
    let path = folder.join(name.replace(' ', "-"));
    let sources = guests::c_sources();
    let files = std::fs::read_dir(&sources).map_err(|error| format!("{name}: {error}"))?;
    let files = files
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "c"));
    let output = Command::new(compiler)
        .args(files)
        .args(C_FLAGS)
        .args(flags)
        .arg("-o")
        .arg(&path)
        .output()
        .map_err(|error| format!("{name}: there is no `{compiler}` here ({error})"))?;
    match output.status.success() {
        true => Ok((name, path)),
        false => Err(format!("{name}: `{compiler}` says: {}", first_line(&output.stderr))),
    }
}

fn first_line(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).lines().next().unwrap_or_default().to_owned()
}

/// Without an argument a victim lists what it knows.
fn causes_of(path: &Path) -> BTreeSet<String> {
    let listed = Command::new(path).output().expect("a victim that was built can be run");
    String::from_utf8_lossy(&listed.stdout).lines().map(str::to_owned).collect()
}
