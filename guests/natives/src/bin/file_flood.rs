//! Dies of: a file that grows past the limit on file sizes.
//! SIGXFSZ. Where there is no limit but the disk fills, exit code 9. The file has no name left.
#![expect(unsafe_code, reason = "the signal is reset through libc")]

use std::env;
use std::fs::{self, File};
use std::io::Write;
use std::process::{self, ExitCode};

fn main() -> ExitCode {
    // SAFETY: signal takes plain numbers.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_DFL) };
    let folder = env::var("SCRATCH").unwrap_or_else(|_| "/tmp".to_owned());
    let path = format!("{folder}/sandtrap-file-flood-{}", process::id());
    let Ok(mut file) = File::create_new(&path) else {
        return ExitCode::from(9);
    };
    let _ = fs::remove_file(&path);
    let chunk = [b'~'; 64 * 1024];
    while file.write_all(&chunk).is_ok() {}
    ExitCode::from(9)
}
