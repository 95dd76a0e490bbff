//! Many workers that return much at once to a caller who reads late, and the last one first.

use sandtrap::{ByteSize, Limits, Order, PoolSettings, Program, Runtime, Task};

use crate::guests::Form;

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

/// Has so many workers return so many mebibytes each, and reads only when all have ended. Counts the reports that have
/// all of it, and what was held.
pub fn read_late(form: Form, workers: usize, mib: u64) -> (usize, Peak) {
    let limits = Limits { output: ByteSize::mib(mib + 1), ..Limits::default() };
    let program = Program::file(form.guest("pour")).within(form.wall()).limits(limits);
    let loaded = Runtime::new().expect("a runtime").load(program).expect("the guest is built");
    let pool = loaded.pool(PoolSettings::with_workers(workers));
    let before_kib = status("VmRSS:");
    let order = || Order::new(Task::command([mib.to_string()]));
    let mut tickets: Vec<_> =
        (0..workers).map(|_| pool.submit(order()).expect("there is room")).collect();
    while !tickets.iter().all(sandtrap::Ticket::is_ready) {
        std::thread::yield_now();
    }
    let (mut whole, bytes) = (0, usize::try_from(mib).unwrap_or(usize::MAX) * 1024 * 1024);
    while let Some(ticket) = tickets.pop() {
        let report = ticket.wait();
        whole += usize::from(report.output.stdout.is_some_and(|out| out.len() == bytes));
    }
    let results_kib = workers as u64 * mib * 1024;
    (whole, Peak { before_kib, most_kib: status("VmHWM:"), results_kib })
}

fn status(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
