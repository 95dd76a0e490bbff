//! From a module to machine code: what a compiler is asked for, what it gives, and the one that both this process
//! and a confined one run.
//!
//! What comes out is one stream: the length of a heading, the heading (JSON), then the code as the engine stores
//! it. The same stream comes from a function of this process and from the stdout of another one, so whoever takes
//! it in need not know.

use std::fs::File;
use std::hash::{Hash as _, Hasher};
use std::io::{self, Read as _, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use wasmparser::Parser;
use wasmtime::{Engine, Module};

use crate::evidence::Step;
use crate::isolation::{LoadError, StopHandle};
use crate::quantity::show_duration;
use crate::trust::CompileLimits;

use super::bounds::{self, Early};
use super::component_parts::Parts;
use super::engines::{self, Configuration};
use super::entrance::cut;
use super::expose;
use super::features;
use super::own_stack::OwnStack;
use super::pool::Memory;
use super::shape::Shape;
use super::source;

/// Changes with everything that is kept about compiled code, so that no version reads what another one wrote.
const FORMAT: &str = concat!("sandtrap ", env!("CARGO_PKG_VERSION"), ", format 5");

/// How much of the engine's words a message shows: names of the module stand in them.
const LONGEST_MESSAGE: usize = 400;

/// The most that is said about what is wrong with a module. Names in it can be very long.
const LONGEST_FAULT: usize = 1000;

/// Compiles what an order says. Neither knows what kind of thing the bytes are: a module, or something newer.
pub(crate) trait Compiler: Send + Sync {
    /// Writes the stream to `out`, or says why there is none.
    fn compile(&self, order: &Order<'_>, out: &mut dyn Write) -> Result<(), NotCompiled>;
}

/// What is to be compiled, for which engine, and under what.
pub(crate) struct Order<'a> {
    /// How reports call it.
    pub(crate) name: &'a str,
    pub(crate) material: Material<'a>,
    pub(crate) configuration: Configuration,
    pub(crate) limits: &'a CompileLimits,
    pub(crate) stop: &'a StopHandle,
    /// When loading it began: its wall time counts from here.
    pub(crate) began: Instant,
}

/// Where the bytes are.
pub(crate) enum Material<'a> {
    /// In a file that stands at its beginning.
    File(&'a File),
    Memory(&'a Arc<[u8]>),
}

/// Why there is no code.
#[derive(Debug)]
pub(crate) enum NotCompiled {
    /// The program can't be loaded.
    Refused(LoadError),
    /// Nothing is known of the program: there was no confined process to compile it in, and why.
    Unconfined(String),
}

impl From<LoadError> for NotCompiled {
    fn from(error: LoadError) -> Self {
        Self::Refused(error)
    }
}

/// What stands before the code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Heading {
    /// For which engine the code is.
    pub(super) engine: String,
    /// What is known of the module, or what is wrong with it.
    pub(super) outcome: Result<Facts, String>,
}

/// What is to be known of compiled code without looking at what it was compiled from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// The hash of the bytes that were compiled, as the compiler itself read them.
    pub(super) source: String,
    pub(super) kind: Kind,
}

/// What was compiled, and what is known of that kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Kind {
    Module(Shape),
    Component(Parts),
}

impl Kind {
    /// Whether only a dump of a dead guest shows its stack pointer.
    pub(super) fn needs_dump(&self) -> bool {
        match self {
            Self::Module(shape) => {
                matches!(shape.stack, OwnStack::Known(_)) && shape.moved.is_none()
            }
            Self::Component(_) => true,
        }
    }
}

/// Compiles bytes and writes the stream. Only writing can fail: what is wrong with the bytes is in the heading.
pub(crate) fn compile(
    bytes: &[u8],
    configuration: Configuration,
    out: &mut dyn Write,
) -> io::Result<()> {
    let engine = engines::for_compiling(configuration).map_err(io::Error::other)?;
    let compiled = code_of(bytes, &engine);
    let (outcome, code) = match compiled {
        Ok((facts, code)) => (Ok(facts), code),
        Err(fault) => (Err(fault.chars().take(LONGEST_FAULT).collect()), Vec::new()),
    };
    Heading { engine: fingerprint(&engine), outcome }.write(out)?;
    out.write_all(&code)?;
    out.flush()
}

impl Heading {
    /// Writes it as it stands before the code.
    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let heading = serde_json::to_vec(self)?;
        let length = u32::try_from(heading.len()).map_err(io::Error::other)?;
        out.write_all(&length.to_le_bytes())?;
        out.write_all(&heading)
    }
}

fn code_of(bytes: &[u8], engine: &Engine) -> Result<(Facts, Vec<u8>), String> {
    let binary = source::binary(bytes)?;
    // Whoever ordered this has looked, too; but not into a text, and a file may be another one by now.
    within_bounds(&binary)?;
    let (kind, code) = match Parser::is_component(&binary) {
        true => component_code(&binary, engine)?,
        false => module_code(&binary, engine)?,
    };
    let source = blake3::hash(bytes).to_string();
    Ok((Facts { source, kind }, code))
}

fn module_code(binary: &[u8], engine: &Engine) -> Result<(Kind, Vec<u8>), String> {
    let invalid = |error: &str| features::fault("module", binary, &first_lines(error));
    // The engine validates each function just before it compiles it: a mistake in the last one would be found last.
    Module::validate(engine, binary).map_err(|error| invalid(&format!("{error:#}")))?;
    let shape = Shape::of(binary).map_err(|error| invalid(&error.to_string()))?;
    if shape.shares_memory {
        let fault = "declares a memory to share between threads; build it for a single thread";
        return Err(fault.into());
    }
    let mut shape = shape;
    let exposed = expose(binary, &mut shape);
    let code = engine
        .precompile_module(exposed.as_deref().unwrap_or(binary))
        .map_err(|error| invalid(&format!("{error:#}")))?;
    Ok((Kind::Module(shape), code))
}

/// The module with its own stack pointer exported, if it has one that its host will look at.
fn expose(binary: &[u8], shape: &mut Shape) -> Option<Vec<u8>> {
    let OwnStack::Known(pointer) = shape.stack else { return None };
    // What runs while the instance is made can't be asked for its exports.
    if shape.has_start {
        return None;
    }
    let exposed = expose::with_pointer(binary, pointer.global)?;
    shape.moved = Some(exposed.len() - binary.len());
    Some(exposed)
}

fn component_code(binary: &[u8], engine: &Engine) -> Result<(Kind, Vec<u8>), String> {
    let parts = Parts::of(binary).map_err(|error| format!("is not a valid component: {error}"))?;
    // Before it is compiled: the compiler follows every instance, too.
    parts.check()?;
    let code = engine.precompile_component(binary).map_err(|error| {
        features::fault("component", binary, &first_lines(&format!("{error:#}")))
    })?;
    Ok((Kind::Component(parts), code))
}

/// Whether its shape is one that is compiled, or what of it is too much.
pub(super) fn within_bounds(binary: &[u8]) -> Result<(), String> {
    match bounds::check(&mut &*binary) {
        Err(Early::TooMuch(words)) => Err(beyond_bounds(&words)),
        Ok(()) | Err(Early::Broken | Early::Unreadable(_)) => Ok(()),
    }
}

/// What is said of a shape that is not compiled.
pub(super) fn beyond_bounds(words: &str) -> String {
    format!("is not compiled: it has {words}")
}

/// What compiling may use is too little for this module; `limit` says what became of it.
pub(crate) fn too_small(name: &str, limit: &str) -> LoadError {
    let detail = format!(
        "compiling `{name}` {limit}; raise what compiling may use, or load it as your own code"
    );
    LoadError::at(Step::FitLimits, detail)
}

/// The time for compiling it is over.
pub(crate) fn out_of_time(wall: Duration) -> String {
    format!("was stopped: wall time limit of {}", show_duration(wall))
}

/// The engine's message, as far as it says what is wrong; what follows is a picture of the place.
pub(super) fn first_lines(message: &str) -> String {
    let lines = message.lines().map(str::trim).filter(|line| !line.is_empty());
    cut(&lines.take(2).collect::<Vec<_>>().join(" "), LONGEST_MESSAGE).into_owned()
}

/// Names the engines that may run what one of them compiled, for this version of this program.
pub(super) fn fingerprint(engine: &Engine) -> String {
    let mut digest = Digest(blake3::Hasher::new());
    digest.0.update(FORMAT.as_bytes());
    engine.precompile_compatibility_hash().hash(&mut digest);
    digest.0.finalize().to_string()
}

/// Hashes what only knows how to be hashed into 64 bits.
struct Digest(blake3::Hasher);

impl Hasher for Digest {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let mut first = [0; 8];
        first.copy_from_slice(&self.0.finalize().as_bytes()[..8]);
        u64::from_le_bytes(first)
    }
}

/// Compiles in this process, without bounds.
#[derive(Debug)]
pub(super) struct InProcess;

impl Compiler for InProcess {
    fn compile(&self, order: &Order<'_>, out: &mut dyn Write) -> Result<(), NotCompiled> {
        let read;
        let bytes = match order.material {
            Material::File(file) => {
                read = read_all(file, order).map_err(|error| {
                    let detail = format!("cannot read `{}`: {error}", order.name);
                    LoadError::at(Step::Execute, detail)
                })?;
                &read[..]
            }
            Material::Memory(bytes) => bytes,
        };
        compile(bytes, order.configuration, out).map_err(|error| no_room(&error).into())
    }
}

fn read_all(file: &File, order: &Order<'_>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(order.limits.module.as_u64()).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The host has no room for compiled code.
pub(super) fn no_room(error: &io::Error) -> LoadError {
    let detail = format!("there is no room for the compiled code: {error}");
    LoadError::at(Step::Reserve, detail).with_errno(error.raw_os_error())
}

impl Configuration {
    /// As arguments of another process.
    pub(crate) fn arguments(self) -> Vec<String> {
        [self.stack.to_string(), self.counts_fuel.to_string(), self.is_deterministic.to_string()]
            .into()
    }

    /// And back.
    pub(crate) fn from_arguments(arguments: &[String]) -> Option<Self> {
        let [stack, counts_fuel, is_deterministic] = arguments else { return None };
        Some(Self {
            stack: stack.parse().ok()?,
            counts_fuel: counts_fuel.parse().ok()?,
            is_deterministic: is_deterministic.parse().ok()?,
            // Nothing is run where it is compiled.
            memory: Memory::OnDemand,
            dumps: false,
        })
    }
}
