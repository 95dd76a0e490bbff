//! How a program lets itself be started as a compiler.

use std::env;
use std::io::{self, Read as _, Write as _};
use std::panic::catch_unwind;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::wasm::{Configuration, compile};

/// An order to compile names this as its first argument, and has the variable in its environment.
const ENTRANCE: &str = "sandtrap-compiles-a-module";
pub(super) const VARIABLE: &str = "SANDTRAP_COMPILES";
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The first bytes of a program that has understood. No text begins so.
pub(super) const GREETING: &[u8; 8] = b"\0compile";

/// The exit code of a compiler that could not begin, or not write: it says nothing about the module.
pub(super) const CANNOT: i32 = 71;

/// The exit code of a compiler that found no room for itself, before it had seen the module.
pub(super) const NO_ROOM: i32 = 72;

/// A module without anything in it.
const EMPTY: &[u8] = b"\0asm\x01\0\0\0";

/// Whether this program calls [`init`](crate::init()), and so can be started again as a compiler.
static IS_COMPILER: AtomicBool = AtomicBool::new(false);

/// Notes that this program can be started as a compiler; and if it was, compiles, and ends the process.
pub(crate) fn enter() {
    IS_COMPILER.store(true, Ordering::Relaxed);
    if let Some(configuration) = order() {
        std::process::exit(serve(configuration));
    }
}

/// The program to compile with, if this one can.
pub(crate) fn own_program() -> Option<PathBuf> {
    // Not its path: that may be another file by now.
    IS_COMPILER.load(Ordering::Relaxed).then(|| "/proc/self/exe".into())
}

/// The arguments of an order.
pub(super) fn arguments(configuration: Configuration) -> impl Iterator<Item = String> {
    [ENTRANCE.to_owned()].into_iter().chain(configuration.arguments())
}

/// The order that this process was started with. The variable makes sure that no argument of a user's is taken
/// for one.
fn order() -> Option<Configuration> {
    let arguments: Option<Vec<String>> =
        env::args_os().skip(1).map(|argument| argument.into_string().ok()).collect();
    let arguments = arguments?;
    let (entrance, rest) = arguments.split_first()?;
    let is_meant = entrance == ENTRANCE && env::var_os(VARIABLE).is_some_and(|it| it == VERSION);
    if is_meant { Configuration::from_arguments(rest) } else { None }
}

fn serve(configuration: Configuration) -> i32 {
    let mut out = io::stdout().lock();
    let greeted = out.write_all(GREETING).and_then(|()| out.flush());
    // The engine starts its threads at the first module, and panics if it can't.
    if catch_unwind(|| compile(EMPTY, configuration, &mut io::sink())).is_err() {
        return NO_ROOM;
    }
    let served = greeted.and_then(|()| {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes)?;
        compile(&bytes, configuration, &mut out)
    });
    match served {
        Ok(()) => 0,
        Err(error) => {
            // Nobody may be there to read it.
            let _ = writeln!(io::stderr(), "{error}");
            CANNOT
        }
    }
}
