//! Runs the table, and says what went otherwise than the table says.

use std::sync::atomic::{AtomicUsize, Ordering};

use sandtrap::{Failure, Report, Runtime, Verdict};

use super::Row;

/// The longest message that people can be expected to read, whatever a module puts into its names.
const LONGEST_MESSAGE: usize = 4096;

/// How long names and places of a trace are, at the most, and how many frames there are.
const LONGEST_NAME: usize = 1100;
const MOST_FRAMES: usize = 20;

/// Runs every module of these rows on two threads, and says what was wrong.
pub fn run(runtime: &Runtime, rows: &[Row]) -> Vec<String> {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let worker = || {
            let mut wrong = Vec::new();
            while let Some(row) = rows.get(next.fetch_add(1, Ordering::SeqCst)) {
                wrong.extend(complaints(runtime, row));
            }
            wrong
        };
        let threads = [scope.spawn(worker), scope.spawn(worker)];
        threads.into_iter().flat_map(|thread| thread.join().expect("no row panics")).collect()
    })
}

fn complaints(runtime: &Runtime, row: &Row) -> Vec<String> {
    let modules = (row.make)();
    let run = |(index, module): (usize, &Vec<u8>)| {
        let report = runtime.run(row.program(module), &row.task(module));
        complaint(row, &report).map(|what| format!("{} [{index}]: {what}", row.name))
    };
    modules.iter().enumerate().filter_map(run).collect()
}

fn complaint(row: &Row, report: &Report) -> Option<String> {
    let (verdict, label) = (&report.verdict, report.verdict.label());
    let words = verdict.to_string();
    let shown: String = words.chars().take(300).collect();
    if !row.labels.contains(&label) {
        return Some(format!("{label} instead of {:?}: {shown}", row.labels));
    }
    if words.contains("host panic") {
        return Some(format!("a panic of the host: {shown}"));
    }
    if words.len() > LONGEST_MESSAGE {
        return Some(format!("{} bytes of words: {shown}", words.len()));
    }
    if let (Some(code), Verdict::Failed(Failure::Exit { code: found })) = (row.code, verdict)
        && code != *found
    {
        return Some(format!("exit code {found} instead of {code}"));
    }
    // To be read is what a trace is made for; that is where it could do harm.
    let trace = &report.facts.trace;
    let lengths = trace
        .iter()
        .map(|frame| frame.function.len().max(frame.place.as_ref().map_or(0, String::len)));
    let longest = lengths.max().unwrap_or(0);
    if trace.len() > MOST_FRAMES || longest > LONGEST_NAME {
        return Some(format!("{} frames, with names of up to {longest} bytes", trace.len()));
    }
    let kept = report.output.stdout.as_ref().map_or(0, Vec::len) as u64;
    let (peak, limits) = (report.usage.peak_memory, &report.limits);
    (kept > limits.output.as_u64() || peak > limits.memory.as_u64())
        .then(|| format!("{kept} bytes of output and {peak} of memory are above the limits"))
}
