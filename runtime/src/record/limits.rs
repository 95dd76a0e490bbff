//! The part of a report that holds the limits, as they were in force.

use schemars::JsonSchema;
use serde::Serialize;

use crate::limits::Limits;
use crate::quantity::{ByteSize, Cpus};

use super::micros;

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct LimitsRecord {
    memory_bytes: u64,
    on_memory_limit: &'static str,
    wall_us: u64,
    grace_us: u64,
    cpu_us: u64,
    cpus: Option<f64>,
    fuel: Option<u64>,
    stack_bytes: u64,
    output_bytes: u64,
    stdin_bytes: Option<u64>,
    result_bytes: u64,
    open_files: u32,
    processes: u32,
    threads: u32,
    file_bytes: u64,
    scratch_bytes: u64,
    scratch_files: u32,
}

pub(super) fn limits_record(limits: &Limits) -> LimitsRecord {
    LimitsRecord {
        memory_bytes: limits.memory.as_u64(),
        on_memory_limit: limits.on_memory_limit.name(),
        wall_us: micros(limits.wall),
        grace_us: micros(limits.grace),
        cpu_us: micros(limits.cpu),
        cpus: limits.cpus.map(Cpus::as_f64),
        fuel: limits.fuel,
        stack_bytes: limits.stack.as_u64(),
        output_bytes: limits.output.as_u64(),
        stdin_bytes: limits.stdin.map(ByteSize::as_u64),
        result_bytes: limits.result.as_u64(),
        open_files: limits.open_files,
        processes: limits.processes,
        threads: limits.threads,
        file_bytes: limits.file_bytes.as_u64(),
        scratch_bytes: limits.scratch.as_u64(),
        scratch_files: limits.scratch_files,
    }
}
