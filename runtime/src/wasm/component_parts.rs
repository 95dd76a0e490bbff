//! What a component is put together from: its core modules, and which of them become instances, in order.
//!
//! A component is a program for a linker: it defines modules and other components, and says what is made of
//! them. That program is followed here, as far as it goes without knowing what is passed in from outside.
//! It tells what the host has to keep for a guest before one exists, and, after its end, whose global is
//! whose in the engine's one long list of them.

use std::ops::Range;
use std::rc::Rc;

use serde::{Deserialize, Serialize};
use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind, Instance,
    Parser, Payload, Result,
};
use wasmtime::FrameInfo;

use super::component_face::Face;
use super::meter::{Element, MOST_OF_EACH};
use super::shape::Shape;

/// The most core instances that a component may be made of. Linked libraries of whole languages are dozens.
pub(super) const MOST_INSTANCES: usize = 500;

/// The most components within components. What is more is not followed: it could be nested as deep.
pub(super) const MOST_COMPONENTS: usize = 1_000;

/// How many instances of components are followed. Most hold a module; one that holds nothing costs a step, too.
const MOST_STEPS: usize = 20_000;

/// How many functions and how many globals all instances may have together: as many as one module can.
const MOST_FUNCTIONS: u64 = 1_000_000;

/// One core module within a component.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Part {
    /// Where it stands in the component.
    pub(super) range: Range<usize>,
    pub(super) shape: Shape,
    face: Face,
}

/// All parts of a component.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Parts {
    pub(super) modules: Vec<Part>,
    /// The modules that become instances, in their order. `None` is one that is passed in.
    pub(super) instances: Vec<Option<usize>>,
    /// How many components are defined within it.
    pub(super) components: usize,
    /// How many steps it takes to put it together, as far as that was followed.
    steps: usize,
}

/// What happens when a component is instantiated.
#[derive(Clone)]
enum Step {
    Module(Option<usize>),
    Component(Option<Rc<[Step]>>),
}

/// A component that is being read.
#[derive(Default)]
struct Scope {
    modules: Vec<Option<usize>>,
    components: Vec<Option<Rc<[Step]>>>,
    steps: Vec<Step>,
}

impl Parts {
    /// Reads a component. Whether it is valid is for the engine to find out afterwards.
    pub(super) fn of(bytes: &[u8]) -> Result<Self> {
        let mut parts = Self::default();
        let mut scopes: Vec<Scope> = Vec::new();
        // Within a module, which was read as a whole already.
        let mut is_module = false;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload? {
                Payload::ModuleSection { unchecked_range: range, .. } => {
                    is_module = true;
                    let index = parts.add(bytes, range)?;
                    let scope = scopes.last_mut();
                    scope.into_iter().for_each(|scope| scope.modules.push(Some(index)));
                }
                Payload::End(_) if is_module => is_module = false,
                _ if is_module => {}
                Payload::ComponentSection { .. } => {
                    parts.components += 1;
                    if parts.components > MOST_COMPONENTS {
                        break;
                    }
                }
                Payload::Version { .. } => scopes.push(Scope::default()),
                Payload::End(_) => {
                    let Some(done) = scopes.pop() else { break };
                    match scopes.last_mut() {
                        Some(outer) => outer.components.push(Some(done.steps.into())),
                        None => parts.expand(&done.steps),
                    }
                }
                payload => follow(payload, &mut scopes)?,
            }
        }
        Ok(parts)
    }

    /// Writes down which modules become instances. Components within components can double at every step, those that
    /// hold nothing as well, so it ends when there are more than anybody may have.
    fn expand(&mut self, steps: &[Step]) {
        for step in steps {
            if self.instances.len() > MOST_INSTANCES || self.steps > MOST_STEPS {
                return;
            }
            self.steps += 1;
            match step {
                Step::Module(module) => self.instances.push(*module),
                Step::Component(Some(steps)) => self.expand(steps),
                Step::Component(None) => self.instances.push(None),
            }
        }
    }

    fn add(&mut self, bytes: &[u8], range: Range<usize>) -> Result<usize> {
        let module = bytes.get(range.clone()).unwrap_or_default();
        self.modules.push(Part { range, shape: Shape::of(module)?, face: Face::of(module)? });
        Ok(self.modules.len() - 1)
    }

    /// A component of more instances than anybody needs is refused: each costs the host something that no
    /// limit of the task counts. Says what is too much.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.shapes().any(|shape| shape.shares_memory) {
            let fault = "declares a memory to share between threads; build it for a single thread";
            return Err(fault.to_owned());
        }
        let sum = |count: fn(&Shape) -> u64| self.shapes().map(count).fold(0, u64::saturating_add);
        let most_of_each = MOST_OF_EACH as u64;
        for (kind, count, most) in [
            ("components", self.components as u64, MOST_COMPONENTS as u64),
            ("steps to be put together", self.steps as u64, MOST_STEPS as u64),
            ("instances when it runs", self.instances.len() as u64, MOST_INSTANCES as u64),
            ("memories when it runs", sum(|shape| shape.memories as u64), most_of_each),
            ("tables when it runs", sum(|shape| shape.tables as u64), most_of_each),
            ("functions in its instances", sum(|shape| shape.functions), MOST_FUNCTIONS),
            ("globals in its instances", sum(|shape| shape.globals as u64), MOST_FUNCTIONS),
        ] {
            if count > most {
                return Err(format!("has too many {kind}; at most {most} are possible"));
            }
        }
        Ok(())
    }

    /// The part in which a frame lies, and where there.
    pub(super) fn of_frame(&self, frame: &FrameInfo) -> Option<(usize, usize)> {
        let (index, offset) = self.at(frame.module_offset()?)?;
        let is_it = self.modules[index].face == Face::of_compiled(frame.module());
        is_it.then_some((index, offset))
    }

    /// The part in which an offset of the component lies, and where there.
    fn at(&self, offset: usize) -> Option<(usize, usize)> {
        let index = self.modules.iter().position(|part| part.range.contains(&offset))?;
        Some((index, offset - self.modules[index].range.start))
    }

    /// Everything that is instantiated, as far as it is known.
    pub(super) fn shapes(&self) -> impl Iterator<Item = &Shape> {
        self.instances.iter().flatten().filter_map(|index| Some(&self.modules.get(*index)?.shape))
    }

    /// What an element of its tables is counted as: the most that one of them is, for one meter counts them all.
    pub(super) fn element(&self) -> Element {
        match self.shapes().any(|shape| shape.element == Element::Reference) {
            true => Element::Reference,
            false => Element::Function,
        }
    }

    /// Where the globals of a module begin in the list of all, and how many there are in all. `None` if
    /// the module has no or more than one instance, or if not everything is known.
    pub(super) fn globals_of(&self, module: usize) -> Option<(usize, usize)> {
        let mut all = 0;
        let mut begins = Vec::new();
        for index in &self.instances {
            let index = (*index)?;
            if index == module {
                begins.push(all);
            }
            all += self.modules.get(index)?.shape.globals;
        }
        match begins[..] {
            [begin] => Some((begin, all)),
            _ => None,
        }
    }
}

/// Follows one section of the component that is being read, which is the last of the scopes.
fn follow(payload: Payload<'_>, scopes: &mut [Scope]) -> Result<()> {
    let Some((scope, outer)) = scopes.split_last_mut() else { return Ok(()) };
    match payload {
        Payload::InstanceSection(instances) => {
            for instance in instances {
                if let Instance::Instantiate { module_index, .. } = instance? {
                    scope.steps.push(Step::Module(scope.module(module_index)));
                }
            }
        }
        Payload::ComponentInstanceSection(instances) => {
            for instance in instances {
                if let ComponentInstance::Instantiate { component_index, .. } = instance? {
                    scope.steps.push(Step::Component(scope.component(component_index)));
                }
            }
        }
        Payload::ComponentAliasSection(aliases) => {
            for alias in aliases {
                scope.alias(&alias?, outer);
            }
        }
        Payload::ComponentImportSection(imports) => {
            for import in imports {
                scope.define(import?.ty.kind(), None);
            }
        }
        Payload::ComponentExportSection(exports) => {
            for export in exports {
                let export = export?;
                scope.define(export.kind, Some(export.index));
            }
        }
        _ => {}
    }
    Ok(())
}

impl Scope {
    fn module(&self, index: u32) -> Option<usize> {
        self.modules.get(index as usize).copied().flatten()
    }

    fn component(&self, index: u32) -> Option<Rc<[Step]>> {
        self.components.get(index as usize).cloned().flatten()
    }

    /// Takes in one more name for something of this component, or for something from outside.
    fn define(&mut self, kind: ComponentExternalKind, index: Option<u32>) {
        match kind {
            ComponentExternalKind::Module => {
                let module = index.and_then(|index| self.module(index));
                self.modules.push(module);
            }
            ComponentExternalKind::Component => {
                let component = index.and_then(|index| self.component(index));
                self.components.push(component);
            }
            _ => {}
        }
    }

    fn alias(&mut self, alias: &ComponentAlias<'_>, outer: &[Self]) {
        match *alias {
            ComponentAlias::InstanceExport { kind, .. } => self.define(kind, None),
            ComponentAlias::CoreInstanceExport { .. } => {}
            ComponentAlias::Outer { kind, count, index } => {
                // Zero is this component itself, one the component around it.
                let around = outer.iter().rev().nth((count as usize).wrapping_sub(1));
                let place = if count == 0 { Some(&*self) } else { around };
                match kind {
                    ComponentOuterAliasKind::CoreModule => {
                        let module = place.and_then(|scope| scope.module(index));
                        self.modules.push(module);
                    }
                    ComponentOuterAliasKind::Component => {
                        let component = place.and_then(|scope| scope.component(index));
                        self.components.push(component);
                    }
                    ComponentOuterAliasKind::CoreType | ComponentOuterAliasKind::Type => {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Parts {
        Parts::of(&wat::parse_str(format!("(component {text})")).unwrap()).unwrap()
    }

    const TWO: &str = "(core module $one (global i32 (i32.const 1)) (memory 1))
                       (core module $two (global i32 (i32.const 1)) (global i32 (i32.const 1)))";

    #[test]
    fn instances_are_found_in_their_order() {
        let parts = parts(&format!(
            "{TWO} (core instance (instantiate $two)) (core instance (instantiate $one))
             (core instance (instantiate $two))"
        ));
        assert_eq!(parts.instances, [Some(1), Some(0), Some(1)]);
        assert_eq!(parts.globals_of(0), Some((2, 5)));
        assert_eq!(parts.globals_of(1), None, "it is there twice");
        let second = &parts.modules[1].range;
        assert_eq!(parts.at(second.start + 3), Some((1, 3)));
        assert_eq!(parts.at(second.end), None);
    }

    #[test]
    fn components_within_components_are_followed() {
        let parts = parts(&format!(
            "{TWO}
             (component $inner
               (alias outer 1 $two (core module $mine)) (core instance (instantiate $mine)))
             (instance (instantiate $inner)) (core instance (instantiate $one))
             (instance (instantiate $inner))"
        ));
        assert_eq!(parts.instances, [Some(1), Some(0), Some(1)]);
    }

    #[test]
    fn what_is_passed_in_is_unknown() {
        let parts = parts(
            "(import \"m\" (core module $passed)) (core module $own)
             (core instance (instantiate $passed)) (core instance (instantiate $own))",
        );
        assert_eq!(parts.instances, [None, Some(0)]);
        assert_eq!(parts.globals_of(0), None);
    }

    #[test]
    fn however_deep_components_are_nested_they_are_followed_only_so_far() {
        let mut text = "(component $c0)".to_owned();
        for step in 0..2 * MOST_COMPONENTS {
            text += &format!(
                "(component $c{} (alias outer 1 $c{step} (component $it)) (instance (instantiate $it)))",
                step + 1
            );
        }
        assert_eq!(parts(&text).components, MOST_COMPONENTS + 1);
    }

    #[test]
    fn damaged_components_are_read_without_harm() {
        let text = format!(
            "(component {TWO} (component $c (alias outer 1 $two (core module $mine))
               (core instance (instantiate $mine)))
             (instance $i (instantiate $c)) (core instance (instantiate $one)))"
        );
        let whole = wat::parse_str(text).unwrap();
        let mut random = 1_u64;
        for round in 0..20_000 {
            let mut bytes = whole.clone();
            for _ in 0..=round % 3 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let at = (random >> 33) as usize % bytes.len();
                bytes[at] = (random >> 24) as u8;
            }
            if let Ok(parts) = Parts::of(&bytes) {
                let shapes = parts.shapes().map(|shape| shape.least_memory);
                let _ = (shapes.fold(0, u64::saturating_add), parts.globals_of(0), parts.at(9));
            }
        }
    }

    #[test]
    fn a_component_that_doubles_at_each_step_is_not_followed_to_its_end() {
        let mut text =
            "(component $c0 (core module $m) (core instance (instantiate $m)))".to_owned();
        for step in 0..40 {
            text += &format!(
                "(component $c{} (alias outer 1 $c{step} (component $it))
                   (instance (instantiate $it)) (instance (instantiate $it)))",
                step + 1
            );
        }
        text += "(instance (instantiate $c40))";
        assert_eq!(parts(&text).instances.len(), MOST_INSTANCES + 1);
    }
    #[test]
    fn components_that_hold_nothing_and_double_at_each_step_are_refused() {
        let mut text = "(component $c0)".to_owned();
        for step in 0..60 {
            text += &format!(
                "(component $c{} (alias outer 1 $c{step} (component $it))
                   (instance (instantiate $it)) (instance (instantiate $it)))",
                step + 1
            );
        }
        let found = parts(&(text + "(instance (instantiate $c60))"));
        assert!(found.instances.is_empty());
        assert!(found.check().unwrap_err().contains("steps to be put together"));
    }
}
