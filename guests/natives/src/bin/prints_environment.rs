//! Lives: prints its environment, one `KEY=VALUE` per line, sorted.

use std::env;
use std::io::{self, Write};

fn main() -> io::Result<()> {
    let mut lines: Vec<_> = env::vars_os()
        .map(|(key, value)| {
            [key.as_encoded_bytes(), b"=", value.as_encoded_bytes(), b"\n"].concat()
        })
        .collect();
    lines.sort();
    io::stdout().write_all(&lines.concat())
}
