//! A wall whose guests do what their first argument says, in no time: for pools, where many run at once.
//!
//! `ok` ends well, `fault` `abort` `memory` `killed` crash, `error` fails, `exit` leaves with code 3, `leaves` with code 0,
//! `waits` ends when it is stopped, `deaf` goes on until [`Acted::let_go`], `gate` until the same but listens to a stop,
//! `panics` panics in the wall itself, `flaky` faults until it was begun as often as [`Acted::flaky_for`] says,
//! `stuck` waits until it is stopped, as often as [`Acted::stuck_for`] says, and then ends well, `doomed` the same and then faults,
//! `hungry` runs out of memory below 128 MiB, `pours` writes a mebibyte, `screams` faults with much on stderr, `relapses` after
//! its result, `breaks` faults when it was let go.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use sandtrap::{
    Attempt, Basis, ByteSize, Cell, Death, Ear, Ending, Entry, Evidence, Guard, Image, Isolation,
    LoadError, OpenError, Payload, Program, RefusedMemory, Sender, Signal, Source, Step,
    StopHandle, StopReason, Usage, Vitals,
};

/// The wall, and everything that is counted about it.
#[derive(Clone, Default)]
pub struct Acted {
    facts: Arc<Facts>,
}

#[derive(Default)]
struct Facts {
    /// Tasks that began, by their second argument, in this order.
    began: Mutex<Vec<String>>,
    gate: Mutex<bool>,
    opened_gate: Condvar,
    changed: Condvar,
    opened: AtomicU64,
    alive: AtomicI64,
    /// Cells that can't be opened from now on.
    fails: AtomicI64,
    /// Kept cells that take their whole wall time from now on, and are not there then.
    late_starts: AtomicI64,
    /// Kept cells that are there only when the gate opens.
    slow_starts: AtomicI64,
    /// Spares that are there only then.
    slow_spares: AtomicI64,
    /// So often `flaky` still faults.
    flaky: AtomicI64,
    /// So often `stuck` still waits.
    stuck: AtomicI64,
    /// Cells that panic when they are dropped.
    bursts: AtomicI64,
    /// What a kept cell says it holds, for each task it has run.
    grows: AtomicU64,
    /// Whether its attempts may end too late.
    is_late: AtomicBool,
    /// Tasks that were ended without a time of grace.
    hurried: AtomicU64,
    /// The thread on which the last task began.
    thread: Mutex<Option<ThreadId>>,
    /// Whether the guest that ran last has ended since.
    last: Mutex<Arc<AtomicBool>>,
}

impl Acted {
    /// A wall with its gate shut.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets go all that wait at the gate, now and later.
    pub fn let_go(&self) {
        *lock(&self.facts.gate) = true;
        self.facts.opened_gate.notify_all();
    }

    /// Has the next cells fail to open.
    pub fn fail_to_open(&self, cells: i64) {
        self.facts.fails.store(cells, Ordering::SeqCst);
    }

    /// Has the next kept cells wait at the gate, or until they are stopped, and be too late then.
    pub fn start_late(&self, cells: i64) {
        self.facts.late_starts.store(cells, Ordering::SeqCst);
    }

    /// Has the next kept cells wait at the gate, or until they are stopped, and be there then.
    pub fn start_slowly(&self, cells: i64) {
        self.facts.slow_starts.store(cells, Ordering::SeqCst);
    }

    /// The same for spares.
    pub fn start_spares_slowly(&self, cells: i64) {
        self.facts.slow_spares.store(cells, Ordering::SeqCst);
    }

    /// Has the next tasks that are `flaky` fault.
    pub fn flaky_for(&self, tasks: i64) {
        self.facts.flaky.store(tasks, Ordering::SeqCst);
    }

    /// Has the next tasks that get `stuck` wait until they are stopped.
    pub fn stuck_for(&self, tasks: i64) {
        self.facts.stuck.store(tasks, Ordering::SeqCst);
    }

    /// Has the next cells panic when they are dropped.
    pub fn burst(&self, cells: i64) {
        self.facts.bursts.store(cells, Ordering::SeqCst);
    }

    /// Has each task leave so many bytes behind in its cell.
    pub fn grow_by(&self, bytes: u64) {
        self.facts.grows.store(bytes, Ordering::SeqCst);
    }

    /// Has it promise no longer that each attempt ends in time.
    pub fn be_late(&self) {
        self.facts.is_late.store(true, Ordering::SeqCst);
    }

    /// Has the guest that ran last end while it has no task, without anybody being called.
    pub fn end_last(&self) {
        lock(&self.facts.last).store(true, Ordering::SeqCst);
    }

    /// The thread on which the last task began.
    pub fn thread(&self) -> Option<ThreadId> {
        *lock(&self.facts.thread)
    }

    /// How many tasks were ended without a time of grace.
    pub fn hurried(&self) -> u64 {
        self.facts.hurried.load(Ordering::SeqCst)
    }

    /// Cells opened so far.
    pub fn opened(&self) -> u64 {
        self.facts.opened.load(Ordering::SeqCst)
    }

    /// Cells that are there.
    pub fn alive(&self) -> i64 {
        self.facts.alive.load(Ordering::SeqCst)
    }

    /// The names of the tasks that began, in this order.
    pub fn began(&self) -> Vec<String> {
        lock(&self.facts.began).clone()
    }

    /// Waits until so many tasks have begun.
    pub fn wait_for(&self, tasks: usize) {
        let mut began = lock(&self.facts.began);
        while began.len() < tasks {
            began = self.facts.changed.wait(began).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn start_at_the_gate(&self, stop: &StopHandle) {
        lock(&self.facts.began).push("a start".to_owned());
        self.facts.changed.notify_all();
        self.wait_at_the_gate_until(stop);
    }

    /// Waits at the gate, or until it is stopped.
    fn wait_at_the_gate_until(&self, stop: &StopHandle) {
        let facts = Arc::clone(&self.facts);
        let _guard = stop.on_stop(move || {
            drop(lock(&facts.gate));
            facts.opened_gate.notify_all();
        });
        self.wait_at_the_gate(&|| stop.reason().is_some());
    }

    fn wait_at_the_gate(&self, gives_up: &dyn Fn() -> bool) {
        let mut is_open = lock(&self.facts.gate);
        while !*is_open && !gives_up() {
            let waited = self.facts.opened_gate.wait(is_open);
            is_open = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn open_cell(&self, kept: bool) -> Result<Box<dyn Cell>, OpenError> {
        if self.facts.fails.fetch_sub(1, Ordering::SeqCst) > 0 {
            return Err(LoadError::at(Step::Reserve, "the script has no room for it"));
        }
        self.facts.fails.fetch_max(0, Ordering::SeqCst);
        self.facts.opened.fetch_add(1, Ordering::SeqCst);
        self.facts.alive.fetch_add(1, Ordering::SeqCst);
        let wall = self.clone();
        let (has_ended, opened) = (Arc::default(), Instant::now());
        Ok(Box::new(ActedCell { wall, kept, tasks: 0, is_gone: false, has_ended, opened }))
    }
}

impl fmt::Debug for Acted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acted").field("opened", &self.opened()).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes one of so many, if there are any left.
fn takes(of: &AtomicI64) -> bool {
    let less = |left: i64| (left > 0).then_some(left - 1);
    of.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok()
}

impl Isolation for Acted {
    fn load(&self, _: &Program) -> Result<Arc<dyn Image>, LoadError> {
        Ok(Arc::new(self.clone()))
    }
}

impl Image for Acted {
    fn open(&self) -> Result<Box<dyn Cell>, OpenError> {
        self.open_cell(false)
    }

    fn keep(&self) -> Result<Box<dyn Cell>, OpenError> {
        self.keep_until(&StopHandle::new())
    }

    fn keep_until(&self, stop: &StopHandle) -> Result<Box<dyn Cell>, OpenError> {
        let is_late = takes(&self.facts.late_starts);
        if is_late || takes(&self.facts.slow_starts) {
            self.start_at_the_gate(stop);
        }
        if is_late {
            return Err(LoadError::stopped(stop.reason().unwrap_or(StopReason::WallTime)));
        }
        self.open_cell(true)
    }

    fn ready(&self, keeps: bool, stop: &StopHandle) -> Result<Box<dyn Cell>, OpenError> {
        if takes(&self.facts.slow_spares) {
            self.start_at_the_gate(stop);
        }
        if keeps { self.keep_until(stop) } else { self.open() }
    }

    fn keeps_time(&self) -> bool {
        !self.facts.is_late.load(Ordering::SeqCst)
    }

    fn guards(&self) -> Vec<Guard> {
        vec![Guard::in_force("script")]
    }
}

struct ActedCell {
    wall: Acted,
    kept: bool,
    tasks: u64,
    is_gone: bool,
    has_ended: Arc<AtomicBool>,
    opened: Instant,
}

impl Drop for ActedCell {
    fn drop(&mut self) {
        self.wall.facts.alive.fetch_sub(1, Ordering::SeqCst);
        let bursts = self.wall.facts.bursts.fetch_sub(1, Ordering::SeqCst) > 0;
        self.wall.facts.bursts.fetch_max(0, Ordering::SeqCst);
        assert!(!bursts, "the wall panics while it clears up, as the script says");
    }
}

impl Cell for ActedCell {
    fn run(&mut self, attempt: &Attempt<'_>, stop: &StopHandle, _: &mut dyn Ear) -> Evidence {
        assert!(self.is_usable(), "a cell was used again that may not be");
        self.tasks += 1;
        *lock(&self.wall.facts.thread) = Some(thread::current().id());
        *lock(&self.wall.facts.last) = Arc::clone(&self.has_ended);
        let words = words(attempt.entry);
        let word = words.first().map_or("ok", String::as_str);
        lock(&self.wall.facts.began).push(words.get(1).cloned().unwrap_or_default());
        self.wall.facts.changed.notify_all();
        let mut evidence = match word {
            "flaky" if self.wall.facts.flaky.fetch_sub(1, Ordering::SeqCst) > 0 => {
                self.act("fault", stop)
            }
            "stuck" | "doomed" if self.wall.facts.stuck.fetch_sub(1, Ordering::SeqCst) > 0 => {
                self.act("waits", stop)
            }
            "hungry" if attempt.limits.memory < ByteSize::mib(128) => self.act("memory", stop),
            "doomed" => self.act("fault", stop),
            "flaky" | "stuck" | "hungry" => exit(0),
            word => self.act(word, stop),
        };
        self.is_gone = !matches!(word, "ok" | "error" | "gate") || stop.reason().is_some();
        self.wall.facts.hurried.fetch_add(stop.is_urgent().into(), Ordering::SeqCst);
        evidence.stopped_by_us = evidence.stopped_by_us.or(stop.reason());
        let peak_memory = self.tasks * self.wall.facts.grows.load(Ordering::SeqCst);
        evidence.usage = Usage { wall: Duration::from_micros(1), peak_memory, ..evidence.usage };
        evidence
    }

    fn is_usable(&self) -> bool {
        let is_there = !self.is_gone && !self.has_ended.load(Ordering::SeqCst);
        is_there && (self.kept || self.tasks == 0)
    }

    fn vitals(&self) -> Vitals {
        let resident_bytes = self.tasks * self.wall.facts.grows.load(Ordering::SeqCst);
        Vitals { resident_bytes, tasks_run: self.tasks, age: self.opened.elapsed() }
    }
}

impl ActedCell {
    fn act(&self, word: &str, stop: &StopHandle) -> Evidence {
        match word {
            "ok" | "leaves" => exit(0),
            "pours" => {
                let mut poured = exit(0);
                poured.output.stdout = Some(vec![b'x'; 1024 * 1024]);
                poured
            }
            "screams" => {
                let mut screamed = self.act("fault", stop);
                screamed.output.stderr_tail = [&[b'x'; 3000][..], b" last words"].concat();
                screamed
            }
            "relapses" => {
                let mut relapsed = self.act("fault", stop);
                relapsed.testimony.result = Some(Payload::raw("done"));
                relapsed
            }
            "error" | "exit" => exit(3),
            "fault" => death(Signal::Segv, Sender::Kernel),
            "abort" => death(Signal::Abrt, Sender::Itself),
            "breaks" => {
                self.wall.wait_at_the_gate_until(stop);
                self.act("fault", stop)
            }
            "killed" => death(Signal::Kill, Sender::Process(1)),
            "memory" => {
                let refused = RefusedMemory { wanted: None, limit: 1, basis: Basis::Seen };
                Evidence { refused_memory: Some(refused), ..death(Signal::Abrt, Sender::Itself) }
            }
            "panics" => panic!("the wall itself panics, as the script says"),
            "waits" => {
                let (tell, told) = mpsc::channel();
                let _guard = stop.on_stop(move || {
                    // Nobody listens after the first time.
                    let _ = tell.send(());
                });
                // The sender lives in the handle, so this ends by a message and not by an error.
                let _ = told.recv();
                Evidence::of(Source::Status, Ending::Vanished)
            }
            "deaf" => {
                self.wall.wait_at_the_gate(&|| false);
                exit(0)
            }
            "gate" => {
                self.wall.wait_at_the_gate_until(stop);
                if stop.reason().is_some() {
                    Evidence::of(Source::Status, Ending::Vanished)
                } else {
                    exit(0)
                }
            }
            other => panic!("no guest of this wall can `{other}`"),
        }
    }
}

fn words(entry: &Entry) -> Vec<String> {
    match entry {
        Entry::Command { args, .. } => {
            args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect()
        }
        Entry::Call { function, .. } | Entry::Invoke { function, .. } => {
            function.split(' ').map(str::to_owned).collect()
        }
    }
}

fn exit(code: i32) -> Evidence {
    Evidence::of(Source::Ptrace, Ending::Exited(code))
}

fn death(signal: Signal, sender: Sender) -> Evidence {
    let death = Death { signal, code: None, sender, fault: None };
    Evidence::of(Source::Ptrace, Ending::Signalled(death))
}
