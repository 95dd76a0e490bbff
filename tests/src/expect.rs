//! What is expected of each guest behind each wall, in one table. A guest without a row fails the suite.

mod forbidden;
mod natives;
mod run;

use std::time::Duration;

use sandtrap::{ByteSize, Label, Limits, Network, OnMemoryLimit, Profile};

pub use run::SilentPipe;

/// How one guest ends behind both walls.
#[derive(Clone, Debug)]
pub struct Row {
    /// The guest's name.
    pub guest: &'static str,
    /// Behind the native wall.
    pub native: Expect,
    /// Behind the wasm wall.
    pub wasm: Expect,
    /// Why the walls differ, where they do.
    pub why: Option<&'static str>,
    /// Behind the wasm wall as a component, where that is not the same, and why.
    pub component: Option<(Expect, &'static str)>,
    /// The limits it runs under.
    pub limits: Limits,
    /// What it reads.
    pub stdin: Input,
    /// Whether it may write to a directory, which the variable SCRATCH names.
    pub scratch: bool,
    /// The system calls it may make as a process.
    pub profile: Profile,
    /// The network it may reach as a process.
    pub net: Network,
    /// What it is called with.
    pub args: Vec<&'static str>,
}

/// How a guest ends behind one wall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// With this verdict and, for `failed.exit`, this code.
    Ends(Label, Option<i32>),
    /// It can't be built for this wall.
    Absent,
}

/// What a guest of the table finds on its stdin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Nothing.
    Empty,
    /// A pipe that never has anything and never ends.
    Silent,
}

impl Row {
    fn native(mut self, label: Label) -> Self {
        self.native = Expect::Ends(label, None);
        self
    }

    fn wasm(mut self, label: Label) -> Self {
        self.wasm = Expect::Ends(label, None);
        self
    }

    fn both(self, label: Label) -> Self {
        self.native(label).wasm(label)
    }

    fn exits(mut self, code: i32) -> Self {
        self.native = Expect::Ends(Label::FailedExit, Some(code));
        self.wasm = self.native;
        self
    }

    /// As a component it ends otherwise.
    fn otherwise_as_component(mut self, expect: Expect, why: &'static str) -> Self {
        self.component = Some((expect, why));
        self
    }

    /// How it ends as a component.
    pub fn expected_of_component(&self) -> Expect {
        self.component.map_or(self.wasm, |(expect, _)| expect)
    }

    fn because(mut self, why: &'static str) -> Self {
        self.why = Some(why);
        self
    }

    /// It would never end, so its time is short.
    fn hangs(mut self) -> Self {
        self.limits.wall = Duration::from_millis(100);
        self
    }

    fn with(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.limits);
        self
    }

    /// It needs more system calls than most.
    fn under(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    fn networked(mut self) -> Self {
        self.net = Network::Host;
        self
    }

    fn with_scratch(mut self) -> Self {
        self.scratch = true;
        self
    }

    fn reading(mut self, input: Input) -> Self {
        self.stdin = input;
        self
    }
}

fn row(guest: &'static str) -> Row {
    let limits = Limits {
        memory: ByteSize::mib(64),
        // Long enough for the slowest machine: only guests that hang run into it.
        wall: Duration::from_secs(60),
        cpu: Duration::from_secs(60),
        output: ByteSize::mib(1),
        file_bytes: ByteSize::mib(1),
        result: ByteSize::mib(1),
        ..Limits::default()
    };
    let (native, wasm) = (Expect::Absent, Expect::Absent);
    Row {
        guest,
        native,
        wasm,
        why: None,
        component: None,
        limits,
        stdin: Input::Empty,
        scratch: false,
        profile: Profile::default(),
        net: Network::None,
        args: Vec::new(),
    }
}

/// Every guest there is.
pub fn table() -> Vec<Row> {
    [
        samples(),
        endings(),
        memory_and_faults(),
        never_ending(),
        liars(),
        testifying(),
        panicking(),
        natives::rows(),
        forbidden::rows(),
        modules(),
        components(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn samples() -> Vec<Row> {
    use Label::Completed;
    ["arguments", "binary_stdout", "echo", "files", "hello", "wordcount", "world"]
        .map(|guest| row(guest).both(Completed))
        .into_iter()
        .chain([row("reaches_out").both(Completed).networked()])
        .chain([row("pour").both(Completed).with(|limits| limits.output = ByteSize::mib(128))])
        .collect()
}

const PLAIN_PANIC: &str = "a panic that is not told over the channel is exit code 101 of a process, \
                           and an `unreachable` of a module, like every abort";

const EXIT_1: Expect = Expect::Ends(Label::FailedExit, Some(1));

const CODELESS: &str = "the standard library ends a component by `wasi:cli/exit`, which says whether \
                        it ended well and no code; every other code than 0 arrives as 1";

const NO_CHANNEL: &str =
    "a component has no channel to its host: what it would say of its end, nobody hears";

fn endings() -> Vec<Row> {
    use Label::{Completed, CrashedAbort};
    let panics = ["panic", "panic_divide", "panic_payload", "out_of_bounds_index"].map(|guest| {
        let mut panics = row(guest).exits(101).because(PLAIN_PANIC);
        panics.wasm = Expect::Ends(CrashedAbort, None);
        panics
    });
    let exits = [
        ("exit_1", 1),
        ("exit_3", 3),
        ("exit_124", 124),
        ("exit_134", 134),
        ("exit_137", 137),
        ("exit_139", 139),
        ("exit_255", 255),
    ]
    .map(|(guest, code)| match code {
        1 => row(guest).exits(code),
        _ => row(guest).exits(code).otherwise_as_component(EXIT_1, CODELESS),
    });
    panics
        .into_iter()
        .chain(exits)
        .chain([
            row("exit_0").both(Completed),
            row("abort").both(CrashedAbort),
            row("close_stdout_and_die").both(CrashedAbort),
        ])
        .collect()
}

fn memory_and_faults() -> Vec<Row> {
    use Label::{
        Completed, CrashedAbort, CrashedArithmetic, CrashedBadCall, CrashedMemoryFault,
        CrashedOutOfMemory, CrashedStackOverflow,
    };
    vec![
        row("heap_slow_growth").both(CrashedOutOfMemory),
        row("heap_many_small").both(CrashedOutOfMemory),
        row("heap_huge_request").native(CrashedAbort).wasm(CrashedOutOfMemory).because(
            "the kernel refuses so much address space by an error code that nobody but the guest \
             sees, and the guest aborts; the growth of a module is refused by the wall itself",
        ),
        row("copes_when_refused")
            .both(Completed)
            .with(|limits| limits.on_memory_limit = OnMemoryLimit::Refuse),
        row("stack_overflow").both(CrashedStackOverflow),
        row("stack_overflow_wide_frames").both(CrashedStackOverflow),
        row("divide_by_zero").both(CrashedArithmetic),
        row("integer_overflow").both(CrashedArithmetic),
        row("wild_read").both(CrashedMemoryFault),
        row("wild_write").both(CrashedMemoryFault),
        row("null_call").both(CrashedBadCall),
    ]
}

fn never_ending() -> Vec<Row> {
    use Label::{StoppedFiles, StoppedOutput, StoppedWallTime};
    vec![
        row("spin").both(StoppedWallTime).hangs(),
        row("sleep").both(StoppedWallTime).hangs(),
        row("read_stdin").both(StoppedWallTime).hangs().reading(Input::Silent),
        row("flood_stdout").both(StoppedOutput),
        row("flood_stderr").both(StoppedOutput),
        row("file_too_large").both(StoppedFiles).with_scratch(),
    ]
}

fn liars() -> Vec<Row> {
    ["lie_segfault", "lie_out_of_memory", "lie_stack"]
        .map(|guest| row(guest).both(Label::Completed))
        .to_vec()
}

const ABORTS: Expect = Expect::Ends(Label::CrashedAbort, None);

fn testifying() -> Vec<Row> {
    use Label::{
        Completed, CrashedAbort, CrashedOutOfMemory, CrashedProtocol, FailedError, FailedPanic,
        StoppedResult,
    };
    vec![
        row("sdk_error").both(FailedError).otherwise_as_component(EXIT_1, NO_CHANNEL),
        row("sdk_panic").both(FailedPanic).otherwise_as_component(ABORTS, NO_CHANNEL),
        row("sdk_out_of_memory").both(CrashedOutOfMemory),
        row("sdk_survives_thread_panic").both(Completed),
        row("sdk_survives_refusal").native(Completed).wasm(CrashedOutOfMemory).because(
            "a process may be refused memory and go on; the growth of a module beyond its cap is \
             refused by the wall itself, which ends it",
        ),
        row("sdk_caught_panic_aborts").native(CrashedAbort).wasm(FailedPanic).because(
            "a module can't catch a panic, so that it dies of the panic and never gets to abort",
        )
        .otherwise_as_component(ABORTS, NO_CHANNEL),
        row("channel_garbage").both(CrashedProtocol).otherwise_as_component(Expect::Absent, NO_CHANNEL),
        row("channel_torn_frame").both(CrashedProtocol).otherwise_as_component(Expect::Absent, NO_CHANNEL),
        row("channel_flood").both(StoppedResult).otherwise_as_component(Expect::Absent, NO_CHANNEL),
    ]
}

/// Panics where there is little to say them with. `tests/suite/panics.rs` looks at their words.
fn panicking() -> Vec<Row> {
    let told =
        |guest| row(guest).both(Label::FailedPanic).otherwise_as_component(ABORTS, NO_CHANNEL);
    let memory_full = |guest| {
        row(guest)
            .both(Label::FailedPanic)
            .otherwise_as_component(Expect::Ends(Label::CrashedOutOfMemory, None), NO_CHANNEL)
            .with(|limits| limits.on_memory_limit = OnMemoryLimit::Refuse)
    };
    let mut deep = told("sdk_panic_deep");
    deep.args = vec!["1000"];
    vec![
        deep,
        memory_full("sdk_panic_memory_full"),
        memory_full("sdk_panic_memory_full_long"),
        told("sdk_panic_in_drop"),
        told("sdk_panic_across_c"),
        told("sdk_panic_payload"),
        told("sdk_panic_payload_drop"),
        told("sdk_panic_resumed"),
        told("sdk_panic_resumed_caught"),
        // The words stand on stderr, too.
        told("sdk_panic_long").with(|limits| limits.output = ByteSize::mib(4)),
        told("sdk_panic_in_threads"),
    ]
}

/// Written by hand, as texts.
fn components() -> Vec<Row> {
    use Label::{
        CrashedOutOfMemory, CrashedUnknown, FailedExit, StoppedWallTime, UnstartedInvalidModule,
        UnstartedLimitTooSmall, UnstartedMissingImport,
    };
    const ALONE: &str = "only a component can be wrong in this way";
    let mut exits = row("component_exit_code");
    exits.wasm = Expect::Ends(FailedExit, Some(77));
    [
        exits,
        row("component_above_cap").wasm(UnstartedLimitTooSmall),
        row("component_handle_flood").wasm(CrashedUnknown),
        row("component_instance_bomb").wasm(UnstartedInvalidModule),
        row("component_loops_in_start").wasm(StoppedWallTime).hangs(),
        row("component_missing_import").wasm(UnstartedMissingImport),
        row("component_two_memories").wasm(CrashedOutOfMemory),
        row("component_without_run").wasm(UnstartedInvalidModule),
    ]
    .map(|row| row.because(ALONE))
    .to_vec()
}

fn modules() -> Vec<Row> {
    use Label::{
        CrashedAbort, CrashedArithmetic, CrashedBadCall, CrashedMemoryFault, CrashedOutOfMemory,
        CrashedStackOverflow, CrashedUnknown, StoppedWallTime, UnstartedInvalidModule,
        UnstartedLimitTooSmall, UnstartedMissingImport,
    };
    const ALONE: &str = "only a module can be wrong in this way";
    [
        row("atomic_wait_unshared").wasm(CrashedUnknown),
        row("bad_float_conversion").wasm(CrashedArithmetic),
        row("empty").wasm(UnstartedInvalidModule),
        row("integer_divide_by_zero").wasm(CrashedArithmetic),
        row("integer_overflow_module").wasm(CrashedArithmetic),
        row("loops_in_start").wasm(StoppedWallTime).hangs(),
        row("memory_above_cap").wasm(UnstartedLimitTooSmall),
        row("memory_grow_survivor").wasm(CrashedOutOfMemory),
        row("missing_import").wasm(UnstartedMissingImport),
        row("mistyped_call_indirect").wasm(CrashedBadCall),
        row("no_start").wasm(UnstartedInvalidModule),
        row("not_a_module").wasm(UnstartedInvalidModule),
        row("null_call_indirect").wasm(CrashedBadCall),
        row("out_of_bounds_load").wasm(CrashedMemoryFault),
        row("out_of_bounds_table").wasm(CrashedMemoryFault),
        row("stack_overflow_module").wasm(CrashedStackOverflow),
        row("start_traps").wasm(CrashedAbort),
        row("table_bomb").wasm(CrashedOutOfMemory),
        row("truncated").wasm(UnstartedInvalidModule),
        row("two_memories").wasm(CrashedOutOfMemory),
        row("unaligned_atomic").wasm(CrashedMemoryFault),
        row("unreachable").wasm(CrashedAbort),
    ]
    .map(|row| row.because(ALONE))
    .to_vec()
}
