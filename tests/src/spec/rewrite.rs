//! Makes one module out of a module of the specification's tests and the actions on it.
//!
//! Every action becomes an export that takes nothing and returns integers: it does again what was done to the
//! module before, and then calls what is to be tested, in one fresh instance. Floats come back as their bits,
//! vectors as two halves, references as whether they are null. What the tests import from `spectest` is put
//! into the module itself.

use super::additions::{Additions, number_type, splice};
use wasm_encoder::{
    CodeSection, ConstExpr, Encode as _, Function, Instruction, Module, RawSection,
};
use wasmparser::{CompositeInnerType, ExternalKind, FuncType, Parser, Payload, TypeRef, ValType};

/// Why a module can't be taken over.
pub(super) type Reason = &'static str;

/// One call, or one look at a global.
#[derive(Clone, Debug)]
pub(super) struct Action {
    /// The export.
    pub(super) name: String,
    /// Instructions that put its arguments on the stack.
    pub(super) arguments: Vec<Instruction<'static>>,
    /// Whether it is expected to end the instance: it can't be done again then.
    pub(super) traps: bool,
}

/// A module, read as far as its actions need it.
pub(super) struct Original<'a> {
    sections: Vec<(u8, &'a [u8])>,
    types: Vec<Option<FuncType>>,
    imported_functions: Vec<u32>,
    imported_globals: Vec<(ValType, ConstExpr)>,
    imported_tables: u32,
    imported_memories: u32,
    /// The type of each function, imports first.
    functions: Vec<u32>,
    globals: Vec<ValType>,
    exports: Vec<(String, ExternalKind, u32)>,
    bodies: Vec<&'a [u8]>,
    /// Whether one call may see what another one did.
    keeps_state: bool,
}

/// The order of sections: that of the data count stands before code.
const ORDER: [u8; 13] = [1, 2, 3, 4, 5, 13, 6, 7, 8, 9, 12, 10, 11];

impl<'a> Original<'a> {
    /// Reads a valid module. What it imports must come from `spectest`.
    pub(super) fn read(module: &'a [u8]) -> Result<Self, Reason> {
        let mut original = Self {
            sections: Vec::new(),
            types: Vec::new(),
            imported_functions: Vec::new(),
            imported_globals: Vec::new(),
            imported_tables: 0,
            imported_memories: 0,
            functions: Vec::new(),
            globals: Vec::new(),
            exports: Vec::new(),
            bodies: Vec::new(),
            keeps_state: false,
        };
        for payload in Parser::new(0).parse_all(module) {
            let payload = payload.map_err(|_| "the module is of a later version")?;
            if let Some((id, range)) = payload.as_section()
                && id != 0
            {
                original.sections.push((id, &module[range]));
            }
            original.take(payload).map_err(|_| "the module is of a later version")??;
        }
        Ok(original)
    }

    fn take(&mut self, payload: Payload<'a>) -> wasmparser::Result<Result<(), Reason>> {
        match payload {
            Payload::TypeSection(groups) => {
                for group in groups {
                    for ty in group?.types() {
                        self.types.push(match &ty.composite_type.inner {
                            CompositeInnerType::Func(ty) => Some(ty.clone()),
                            _ => {
                                self.keeps_state = true;
                                None
                            }
                        });
                    }
                }
            }
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    let import = import?;
                    if import.module != "spectest" {
                        return Ok(Err("the module imports from another module"));
                    }
                    if let Err(reason) = self.take_import(import.name, import.ty) {
                        return Ok(Err(reason));
                    }
                }
            }
            Payload::FunctionSection(functions) => {
                for ty in functions {
                    self.functions.push(ty?);
                }
            }
            // Segments may be dropped, and what lies in the heap may be changed.
            Payload::TableSection(_)
            | Payload::MemorySection(_)
            | Payload::DataSection(_)
            | Payload::ElementSection(_) => self.keeps_state = true,
            Payload::GlobalSection(globals) => {
                for global in globals {
                    let ty = global?.ty;
                    self.keeps_state |= ty.mutable;
                    self.globals.push(ty.content_type);
                }
            }
            Payload::ExportSection(exports) => {
                for export in exports {
                    let export = export?;
                    self.exports.push((export.name.to_owned(), export.kind, export.index));
                }
            }
            Payload::CodeSectionEntry(body) => self.bodies.push(body.as_bytes()),
            _ => {}
        }
        Ok(Ok(()))
    }

    fn take_import(&mut self, name: &str, ty: TypeRef) -> Result<(), Reason> {
        match ty {
            TypeRef::Func(ty) => {
                self.imported_functions.push(ty);
                self.functions.push(ty);
            }
            TypeRef::Global(global) => {
                let value = match (name, global.content_type) {
                    ("global_i32", ValType::I32) => ConstExpr::i32_const(666),
                    ("global_i64", ValType::I64) => ConstExpr::i64_const(666),
                    ("global_f32", ValType::F32) => ConstExpr::f32_const(666.6_f32.into()),
                    ("global_f64", ValType::F64) => ConstExpr::f64_const(666.6_f64.into()),
                    _ => return Err("the module imports a global of another kind"),
                };
                self.imported_globals.push((global.content_type, value));
                self.globals.push(global.content_type);
            }
            TypeRef::Table(_) if name == "table" && self.imported_tables == 0 => {
                self.imported_tables += 1;
                self.keeps_state = true;
            }
            TypeRef::Memory(_) if name == "memory" && self.imported_memories == 0 => {
                self.imported_memories += 1;
                self.keeps_state = true;
            }
            _ => return Err("the module imports a tag, or a table or memory twice"),
        }
        Ok(())
    }

    fn target(&self, action: &Action) -> Result<Target<'_>, Reason> {
        let found = self.exports.iter().find(|(name, ..)| *name == action.name);
        let (_, kind, index) = found.ok_or("the action names no export")?;
        match kind {
            ExternalKind::Func => {
                let ty =
                    self.functions.get(*index as usize).and_then(|ty| self.types.get(*ty as usize));
                let ty = ty.and_then(Option::as_ref).ok_or("the function has no plain type")?;
                Ok(Target::Function(*index, ty.results()))
            }
            ExternalKind::Global => {
                let ty = self.globals.get(*index as usize).ok_or("the action names no export")?;
                Ok(Target::Global(*index, std::slice::from_ref(ty)))
            }
            _ => Err("the action names no function and no global"),
        }
    }

    /// The module with an export `act:N` for the action N, and `act:` that does nothing.
    pub(super) fn with_actions(&self, actions: &[Action]) -> Result<Vec<u8>, Reason> {
        let mut plus = Additions::new(self.types.len() as u32, self.functions.len() as u32);
        plus.add_function("act:", &[], |_| {});
        let mut before: Option<u32> = None;
        for (number, action) in actions.iter().enumerate() {
            let target = self.target(action)?;
            let results = target.results();
            plus.add_function(&format!("act:{number}"), results, |function| {
                if let (Some(before), true) = (before, self.keeps_state) {
                    function.instruction(&Instruction::Call(before));
                }
                target.enter(action, function);
            });
            if self.keeps_state && !action.traps && matches!(target, Target::Function(..)) {
                let index = plus.add_function("", &[], |function| {
                    if let Some(before) = before {
                        function.instruction(&Instruction::Call(before));
                    }
                    target.enter(action, function);
                    for _ in results {
                        function.instruction(&Instruction::Drop);
                    }
                });
                before = Some(index);
            }
        }
        Ok(self.assemble(&plus))
    }

    fn assemble(&self, plus: &Additions) -> Vec<u8> {
        let mut module = Module::new();
        for id in ORDER {
            let old = self.sections.iter().find(|(known, _)| *known == id).map(|(_, data)| *data);
            let data = match id {
                1 => splice(old, (0, &[]), (plus.count, &plus.types)),
                2 => continue,
                3 => splice(
                    old,
                    (self.imported_functions.len(), &self.stubs()),
                    (plus.count, &plus.functions),
                ),
                4 if self.imported_tables > 0 => {
                    // As `spectest` has it: from 10 elements to 20.
                    splice(old, (1, &[0x70, 1, 10, 20]), (0, &[]))
                }
                5 if self.imported_memories > 0 => splice(old, (1, &[1, 1, 2]), (0, &[])),
                6 if !self.imported_globals.is_empty() => {
                    splice(old, (self.imported_globals.len(), &self.global_entries()), (0, &[]))
                }
                7 => splice(old, (0, &[]), (plus.names, &plus.exports)),
                10 => {
                    self.code(plus, &mut module);
                    continue;
                }
                _ => match old {
                    Some(old) => old.to_vec(),
                    None => continue,
                },
            };
            module.section(&RawSection { id, data: &data });
        }
        module.finish()
    }

    fn stubs(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for ty in &self.imported_functions {
            ty.encode(&mut bytes);
        }
        bytes
    }

    fn global_entries(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (ty, value) in &self.imported_globals {
            bytes.extend([number_type(*ty), 0]);
            value.encode(&mut bytes);
        }
        bytes
    }

    fn code(&self, plus: &Additions, module: &mut Module) {
        let mut code = CodeSection::new();
        for ty in &self.imported_functions {
            let mut function = Function::new([]);
            let results = self.types[*ty as usize].as_ref().map_or(0, |ty| ty.results().len());
            // Those of `spectest` only print.
            if results > 0 {
                function.instruction(&Instruction::Unreachable);
            }
            function.instruction(&Instruction::End);
            code.function(&function);
        }
        for body in &self.bodies {
            code.raw(body);
        }
        for function in &plus.bodies {
            code.function(function);
        }
        module.section(&code);
    }
}

enum Target<'a> {
    Function(u32, &'a [ValType]),
    Global(u32, &'a [ValType]),
}

impl<'a> Target<'a> {
    fn results(&self) -> &'a [ValType] {
        match self {
            Self::Function(_, results) | Self::Global(_, results) => results,
        }
    }

    fn enter(&self, action: &Action, function: &mut Function) {
        match self {
            Self::Function(index, _) => {
                for argument in &action.arguments {
                    function.instruction(argument);
                }
                function.instruction(&Instruction::Call(*index));
            }
            Self::Global(index, _) => {
                function.instruction(&Instruction::GlobalGet(*index));
            }
        }
    }
}
