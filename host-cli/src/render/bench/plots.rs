//! The plots: how long calls take, and what payload and many guests do to that.

use super::axis::Axis;
use super::svg::{Anchor, Drawing};
use crate::bench::{Findings, Found, Mode, Spread};
use crate::render::show;

/// As wide as a small phone, so that letters keep their size there.
const WIDTH: f64 = 360.0;

/// What stands to the left of the lines.
const MARGIN: f64 = 52.0;

/// What stands to their right: half of the last word below them.
const RIGHT: f64 = 24.0;

/// One row of the first plot.
const ROW: f64 = 46.0;

/// Pieces into which a time axis is cut to see where most calls are.
const BINS: usize = 90;

/// A plot, with what is said of it.
pub(super) struct Plot {
    pub(super) title: &'static str,
    pub(super) drawing: String,
    /// Whether the names of the modes are in it.
    pub(super) is_labelled: bool,
}

/// A line of a plot: of which mode, and its points with the words for each.
struct Series {
    mode: Mode,
    points: Vec<(f64, f64, String)>,
}

/// What an axis is called, and how its values are written.
struct Scale {
    name: &'static str,
    show: fn(f64) -> String,
    is_bytes: bool,
}

/// All plots for which there are figures.
pub(super) fn plots(findings: &Findings) -> Vec<Plot> {
    let payload = |found: &Found| -> Vec<(f64, f64)> {
        found.payload.iter().map(|(size, spread)| (*size as f64, spread.median)).collect()
    };
    let live = |found: &Found| -> Vec<(f64, f64)> {
        found.live.iter().map(|crowd| (crowd.cells as f64, crowd.call)).collect()
    };
    let memory = |found: &Found| -> Vec<(f64, f64)> {
        found.live.iter().map(|crowd| (crowd.cells as f64, crowd.memory as f64)).collect()
    };
    let bytes = Scale {
        name: "bytes in each call",
        show: |value| show::size(value as u64),
        is_bytes: true,
    };
    let guests =
        || Scale { name: "guests at once", show: |value| format!("{value:.0}"), is_bytes: false };
    let time = || Scale { name: "time for a call", show: show::time, is_bytes: false };
    let held =
        Scale { name: "memory of all", show: |value| show::size(value as u64), is_bytes: true };
    let all = [
        distribution(findings),
        lines("payload", "Cost against payload", findings, &payload, &bytes, &time()),
        lines("live", "Cost against live guests", findings, &live, &guests(), &time()),
        lines("memory", "Memory against live guests", findings, &memory, &guests(), &held),
    ];
    all.into_iter().flatten().collect()
}

/// The class of a mode's colour, and the form of its marks.
pub(super) fn class_of(mode: Mode) -> (String, usize) {
    let place = Mode::ALL.iter().position(|other| *other == mode).unwrap_or(0);
    (format!("m{place}"), place)
}

/// Where the times of each mode's calls are.
fn distribution(findings: &Findings) -> Option<Plot> {
    let values = findings.modes.iter().flat_map(|found| found.call.shape.iter().copied());
    let axis = Axis::over(values, 8.0, WIDTH - 8.0)?;
    let bottom = ROW * findings.modes.len() as f64 + 6.0;
    let title = "Distribution of calls";
    let said: Vec<String> = findings.modes.iter().map(said).collect();
    let mut drawing = Drawing::new("calls", WIDTH, bottom + 34.0, title, &said.join(". "));
    for tick in axis.ticks() {
        let x = axis.place(tick);
        drawing.line("grid", (x, 0.0), (x, bottom));
        // The words stay within the drawing.
        let at = x.clamp(20.0, WIDTH - 22.0);
        drawing.words("tick", (at, bottom + 14.0), Anchor::Middle, &show::time(tick));
    }
    drawing.words(
        "axis",
        (WIDTH / 2.0, bottom + 30.0),
        Anchor::Middle,
        "time for a call (logarithmic)",
    );
    for (place, found) in findings.modes.iter().enumerate() {
        let top = ROW * place as f64;
        let middle = top + 31.0;
        let (class, _) = class_of(found.mode);
        drawing.words("name", (8.0, top + 13.0), Anchor::Start, found.mode.name());
        let figures = format!(
            "{} (least {}, p95 {})",
            show::time(found.call.median),
            show::time(found.call.least),
            show::time(found.call.p95)
        );
        drawing.words("tick", (WIDTH - 8.0, top + 13.0), Anchor::End, &figures);
        drawing.path(&format!("area {class}"), &hill(&found.call, &axis, middle), true);
        let (from, to) = (axis.place(found.call.least), axis.place(found.call.p95));
        drawing.line(&format!("reach {class}"), (from, middle), (to, middle));
        let x = axis.place(found.call.median);
        drawing.line("median", (x, middle - 11.0), (x, middle + 11.0));
    }
    Some(Plot { title, drawing: drawing.finish(), is_labelled: true })
}

fn said(found: &Found) -> String {
    let call = &found.call;
    let [least, median, p95] = [call.least, call.median, call.p95].map(show::time);
    format!("{}: median {median}, least {least}, 95 of 100 below {p95}", found.mode.name())
}

/// The outline of where most calls are, mirrored at the middle.
fn hill(spread: &Spread, axis: &Axis, middle: f64) -> Vec<(f64, f64)> {
    let (begin, end) = (8.0, WIDTH - 8.0);
    let step = (end - begin) / BINS as f64;
    let bin = |time: f64| (((axis.place(time) - begin) / step) as usize).min(BINS - 1);
    let mut bins = [0.0_f64; BINS];
    for two in spread.shape.windows(2) {
        // What lies between two of them is spread evenly.
        let (from, to) = (bin(two[0]), bin(two[1]));
        let share = 1.0 / (to - from + 1) as f64;
        bins[from..=to].iter_mut().for_each(|bin| *bin += share);
    }
    let smooth = |at: usize| {
        let beside = |step: isize| {
            let at = at.checked_add_signed(step);
            at.and_then(|at| bins.get(at)).copied().unwrap_or(0.0)
        };
        0.25 * beside(-1) + 0.5 * beside(0) + 0.25 * beside(1)
    };
    let heights: Vec<f64> = (0..BINS).map(smooth).collect();
    let highest = heights.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let inhabited = |at: &usize| heights[*at] > 0.0;
    let first = (0..BINS).find(inhabited).unwrap_or(0);
    let last = (0..BINS).rfind(inhabited).unwrap_or(0);
    let x = |at: usize| begin + (at as f64 + 0.5) * step;
    let height = |at: usize| 10.0 * heights[at] / highest;
    let above = (first..=last).map(|at| (x(at), middle - height(at)));
    let below = (first..=last).rev().map(|at| (x(at), middle + height(at)));
    let tips = [(x(first) - step, middle)];
    let tip_at_end = [(x(last) + step, middle)];
    tips.into_iter().chain(above).chain(tip_at_end).chain(below).collect()
}

/// Lines of all modes over two logarithmic axes.
fn lines(
    id: &str,
    title: &'static str,
    findings: &Findings,
    points: &dyn Fn(&Found) -> Vec<(f64, f64)>,
    across: &Scale,
    up: &Scale,
) -> Option<Plot> {
    let series: Vec<Series> =
        findings.modes.iter().map(|found| series(found, &points(found), across, up)).collect();
    let all = || series.iter().flat_map(|series| &series.points);
    let (top, bottom) = (24.0, 214.0);
    let x = Axis::over(all().map(|point| point.0), MARGIN, WIDTH - RIGHT)?;
    let y = Axis::over(all().map(|point| point.1), bottom, top)?;
    let y = if up.is_bytes { y.of_bytes() } else { y };
    let said: Vec<String> = series.iter().filter_map(summary).collect();
    let mut drawing = Drawing::new(id, WIDTH, bottom + 36.0, title, &said.join(". "));
    drawing.words("axis", (4.0, 12.0), Anchor::Start, &format!("{} (logarithmic)", up.name));
    for tick in y.ticks() {
        let at = y.place(tick);
        drawing.line("grid", (MARGIN, at), (WIDTH - RIGHT, at));
        drawing.words("tick", (MARGIN - 5.0, at + 4.0), Anchor::End, &(up.show)(tick));
    }
    for value in values_of(all().map(|point| point.0)) {
        let at = x.place(value);
        drawing.line("grid", (at, top), (at, bottom));
        drawing.words("tick", (at, bottom + 15.0), Anchor::Middle, &(across.show)(value));
    }
    drawing.words("axis", (WIDTH / 2.0, bottom + 32.0), Anchor::Middle, across.name);
    for series in &series {
        let (class, form) = class_of(series.mode);
        let points: Vec<(f64, f64)> =
            series.points.iter().map(|point| (x.place(point.0), y.place(point.1))).collect();
        drawing.path(&format!("line {class}"), &points, false);
        for (at, point) in points.iter().zip(&series.points) {
            drawing.mark(&format!("mark {class}"), form, *at, &point.2);
        }
    }
    Some(Plot { title, drawing: drawing.finish(), is_labelled: false })
}

fn series(found: &Found, points: &[(f64, f64)], across: &Scale, up: &Scale) -> Series {
    let words = |point: &(f64, f64)| {
        let (x, y) = ((across.show)(point.0), (up.show)(point.1));
        format!("{}, {x}: {y}", found.mode.name())
    };
    let points = points.iter().filter(|point| point.0 > 0.0 && point.1 > 0.0);
    let points = points.map(|point| (point.0, point.1, words(point))).collect();
    Series { mode: found.mode, points }
}

/// The first and the last point in words.
fn summary(series: &Series) -> Option<String> {
    let (first, last) = (series.points.first()?, series.points.last()?);
    Some(format!("{}; {}", first.2, last.2))
}

/// Each value once, in order.
fn values_of(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.dedup();
    values
}
