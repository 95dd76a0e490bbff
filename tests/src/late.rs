//! Many workers that return much at once to a caller who reads late, and the last one first.

use std::time::Duration;

use sandtrap::{ByteSize, Limits, Order, Payload, PoolSettings, Program, Runtime, Task};

use crate::guests::Form;
use crate::soak::status_kib;

/// What there was at most, in KiB.
#[derive(Clone, Copy, Debug)]
pub struct Peak {
    /// Resident before any task began.
    pub before_kib: u64,
    /// The most that was ever resident.
    pub most_kib: u64,
    /// What all results hold together, which is the bound.
    pub results_kib: u64,
}

impl Peak {
    /// What was held besides the results.
    pub fn besides_kib(&self) -> u64 {
        self.most_kib.saturating_sub(self.before_kib + self.results_kib)
    }
}

/// Which way the results come.
#[derive(Clone, Copy, Debug)]
pub enum Over {
    /// A command pours them onto stdout.
    Stdout,
    /// A function gives them as its result.
    Channel,
}

/// Has so many workers return so many mebibytes each, and reads only when all have ended. Counts the reports that have
/// all of it, and what was held.
pub fn read_late(form: Form, over: Over, workers: usize, mib: u64) -> (usize, Peak) {
    let (more, bytes) = (ByteSize::mib(mib + 1), mib as usize * 1024 * 1024);
    let memory = ByteSize::mib(mib + 64).max(Limits::default().memory);
    // They are held up by the caller, and by each other.
    let ample = Duration::from_secs(500);
    let limits =
        Limits { wall: ample, cpu: ample, output: more, result: more, memory, ..Limits::default() };
    let (guest, task) = match over {
        Over::Stdout => ("pour", Task::command([mib.to_string()])),
        Over::Channel => ("calls", Task::invoke("makes", &bytes).expect("a number is a value")),
    };
    let program = Program::file(form.guest(guest)).within(form.wall()).limits(limits);
    let loaded = Runtime::new().expect("a runtime").load(program).expect("the guest is built");
    let pool = loaded.pool(PoolSettings::with_workers(workers));
    // What it took to compile a module is none of it. Where the kernel can't forget that, more is held against us.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let before_kib = status_kib("VmRSS:");
    let submit = |_| pool.submit(Order::new(task.clone())).expect("there is room");
    let mut tickets: Vec<_> = (0..workers).map(submit).collect();
    while !tickets.iter().all(sandtrap::Ticket::is_ready) {
        std::thread::yield_now();
    }
    let mut whole = 0;
    while let Some(ticket) = tickets.pop() {
        let output = ticket.wait().output;
        whole += usize::from(match over {
            Over::Stdout => output.stdout.is_some_and(|out| out.len() == bytes),
            Over::Channel => {
                let result = output.result.as_ref().and_then(Payload::as_bytes);
                result.is_some_and(|it| it.len() == bytes && it.iter().all(|byte| *byte == 7))
            }
        });
    }
    let results_kib = workers as u64 * mib * 1024;
    (whole, Peak { before_kib, most_kib: status_kib("VmHWM:"), results_kib })
}
