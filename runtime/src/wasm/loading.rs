//! From a program to its compiled module: out of the cache, out of a sealed file, or from a compiler.
//!
//! 1. A file whose marks are known is not read: its code is in the cache.
//! 2. Otherwise one pass over the bytes finds their hash and refuses shapes that no compiler should see.
//! 3. The same content may be in the cache under another file's marks.
//! 4. A module of one's own is compiled here; an untrusted one in a confined process. Where that can't be had, it
//!    is refused, or compiled here and the missing guard named, as the policy says.

use std::io::{Read as _, Seek as _, Write};
use std::sync::Arc;
use std::time::Instant;

use wasmtime::Module;
use wasmtime::component::Component;

use crate::evidence::{Guard, GuardState, Step};
use crate::isolation::{LoadError, StopHandle};
use crate::task::{Policy, Program};
use crate::trust::Trust;

use super::bounds::Early;
use super::cache::{Cache, Hit, Identity, Key};
use super::code::{self, Code};
use super::compiler::{
    Compiler, Facts, Heading, InProcess, Kind, Material, NotCompiled, Order, beyond_bounds,
    no_room, out_of_time, too_small,
};
use super::component_parts::Parts;
use super::engines::{Configuration, Engines, GuestEngine};
use super::intake::{Compiled, Intake, Taken};
use super::pool::Memory;
use super::scan::scan;
use super::seal::{self, Unsealed};
use super::shape::Shape;
use super::source::{Content, Source};
use super::turns::Turns;

/// The name of the guard around an untrusted module while it is compiled.
const GUARD: &str = "compile-confinement";

/// What modules are compiled with.
#[derive(Clone, Default)]
pub(crate) struct Tools {
    /// Compiles in a confined process, if that is set up.
    confined: Option<Arc<dyn Compiler>>,
    /// Keeps what was compiled.
    cache: Option<Arc<Cache>>,
    /// Sees to it that many threads don't compile the same thing.
    turns: Arc<Turns>,
}

impl Tools {
    pub(crate) fn new(confined: Option<Arc<dyn Compiler>>, cache: Option<Arc<Cache>>) -> Self {
        Self { confined, cache, turns: Arc::default() }
    }
}

/// Loads programs for the engines of one configuration.
pub(super) struct Loader<'a> {
    pub(super) engines: &'a Engines,
    pub(super) configuration: Configuration,
    /// Names those engines.
    pub(super) fingerprint: Arc<str>,
    /// Whether core dumps are wanted.
    pub(super) dumps: bool,
    pub(super) tools: &'a Tools,
    pub(super) policy: &'a Policy,
    pub(super) stop: &'a StopHandle,
    pub(super) began: Instant,
}

/// A module or a component, loaded into the engine that runs it.
pub(super) struct Loaded {
    pub(super) engine: Arc<GuestEngine>,
    pub(super) machine: Machine,
    /// What stood around its compiler.
    pub(super) guard: Guard,
}

/// Compiled code in an engine, and what is known of it.
pub(super) enum Machine {
    Module(Module, Shape),
    Component(Component, Parts),
}

/// Compiled code that is not loaded yet.
struct Found {
    facts: Facts,
    code: Code,
    key: Key,
    guard: Guard,
}

impl From<Hit> for Found {
    fn from(hit: Hit) -> Self {
        // Nothing is compiled, so there is nothing to be confined.
        Self { facts: hit.facts, code: hit.code, key: hit.key, guard: Guard::in_force(GUARD) }
    }
}

impl Loader<'_> {
    /// Loads a program.
    pub(super) fn load(&self, program: &Program) -> Result<Loaded, LoadError> {
        let source = Source::open(program.source(), &self.policy.compile)?;
        let cache = self.tools.cache.as_deref();
        let (mut loaded, key) = self.start(self.find(&source, cache)?)?;
        if loaded.is_err()
            && let Some(cache) = cache
        {
            // Nobody can run what lies there: it is damaged, or its directory holds no executable code.
            cache.discard(&key);
            (loaded, _) = self.start(self.find(&source, None)?)?;
        }
        loaded.map_err(|error| {
            LoadError::at(Step::Reserve, format!("its compiled code can't be loaded: {error:#}"))
        })
    }

    /// Writes the compiled code of a program, sealed, and loads nothing.
    pub(super) fn seal(&self, program: &Program, out: &mut dyn Write) -> Result<(), LoadError> {
        let source = Source::open(program.source(), &self.policy.compile)?;
        if source.is_sealed()? {
            return Err(source.refused(
                "is compiled already, or a native executable; name the module that it was made of",
            ));
        }
        let Some(keeper) = self.tools.cache.as_deref() else {
            let detail = "compiled code is sealed with a key in the cache's directory, and there is no cache; \
                          set one up";
            return Err(LoadError::at(Step::Accept, detail));
        };
        let secret = keeper.secret().map_err(|error| no_room(&error))?;
        let Found { facts, code, .. } = self.find(&source, Some(keeper))?;
        let heading = Heading { engine: self.fingerprint.to_string(), outcome: Ok(facts) };
        seal::seal(&heading, &mut *code.reader(), &secret, out).map_err(|error| no_room(&error))
    }

    /// Gives code to the engine that is right for it.
    fn start(&self, found: Found) -> Result<(wasmtime::Result<Loaded>, Key), LoadError> {
        let Found { facts, code, key, guard } = found;
        let guard = match self.policy.trust {
            Trust::Own => Guard { name: GUARD, state: GuardState::Off, why: None },
            Trust::Untrusted => guard,
        };
        let pooled = Memory::fit_for(&facts.kind, self.engines.places());
        if self.dumps && matches!(facts.kind, Kind::Component(_)) {
            let detail = "a core dump is made of one module, and a component is put together from several; \
                          run it without";
            return Err(LoadError::at(Step::Accept, detail));
        }
        let dumps = self.dumps || facts.kind.needs_dump();
        let engine = self.engine(pooled, dumps)?;
        let (engine, machine) = match machine(&engine, &code, facts.kind.clone()) {
            // It may need more than a place in the pool has.
            Err(_) if pooled != Memory::OnDemand => {
                let engine = self.engine(Memory::OnDemand, dumps)?;
                let machine = machine(&engine, &code, facts.kind);
                (engine, machine)
            }
            machine => (engine, machine),
        };
        Ok((machine.map(|machine| Loaded { engine, machine, guard }), key))
    }

    fn engine(&self, memory: Memory, dumps: bool) -> Result<Arc<GuestEngine>, LoadError> {
        self.engines.get(Configuration { memory, dumps, ..self.configuration })
    }

    fn find(&self, source: &Source, cache: Option<&Cache>) -> Result<Found, LoadError> {
        let identity = cache.and_then(|_| self.identity(source));
        if let Some(hit) = cache.zip(identity.as_ref()).and_then(|(cache, id)| cache.find_file(id))
        {
            return Ok(hit.into());
        }
        let found = match source.is_sealed()? {
            true => self.unseal(source, cache)?,
            false => self.find_content(source, cache)?,
        };
        // The bytes were read after its marks were taken. If it has them still, they are its content.
        if let (Some(cache), Some(identity), Content::File(file)) =
            (cache, identity, &source.content)
            && file.metadata().is_ok_and(|now| identity.fits(&now))
        {
            cache.remember(&identity, &found.key);
        }
        Ok(found)
    }

    fn identity(&self, source: &Source) -> Option<Identity> {
        match &source.content {
            Content::File(file) => Some(Identity::of(&file.metadata().ok()?, &self.fingerprint)),
            Content::Memory(_) => None,
        }
    }

    fn find_content(&self, source: &Source, cache: Option<&Cache>) -> Result<Found, LoadError> {
        // A file that grows meanwhile is read no further than it may be long.
        let bytes = source.reader()?.take(self.policy.compile.module.as_u64());
        let hash = scan(bytes, || self.why_not(source).is_none()).map_err(|early| match early {
            Early::TooMuch(words) => source.refused(&beyond_bounds(&words)),
            Early::Unreadable(error) => {
                self.why_not(source).unwrap_or_else(|| source.unreadable(&error))
            }
            Early::Broken => source.refused("is cut off"),
        })?;
        let key = Key::of(&hash.to_string(), &self.fingerprint);
        if let Some(hit) = cache.and_then(|cache| cache.find(&key)) {
            return Ok(hit.into());
        }
        let end = self.began.checked_add(self.policy.compile.wall);
        let _turn = cache.map(|_| self.tools.turns.take(key.name(), end, self.stop));
        if let Some(hit) = cache.and_then(|cache| cache.find(&key)) {
            // Somebody else had it compiled meanwhile.
            return Ok(hit.into());
        }
        let (compiled, guard) = self.compile(source, cache)?;
        let Compiled { facts, code, key } = compiled;
        Ok(Found { facts, code, key, guard })
    }

    /// Why nobody wants it to be loaded any more: it was stopped, or the time for compiling it is over. That of one's
    /// own code is not counted, for its compiler could not be ended.
    fn why_not(&self, source: &Source) -> Option<LoadError> {
        if let Some(reason) = self.stop.reason() {
            return Some(LoadError::stopped(reason));
        }
        let wall = self.policy.compile.wall;
        // None at all is no limit that can be kept, and refused by its name when it comes to compiling.
        let is_bounded = self.policy.trust == Trust::Untrusted && !wall.is_zero();
        let is_over = is_bounded && self.began.elapsed() >= wall;
        is_over.then(|| too_small(&source.name, &out_of_time(wall)))
    }

    fn compile(
        &self,
        source: &Source,
        cache: Option<&Cache>,
    ) -> Result<(Compiled, Guard), LoadError> {
        let unconfined = match (self.policy.trust, &self.tools.confined) {
            (Trust::Own, _) => None,
            (Trust::Untrusted, Some(confined)) => {
                match self.compile_with(&**confined, source, cache)? {
                    Ok(compiled) => return Ok((compiled, Guard::in_force(GUARD))),
                    Err(why) => Some(why),
                }
            }
            (Trust::Untrusted, None) => Some(
                "no program to compile it in is set up (`sandtrap::init`, or `RuntimeBuilder::compiler`)"
                    .to_owned(),
            ),
        };
        let guard = match unconfined {
            None => Guard::in_force(GUARD),
            Some(why) if self.policy.guards.requires(GUARD) => {
                let detail = format!(
                    "the guard `{GUARD}` cannot be put up: {why}; allow the fall-back with best-effort \
                     guards, or load it as a module of your own"
                );
                return Err(LoadError::at(Step::Guard(GUARD), detail));
            }
            Some(why) => Guard::missing(GUARD, format!("{why}; it was compiled in this process")),
        };
        if let Some(reason) = self.stop.reason() {
            return Err(LoadError::stopped(reason));
        }
        match self.compile_with(&InProcess, source, cache)? {
            Ok(compiled) => Ok((compiled, guard)),
            Err(why) => Err(LoadError::at(Step::Reserve, why)),
        }
    }

    /// Has it compiled. Words say why the compiler can't be used, whatever the module is.
    fn compile_with(
        &self,
        compiler: &dyn Compiler,
        source: &Source,
        cache: Option<&Cache>,
    ) -> Result<Result<Compiled, String>, LoadError> {
        let material = match &source.content {
            Content::File(file) => {
                let mut file = file;
                file.rewind().map_err(|error| source.unreadable(&error))?;
                Material::File(file)
            }
            Content::Memory(bytes) => Material::Memory(bytes),
        };
        let order = Order {
            name: &source.name,
            material,
            configuration: self.configuration,
            limits: &self.policy.compile,
            stop: self.stop,
            began: self.began,
        };
        let mut intake = Intake::new(cache).map_err(|error| no_room(&error))?;
        match compiler.compile(&order, &mut intake) {
            Ok(()) => {}
            Err(NotCompiled::Refused(error)) => return Err(error),
            Err(NotCompiled::Unconfined(why)) => return Ok(Err(why)),
        }
        match intake.finish(&self.fingerprint).map_err(|error| no_room(&error))? {
            Taken::Compiled(compiled) => Ok(Ok(*compiled)),
            Taken::Invalid(fault) => Err(source.refused(&fault)),
            Taken::Foreign => {
                Ok(Err("the program set up to compile is not of this version".into()))
            }
        }
    }

    fn unseal(&self, source: &Source, cache: Option<&Cache>) -> Result<Found, LoadError> {
        // The key is in the directory of the cache, even where this load does without what is kept there.
        let Some(keeper) = self.tools.cache.as_deref() else {
            let fault = "is compiled code, whose seal is checked with a key in the cache's directory, and \
                         there is no cache; set one up, or name the module itself";
            return Err(source.refused(fault));
        };
        let secret = keeper.secret().map_err(|error| no_room(&error))?;
        let mut intake = Intake::new(cache).map_err(|error| no_room(&error))?;
        seal::unseal(&mut *source.reader()?, &secret, &mut intake).map_err(|unsealed| match unsealed {
            Unsealed::Unmarked => source.refused(
                "is not a module: it is a native executable, was compiled by something else than \
                 `sandtrap compile`, or was changed since",
            ),
            Unsealed::Broken => source.refused(
                "bears no seal of this user: somebody else compiled it, or it was changed since; compile \
                 the module again with `sandtrap compile`",
            ),
            Unsealed::Unreadable(error) => source.unreadable(&error),
        })?;
        match intake.finish(&self.fingerprint).map_err(|error| no_room(&error))? {
            Taken::Compiled(compiled) => {
                let Compiled { facts, code, key } = *compiled;
                Ok(Found { facts, code, key, guard: Guard::in_force(GUARD) })
            }
            Taken::Invalid(_) | Taken::Foreign => Err(source.refused(
                "was compiled by another version, for another machine or for other limits; compile the module \
                 again with `sandtrap compile` (with --count-fuel for --fuel), or run the module itself, as \
                 --deterministic takes",
            )),
        }
    }
}

fn machine(engine: &GuestEngine, code: &Code, kind: Kind) -> wasmtime::Result<Machine> {
    Ok(match kind {
        Kind::Module(shape) => Machine::Module(code::module(&engine.engine, code)?, shape),
        Kind::Component(parts) => Machine::Component(code::component(&engine.engine, code)?, parts),
    })
}
