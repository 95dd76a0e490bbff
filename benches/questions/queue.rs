//! What a task costs that waits, and what is kept of it: one of the questions, by itself. `queue --check` fails where a goal is
//! missed.

mod waiting;

use std::process::ExitCode;

use sandtrap_benches::notebook;

fn main() -> ExitCode {
    waiting::ask();
    let is_checked = std::env::args().any(|word| word == "--check");
    let are_met = notebook::rows().iter().all(|row| row.sense.is_met(row.figure, row.goal));
    if is_checked && !are_met { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
