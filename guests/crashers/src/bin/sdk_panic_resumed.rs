//! Dies of: a panic that was resumed, with words that no hook has seen.
//!
//! Both walls: `failed.panic`, without a place. A process tells the words; a module ends before anybody could read them.

#[sandtrap_guest::main]
fn main() {
    std::panic::resume_unwind(Box::new("words that no hook has seen"));
}
