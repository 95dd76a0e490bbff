//! The course of the bench: what is measured, and in which order.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::Context as _;
use sandtrap::{Program, Runtime, Wall};

use super::contenders::Contender;
use super::crash::Victim;
use super::findings::{Findings, Found, Machine, Subject};
use super::guests::Guests;
use super::machine::memory_available;
use super::modes::{Cell, Mode};
use super::payload::{FEW_SIZES, Road, SIZES};
use super::progress::Progress;
use super::timing::{Contestant, Pace, Spread, in_turns};
use super::work::{Crash, Work};
use super::{advice, guards, many};

/// Processor time below this is not asked for by the walls, and is not known exactly.
const LEAST_OWN: f64 = 100e-6;

/// How often the guest's own processor time is looked at.
const LOOKS: usize = 15;

/// For so many guests at once places are kept ready.
const PLACES: u32 = 256;

/// Rounds of what has to lie on one side in all of them.
const FINE_ROUNDS: u32 = 6;

/// What is to be found out.
pub(crate) struct Survey<'a> {
    pub(crate) guests: &'a Guests,
    pub(crate) work: Work,
    pub(crate) crash: Crash,
    /// The function that gives back what it is given.
    pub(crate) echo: String,
    /// Policy of a program.
    pub(crate) shape: &'a dyn Fn(Program) -> Program,
    /// A runtime with what is kept of compiled modules, and with so many places.
    pub(crate) runtime: &'a dyn Fn(u32) -> anyhow::Result<Runtime>,
    pub(crate) pace: Pace,
    pub(crate) quick: bool,
    pub(crate) guards_cost: bool,
    pub(crate) progress: &'a Progress,
}

impl Survey<'_> {
    /// Runs all of it.
    pub(crate) fn run(&self) -> anyhow::Result<Findings> {
        let mut findings = Findings {
            guest: self.subject(),
            machine: Machine::here(),
            rounds: self.pace.rounds,
            ..Findings::default()
        };
        let runtime = (self.runtime)(PLACES)?;
        let contenders = self.contenders(&runtime, &mut findings);
        self.progress.set_total(self.ticks(contenders.len()));
        self.calls(&contenders, &mut findings);
        self.starts(&contenders, &mut findings)?;
        self.throughput(&contenders, &mut findings);
        self.payload(&contenders, &mut findings);
        self.crowds(&contenders, &mut findings);
        self.crashes(&runtime, &contenders, &mut findings);
        if self.guards_cost {
            self.guards(runtime, &contenders, &mut findings)?;
        }
        self.progress.finish();
        findings.advice = advice::advice(&findings);
        findings.warnings.extend(advice::warnings(&findings));
        Ok(findings)
    }

    fn subject(&self) -> Subject {
        let text = |wall| self.guests.of(wall).map(|path: &Path| path.display().to_string());
        Subject {
            native: text(Wall::Native),
            wasm: text(Wall::Wasm),
            work: self.work.words(),
            payload: String::new(),
        }
    }

    /// How many steps the progress has.
    fn ticks(&self, modes: usize) -> usize {
        let rounds = self.pace.rounds as usize;
        let guards =
            if self.guards_cost { self.settings().len() * 2 * FINE_ROUNDS as usize } else { 0 };
        let payload = self.sizes().len() * self.brief().rounds as usize;
        modes * (3 * rounds + 1 + payload + self.crowd_sizes().len()) + guards
    }

    fn sizes(&self) -> &'static [usize] {
        if self.quick { &FEW_SIZES } else { &SIZES }
    }

    fn crowd_sizes(&self) -> &'static [usize] {
        if self.quick { &many::SMALL_CROWDS } else { &many::CROWDS }
    }

    fn settings(&self) -> Vec<guards::Setting> {
        let walls = [Wall::Native, Wall::Wasm];
        let here = walls.into_iter().filter(|wall| self.guests.of(*wall).is_some());
        here.flat_map(guards::settings).collect()
    }

    /// The pace of what has many parts.
    fn brief(&self) -> Pace {
        Pace { rounds: self.pace.rounds.min(3), turn: self.pace.turn / 2 }
    }

    /// The same time for what is told from its rounds: of a few of them all may be longer by chance.
    fn fine(&self) -> Pace {
        let brief = self.brief();
        Pace { rounds: FINE_ROUNDS, turn: brief.turn * brief.rounds / FINE_ROUNDS }
    }

    /// One call after another. A mode that fails here is left out of everything.
    fn calls(&self, contenders: &[Contender], findings: &mut Findings) {
        self.progress.begin("calls", contenders.len() * self.pace.rounds as usize);
        let tick = || self.progress.tick();
        let bare = self.bare();
        let has_bare = bare.is_some();
        let mut contestants: Vec<Contestant<'_>> = bare.into_iter().collect();
        for contender in contenders {
            let (task, opened) = (self.work.task(), contender.mode.open(&contender.loaded));
            contestants.push(match opened {
                Ok(mut cell) => Contestant::new(move || cell.complete(&task)),
                Err(why) => Contestant::new(move || Err(why.clone())),
            });
        }
        in_turns(self.pace, &mut contestants, &tick);
        let mut spreads = contestants.into_iter().map(Contestant::spread);
        if has_bare {
            findings.bare = spreads.next().and_then(Result::ok);
        }
        for (contender, spread) in contenders.iter().zip(spreads) {
            match spread {
                Ok(call) => findings.modes.push(self.found(contender, call)),
                Err(why) => findings.left_out.push((contender.mode.name(), why)),
            }
        }
    }

    /// The same program without any wall: only a program as a whole can be started so.
    fn bare(&self) -> Option<Contestant<'static>> {
        let Work::Command(args) = &self.work else { return None };
        let (path, args) = (self.guests.of(Wall::Native)?.to_owned(), args.clone());
        Some(Contestant::new(move || {
            let mut command = Command::new(&path);
            command.args(&args).env_clear().stdin(Stdio::null());
            let ended = command.output().map_err(|error| error.to_string())?;
            if ended.status.success() { Ok(()) } else { Err(ended.status.to_string()) }
        }))
    }

    fn found(&self, contender: &Contender, call: Spread) -> Found {
        let (mut own, mut memory) = (None, 0);
        if let Ok(mut cell) = contender.mode.open(&contender.loaded) {
            own = own_time(&mut cell, &self.work);
            memory = cell.memory(&self.work.task());
        }
        let mode = contender.mode;
        let (payload, live) = (Vec::new(), Vec::new());
        Found {
            mode,
            first: None,
            start: None,
            call,
            own,
            throughput: None,
            memory,
            crash: None,
            payload,
            live,
        }
    }

    /// From nothing to the first result: with nothing kept, once; then with what is kept.
    fn starts(&self, contenders: &[Contender], findings: &mut Findings) -> anyhow::Result<()> {
        self.progress.begin("starts", contenders.len() * self.pace.rounds as usize);
        let task = self.work.task();
        for contender in contenders {
            let began = Instant::now();
            let forgetful =
                Runtime::builder().instances(0).build().context("cannot make a runtime")?;
            let started = contender.mode.start(&forgetful, contender.program.clone());
            if started.and_then(|mut cell| cell.complete(&task)).is_ok()
                && let Some(found) = of_mode(findings, contender.mode)
            {
                found.first = Some(began.elapsed().as_secs_f64());
            }
        }
        let mut contestants: Vec<Contestant<'_>> = contenders
            .iter()
            .map(|contender| {
                let task = &task;
                Contestant::new(move || {
                    let runtime = (self.runtime)(0).map_err(|error| error.to_string())?;
                    contender.mode.start(&runtime, contender.program.clone())?.complete(task)
                })
            })
            .collect();
        in_turns(self.pace, &mut contestants, &|| self.progress.tick());
        for (contender, contestant) in contenders.iter().zip(contestants) {
            match (contestant.spread(), of_mode(findings, contender.mode)) {
                (Ok(spread), Some(found)) => found.start = Some(spread),
                (Err(why), _) => findings.not_measured.push(("start", why)),
                (Ok(_), None) => {}
            }
        }
        Ok(())
    }

    fn throughput(&self, contenders: &[Contender], findings: &mut Findings) {
        self.progress.begin("throughput", contenders.len());
        let threads = findings.machine.processors;
        for contender in contenders {
            let (loaded, task) = (&contender.loaded, self.work.task());
            let time = self.pace.turn * self.pace.rounds.min(4);
            let found = many::throughput(contender.mode, loaded, &task, threads, time);
            self.progress.tick();
            match (found, of_mode(findings, contender.mode)) {
                (Ok(rate), Some(found)) => found.throughput = Some(rate),
                (Err(why), _) => findings.not_measured.push(("throughput", why)),
                (Ok(_), None) => {}
            }
        }
    }

    fn payload(&self, contenders: &[Contender], findings: &mut Findings) {
        let (sizes, pace) = (self.sizes(), self.brief());
        self.progress.begin("payload", contenders.len() * sizes.len() * pace.rounds as usize);
        let road = match Road::new(&self.work, &self.echo) {
            Ok(road) => road,
            Err(why) => return findings.not_measured.push(("payload", why)),
        };
        findings.guest.payload = road.words();
        for size in sizes {
            let mut modes = Vec::new();
            let mut contestants = Vec::new();
            for contender in contenders {
                let cell = contender.mode.open(&contender.loaded);
                match cell.and_then(|cell| road.contestant(cell, *size)) {
                    Ok(contestant) => {
                        modes.push(contender.mode);
                        contestants.push(contestant);
                    }
                    Err(why) => note(findings, "payload", contender.mode, &why),
                }
            }
            in_turns(pace, &mut contestants, &|| self.progress.tick());
            for (mode, contestant) in modes.into_iter().zip(contestants) {
                if let (Ok(spread), Some(found)) = (contestant.spread(), of_mode(findings, mode)) {
                    found.payload.push((*size, spread));
                }
            }
        }
    }

    fn crowds(&self, contenders: &[Contender], findings: &mut Findings) {
        let sizes = self.crowd_sizes();
        self.progress.begin("many guests", contenders.len() * sizes.len());
        let room = memory_available() / 4;
        for contender in contenders {
            let (loaded, task) = (&contender.loaded, self.work.task());
            let each = of_mode(findings, contender.mode).map_or(0, |found| found.memory);
            for cells in sizes.iter().filter(|cells| (**cells as u64).saturating_mul(each) <= room)
            {
                let crowd = many::crowd(contender.mode, loaded, &task, *cells, self.pace.turn);
                self.progress.tick();
                match (crowd, of_mode(findings, contender.mode)) {
                    (Ok(crowd), Some(found)) => found.live.push(crowd),
                    (Err(why), _) => {
                        note(findings, "many guests", contender.mode, &why);
                        break;
                    }
                    (Ok(_), None) => {}
                }
            }
        }
    }

    fn crashes(&self, runtime: &Runtime, contenders: &[Contender], findings: &mut Findings) {
        self.progress.begin("crashes", contenders.len() * self.pace.rounds as usize);
        let mut modes = Vec::new();
        let mut contestants = Vec::new();
        for contender in contenders {
            let mode = contender.mode;
            let victim = mode.open(&contender.loaded).and_then(|cell| {
                Victim::new(runtime, cell, mode.wall(), &self.crash, self.work.task())
            });
            match victim {
                Ok(victim) => {
                    modes.push(mode);
                    contestants.push(victim.contestant());
                }
                Err(why) => note(findings, "crash", mode, &why),
            }
        }
        in_turns(self.pace, &mut contestants, &|| self.progress.tick());
        for (mode, contestant) in modes.into_iter().zip(contestants) {
            match (contestant.spread(), of_mode(findings, mode)) {
                (Ok(spread), Some(found)) => found.crash = Some(spread),
                (Err(why), _) => note(findings, "crash", mode, &why),
                (Ok(_), None) => {}
            }
        }
    }

    fn guards(
        &self,
        with_places: Runtime,
        contenders: &[Contender],
        findings: &mut Findings,
    ) -> anyhow::Result<()> {
        let settings = self.settings();
        self.progress.begin("guards", settings.len() * 2 * FINE_ROUNDS as usize);
        let runtimes = guards::Runtimes { with_places, without_places: (self.runtime)(0)? };
        for setting in &settings {
            let is_its = |contender: &&Contender| {
                contender.mode.wall() == setting.wall && !contender.mode.is_warm()
            };
            let Some(contender) = contenders.iter().find(is_its) else { continue };
            let (task, tick) = (self.work.task(), || self.progress.tick());
            match guards::measure(setting, &runtimes, &contender.program, &task, self.fine(), &tick)
            {
                Ok(switch) => findings.guards.push(switch),
                Err(why) => {
                    findings.not_measured.push(("guards", format!("{}: {why}", setting.name())))
                }
            }
        }
        Ok(())
    }
}

fn of_mode(findings: &mut Findings, mode: Mode) -> Option<&mut Found> {
    findings.modes.iter_mut().find(|found| found.mode == mode)
}

/// Says once why a measure lacks a mode.
fn note(findings: &mut Findings, measure: &'static str, mode: Mode, why: &str) {
    let line = format!("{}: {why}", mode.name());
    if !findings.not_measured.iter().any(|(other, text)| *other == measure && *text == line) {
        findings.not_measured.push((measure, line));
    }
}

/// The guest's processor time in one call, where it is worth the name.
fn own_time(cell: &mut Cell, work: &Work) -> Option<f64> {
    let task = work.task();
    let mut times: Vec<f64> = (0..LOOKS).map(|_| cell.run(&task).usage.cpu.as_secs_f64()).collect();
    times.sort_by(f64::total_cmp);
    let median = times[times.len() / 2];
    (median >= LEAST_OWN).then_some(median)
}
