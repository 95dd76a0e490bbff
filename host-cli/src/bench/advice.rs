//! What the figures mean, in words, for somebody who has to choose.

use sandtrap::Wall;

use super::findings::{Findings, Found};
use super::modes::Mode;
use crate::render::show;

/// A wall that adds less than this share is not worth a thought.
const NOTHING: f64 = 0.05;

/// Below this share a wall is a small part of a call.
const LITTLE: f64 = 0.5;

/// From here on one form computes noticeably longer than the other.
const LONGER: f64 = 1.15;

/// Medians of rounds that differ so much come from a machine that is busy with something else.
const UNREST: f64 = 1.3;

/// So many calls that are far off are worth a word.
const FAR_OFF: f64 = 0.01;

/// What to choose, and why.
pub(super) fn advice(findings: &Findings) -> Vec<String> {
    let mut lines: Vec<String> = findings.modes.iter().filter_map(share_of_wall).collect();
    if lines.is_empty() && !findings.modes.is_empty() {
        lines.push(
            "your guest computes less than 100 µs per call: what a call costs is the wall's price, so the mode matters"
                .to_owned(),
        );
    }
    lines.extend(the_choice(findings));
    lines.extend(computing(findings));
    lines.extend([Wall::Native, Wall::Wasm].iter().filter_map(|wall| keeping(findings, *wall)));
    lines
}

/// What is not to be relied upon.
pub(super) fn warnings(findings: &Findings) -> Vec<String> {
    let mut lines = Vec::new();
    for found in &findings.modes {
        let (name, call) = (found.mode.name(), &found.call);
        if call.unrest > UNREST {
            lines.push(format!(
                "the machine is noisy: for `{name}` the median of one round is {:.1} times that of another one; \
                 compare the ratios only, or measure again in a quiet moment with more --rounds",
                call.unrest
            ));
        }
        if call.far_off > FAR_OFF {
            lines.push(format!(
                "{:.1} % of the calls of `{name}` took more than five times the median: look at p95, too",
                call.far_off * 100.0
            ));
        }
    }
    lines
}

/// The part of a call in which the guest doesn't compute.
fn wall_part(found: &Found) -> Option<f64> {
    let own = found.own?;
    Some((found.call.median - own).max(0.0))
}

fn share_of_wall(found: &Found) -> Option<String> {
    let (own, wall) = (found.own?, wall_part(found)?);
    let share = wall / found.call.median;
    let conclusion = if share < NOTHING {
        "choose by safety"
    } else if share < LITTLE {
        "the guest's own work is most of it"
    } else {
        "the wall is most of it"
    };
    let its_start = match found.mode {
        Mode::NativeFresh => " (its own start as a process included)",
        Mode::NativeFork => " (what the fork itself copies included)",
        Mode::NativeWarm | Mode::WasmFresh | Mode::WasmWarm => "",
    };
    Some(format!(
        "`{}`: your guest computes {} per call{its_start}, and the wall costs {} ({:.1} % of the call): {conclusion}",
        found.mode.name(),
        show::time(own),
        show::time(wall),
        share * 100.0,
    ))
}

/// Which mode, if it matters.
fn the_choice(findings: &Findings) -> Option<String> {
    let fastest = findings.fastest()?;
    let slowest =
        findings.modes.iter().max_by(|one, other| one.call.median.total_cmp(&other.call.median))?;
    if fastest.mode == slowest.mode {
        return Some(format!(
            "only `{}` could be measured; with the guest in its other form there is something to compare",
            fastest.mode.name()
        ));
    }
    let ratio = slowest.call.ratio_to(&fastest.call);
    Some(if ratio < 1.0 + 2.0 * NOTHING {
        "all modes cost nearly the same for this guest: choose by safety and by what the guest needs".to_owned()
    } else {
        let saved = slowest.call.median - fastest.call.median;
        format!(
            "`{}` costs least, {} per call; `{}` costs {} more ({}): worth a thought from {} calls a \
             second on, where it takes a tenth of a processor",
            fastest.mode.name(),
            show::time(fastest.call.median),
            slowest.mode.name(),
            show::time(saved),
            show::times(ratio),
            show::count(0.1 / saved.max(1e-9)),
        )
    })
}

/// Whether the module computes longer than the process.
fn computing(findings: &Findings) -> Option<String> {
    let own = |wall| {
        let all = findings.modes.iter().filter(|found| found.mode.wall() == wall);
        all.filter_map(|found| found.own).min_by(f64::total_cmp)
    };
    let (native, wasm) = (own(Wall::Native)?, own(Wall::Wasm)?);
    if wasm > native * LONGER {
        Some(format!(
            "the module computes {} as long as the process: heavy computing is for the native wall, unless you need \
             what the other one is better at",
            show::times(wasm / native)
        ))
    } else if native > wasm * LONGER {
        Some(format!(
            "the process takes {} the processor time of the module, its own start included: short calls are for the \
             wasm wall",
            show::times(native / wasm)
        ))
    } else {
        Some("process and module compute equally long: choose by safety".to_owned())
    }
}

/// Whether a guest that lives on is worth it.
fn keeping(findings: &Findings, wall: Wall) -> Option<String> {
    let (fresh, warm) = match wall {
        Wall::Native => (Mode::NativeFresh, Mode::NativeWarm),
        Wall::Wasm => (Mode::WasmFresh, Mode::WasmWarm),
    };
    let (fresh, warm) = (findings.found(fresh)?, findings.found(warm)?);
    let saved = fresh.call.median - warm.call.median;
    (saved > fresh.call.median * NOTHING).then(|| {
        format!(
            "keeping the guest behind the {} wall saves {} per call and costs {} of memory for each: do it only where \
             one caller's traces may be seen by the next",
            wall.name(),
            show::time(saved),
            show::size(warm.memory),
        )
    })
}
