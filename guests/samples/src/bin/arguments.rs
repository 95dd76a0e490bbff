//! Lives: prints each argument (without the program's name) on a line, then each environment
//! variable as `KEY=VALUE` on a line, sorted.

use std::env;
use std::io::{self, Write};

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    for argument in env::args_os().skip(1) {
        out.write_all(argument.as_encoded_bytes())?;
        out.write_all(b"\n")?;
    }
    let mut variables: Vec<_> = env::vars_os().collect();
    variables.sort();
    for (key, value) in variables {
        let line = [key.as_encoded_bytes(), b"=", value.as_encoded_bytes(), b"\n"].concat();
        out.write_all(&line)?;
    }
    out.flush()
}
