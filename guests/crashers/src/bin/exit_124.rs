//! Dies of: exit code 124, the one by which timeout(1) says that time ran out. Nothing ran out.
//! Both walls: exit code 124.

fn main() {
    std::process::exit(124);
}
