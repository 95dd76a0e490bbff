//! Has a module export its own stack pointer, before it is compiled.
//!
//! After an access out of bounds the pointer says whether the guest has overrun its stack, but most modules
//! keep it to themselves. The engine's dump of a dead guest would show it, and makes every trap cost half as
//! much again. One more export costs nothing: nobody can call it, and nobody else is told of it.

use wasmparser::{Parser, Payload};

/// What the pointer is exported as.
pub(super) const STACK_POINTER: &str = "sandtrap:stack-pointer";

/// The number of the section of exports, and that of a global among exports.
const EXPORTS: u8 = 7;
const GLOBAL: u8 = 3;

/// The module with one more export, of this global. `None` if it exports nothing, or this already.
pub(super) fn with_pointer(module: &[u8], global: u32) -> Option<Vec<u8>> {
    // Where the section before ends; the first one stands behind the header.
    let mut end = 8;
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload.ok()?;
        if let Payload::ExportSection(exports) = &payload {
            let range = exports.range();
            let mut entries = exports.clone().into_iter();
            if entries.any(|export| export.is_ok_and(|export| export.name == STACK_POINTER)) {
                return None;
            }
            let content = module.get(range.clone())?;
            let mut extended = number(exports.count().checked_add(1)?);
            extended.extend_from_slice(content.get(length_of_number(content)?..)?);
            extended.extend(number(u32::try_from(STACK_POINTER.len()).ok()?));
            extended.extend_from_slice(STACK_POINTER.as_bytes());
            extended.push(GLOBAL);
            extended.extend(number(global));
            let mut out = Vec::with_capacity(module.len() + extended.len());
            out.extend_from_slice(module.get(..end)?);
            out.push(EXPORTS);
            out.extend(number(u32::try_from(extended.len()).ok()?));
            out.extend(extended);
            out.extend_from_slice(module.get(range.end..)?);
            return Some(out);
        }
        if let Some((_, range)) = payload.as_section() {
            end = range.end;
        }
    }
    None
}

/// A number, as modules write it: seven bits in each byte, the lowest first.
fn number(mut value: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

fn length_of_number(bytes: &[u8]) -> Option<usize> {
    Some(bytes.iter().position(|byte| byte & 0x80 == 0)? + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmtime::{Engine, Module};

    fn exports(module: &[u8]) -> Vec<String> {
        let module = Module::new(&Engine::default(), module).unwrap();
        module.exports().map(|export| export.name().to_owned()).collect()
    }

    #[test]
    fn a_module_exports_one_thing_more_and_is_the_same_otherwise() {
        let many: String = (0..200).map(|n| format!("(func (export \"f{n}\"))")).collect();
        for body in ["(func (export \"_start\"))", "(memory (export \"memory\") 1)", &many] {
            let text = format!(
                "(module (import \"a\" \"b\" (func)) (global (mut i32) (i32.const 7)) {body} (data \"x\"))"
            );
            let module = wat::parse_str(&text).unwrap();
            let exposed = with_pointer(&module, 0).unwrap();
            let mut expected = exports(&module);
            expected.push(STACK_POINTER.to_owned());
            assert_eq!(exports(&exposed), expected);
            assert_eq!(with_pointer(&exposed, 0), None, "once is enough");
        }
        assert_eq!(with_pointer(&wat::parse_str("(module (func))").unwrap(), 0), None);
    }

    #[test]
    fn numbers_are_written_as_modules_do() {
        for (value, bytes) in
            [(0, &[0][..]), (127, &[127]), (128, &[0x80, 1]), (u32::MAX, &[255, 255, 255, 255, 15])]
        {
            assert_eq!(number(value), bytes);
            assert_eq!(length_of_number(&number(value)), Some(bytes.len()));
        }
    }
}
