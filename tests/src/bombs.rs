//! Modules that are hard to compile, made on the spot: they would be large as files.

use wasm_encoder::Encode as _;

/// A header, one type without parameters and results, and that many functions of it; the first one is `_start`.
fn module(bodies: &[Vec<u8>]) -> Vec<u8> {
    let count = number(bodies.len());
    let code: Vec<u8> =
        bodies.iter().flat_map(|body| [number(body.len()), body.clone()].concat()).collect();
    [
        b"\0asm\x01\0\0\0".to_vec(),
        section(1, &[1, 0x60, 0, 0]),
        section(3, &[count.clone(), vec![0; bodies.len()]].concat()),
        section(7, b"\x01\x06_start\0\0"),
        section(10, &[count, code].concat()),
    ]
    .concat()
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [vec![id], number(content.len()), content.to_vec()].concat()
}

/// In the format of modules.
fn number(value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.encode(&mut bytes);
    bytes
}

/// Functions that do nothing. A compiler keeps something for each of them.
pub fn empty_functions(count: usize) -> Vec<u8> {
    module(&vec![b"\0\x0b".to_vec(); count])
}

/// One function of about that many bytes.
pub fn one_function(bytes: usize) -> Vec<u8> {
    const PAIR: &[u8] = b"\x41\x01\x1a"; // i32.const 1, drop
    module(&[[b"\0", &PAIR.repeat(bytes / PAIR.len())[..], b"\x0b"].concat()])
}

/// Ordinary functions of about that many bytes together.
pub fn ordinary(bytes: usize) -> Vec<u8> {
    module(&vec![body(); bytes / body().len()])
}

/// The same, and the last one is wrong: it leaves something on its stack.
pub fn wrong_at_its_end(bytes: usize) -> Vec<u8> {
    let mut bodies = vec![body(); bytes / body().len()];
    bodies.push(b"\0\x41\x01\x0b".to_vec());
    module(&bodies)
}

/// A function with a local to which it adds many times.
fn body() -> Vec<u8> {
    const ADD: &[u8] = b"\x41\x01\x20\0\x6a\x21\0"; // i32.const 1, local.get 0, i32.add, local.set 0
    [b"\x01\x01\x7f", &ADD.repeat(160)[..], b"\x0b"].concat()
}
