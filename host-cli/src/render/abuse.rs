//! The outcomes of a selftest as a page of the documentation, beside those of another cage.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::abuse::WITHOUT_GUEST;
use crate::selftest::{Outcome, Peer, Said};

/// So a case begins that made a call, and was answered by more than a filter.
const KERNEL: &str = "the kernel answers";

/// One line for each attempt of a process.
pub(crate) fn abuse(outcomes: &[Outcome], beside: Option<&(Peer, BTreeMap<&str, Said>)>) -> String {
    let mut text = String::from("# What a process may try, and what comes of it\n\n");
    let command = beside.map(|(peer, _)| format!(" --beside '{}'", peer.command()));
    let _ = writeln!(
        text,
        "Made by `sandtrap selftest --markdown docs/abuse.md{}`. Each case is a guest that tries one thing, under \
         each profile; `contained` means that it got an error, or found nothing there, and ended in order. The number \
         is that of the list of attacks that the native wall is built against.\n",
        command.unwrap_or_default()
    );
    let cases = by_case(outcomes);
    if let Some((peer, said)) = beside {
        let reached = said.values().filter(|said| matches!(said, Said::Reached(_))).count();
        let _ = writeln!(
            text,
            "Beside it stands what the same guests come to in {}, without any further rules, with address space and \
             processor time capped by a shell: of {} attempts, {reached} reach what they try there. \
             A call that the kernel itself answers has reached it, if only for an error. It has no profiles \
             and no limits, and is not made to have any.\n",
            peer.version,
            said.len()
        );
    }
    let (head, line) =
        beside.map_or((String::new(), ""), |(peer, _)| (format!(" {} |", peer.name()), " --- |"));
    let _ =
        writeln!(text, "| # | case | it tries | sandtrap |{head}\n| --- | --- | --- | --- |{line}");
    for ((number, name), of_case) in &cases {
        let what = of_case.first().map_or("", |outcome| outcome.what);
        let _ = write!(text, "| {number} | {name} | {what} | {} |", words(of_case));
        if let Some((_, said)) = beside {
            let said = said.get(name).map_or_else(|| "–".to_owned(), cell);
            let _ = write!(text, " {said} |");
        }
        text.push('\n');
    }
    text.push_str("\nWithout a guest, because none can try it:\n\n");
    for (number, why) in WITHOUT_GUEST {
        let _ = writeln!(text, "* {number}: {why}");
    }
    text
}

/// What it reached is this machine's, and stays here; what the kernel answered is everybody's.
fn cell(said: &Said) -> String {
    match said {
        Said::Reached(what) if !what.starts_with(KERNEL) => "**reached**".to_owned(),
        other => other.to_string().replace('|', "\\|"),
    }
}

/// The attempts of processes, in the order of the list.
fn by_case(outcomes: &[Outcome]) -> BTreeMap<(u8, &'static str), Vec<&Outcome>> {
    let mut cases: BTreeMap<_, Vec<&Outcome>> = BTreeMap::new();
    for outcome in outcomes.iter().filter(|it| it.number > 0 && it.profile.is_some()) {
        cases.entry((outcome.number, outcome.name)).or_default().push(outcome);
    }
    cases
}

/// What most profiles make of it, and the others where they differ.
fn words(of_case: &[&Outcome]) -> String {
    let mut ends: Vec<(String, Vec<&str>)> = Vec::new();
    for outcome in of_case {
        let profile = outcome.profile.map_or("", |profile| profile.name());
        let mut end = match outcome.actual.to_string() {
            label if label.contains('.') => format!("`{label}`"),
            other => other,
        };
        if !outcome.is_as_expected() {
            end += " (**not as expected**)";
        }
        match ends.iter_mut().find(|(known, _)| *known == end) {
            Some((_, profiles)) => profiles.push(profile),
            None => ends.push((end, vec![profile])),
        }
    }
    ends.sort_by_key(|(_, profiles)| std::cmp::Reverse(profiles.len()));
    let others =
        ends.iter().skip(1).map(|(end, profiles)| format!("; {}: {end}", profiles.join(", ")));
    let most = ends.first().map_or(String::new(), |(end, _)| end.clone());
    most + &others.collect::<String>()
}
