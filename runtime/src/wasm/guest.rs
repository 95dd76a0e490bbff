//! One guest: an instance in a store of its own, from its first instruction to its last.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::component;
use wasmtime::{
    Error, Instance, PoolConcurrencyLimitError, Store, TypedFunc, UpdateDeadline, WasmBacktrace,
    WasmParams, WasmResults,
};
use wasmtime_wasi::{WasiCtxView, WasiView};

use crate::channel::{Desk, Outbox, Warning, Witness};
use crate::core_dump::CoreDump;
use crate::evidence::{
    Ending, Outside, Refusal, RefusedMemory, Step, StopReason, Testimony, Thrown, TrapCause,
};
use crate::isolation::{LoadError, StopHandle};
use crate::limits::Limits;
use crate::task::Value;
use crate::trace::Trace;

use super::dump;
use super::ending;
use super::entering::{Failed, enter};
use super::entrance::Entrance;
use super::image::{Code, Prepared};
use super::meter::Meter;
use super::results::{self, Spare};
use super::room::Room;
use super::signal::Signal;
use super::sinks::Outlet;
use super::stdin::Input;
use super::trace;
use super::wasi::{Given, Wasi};

/// What host functions find of the guest that calls them.
pub(super) struct GuestState {
    pub(super) wasi: Wasi,
    pub(super) stop: StopHandle,
    pub(super) witness: Witness,
    pub(super) outbox: Outbox,
    /// Answers what the guest asks of its host.
    pub(super) desk: Desk,
    /// What it is told before it is ended, where it has time then.
    pub(super) warning: Warning,
    pub(super) signal: Arc<Signal>,
    pub(super) outlet: Arc<Outlet>,
    meter: Meter,
}

impl WasiView for GuestState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.wasi.ctx()
    }
}

/// Everything one attempt needs.
pub(super) struct Run {
    pub(super) image: Arc<Prepared>,
    pub(super) entrance: Entrance,
    pub(super) limits: Limits,
    pub(super) input: Input,
    pub(super) outlet: Arc<Outlet>,
    pub(super) signal: Arc<Signal>,
    pub(super) stop: StopHandle,
    pub(super) witness: Witness,
    pub(super) outbox: Outbox,
    pub(super) desk: Desk,
    pub(super) warning: Warning,
    /// For a guest that is not there yet.
    pub(super) room: Option<Room>,
    /// What a guest that goes on after its task writes large results to.
    pub(super) spare: Option<Spare>,
}

/// What is known of a guest when it has ended.
pub(super) struct Outcome {
    pub(super) ending: Ending,
    pub(super) trace: Trace,
    pub(super) testimony: Testimony,
    pub(super) refused_memory: Option<RefusedMemory>,
    pub(super) outside: Option<Outside>,
    pub(super) thrown: Option<Thrown>,
    pub(super) core_dump: Option<CoreDump>,
    pub(super) peak_memory: u64,
    pub(super) fuel: Option<u64>,
    pub(super) cpu: Duration,
    pub(super) values: Vec<Value>,
    /// Why it was to end when it did, if it had time for that.
    pub(super) told: Option<StopReason>,
    /// Whether it has returned, and could go on.
    pub(super) is_orderly: bool,
}

impl Outcome {
    pub(super) fn of(ending: Ending) -> Self {
        Self {
            ending,
            trace: Trace::default(),
            testimony: Testimony::default(),
            refused_memory: None,
            outside: None,
            thrown: None,
            core_dump: None,
            peak_memory: 0,
            fuel: None,
            cpu: Duration::ZERO,
            values: Vec::new(),
            told: None,
            is_orderly: false,
        }
    }
}

/// A guest that has ended, or that rests between two tasks. Dropping it gives back its memory, which may
/// take longer than its task took.
pub(super) struct Guest {
    pub(super) store: Store<GuestState>,
    /// `None` for a component, and where it could not be made.
    pub(super) instance: Option<Instance>,
    /// Of a component whose functions are called.
    component: Option<component::Instance>,
    /// Free only after the store is gone.
    _room: Option<Room>,
}

impl Guest {
    /// Bytes of its memories and tables.
    pub(super) fn holds(&self) -> u64 {
        self.store.data().meter.held()
    }

    /// One of its functions, by its types.
    pub(super) fn function<In, Out>(&mut self, name: &str) -> Option<TypedFunc<In, Out>>
    where
        In: WasmParams,
        Out: WasmResults,
    {
        self.instance?.get_typed_func(&mut self.store, name).ok()
    }

    /// It begins its next call.
    pub(super) fn prepare_again(
        &mut self,
        limits: &Limits,
        counts_fuel: bool,
    ) -> wasmtime::Result<()> {
        self.store.set_epoch_deadline(1);
        self.store.data_mut().meter.renew(limits);
        match counts_fuel {
            true => self.store.set_fuel(limits.fuel.unwrap_or(u64::MAX)),
            false => Ok(()),
        }
    }

    /// Calls one of its functions.
    pub(super) fn call_again<In, Out>(
        &mut self,
        function: &TypedFunc<In, Out>,
        input: In,
    ) -> wasmtime::Result<Out>
    where
        In: WasmParams,
        Out: WasmResults,
    {
        function.call(&mut self.store, input)
    }

    /// It has ended with this error.
    pub(super) fn end(&mut self, error: Error, image: &Arc<Prepared>, limits: &Limits) -> Outcome {
        let mut outcome = ended(error.into(), image, &mut self.store, self.instance.as_ref());
        self.look_back(&mut outcome, limits, image.engine.configuration.counts_fuel);
        outcome
    }

    /// What its store knows of the task that is over.
    fn look_back(&mut self, outcome: &mut Outcome, limits: &Limits, counts_fuel: bool) {
        let counted = limits.fuel.filter(|_| counts_fuel);
        outcome.fuel =
            counted.and_then(|all| Some(all.saturating_sub(self.store.get_fuel().ok()?)));
        let state = self.store.data_mut();
        state.desk.close();
        outcome.told = state.warning.reason();
        let ended_of_it = outcome.ending == Ending::Trapped(TrapCause::MemoryRefused);
        outcome.refused_memory = state.meter.refused(ended_of_it);
        outcome.peak_memory = state.meter.peak();
        outcome.testimony = state.witness.finish();
        outcome.is_orderly &= outcome.testimony.lets_go_on();
    }
}

/// Runs a guest to the end of its task: a new one, or one that is there from its last task.
pub(super) fn run(mut run: Run, kept: Option<Guest>) -> (Outcome, Option<Guest>) {
    let guest = match kept {
        Some(kept) => Ok(go_on(&mut run, kept)),
        None => begin(&mut run),
    };
    let mut guest = match guest {
        Ok(guest) => guest,
        Err(refused) => {
            return (Outcome::of(Ending::NeverStarted(refused.into_refusal())), None);
        }
    };
    let store = &mut guest.store;
    let mut answer = None;
    let mut outcome = match enter(&run, store, &mut guest.instance, &mut guest.component) {
        Ok(returned) => {
            answer = returned.answer;
            let values = returned.values;
            Outcome { values, is_orderly: true, ..Outcome::of(Ending::Exited(0)) }
        }
        Err(failed) => ended(failed, &run.image, store, guest.instance.as_ref()),
    };
    let placed = guest.store.data().witness.placed();
    guest.look_back(&mut outcome, &run.limits, run.image.engine.configuration.counts_fuel);
    if let Some(answer) = answer {
        outcome.testimony = answer;
    }
    let guest = match placed {
        Some(placed) => results::take(placed, guest, &run, &mut outcome),
        None => Some(guest),
    };
    (outcome, guest)
}

fn begin(run: &mut Run) -> Result<Guest, LoadError> {
    Ok(Guest { store: store(run)?, instance: None, component: None, _room: run.room.take() })
}

fn go_on(run: &mut Run, mut kept: Guest) -> Guest {
    kept.store.set_epoch_deadline(1);
    let state = kept.store.data_mut();
    state.witness = std::mem::take(&mut run.witness);
    state.outbox = std::mem::take(&mut run.outbox);
    state.desk = std::mem::take(&mut run.desk);
    state.warning = std::mem::take(&mut run.warning);
    state.meter.renew(&run.limits);
    kept
}

fn store(run: &mut Run) -> Result<Store<GuestState>, LoadError> {
    let state = state(run)?;
    let mut store = Store::new(&run.image.engine.engine, state);
    store.limiter(|state| &mut state.meter);
    let signal = Arc::clone(&run.signal);
    // Whenever anybody's time is over, all guests of the engine look; each at its own flag.
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |_| {
        signal.check()?;
        Ok(UpdateDeadline::Continue(1))
    });
    Ok(store)
}

fn state(run: &mut Run) -> Result<GuestState, LoadError> {
    let (witness, outbox) = (std::mem::take(&mut run.witness), std::mem::take(&mut run.outbox));
    let args: &[String] = match &run.entrance {
        Entrance::Command { args, .. } => args,
        Entrance::Call { .. } | Entrance::Serve { .. } | Entrance::Function(_) => &[],
    };
    let given = Given {
        image: &run.image,
        args,
        may_block: matches!(run.image.code, Code::Module(_)),
        input: &run.input,
        outlet: &run.outlet,
        limits: &run.limits,
        signal: &run.signal,
        stop: &run.stop,
    };
    Ok(GuestState {
        wasi: Wasi::new(&given)?,
        stop: run.stop.clone(),
        outlet: Arc::clone(&run.outlet),
        witness,
        outbox,
        desk: std::mem::take(&mut run.desk),
        warning: std::mem::take(&mut run.warning),
        signal: Arc::clone(&run.signal),
        meter: Meter::new(&run.limits, run.image.code.element()),
    })
}

fn ended(
    failed: Failed,
    image: &Arc<Prepared>,
    store: &mut Store<GuestState>,
    instance: Option<&Instance>,
) -> Outcome {
    let Failed { error, instantiated } = failed;
    let stack = || match &image.code {
        Code::Module(code) => trace::stack_state(&error, &code.shape, instance, store),
        Code::Component(code) => code.stack_state(&error, store),
    };
    // The start function runs while the instance is made, and what it calls may fail for the host's reasons.
    let has_run = instantiated || error.is::<WasmBacktrace>();
    let ending = if has_run {
        ending::of(&error, stack)
    } else {
        ending::typed(&error, stack).unwrap_or_else(|| not_made(&error))
    };
    let outside = match ending {
        Ending::Trapped(TrapCause::MemoryOutOfBounds(_)) => ending::outside(&error),
        _ => None,
    };
    let thrown = match ending {
        Ending::Trapped(TrapCause::UncaughtException) => trace::thrown(instance, store),
        _ => None,
    };
    let core_dump = match (&ending, &image.core_dump) {
        (Ending::Trapped(_), Some(name)) => Some(dump::take(&error, name, store)),
        _ => None,
    };
    let trace = match ending {
        Ending::Trapped(_) => {
            let image = Arc::clone(image);
            Trace::later(move || match &image.code {
                Code::Module(code) => trace::frames(&error, &code.places, &code.shape),
                Code::Component(code) => code.frames(&error),
            })
        }
        _ => Trace::default(),
    };
    Outcome { trace, outside, thrown, core_dump, ..Outcome::of(ending) }
}

/// The instance could not be made, and nothing of the guest has run.
fn not_made(error: &Error) -> Ending {
    let detail = match error.is::<PoolConcurrencyLimitError>() {
        true => "all places for guests are taken; wait for one to end, or make a runtime with \
                 more of them (`Runtime::builder().instances(…)`)"
            .to_owned(),
        false => format!("this host has no room for an instance: {}", ending::words(error)),
    };
    Ending::NeverStarted(Refusal { step: Step::Reserve, errno: None, detail })
}
