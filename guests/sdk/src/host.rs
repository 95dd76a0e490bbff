//! Functions of the host, as a guest calls them.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};

use sandtrap_protocol::{Codec, FromGuest, MAX_HEAD, head_into};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{inbox, value, wire};

/// The host of a call. What it has registered and granted to this program by name can be called.
#[derive(Clone, Copy, Debug)]
pub struct Host {
    pub(crate) is_there: bool,
}

/// Why a function of the host has given nothing: it was not granted, it failed, or its answer is of another type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostError(String);

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for HostError {}

/// One question at a time: the answers come over one channel.
static TURN: Mutex<()> = Mutex::new(());

static QUESTIONS: AtomicU64 = AtomicU64::new(1);

/// What the host has said can be called.
static FUNCTIONS: RwLock<Vec<String>> = RwLock::new(Vec::new());

/// The host has said that these can be called.
pub(crate) fn may_call(names: Vec<&str>) {
    let mut functions = FUNCTIONS.write().unwrap_or_else(PoisonError::into_inner);
    functions.extend(names.into_iter().map(str::to_owned));
}

impl Host {
    /// The names of its functions that can be called here: those that it has registered and granted to this program. A
    /// host of an earlier version names none, and answers all the same.
    pub fn functions(&self) -> Vec<String> {
        match self.is_there {
            true => FUNCTIONS.read().unwrap_or_else(PoisonError::into_inner).clone(),
            false => Vec::new(),
        }
    }

    /// Whether the function of this name is one of them. Who can do without it asks first.
    ///
    /// ```no_run
    /// # use sandtrap_guest::{Context, HostError, task};
    /// #[task]
    /// fn greet(user: u64, cx: &mut Context) -> Result<String, HostError> {
    ///     match cx.host().has("users.name") {
    ///         true => cx.host().call("users.name", &user),
    ///         false => Ok(format!("user {user}")),
    ///     }
    /// }
    /// # fn main() {}
    /// ```
    pub fn has(&self, function: &str) -> bool {
        let functions = FUNCTIONS.read().unwrap_or_else(PoisonError::into_inner);
        self.is_there && functions.iter().any(|name| name == function)
    }

    /// Calls a function with a value of the type that it takes, and waits for what it gives. The time it takes is
    /// this call's own.
    ///
    /// ```no_run
    /// # use sandtrap_guest::{Context, HostError, task};
    /// #[task]
    /// fn greet(user: u64, cx: &mut Context) -> Result<String, HostError> {
    ///     let name: Option<String> = cx.host().call("users.name", &user)?;
    ///     Ok(format!("hello, {}", name.unwrap_or_default()))
    /// }
    /// # fn main() {}
    /// ```
    pub fn call<In, Out>(&self, function: &str, input: &In) -> Result<Out, HostError>
    where
        In: Serialize + ?Sized,
        Out: DeserializeOwned + 'static,
    {
        let named = |error: value::ValueError| {
            HostError(format!("the host's function `{function}`: {error}"))
        };
        let input = value::write_borrowed(Codec::Typed, input).map_err(named)?;
        let (codec, answer) = self.ask(function, Codec::Typed, &input)?;
        value::answer(codec, answer).map_err(named)
    }

    /// Calls a function that takes bytes and gives bytes.
    pub fn call_bytes(&self, function: &str, input: &[u8]) -> Result<Vec<u8>, HostError> {
        Ok(self.ask(function, Codec::Raw, input)?.1)
    }

    fn ask(
        &self,
        function: &str,
        codec: Codec,
        input: &[u8],
    ) -> Result<(Codec, Vec<u8>), HostError> {
        let fail = |why: &str| HostError(format!("the host's function `{function}`: {why}"));
        if !self.is_there {
            return Err(fail("there is no host here, this guest was started by itself"));
        }
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let id = QUESTIONS.fetch_add(1, Ordering::Relaxed);
        let question = FromGuest::HostCall { id, codec, function: function.to_owned() };
        let mut buffer = [0; MAX_HEAD];
        let head = head_into(&question, input.len(), &mut buffer)
            .map_err(|_| fail("its name or its input is too long"))?;
        wire::send(head, input);
        match inbox::answer(id) {
            Some((true, codec, answer)) => Ok((codec, answer)),
            Some((false, _, reason)) => {
                Err(HostError(String::from_utf8_lossy(&reason).into_owned()))
            }
            None => Err(fail("the host has hung up")),
        }
    }
}
