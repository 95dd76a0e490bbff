//! `sandtrap batch`: many tasks, as flags.

use std::path::PathBuf;

use super::report::report_file;
use super::{PayloadArgs, PolicyArgs, ReuseArg, StartArg, values};

pub(crate) const EXAMPLE: &str = "\
Example:
  sandtrap batch tasks.jsonl --workers 8 > reports.jsonl
  sandtrap batch tasks.jsonl --resume reports.jsonl

  with one task on each line of tasks.jsonl:
  {\"program\": \"./parser\", \"args\": [\"one.txt\"]}
  {\"program\": \"math.wasm\", \"function\": \"add\", \"arguments\": [\"i32:2\", \"i32:40\"], \"id\": \"sum\"}
  {\"program\": \"./markdown\", \"function\": \"render\", \"input\": \"# Hello\"}";

pub(crate) const FORMAT: &str = "\
Each task is one JSON object: `program`, then `args` and `stdin` (a text, or {\"file\": PATH}) for a command,
or `function` and `arguments` (as TYPE:NUMBER) for one export of a module, or `function` and `input` (any JSON)
for a function of a guest that links sandtrap-guest. All tasks may have an `id`
[default: line-N], a `timeout` for everything [default: none], a `priority` (high, normal, low), a `device` on whose
account they run (a name for the breaker, the health and the signs of [device] in --config; which one the program uses
is its own business), a `breaker` of their own beside that of their program (a name, where --config has [breaker]), a
`queue_time` for room and a worker [default: none], and `\"idempotent\": true` if they may be done twice: only such a
task is tried again, or a call of a function that its guest marks so.

Of a file, all lines are looked at first: where one is no task, nothing runs. From a pipe a line that is no task is told
when it comes and left out; those before and after it run, and the summary counts it. A line has 256 MiB at most.

The first Ctrl-C lets what runs end and begins nothing more; the second one stops it. So do SIGTERM and
SIGHUP, where the second one comes a second after the first or later.
Exit code: 0 if every task completed, 1 if one didn't, 130 after Ctrl-C, 2 if a line is no task,
125 if lines could not be read.";

#[derive(Debug, clap::Args)]
pub(crate) struct BatchArgs {
    /// The tasks: a file with one JSON object on each line, or `-` for stdin
    #[arg(value_name = "FILE|-", required_unless_present_any = ["show_config", "show_policy"])]
    pub(crate) tasks: Option<PathBuf>,

    /// Tasks that run at the same time [default: one for each processor]
    #[arg(long, value_name = "COUNT", value_parser = values::count)]
    pub(crate) workers: Option<u32>,

    /// Print each report when its task has ended, instead of in the order of the lines
    #[arg(long)]
    pub(crate) as_completed: bool,

    /// Add the reports to this file, and leave out the tasks that have one there already. A task that was
    /// stopped by Ctrl-C has to run again
    #[arg(long, value_name = "FILE", value_parser = report_file())]
    pub(crate) resume: Option<PathBuf>,

    /// Try an idempotent task that crashed or ran out of time so often again [default: 2]
    #[arg(long, value_name = "COUNT", value_parser = values::count)]
    pub(crate) retries: Option<u32>,

    /// Whether each call has a guest of its own (fresh), or one guest after another goes on with its state (warm): until
    /// it has run enough, or ends otherwise than it should. Commands are always fresh [default: fresh]
    #[arg(long, value_name = "HOW")]
    pub(crate) reuse: Option<ReuseArg>,

    /// Guests that stand ready before their call comes, for each program, so that their start takes none of its time; of
    /// commands, processes that were executed with the arguments of the program's first line, for others with the same ones
    /// [default: 0]
    #[arg(long, value_name = "COUNT", value_parser = values::count)]
    pub(crate) spares: Option<u32>,

    /// How the processes of guests with functions begin: `spawn` executes the program for each, `fork` executes it once,
    /// lets it warm up, and makes each a fork of it. Commands are always spawned
    #[arg(long, value_name = "HOW", default_value = "spawn")]
    pub(crate) start: StartArg,

    /// Settings of restarts, retries, breaker, quarantine, second copies and health; a part is there as soon as one of its
    /// keys is [default: retries and health only]
    #[arg(long, value_name = "FILE.toml")]
    pub(crate) config: Option<PathBuf>,

    /// Print the settings that would hold, as such a file, and run nothing
    #[arg(long)]
    pub(crate) show_config: bool,

    /// Give out metrics at http://ADDR/metrics while it runs, as Prometheus reads them; `:PORT` is this host alone,
    /// and port 0 any that is free
    #[arg(long, value_name = "ADDR")]
    pub(crate) metrics: Option<String>,

    /// Send metrics, and a span for each task, to the collector of OpenTelemetry at this address, over plain HTTP, as in
    /// http://127.0.0.1:4318
    #[cfg(feature = "otlp")]
    #[arg(long, value_name = "ENDPOINT")]
    pub(crate) otlp: Option<String>,

    /// Write a core dump of each module that traps, or is stopped while it runs, into this directory, as ID.core.wasm for
    /// the task's `id` [default: none]. Of components and processes there is none: their tasks are refused
    #[arg(long, value_name = "DIR")]
    pub(crate) core_dumps: Option<PathBuf>,

    /// Have the reports say where processes were when they died or panicked, as they always say it of modules
    #[arg(long)]
    pub(crate) backtrace: bool,

    /// Print neither progress nor summary
    #[arg(long, short)]
    pub(crate) quiet: bool,

    #[command(flatten)]
    pub(crate) payloads: PayloadArgs,

    #[command(flatten)]
    pub(crate) policy: PolicyArgs,

    /// Print the limits and permissions that would hold for each task, and run nothing
    #[arg(long, help_heading = "Permissions", conflicts_with = "show_config")]
    pub(crate) show_policy: bool,
}
