//! The program answers like the table, for every number and at every border of an argument.

use std::collections::BTreeSet;

use super::{MACHINES, Shown, all_terms, answer, plain, run};
use crate::native::filter::Program;
use crate::native::filter::numbers::Machine;
use crate::native::filter::rules::{Answer, Case, Rulings, Terms, Test};
use crate::permissions::Profile;

/// Values of one argument at which a test of it may turn over.
fn borders(test: &Test) -> (usize, BTreeSet<u64>) {
    const HIGH: u64 = 1 << 32;
    let around = |value: u32| {
        let value = u64::from(value);
        [value, value.wrapping_sub(1), value + 1, value | HIGH, value | (u64::MAX << 32)]
    };
    match *test {
        Test::Is(argument, value) => (argument, around(value).into()),
        Test::OneOf(argument, values) => {
            (argument, values.iter().flat_map(|value| around(*value)).collect())
        }
        Test::Bits(argument, mask, value) => {
            let bits = (0..32).map(|bit| u64::from(value ^ (1 << bit)));
            let whole =
                around(value).into_iter().chain([u64::from(mask), u64::from(!mask | value)]);
            (argument, bits.chain(whole).collect())
        }
        Test::Null(argument) => (argument, [0, 1, HIGH, 1 << 63, u64::MAX].into()),
    }
}

/// Arguments that stand on the borders of all cases: every value of each alone, and every combination of those
/// that occur in one case.
fn arguments(cases: &[&Case]) -> Vec<[u64; 6]> {
    let mut found = vec![[0; 6], [u64::MAX; 6], [1; 6]];
    for case in cases {
        let mut these = vec![[0; 6], [0x1_0000_0000; 6], [0xffff_ffff; 6]];
        for (argument, values) in case.tests.iter().map(borders) {
            these = these
                .into_iter()
                .flat_map(|set| {
                    values.iter().map(move |value| {
                        let mut set: [u64; 6] = set;
                        set[argument] = *value;
                        set
                    })
                })
                .collect();
        }
        found.extend(these);
    }
    found
}

fn numbers(machine: Machine) -> impl Iterator<Item = u32> {
    let x32 = (0..1024).map(|number| number | 0x4000_0000);
    let odd = [0x3fff_ffff, 0x4000_0000, 0x7fff_ffff, 0x8000_0000, u32::MAX - 1, u32::MAX];
    let last = machine.calls().map(|(number, _)| number + 1).max();
    (0..1024).chain(x32).chain(odd).chain(last)
}

fn check(machine: Machine, terms: Terms) {
    let rulings = Rulings::new(machine, terms);
    let program = Program::new(&rulings);
    let program = program.instructions();
    for number in numbers(machine) {
        let cases = rulings.cases().get(number as usize).map_or(&[][..], Vec::as_slice);
        for arguments in arguments(cases) {
            let shown = Shown { machine: machine.audit(), number, arguments };
            let (value, steps) = run(program, &shown);
            assert_eq!(answer(value), rulings.answer(number, &arguments), "{terms:?}: {shown:?}");
            assert!(steps < 100, "{steps} steps for {shown:?}");
        }
    }
}

#[test]
fn the_program_answers_like_the_table() {
    for machine in MACHINES {
        for terms in all_terms() {
            check(machine, terms);
        }
    }
}

/// The kernel asks both filters of a fork, and takes the stricter answer.
fn strictness(answer: Answer) -> u8 {
    match answer {
        Answer::Allow => 0,
        Answer::Trace => 1,
        Answer::Fail(_) => 2,
        Answer::Kill => 3,
    }
}

#[test]
fn the_last_filter_takes_from_a_fork_what_its_warm_guest_has_beyond_a_task() {
    for terms in all_terms().filter(|terms| terms.with_forks() != *terms) {
        let task = Rulings::new(Machine::HERE, terms);
        let warm = Rulings::new(Machine::HERE, terms.with_forks());
        let (last, mut taken) = (terms.last_filter(), BTreeSet::new());
        for number in numbers(Machine::HERE) {
            let cases = |of: &Rulings| of.cases().get(number as usize).cloned().unwrap_or_default();
            for arguments in arguments(&[cases(&warm), cases(&task)].concat()) {
                let shown = Shown { machine: Machine::HERE.audit(), number, arguments };
                let last = answer(run(last.instructions(), &shown).0);
                let first = warm.answer(number, &arguments);
                let expected = task.answer(number, &arguments);
                let both = [first, last].into_iter().max_by_key(|answer| strictness(*answer));
                assert_eq!(both, Some(expected), "{terms:?}: {shown:?}");
                if first != expected {
                    taken.extend(Machine::HERE.name(number));
                }
            }
        }
        // Without these it would be a test of nothing.
        assert!(taken.contains("unshare") && taken.contains("seccomp"), "{taken:?}");
        assert!(last.instructions().len() < 100, "{}", last.instructions().len());
    }
}

#[test]
fn other_machines_and_x32_are_deadly_whatever_is_called() {
    for machine in MACHINES {
        let program = Program::new(&Rulings::new(machine, plain(Profile::Jit)));
        // i386, arm, riscv64, the other one of ours, nonsense.
        let others = MACHINES.map(Machine::audit).into_iter().filter(|it| *it != machine.audit());
        for other in others.chain([0x4000_0003, 0x4000_0028, 0xC000_00F3, 0, u32::MAX]) {
            for number in numbers(machine) {
                let shown = Shown { machine: other, number, arguments: [0; 6] };
                assert_eq!(
                    answer(run(program.instructions(), &shown).0),
                    Answer::Kill,
                    "{shown:?}"
                );
            }
        }
    }
    let program = Program::new(&Rulings::new(Machine::X86_64, plain(Profile::Process)));
    for number in 0..1024 {
        let machine = Machine::X86_64.audit();
        let shown = Shown { machine, number: number | 0x4000_0000, arguments: [0; 6] };
        assert_eq!(answer(run(program.instructions(), &shown).0), Answer::Kill, "{shown:?}");
    }
}

#[test]
fn programs_are_short_and_every_jump_stays_inside() {
    for machine in MACHINES {
        for terms in all_terms() {
            let program = Program::new(&Rulings::new(machine, terms));
            let code = program.instructions();
            assert!(code.len() < 700, "{machine:?} {terms:?}: {}", code.len());
            for (at, it) in code.iter().enumerate() {
                let furthest = match u32::from(it.code) {
                    0x05 => it.k as usize,
                    0x15 | 0x35 => usize::from(it.jt.max(it.jf)),
                    _ => 0,
                };
                let end = usize::from(it.code != 0x06);
                assert!(at + furthest + end < code.len(), "{terms:?}: a jump at {at} leads out");
            }
        }
    }
}

#[test]
fn a_program_with_one_wrong_instruction_is_found() {
    let rulings = Rulings::new(Machine::X86_64, plain(Profile::Compute));
    let good = Program::new(&rulings).instructions().to_vec();
    let returns = |code: u16| u32::from(code) == 0x06;
    let mut unseen = 0;
    for at in (0..good.len()).filter(|at| returns(good[*at].code)) {
        let mut wrong = good.clone();
        wrong[at].k = 0x7ff0_0000;
        let differs = numbers(Machine::X86_64).any(|number| {
            let cases = rulings.cases().get(number as usize).map_or(&[][..], Vec::as_slice);
            arguments(cases).into_iter().any(|arguments| {
                let shown = Shown { machine: Machine::X86_64.audit(), number, arguments };
                answer(run(&wrong, &shown).0) != rulings.answer(number, &arguments)
            })
        });
        unseen += usize::from(!differs);
    }
    // The answer to other machines alone is not among these.
    assert_eq!(unseen, 1);
}
