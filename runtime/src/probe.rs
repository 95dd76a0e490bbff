//! Finds out by trying what this host offers to whoever asks.

use std::os::fd::AsRawFd as _;

use crate::builder::RuntimeBuilder;
use crate::evidence::GuardState;
use crate::finding::{Finding, Probe};
use crate::limits::Limits;
use crate::permissions::Permissions;
use crate::quantity::{ByteSize, Cpus};
use crate::report::{Report, TaskSummary};
use crate::runtime::judge;
use crate::task::{Program, Task, Wall};
use crate::trust::Trust;
use crate::verdict::Verdict;
use crate::{native, wasm};

const EMPTY: &[u8] = br#"(module (memory 1) (func (export "_start")))"#;

/// For how many guests at once a pool is tried: as many as a runtime has usually.
const PLACES: u32 = 1000;

/// Tries everything that a wall may need, with the rights of this process: groups and namespaces are made and
/// removed, filters and rules installed and tested in short-lived children. Nothing of it stays, and nothing of
/// this process is changed. It takes some tenths of a second, most of them for compiling a module in confinement.
pub fn probe() -> Vec<Finding> {
    let mut found = native::probe();
    found.extend(on_request());
    found.extend(wasm::probe());
    found.push(pool());
    found.push(compile_confinement());
    found
}

/// What a process gets only if it is asked for, each with a process of its own.
fn on_request() -> [Finding; 3] {
    const NAME: &str = "cpu-group";
    let cpus = Limits { cpus: Some(Cpus::thousandths(1000)), ..Limits::default() };
    let scratch = Limits { scratch: ByteSize::mib(1), ..Limits::default() };
    let proc = Permissions { proc: true, ..Permissions::default() };
    let shared_out = run_tiny(cpus, Permissions::default());
    let shared_out = match shared_out.guards.into_iter().find(|guard| guard.name == NAME) {
        Some(guard) if guard.state == GuardState::InForce => Finding::works(Probe::CpuGroup, None),
        Some(guard) => Finding::missing(Probe::CpuGroup, guard.why.unwrap_or_default()),
        None => Finding::missing(Probe::CpuGroup, shared_out.verdict.to_string()),
    };
    let ran = |probe, report: Report| match report.verdict {
        // The tiny program has said its number.
        Verdict::Failed(_) => Finding::works(probe, None),
        other => Finding::missing(probe, other.to_string()),
    };
    [
        shared_out,
        ran(Probe::Scratch, run_tiny(scratch, Permissions::default())),
        ran(Probe::Proc, run_tiny(Limits::default(), proc)),
    ]
}

/// Runs the smallest program there is.
fn run_tiny(limits: Limits, permissions: Permissions) -> Report {
    let file = native::tiny_program();
    // What can't be made is not found, and that is told.
    let number = file.as_ref().map_or(-1, |file| file.as_raw_fd());
    let program = Program::file(format!("/proc/self/fd/{number}"))
        .within(Wall::Native)
        .limits(limits)
        .permissions(permissions);
    let task = Task::command(["x"; 0]);
    match RuntimeBuilder::default().instances(0).build() {
        Ok(runtime) => runtime.run(program, &task),
        Err(error) => {
            let summary = TaskSummary::new(&program, Wall::Native, &task);
            judge(summary, Limits::default(), error.into_evidence())
        }
    }
}

/// Makes the pool of places that a host for many guests has, and runs a guest in it.
fn pool() -> Finding {
    let program = Program::module("probe", EMPTY).trust(Trust::Own);
    let built = RuntimeBuilder::default().instances(PLACES).build();
    let runtime = match built {
        Ok(runtime) => runtime,
        Err(error) => return Finding::missing(Probe::Pool, error.to_string()),
    };
    let report = runtime.run(program, &Task::command(["x"; 0]));
    match report.verdict.is_completed() {
        true => Finding::works(Probe::Pool, Some(format!("{PLACES} places"))),
        false => Finding::missing(Probe::Pool, report.verdict.to_string()),
    }
}

/// Compiles a module as one of somebody else's, and looks whether that was done in confinement.
fn compile_confinement() -> Finding {
    const NAME: &str = "compile-confinement";
    let probe = Probe::CompileConfinement;
    let runtime = match RuntimeBuilder::default().instances(0).build() {
        Ok(runtime) => runtime,
        Err(error) => return Finding::missing(probe, error.to_string()),
    };
    let report = runtime.run(Program::module("probe", EMPTY), &Task::command(["x"; 0]));
    if !report.verdict.is_completed() {
        return Finding::missing(probe, report.verdict.to_string());
    }
    match report.guards.iter().find(|guard| guard.name == NAME) {
        Some(guard) if guard.state == GuardState::InForce => Finding::works(probe, None),
        Some(guard) => Finding::missing(probe, guard.why.clone().unwrap_or_default()),
        None => Finding::missing(probe, "the report does not speak of it"),
    }
}
