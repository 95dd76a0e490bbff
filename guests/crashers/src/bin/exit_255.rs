//! Dies of: exit code 255, the highest there is.
//! Native wall: exit code 255. Wasm wall: the same, where the host lets it pass; wasmtime's own
//! `proc_exit` takes no code above 125 and ends the run with an error instead.

fn main() {
    std::process::exit(255);
}
