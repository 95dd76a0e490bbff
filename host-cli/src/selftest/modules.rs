//! The wasm wall's own cases: traps, bombs, growth, waiting, and calls that lead nowhere.

use std::time::{Duration, Instant};

use sandtrap::{ByteSize, Label, Limits, Program, Runtime, Task, Wall};

use super::{Outcome, words_of};
use crate::abuse::Expect;

/// Long enough to start, and short enough to wait for.
const SHORT: Duration = Duration::from_millis(200);

/// One module.
pub(super) struct ModuleCase {
    pub(super) name: &'static str,
    what: &'static str,
    expected: &'static [Expect],
    text: fn() -> String,
    limits: fn(&mut Limits),
}

macro_rules! ends {
    ($label:ident) => {
        &[Expect::Ends(Label::$label)]
    };
}

/// A module that only starts.
fn start(body: &str) -> String {
    format!("(module (memory 1) (func $start (export \"_start\") {body}))")
}

/// A module that calls one function of WASI, whose answer is its exit code unless it ends before.
fn wasi(function: &str, parameters: &str, body: &str) -> String {
    format!(
        "(module
           (import \"wasi_snapshot_preview1\" \"{function}\" (func $call (param {parameters}) (result i32)))
           (import \"wasi_snapshot_preview1\" \"proc_exit\" (func $exit (param i32)))
           (memory (export \"memory\") 1)
           (func (export \"_start\") {body}))"
    )
}

/// All of them.
pub(super) fn cases() -> Vec<ModuleCase> {
    [traps(), bombs(), waits()].into_iter().flatten().collect()
}

const fn module(
    name: &'static str,
    what: &'static str,
    expected: &'static [Expect],
    text: fn() -> String,
) -> ModuleCase {
    ModuleCase { name, what, expected, text, limits: |_| {} }
}

fn traps() -> Vec<ModuleCase> {
    vec![
        module("module-divide", "dividing by zero", ends!(CrashedArithmetic), || {
            start("(drop (i32.div_s (i32.const 1) (i32.const 0)))")
        }),
        module("module-unreachable", "where nothing may go on", ends!(CrashedAbort), || {
            start("unreachable")
        }),
        module("module-out-of-bounds", "outside of its memory", ends!(CrashedMemoryFault), || {
            start("(drop (i32.load (i32.const 0x7fffffff)))")
        }),
        module("module-null-call", "calling nothing", ends!(CrashedBadCall), || {
            "(module (table 1 funcref) (memory 1)
               (func (export \"_start\") (call_indirect (i32.const 0))))"
                .to_owned()
        }),
        module("module-recursion", "recursion without end", ends!(CrashedStackOverflow), || {
            start("call $start")
        }),
        module("module-exit", "a code of its own", &[Expect::Exits(7)], || {
            wasi("sched_yield", "", "(call $exit (i32.const 7))")
        }),
        module(
            "module-missing-import",
            "a function nobody offers",
            ends!(UnstartedMissingImport),
            || {
                "(module (import \"host\" \"everything\" (func)) (func (export \"_start\")))"
                    .to_owned()
            },
        ),
        module("module-broken", "bytes that are no module", ends!(UnstartedInvalidModule), || {
            "(module (func (export \"_start\") i32.add))".to_owned()
        }),
        // The directory that is open first, if any is; 8 is "no such descriptor".
        module("module-file", "a file of its host's", &[Expect::Exits(8)], || {
            wasi(
                "path_open",
                "i32 i32 i32 i32 i32 i64 i64 i32 i32",
                "(call $exit (call $call (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 1)
                   (i32.const 0) (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 8)))",
            )
        }),
    ]
}

fn bombs() -> Vec<ModuleCase> {
    let small: fn(&mut Limits) = |limits| limits.memory = ByteSize::mib(16);
    let mut bombs = vec![
        module("module-growth", "memory without end", ends!(CrashedOutOfMemory), || {
            start("(loop $on (drop (memory.grow (i32.const 16))) (br $on))")
        }),
        module("module-table-growth", "tables without end", ends!(CrashedOutOfMemory), || {
            "(module (table $t 1 funcref) (memory 1) (func (export \"_start\")
               (loop $on (drop (table.grow $t (ref.null func) (i32.const 100000))) (br $on))))"
                .to_owned()
        }),
        module(
            "module-too-large",
            "more memory at its start than it may have",
            ends!(UnstartedLimitTooSmall),
            || "(module (memory 1024) (func (export \"_start\")))".to_owned(),
        ),
        module(
            "module-nesting",
            "blocks in blocks without end",
            ends!(UnstartedInvalidModule),
            || {
                let (deep, end) = ("block ".repeat(60_000), "end ".repeat(60_000));
                start(&format!("{deep}{end}"))
            },
        ),
        module(
            "module-many-locals",
            "more variables than a compiler copes with",
            ends!(UnstartedInvalidModule),
            || start(&format!("(local {})", "i64 ".repeat(49_999))),
        ),
        module("module-output", "output without end", ends!(StoppedOutput), || {
            wasi(
                "fd_write",
                "i32 i32 i32 i32",
                "(i32.store (i32.const 4) (i32.const 65536))
                 (loop $on (drop (call $call (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))) (br $on))",
            )
        }),
    ];
    for bomb in &mut bombs {
        bomb.limits = small;
    }
    bombs
}

fn waits() -> Vec<ModuleCase> {
    let spin = || start("(loop $on (br $on))");
    vec![
        ModuleCase {
            limits: |limits| limits.wall = SHORT,
            ..module("module-loop", "computing for ever", ends!(StoppedWallTime), spin)
        },
        ModuleCase {
            limits: |limits| limits.cpu = SHORT,
            ..module("module-cpu", "the same, by its processor time", ends!(StoppedCpuTime), spin)
        },
        ModuleCase {
            limits: |limits| limits.fuel = Some(100_000),
            ..module("module-fuel", "the same, by its instructions", ends!(StoppedFuel), spin)
        },
        ModuleCase {
            limits: |limits| limits.wall = SHORT,
            ..module("module-sleep", "sleeping for ever", ends!(StoppedWallTime), || {
                wasi(
                    "poll_oneoff",
                    "i32 i32 i32 i32",
                    "(i32.store (i32.const 16) (i32.const 1))
                     (i64.store (i32.const 24) (i64.const 3600000000000))
                     (drop (call $call (i32.const 0) (i32.const 128) (i32.const 1) (i32.const 256)))",
                )
            })
        },
    ]
}

impl ModuleCase {
    pub(super) fn try_out(&self, runtime: &Runtime) -> Outcome {
        let began = Instant::now();
        let mut limits = Limits {
            wall: Duration::from_secs(20),
            cpu: Duration::from_secs(10),
            output: ByteSize::mib(1),
            ..Limits::default()
        };
        (self.limits)(&mut limits);
        let program = Program::module(self.name, (self.text)().into_bytes()).limits(limits);
        let report = runtime.run(program, &Task::command(["x"; 0]));
        Outcome {
            number: 0,
            name: self.name,
            what: self.what,
            wall: Wall::Wasm,
            profile: None,
            expected: self.expected,
            actual: Expect::of(&report),
            detail: words_of(&report),
            took: began.elapsed(),
        }
    }
}
