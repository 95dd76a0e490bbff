//! Tells whether a frame of a backtrace lies in a certain module of a component.
//!
//! The engine gives a frame's place as an offset, and makes modules of its own for what is passed between
//! two components, with offsets of their own, which mean nothing in the component. So the offset alone
//! does not say in which module a frame lies. The module's face, as the engine shows it, has to fit, too.

use serde::{Deserialize, Serialize};
use wasmparser::{Parser, Payload, Result};
use wasmtime::Module;

/// What of a module is seen from outside, as far as it takes to know it again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Face {
    imports: usize,
    exports: usize,
    first_import: Option<(String, String)>,
    first_export: Option<String>,
}

impl Face {
    /// The face of a module that is read.
    pub(super) fn of(module: &[u8]) -> Result<Self> {
        let mut face = Self::default();
        for payload in Parser::new(0).parse_all(module) {
            match payload? {
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        let import = import?;
                        let name = || (import.module.to_owned(), import.name.to_owned());
                        face.first_import.get_or_insert_with(name);
                        face.imports += 1;
                    }
                }
                Payload::ExportSection(exports) => {
                    face.exports = exports.count() as usize;
                    let first = exports.into_iter().next().transpose()?;
                    face.first_export = first.map(|export| export.name.to_owned());
                }
                Payload::CodeSectionStart { .. } => break,
                _ => {}
            }
        }
        Ok(face)
    }

    /// The face of a module that was compiled.
    pub(super) fn of_compiled(module: &Module) -> Self {
        let import = module.imports().next();
        Self {
            imports: module.imports().len(),
            exports: module.exports().len(),
            first_import: import.map(|it| (it.module().to_owned(), it.name().to_owned())),
            first_export: module.exports().next().map(|it| it.name().to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compiled_module_has_the_face_that_was_read() {
        let engine = wasmtime::Engine::default();
        for text in [
            "(module)",
            r#"(module (import "a" "b" (func)) (import "a" "c" (func)) (memory (export "m") 1)
                 (func (export "f")))"#,
        ] {
            let bytes = wat::parse_str(text).unwrap();
            let module = Module::new(&engine, &bytes).unwrap();
            assert_eq!(Face::of(&bytes).unwrap(), Face::of_compiled(&module));
        }
    }
}
