//! `sandtrap call`: one function of a guest, or one export of a plain module.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use anyhow::Context as _;
use sandtrap::{Codec, Entry, Payload, Report, Task, Wall};

use super::session::Session;
use super::settings;
use crate::args::{CallArgs, misuse};
use crate::exit_code;
use crate::reading;
use crate::render;
use crate::streams::{self, Items};
use crate::words;

/// An input of so many bytes is found to be JSON before anything is started.
const MOST_CHECKED: u64 = 16 * 1024 * 1024;

/// Calls the function, prints what it returns, and gives the exit code of the verdict.
pub(crate) fn call(args: &CallArgs) -> anyhow::Result<u8> {
    let mut executor = settings::of_one(&args.attempts, true)?;
    executor.iter_mut().for_each(|settings| args.policy.grace_of(settings));
    if args.show_policy {
        let policy = args.policy.policy("call", None)?;
        streams::print(&render::policy(
            &policy,
            None,
            args.policy.compile.cache_row(),
            args.attempts.rows(),
        ))?;
        return Ok(0);
    }
    let (Some(file), Some(function)) = (&args.program, &args.function) else {
        let what =
            "no PROGRAM or no FUNCTION is given; name both, as in `sandtrap call math.wasm add`";
        return Err(misuse("call", what).into());
    };
    if args.stream && args.report.json {
        let what = "--stream --json: the report has no items, and stands alone on stdout; name a file for it, as in --report \
                    report.json, or leave one of them out";
        return Err(misuse("call", what).into());
    }
    if args.policy.counts_stdin() {
        let what = "--stdin-bytes: a function that is called has no stdin; leave it out";
        return Err(misuse("call", what).into());
    }
    let task = task(args, file, function)?;
    let wall = match &task.entry {
        Entry::Call { .. } => Some(Wall::Wasm),
        Entry::Invoke { .. } | Entry::Command { .. } => None,
    };
    let policy = args.policy.policy("call", wall)?;
    let program = super::run::program(file.clone(), wall, policy)
        .payloads(args.payloads.payloads.clone())
        .started_by(args.attempts.start.start())
        .backtrace(args.report.backtrace);
    let session = Session {
        streams: &args.streams,
        report: &args.report,
        diagnosis: &args.diagnosis,
        compile: &args.policy.compile,
        items: if args.stream { Items::Printed } else { Items::Unheard },
        executor,
        is_idempotent: args.attempts.is_idempotent(),
    };
    let report = session.carry_out(program, task)?;
    if !args.report.json && report.verdict.is_completed() {
        streams::print(&result(&report)?)?;
    }
    Ok(exit_code::of(&report.verdict))
}

fn task(args: &CallArgs, file: &Path, function: &str) -> anyhow::Result<Task> {
    let Some(input) = &args.input else {
        let is_plain = !args.arguments.is_empty() || !args.stream && !serves(file);
        return Ok(match is_plain {
            true => Task::call(function, args.arguments.clone()),
            false => Task::invoke_with(function, Payload::new(Codec::Json, "null")),
        });
    };
    if let Some(path) = large_file(input) {
        let failed = || format!("cannot read the input from `{}`", path.display());
        let input = Payload::file(Codec::Json, path).with_context(failed)?;
        return Ok(Task::invoke_with(function, input));
    }
    let input = Payload::json_text(reading::input(input)?)
        .map_err(|error| misuse("call", format!("--input: {error}; write it as in '[1, 2]'")))?;
    Ok(Task::invoke_with(function, input))
}

/// The file that is the input, if it is too large to be looked at first: it is sent as it is.
fn large_file(input: &OsStr) -> Option<&Path> {
    let path = Path::new(OsStr::from_bytes(input.as_bytes().strip_prefix(b"@")?));
    let found = path.metadata().ok()?;
    (found.is_file() && found.len() > MOST_CHECKED).then_some(path)
}

/// Whether a program takes calls with values, as far as that is known without it.
pub(super) fn serves(program: &Path) -> bool {
    sandtrap::inspect(program).is_ok_and(|found| found.serves)
}

/// What the function returned, each value on a line of its own.
fn result(report: &Report) -> anyhow::Result<String> {
    if let Some(path) = report.output.result.as_ref().and_then(Payload::path) {
        return Ok(format!("@{}\n", path.display()));
    }
    if let Some(result) = &report.output.result {
        return Ok(words::item(result.codec(), result.bytes()));
    }
    let mut lines = String::new();
    for value in &report.output.values {
        writeln!(lines, "{value}")?;
    }
    Ok(lines)
}
