//! The `where` line: the place of a panic, or the frames with the innermost first.

use sandtrap::{Failure, Frame, Report, Verdict};

use super::plain;

/// How many different frames are shown; the report has them all.
const MOST_FRAMES: usize = 6;

/// Where it happened, if that is known.
pub(super) fn line(report: &Report) -> Option<String> {
    if let Verdict::Failed(Failure::Panic { place: Some(place), .. }) = &report.verdict {
        // The innermost frames of a panic belong to the panic itself; the place is what matters.
        return Some(plain(place));
    }
    let folded = fold(&report.facts.trace);
    let mut shown: Vec<String> = folded.iter().take(MOST_FRAMES).map(show).collect();
    let rest: usize = folded.iter().skip(MOST_FRAMES).map(|(_, count)| count).sum();
    if rest > 0 {
        shown.push(format!("{rest} more"));
    }
    (!shown.is_empty()).then(|| shown.join("  <- "))
}

fn show((frame, count): &(&Frame, usize)) -> String {
    let short = Frame {
        place: frame.place.as_deref().map(file_name),
        times: u32::try_from(*count).unwrap_or(u32::MAX),
        ..(*frame).clone()
    };
    plain(&short.to_string())
}

/// `main.rs:12` of `/home/me/guest/src/main.rs:12`: the report has the whole path.
fn file_name(place: &str) -> String {
    place.rsplit('/').next().unwrap_or(place).to_owned()
}

fn is_same(one: &Frame, other: &Frame) -> bool {
    (&one.function, &one.place) == (&other.function, &other.place)
}

/// Makes one of each row of equal frames, with their number.
fn fold(trace: &[Frame]) -> Vec<(&Frame, usize)> {
    let mut folded: Vec<(&Frame, usize)> = Vec::new();
    for frame in trace {
        match folded.last_mut() {
            Some((last, count)) if is_same(last, frame) => *count += frame.times as usize,
            _ => folded.push((frame, frame.times as usize)),
        }
    }
    folded
}
