//! Serves calls: one after another, from the greeting until the host has no more.

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use sandtrap_protocol::{Codec, ErrorReport, FromGuest, PLACED_FROM};
#[cfg(target_os = "linux")]
use sandtrap_protocol::{ToGuest, encode_with, head_into};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::blob::Blob;
use crate::context::Context;
use crate::inbox::{self, Named, Order};
use crate::testify::{
    error_report, error_said, greeting, say, say_last, say_value, start, start_with,
};
use crate::{panics, people, value};

/// How many names a message lists.
const MOST_NAMES: usize = 16;

/// The bytes of a call that is rehearsed.
#[cfg(target_os = "linux")]
const REHEARSED: usize = 64;

/// One function that can be called.
#[derive(Clone, Copy, Debug)]
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// Whether it may be called twice for one result.
    pub idempotent: bool,
    /// Reads the input, runs the task, writes the result.
    pub run: fn(&mut Call, &mut Context) -> Settled,
}

/// What `#[task]` makes of a function, for [`serve!`](crate::serve!).
pub trait Task {
    /// The function.
    const FUNCTION: Function;
}

/// What a function was given.
#[derive(Debug)]
pub struct Call {
    pub(crate) function: &'static str,
    pub(crate) codec: Codec,
    pub(crate) input: Blob,
}

/// What became of a call.
#[derive(Debug)]
pub enum Settled {
    /// It gave this.
    Value(Blob),
    /// It failed.
    Failed {
        /// With this.
        report: ErrorReport,
        /// The error as a value, where its type can be written.
        value: Option<Vec<u8>>,
    },
}

impl Call {
    /// Reads the input.
    pub fn input<T: DeserializeOwned + 'static>(&mut self) -> Result<T, Settled> {
        let bytes = std::mem::take(&mut self.input);
        value::read(self.codec, bytes, self.function).map_err(|error| Settled::failed(&error))
    }

    /// Nothing is wanted of the input. Whoever calls without one may send nothing, or what stands for it.
    pub fn no_input(&mut self) -> Result<(), Settled> {
        let is_nothing = match self.codec {
            Codec::Raw | Codec::Typed => self.input.is_empty(),
            Codec::Json => ["", "null", "[]", "{}"].map(str::as_bytes).contains(&&*self.input),
        };
        if is_nothing { Ok(()) } else { self.input() }
    }

    /// Writes the result.
    pub fn value<T: Serialize + 'static>(&self, value: T) -> Settled {
        match value::write(self.codec, value, self.function) {
            Ok(bytes) => Settled::Value(bytes),
            Err(error) => Settled::failed(&error),
        }
    }

    /// Writes an error.
    pub fn error(&self, error: &(dyn Error + 'static)) -> Settled {
        Settled::failed(error)
    }

    /// Writes an error with its value.
    pub fn error_value<E: Error + Serialize + 'static>(&self, error: E) -> Settled {
        let report = error_report(&error);
        // Raw bytes have no types; a host that knows this one knows how Rust writes it.
        let codec = self.error_codec();
        Settled::Failed {
            report,
            value: value::write(codec, error, self.function).ok().map(Blob::into_vec),
        }
    }

    fn error_codec(&self) -> Codec {
        if self.codec == Codec::Raw { Codec::Typed } else { self.codec }
    }
}

impl Settled {
    fn failed(error: &(dyn Error + 'static)) -> Self {
        Self::Failed { report: error_report(error), value: None }
    }
}

/// How many calls there were, this one included.
static CALLS: AtomicU64 = AtomicU64::new(0);

static FUNCTIONS: OnceLock<&'static [Function]> = OnceLock::new();

/// Serves calls of these functions until there are no more; [`serve!`](crate::serve!) calls it. Without a host,
/// runs one of them for the people at the command line.
pub fn serve(warm_up: fn(), functions: &'static [Function]) -> ExitCode {
    if serve_host(warm_up, functions) { ExitCode::SUCCESS } else { people::run(functions) }
}

/// Serves calls of these functions to a host until there are no more, and nobody else. Says whether there was a host
/// that sent anything.
pub fn serve_host(warm_up: fn(), functions: &'static [Function]) -> bool {
    let functions = FUNCTIONS.get_or_init(|| functions);
    if is_forked() {
        start();
        warm(warm_up);
        fork_on_order(&greeting(&offer(functions)));
        let was_heard = go_on();
        if was_heard {
            end_fork();
        }
        return was_heard;
    }
    // What it offers depends on what it was offered.
    crate::wire::open();
    start_with(&offer(functions));
    warm(warm_up);
    #[cfg(target_os = "linux")]
    if crate::lane::is_taken() {
        rehearse();
    }
    go_on()
}

/// What is written meanwhile belongs to no call.
fn warm(warm_up: fn()) {
    panics::heard(warm_up);
    // A closed stdout is no reason to die of something else.
    let _ = std::io::stdout().flush();
}

/// Goes the way of a call once, to no function of the guest's: whoever calls first does not wait for all that is fetched on it.
#[cfg(target_os = "linux")]
fn rehearse() {
    let function = "";
    let call = ToGuest::Call { id: 0, codec: Codec::Raw, time_left: 0, function };
    let Ok(call) = encode_with(&call, &[0; REHEARSED]) else { return };
    crate::lane::rehearse(&call, |bytes| {
        let Order::Call { id, codec, time_left, input, .. } = inbox::read(bytes)? else {
            return None;
        };
        let context = Context::of(id, codec, time_left);
        let _ = std::io::stdout().flush();
        let mut buffer = [0; 64];
        let result = FromGuest::Return { id: context.id, codec: context.codec };
        let head = head_into(&result, input.len(), &mut buffer).ok()?;
        Some([head, &input].concat())
    });
}

/// What there is to be called.
fn offer(functions: &[Function]) -> Vec<FromGuest> {
    let names = |all: &mut dyn Iterator<Item = &Function>| -> Vec<String> {
        all.map(|function| function.name.to_owned()).collect()
    };
    let mut offer = vec![FromGuest::Functions(names(&mut functions.iter()))];
    let idempotent = names(&mut functions.iter().filter(|function| function.idempotent));
    if !idempotent.is_empty() {
        offer.push(FromGuest::Idempotent(idempotent));
    }
    #[cfg(target_os = "linux")]
    if crate::lane::is_taken() {
        offer.push(FromGuest::Lane);
    }
    offer
}

/// Whether its host wants forks of this guest.
fn is_forked() -> bool {
    #[cfg(target_os = "linux")]
    return crate::zygote::is_wanted();
    #[cfg(not(target_os = "linux"))]
    false
}

/// From here on this is a task of its own, which has greeted its host with these words.
fn fork_on_order(greeting: &[u8]) {
    #[cfg(target_os = "linux")]
    crate::zygote::fork_on_order(greeting);
    #[cfg(not(target_os = "linux"))]
    let _ = greeting;
}

/// What the program has registered for its end is not this fork's to do: its warm guest goes on.
fn end_fork() {
    #[cfg(target_os = "linux")]
    crate::zygote::end_fork();
}

/// What the host wants next. Of the last call's values nothing is left then.
fn next() -> Option<Order> {
    #[cfg(unix)]
    crate::arena::clear();
    inbox::next()
}

/// Serves what has come. Says whether there was a host that sent anything.
pub(crate) fn go_on() -> bool {
    let mut was_heard = false;
    while let Some(order) = next() {
        was_heard = true;
        match order {
            Order::Call { id, codec, time_left, function, input } => {
                CALLS.fetch_add(1, Ordering::Relaxed);
                let mut context = Context::of(id, codec, time_left);
                answer(function, input, &mut context);
            }
            Order::Shutdown => break,
            answer @ Order::Reply { .. } => inbox::leave(answer),
            // A host of another version ends this guest when it hears of ours.
            Order::Hello | Order::Other => {}
        }
    }
    was_heard
}

/// Whether there was a call before this one.
#[cfg(unix)]
pub(crate) fn is_not_first() -> bool {
    CALLS.load(Ordering::Relaxed) > 1
}

/// The function of this name, if there is one.
pub(crate) fn named(name: &str) -> Named {
    functions().iter().find(|function| function.name == name).ok_or_else(|| name.to_owned())
}

fn functions() -> &'static [Function] {
    FUNCTIONS.get().copied().unwrap_or_default()
}

fn answer(function: Named, input: Blob, context: &mut Context) {
    let codec = context.codec;
    let settled = match function {
        Ok(function) => {
            let mut call = Call { function: function.name, codec, input };
            panics::heard(|| (function.run)(&mut call, context))
        }
        Err(name) => Settled::Failed { report: unknown(&name, functions()), value: None },
    };
    flush();
    match settled {
        Settled::Value(bytes) => say_result(context.id, codec, bytes),
        Settled::Failed { report, value } => {
            if let Some(bytes) = value {
                let codec = if codec == Codec::Raw { Codec::Typed } else { codec };
                say_value(&FromGuest::ErrorValue { codec }, &bytes);
            }
            own_what_is_kept();
            error_said(report);
        }
    }
}

/// What the task wrote belongs before its result. A closed stdout is no reason to die of something else.
fn flush() {
    #[cfg(target_os = "linux")]
    if crate::zygote::is_fork() && !is_not_first() {
        // It has no end of its own at which the C library would write what it keeps back.
        return crate::zygote::flush();
    }
    let _ = std::io::stdout().flush();
}

/// A large result is not sent: the host is told where it lies.
fn say_result(id: u64, codec: Codec, mut bytes: Blob) {
    let result = FromGuest::Return { id, codec };
    if bytes.len() >= PLACED_FROM {
        match bytes.place() {
            Ok((at, length)) => {
                own_what_is_kept();
                say(&FromGuest::Placed { at, length });
                return say(&result);
            }
            Err(not_placed) => bytes = not_placed,
        }
    }
    own_what_is_kept();
    say_last(&result, &bytes);
}

/// Behind its last word the host may write the next call's input.
fn own_what_is_kept() {
    #[cfg(unix)]
    crate::arena::part();
}

fn unknown(name: &str, functions: &[Function]) -> ErrorReport {
    let names: Vec<_> =
        functions.iter().take(MOST_NAMES).map(|function| format!("`{}`", function.name)).collect();
    let there_are = match functions.len() {
        0 => "this guest has none".to_owned(),
        1..=MOST_NAMES => format!("this guest has {}", names.join(", ")),
        more => format!("this guest has {more}, among them {}", names.join(", ")),
    };
    let message = format!("there is no function `{name}`; {there_are}");
    ErrorReport { message, chain: Vec::new() }
}
