//! Guests that die, each in its own way, so that the verdicts of this host can be looked at, too.

use std::hint::black_box;
use std::process::exit;

use sandtrap::{ByteSize, Label};

use super::expect::{Expect, Expected};
use super::table::{Row, case};
use super::{Given, Outcome, calls, faults};

pub(super) const MEMORY: ByteSize = ByteSize::mib(48);

macro_rules! ends {
    ($label:ident) => {
        Expected::always(&[Expect::Ends(Label::$label)])
    };
}

/// Their cases.
pub(super) fn rows() -> Vec<Row> {
    vec![
        case(0, "segfault", "reading where nothing is", ends!(CrashedMemoryFault), |_| {
            faults::read_wild()
        }),
        case(0, "null-call", "calling a null pointer", ends!(CrashedBadCall), |_| {
            faults::call_null()
        }),
        case(0, "stack-overflow", "recursion without end", ends!(CrashedStackOverflow), |_| {
            black_box(descend(0));
            Outcome::breach("there is stack without end")
        }),
        case(0, "abort", "aborting", ends!(CrashedAbort), |_| std::process::abort()),
        case(
            0,
            "bad-instruction",
            "bytes that are no instruction",
            ends!(CrashedIllegalInstruction),
            |_| faults::run_into_nothing(),
        ),
        case(0, "panic", "panicking", Expected::always(&[Expect::Exits(101)]), |_| {
            panic!("as it was asked to")
        }),
        case(0, "exit-3", "a code of its own", Expected::always(&[Expect::Exits(3)]), |_| exit(3)),
        case(0, "exit-255", "the largest code", Expected::always(&[Expect::Exits(255)]), |_| {
            exit(255)
        }),
        case(0, "out-of-memory", "asking for memory without end", ends!(CrashedOutOfMemory), eat)
            .limited(|limits| limits.memory = MEMORY),
        case(40, "thread-crash", "a fault in another thread", ends!(CrashedMemoryFault), |_| {
            let thread = std::thread::spawn(|| faults::read_wild());
            Outcome::breach(format!("it lived on: {:?}", thread.join().is_err()))
        }),
        case(
            39,
            "swallowed-fault",
            "a handler that ends in order",
            Expected::always(&[Expect::Contained]),
            |_| {
                calls::swallow(nix::libc::SIGSEGV);
                faults::read_wild()
            },
        ),
    ]
    .into_iter()
    .chain(here())
    .collect()
}

/// What only this kind of machine refuses.
#[cfg(target_arch = "x86_64")]
fn here() -> Vec<Row> {
    vec![case(0, "divide", "dividing by zero", ends!(CrashedArithmetic), |_| faults::divide())]
}

/// The same, where there is nothing.
#[cfg(not(target_arch = "x86_64"))]
fn here() -> Vec<Row> {
    Vec::new()
}

fn descend(depth: u64) -> u64 {
    if black_box(depth) == u64::MAX {
        return 0;
    }
    // The box after the call keeps it from becoming a loop.
    black_box(descend(depth + 1))
}

/// Memory that is used, up to far more than the limit.
pub(super) fn eat(_: &Given) -> Outcome {
    let mut eaten = Vec::new();
    for piece in 0..8 * MEMORY.as_u64() / (1 << 20) {
        eaten.push(vec![piece as u8 | 1; 1 << 20]);
        black_box(&eaten);
    }
    Outcome::breach(format!("it has {} MiB", eaten.len()))
}
