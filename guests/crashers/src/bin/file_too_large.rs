//! Dies of: a file that grows past the limit on file sizes, in the directory that the variable SCRATCH names.
//! Exit code 9 where nobody stops it.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let folder = std::env::var_os("SCRATCH").expect("the variable SCRATCH");
    let mut file = File::create(Path::new(&folder).join("large")).expect("a file to write");
    let chunk = [b'~'; 64 * 1024];
    for _ in 0..64 {
        if file.write_all(&chunk).is_err() {
            break;
        }
    }
    ExitCode::from(9)
}
