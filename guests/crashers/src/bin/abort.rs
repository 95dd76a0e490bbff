//! Dies of: a call to abort, without a word.
//! Native wall: SIGABRT. Wasm wall: `unreachable`.

fn main() {
    std::process::abort();
}
