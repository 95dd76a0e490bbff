//! Dies of: a panic in a function for callers in C, which no panic may leave.
//!
//! Both walls: `failed.panic`, with the message of the panic itself. A process aborts.

extern "C" fn called_by_c(number: i32) -> i32 {
    assert!(number < 0, "a panic below C");
    number
}

#[sandtrap_guest::main]
fn main() {
    std::hint::black_box(called_by_c(std::hint::black_box(7)));
}
