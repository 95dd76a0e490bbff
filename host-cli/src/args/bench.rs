//! `sandtrap bench`: what is compared, how long, and where it is shown.

use std::ffi::OsString;
use std::path::PathBuf;

use sandtrap::Value;

use super::{PolicyArgs, values};

pub(crate) const EXAMPLE: &str = "\
Examples:
  sandtrap bench ./parser parser.wasm -- input.txt
  sandtrap bench ./pictures --function resize --input @order.json --crash 'resize={}' --html bench.html
  sandtrap bench math.wasm --function add --arg i32:2 --arg i32:40 --quick";

pub(crate) const MEASURES: &str = "\
One guest, in both its forms: a process and a module of the same source. If only one is named, the other one is
looked for beside it (`parser` and `parser.wasm`) and where cargo puts it (`target/release/parser` and
`target/wasm32-wasip1/release/parser.wasm`). Nothing is built.

Modes: native fresh, native fork, native warm, wasm fresh, wasm warm. One that this guest can't do is left out, with the reason.
For each: a call after another, the calls in a second, memory, the start, a payload, many guests at once, and a call
that crashes together with the next one. All modes have their turn in every round. The ratio is the worse one of
the least and of the median.

Exit code: 0 if there are figures, 1 if the guest could be run in no mode, 2 wrong usage, 125 sandtrap's own failure.";

#[derive(Debug, clap::Args)]
#[command(override_usage = "sandtrap bench [OPTIONS] <GUEST>... [-- ARGS]...")]
pub(crate) struct BenchArgs {
    /// The guest: its process, its module, or both
    #[arg(required_unless_present = "show_policy", num_args = 1..=2, value_name = "GUEST")]
    pub(crate) guests: Vec<PathBuf>,

    /// What the guest is started with each time, if no function is named
    #[arg(last = true, value_name = "ARGS", conflicts_with_all = ["function", "input", "arguments"])]
    pub(crate) args: Vec<OsString>,

    /// Call this function, or this export of a plain module [default: run the whole program]
    #[arg(long, value_name = "NAME")]
    pub(crate) function: Option<String>,

    /// What the function is given: JSON, `@FILE` with JSON in it, or `-` for JSON on stdin [default: null]
    #[arg(long, value_name = "JSON|@FILE|-", allow_hyphen_values = true, requires = "function")]
    pub(crate) input: Option<OsString>,

    /// For an export: one argument as TYPE:NUMBER; once for each, in order
    #[arg(long = "arg", value_name = "TYPE:NUMBER", value_parser = values::argument)]
    #[arg(conflicts_with = "input", requires = "function")]
    pub(crate) arguments: Vec<Value>,

    /// A function that gives back the bytes that it is given, for the cost of payload
    #[arg(long, value_name = "NAME", default_value = "echo")]
    pub(crate) echo: String,

    /// How the guest is made to crash: a function and its input, or the arguments of the program, with spaces
    /// between them [default: a guest of sandtrap's own crashes in its place]
    #[arg(long, value_name = "NAME[=JSON]|ARGS", allow_hyphen_values = true)]
    pub(crate) crash: Option<String>,

    /// Rounds in which every mode has its turn [default: 5, or 3 with --quick]
    #[arg(long, value_name = "COUNT", value_parser = values::count, allow_hyphen_values = true)]
    pub(crate) rounds: Option<u32>,

    /// Take some seconds only: shorter turns, fewer sizes
    #[arg(long)]
    pub(crate) quick: bool,

    /// Measure no guard and no limit by itself
    #[arg(long)]
    pub(crate) no_guards_cost: bool,

    /// Print the figures as one JSON object
    #[arg(long, conflicts_with = "markdown")]
    pub(crate) json: bool,

    /// Print the tables as Markdown
    #[arg(long)]
    pub(crate) markdown: bool,

    /// Write a page with tables and plots, too: one file that loads nothing and runs no script
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,

    /// Show no progress
    #[arg(long, short)]
    pub(crate) quiet: bool,

    #[command(flatten)]
    pub(crate) policy: PolicyArgs,

    /// Print the limits and permissions that would hold, and measure nothing
    #[arg(long, help_heading = "Permissions")]
    pub(crate) show_policy: bool,
}
