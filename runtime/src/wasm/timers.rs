//! The timers that guests sleep by.
//!
//! The reference implementation of WASI sleeps by those of the async runtime that it finds on its thread.
//! The caller's may stand still while a guest runs, for the caller waits for that guest. So there is one of
//! our own, with one thread, and it comes into being with the first guest that may need it.

use std::sync::LazyLock;

use tokio::runtime::{Builder, Runtime};
use wasmtime_wasi::runtime::with_ambient_tokio_runtime;

/// None if this host has no thread for it. Then whatever is there has to do.
static TIMERS: LazyLock<Option<Runtime>> = LazyLock::new(|| {
    let mut timers = Builder::new_multi_thread();
    timers.worker_threads(1).thread_name("sandtrap-timers").enable_all().build().ok()
});

/// Does something during which the timers of this thread are ours.
pub(super) fn with_timers<R>(work: impl FnOnce() -> R) -> R {
    match &*TIMERS {
        Some(timers) => {
            let _ours = timers.enter();
            work()
        }
        None => with_ambient_tokio_runtime(work),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wasm::bell::Bell;
    use crate::wasm::signal::Signal;
    use std::sync::Arc;
    use std::time::Duration;

    #[test]
    fn a_sleep_ends_even_if_the_runtime_of_the_caller_stands_still() {
        let callers = Builder::new_current_thread().enable_all().build().unwrap();
        let signal = Signal::new(Arc::new(Bell::new().unwrap()));
        let sleep = async { tokio::time::sleep(Duration::from_millis(1)).await };
        let slept = callers.block_on(async { with_timers(|| signal.drive(sleep)) });
        assert_eq!(slept, Ok(()));
    }
}
