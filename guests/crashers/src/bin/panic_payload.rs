//! Dies of: a Rust panic whose payload is no string, so that its message is only `Box<dyn Any>`.
//! Native wall: exit code 101. Wasm wall: `unreachable`.

struct Payload {
    code: u32,
}

fn main() {
    let payload = Payload { code: 7 };
    assert_eq!(payload.code, 7);
    std::panic::panic_any(payload);
}
