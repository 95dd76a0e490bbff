//! `sandtrap selftest`: the shipped cases against this host.

use std::collections::BTreeMap;

use nix::unistd::geteuid;
use serde_json::{Value, json};

use crate::abuse::WITHOUT_GUEST;
use crate::args::{SelftestArgs, misuse};
use crate::render;
use crate::report_file::ReportFile;
use crate::selftest::{self, Guest, Outcome, Peer, Said, Selection};
use crate::streams;

/// A case ended otherwise than it should.
const DIFFERS: u8 = 1;

/// Nobody has asked for a case that there is.
const NOTHING: &str = "none of these cases is run under these profiles: modules have none, and `host-killed` is run under compute";

/// The version of the object's shape.
const SCHEMA: u32 = 1;

/// Runs what is wanted and prints each outcome as soon as it is there.
pub(crate) fn selftest(args: &SelftestArgs) -> anyhow::Result<u8> {
    let selection = Selection { names: &args.only, profiles: &args.profile };
    if let Some(name) = selection.unknown() {
        return Err(misuse("selftest", unknown(name)).into());
    }
    // What is not there is no reason to find out after all the rest.
    let guest = args.guest.as_deref().map_or_else(Guest::itself, Guest::of)?;
    let table =
        args.markdown.as_deref().map(|path| ReportFile::prepare("table", path)).transpose()?;
    let peer = args.beside.as_deref().map(Peer::of).transpose()?;
    let mut outcomes = Vec::new();
    selftest::run(&selection, &guest, &mut |outcome| {
        if !args.json {
            streams::print(&render::outcome(&outcome))?;
        }
        outcomes.push(outcome);
        Ok(())
    })?;
    let left_out = selftest::left_out(&selection, &guest);
    if outcomes.is_empty() {
        // That nothing went wrong would be true, and no news.
        let why = left_out.unwrap_or_else(|| NOTHING.to_owned());
        return Err(misuse("selftest", why).into());
    }
    let beside = peer.map(|peer| elsewhere(peer, &selection, &guest, args.json)).transpose()?;
    let total = outcomes.len();
    let different = outcomes.iter().filter(|outcome| !outcome.is_as_expected()).count();
    if args.json {
        let whole = json!({
            "schema": SCHEMA,
            "uid": geteuid().as_raw(),
            "total": total,
            "different": different,
            "left_out": left_out,
            "without_guest": without_guest(),
            "outcomes": outcomes.iter().map(as_json).collect::<Vec<_>>(),
            "beside": beside.as_ref().map(beside_as_json),
        });
        streams::print(&format!("{whole:#}\n"))?;
    } else {
        streams::print(&render::summary(total, different, left_out.as_deref()))?;
    }
    if let Some(table) = table {
        table.write(render::abuse(&outcomes, beside.as_ref()).as_bytes())?;
    }
    Ok(if different > 0 { DIFFERS } else { 0 })
}

/// What the attacks come to in another cage, by their names.
type Beside = (Peer, BTreeMap<&'static str, Said>);

fn elsewhere(
    peer: Peer,
    selection: &Selection<'_>,
    guest: &Guest,
    quietly: bool,
) -> anyhow::Result<Beside> {
    let mut all = BTreeMap::new();
    selftest::run_beside(selection, &peer, guest, &mut |name, said| {
        if !quietly {
            streams::print(&render::said(peer.name(), name, &said))?;
        }
        all.insert(name, said);
        Ok(())
    })?;
    Ok((peer, all))
}

fn beside_as_json((peer, all): &Beside) -> Value {
    let said = all
        .iter()
        .map(|(name, said)| json!({"name": name, "actual": render::plain(&said.to_string())}));
    json!({
        "command": peer.command(),
        "version": peer.version,
        "outcomes": said.collect::<Vec<_>>(),
    })
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
