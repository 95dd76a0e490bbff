//! Lives: prints what it sees of clocks, random numbers and floats, asleep for so many milliseconds in between.
#![expect(clippy::print_stdout, reason = "printing is what this guest is for")]

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

fn main() {
    let asleep = std::env::args().nth(1).map_or(0, |text| text.parse().expect("milliseconds"));
    let begin = Instant::now();
    thread::sleep(Duration::from_millis(asleep));
    println!("slept {:?}", begin.elapsed());
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    println!("it is {:?}", since_epoch.expect("a time after the epoch"));
    println!("a random number is {}", RandomState::new().hash_one("seed"));
    // The order of a map comes from random numbers, and with it how much there is to do.
    let map: HashMap<u32, u32> = (0..100).map(|number| (number, number * number)).collect();
    println!("in a map: {:?}", map.keys().collect::<Vec<_>>());
    let nan = black_box(0.0_f64) / black_box(0.0);
    println!("no number is {:#x}", (nan * black_box(-1.0)).to_bits());
}
