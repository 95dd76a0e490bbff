//! A guest that is started by people at a command line, and not called by a host: it runs one function with
//! JSON in and out, or says which ones it has.

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

use sandtrap_protocol::{Codec, Level};

use crate::context::Context;
use crate::serve::{Call, Function, Settled};
use crate::testify::{eprintln_quietly, error_said};

/// The exit code of a program that was used wrongly.
const MISUSED: u8 = 2;

/// Runs the function that is named on the command line.
pub(crate) fn run(functions: &'static [Function]) -> ExitCode {
    let mut args = env::args().skip(1);
    let (name, input) = (args.next(), args.next());
    let Some(function) = functions.iter().find(|function| Some(function.name) == name.as_deref())
    else {
        let names: Vec<_> = functions.iter().map(|function| function.name).collect();
        write(
            io::stderr(),
            &format!(
                "this is a guest of sandtrap; call it with one of its functions and an input in JSON: {}\n",
                names.join(", ")
            ),
        );
        return MISUSED.into();
    };
    let input = input.unwrap_or_else(|| "null".to_owned()).into_bytes().into();
    let mut context = Context { id: 0, codec: Codec::Json, end: None, has_host: false };
    let mut call = Call { function: function.name, codec: Codec::Json, input };
    match (function.run)(&mut call, &mut context) {
        Settled::Value(bytes) => {
            print(&bytes);
            ExitCode::SUCCESS
        }
        Settled::Failed { report, .. } => {
            eprintln_quietly(&report);
            error_said(report);
            ExitCode::FAILURE
        }
    }
}

pub(crate) fn log(level: Level, text: &str) {
    write(io::stderr(), &format!("{}: {text}\n", level.name()));
}

pub(crate) fn progress(done: u64, total: Option<u64>, doing: &str) {
    let of = total.map_or(String::new(), |total| format!("/{total}"));
    write(io::stderr(), &format!("{done}{of} {doing}\n"));
}

pub(crate) fn print(bytes: &[u8]) {
    let mut stdout = io::stdout();
    // Nobody reads it; there is nobody else to tell.
    let _ = stdout.write_all(bytes).and_then(|()| stdout.write_all(b"\n"));
}

fn write(mut to: impl Write, text: &str) {
    // A closed stderr is no reason to die of something else.
    let _ = to.write_all(text.as_bytes());
}
