//! Where the guests are, built and as source.

use std::path::{Path, PathBuf};

use sandtrap::Wall;

const NATIVE: &str = env!("GUESTS_NATIVE");
const MUSL: &str = env!("GUESTS_MUSL");
const WASM: &str = env!("GUESTS_WASM");
const COMPONENT: &str = env!("GUESTS_COMPONENT");
const SOURCE: &str = env!("GUESTS_SOURCE");

/// The forms in which a guest from Rust is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A native executable.
    Process,
    /// A core module.
    Module,
    /// A component.
    Component,
}

impl Form {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Process, Self::Module, Self::Component];

    /// The wall that it stands behind.
    pub fn wall(self) -> Wall {
        match self {
            Self::Process => Wall::Native,
            Self::Module | Self::Component => Wall::Wasm,
        }
    }

    /// A guest in this form.
    pub fn guest(self, name: &str) -> PathBuf {
        match self {
            Self::Process => native(name),
            Self::Module => wasm(name),
            Self::Component => component(name),
        }
    }
}

/// A guest built for the native wall.
pub fn native(name: &str) -> PathBuf {
    Path::new(NATIVE).join(name)
}

/// A guest of `natives` built against musl, where this machine could build it.
pub fn musl(name: &str) -> Option<PathBuf> {
    (!MUSL.is_empty()).then(|| Path::new(MUSL).join(name))
}

/// The folder with the victims' sources in C.
pub fn c_sources() -> PathBuf {
    Path::new(SOURCE).join("natives/c")
}

/// A guest built for the wasm wall: from Rust, or one of the modules written by hand.
pub fn wasm(name: &str) -> PathBuf {
    let built = Path::new(WASM).join(format!("{name}.wasm"));
    if built.exists() { built } else { module(name) }
}

/// A guest built as a component for the wasm wall.
pub fn component(name: &str) -> PathBuf {
    Path::new(COMPONENT).join(format!("{name}.wasm"))
}

/// A module written by hand, as text or as bytes.
pub fn module(name: &str) -> PathBuf {
    let folder = Path::new(SOURCE).join("modules");
    let text = folder.join(format!("{name}.wat"));
    if text.exists() { text } else { folder.join(format!("{name}.wasm")) }
}

/// The names of all guests in one of the folders `samples`, `crashers`, `natives` and `modules`.
pub fn names(folder: &str) -> Vec<String> {
    let folder = Path::new(SOURCE).join(folder);
    let sources = if folder.join("src/bin").is_dir() { folder.join("src/bin") } else { folder };
    let entries = std::fs::read_dir(&sources).unwrap_or_else(|error| {
        panic!("the guests in {} cannot be listed: {error}", sources.display())
    });
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.path().file_stem()?.to_str().map(str::to_owned))
        .collect();
    names.sort();
    names
}

/// The source of every guest in a folder, with its path.
pub fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let folder = Path::new(SOURCE).join(folder);
    let sources = if folder.join("src/bin").is_dir() { folder.join("src/bin") } else { folder };
    let Ok(entries) = std::fs::read_dir(sources) else { return Vec::new() };
    let is_text = |path: &Path| path.extension().is_some_and(|ext| ext == "rs" || ext == "wat");
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| is_text(path))
        .filter_map(|path| {
            let text = std::fs::read_to_string(&path).ok()?;
            Some((path, text))
        })
        .collect()
}
