//! Lives: opens /dev/null until it is refused, closes none, and exits with code 0.
//! Exit code 0 where the refusal was EMFILE (its own limit), 9 where it was another.

use std::fs::File;
use std::mem;
use std::process::ExitCode;

fn main() -> ExitCode {
    loop {
        match File::open("/dev/null") {
            Ok(file) => mem::forget(file),
            Err(error) if error.raw_os_error() == Some(libc::EMFILE) => {
                return ExitCode::SUCCESS;
            }
            Err(_) => return ExitCode::from(9),
        }
    }
}
