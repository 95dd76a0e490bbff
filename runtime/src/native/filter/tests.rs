//! The program against the table, and the table against what it is for.

mod documented;
mod equal;
mod named;

use std::fmt;

use libc::sock_filter;

use super::numbers::Machine;
use super::rules::{Answer, Launcher, Rulings, Terms};
use crate::permissions::{Network, Profile};

/// What the kernel shows to a filter.
#[derive(Clone, Copy)]
struct Shown {
    machine: u32,
    number: u32,
    arguments: [u64; 6],
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}: call {} of {:x?}", self.machine, self.number, self.arguments)
    }
}

impl Shown {
    fn word(&self, offset: u32) -> u32 {
        match offset {
            0 => self.number,
            4 => self.machine,
            16..64 if offset.is_multiple_of(4) => {
                let argument = self.arguments[(offset as usize - 16) / 8];
                if offset.is_multiple_of(8) { argument as u32 } else { (argument >> 32) as u32 }
            }
            other => panic!("the filter reads at {other}"),
        }
    }
}

/// Runs a program of classic BPF, as the kernel does, and counts what it takes.
fn run(program: &[sock_filter], shown: &Shown) -> (u32, usize) {
    let (mut at, mut accumulator, mut steps) = (0, 0, 0);
    loop {
        let it: &sock_filter = &program[at];
        (at, steps) = (at + 1, steps + 1);
        let mut jump = |passes: bool| at += usize::from(if passes { it.jt } else { it.jf });
        match u32::from(it.code) {
            0x20 => accumulator = shown.word(it.k),
            0x54 => accumulator &= it.k,
            0x05 => at += it.k as usize,
            0x15 => jump(accumulator == it.k),
            0x35 => jump(accumulator >= it.k),
            0x06 => return (it.k, steps),
            other => panic!("{other:#x} is no instruction of ours"),
        }
    }
}

fn answer(value: u32) -> Answer {
    match value & 0xffff_0000 {
        0x7fff_0000 => Answer::Allow,
        0x0005_0000 => Answer::Fail((value & 0xffff) as i32),
        0x8000_0000 => Answer::Kill,
        0x7ff0_0000 => Answer::Trace,
        other => panic!("{other:#x} is no answer of ours"),
    }
}

const MACHINES: [Machine; 2] = [Machine::X86_64, Machine::Aarch64];

const LAUNCHERS: [Launcher; 4] = [
    Launcher::Outside,
    Launcher::Inside { traced: false, forks: false },
    Launcher::Inside { traced: true, forks: false },
    Launcher::Inside { traced: true, forks: true },
];

fn all_terms() -> impl Iterator<Item = Terms> {
    Profile::ALL.into_iter().flat_map(|profile| {
        [Network::None, Network::Host]
            .into_iter()
            .flat_map(move |net| LAUNCHERS.map(|launcher| (net, launcher)))
            .flat_map(move |(net, launcher)| {
                [true, false].map(|both| {
                    let (is_counted, has_files) = (both, both);
                    Terms { profile, net, launcher, is_counted, has_files }
                })
            })
    })
}

fn plain(profile: Profile) -> Terms {
    let (net, launcher) = (Network::None, Launcher::Outside);
    Terms { profile, net, launcher, is_counted: true, has_files: true }
}

/// What a call gets by its name.
fn asked(machine: Machine, terms: Terms, name: &str, arguments: [u64; 6]) -> Answer {
    let number = machine.calls().find(|(_, known)| *known == name).map(|(number, _)| number);
    Rulings::new(machine, terms).answer(number.expect(name), &arguments)
}
