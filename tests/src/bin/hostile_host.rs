//! A host that runs the table of hostile modules a few times, and counts after each time what it holds.
//!
//! It is a process of its own, so that one that brought it down would be seen as just that.

use sandtrap::Runtime;
use sandtrap_tests::hostile::{self, trial};
use sandtrap_tests::soak::Counted;

#[expect(clippy::print_stdout, reason = "what it prints is what it is for")]
fn main() {
    let passes: usize = std::env::args().nth(1).and_then(|word| word.parse().ok()).unwrap_or(1);
    // A small pool: what it keeps ready for modules that come again is not what is counted here.
    let runtime = Runtime::builder().instances(4).build().expect("a runtime");
    let rows = hostile::table();
    for _ in 0..passes {
        for wrong in trial::run(&runtime, &rows) {
            println!("wrong: {wrong}");
        }
        let Counted { resident_kib, descriptors, children, .. } = Counted::now();
        println!("counted: {resident_kib} {descriptors} {children}");
    }
}
