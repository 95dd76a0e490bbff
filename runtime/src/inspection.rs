//! What a program is, found out without running anything of it.
//!
//! Plain facts, in the shape in which they are written as JSON: names of fields are public, and only added to.

use serde::Serialize;

use crate::quantity::ByteSize;

/// The version of the object's shape.
pub(crate) const SCHEMA: u32 = 1;

/// What was found out about one program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// The version of this shape.
    pub schema: u32,
    /// The file, as it was named.
    pub program: String,
    /// What the file is.
    pub kind: ProgramKind,
    /// The size of the file.
    pub bytes: u64,
    /// The wall behind which it would run: `wasm` or `native`. `None` where there is none for it.
    pub wall: Option<&'static str>,
    /// Why it would not start, where that is known already.
    pub obstacle: Option<Obstacle>,
    /// What of the world it asks for.
    pub needs: Vec<Need>,
    /// Whether functions of it can be called with values: any process may have some, and a component; a module that imports
    /// what it would hear such a call by.
    pub serves: bool,
    /// The facts of a module.
    pub module: Option<ModuleFacts>,
    /// The facts of a component.
    pub component: Option<ComponentFacts>,
    /// The facts of an executable.
    pub executable: Option<ExecutableFacts>,
    /// The facts of a script.
    pub script: Option<ScriptFacts>,
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProgramKind {
    /// A WebAssembly module.
    Module,
    /// A WebAssembly component.
    Component,
    /// A module that was compiled ahead of time.
    Precompiled,
    /// A native program.
    Executable,
    /// A native file that is no program by itself: a library, an object file, a dump.
    Binary,
    /// A text that names its interpreter in its first line.
    Script,
    /// A file without content.
    Empty,
    /// The beginning of a module, of a text module or of a native executable, and no more.
    Truncated,
    /// Anything else.
    Other,
}

/// Why a program would not start, in the words and with the label of the verdict it would get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Obstacle {
    /// The label of that verdict.
    pub label: &'static str,
    /// What is wrong, and what to do.
    pub detail: String,
}

/// One thing of the world that a program asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Need {
    /// What it is.
    pub what: Resource,
    /// How it is had.
    pub grant: Grant,
    /// The imports that ask for it.
    pub asked_by: Vec<String>,
}

/// The things of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resource {
    /// Its own arguments.
    Arguments,
    /// Its standard streams.
    Streams,
    /// Clocks and timers.
    Clocks,
    /// Random numbers.
    Randomness,
    /// Variables of the environment.
    Environment,
    /// Files and directories.
    Files,
    /// The network.
    Network,
    /// Other processes.
    Processes,
    /// The channel to its host.
    Channel,
}

/// How a thing of the world is had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grant {
    /// Every guest behind this wall has it.
    Always,
    /// Only what is granted by name; the calls are there, and find nothing.
    ByName,
    /// No guest behind this wall can have it.
    Never,
}

/// The facts of a module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ModuleFacts {
    /// Whether the file is the text form.
    pub is_text: bool,
    /// How it is meant to be used.
    pub role: Role,
    /// What it imports, by the module it is imported from.
    pub imports: Vec<ImportGroup>,
    /// What it exports.
    pub exports: Vec<Item>,
    /// Its memories.
    pub memories: Vec<MemoryFacts>,
    /// Its tables.
    pub tables: Vec<TableFacts>,
    /// How many functions it defines.
    pub functions: u64,
    /// The largest of them.
    pub largest_function: Option<FunctionFacts>,
    /// Bytes of code.
    pub code_bytes: u64,
    /// Segments of data.
    pub data_segments: u64,
    /// Bytes in them.
    pub data_bytes: u64,
    /// The stack that it keeps in its memory, where it has one that can be found.
    pub stack: Option<StackFacts>,
    /// The least `--memory` with which it starts.
    pub least_memory_bytes: u64,
    /// Whether something runs by itself when it is instantiated.
    pub has_start: bool,
    /// Its custom sections.
    pub custom_sections: Vec<SectionFacts>,
    /// What made it, as it says itself.
    pub producers: Vec<String>,
    /// The features its compiler was told to use, as it says itself.
    pub target_features: Vec<String>,
    /// What it uses beyond the first version of WebAssembly.
    pub uses: Vec<String>,
    /// Whether its functions have names.
    pub has_names: bool,
    /// Whether it carries its places in the source (DWARF).
    pub has_debug_info: bool,
}

/// How a module or component is meant to be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// It runs from its beginning to its end.
    Command,
    /// It is made ready once, and then called.
    Reactor,
    /// It answers requests over HTTP.
    HttpHandler,
    /// Its exports are called.
    #[default]
    Plain,
}

/// What is imported from one module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImportGroup {
    /// The name of that module.
    pub module: String,
    /// The imports.
    pub items: Vec<Import>,
}

/// One import.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Import {
    /// What it is.
    #[serde(flatten)]
    pub item: Item,
    /// Whether it is offered here, with this type.
    pub offered: bool,
}

/// Something with a name and a type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Item {
    /// Its name.
    pub name: String,
    /// What it is: `func`, `memory`, `table`, `global`, `tag`; of a component also `instance` and others.
    pub kind: &'static str,
    /// Its type, as it is written in texts.
    #[serde(rename = "type")]
    pub ty: String,
}

/// One memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MemoryFacts {
    /// Bytes at the start.
    pub minimum_bytes: u64,
    /// The bytes it may grow to. `None` where it says nothing.
    pub maximum_bytes: Option<u64>,
    /// Whether it has 64-bit addresses.
    pub is_64_bit: bool,
    /// Whether threads share it.
    pub is_shared: bool,
    /// Whether it is imported.
    pub is_imported: bool,
}

/// One table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TableFacts {
    /// What it holds.
    pub element: String,
    /// Elements at the start.
    pub minimum: u64,
    /// The elements it may grow to. `None` where it says nothing.
    pub maximum: Option<u64>,
    /// Whether it is imported.
    pub is_imported: bool,
}

/// One function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FunctionFacts {
    /// Its index, imports counted.
    pub index: u32,
    /// Its name, where it has one.
    pub name: Option<String>,
    /// Bytes of its code.
    pub bytes: u64,
}

/// A stack in linear memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct StackFacts {
    /// Where it begins; it grows downwards.
    pub top: u64,
    /// How much there is at most before it meets data. `None` where the data are a picture of a memory that was
    /// in use already, the stack's own part included.
    pub most_bytes: Option<u64>,
}

/// One custom section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SectionFacts {
    /// Its name.
    pub name: String,
    /// Its size.
    pub bytes: u64,
}

/// The facts of a component.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ComponentFacts {
    /// How it is meant to be used.
    pub role: Role,
    /// What it imports.
    pub imports: Vec<Item>,
    /// What it exports.
    pub exports: Vec<Item>,
    /// The modules within it, with their facts.
    pub modules: Vec<ModuleFacts>,
    /// How many components stand within it.
    pub components: u64,
    /// The memories of its modules at the start, together.
    pub least_memory_bytes: u64,
    /// What made it, as it says itself.
    pub producers: Vec<String>,
    /// Its custom sections.
    pub custom_sections: Vec<SectionFacts>,
}

/// The facts of a native program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExecutableFacts {
    /// The file's form: `ELF 64-bit`.
    pub format: &'static str,
    /// What it is: an executable, a library, an object file, a dump.
    pub kind: &'static str,
    /// The processor it is for.
    pub architecture: String,
    /// Whether it brings everything with it.
    pub is_static: bool,
    /// Whether it can be loaded anywhere in memory.
    pub is_position_independent: bool,
    /// The program that loads it.
    pub interpreter: Option<String>,
    /// The libraries it names.
    pub libraries: Vec<String>,
    /// Whether the file may be executed.
    pub has_permission: bool,
    /// Whether it has a table of its symbols.
    pub has_symbols: bool,
    /// Whether it carries its places in the source (DWARF).
    pub has_debug_info: bool,
}

/// The facts of a script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ScriptFacts {
    /// The program that reads it.
    pub interpreter: String,
    /// What that is told besides.
    pub argument: Option<String>,
    /// Whether the file may be executed.
    pub has_permission: bool,
}

impl ProgramKind {
    /// The words for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Module => "WebAssembly module",
            Self::Component => "WebAssembly component",
            Self::Precompiled => "precompiled module",
            Self::Executable => "native executable",
            Self::Binary => "native file that is no program",
            Self::Script => "script",
            Self::Empty => "empty file",
            Self::Truncated => "truncated file",
            Self::Other => "file of another kind",
        }
    }
}

impl Resource {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Arguments => "arguments",
            Self::Streams => "streams",
            Self::Clocks => "clocks",
            Self::Randomness => "randomness",
            Self::Environment => "environment",
            Self::Files => "files",
            Self::Network => "network",
            Self::Processes => "processes",
            Self::Channel => "channel",
        }
    }
}

impl Role {
    /// The words for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Reactor => "reactor",
            Self::HttpHandler => "HTTP handler",
            Self::Plain => "plain",
        }
    }
}

impl ModuleFacts {
    /// The least memory with which it starts.
    pub fn least_memory(&self) -> ByteSize {
        ByteSize::bytes(self.least_memory_bytes)
    }
}
