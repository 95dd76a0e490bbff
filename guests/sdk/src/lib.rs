//! What the author of a guest links, so that its end is told in its own words.
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
//! With that one attribute a panic becomes `failed.panic` with its message and place, a returned error
//! becomes `failed.error` with its chain of causes, and a failed allocation becomes
//! `crashed.out-of-memory`, in a process and in a module alike. Outside of sandtrap a native guest runs as an
//! ordinary program, and so does a component (wasm32-wasip2) anywhere: it has no channel to say any of this.

mod memory;
mod testify;
mod wire;

pub use memory::TellingAllocator;
pub use sandtrap_macros::main;
pub use testify::{Outcome, run_main, start};

/// Every guest allocates through this one, so that a failed allocation can be told.
#[global_allocator]
static ALLOCATOR: TellingAllocator = TellingAllocator;
