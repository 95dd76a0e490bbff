//! Writes `docs/acceptance.md` from the names of the tests.

use sandtrap_tests::acceptance;

fn main() -> std::io::Result<()> {
    std::fs::write(acceptance::place(), acceptance::page())
}
