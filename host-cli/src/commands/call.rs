//! `sandtrap call`: one export of a plain module.

use std::fmt::Write as _;

use sandtrap::{Policy, Task, Wall};

use super::session::Session;
use crate::args::{CallArgs, misuse};
use crate::exit_code;
use crate::render;
use crate::streams;

/// Calls the export, prints what it returns, and gives the exit code of the verdict.
pub(crate) fn call(args: &CallArgs) -> anyhow::Result<u8> {
    let policy = policy(args)?;
    if args.show_policy {
        streams::print(&render::policy(&policy, Some(Wall::Wasm)))?;
        return Ok(0);
    }
    let (Some(program), Some(function)) = (&args.program, &args.function) else {
        let what =
            "no PROGRAM or no FUNCTION is given; name both, as in `sandtrap call math.wasm add`";
        return Err(misuse("call", what).into());
    };
    let program = super::run::program(program.clone(), Some(Wall::Wasm), policy);
    let task = Task::call(function, args.arguments.clone());
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

fn policy(args: &CallArgs) -> Result<Policy, clap::Error> {
    let limits = args.limits.limits();
    limits.check_behind(Wall::Wasm).map_err(|error| misuse("call", error))?;
    let permissions = args.grants.permissions().map_err(|error| misuse("call", error))?;
    let (trust, compile) = (args.compile.trust(), args.compile.limits());
    Ok(Policy { limits, permissions, guards: args.grants.guards(), trust, compile })
}
