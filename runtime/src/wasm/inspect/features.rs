//! Which parts of WebAssembly a module uses, beyond its first version.

use std::collections::BTreeSet;

use wasmparser::{BlockType, ConstExpr, FuncType, FunctionBody, MemoryType, Operator, TableType};

/// What was met so far, by the names of the proposals.
#[derive(Debug, Default)]
pub(super) struct Features {
    met: BTreeSet<&'static str>,
    memories: u32,
}

impl Features {
    /// Their names, in order.
    pub(super) fn names(&self) -> Vec<String> {
        self.met.iter().map(|name| name.replace('_', "-")).collect()
    }

    pub(super) fn meet(&mut self, name: &'static str) {
        self.met.insert(name);
    }

    pub(super) fn take_function_type(&mut self, ty: &FuncType) {
        if ty.results().len() > 1 {
            self.meet("multi_value");
        }
    }

    pub(super) fn take_memory(&mut self, memory: &MemoryType) {
        self.memories += 1;
        for (is_so, name) in [
            (self.memories > 1, "multi_memory"),
            (memory.memory64, "memory64"),
            (memory.shared, "threads"),
            (memory.page_size_log2.is_some(), "custom_page_sizes"),
        ] {
            if is_so {
                self.meet(name);
            }
        }
    }

    pub(super) fn take_table(&mut self, table: &TableType) {
        if table.table64 {
            self.meet("memory64");
        }
    }

    /// A constant: computing in one is a proposal of its own.
    pub(super) fn take_constant(&mut self, constant: &ConstExpr<'_>) {
        for operator in constant.get_operators_reader().into_iter().flatten() {
            match operator {
                Operator::I32Add
                | Operator::I32Sub
                | Operator::I32Mul
                | Operator::I64Add
                | Operator::I64Sub
                | Operator::I64Mul => self.meet("extended_const"),
                other => self.take_operator(&other),
            }
        }
    }

    /// A function. What can't be read of it is left out.
    pub(super) fn take_body(&mut self, body: &FunctionBody<'_>) {
        let Ok(operators) = body.get_operators_reader() else { return };
        for operator in operators.into_iter().flatten() {
            self.take_operator(&operator);
        }
    }

    fn take_operator(&mut self, operator: &Operator<'_>) {
        if let Operator::Block { blockty: BlockType::FuncType(_) }
        | Operator::Loop { blockty: BlockType::FuncType(_) }
        | Operator::If { blockty: BlockType::FuncType(_) } = operator
        {
            self.meet("multi_value");
        }
        match proposal(operator) {
            "mvp" => {}
            name => self.meet(name),
        }
    }
}

/// The proposal that brought an operator.
fn proposal(operator: &Operator<'_>) -> &'static str {
    macro_rules! table {
        ($(@$proposal:ident $op:ident $({ $($arg:ident: $argty:ty),* })? => $visit:ident ($($ann:tt)*))*) => {
            match operator {
                $(Operator::$op { .. } => stringify!($proposal),)*
                _ => "unknown",
            }
        };
    }
    wasmparser::for_each_operator!(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmparser::{Parser, Payload};

    fn used(body: &str) -> Vec<String> {
        let module = wat::parse_str(format!("(module {body})")).unwrap();
        let mut features = Features::default();
        for payload in Parser::new(0).parse_all(&module) {
            if let Payload::CodeSectionEntry(body) = payload.unwrap() {
                features.take_body(&body);
            }
        }
        features.names()
    }

    #[test]
    fn each_operator_is_known_by_the_proposal_that_brought_it() {
        for (body, expected) in [
            ("(func (drop (i32.add (i32.const 1) (i32.const 2))))", &[][..]),
            ("(func (drop (i32.extend8_s (i32.const 1))))", &["sign-extension"]),
            ("(func $f (return_call $f))", &["tail-call"]),
            ("(func (drop (v128.const i32x4 0 0 0 0)))", &["simd"]),
            (
                "(memory 1) (func (memory.fill (i32.const 0) (i32.const 0) (i32.const 0)))",
                &["bulk-memory"],
            ),
            (
                "(func (block (result i32 i32) (i32.const 1) (i32.const 2)) drop drop)",
                &["multi-value"],
            ),
            ("(tag $t) (func (throw $t))", &["exceptions"]),
        ] {
            assert_eq!(used(body), expected, "{body}");
        }
    }
}
