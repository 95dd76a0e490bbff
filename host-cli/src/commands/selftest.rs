//! `sandtrap selftest`: the shipped cases against this host.

use nix::unistd::geteuid;
use serde_json::{Value, json};

use crate::abuse::WITHOUT_GUEST;
use crate::args::{SelftestArgs, misuse};
use crate::render;
use crate::selftest::{self, Outcome, Selection};
use crate::streams;

/// A case ended otherwise than it should.
const DIFFERS: u8 = 1;

/// The version of the object's shape.
const SCHEMA: u32 = 1;

/// Runs what is wanted and prints each outcome as soon as it is there.
pub(crate) fn selftest(args: &SelftestArgs) -> anyhow::Result<u8> {
    let selection = Selection { names: &args.only, profiles: &args.profile };
    if let Some(name) = selection.unknown() {
        return Err(misuse("selftest", unknown(name)).into());
    }
    let (mut total, mut different) = (0, 0);
    let mut outcomes = Vec::new();
    selftest::run(&selection, &mut |outcome| {
        total += 1;
        different += usize::from(!outcome.is_as_expected());
        match args.json {
            true => outcomes.push(as_json(&outcome)),
            false => streams::print(&render::outcome(&outcome))?,
        }
        Ok(())
    })?;
    let left_out = selftest::left_out(&selection);
    if args.json {
        let whole = json!({
            "schema": SCHEMA,
            "uid": geteuid().as_raw(),
            "total": total,
            "different": different,
            "left_out": left_out,
            "without_guest": without_guest(),
            "outcomes": outcomes,
        });
        streams::print(&format!("{whole:#}\n"))?;
    } else {
        streams::print(&render::summary(total, different, left_out))?;
    }
    Ok(if different > 0 { DIFFERS } else { 0 })
}

/// Numbers of the list of attacks that no guest can try, and why.
fn without_guest() -> Vec<Value> {
    WITHOUT_GUEST.iter().map(|(number, why)| json!({"number": number, "why": why})).collect()
}

fn unknown(name: &str) -> String {
    let all = selftest::all_names();
    let near = all
        .iter()
        .max_by(|one, other| strsim::jaro(one, name).total_cmp(&strsim::jaro(other, name)));
    let hint = near.map(|near| format!("; there is `{near}`")).unwrap_or_default();
    format!("there is no case `{name}`{hint}")
}

fn as_json(outcome: &Outcome) -> Value {
    json!({
        "number": outcome.number,
        "name": outcome.name,
        "what": outcome.what,
        "isolation": outcome.wall.name(),
        "profile": outcome.profile.map(|profile| profile.name()),
        "expected": outcome.expected.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "actual": outcome.actual.to_string(),
        "as_expected": outcome.is_as_expected(),
        "detail": outcome.detail,
        "wall_us": u64::try_from(outcome.took.as_micros()).unwrap_or(u64::MAX),
    })
}
