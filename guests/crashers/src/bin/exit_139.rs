//! Dies of: exit code 139, the one by which a shell says SIGSEGV. There was no signal.
//! Native wall: exit code 139. Wasm wall: the same, where the host lets it pass; wasmtime's own
//! `proc_exit` takes no code above 125 and ends the run with an error instead.

fn main() {
    std::process::exit(139);
}
