//! Functions of the host that guests may call: registered by name once, granted by name to each program.

use std::any::type_name;
use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::payload::Payload;
use crate::task::TaskId;

/// How many names a message lists.
const MOST_NAMES: usize = 16;

/// What a function of the host knows of the guest that calls it.
#[derive(Clone)]
pub struct HostContext {
    pub(crate) task: TaskId,
    pub(crate) program: Arc<str>,
    pub(crate) until: Option<Instant>,
    pub(crate) caller: Arc<dyn Fn() -> Caller + Send + Sync>,
}

/// What has become of the guest that waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// It is there.
    Waits,
    /// It was told to end, and has some time left.
    IsToEnd,
    /// It has ended, or is being ended.
    Gone,
}

impl HostContext {
    /// The task in which the guest calls.
    pub fn task(&self) -> &TaskId {
        &self.task
    }

    /// The guest's program, as reports call it.
    pub fn program(&self) -> &str {
        &self.program
    }

    /// How long the guest may still take. `None` if that is longer than clocks reach.
    pub fn time_left(&self) -> Option<Duration> {
        self.until.map(|until| until.saturating_duration_since(Instant::now()))
    }

    /// Whether nobody waits for the answer any more: the guest has ended, or is to end. A function that takes long
    /// looks from time to time, and gives up. (A guest that was told to end and has a time of grace still gets what it asks for
    /// in that time: this is true, and an answer reaches it.)
    pub fn is_cancelled(&self) -> bool {
        (self.caller)() != Caller::Waits || self.until.is_some_and(|until| until <= Instant::now())
    }
}

impl fmt::Debug for HostContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostContext")
            .field("task", &self.task)
            .field("program", &self.program)
            .field("time_left", &self.time_left())
            .finish_non_exhaustive()
    }
}

/// A function, as it is called: with a value in any codec, for one in the same codec or for words that say why not.
pub(crate) type HostFunction =
    dyn Fn(&HostContext, Payload) -> Result<Payload, String> + Send + Sync;

/// The functions of a host, or those of them that a program was granted.
#[derive(Clone, Default)]
pub(crate) struct HostFunctions(Arc<BTreeMap<Box<str>, Arc<HostFunction>>>);

impl HostFunctions {
    /// Adds one that can't fail.
    pub(crate) fn add<In, Out>(
        &mut self,
        name: String,
        function: impl Fn(&HostContext, In) -> Out + Send + Sync + 'static,
    ) where
        In: DeserializeOwned + 'static,
        Out: Serialize + 'static,
    {
        self.add_fallible(name, move |context, input| Ok::<_, String>(function(context, input)));
    }

    /// Adds one.
    pub(crate) fn add_fallible<In, Out, E>(
        &mut self,
        name: String,
        function: impl Fn(&HostContext, In) -> Result<Out, E> + Send + Sync + 'static,
    ) where
        In: DeserializeOwned + 'static,
        Out: Serialize + 'static,
        E: Display,
    {
        let own_name = name.clone();
        let run = move |context: &HostContext, input: Payload| {
            let own_name = &own_name;
            let value = input.read().map_err(|error| {
                let ty = type_name::<In>();
                format!("the host's function `{own_name}` takes a `{ty}`: {error}")
            })?;
            let output = function(context, value).map_err(|error| error.to_string())?;
            Payload::written(input.codec(), output)
                .map_err(|error| format!("the answer of the host's function `{own_name}`: {error}"))
        };
        Arc::make_mut(&mut self.0).insert(name.into(), Arc::new(run));
    }

    /// Those of them that have these names, or the first name that none has.
    pub(crate) fn granted<'n>(&self, names: &'n [String]) -> Result<Self, &'n str> {
        let one = |name: &'n String| match self.0.get_key_value(name.as_str()) {
            Some((name, function)) => Ok((name.clone(), Arc::clone(function))),
            None => Err(name.as_str()),
        };
        names.iter().map(one).collect::<Result<_, _>>().map(|granted| Self(Arc::new(granted)))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Arc<HostFunction>> {
        self.0.get(name)
    }

    /// The name of each.
    pub(crate) fn all(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(|name| &**name)
    }

    /// The names, as a part of a sentence.
    pub(crate) fn names(&self) -> String {
        let names: Vec<_> =
            self.0.keys().take(MOST_NAMES).map(|name| format!("`{name}`")).collect();
        match self.0.len() {
            0 => "none".to_owned(),
            1..=MOST_NAMES => names.join(", "),
            more => format!("{more}, among them {}", names.join(", ")),
        }
    }
}

/// The functions that one program was granted.
#[derive(Clone, Debug)]
pub(crate) struct Granted {
    pub(crate) program: Arc<str>,
    pub(crate) functions: HostFunctions,
}

impl fmt::Debug for HostFunctions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sandtrap_protocol::Codec;

    fn context() -> HostContext {
        let (task, program) = (TaskId::next(), "p".into());
        HostContext { task, program, until: None, caller: Arc::new(|| Caller::Waits) }
    }

    fn functions() -> HostFunctions {
        let mut functions = HostFunctions::default();
        functions.add("length".to_owned(), |_, text: String| text.len());
        functions.add_fallible("parse".to_owned(), |_, text: String| text.parse::<u8>());
        functions
    }

    #[test]
    fn an_answer_is_written_as_the_question_was() {
        let function = functions().get("length").cloned().unwrap();
        for question in [Payload::typed("four").unwrap(), Payload::json("four").unwrap()] {
            let answer = function(&context(), question.clone()).unwrap();
            assert_eq!((answer.codec(), answer.read::<usize>()), (question.codec(), Ok(4)));
        }
        let fault = function(&context(), Payload::raw("four")).unwrap_err();
        assert!(fault.contains("`length`") && fault.contains("only bytes and text"), "{fault}");
    }

    #[test]
    fn what_goes_wrong_is_told_in_words() {
        let function = functions().get("parse").cloned().unwrap();
        let fault = function(&context(), Payload::json("x").unwrap()).unwrap_err();
        assert_eq!(fault, "invalid digit found in string");
        let fault = function(&context(), Payload::json(&7).unwrap()).unwrap_err();
        assert!(fault.contains("`parse` takes a `alloc::string::String`"), "{fault}");
        assert_eq!(Payload::written(Codec::Raw, "x".to_owned()), Ok(Payload::raw("x")));
    }

    #[test]
    fn what_was_not_granted_is_not_there() {
        let names = ["length".to_owned(), "parse".to_owned(), "other".to_owned()];
        let granted = functions().granted(&names[..1]).unwrap();
        assert!(granted.get("length").is_some() && granted.get("parse").is_none());
        assert_eq!(granted.names(), "`length`");
        assert_eq!(functions().granted(&names).unwrap_err(), "other");
        assert_eq!(functions().granted(&[]).unwrap().names(), "none");
    }
}
