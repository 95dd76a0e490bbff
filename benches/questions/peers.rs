//! What do others take for the same work: 64 bytes to a function and back, in a new guest, in one that is kept, and
//! after a crash? Each is driven by a program of its own (`benches/peers`), all have their turn in every round.
//!
//! Where they are: `SANDTRAP_PEERS`, a folder with the programs `procspawn` and `extism` of `benches/peers`, and
//! `SANDTRAP_PYTHON`, a Python that has what it needs.
#![expect(clippy::print_stdout, reason = "a bench shows its figures")]

mod driver;

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use sandtrap::{
    Loaded, Order, Payload, Pool, PoolSettings, Program, Reuse, Runtime, Start, Task, Wall,
};
use sandtrap_benches::notebook::not_measured;
use sandtrap_benches::{Figures, is_quick, tell, tell_beside, tell_gain};
use sandtrap_tests::guests;

use driver::Driver;

/// The works, and how many of each are done in one turn.
/// (So many warm ones that it is of no weight how their row began.)
const WORKS: [(&str, usize); 3] = [("fresh", 5), ("warm", 200), ("crash", 3)];

/// Those written in Python.
const PYTHONS: [&str; 5] = ["multiprocessing", "concurrent.futures", "loky", "pebble", "bombsquad"];

/// Ours, beside which the others' are held.
const POOL: &str = "sandtrap-pool";

/// Ours, where each call is a fork.
const FORK: &str = "sandtrap-fork";

/// And those that stand ready for each.
const SPARE: &str = "sandtrap-spare";

/// Python's pools.
const POOLS: [&str; 4] = ["multiprocessing", "concurrent.futures", "loky", "pebble"];

/// Does a work so many times, and says how long each took.
type Act = Box<dyn FnMut(&str, usize) -> Vec<f64>>;

/// One of those that are compared: its name, and its times for each work.
struct Peer {
    name: &'static str,
    act: Act,
    times: [Vec<f64>; WORKS.len()],
}

pub(crate) fn ask() {
    let spawned = Program::file(guests::native("calls")).within(Wall::Native);
    let module = Program::file(guests::wasm("calls")).within(Wall::Wasm);
    let forked = spawned.clone().started_by(Start::Fork);
    let mut peers = vec![
        ours("sandtrap-native", spawned),
        ours("sandtrap-wasm", module),
        ours(FORK, forked),
        our_pool(),
        our_pool_with_reports(),
        our_spares(),
    ];
    peers.extend(others());
    take_turns(&mut peers);
    for (at, (work, _)) in WORKS.iter().enumerate() {
        let figures: Vec<Figures> = peers.iter_mut().filter_map(|peer| peer.figures(at)).collect();
        let question = format!("peers/{work}");
        figures.iter().for_each(|figures| tell(&question, figures));
        let Some(native) = figures.iter().find(|found| found.name == "sandtrap-native").copied()
        else {
            println!("{question}: a process can't do this in this build");
            continue;
        };
        for other in figures.iter().filter(|other| other.name != native.name) {
            tell_beside(&format!("{question}/{}", other.name), other, &native);
        }
        goals(work, &native, &figures);
    }
    // Where a caller and its worker run is kept by each thread, and by what it starts: this one is for nothing else.
    let asked = thread::spawn(on_one_processor).join();
    asked.expect("this question is answered like the others");
}

fn take_turns(peers: &mut [Peer]) {
    let rounds = if is_quick() { 5 } else { 9 };
    for round in 0..rounds {
        for place in 0..peers.len() {
            let at = (round + place) % peers.len();
            peers[at].turn();
        }
    }
}

/// A pool of one and its caller, with one processor for both: nobody is woken on another one, which would be most of it.
fn on_one_processor() {
    const GOAL: &str = "peers/procspawn/one-processor";
    let mut first = CpuSet::new();
    first.set(0).expect("every machine has a first processor");
    if let Err(error) = sched_setaffinity(Pid::from_raw(0), &first) {
        return not_measured(GOAL, &format!("the first processor is not ours: {error}"));
    }
    let Some(other) = driven("procspawn") else {
        return not_measured(GOAL, "procspawn is not here");
    };
    let mut peers = [our_pool(), other];
    take_turns(&mut peers);
    let warm = |peer: &mut Peer| peer.figures(1);
    let [ours, other] = peers.each_mut().map(warm);
    if let (Some(ours), Some(other)) = (ours, other) {
        tell("peers/one-processor", &ours);
        tell("peers/one-processor", &other);
        tell_gain(GOAL, &ours, &other, 3.0);
    }
}

/// What was promised beside others.
fn goals(work: &str, native: &Figures, figures: &[Figures]) {
    let of = |name: &str| figures.iter().find(|found| found.name == name);
    match (work, of("procspawn")) {
        // There a process is made when it is asked for; a fork is, too, and a spare stands ready by then.
        ("fresh", Some(other)) => {
            let forked = of(FORK).unwrap_or(native);
            tell_gain("peers/procspawn/fresh", of(SPARE).unwrap_or(forked), other, 10.0);
            tell_gain("peers/procspawn/fresh/fork", forked, other, 10.0);
        }
        ("warm", Some(other)) => tell_gain("peers/procspawn/warm", native, other, 20.0),
        _ => {}
    }
    let pools = POOLS.iter().filter_map(|name| of(name));
    let best = pools.min_by(|one, other| one.median.total_cmp(&other.median));
    if let ("warm", Some(best), Some(pool)) = (work, best, of(POOL)) {
        tell_gain("peers/python/warm", pool, best, 20.0);
    }
}

impl Peer {
    fn new(name: &'static str, act: impl FnMut(&str, usize) -> Vec<f64> + 'static) -> Self {
        Self { name, act: Box::new(act), times: Default::default() }
    }

    fn turn(&mut self) {
        for ((work, count), times) in WORKS.iter().zip(&mut self.times) {
            times.extend((self.act)(work, *count));
        }
    }

    fn figures(&mut self, work: usize) -> Option<Figures> {
        let times = std::mem::take(&mut self.times[work]);
        (!times.is_empty()).then(|| Figures::of(self.name, times))
    }
}

/// This project, behind one wall.
fn ours(name: &'static str, program: Program) -> Peer {
    let runtime = Runtime::new().expect("a runtime");
    let loaded = runtime.load(program).expect("the guest is built");
    let bytes = vec![7_u8; 64];
    let echo = Task::invoke_with("echo", Payload::typed(&bytes).expect("bytes"));
    let crash = Task::invoke("overflows", &u64::MAX).expect("a number");
    let mut kept = loaded.keep(Reuse::default()).ok();
    let works = move |loaded: &Loaded, work: &str| match work {
        "fresh" => loaded.run(&echo).verdict.is_completed(),
        // Others give a value, too.
        "warm" => kept.as_mut().is_some_and(|kept| {
            kept.call::<_, Vec<u8>>("echo", &bytes).is_ok_and(|back| back == bytes)
        }),
        "crash" => {
            !loaded.run(&crash).verdict.is_completed() && loaded.run(&echo).verdict.is_completed()
        }
        _ => false,
    };
    let mut works = works;
    Peer::new(name, move |work, count| {
        let mut times = Vec::new();
        for _ in 0..count {
            let began = Instant::now();
            if !works(&loaded, work) {
                break;
            }
            times.push(began.elapsed().as_secs_f64());
        }
        times
    })
}

/// This project's pool of one process, which is kept: its caller gets a value, as the others' do.
fn our_pool() -> Peer {
    let (pool, bytes) = (kept_in_a_pool(), vec![7_u8; 64]);
    let echo = move || pool.call::<_, Vec<u8>>("echo", &bytes).is_ok_and(|back| back == bytes);
    Peer::new(POOL, move |work, count| timed(work == "warm", count, &echo))
}

/// The same, of a caller who wants a report.
fn our_pool_with_reports() -> Peer {
    let pool = kept_in_a_pool();
    let echo = Task::invoke_with("echo", Payload::typed(&vec![7_u8; 64]).expect("bytes"));
    let run = move || pool.run(Order::new(echo.clone())).verdict.is_completed();
    Peer::new("sandtrap-pool-report", move |work, count| timed(work == "warm", count, &run))
}

fn kept_in_a_pool() -> Pool {
    let program = Program::file(guests::native("calls")).within(Wall::Native);
    let runtime = Runtime::new().expect("a runtime");
    let loaded = runtime.load(program).expect("the guest is built");
    let keep = Some(Reuse { max_tasks: u64::MAX, ..Reuse::default() });
    loaded.pool(PoolSettings { keep, ..PoolSettings::with_workers(1) })
}

/// How long each took, up to the first that did not work.
fn timed(is_asked: bool, count: usize, act: &dyn Fn() -> bool) -> Vec<f64> {
    let count = if is_asked { count } else { 0 };
    let time = || {
        let began = Instant::now();
        act().then(|| began.elapsed().as_secs_f64())
    };
    (0..count).map_while(|_| time()).collect()
}

/// This project's pool in which a process stands ready for each call of a turn.
fn our_spares() -> Peer {
    let program = Program::file(guests::native("calls")).within(Wall::Native);
    let runtime = Runtime::new().expect("a runtime");
    let loaded = runtime.load(program).expect("the guest is built");
    let spares = WORKS[0].1;
    let pool = loaded.pool(PoolSettings { spares, ..PoolSettings::with_workers(1) });
    let echo = Task::invoke_with("echo", Payload::typed(&vec![7_u8; 64]).expect("bytes"));
    let run = move |pool: &Pool| pool.run(Order::new(echo.clone())).verdict.is_completed();
    Peer::new(SPARE, move |work, count| {
        while work == "fresh" && pool.status().spares < spares {
            thread::yield_now();
        }
        timed(work == "fresh", count, &|| run(&pool))
    })
}

/// Whoever is here. Of whoever isn't, it is said how to get it.
fn others() -> Vec<Peer> {
    let folder = folder();
    let python = env::var_os("SANDTRAP_PYTHON").unwrap_or("python3".into());
    let mut found = Vec::new();
    for name in ["procspawn", "extism"] {
        match driven(name) {
            Some(peer) => found.push(peer),
            None => missing(
                name,
                &format!(
                    "cd benches/peers && cargo build --release --features {name} --bin {name}"
                ),
            ),
        }
    }
    for name in PYTHONS {
        let mut command = Command::new(&python);
        command.arg(folder.join("peers.py")).arg(name);
        match Driver::start(command) {
            Some(driver) => found.push(driver.peer(name)),
            None => missing(name, &format!("pip install {name}, and SANDTRAP_PYTHON to say where")),
        }
    }
    found.extend(whole_commands());
    found
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}

/// One of those that are programs of `benches/peers`, if it is built.
fn driven(name: &'static str) -> Option<Peer> {
    let built =
        env::var_os("SANDTRAP_PEERS").map_or(folder().join("target/release"), PathBuf::from);
    Driver::start(Command::new(built.join(name))).map(|driver| driver.peer(name))
}

fn missing(name: &str, how: &str) {
    println!("{name} is not here: {how}");
    for goal in ["fresh", "warm"] {
        not_measured(&format!("peers/{name}/{goal}"), &format!("{name} is not here: {how}"));
    }
}

/// Those that are commands: a start each time, and nothing else.
fn whole_commands() -> Vec<Peer> {
    let native = guests::native("hello");
    let module = guests::wasm("hello");
    let bwrap = vec![
        "bwrap".into(),
        "--unshare-all".into(),
        "--ro-bind".into(),
        "/".into(),
        "/".into(),
        native,
    ];
    let wasmtime = vec!["wasmtime".into(), "run".into(), module];
    [
        ("bwrap", bwrap, "apt install bubblewrap"),
        ("wasmtime-cli", wasmtime, "cargo install wasmtime-cli"),
    ]
    .into_iter()
    .filter_map(|(name, words, how): (_, Vec<PathBuf>, _)| {
        let run = move || {
            let mut command = Command::new(&words[0]);
            command
                .args(&words[1..])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        };
        if !run() {
            println!("{name} is not here, or may not run: {how}");
            return None;
        }
        Some(Peer::new(name, move |work, count| {
            let count = if work == "fresh" { count } else { 0 };
            let time = || {
                let began = Instant::now();
                run().then(|| began.elapsed().as_secs_f64())
            };
            (0..count).map_while(|_| time()).collect()
        }))
    })
    .collect()
}
