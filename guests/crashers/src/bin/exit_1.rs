//! Dies of: exit code 1.
//! Both walls: exit code 1.

fn main() {
    std::process::exit(1);
}
