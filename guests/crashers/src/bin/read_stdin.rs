//! Dies of: nothing by itself: it reads stdin for ever, at the end of the file too.
//! Both walls: the time limit (asleep while stdin stays open and empty, busy once it has ended).

use std::io::{self, Read};

fn main() {
    let mut chunk = [0_u8; 4096];
    let mut input = io::stdin().lock();
    loop {
        let _ = input.read(&mut chunk);
    }
}
