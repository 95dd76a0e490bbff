//! `sandtrap compile`: a module, ahead of time.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use sandtrap::{Limits, Program, Runtime, StopHandle, Wall};

use crate::args::CompileVerbArgs;
use crate::exit_code;
use crate::render;
use crate::signals;

/// Compiles the module, and gives the exit code of the verdict that it would have had.
pub(crate) fn compile(args: &CompileVerbArgs) -> anyhow::Result<u8> {
    let target = args.output_file.clone().unwrap_or_else(|| args.module.with_extension("cwasm"));
    let limits = Limits { fuel: args.count_fuel.then_some(1), ..Limits::default() };
    let program = Program::file(&args.module).within(Wall::Wasm).limits(limits);
    let program = args.compile.apply(program);
    let stop = StopHandle::new();
    let runtime = args.compile.runtime()?;
    signals::watch(&stop, Duration::ZERO)?;
    let draft = draft_beside(&target)?;
    let compiled = write(&runtime, &program, &stop, &draft);
    let renamed = match &compiled {
        Ok(Ok(())) => fs::rename(&draft, &target),
        _ => Ok(()),
    };
    if renamed.is_err() || !matches!(compiled, Ok(Ok(()))) {
        // The first error is the one to tell about.
        let _ = fs::remove_file(&draft);
    }
    let shown = || {
        format!("cannot write `{}`; name a file in a directory you can write to", target.display())
    };
    let compiled = compiled.with_context(shown)?;
    renamed.with_context(shown)?;
    match compiled {
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
    draft: &Path,
) -> io::Result<Result<(), sandtrap::Error>> {
    let mut out = BufWriter::new(File::create_new(draft)?);
    let compiled = runtime.compile(program, stop, &mut out);
    out.flush()?;
    Ok(compiled)
}

/// The file appears whole, or not at all.
fn draft_beside(target: &Path) -> anyhow::Result<PathBuf> {
    let name = target.file_name().with_context(|| {
        format!("cannot write `{}`; name a file, as in -o parser.cwasm", target.display())
    })?;
    let mut draft = OsString::from(".");
    draft.push(name);
    draft.push(format!(".{}.draft", std::process::id()));
    Ok(target.with_file_name(draft))
}
