//! Chaos: thousands of tasks behind both walls, a third of which die in every way that the guests of the table know, while
//! workers are killed from outside. Each task has to have the one report that is its own.
//!
//! ```text
//!   the storm: a third crash guests, by turns ---+
//!              a third well-behaved ones --------+--> pools of four workers, 64 tasks under way at most
//!              a third kept modules and prey ----+         ^
//!   two callers who want one task after another -----------+  (how long they wait is measured)
//!   the hunter kills processes of the prey, found among this process's own children
//! ```

mod cast;
mod hunt;
mod pulse;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use sandtrap::{Report, Runtime, Ticket, WorkerState};

use crate::soak::Counted;
use cast::{Cast, Company};
use pulse::Pulse;

/// Tasks that wait or run at the same time.
const UNDER_WAY: usize = 64;

/// Workers of each pool.
const WORKERS: usize = 4;

/// Resident memory is looked at whenever so many tasks were submitted.
const LOOK: usize = 5_000;

/// How much of it.
#[derive(Clone, Copy, Debug)]
pub enum Extent {
    /// So many tasks.
    Tasks(usize),
    /// As many as there are in this time.
    Time(Duration),
}

impl Extent {
    /// Whether it is over, or such a part of it.
    fn is_over(self, part: u32, tasks: usize, began: Instant) -> bool {
        match self {
            Self::Tasks(all) => tasks >= all / part as usize,
            Self::Time(time) => began.elapsed() >= time / part,
        }
    }
}

/// What came of it.
#[derive(Debug)]
pub struct Chaos {
    /// Tasks that had their report.
    pub tasks: usize,
    /// How many guests take part.
    pub guests: usize,
    /// Reports by their label.
    pub labels: BTreeMap<&'static str, usize>,
    /// Reports that were another task's, or said something wrong.
    pub wrong: BTreeMap<String, usize>,
    /// Workers that are not there at the end.
    pub lost: Vec<String>,
    /// Processes that were killed from outside.
    pub killed: usize,
    /// Guests that were kept and died, and were replaced.
    pub restarts: usize,
    /// How long callers waited who wanted one well-behaved task after another: one behind each wall.
    pub waited: Vec<Pulse>,
    /// How long the longest task of the storm ran.
    pub longest: Duration,
    /// Before there was any pool, after half of the tasks, after all of them, and when all pools are gone.
    pub counted: [Counted; 4],
    /// Resident memory in KiB on the way, every so many tasks.
    pub resident: Vec<u64>,
    /// How long all of it took.
    pub took: Duration,
}

impl Chaos {
    /// Lets them loose.
    pub fn run(extent: Extent) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let before = Counted::now();
        let company = Company::gather(&runtime);
        let hunt = &company.prey.hunt;
        let is_over = AtomicBool::new(false);
        let began = Instant::now();
        let (mut tally, mut way) = (Tally::default(), Way::default());
        let mut waited = Vec::new();
        thread::scope(|scope| {
            let (beats, callers): (Vec<_>, Vec<_>) = company
                .steady
                .iter()
                .map(|cast| {
                    // A beat that finds its caller still waiting for the last one is left out.
                    let (beat, beats) = mpsc::sync_channel(1);
                    (beat, scope.spawn(move || Pulse::of(cast, &beats)))
                })
                .unzip();
            scope.spawn(|| hunt.go_on(&is_over));
            way = storm(extent, &company, beats, &mut tally);
            is_over.store(true, Ordering::SeqCst);
            hunt.wake();
            for caller in callers {
                match caller.join() {
                    Ok(pulse) => waited.push(pulse),
                    Err(_) => tally.wrong("a caller: it panicked".to_owned()),
                }
            }
        });
        for cast in company.everybody() {
            tally.look_at(cast);
        }
        let late = Counted::now();
        let (guests, killed, restarts) =
            (company.everybody().count(), hunt.killed(), company.restarts());
        drop(company);
        Self {
            tasks: tally.labels.values().sum(),
            guests,
            labels: tally.labels,
            wrong: tally.wrong,
            lost: tally.lost,
            killed,
            restarts,
            waited,
            longest: tally.longest,
            counted: [before, way.half.unwrap_or(late), late, Counted::now()],
            resident: way.resident,
            took: began.elapsed(),
        }
    }

    /// Whether every report was right, callers were answered in time throughout, and everybody is still there.
    pub fn is_right(&self) -> bool {
        let is_served = |of: &Pulse| of.wrong.is_empty() && of.is_in_time(self.longest);
        let has_right_reports = self.wrong.is_empty() && self.waited.iter().all(is_served);
        has_right_reports && self.lost.is_empty() && self.counted[2].children == 0
    }
}

/// What was counted on the way.
#[derive(Default)]
struct Way {
    half: Option<Counted>,
    resident: Vec<u64>,
}

/// Submits task after task, with no more than so many under way, and takes their reports.
fn storm(extent: Extent, company: &Company, beats: Vec<SyncSender<()>>, tally: &mut Tally) -> Way {
    let began = Instant::now();
    let mut under_way: VecDeque<(&Cast, Ticket)> = VecDeque::new();
    let mut way = Way::default();
    for number in 0.. {
        if extent.is_over(1, number, began) {
            break;
        }
        let is_half = way.half.is_none() && extent.is_over(2, number, began);
        if is_half || number % LOOK == LOOK - 1 {
            // What a guest holds while it runs is not what stays.
            tally.take_all(under_way.drain(..));
            let counted = Counted::now();
            way.half = way.half.or(is_half.then_some(counted));
            way.resident.extend((number % LOOK == LOOK - 1).then_some(counted.resident_kib));
        }
        let cast = company.turn_of(number);
        match cast.pool.submit(cast.order(number)) {
            Ok(ticket) => under_way.push_back((cast, ticket)),
            Err(rejected) => tally.wrong(format!("{}: {}", cast.name, rejected.why)),
        }
        if under_way.len() >= UNDER_WAY
            && let Some((cast, ticket)) = under_way.pop_front()
        {
            tally.take(cast, ticket);
        }
        for beat in &beats {
            // The same.
            let _ = beat.try_send(());
        }
    }
    tally.take_all(under_way);
    way
}

#[derive(Default)]
struct Tally {
    labels: BTreeMap<&'static str, usize>,
    wrong: BTreeMap<String, usize>,
    lost: Vec<String>,
    longest: Duration,
}

impl Tally {
    fn wrong(&mut self, what: String) {
        *self.wrong.entry(what).or_insert(0) += 1;
    }

    fn take_all<'a>(&mut self, all: impl IntoIterator<Item = (&'a Cast, Ticket)>) {
        all.into_iter().for_each(|(cast, ticket)| self.take(cast, ticket));
    }

    fn take(&mut self, cast: &Cast, ticket: Ticket) {
        let asked = ticket.task().clone();
        let report: Report = ticket.wait();
        let label = report.verdict.label();
        self.longest = self.longest.max(report.usage.wall);
        *self.labels.entry(label.as_str()).or_insert(0) += 1;
        if report.task.id != asked {
            self.wrong(format!("{}: the report of another task", cast.name));
        }
        if !cast.may_end(label) {
            self.wrong(format!("{}: {label}", cast.name));
        }
    }

    fn look_at(&mut self, cast: &Cast) {
        let status = cast.pool.status();
        let is_there = |state| matches!(state, WorkerState::Idle | WorkerState::Starting);
        let there = status.workers.iter().filter(|worker| is_there(worker.state)).count();
        if there != WORKERS || status.abandoned != 0 || status.waiting != 0 {
            self.lost.push(format!("{}: {status:?}", cast.name));
        }
    }
}

impl fmt::Display for Chaos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.took.as_secs_f64();
        let rate = self.tasks as f64 / seconds;
        writeln!(
            f,
            "{} tasks of {} guests in {seconds:.1} s, {rate:.0} a second",
            self.tasks, self.guests
        )?;
        for (label, count) in &self.labels {
            writeln!(f, "  {label:<28} {count:>8}")?;
        }
        let crashes: usize = self
            .labels
            .iter()
            .filter(|(label, _)| label.starts_with("crashed"))
            .map(|(_, count)| count)
            .sum();
        writeln!(
            f,
            "crashes: {crashes}, killed from outside: {}, kept guests that were replaced: {}",
            self.killed, self.restarts
        )?;
        for pulse in &self.waited {
            writeln!(f, "{pulse}")?;
        }
        writeln!(f, "the longest task ran for {:.1?}", self.longest)?;
        let moments = ["before", "after half of it", "at the end", "without pools"];
        for (when, counted) in moments.iter().zip(self.counted) {
            let Counted { resident_kib, descriptors, children, groups, threads, .. } = counted;
            writeln!(
                f,
                "{when}: resident {resident_kib} KiB, {descriptors} descriptors, {threads} threads, \
                 {children} children, {groups} groups"
            )?;
        }
        let mib: Vec<String> = self.resident.iter().map(|kib| (kib / 1024).to_string()).collect();
        writeln!(f, "resident MiB every {LOOK} tasks: {}", mib.join(" "))?;
        for (what, count) in &self.wrong {
            writeln!(f, "wrong: {what} ({count})")?;
        }
        for lost in &self.lost {
            writeln!(f, "lost: {lost}")?;
        }
        write!(
            f,
            "wrong reports: {}, pools that lost somebody: {}",
            self.wrong.len(),
            self.lost.len()
        )
    }
}
