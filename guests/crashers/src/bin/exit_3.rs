//! Dies of: exit code 3.
//! Both walls: exit code 3.

fn main() {
    std::process::exit(3);
}
