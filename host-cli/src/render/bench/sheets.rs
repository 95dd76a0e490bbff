//! The tables: their rows are made once, and set in different ways.

use std::fmt::Write as _;

use crate::bench::{Findings, Found, Spread};
use crate::render::show;

/// What stands where there is no figure.
const NONE: &str = "–";

/// One table.
pub(super) struct Sheet {
    pub(super) title: &'static str,
    pub(super) note: String,
    pub(super) head: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
    /// What some of them mean, where they are there.
    pub(super) foot: Option<&'static str>,
}

/// A difference that is none.
const LOST: &str = "lost in the noise";

/// All of them that have rows.
pub(super) fn sheets(findings: &Findings) -> Vec<Sheet> {
    let all =
        [calls(findings), starts(findings), payload(findings), live(findings), guards(findings)];
    all.into_iter().filter(|sheet| !sheet.rows.is_empty()).collect()
}

fn calls(findings: &Findings) -> Sheet {
    let fastest = findings.fastest().map(|found| found.call.clone());
    let times = |call: &Spread| {
        let ratio = fastest.as_ref().map(|fastest| call.ratio_to(fastest));
        ratio.map_or(NONE.to_owned(), show::times)
    };
    let bare = findings.bare.iter().map(|bare| {
        let none = || NONE.to_owned();
        row("no wall at all", [spread(bare), vec![times(bare), none(), none(), none()]].concat())
    });
    let modes = findings.modes.iter().map(|found| {
        let more = vec![
            times(&found.call),
            found.throughput.map_or(NONE.to_owned(), show::count),
            show::size(found.memory),
            found.own.map_or(NONE.to_owned(), show::time),
        ];
        row(found.mode.name(), [spread(&found.call), more].concat())
    });
    Sheet {
        title: "Calls",
        note: format!(
            "One call after another; calls a second with {} at once; memory of one guest; processor time of the guest.",
            findings.machine.processors
        ),
        head: head(&["mode", "median", "least", "p95", "ratio", "calls/s", "memory", "own cpu"]),
        rows: bare.chain(modes).collect(),
        foot: None,
    }
}

fn starts(findings: &Findings) -> Sheet {
    let two = |spread: &Option<Spread>| match spread {
        Some(spread) => vec![show::time(spread.median), show::time(spread.p95)],
        None => vec![NONE.to_owned(); 2],
    };
    let cells = |found: &Found| {
        let first = vec![found.first.map_or(NONE.to_owned(), show::time)];
        row(found.mode.name(), [first, two(&found.start), two(&found.crash)].concat())
    };
    Sheet {
        title: "Starts and crashes",
        note: "From nothing to the first result: for the very first time, and later. From the begin of a call that \
               crashes to the end of the next one."
            .to_owned(),
        head: head(&["mode", "first time", "start", "p95", "crash to next", "p95"]),
        rows: findings.modes.iter().map(cells).collect(),
        foot: None,
    }
}

fn payload(findings: &Findings) -> Sheet {
    let mut sizes: Vec<usize> =
        findings.modes.iter().flat_map(|found| &found.payload).map(|(size, _)| *size).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let of = |found: &Found, size: usize| {
        let here = found.payload.iter().find(|(other, _)| *other == size);
        here.map_or(NONE.to_owned(), |(_, spread)| show::time(spread.median))
    };
    let line = |size: usize| {
        row(&show::size(size as u64), findings.modes.iter().map(|found| of(found, size)).collect())
    };
    Sheet {
        title: "Payload",
        note: format!("Each call: {}.", findings.guest.payload),
        head: names(findings, "bytes"),
        rows: sizes.into_iter().map(line).collect(),
        foot: None,
    }
}

fn live(findings: &Findings) -> Sheet {
    let mut counts: Vec<usize> =
        findings.modes.iter().flat_map(|found| &found.live).map(|crowd| crowd.cells).collect();
    counts.sort_unstable();
    counts.dedup();
    let of = |found: &Found, cells: usize| {
        let here = found.live.iter().find(|crowd| crowd.cells == cells);
        here.map_or(NONE.to_owned(), |crowd| {
            format!("{} · {}", show::time(crowd.call), show::size(crowd.memory))
        })
    };
    let line = |cells: usize| {
        row(&cells.to_string(), findings.modes.iter().map(|found| of(found, cells)).collect())
    };
    Sheet {
        title: "Many guests at once",
        note: "Time for each call · memory of all guests. Fresh ones run all at once, those that live on are called in \
               turn."
            .to_owned(),
        head: names(findings, "guests"),
        rows: counts.into_iter().map(line).collect(),
        foot: None,
    }
}

fn guards(findings: &Findings) -> Sheet {
    let line = |switch: &crate::bench::Switch| {
        let cells = vec![
            switch.mode.to_owned(),
            show::time(switch.with.median),
            show::time(switch.without.median),
            switch.cost().map_or_else(|| LOST.to_owned(), show::time),
        ];
        row(switch.name, cells)
    };
    Sheet {
        title: "What guards and limits cost",
        note: "A call in a fresh guest, with it and without it, in turns; the cost is the smaller difference of the least \
               and of the median. What has no switch (namespaces, the filter, the rules for files, groups, deadlines) is \
               in every call; beside `no wall at all` it can be seen all together."
            .to_owned(),
        head: head(&["guard or limit", "mode", "with", "without", "cost"]),
        rows: findings.guards.iter().map(line).collect(),
        foot: findings.guards.iter().any(|switch| switch.cost().is_none()).then_some(
            "lost in the noise: the rounds with it and those without overlap, so that the difference is no larger than \
             what either differs from itself; a quieter machine may tell",
        ),
    }
}

fn spread(spread: &Spread) -> Vec<String> {
    [spread.median, spread.least, spread.p95].map(show::time).to_vec()
}

fn row(first: &str, rest: Vec<String>) -> Vec<String> {
    [vec![first.to_owned()], rest].concat()
}

fn head(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn names(findings: &Findings, first: &str) -> Vec<String> {
    row(first, findings.modes.iter().map(|found| found.mode.name().to_owned()).collect())
}

/// What stands above everything, without marks of any kind.
pub(super) fn headline(findings: &Findings) -> String {
    let guest = &findings.guest;
    let files = [&guest.native, &guest.wasm].into_iter().flatten();
    let names: Vec<&str> = files.map(|file| file.rsplit('/').next().unwrap_or(file)).collect();
    format!("{} of {}", guest.work, names.join(" and "))
}

/// Where and how the figures were taken.
pub(super) fn circumstances(findings: &Findings) -> String {
    let machine = &findings.machine;
    let processors = match machine.processors {
        1 => "one processor".to_owned(),
        many => format!("{many} processors"),
    };
    format!("{} rounds in turns; {processors}; {}", findings.rounds, machine.system)
}

/// What is not there, each with its reason.
pub(super) fn missing(findings: &Findings) -> Vec<String> {
    let modes =
        findings.left_out.iter().map(|(mode, why)| format!("left out: {mode}: {}", plain(why)));
    let measures = findings
        .not_measured
        .iter()
        .map(|(measure, why)| format!("not measured: {measure}: {}", plain(why)));
    modes.chain(measures).collect()
}

/// Words that may come from a guest: they move no cursor and end no line.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// For a terminal.
pub(crate) fn table(findings: &Findings) -> String {
    let mut text = format!("{}\n{}\n", headline(findings), circumstances(findings));
    for sheet in sheets(findings) {
        // Writing to a string can't fail.
        let _ = write!(text, "\n{}\n", sheet.title);
        let widths: Vec<usize> =
            (0..sheet.head.len()).map(|column| width(&sheet, column)).collect();
        for cells in std::iter::once(&sheet.head).chain(&sheet.rows) {
            text.push_str(&set(cells, &widths));
        }
        // Writing to a string can't fail.
        let _ = sheet.foot.map(|foot| writeln!(text, "  ({foot})"));
    }
    add_list(&mut text, "", &missing(findings), "  ");
    add_list(&mut text, "Warnings", &findings.warnings, "  ! ");
    add_list(&mut text, "Advice", &findings.advice, "  ");
    text
}

fn add_list(text: &mut String, title: &str, lines: &[String], mark: &str) {
    if !lines.is_empty() {
        // Writing to a string can't fail.
        let _ = if title.is_empty() { writeln!(text) } else { writeln!(text, "\n{title}") };
        for line in lines {
            let _ = writeln!(text, "{mark}{line}");
        }
    }
}

fn width(sheet: &Sheet, column: usize) -> usize {
    let cells = std::iter::once(&sheet.head).chain(&sheet.rows);
    cells.map(|cells| cells[column].chars().count()).max().unwrap_or(0)
}

/// One line: names to the left, figures to the right.
fn set(cells: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let padding = " ".repeat(width - cell.chars().count());
        match column {
            0 => line.extend(["  ", cell, &padding]),
            _ => line.extend(["  ", &padding, cell]),
        }
    }
    format!("{}\n", line.trim_end())
}

/// For documents.
pub(crate) fn markdown(findings: &Findings) -> String {
    let mut text = format!("# {}\n\n{}\n", headline(findings), circumstances(findings));
    for sheet in sheets(findings) {
        // Writing to a string can't fail.
        let _ = write!(text, "\n## {}\n\n{}\n\n", sheet.title, sheet.note);
        let lines = ["---"].into_iter().chain(std::iter::repeat_n("--:", sheet.head.len() - 1));
        let _ = writeln!(text, "| {} |", sheet.head.join(" | "));
        let _ = writeln!(text, "| {} |", lines.collect::<Vec<_>>().join(" | "));
        for cells in &sheet.rows {
            let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
            let _ = writeln!(text, "| {} |", cells.join(" | "));
        }
        let _ = sheet.foot.map(|foot| writeln!(text, "\n({foot})"));
    }
    for (title, lines) in [
        ("Left out", &missing(findings)),
        ("Warnings", &findings.warnings),
        ("Advice", &findings.advice),
    ] {
        add_list(&mut text, &format!("## {title}\n"), lines, "* ");
    }
    text
}
