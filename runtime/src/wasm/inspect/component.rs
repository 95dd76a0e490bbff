//! Reads the facts of a component: what it imports and exports, and the modules within it.

use wasmparser::{ComponentExternalKind, KnownCustom, Parser, Payload};

use crate::inspection::{ComponentFacts, Item, Role};

use super::custom;
use super::module::Reader;
use crate::wasm::shape::Shape;

/// The interface of a command, without its version.
const RUN: &str = "wasi:cli/run@";

/// The interface of an answerer of requests, without its version.
const HANDLER: &str = "wasi:http/incoming-handler@";

/// What stands open: a component, or a module within one.
enum Open {
    Component,
    Module { reader: Box<Reader>, start: usize },
}

/// The facts, as far as the component can be read.
pub(super) fn facts(bytes: &[u8]) -> ComponentFacts {
    let mut facts = ComponentFacts::default();
    let mut open: Vec<Open> = Vec::new();
    for payload in Parser::new(0).parse_all(bytes).map_while(Result::ok) {
        match payload {
            Payload::Version { .. } if open.is_empty() => open.push(Open::Component),
            Payload::ModuleSection { unchecked_range, .. } => {
                let start = unchecked_range.start;
                open.push(Open::Module { reader: Box::default(), start });
            }
            Payload::ComponentSection { .. } => {
                facts.components += 1;
                open.push(Open::Component);
            }
            Payload::End(end) => {
                if let Some(Open::Module { reader, start }) = open.pop() {
                    let shape = bytes.get(start..end).and_then(|module| Shape::of(module).ok());
                    facts.modules.push(reader.finish(shape.as_ref()));
                }
            }
            payload => match &mut open[..] {
                // What can't be read of a module is left out, as of the component.
                [.., Open::Module { reader, .. }] => drop(reader.take(payload)),
                [_] => take(&mut facts, payload),
                _ => {}
            },
        }
    }
    facts.role = role(&facts);
    facts.least_memory_bytes =
        facts.modules.iter().fold(0, |sum, module| module.least_memory_bytes.saturating_add(sum));
    facts
}

fn take(facts: &mut ComponentFacts, payload: Payload<'_>) {
    match payload {
        Payload::ComponentImportSection(imports) => {
            let imports = imports.into_iter().flatten();
            facts.imports.extend(imports.map(|import| item(import.name.name, import.ty.kind())));
        }
        Payload::ComponentExportSection(exports) => {
            let exports = exports.into_iter().flatten();
            facts.exports.extend(exports.map(|export| item(export.name.name, export.kind)));
        }
        Payload::CustomSection(section) => {
            custom::list(&mut facts.custom_sections, section.name(), section.data());
            if let KnownCustom::Producers(fields) = section.as_known() {
                facts.producers = custom::producers(fields);
            }
        }
        _ => {}
    }
}

fn item(name: &str, kind: ComponentExternalKind) -> Item {
    let kind = match kind {
        ComponentExternalKind::Module => "module",
        ComponentExternalKind::Func => "func",
        ComponentExternalKind::Value => "value",
        ComponentExternalKind::Type => "type",
        ComponentExternalKind::Instance => "instance",
        ComponentExternalKind::Component => "component",
    };
    Item { name: name.to_owned(), kind, ty: String::new() }
}

fn role(facts: &ComponentFacts) -> Role {
    let exports = |start: &str| facts.exports.iter().any(|item| item.name.starts_with(start));
    if exports(RUN) {
        Role::Command
    } else if exports(HANDLER) {
        Role::HttpHandler
    } else {
        Role::Plain
    }
}
