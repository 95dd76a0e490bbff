//! Looks at a module or component and runs nothing of it, not even the compiler.

mod component;
mod custom;
mod features;
mod module;
mod needs;

use std::collections::BTreeMap;

use wasmparser::{Chunk, Parser, Payload};
use wasmtime::{Engine, Module};

use crate::evidence::Step;
use crate::inspection::{ComponentFacts, Item, ModuleFacts, Need};
use crate::isolation::LoadError;
use crate::limits::LEAST_MEMORY;
use crate::task::Policy;

use super::compiler::{Heading, Kind, within_bounds};
use super::engines::{Configuration, Engines};
use super::entrance::{cut, list};
use super::imports;
use super::pool::Memory;
use super::shape::Shape;
use super::{seal, source};

/// How much of the engine's words a message shows: names of the module stand in them.
const LONGEST_MESSAGE: usize = 400;

/// What the Wasm wall can say about a program.
pub(crate) struct Looked {
    pub(crate) module: Option<ModuleFacts>,
    pub(crate) component: Option<ComponentFacts>,
    pub(crate) needs: Vec<Need>,
    /// Whether it takes calls with values.
    pub(crate) serves: bool,
    /// Whether the file ends before what it is does.
    pub(crate) is_cut_off: bool,
    /// Why it would not be loaded.
    pub(crate) obstacle: Option<LoadError>,
}

/// Looks at a file that announces itself as a module: by its first bytes, or by its name.
pub(crate) fn look(name: &str, bytes: &[u8]) -> Looked {
    if seal::is_marked(bytes) {
        // What it was made of is not in it to be read; whether its seal is this user's is found out when it is loaded.
        return Looked {
            module: None,
            component: None,
            needs: Vec::new(),
            serves: seal::alleged(bytes).is_some_and(|heading| hears_calls(&heading)),
            is_cut_off: false,
            obstacle: None,
        };
    }
    let read = source::binary(bytes);
    let binary = read.as_deref().unwrap_or(bytes);
    let is_text = read.is_ok() && !bytes.starts_with(source::MAGIC);
    // What is not compiled is not read either: its facts could be as many as the compiler's.
    if binary.starts_with(source::MAGIC)
        && let Err(fault) = within_bounds(binary)
    {
        let is_component = Parser::is_component(binary);
        let module = ModuleFacts { is_text, ..ModuleFacts::default() };
        return Looked {
            module: (!is_component).then_some(module),
            component: is_component.then(ComponentFacts::default),
            needs: Vec::new(),
            serves: false,
            is_cut_off: false,
            obstacle: Some(source::refused(name, &fault)),
        };
    }
    if Parser::is_component(binary) {
        let facts = component::facts(binary);
        let imports = facts.imports.iter().map(|item| (item.name.as_str(), ""));
        let needs = needs::of(imports);
        let names = |items: &[Item]| items.iter().map(|item| item.name.clone()).collect::<Vec<_>>();
        let (imports, exports) = (names(&facts.imports), names(&facts.exports));
        let obstacle = super::component::obstacle(name, binary, &imports, &exports).err();
        let is_cut_off = is_cut_off(binary);
        let component = Some(facts);
        return Looked { module: None, component, needs, serves: true, is_cut_off, obstacle };
    }
    if !binary.starts_with(source::MAGIC) {
        let obstacle = read.err().map(|fault| source::refused(name, &fault));
        return Looked {
            module: None,
            component: None,
            needs: Vec::new(),
            serves: false,
            is_cut_off: false,
            obstacle,
        };
    }
    let mut facts = module_facts(binary);
    facts.is_text = is_text;
    let obstacle = obstacle(name, binary, &mut facts).err();
    let imports = facts.imports.iter().flat_map(|group| {
        group.items.iter().map(|import| (group.module.as_str(), import.item.name.as_str()))
    });
    let needs = needs::of(imports);
    let is_cut_off = is_cut_off(binary);
    let serves = Shape::of(binary).is_ok_and(|shape| shape.hears_calls);
    Looked { module: Some(facts), component: None, needs, serves, is_cut_off, obstacle }
}

fn hears_calls(heading: &Heading) -> bool {
    match heading.outcome.as_ref().map(|facts| &facts.kind) {
        Ok(Kind::Module(shape)) => shape.hears_calls,
        Ok(Kind::Component(_)) => true,
        Err(_) => false,
    }
}

fn module_facts(binary: &[u8]) -> ModuleFacts {
    let mut reader = module::Reader::default();
    for payload in Parser::new(0).parse_all(binary) {
        // The rest can't be read; what was read before stays true.
        if payload.and_then(|payload| reader.take(payload)).is_err() {
            break;
        }
    }
    let shape = Shape::of(binary).ok();
    let mut facts = reader.finish(shape.as_ref());
    facts.least_memory_bytes = facts.least_memory_bytes.max(LEAST_MEMORY.as_u64());
    facts
}

/// Whether a binary ends in the middle of something.
fn is_cut_off(binary: &[u8]) -> bool {
    let mut parser = Parser::new(0);
    let mut rest = binary;
    let mut open = Vec::new();
    loop {
        match parser.parse(rest, false) {
            Ok(Chunk::Parsed { consumed, payload }) => {
                rest = &rest[consumed..];
                match payload {
                    Payload::ModuleSection { parser: inner, .. }
                    | Payload::ComponentSection { parser: inner, .. } => {
                        open.push(std::mem::replace(&mut parser, inner));
                    }
                    Payload::End(_) => match open.pop() {
                        Some(outer) => parser = outer,
                        None => return false,
                    },
                    _ => {}
                }
            }
            // At the end of the outermost one, more sections could follow.
            Ok(Chunk::NeedMoreData(_)) => return !rest.is_empty() || !open.is_empty(),
            Err(_) => return false,
        }
    }
}

/// Goes through what the loader checks, and marks the imports that are offered.
fn obstacle(name: &str, binary: &[u8], facts: &mut ModuleFacts) -> Result<(), LoadError> {
    let usual = Configuration::new(&Policy::default(), Memory::OnDemand);
    let engine = Engines::new(0).get(usual)?;
    mark_offered(&engine.engine, facts)?;
    Module::validate(&engine.engine, binary).map_err(|error| {
        let words = super::ending::words(&error);
        let words = cut(&words, LONGEST_MESSAGE);
        source::refused(name, &format!("is not a valid module: {words}"))
    })?;
    let items = facts.imports.iter().flat_map(|group| {
        group
            .items
            .iter()
            .filter(|import| !import.offered)
            .map(|import| format!("{}.{}", group.module, import.item.name))
    });
    let missing: Vec<String> = items.collect();
    if !missing.is_empty() {
        let detail = format!("`{name}` imports what nobody offers: {}", list(&missing));
        return Err(LoadError::at(Step::Import, detail));
    }
    if facts.memories.iter().any(|memory| memory.is_shared) {
        let fault = "declares a memory to share between threads; build it for a single thread";
        return Err(source::refused(name, fault));
    }
    Ok(())
}

fn mark_offered(engine: &Engine, facts: &mut ModuleFacts) -> Result<(), LoadError> {
    let offered = imports::offered(engine).map_err(|error| {
        LoadError::at(Step::Reserve, format!("the imports on offer can't be listed: {error:#}"))
    })?;
    let offered: BTreeMap<(String, String), String> = offered
        .into_iter()
        .map(|(name, ty)| {
            let list = |types: Vec<String>| types.join(", ");
            let params = list(ty.params().map(|ty| ty.to_string()).collect());
            let results = list(ty.results().map(|ty| ty.to_string()).collect());
            (name, module::signature(&params, &results))
        })
        .collect();
    for group in &mut facts.imports {
        for import in &mut group.items {
            let name = (group.module.clone(), import.item.name.clone());
            import.offered =
                import.item.kind == "func" && offered.get(&name) == Some(&import.item.ty);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_large_to_be_compiled_is_not_looked_into_either() {
        let text = format!("(module{})", " ".repeat(17 << 20));
        let found = look("it", text.as_bytes());
        assert!(found.module.is_none());
        assert!(found.obstacle.unwrap().to_string().contains("load it in its binary form"));
        let imports = "(import \"e\" \"f\" (func))".repeat(20_001);
        let found = look("it", format!("(module {imports})").as_bytes());
        assert!(found.module.unwrap().imports.is_empty());
        assert!(found.obstacle.unwrap().to_string().contains("20001 imports"));
    }
}
