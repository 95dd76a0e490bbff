//! The table as a program of classic BPF, which the kernel runs at each system call.
//!
//! ```text
//! another machine's ABI? -> kill      x32? -> kill      binary search over ranges of numbers -> the range's answer,
//!                                                       or tests of arguments, case by case, to the first that passes
//! ```
//!
//! Jumps only lead forward, so a piece of program doesn't depend on where it stands, and pieces are put together
//! from the end.

use std::fmt;

use libc::sock_filter;

use super::rules::{Answer, Case, Rulings, Test, UNKNOWN, X32};

/// The kernel takes no longer one.
const LONGEST: usize = 4096;

const NUMBER: u32 = 0;
const MACHINE: u32 = 4;
const ARGUMENTS: u32 = 16;

const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const JUMP: u32 = libc::BPF_JMP | libc::BPF_JA;
const JUMP_IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const JUMP_IF_NOT_BELOW: u32 = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
const AND: u32 = libc::BPF_ALU | libc::BPF_AND | libc::BPF_K;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;

/// A filter that can be installed.
#[derive(Clone)]
pub(in crate::native) struct Program(Vec<sock_filter>);

impl Program {
    pub(super) fn new(rulings: &Rulings) -> Self {
        let machine = rulings.machine();
        let kill = returning(Answer::Kill);
        let mut code = vec![load(MACHINE), equal(machine.audit(), 1, 0), kill, load(NUMBER)];
        if machine.has_x32() {
            // -1 is no call of x32; it is what a tracer puts there.
            code.extend([not_below(X32, 0, 2), equal(u32::MAX, 1, 0), kill]);
        }
        code.extend(search(&ranges(rulings), u32::MAX, |ranges, _| ranges.len() / 2));
        debug_assert!(code.len() <= LONGEST);
        Self(code)
    }

    /// One that is put on over another one, which kills for every other ABI already. The kernel tries it with every number when
    /// it is put on, so each step in it is paid for hundreds of times.
    pub(super) fn over_another(rulings: &Rulings) -> Self {
        let end = rulings.cases().len() as u32;
        let code = [vec![load(NUMBER)], search(&ranges(rulings), end, middle_of_numbers)].concat();
        debug_assert!(code.len() <= LONGEST);
        Self(code)
    }

    /// Its instructions, as the kernel takes them.
    pub(in crate::native) fn instructions(&self) -> &[sock_filter] {
        &self.0
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Program({} instructions)", self.0.len())
    }
}

/// From this number on, up to the next range.
struct Range<'a> {
    first: u32,
    cases: &'a [&'static Case],
}

/// Neighbours with the same cases are one range.
fn ranges(rulings: &Rulings) -> Vec<Range<'_>> {
    let known = rulings.cases().iter().map(Vec::as_slice);
    // All that is beyond the known ones: no case at all.
    let all = (0..).zip(known.chain([&[][..]]));
    let mut ranges: Vec<Range<'_>> = Vec::new();
    for (first, cases) in all {
        if ranges.last().is_none_or(|last| last.cases != cases) {
            ranges.push(Range { first, cases });
        }
    }
    ranges
}

/// Where ranges that end at a number are divided.
type Middle = fn(&[Range<'_>], u32) -> usize;

/// Where as many numbers lie on one side as on the other, as nearly as can be.
fn middle_of_numbers(ranges: &[Range<'_>], end: u32) -> usize {
    let first = ranges.first().map_or(0, |range| range.first);
    let larger = |place: &usize| {
        let pivot = ranges[*place].first;
        (pivot - first).max(end.saturating_sub(pivot))
    };
    (1..ranges.len()).min_by_key(larger).unwrap_or(0)
}

/// With the number of the call in the accumulator.
fn search(ranges: &[Range<'_>], end: u32, middle: Middle) -> Vec<sock_filter> {
    let (below, from) = ranges.split_at(middle(ranges, end));
    let (Some(pivot), false) = (from.first(), below.is_empty()) else {
        return ranges.first().map_or_else(Vec::new, |range| leaf(range.cases));
    };
    let (below, from) = (search(below, pivot.first, middle), search(from, end, middle));
    let mut code = match u8::try_from(below.len()) {
        Ok(distance) => vec![not_below(pivot.first, distance, 0)],
        // Further than a condition can jump.
        Err(_) => {
            vec![not_below(pivot.first, 0, 1), instruction(JUMP, below.len() as u32, 0, 0)]
        }
    };
    code.extend(below);
    code.extend(from);
    code
}

/// The cases of one call. Where none passes, it is unknown.
fn leaf(cases: &[&'static Case]) -> Vec<sock_filter> {
    let mut code = Vec::new();
    for case in cases {
        code.extend(tested(case));
    }
    if cases.last().is_none_or(|last| !last.tests.is_empty()) {
        code.push(returning(UNKNOWN));
    }
    code
}

/// Returns the answer if all tests pass, and else goes on behind it.
fn tested(case: &Case) -> Vec<sock_filter> {
    let mut code = vec![returning(case.answer)];
    for test in case.tests.iter().rev() {
        let mut longer = passing(test, code.len());
        longer.extend(code);
        code = longer;
    }
    code
}

/// Goes on right behind if the test passes, and else as many instructions later.
fn passing(test: &Test, rest: usize) -> Vec<sock_filter> {
    let rest = short(rest);
    match *test {
        Test::Is(argument, value) => vec![load(low(argument)), equal(value, 0, rest)],
        Test::Bits(argument, mask, value) => {
            vec![load(low(argument)), instruction(AND, mask, 0, 0), equal(value, 0, rest)]
        }
        Test::Null(argument) => {
            vec![
                load(high(argument)),
                equal(0, 0, rest + 2),
                load(low(argument)),
                equal(0, 0, rest),
            ]
        }
        Test::OneOf(argument, values) => {
            let mut code = vec![load(low(argument))];
            for (index, value) in values.iter().enumerate() {
                let left = short(values.len() - index - 1);
                code.push(equal(*value, left, if left == 0 { rest } else { 0 }));
            }
            code
        }
    }
}

/// A distance within the cases of one call, all of which are short; a test walks every table.
fn short(distance: usize) -> u8 {
    u8::try_from(distance).unwrap_or(u8::MAX)
}

fn instruction(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code: code as u16, jt, jf, k }
}

fn load(offset: u32) -> sock_filter {
    instruction(LOAD, offset, 0, 0)
}

fn equal(value: u32, then: u8, or_else: u8) -> sock_filter {
    instruction(JUMP_IF_EQUAL, value, then, or_else)
}

fn not_below(value: u32, then: u8, or_else: u8) -> sock_filter {
    instruction(JUMP_IF_NOT_BELOW, value, then, or_else)
}

fn returning(answer: Answer) -> sock_filter {
    let value = match answer {
        Answer::Allow => libc::SECCOMP_RET_ALLOW,
        Answer::Fail(errno) => libc::SECCOMP_RET_ERRNO | errno as u32,
        Answer::Kill => libc::SECCOMP_RET_KILL_PROCESS,
        Answer::Trace => libc::SECCOMP_RET_TRACE,
    };
    instruction(RETURN, value, 0, 0)
}

/// Both machines are little-endian.
fn low(argument: usize) -> u32 {
    ARGUMENTS + 8 * argument as u32
}

fn high(argument: usize) -> u32 {
    low(argument) + 4
}
