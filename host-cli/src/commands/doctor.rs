//! `sandtrap doctor`: what this host offers to whoever asks, tried and not guessed.

use nix::unistd::geteuid;
use sandtrap::Finding;
use serde_json::{Value, json};

use crate::args::DoctorArgs;
use crate::render;
use crate::streams;

/// A guard that the defaults require is missing.
const TROUBLE: u8 = 1;

/// The version of the object's shape.
const SCHEMA: u32 = 1;

/// Tries everything and prints what was found.
pub(crate) fn doctor(args: &DoctorArgs) -> anyhow::Result<u8> {
    let found = sandtrap::probe();
    let in_trouble = found.iter().any(Finding::is_trouble);
    let text = match args.json {
        true => format!("{:#}\n", as_json(&found, in_trouble)),
        false => render::findings(&found),
    };
    streams::print(&text)?;
    Ok(if in_trouble { TROUBLE } else { 0 })
}

fn as_json(found: &[Finding], in_trouble: bool) -> Value {
    let findings: Vec<Value> = found.iter().map(one).collect();
    json!({
        "schema": SCHEMA,
        "uid": geteuid().as_raw(),
        "sound": !in_trouble,
        "findings": findings,
    })
}

fn one(finding: &Finding) -> Value {
    json!({
        "name": finding.probe.name(),
        "state": finding.state.name(),
        "required": finding.probe.is_required(),
        "fact": finding.fact,
        "step": finding.failed.map(|failed| failed.step),
        "errno": finding.failed.and_then(|failed| failed.errno),
        "setting": finding.setting.as_ref().map(|it| json!({"path": it.path, "value": it.value})),
        "reason": render::reason(finding),
        "remedy": render::remedy(finding),
    })
}
