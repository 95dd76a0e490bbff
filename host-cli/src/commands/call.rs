//! `sandtrap call`: one export of a plain module.

use std::fmt::Write as _;

use sandtrap::{Program, Task, Wall};

use super::session::Session;
use crate::args::{CallArgs, misuse};
use crate::exit_code;
use crate::streams;

/// Calls the export, prints what it returns, and gives the exit code of the verdict.
pub(crate) fn call(args: &CallArgs) -> anyhow::Result<u8> {
    let limits = args.limits.limits();
    limits.check().map_err(|error| misuse("call", error))?;
    let permissions = args.grants.permissions().map_err(|error| misuse("call", error))?;
    let program = Program::file(&args.program)
        .within(Wall::Wasm)
        .limits(limits)
        .permissions(permissions)
        .guards(args.grants.guards());
    let program = args.compile.apply(program);
    let task = Task::call(&args.function, args.arguments.clone());
    let session = Session {
        streams: &args.streams,
        report: &args.report,
        diagnosis: &args.diagnosis,
        compile: &args.compile,
    };
    let report = session.carry_out(program, task)?;
    if !args.report.json {
        let mut lines = String::new();
        for value in &report.output.values {
            // Writing to a string can't fail.
            let _ = writeln!(lines, "{value}");
        }
        streams::print(&lines)?;
    }
    Ok(exit_code::of(&report.verdict))
}
