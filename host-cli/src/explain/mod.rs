//! The explanations behind `sandtrap explain`: one page for each label, grouped by kind.
//!
//! A page says what the verdict means, how it was seen behind each wall, what usually causes it, and what
//! to try. A new label breaks the build here.

mod crashed;
mod denied;
mod ended;
mod stopped;
mod unstarted;

use std::fmt::Write as _;

use sandtrap::Label;

use crate::exit_code;

/// How wide a page is.
const WIDTH: usize = 84;

/// How alike two labels must be for one to be offered in place of the other.
const LIKENESS: f64 = 0.82;

/// How many labels are offered.
const MOST_OFFERS: usize = 3;

/// What there is to say about one label.
struct Page {
    /// The whole of it in one line.
    summary: &'static str,
    /// What it means, and what it does not mean.
    meaning: &'static str,
    /// How it is seen of a native guest.
    native: &'static str,
    /// How it is seen of a module.
    wasm: &'static str,
    /// What usually causes it.
    causes: &'static [&'static str],
    /// What to try.
    advice: &'static [&'static str],
}

fn page_of(label: Label) -> &'static Page {
    match label {
        Label::Completed => &ended::COMPLETED,
        Label::FailedError => &ended::ERROR,
        Label::FailedPanic => &ended::PANIC,
        Label::FailedExit => &ended::EXIT,
        Label::CrashedOutOfMemory => &crashed::OUT_OF_MEMORY,
        Label::CrashedStackOverflow => &crashed::STACK_OVERFLOW,
        Label::CrashedMemoryFault => &crashed::MEMORY_FAULT,
        Label::CrashedBadCall => &crashed::BAD_CALL,
        Label::CrashedArithmetic => &crashed::ARITHMETIC,
        Label::CrashedAbort => &crashed::ABORT,
        Label::CrashedIllegalInstruction => &crashed::ILLEGAL_INSTRUCTION,
        Label::CrashedKilled => &crashed::KILLED,
        Label::CrashedProtocol => &crashed::PROTOCOL,
        Label::CrashedUnknown => &crashed::UNKNOWN,
        Label::StoppedWallTime => &stopped::WALL_TIME,
        Label::StoppedCpuTime => &stopped::CPU_TIME,
        Label::StoppedFuel => &stopped::FUEL,
        Label::StoppedOutput => &stopped::OUTPUT,
        Label::StoppedResult => &stopped::RESULT,
        Label::StoppedProcesses => &stopped::PROCESSES,
        Label::StoppedFiles => &stopped::FILES,
        Label::StoppedStdin => &stopped::STDIN,
        Label::StoppedCancelled => &stopped::CANCELLED,
        Label::StoppedShutdown => &stopped::SHUTDOWN,
        Label::DeniedSyscall => &denied::SYSCALL,
        Label::DeniedCapability => &denied::CAPABILITY,
        Label::UnstartedNotFound => &unstarted::NOT_FOUND,
        Label::UnstartedNotExecutable => &unstarted::NOT_EXECUTABLE,
        Label::UnstartedInvalidModule => &unstarted::INVALID_MODULE,
        Label::UnstartedMissingImport => &unstarted::MISSING_IMPORT,
        Label::UnstartedLimitTooSmall => &unstarted::LIMIT_TOO_SMALL,
        Label::UnstartedGuard => &unstarted::GUARD,
        Label::UnstartedResources => &unstarted::RESOURCES,
        Label::UnstartedRejected => &unstarted::REJECTED,
    }
}

/// The whole page of a label.
pub(crate) fn page(label: Label) -> String {
    let page = page_of(label);
    let mut text = format!("{label} (exit code: {})\n\n", exit_code::rule(label));
    add(&mut text, "", page.summary);
    text.push('\n');
    add(&mut text, "", page.meaning);
    text.push_str("\nHow it is seen\n");
    add(&mut text, "  native  ", page.native);
    add(&mut text, "  wasm    ", page.wasm);
    for (heading, points) in [("What usually causes it", page.causes), ("What to try", page.advice)]
    {
        let _ = write!(text, "\n{heading}\n");
        for point in points {
            add(&mut text, "  - ", point);
        }
    }
    text
}

/// Every label with its exit code and one line.
pub(crate) fn list() -> String {
    let mut text = String::new();
    let mut kind = "";
    for label in Label::ALL {
        if label.kind() != kind && !kind.is_empty() {
            text.push('\n');
        }
        kind = label.kind();
        let code = exit_code::rule(label).to_string();
        let _ = writeln!(text, "{:<28} {:<15} {}", label.as_str(), code, page_of(label).summary);
    }
    text.push_str(
        "\nThe number is sandtrap's exit code. `sandtrap explain LABEL` says more about one.\n",
    );
    text
}

/// The labels that may have been meant, the likeliest first.
pub(crate) fn nearest(text: &str) -> Vec<Label> {
    let mut near: Vec<(f64, Label)> = Label::ALL
        .into_iter()
        .map(|label| (likeness(text, label.as_str()), label))
        .filter(|(likeness, _)| *likeness >= LIKENESS)
        .collect();
    near.sort_by(|one, other| other.0.total_cmp(&one.0));
    near.into_iter().take(MOST_OFFERS).map(|(_, label)| label).collect()
}

/// People leave out the part before the dot, so the rest alone is compared too.
fn likeness(text: &str, label: &str) -> f64 {
    let rest = label.split_once('.').map_or(label, |(_, rest)| rest);
    strsim::jaro_winkler(text, label).max(strsim::jaro_winkler(text, rest))
}

/// Adds a paragraph: `lead` before the first line, as much space before the others.
fn add(text: &mut String, lead: &str, words: &str) {
    let indent = lead.chars().count();
    let mut column = indent;
    text.push_str(lead);
    for word in words.split_whitespace() {
        let length = word.chars().count();
        if column > indent && column + 1 + length > WIDTH {
            text.push('\n');
            text.push_str(&" ".repeat(indent));
            column = indent;
        }
        if column > indent {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += length;
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s66_every_end_has_a_page_that_says_what_it_means_and_what_to_try_next() {
        for label in Label::ALL {
            let text = page(label);
            let lines = text.lines().count();
            assert!((10..=34).contains(&lines), "{label}: {lines} lines");
            assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
            assert!(text.lines().all(|line| line.trim_end() == line), "{text}");
            let page = page_of(label);
            assert!(!page.causes.is_empty() && !page.advice.is_empty(), "{label}");
        }
    }

    #[test]
    fn no_two_labels_share_a_page() {
        let mut summaries: Vec<&str> = Label::ALL.map(|label| page_of(label).summary).to_vec();
        summaries.sort_unstable();
        summaries.dedup();
        assert_eq!(summaries.len(), Label::ALL.len());
    }

    #[test]
    fn the_list_has_one_line_for_each_label() {
        let list = list();
        for label in Label::ALL {
            let lines = list.lines().filter(|line| line.starts_with(&format!("{label} ")));
            assert_eq!(lines.count(), 1, "{label}");
        }
        assert!(list.lines().all(|line| line.chars().count() <= 100), "{list}");
    }

    #[test]
    fn a_near_miss_finds_its_label() {
        for (text, label) in [
            ("crashed.stak-overflow", Label::CrashedStackOverflow),
            ("stack-overflow", Label::CrashedStackOverflow),
            ("wall-time", Label::StoppedWallTime),
            ("Completed", Label::Completed),
            ("notfound", Label::UnstartedNotFound),
        ] {
            assert_eq!(nearest(text).first(), Some(&label), "{text}");
        }
        assert!(nearest("zzzzzz").is_empty());
    }
}
