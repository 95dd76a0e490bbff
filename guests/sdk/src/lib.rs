//! What the author of a guest links: functions that a host can call behind either wall, and an end that is told in
//! the guest's own words.
//!
//! ```no_run
//! use sandtrap_guest::{Context, task};
//!
//! #[task]
//! fn count(text: String, cx: &mut Context) -> Result<usize, std::io::Error> {
//!     cx.info(format_args!("{} bytes have come", text.len()));
//!     Ok(text.split_whitespace().count())
//! }
//!
//! #[task]
//! fn add((a, b): (i64, i64)) -> i64 {
//!     a + b
//! }
//!
//! sandtrap_guest::serve!(count, add);
//! ```
//!
//! Input and output are any types of `serde`. A task returns a value, or a `Result` with any error: one of the
//! standard library's kind, a boxed one, or `anyhow`'s. An error that implements `Serialize` itself reaches a host
//! that knows it as a value, too. It builds as a process with `cargo build`, and as a module with
//! `cargo build --target wasm32-wasip1`. Started without a host, it takes a function and its input from the command
//! line: `count '"some text"'`.
//!
//! A guest that is a command, and no collection of functions, says so in one line:
//!
//! ```no_run
//! #[sandtrap_guest::main]
//! fn main() -> Result<(), std::io::Error> {
//!     let input = std::fs::read_to_string("input.txt")?;
//!     println!("{}", input.len());
//!     Ok(())
//! }
//! ```
//!
//! Either way a panic becomes `failed.panic` with its message and place, a returned error
//! becomes `failed.error` with its chain of causes, and a failed allocation becomes
//! `crashed.out-of-memory`, in a process and in a module alike. Outside of sandtrap a native guest runs as an
//! ordinary program, and so does a component (wasm32-wasip2) anywhere: it has no channel to say any of this.

#[cfg(unix)]
mod arena;
mod blob;
mod context;
mod host;
mod inbox;
#[cfg(target_os = "linux")]
mod lane;
mod memory;
mod outcome;
mod panics;
mod people;
mod serve;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod stack;
mod testify;
mod value;
mod wire;
#[cfg(target_os = "linux")]
mod zygote;

pub use blob::Blob;
pub use context::Context;
pub use host::{Host, HostError};
pub use memory::TellingAllocator;
pub use sandtrap_macros::{main, task};
pub use sandtrap_protocol::Level;
pub use serve::{Function, Task, serve, serve_host};
pub use testify::{Outcome, run_main, start};
pub use value::ValueError;

/// Every guest allocates through this one, so that a failed allocation can be told.
#[cfg(feature = "allocator")]
#[global_allocator]
static ALLOCATOR: TellingAllocator = TellingAllocator;

/// Makes a program of the tasks that are named: its `main` serves them to whoever calls.
///
/// A task of another module is named with its path, as in `serve!(add, pictures::resize)`.
///
/// What shall be there before the first call is made by a function that is named first, with a semicolon:
/// `serve!(load_model; classify, embed)`. A guest that is started anew for each task runs it each time; one that is
/// forked for each task runs it once, and all its tasks begin with what it has left in memory. It must start no threads
/// then, for a fork has none of them; and random numbers that it has drawn are the same in every task.
#[macro_export]
macro_rules! serve {
    ($($task:path),+ $(,)?) => {
        $crate::serve!((|| ()); $($task),+);
    };
    ($warm_up:expr; $($task:path),+ $(,)?) => {
        fn main() -> ::std::process::ExitCode {
            $crate::serve($warm_up, const { &[$(<$task as $crate::Task>::FUNCTION),+] })
        }
    };
}

/// What the attribute `#[task]` writes; not for anybody else.
#[doc(hidden)]
pub mod task_parts {
    pub use crate::outcome::{Outcome, SettleResult, SettleTyped, SettleValue};
    pub use crate::serve::{Call, Settled};
}
