//! `sandtrap compile`: a module, ahead of time.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::time::Duration;

use anyhow::Context as _;
use sandtrap::{Limits, Program, Runtime, StopHandle, Wall};

use crate::args::{CompileVerbArgs, misuse};
use crate::exit_code;
use crate::render;
use crate::report_file::{Place, are_one};
use crate::signals;

/// Compiles the module, and gives the exit code of the verdict that it would have had.
pub(crate) fn compile(args: &CompileVerbArgs) -> anyhow::Result<u8> {
    let target = args.output_file.clone().unwrap_or_else(|| args.module.with_extension("cwasm"));
    if are_one(&target, &args.module) {
        let what = "what is compiled would take the place of the module; name another file, as in -o parser.cwasm";
        return Err(misuse("compile", what).into());
    }
    let limits = Limits { fuel: args.count_fuel.then_some(1), ..Limits::default() };
    let program = Program::file(&args.module).within(Wall::Wasm).limits(limits);
    let program = args.compile.apply(program);
    let stop = StopHandle::new();
    let runtime = args.compile.runtime()?;
    signals::watch(&stop, Duration::ZERO)?;
    let shown = || {
        format!("cannot write `{}`; name a file in a directory you can write to", target.display())
    };
    let compiled = match Place::of(&target).with_context(shown)? {
        Place::Open(file) => write(&runtime, &program, &stop, file),
        Place::Beside { target, draft } => {
            let compiled = File::create_new(&draft)
                .and_then(|file| write(&runtime, &program, &stop, file))
                .and_then(|compiled| match compiled {
                    Ok(()) => fs::rename(&draft, &target).map(Ok),
                    Err(error) => Ok(Err(error)),
                });
            if !matches!(compiled, Ok(Ok(()))) {
                // The first error is the one to tell about.
                let _ = fs::remove_file(&draft);
            }
            compiled
        }
    };
    match compiled.with_context(shown)? {
        Ok(()) => Ok(0),
        Err(error) => {
            // Nobody reads stderr; the exit code still says it.
            let _ = io::stderr().write_all(render::refusal(error.verdict()).as_bytes());
            Ok(exit_code::of(error.verdict()))
        }
    }
}

fn write(
    runtime: &Runtime,
    program: &Program,
    stop: &StopHandle,
    file: File,
) -> io::Result<Result<(), sandtrap::Error>> {
    let mut out = BufWriter::new(file);
    let compiled = runtime.compile(program, stop, &mut out);
    out.flush()?;
    Ok(compiled)
}
