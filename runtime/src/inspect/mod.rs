//! The door's other question: what is this file? Nothing of it is run or compiled.

mod executable;

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::path::Path;

use crate::error::Error;
use crate::evidence::Step;
use crate::inspection::{Inspection, Obstacle, ProgramKind, SCHEMA, ScriptFacts};
use crate::isolation::LoadError;
use crate::task::Wall;
use crate::wasm;

const MODULE: &[u8] = b"\0asm";
const ELF: &[u8] = b"\x7fELF";

/// What precompiled modules carry as the system they are for, at this place of the header.
const PRECOMPILED: (usize, u8) = (7, 200);

/// As much as is read of a file that is to be understood as a whole. The loader refuses more.
const MOST_BYTES: u64 = 128 << 20;

/// The longest first line of a script that the kernel reads.
const LONGEST_LINE: usize = 256;

/// Says what a file is and what it would need, and runs nothing of it.
///
/// An error is a file that can't be read. One that can be read and not be run is no error: its
/// [`obstacle`](Inspection::obstacle) says why.
///
/// ```
/// let found = sandtrap::inspect("/bin/sh")?;
/// assert_eq!(found.wall, Some("native"));
/// assert_eq!(found.obstacle, None);
/// # Ok::<(), sandtrap::Error>(())
/// ```
pub fn inspect(path: impl AsRef<Path>) -> Result<Inspection, Error> {
    let path = path.as_ref();
    let (file, metadata) = open(path)?;
    let mut bytes = Vec::new();
    let most = MOST_BYTES + 1;
    (&file).take(8).read_to_end(&mut bytes).map_err(|error| unreadable(path, &error))?;
    let found = Inspection {
        schema: SCHEMA,
        program: path.display().to_string(),
        kind: ProgramKind::Other,
        bytes: metadata.len(),
        wall: None,
        obstacle: None,
        needs: Vec::new(),
        serves: false,
        module: None,
        component: None,
        executable: None,
        script: None,
    };
    // What is called a module is taken for one, whatever is in it.
    let is_named = crate::runtime::looks_like_module(path);
    if bytes.starts_with(ELF) && !is_precompiled(&bytes) && !is_named {
        return Ok(native(found, file, &metadata));
    }
    (&file).take(most).read_to_end(&mut bytes).map_err(|error| unreadable(path, &error))?;
    if bytes.starts_with(b"#!") && !is_named {
        return Ok(script(found, &bytes, &metadata));
    }
    if is_named || starts_as_module(&bytes) {
        return Ok(module(found, &bytes));
    }
    Ok(stranger(found, &bytes))
}

fn open(path: &Path) -> Result<(File, Metadata), LoadError> {
    // Asked before it is opened: to open a pipe would wait for a writer.
    let metadata = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if !metadata.is_file() {
        let kind = if metadata.is_dir() { "a directory" } else { "a pipe or a device" };
        let detail = format!("`{}` is {kind}; name a program", path.display());
        return Err(LoadError::at(Step::Execute, detail));
    }
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    Ok((file, metadata))
}

fn unreadable(path: &Path, error: &io::Error) -> LoadError {
    let step = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Step::Find,
        _ => Step::Execute,
    };
    LoadError::at(step, format!("cannot read `{}`: {error}", path.display()))
        .with_errno(error.raw_os_error())
}

/// Whether a file is meant for the Wasm wall, whatever it is called.
fn starts_as_module(bytes: &[u8]) -> bool {
    bytes.starts_with(MODULE)
        || is_precompiled(bytes)
        || (!bytes.is_empty() && MODULE.starts_with(bytes))
}

fn is_precompiled(bytes: &[u8]) -> bool {
    let (at, system) = PRECOMPILED;
    bytes.starts_with(ELF) && bytes.get(at) == Some(&system)
}

fn native(mut found: Inspection, file: File, metadata: &Metadata) -> Inspection {
    let Some(native) = executable::look(file, may_execute(metadata)) else {
        found.kind = ProgramKind::Truncated;
        let fault = "begins as a native executable and is cut off or damaged";
        return hindered(found, Step::Execute, fault);
    };
    found.kind = if native.is_program { ProgramKind::Executable } else { ProgramKind::Binary };
    found.needs = native.needs;
    let fault = match native.is_program {
        true => executable::fault(&native.facts).or_else(|| permission(metadata, &found.program)),
        false => Some(format!("is no program but a native {}", native.facts.kind)),
    };
    found.executable = Some(native.facts);
    if native.is_program {
        found.wall = Some(Wall::Native.name());
        found.serves = true;
    }
    match fault {
        Some(fault) => hindered(found, Step::Execute, &fault),
        None => found,
    }
}

fn script(mut found: Inspection, bytes: &[u8], metadata: &Metadata) -> Inspection {
    (found.kind, found.serves) = (ProgramKind::Script, true);
    found.wall = Some(Wall::Native.name());
    let line = bytes[2..].split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(&line[..line.len().min(LONGEST_LINE)]).trim().to_owned();
    let (interpreter, argument) = match line.split_once([' ', '\t']) {
        Some((interpreter, rest)) => (interpreter.to_owned(), Some(rest.trim().to_owned())),
        None => (line, None),
    };
    let fault = if Path::new(&interpreter).is_file() {
        permission(metadata, &found.program)
    } else {
        Some(format!("asks for the interpreter `{interpreter}`, which is not here"))
    };
    let has_permission = may_execute(metadata);
    found.script = Some(ScriptFacts { interpreter, argument, has_permission });
    match fault {
        Some(fault) => hindered(found, Step::Execute, &fault),
        None => found,
    }
}

fn module(mut found: Inspection, bytes: &[u8]) -> Inspection {
    let looked = wasm::inspect::look(&found.program, bytes);
    found.wall = Some(Wall::Wasm.name());
    found.kind = if bytes.is_empty() {
        ProgramKind::Empty
    } else if is_precompiled(bytes) {
        ProgramKind::Precompiled
    } else if looked.is_cut_off || MODULE.starts_with(bytes) {
        ProgramKind::Truncated
    } else if looked.component.is_some() {
        ProgramKind::Component
    } else if looked.module.is_some() {
        ProgramKind::Module
    } else {
        ProgramKind::Other
    };
    found.module = looked.module;
    found.component = looked.component;
    found.needs = looked.needs;
    found.serves = looked.serves;
    found.obstacle = looked.obstacle.map(obstacle);
    found
}

/// A file that is neither: what it is, as far as its first bytes tell.
fn stranger(mut found: Inspection, bytes: &[u8]) -> Inspection {
    if bytes.is_empty() {
        found.kind = ProgramKind::Empty;
        return hindered(found, Step::Execute, "is empty");
    }
    let fault = match bytes {
        [b'M', b'Z', ..] => "is a program for Windows".to_owned(),
        [0xcf, 0xfa, 0xed, 0xfe, ..] | [0xca, 0xfe, 0xba, 0xbe, ..] => {
            "is a program for another system".to_owned()
        }
        _ if std::str::from_utf8(bytes).is_ok() => {
            "is a text; a script begins with `#!` and its interpreter, and a text module is named `.wat`"
                .to_owned()
        }
        _ => {
            let first: Vec<String> =
                bytes.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
            let first = first.join(" ");
            format!("is neither a module nor a native executable: it begins with {first}")
        }
    };
    hindered(found, Step::Execute, &fault)
}

fn hindered(mut found: Inspection, step: Step, fault: &str) -> Inspection {
    let detail = format!("`{}` {fault}", found.program);
    found.obstacle = Some(obstacle(LoadError::at(step, detail)));
    found
}

/// In the words of the verdict that a task of this program would have.
fn obstacle(error: LoadError) -> Obstacle {
    let error = Error::from(error);
    Obstacle { label: error.verdict().label().as_str(), detail: error.to_string() }
}

fn permission(metadata: &Metadata, program: &str) -> Option<String> {
    let hint = || format!("has no permission to be executed; try `chmod +x {program}`");
    (!may_execute(metadata)).then(hint)
}

#[cfg(unix)]
fn may_execute(metadata: &Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.permissions().mode() & 0o111 != 0
}

#[cfg(not(unix))]
fn may_execute(_: &Metadata) -> bool {
    true
}
