//! How a driver talks to the bench: it is told a work and a number, and answers with as many times, in nanoseconds.

use std::io::{BufRead as _, Write as _, stdin, stdout};
use std::time::Instant;

/// Says that it is ready, and then does what it is told until nobody tells it anything.
pub fn serve(name: &str, work: &mut dyn FnMut(&str) -> bool) {
    println!("ready {name}");
    for line in stdin().lock().lines() {
        let Ok(line) = line else { return };
        let Some((what, count)) = line.split_once(' ') else { continue };
        let count: usize = count.parse().unwrap_or(1);
        let mut times = Vec::new();
        for _ in 0..count {
            let began = Instant::now();
            if !work(what) {
                break;
            }
            times.push(began.elapsed().as_nanos().to_string());
        }
        println!("{}", times.join(" "));
        // Whoever asked is gone, if this fails.
        let _ = stdout().flush();
    }
}
