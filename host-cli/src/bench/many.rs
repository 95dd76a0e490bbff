//! Many calls at once, and many guests at once.

use std::thread;
use std::time::{Duration, Instant};

use sandtrap::{Loaded, Task};

use super::findings::Crowd;
use super::modes::{Cell, Mode};

/// So many guests live at the same time.
pub(super) const CROWDS: [usize; 5] = [1, 4, 16, 32, 64];

/// The same for those in a hurry.
pub(super) const SMALL_CROWDS: [usize; 3] = [1, 4, 16];

/// Calls in a second, with one thread for each processor.
pub(super) fn throughput(
    mode: Mode,
    loaded: &Loaded,
    task: &Task,
    threads: usize,
    time: Duration,
) -> Result<f64, String> {
    let mut cells = (0..threads).map(|_| mode.open(loaded)).collect::<Result<Vec<_>, _>>()?;
    let began = Instant::now();
    let serve = |cell: &mut Cell| -> Result<u64, String> {
        let mut done = 0;
        while began.elapsed() < time {
            cell.complete(task)?;
            done += 1;
        }
        Ok(done)
    };
    let calls = all_at_once(&mut cells, &serve)?;
    Ok(calls as f64 / began.elapsed().as_secs_f64())
}

/// So many guests: those that live on are called in turn, fresh ones run all at once.
pub(super) fn crowd(
    mode: Mode,
    loaded: &Loaded,
    task: &Task,
    cells: usize,
    time: Duration,
) -> Result<Crowd, String> {
    let mut opened = (0..cells).map(|_| mode.open(loaded)).collect::<Result<Vec<_>, _>>()?;
    // The first call of each is to warm up.
    let mut memory = opened.iter_mut().map(|cell| cell.memory(task)).collect::<Vec<_>>();
    memory.truncate(cells);
    let began = Instant::now();
    let mut calls = 0_u64;
    while calls == 0 || began.elapsed() < time {
        calls += match mode.is_warm() {
            true => {
                for cell in &mut opened {
                    cell.complete(task)?;
                }
                cells as u64
            }
            false => all_at_once(&mut opened, &|cell| cell.complete(task).map(|()| 1))?,
        };
    }
    let call = began.elapsed().as_secs_f64() / calls as f64;
    Ok(Crowd { cells, call, memory: memory.iter().sum() })
}

/// One thread for each cell.
fn all_at_once(
    cells: &mut [Cell],
    act: &(dyn Fn(&mut Cell) -> Result<u64, String> + Sync),
) -> Result<u64, String> {
    let results: Vec<Result<u64, String>> = thread::scope(|scope| {
        let threads: Vec<_> = cells.iter_mut().map(|cell| scope.spawn(move || act(cell))).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|_| Err("a thread of the bench panicked".to_owned()))
        };
        threads.into_iter().map(join).collect()
    });
    results.into_iter().sum()
}
