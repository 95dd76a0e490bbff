//! Lives: plays some of the cases of `sandtrap selftest` that need nothing of its host, as a static build of the command
//! would: asked in the same way, and answering in the same words. Whoever doesn't ask hears nothing.

use std::env;
use std::io::Write as _;
use std::process::{abort, exit};

fn main() {
    let asked: Vec<String> = env::args().skip(1).take(2).collect();
    let version = env::var("SANDTRAP_SELFTEST").unwrap_or_default();
    let [entrance, case] = &asked[..] else { return };
    if entrance != "sandtrap-tries-an-abuse" || version != env!("CARGO_PKG_VERSION") {
        return;
    }
    match case.as_str() {
        "who" => {
            let answer = concat!("refused: sandtrap ", env!("CARGO_PKG_VERSION"), "\n");
            // Its exit code would say it, too.
            let _ = std::io::stdout().write_all(answer.as_bytes());
        }
        "abort" => abort(),
        "exit-3" => exit(3),
        // It was asked for a case that it doesn't know.
        _ => exit(43),
    }
}
