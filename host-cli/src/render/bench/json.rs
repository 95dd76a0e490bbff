//! The findings as one JSON object. Its keys are public: they are added, never changed. Times are whole nanoseconds.

use serde_json::{Value, json};

use crate::bench::{Findings, Found, Spread};

/// The version of the object's shape.
const SCHEMA: u32 = 1;

/// All of it, on many lines.
pub(crate) fn json(findings: &Findings) -> String {
    let fastest = findings.fastest();
    let modes = findings.modes.iter().map(|found| mode(found, fastest));
    let guards = findings.guards.iter().map(|switch| {
        json!({
            "mode": switch.mode,
            "name": switch.name,
            "with": spread(&switch.with),
            "without": spread(&switch.without),
            "cost_ns": switch.cost().map(nanoseconds),
        })
    });
    let missing = |list: &[(&'static str, String)], key: &str| -> Value {
        list.iter().map(|(what, why)| json!({key: what, "why": why})).collect()
    };
    let whole = json!({
        "schema": SCHEMA,
        "guest": {
            "native": findings.guest.native,
            "wasm": findings.guest.wasm,
            "work": findings.guest.work,
        },
        "machine": {
            "processors": findings.machine.processors,
            "system": findings.machine.system,
        },
        "rounds": findings.rounds,
        "modes": modes.collect::<Value>(),
        "bare": findings.bare.as_ref().map(spread),
        "guards": guards.collect::<Value>(),
        "left_out": missing(&findings.left_out, "mode"),
        "not_measured": missing(&findings.not_measured, "measure"),
        "warnings": findings.warnings,
        "advice": findings.advice,
    });
    format!("{whole:#}\n")
}

fn mode(found: &Found, fastest: Option<&Found>) -> Value {
    let payload =
        found.payload.iter().map(|(bytes, time)| json!({"bytes": bytes, "call": spread(time)}));
    let live = found.live.iter().map(|crowd| {
        json!({
            "guests": crowd.cells,
            "call_ns": nanoseconds(crowd.call),
            "memory_bytes": crowd.memory,
        })
    });
    json!({
        "mode": found.mode.name(),
        "isolation": found.mode.wall().name(),
        "call": spread(&found.call),
        "ratio_to_fastest": fastest.map(|fastest| found.call.ratio_to(&fastest.call)),
        "first_ns": found.first.map(nanoseconds),
        "start": found.start.as_ref().map(spread),
        "own_cpu_ns": found.own.map(nanoseconds),
        "calls_per_second": found.throughput,
        "memory_bytes": found.memory,
        "crash_to_next": found.crash.as_ref().map(spread),
        "payload": payload.collect::<Value>(),
        "live": live.collect::<Value>(),
    })
}

fn spread(spread: &Spread) -> Value {
    json!({
        "least_ns": nanoseconds(spread.least),
        "median_ns": nanoseconds(spread.median),
        "p95_ns": nanoseconds(spread.p95),
        "samples": spread.samples,
        "unrest": spread.unrest,
    })
}

fn nanoseconds(seconds: f64) -> i64 {
    (seconds * 1e9).round() as i64
}
