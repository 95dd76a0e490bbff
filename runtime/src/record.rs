//! The report as one JSON object. Field names are public: they are never renamed, only added to.

mod limits;
mod output;

use sandtrap_protocol::ErrorReport;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;

use crate::core_dump::CoreDump;
use crate::evidence::{
    AccessKind, Basis, Denied, Ending, Fault, Guard, RefusedMemory, Step, Thrown,
};
use crate::label::Label;
use crate::report::{AttemptSummary, Report};
use crate::trace::Frame;
use crate::verdict::{CrashCause, Failure, Verdict};

use limits::{LimitsRecord, limits_record};
use output::{OutputRecord, output_record};

/// The version of the object's shape.
const SCHEMA: u32 = 1;

/// What happened to one task. Fields are added in later versions, and none is ever renamed or taken away.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Record {
    schema: u32,
    task: TaskRecord,
    verdict: VerdictRecord,
    evidence: EvidenceRecord,
    usage: UsageRecord,
    limits: LimitsRecord,
    guards: Vec<GuardRecord>,
    attempts: u32,
    history: Vec<AttemptRecord>,
    output: OutputRecord,
}

/// One try, where a task was tried by an executor.
#[derive(Debug, Serialize, JsonSchema)]
struct AttemptRecord {
    number: u32,
    label: &'static str,
    message: String,
    delay_us: u64,
    wall_us: u64,
    memory_limit_bytes: u64,
    worker: Option<u64>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct TaskRecord {
    id: String,
    program: String,
    #[schemars(extend("enum" = ["native", "wasm"]))]
    isolation: &'static str,
    #[schemars(extend("enum" = ["command", "call"]))]
    entry: &'static str,
    function: Option<String>,
    pid: Option<u32>,
    /// How many bytes a function was given that did not complete.
    input_bytes: Option<u64>,
    /// A digest of them, in hexadecimal: the same bytes have the same one.
    input_digest: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct VerdictRecord {
    #[schemars(extend("enum" = ["completed", "failed", "crashed", "stopped", "denied", "unstarted"]))]
    kind: &'static str,
    #[schemars(extend("enum" = labels()))]
    label: &'static str,
    certain: bool,
    message: String,
    code: Option<i32>,
    chain: Vec<String>,
    place: Option<String>,
    trace: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct EvidenceRecord {
    #[schemars(extend("enum" = ["ptrace", "trap", "notify", "status"]))]
    source: &'static str,
    #[schemars(extend("enum" = ["exited", "signalled", "trapped", "never-started", "vanished"]))]
    ending: &'static str,
    exit_code: Option<i32>,
    /// The signal that decided: that of the hardware fault, where there was one.
    signal: Option<String>,
    si_code: Option<i32>,
    address: Option<String>,
    /// What was wanted at that address: `read`, `write` or `execute`.
    access: Option<&'static str>,
    /// How large a module's memory was that it reached out of.
    memory_bytes: Option<u64>,
    /// The exception that left a module.
    exception: Option<ExceptionRecord>,
    /// How long its core dump is, where one was wanted and made.
    core_dump_bytes: Option<u64>,
    /// The signal with which it ended in the end.
    final_signal: Option<String>,
    syscall: Option<i64>,
    syscall_name: Option<&'static str>,
    /// Whose number it is, if not that of the machine's ordinary programs.
    syscall_abi: Option<&'static str>,
    syscall_arguments: Option<Vec<String>>,
    /// What would have allowed it.
    allowed_by: Option<String>,
    fatal: bool,
    trap: Option<String>,
    refused_memory: Option<RefusedRecord>,
    oom_kills: u64,
    /// How many of those were other processes of the task than its first.
    oom_kills_of_others: Option<u64>,
    /// Whether the whole host was out of memory: `seen` or `inferred`.
    host_oom: Option<&'static str>,
    device_out_of_memory: Option<u64>,
    stopped_by_us: Option<&'static str>,
    /// Why it was told to end, if it had a time of grace and was told.
    told_to_end: Option<&'static str>,
    /// Whether somebody insisted after it was told, and gave it no more time.
    hurried: bool,
    /// The error that its task returned, where it was told to end and the verdict is about that.
    error: Option<ErrorRecord>,
    denied: Vec<String>,
    fault: Option<FaultRecord>,
    errno: Option<i32>,
    guard: Option<&'static str>,
    /// Whether this is the end of the guest that was to be forked for the task, before it was warm.
    was_warming_up: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
struct RefusedRecord {
    wanted_bytes: Option<u64>,
    limit_bytes: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
struct ErrorRecord {
    message: String,
    chain: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct ExceptionRecord {
    tag: Option<String>,
    values: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct FaultRecord {
    instruction: String,
    stack_pointer: String,
}

#[derive(Debug, Serialize, JsonSchema)]
struct UsageRecord {
    wall_us: u64,
    cpu_us: u64,
    peak_memory_bytes: u64,
    fuel: Option<u64>,
    stdout_bytes: u64,
    stderr_bytes: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
struct GuardRecord {
    name: &'static str,
    #[schemars(extend("enum" = ["in-force", "missing", "off"]))]
    state: &'static str,
    why: Option<String>,
}

impl Record {
    /// The JSON Schema (2020-12) of what is written. Every field is there in every report; where there is nothing
    /// to say, it is null.
    pub fn schema() -> serde_json::Value {
        let settings = SchemaSettings::draft2020_12().for_serialize();
        let mut schema = settings.into_generator().into_root_schema_for::<Self>();
        schema.insert("title".to_owned(), "sandtrap report".into());
        schema.to_value()
    }
}

/// Every label there is, for the schema.
fn labels() -> Vec<&'static str> {
    Label::ALL.iter().map(|label| label.as_str()).collect()
}

/// For a writer of JSON: what functions gave as JSON is in it as it was written, which other formats have no place for.
impl From<&Report> for Record {
    fn from(report: &Report) -> Self {
        Self {
            schema: SCHEMA,
            task: task_record(report),
            verdict: verdict_record(report),
            evidence: evidence_record(report),
            usage: usage_record(report),
            limits: limits_record(&report.limits),
            guards: report.guards.iter().map(guard_record).collect(),
            attempts: report.attempts,
            history: report.history.iter().map(attempt_record).collect(),
            output: output_record(report),
        }
    }
}

fn attempt_record(attempt: &AttemptSummary) -> AttemptRecord {
    AttemptRecord {
        number: attempt.number,
        label: attempt.label.as_str(),
        message: attempt.message.clone(),
        delay_us: micros(attempt.delay),
        wall_us: micros(attempt.took),
        memory_limit_bytes: attempt.memory.as_u64(),
        worker: attempt.worker,
    }
}

fn task_record(report: &Report) -> TaskRecord {
    TaskRecord {
        id: report.task.id.to_string(),
        program: report.task.program.to_string(),
        isolation: report.task.wall.name(),
        entry: if report.task.function.is_some() { "call" } else { "command" },
        function: report.task.function.clone(),
        pid: report.task.pid,
        input_bytes: report.task.input.as_ref().map(|input| input.bytes),
        input_digest: report.task.input.as_ref().and_then(|input| input.digest.clone()),
    }
}

fn verdict_record(report: &Report) -> VerdictRecord {
    let verdict = &report.verdict;
    let (code, chain, place) = match verdict {
        Verdict::Failed(Failure::Exit { code }) => (Some(*code), Vec::new(), None),
        Verdict::Failed(Failure::Error { chain, .. }) => (None, chain.clone(), None),
        Verdict::Failed(Failure::Panic { place, .. }) => (None, Vec::new(), place.clone()),
        Verdict::Completed => (Some(0), Vec::new(), None),
        Verdict::Crashed(_) | Verdict::Stopped(_) | Verdict::Denied(_) | Verdict::Unstarted(_) => {
            (None, Vec::new(), None)
        }
    };
    let place = place.or_else(|| report.facts.trace.iter().find_map(|frame| frame.place.clone()));
    VerdictRecord {
        kind: verdict.label().kind(),
        label: verdict.label().as_str(),
        certain: verdict.is_certain(),
        message: verdict.to_string(),
        code,
        chain,
        place,
        trace: report.facts.trace.iter().map(Frame::to_string).collect(),
    }
}

fn evidence_record(report: &Report) -> EvidenceRecord {
    let facts = &report.facts;
    let syscall = facts.denied.iter().find_map(|denied| match denied {
        Denied::Syscall(denied) => Some(denied),
        Denied::Capability(_) => None,
    });
    let dumped = |dump: &CoreDump| dump.bytes().map(|bytes| bytes.len() as u64);
    let mut record = EvidenceRecord {
        source: facts.source.name(),
        ending: "vanished",
        exit_code: None,
        signal: None,
        si_code: None,
        address: address(report).map(hex),
        access: None,
        memory_bytes: facts.outside.map(|outside| outside.memory),
        exception: facts.thrown.as_ref().map(exception_record),
        core_dump_bytes: facts.core_dump.as_ref().and_then(dumped),
        final_signal: None,
        syscall: syscall.map(|denied| denied.number),
        syscall_name: syscall.and_then(|denied| denied.name),
        syscall_abi: syscall.and_then(|denied| denied.abi),
        syscall_arguments: syscall
            .and_then(|denied| denied.arguments)
            .map(|arguments| arguments.map(hex).to_vec()),
        fatal: facts.is_fatal,
        allowed_by: syscall.and_then(|denied| denied.remedy).map(|remedy| remedy.to_string()),
        trap: None,
        refused_memory: facts.refused_memory.map(refused_record),
        oom_kills: facts.oom_kills,
        oom_kills_of_others: facts.oom_kills_of_others,
        host_oom: facts.host_oom.map(Basis::name),
        device_out_of_memory: facts.device_out_of_memory,
        stopped_by_us: facts.stopped_by_us.map(|reason| reason.name()),
        told_to_end: facts.told_to_end.map(|reason| reason.name()),
        hurried: facts.hurried,
        error: facts.error.as_ref().map(error_record),
        denied: facts.denied.iter().map(Denied::to_string).collect(),
        fault: None,
        errno: None,
        guard: None,
        was_warming_up: facts.was_warming_up,
    };
    match &facts.ending {
        Ending::NeverStarted(refusal) => {
            record.ending = "never-started";
            record.errno = refusal.errno;
            record.guard = match refusal.step {
                Step::Guard(name) => Some(name),
                _ => None,
            };
        }
        Ending::Exited(code) => {
            record.ending = "exited";
            record.exit_code = Some(*code);
        }
        Ending::Signalled(death) => {
            record.ending = "signalled";
            let decisive = death.fault.as_ref().map_or(death.signal, |fault| fault.signal);
            record.signal = Some(decisive.to_string());
            record.si_code = death.fault.as_ref().map(|fault| fault.code).or(death.code);
            record.final_signal = Some(death.signal.to_string());
            let access = death.fault.as_ref().and_then(|fault| fault.access);
            record.access = access.map(AccessKind::name);
            record.fault = death.fault.as_ref().map(fault_record);
        }
        Ending::Trapped(cause) => {
            record.ending = "trapped";
            record.trap = Some(cause.name().to_owned());
        }
        Ending::Vanished => {}
    }
    record
}

fn address(report: &Report) -> Option<u64> {
    match &report.facts.ending {
        Ending::Signalled(death) => death.fault.as_ref().and_then(|fault| fault.address),
        // Also where the verdict is another one: a stack that ran out is reached out of, too.
        Ending::Trapped(_) if report.facts.outside.is_some() => {
            report.facts.outside.map(|outside| outside.address)
        }
        _ => match &report.verdict {
            Verdict::Crashed(crash) => match crash.cause {
                CrashCause::MemoryFault { address } | CrashCause::BadCall { address } => address,
                _ => None,
            },
            _ => None,
        },
    }
}

fn hex(number: u64) -> String {
    format!("{number:#x}")
}

fn refused_record(refused: RefusedMemory) -> RefusedRecord {
    RefusedRecord { wanted_bytes: refused.wanted, limit_bytes: refused.limit }
}

fn exception_record(thrown: &Thrown) -> ExceptionRecord {
    ExceptionRecord { tag: thrown.tag.clone(), values: thrown.values.clone() }
}

fn error_record(error: &ErrorReport) -> ErrorRecord {
    ErrorRecord { message: error.message.clone(), chain: error.chain.clone() }
}

fn fault_record(fault: &Fault) -> FaultRecord {
    FaultRecord { instruction: hex(fault.instruction), stack_pointer: hex(fault.stack_pointer) }
}

fn usage_record(report: &Report) -> UsageRecord {
    let usage = &report.usage;
    UsageRecord {
        wall_us: micros(usage.wall),
        cpu_us: micros(usage.cpu),
        peak_memory_bytes: usage.peak_memory,
        fuel: usage.fuel,
        stdout_bytes: usage.stdout_bytes,
        stderr_bytes: usage.stderr_bytes,
    }
}

fn micros(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn guard_record(guard: &Guard) -> GuardRecord {
    GuardRecord { name: guard.name, state: guard.state.name(), why: guard.why.clone() }
}
