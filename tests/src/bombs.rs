//! Modules that are hard to compile, made on the spot: they would be large as files.

use wasm_encoder::Encode as _;

/// One type without parameters and results, and that many functions of it; the first one is `_start`.
fn module(bodies: &[Vec<u8>]) -> Vec<u8> {
    declaring(0, &[], 0, &[], bodies)
}

/// The same, with more types, and more exports of the first function.
fn declaring(
    types: usize,
    their_bytes: &[u8],
    exports: usize,
    their_names: &[u8],
    bodies: &[Vec<u8>],
) -> Vec<u8> {
    let count = number(bodies.len());
    let code: Vec<u8> =
        bodies.iter().flat_map(|body| [number(body.len()), body.clone()].concat()).collect();
    [
        b"\0asm\x01\0\0\0".to_vec(),
        section(1, &[&number(1 + types)[..], &[0x60, 0, 0], their_bytes].concat()),
        section(3, &[count.clone(), vec![0; bodies.len()]].concat()),
        section(7, &[&number(1 + exports)[..], b"\x06_start\0\0", their_names].concat()),
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

/// Structures, each of which has sixteen fields and is unlike all others; each but the first of 60 lies below another one.
pub fn types(count: usize) -> Vec<u8> {
    let one = |index: usize| {
        let above = match index % 60 {
            0 => vec![0],
            _ => [vec![1], number(index)].concat(),
        };
        let fields = (0..16).flat_map(|bit| [0x7e + ((index / 60) >> bit & 1) as u8, 0]);
        [vec![0x50], above, vec![0x5f, 16], fields.collect()].concat()
    };
    declaring(count, &(0..count).flat_map(one).collect::<Vec<u8>>(), 0, &[], &[b"\0\x0b".to_vec()])
}

/// One function under many names, of eight letters each.
pub fn names(count: usize) -> Vec<u8> {
    let names: Vec<u8> =
        (0..count).flat_map(|name| format!("\x08{name:08}\0\0").into_bytes()).collect();
    declaring(0, &[], count, &names, &[b"\0\x0b".to_vec()])
}

/// A component that has one function under many names, of seven letters each.
pub fn component_of_names(count: usize) -> Vec<u8> {
    let lifted = [&[1, 0, 0, 0][..], &[0], &[0]].concat();
    let names: Vec<u8> = (0..count)
        .flat_map(|name| [format!("\0\x07a{name:06}\x01").into_bytes(), vec![0, 0]].concat())
        .collect();
    [
        b"\0asm\x0d\0\x01\0".to_vec(),
        section(1, &module(&[b"\0\x0b".to_vec()])),
        // One instance of it, its function, a type for that, and the function as one of the component.
        section(2, &[1, 0, 0, 0]),
        section(6, b"\x01\0\0\x01\0\x06_start"),
        section(7, &[1, 0x40, 0, 1, 0]),
        section(8, &lifted),
        section(11, &[number(count), names].concat()),
    ]
    .concat()
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
