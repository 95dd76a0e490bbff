//! Dies of: nothing by itself: a thread other than the first runs exec, and that computes for ever.
//! The limit on processor time. The thread gets the number of the first one, which vanishes
//! without an end of its own. (Code 9: no exec allowed.)

use std::hint::black_box;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};
use std::{env, thread};

fn main() -> ExitCode {
    if env::args().nth(1).as_deref() == Some("again") {
        let mut turns = 0_u64;
        loop {
            turns = black_box(turns.wrapping_add(1));
        }
    }
    // It comes back only if it was refused.
    let own = env::args_os().next().unwrap_or_default();
    let exec = || Command::new(own).arg("again").exec();
    let _refusal = thread::spawn(exec).join();
    ExitCode::from(9)
}
