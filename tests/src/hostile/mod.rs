//! Modules that mean harm, each made by a generator, and how each is to end.
//!
//! A row is rejected, or stopped within its limits; none may reach the host, hang it, or leave anything behind.

mod control;
mod decoration;
mod heap;
mod lines;
mod malformed;
mod memory;
mod smith;
pub mod trial;
mod wasi;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use sandtrap::{ByteSize, Label, Limits, Program, Stdin, Task};

/// What all rows share: little of everything, and time enough for the slowest machine.
const MEMORY: ByteSize = ByteSize::mib(16);
const OUTPUT: ByteSize = ByteSize::kib(256);
const UNHURRIED: Duration = Duration::from_secs(60);

/// The time of a row that would never end.
const SHORT: Duration = Duration::from_millis(100);

/// Pages of a memory that is as large as the limit allows.
const PAGES: u64 = MEMORY.as_u64() / 65_536;

/// One hostile module, or a family of them.
pub struct Row {
    /// What it tries.
    pub name: &'static str,
    /// Makes the modules, as binary or as text.
    pub make: Box<dyn Fn() -> Vec<Vec<u8>> + Send + Sync>,
    /// What they run under.
    pub limits: Limits,
    /// How they are entered.
    pub entry: Way,
    /// The verdicts of which each of them gets one.
    pub labels: Vec<Label>,
    /// The code that a `failed.exit` has.
    pub code: Option<i32>,
}

/// How a module is entered.
#[derive(Clone, Debug)]
pub enum Way {
    /// As a command that finds nothing on its stdin.
    Command,
    /// As a command that reads from a file of the host.
    Reading(PathBuf),
    /// By one export that takes nothing.
    Call(String),
    /// By its first function that takes and returns numbers, with zeros.
    First,
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Row").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Row {
    /// The program of one of the modules.
    pub fn program(&self, module: &[u8]) -> Program {
        Program::module(self.name, module).limits(self.limits.clone())
    }

    /// The task for one of the modules.
    pub fn task(&self, module: &[u8]) -> Task {
        match &self.entry {
            Way::Command => Task::command(["one", "two"]),
            Way::Reading(path) => Task::command(["one"]).stdin(Stdin::File(path.clone())),
            Way::Call(function) => Task::call(function.clone(), []),
            Way::First => smith::first_call(module),
        }
    }

    fn hangs(mut self) -> Self {
        self.limits.wall = SHORT;
        self
    }

    fn exits(mut self, code: i32) -> Self {
        self.code = Some(code);
        self
    }

    fn called(mut self, function: &str) -> Self {
        self.entry = Way::Call(function.to_owned());
        self
    }

    fn reading(mut self, path: &str) -> Self {
        self.entry = Way::Reading(path.into());
        self
    }

    fn with(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.limits);
        self
    }
}

/// A row of several modules, each of which ends in one of these ways.
fn family(
    name: &'static str,
    labels: &[Label],
    make: impl Fn() -> Vec<Vec<u8>> + Send + Sync + 'static,
) -> Row {
    let limits = Limits {
        memory: MEMORY,
        wall: UNHURRIED,
        cpu: UNHURRIED,
        output: OUTPUT,
        result: OUTPUT,
        ..Limits::default()
    };
    let (make, labels) = (Box::new(make), labels.to_vec());
    Row { name, make, limits, entry: Way::Command, labels, code: None }
}

/// A row of one module made of bytes.
fn bytes(
    name: &'static str,
    label: Label,
    make: impl Fn() -> Vec<u8> + Send + Sync + 'static,
) -> Row {
    family(name, &[label], move || vec![make()])
}

/// A row of one module written as a text.
fn text(name: &'static str, label: Label, body: impl Into<String>) -> Row {
    let module = format!("(module {})", body.into());
    bytes(name, label, move || module.clone().into_bytes())
}

/// A row of one module whose `_start` does this.
fn start(name: &'static str, label: Label, body: &str) -> Row {
    text(name, label, format!("(memory (export \"memory\") 1) (func (export \"_start\") {body})"))
}

/// Every hostile module there is.
pub fn table() -> Vec<Row> {
    [
        memory::rows(),
        heap::rows(),
        control::rows(),
        decoration::rows(),
        lines::rows(),
        malformed::rows(),
        wasi::rows(),
        wasi::channel_rows(),
        smith::rows(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
