//! The diagnosis: the few lines on stderr about a guest that didn't end well.
//!
//! Much of it comes from the guest: messages, names of functions. None of that may end a line, move the
//! cursor or look like a line of ours, so everything is made plain before it is shown.

mod abuse;
pub(crate) mod bench;
mod evidence;
mod findings;
mod inspection;
mod outcomes;
mod policy;
pub(crate) mod show;
mod trace;

use std::fmt::Write as _;

use sandtrap::{ByteSize, CoreDump, Failure, Limits, Report, Usage, Verdict, Wall, show_duration};

pub(crate) use abuse::abuse;
pub(crate) use findings::{findings, reason, remedy};
pub(crate) use inspection::inspection;
pub(crate) use outcomes::{outcome, said, summary};
pub(crate) use policy::policy;

/// The most of one guest's message that is shown; the report has all of it.
const LONGEST_LINE: usize = 400;

/// The most lines of a message that are shown below the first.
const MOST_LINES: usize = 12;

/// The diagnosis of a guest that didn't end well.
pub(crate) fn diagnosis(report: &Report) -> String {
    let label = report.verdict.label();
    let message = report.verdict.to_string();
    let mut lines = message.lines();
    let first = lines.next().unwrap_or_default();
    let mut text = format!("sandtrap: {}: {}  [{label}]\n", label.kind(), plain(first));

    add_row(&mut text, "guest", &guest(report));
    add_rows(&mut text, "message", lines.map(plain).filter(|line| !line.trim().is_empty()));
    add_rows(&mut text, "cause", causes(&report.verdict).iter().map(|cause| plain(cause)));
    if let Some(evidence) = evidence::line(report) {
        add_row(&mut text, "evidence", &evidence);
    }
    if let Some(place) = trace::line(report) {
        add_row(&mut text, "where", &place);
    }
    match &report.facts.core_dump {
        Some(CoreDump::Taken(bytes)) => {
            let size = ByteSize::bytes(bytes.len() as u64);
            add_row(&mut text, "dump", &format!("{size}: memories, globals and the stack"));
        }
        Some(CoreDump::Missing(why)) => add_row(&mut text, "dump", &format!("none: {why}")),
        None => {}
    }
    if !matches!(report.verdict, Verdict::Unstarted(_)) {
        add_row(&mut text, "usage", &usage(&report.usage, &report.limits));
    }
    add_row(&mut text, "help", &format!("sandtrap explain {label}"));
    text
}

/// What is said of a module for which there never was a task.
pub(crate) fn refusal(verdict: &Verdict) -> String {
    let label = verdict.label();
    let message = plain(verdict.to_string().lines().next().unwrap_or_default());
    format!("sandtrap: {}: {message}  [{label}]\n", label.kind())
}

fn add_row(text: &mut String, name: &str, content: &str) {
    // Writing to a string can't fail.
    let _ = writeln!(text, "  {name:<8} {content}");
}

/// A row that goes on below itself.
fn add_rows(text: &mut String, name: &str, contents: impl Iterator<Item = String>) {
    for (index, content) in contents.take(MOST_LINES).enumerate() {
        add_row(text, if index == 0 { name } else { "" }, &content);
    }
}

fn guest(report: &Report) -> String {
    let task = &report.task;
    let mut text = format!("{} ({}", plain(&task.program), task.wall.name());
    if let Some(function) = &task.function {
        let _ = write!(text, ", function {}", plain(function));
    }
    if let (Some(pid), Wall::Native) = (task.pid, task.wall) {
        let _ = write!(text, ", pid {pid}");
    }
    text + ")"
}

fn causes(verdict: &Verdict) -> &[String] {
    match verdict {
        Verdict::Failed(Failure::Error { chain, .. }) => chain,
        Verdict::Failed(Failure::Panic { .. } | Failure::Exit { .. })
        | Verdict::Completed
        | Verdict::Crashed(_)
        | Verdict::Stopped(_)
        | Verdict::Denied(_)
        | Verdict::Unstarted(_) => &[],
    }
}

fn usage(usage: &Usage, limits: &Limits) -> String {
    let mut text = format!(
        "wall {}, cpu {}, peak memory {} of {}",
        show_duration(usage.wall),
        show_duration(usage.cpu),
        ByteSize::bytes(usage.peak_memory),
        limits.memory,
    );
    if let (Some(fuel), Some(limit)) = (usage.fuel, limits.fuel) {
        let _ = write!(text, ", fuel {fuel} of {limit}");
    }
    text
}

/// One line that is what it looks like: no control character, nothing that turns the direction of text.
pub(crate) fn plain(text: &str) -> String {
    let mut line = String::new();
    for (index, character) in text.chars().enumerate() {
        if index == LONGEST_LINE {
            line.push_str(" [cut]");
            break;
        }
        if character.is_control() || turns_text(character) {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

fn turns_text(character: char) -> bool {
    matches!(
        character,
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}'
    )
}

#[cfg(test)]
mod tests;
