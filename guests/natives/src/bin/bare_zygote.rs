//! Dies of: nothing. For each line that it reads it starts the program it was given, with the line as its argument, waits for
//! its end, and writes whether that was good: a bench runs it outside of any wall, to have something to compare with.

use std::io::{BufRead as _, Write as _};
use std::process::{Command, Stdio};

fn main() -> std::io::Result<()> {
    let Some(program) = std::env::args_os().nth(1) else { return Ok(()) };
    let mut answers = std::io::stdout().lock();
    for word in std::io::stdin().lock().lines() {
        let mut command = Command::new(&program);
        command.arg(word?).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        answers.write_all(&[u8::from(command.status()?.success())])?;
        answers.flush()?;
    }
    Ok(())
}
