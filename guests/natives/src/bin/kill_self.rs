//! Dies of: SIGKILL that it sends to itself; nobody outside killed it, and no memory ran out.
#![expect(unsafe_code, reason = "kill is a libc call")]

fn main() {
    // SAFETY: plain numbers.
    unsafe { libc::kill(std::process::id().cast_signed(), libc::SIGKILL) };
}
