//! `sandtrap bench`: one guest in every mode, and what each costs.

use std::ffi::OsStr;
use std::time::Duration;

use sandtrap::{Codec, Payload, Program};

use super::call::serves;
use super::inspect::unreadable;
use crate::args::{BenchArgs, misuse};
use crate::bench::{Crash, Guests, NoGuests, Pace, Progress, Survey, Work};
use crate::reading;
use crate::render;
use crate::report_file::ReportFile;
use crate::streams;

/// No mode could be measured.
const NOTHING: u8 = 1;

/// Measures, and prints the figures in the form that is wanted.
pub(crate) fn bench(args: &BenchArgs) -> anyhow::Result<u8> {
    let policy = args.policy.policy("bench", None)?;
    if args.show_policy {
        let cache = args.policy.compile.cache_row();
        streams::print(&render::policy(&policy, None, cache, Vec::new()))?;
        return Ok(0);
    }
    let pace = pace(args)?;
    let guests = match Guests::find(&args.guests) {
        Ok(guests) => guests,
        Err(NoGuests::Unreadable(error)) => return Ok(unreadable(&error)),
        Err(NoGuests::Misnamed(what)) => return Err(misuse("bench", what).into()),
    };
    let work = work(args, &guests)?;
    let crash = crash(args, &work)?;
    let page = args.html.as_deref().map(|path| ReportFile::prepare("page", path)).transpose()?;
    let shape = |program: Program| {
        program
            .limits(policy.limits.clone())
            .permissions(policy.permissions.clone())
            .guards(policy.guards.clone())
            .trust(policy.trust)
            .compile_limits(policy.compile.clone())
    };
    let progress = Progress::new(args.quiet);
    let survey = Survey {
        guests: &guests,
        work,
        crash,
        echo: args.echo.clone(),
        shape: &shape,
        runtime: &|places| args.policy.compile.runtime_for(places),
        pace,
        quick: args.quick,
        guards_cost: !args.no_guards_cost,
        progress: &progress,
    };
    let findings = survey.run()?;
    if let Some(page) = page {
        page.write(render::bench::page(&findings).as_bytes())?;
    }
    streams::print(&match (args.json, args.markdown) {
        (true, _) => render::bench::json(&findings),
        (false, true) => render::bench::markdown(&findings),
        (false, false) => render::bench::table(&findings),
    })?;
    Ok(if findings.modes.is_empty() { NOTHING } else { 0 })
}

fn pace(args: &BenchArgs) -> Result<Pace, clap::Error> {
    let (usual, turn) = if args.quick { (3, 40) } else { (5, 150) };
    match args.rounds {
        Some(0) => {
            Err(misuse("bench", "there is nothing without a round; write it as in --rounds 9"))
        }
        rounds => Ok(Pace { rounds: rounds.unwrap_or(usual), turn: Duration::from_millis(turn) }),
    }
}

/// What is done in each call.
fn work(args: &BenchArgs, guests: &Guests) -> anyhow::Result<Work> {
    let Some(function) = args.function.clone() else {
        return Ok(Work::Command(args.args.clone()));
    };
    if let Some(input) = &args.input {
        let input = json("--input", reading::input(input)?)?;
        return Ok(Work::Invoke { function, input });
    }
    let is_plain =
        guests.native.is_none() && guests.wasm.as_deref().is_some_and(|wasm| !serves(wasm));
    if is_plain || !args.arguments.is_empty() {
        return Ok(Work::Export { function, arguments: args.arguments.clone() });
    }
    Ok(Work::Invoke { function, input: Payload::new(Codec::Json, "null") })
}

fn json(flag: &str, text: Vec<u8>) -> Result<Payload, clap::Error> {
    let explain = |error| misuse("bench", format!("{flag}: {error}; write it as in '[1, 2]'"));
    Payload::json_text(text).map_err(explain)
}

/// How it is made to crash: in the same way in which it is called.
fn crash(args: &BenchArgs, work: &Work) -> anyhow::Result<Crash> {
    let Some(crash) = &args.crash else { return Ok(Crash::Shipped) };
    if work.is_command() {
        return Ok(Crash::Own(Work::Command(crash.split_whitespace().map(Into::into).collect())));
    }
    let (function, input) = crash.split_once('=').unwrap_or((crash, "null"));
    let function = function.to_owned();
    if matches!(work, Work::Export { .. }) {
        return Ok(Crash::Own(Work::Export { function, arguments: Vec::new() }));
    }
    let input = json("--crash", reading::input(OsStr::new(input))?)?;
    Ok(Crash::Own(Work::Invoke { function, input }))
}
