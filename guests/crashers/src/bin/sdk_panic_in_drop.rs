//! Dies of: a panic in a destructor, while another panic unwinds: nothing may catch that one.
//!
//! Both walls: `failed.panic`. A process aborts, with the words of the second panic; a module ends with the first.

struct Fragile;

impl Drop for Fragile {
    fn drop(&mut self) {
        panic!("the second panic");
    }
}

#[sandtrap_guest::main]
fn main() {
    let _fragile = Fragile;
    panic!("the first panic");
}
