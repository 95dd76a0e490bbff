//! The command line as types: every verb, every flag, its default and its place in the help.

mod attempts;
mod batch;
mod bench;
mod compile;
mod grants;
mod host;
mod limits;
mod mistake;
mod payloads;
mod policy;
mod report;
mod streams;
mod values;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use sandtrap::{Label, Value, Wall};

pub(crate) use attempts::{AttemptArgs, ReuseArg, StartArg};
pub(crate) use batch::BatchArgs;
pub(crate) use bench::BenchArgs;
pub(crate) use compile::CompileArgs;
pub(crate) use host::{DoctorArgs, ManArgs, SelftestArgs};
pub(crate) use mistake::{Mistake, misuse};
pub(crate) use payloads::PayloadArgs;
pub(crate) use policy::PolicyArgs;
pub(crate) use report::{DiagnosisArgs, ReportArgs};
pub(crate) use streams::{InputArgs, StreamArgs, Target};
pub(crate) use values::argument;

/// Run code that may blow up, and learn exactly how it ended
#[derive(Debug, Parser)]
#[command(name = "sandtrap", version, before_help = EXAMPLES, after_help = MORE, disable_help_subcommand = true, args_override_self = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

const EXAMPLES: &str = "\
Examples:
  sandtrap run --wall 5s --memory 64MiB ./parser input.txt
  sandtrap call math.wasm add --arg i32:2 --arg i32:40
  sandtrap batch tasks.jsonl --workers 8 > reports.jsonl
  sandtrap inspect ./parser.wasm
  sandtrap explain crashed.stack-overflow";

const MORE: &str = "\
A guest that ends well leaves nothing but its own output. One that doesn't gets a diagnosis of a few
lines on stderr. `sandtrap run --help` shows every limit with its default.";

/// What sandtrap can be asked to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run a program once and say how it ended
    #[command(before_help = RUN_EXAMPLE, after_help = EXIT_CODES)]
    Run(RunArgs),
    /// Call one function of a guest and print what it returns
    #[command(before_help = CALL_EXAMPLE, after_help = EXIT_CODES)]
    Call(CallArgs),
    /// Run many tasks, one JSON object on each line, and print their reports, one on each line
    #[command(before_help = batch::EXAMPLE, after_help = batch::FORMAT)]
    Batch(BatchArgs),
    /// Hold the ways to run one guest against each other: both walls, fresh and kept
    #[command(before_help = bench::EXAMPLE, after_help = bench::MEASURES)]
    Bench(BenchArgs),
    /// Say what a file is and what it would need, and run nothing of it
    #[command(before_help = INSPECT_EXAMPLE, after_help = INSPECT_CODES)]
    Inspect(InspectArgs),
    /// Compile a module ahead of time, into a file that only this user can run
    #[command(before_help = COMPILE_EXAMPLE, after_help = COMPILED)]
    Compile(CompileVerbArgs),
    /// Try what this host offers to guard tasks with, and say what to do where something is missing
    #[command(before_help = host::DOCTOR_EXAMPLE, after_help = host::DOCTOR_CODES)]
    Doctor(DoctorArgs),
    /// Try on this host whether its walls hold, with shipped attacks and crashes
    #[command(before_help = host::SELFTEST_EXAMPLE, after_help = host::SELFTEST_CODES)]
    Selftest(SelftestArgs),
    /// Say what a verdict means, what usually causes it, and what to try
    #[command(before_help = EXPLAIN_EXAMPLE)]
    Explain(ExplainArgs),
    /// Print the JSON Schema of the report
    #[command(before_help = host::SCHEMA_EXAMPLE)]
    Schema,
    /// Print the manual page of the command, or of one verb
    #[command(before_help = host::MAN_EXAMPLE)]
    Man(ManArgs),
    /// Print a completion script for a shell
    #[command(before_help = COMPLETIONS_EXAMPLE)]
    Completions(CompletionsArgs),
}

const RUN_EXAMPLE: &str = "\
Example:
  sandtrap run --wall 5s --memory 64MiB ./parser input.txt";

const CALL_EXAMPLE: &str = "\
Examples:
  sandtrap call ./pictures resize --input '{\"name\": \"a.png\", \"width\": 64}'
  sandtrap call pictures.wasm resize --input @order.json
  sandtrap call math.wasm add --arg i32:2 --arg i32:40
  sandtrap call component.wasm area --input '{\"width\": 3, \"height\": 4}'";

const INSPECT_EXAMPLE: &str = "\
Example:
  sandtrap inspect ./parser.wasm";

const INSPECT_CODES: &str = "\
Exit code: 0 if sandtrap can run it, 126 if it can't, 127 if there is no such file.";
const COMPILE_EXAMPLE: &str = "\
Example:
  sandtrap compile parser.wasm
  sandtrap run parser.cwasm input.txt";

const COMPILED: &str = "\
Compiled code is run as it is, so the file bears a seal, made with a key in the cache's directory
that only this user can read. `sandtrap run` refuses a file that somebody else made, that was
changed since, or that was made by another version or on another kind of machine.";

const EXPLAIN_EXAMPLE: &str = "\
Example:
  sandtrap explain crashed.stack-overflow";

const COMPLETIONS_EXAMPLE: &str = "\
Example:
  sandtrap completions bash > ~/.local/share/bash-completion/completions/sandtrap";

const EXIT_CODES: &str = "\
Exit code: the guest's own, or 124 wall time, 137 memory, 139 memory fault or stack overflow,
134 abort, 130 cancelled, 127 not found, 125 sandtrap's own failure, 2 wrong usage.
`sandtrap explain` lists every verdict with its code.";

#[derive(Debug, clap::Args)]
#[command(override_usage = "sandtrap run [OPTIONS] <PROGRAM> [ARGS]...")]
pub(crate) struct RunArgs {
    /// A Wasm module or component, or an executable; a bare name that is no file here is looked up in PATH.
    /// All that follows PROGRAM is the guest's, even what begins with `-`
    #[arg(value_names = ["PROGRAM", "ARGS"], num_args = 1.., trailing_var_arg = true)]
    pub(crate) command: Vec<OsString>,

    /// Run it as a Wasm module or component, or as a confined process [default: what its content says]
    #[arg(long = "in", value_name = "WALL")]
    pub(crate) within: Option<WallArg>,

    #[command(flatten)]
    pub(crate) attempts: AttemptArgs,

    #[command(flatten)]
    pub(crate) policy: PolicyArgs,

    /// Print the limits and permissions that would hold, and run nothing
    #[arg(
        long,
        help_heading = "Permissions",
        conflicts_with_all = ["report", "json", "quiet"]
    )]
    pub(crate) show_policy: bool,

    #[command(flatten)]
    pub(crate) input: InputArgs,

    #[command(flatten)]
    pub(crate) streams: StreamArgs,

    #[command(flatten)]
    pub(crate) report: ReportArgs,

    #[command(flatten)]
    pub(crate) diagnosis: DiagnosisArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CallArgs {
    /// A guest built with `sandtrap-guest`, as a Wasm module or as an executable; any Wasm module with exports; or a
    /// component with functions
    #[arg(required_unless_present = "show_policy")]
    pub(crate) program: Option<PathBuf>,

    /// The name of the function, or of the export. Within an interface of a component: its name, or INTERFACE#NAME
    #[arg(required_unless_present = "show_policy")]
    pub(crate) function: Option<String>,

    /// What the function is given: JSON, `@FILE` with JSON in it, or `-` for JSON on sandtrap's own stdin. A plain file may
    /// be of any size; of a pipe or a device 256 MiB are read at most [default: null]
    #[arg(long, value_name = "JSON|@FILE|-", allow_hyphen_values = true)]
    pub(crate) input: Option<OsString>,

    /// Print each item that the function emits before its result, as one line of JSON
    #[arg(long)]
    pub(crate) stream: bool,

    /// For an export: one argument as TYPE:NUMBER, with the type i32, i64, f32 or f64; once for each, in order
    #[arg(long = "arg", value_name = "TYPE:NUMBER", value_parser = values::argument)]
    #[arg(conflicts_with_all = ["input", "stream"])]
    pub(crate) arguments: Vec<Value>,

    #[command(flatten)]
    pub(crate) attempts: AttemptArgs,

    #[command(flatten)]
    pub(crate) payloads: PayloadArgs,

    #[command(flatten)]
    pub(crate) policy: PolicyArgs,

    /// Print the limits and permissions that would hold, and call nothing
    #[arg(
        long,
        help_heading = "Permissions",
        conflicts_with_all = ["report", "json", "quiet"]
    )]
    pub(crate) show_policy: bool,

    #[command(flatten)]
    pub(crate) streams: StreamArgs,

    #[command(flatten)]
    pub(crate) report: ReportArgs,

    #[command(flatten)]
    pub(crate) diagnosis: DiagnosisArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct InspectArgs {
    /// A Wasm module or component, an executable, or any other file; a bare name that is no file here is
    /// looked up in PATH
    pub(crate) program: PathBuf,

    /// Print it as one JSON object, with all lists whole
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CompileVerbArgs {
    /// A Wasm module: .wasm or .wat
    pub(crate) module: PathBuf,

    /// The file to write [default: beside the module, named .cwasm]
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output_file: Option<PathBuf>,

    /// Make code that counts instructions, for `sandtrap run --fuel`
    #[arg(long)]
    pub(crate) count_fuel: bool,

    #[command(flatten)]
    pub(crate) compile: CompileArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ExplainArgs {
    /// The label, as it stands in brackets in a diagnosis [default: list them all]
    #[arg(value_parser = values::label)]
    pub(crate) label: Option<Label>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

/// The walls, as they are called on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum WallArg {
    Wasm,
    Native,
}

impl From<WallArg> for Wall {
    fn from(arg: WallArg) -> Self {
        match arg {
            WallArg::Wasm => Self::Wasm,
            WallArg::Native => Self::Native,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn parse(line: &[&str]) -> Result<Verb, clap::Error> {
        Cli::try_parse_from([&["sandtrap"], line].concat()).map(|cli| cli.verb)
    }

    fn run(line: &[&str]) -> RunArgs {
        match parse(&[&["run"], line].concat()).unwrap() {
            Verb::Run(args) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_follows_the_program_belongs_to_the_guest() {
        let args = run(&["--wall", "5s", "grep", "--quiet", "-v", "--memory", "--", "--json"]);
        assert_eq!(args.command, ["grep", "--quiet", "-v", "--memory", "--", "--json"]);
        assert!(!args.diagnosis.quiet && !args.report.json);
    }

    #[test]
    fn an_unknown_flag_is_never_taken_for_the_program() {
        assert_eq!(parse(&["run", "--bogus", "grep"]).unwrap_err().exit_code(), 2);
    }

    #[test]
    fn the_policy_can_be_asked_for_without_a_program() {
        assert!(run(&["--show-policy"]).command.is_empty());
    }

    #[test]
    fn wrong_usage_is_told_with_what_to_write_instead() {
        for (line, words) in [
            (&["run", "--memory", "64", "x"][..], "write it as in 64MiB"),
            (&["run", "--wall", "-1s", "x"], "write it as in 5s"),
            (&["run", "--fuel", "-1", "x"], "write it as in 1000000"),
            (&["run", "--processes", "many", "x"], "write it as in 16"),
            (&["run", "--env", "LANG", "x"], "write it as in LANG=C"),
            (&["run", "--dir", ":rw", "x"], "write it as in data:/data:rw"),
            (&["run", "--dir", "a::ro", "x"], "write it as in data:/data:rw"),
            (&["call", "m.wasm", "f", "--arg", "5"], "write it as in i32:5"),
            (&["explain", "stack-overflow"], "crashed.stack-overflow"),
        ] {
            let error = parse(line).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line:?}");
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}
