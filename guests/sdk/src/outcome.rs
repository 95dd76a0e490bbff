//! What a task may return: a value; or a `Result` with any error, whose value goes along if it can be written.
//!
//! Which of them it is is found out by the compiler: of the methods named `settle` it takes the first whose bounds
//! hold, going from the most references to the least. The attribute `#[task]` writes `(&&&Outcome::of(x)).settle(…)`.

use std::cell::Cell;
use std::error::Error;
use std::fmt;

use serde::Serialize;

use crate::serve::{Call, Settled};

/// What a task returned, on its way to its host.
pub struct Outcome<T>(Cell<Option<T>>);

impl<T> fmt::Debug for Outcome<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::any::type_name::<T>())
    }
}

impl<T> Outcome<T> {
    /// Holds it.
    pub fn of(value: T) -> Self {
        Self(Cell::new(Some(value)))
    }

    fn take(&self) -> T {
        self.0.take().expect("an outcome is settled once")
    }
}

/// For errors that can be written as values.
pub trait SettleTyped {
    /// Writes it.
    fn settle(&self, call: &Call) -> Settled;
}

impl<T, E> SettleTyped for &&Outcome<Result<T, E>>
where
    T: Serialize + 'static,
    E: Error + Serialize + 'static,
{
    fn settle(&self, call: &Call) -> Settled {
        match self.take() {
            Ok(value) => call.value(value),
            Err(error) => call.error_value(error),
        }
    }
}

/// For all other errors, those of `anyhow` among them.
pub trait SettleResult {
    /// Writes it.
    fn settle(&self, call: &Call) -> Settled;
}

impl<T, E> SettleResult for &Outcome<Result<T, E>>
where
    T: Serialize + 'static,
    E: Into<Box<dyn Error>>,
{
    fn settle(&self, call: &Call) -> Settled {
        match self.take() {
            Ok(value) => call.value(value),
            Err(error) => call.error(error.into().as_ref()),
        }
    }
}

impl<T: Serialize + 'static> Outcome<Result<T, Box<dyn Error + Send + Sync>>> {
    /// Writes it.
    pub fn settle(&self, call: &Call) -> Settled {
        match self.take() {
            Ok(value) => call.value(value),
            Err(error) => call.error(error.as_ref()),
        }
    }
}

/// For values.
pub trait SettleValue {
    /// Writes it.
    fn settle(&self, call: &Call) -> Settled;
}

impl<T: Serialize + 'static> SettleValue for Outcome<T> {
    fn settle(&self, call: &Call) -> Settled {
        call.value(self.take())
    }
}
