//! Stacks that run out, and stacks that were damaged, which is not the same.

use std::arch::asm;
use std::hint::black_box;
use std::thread;

use crate::Way;

pub(crate) const WAYS: &[Way] = &[
    ("recursion", recursion),
    ("wide-recursion", wide_recursion),
    ("huge-frame-calls", huge_frame),
    ("thread-recursion", || in_thread(recursion)),
    ("thread-wide-recursion", || in_thread(wide_recursion)),
    ("lost-stack-pointer", lose_stack_pointer),
    ("smashed-return", || return_to(0x4141_4141_4141)),
    ("smashed-return-wide", || return_to(0x4141_4141_4141_4141)),
];

fn lose_stack_pointer() {
    // SAFETY: none is claimed: the fault is the purpose of the file, and the process is disposable.
    unsafe { asm!("mov rsp, {0}", "push rax", in(reg) 0x4141_4141_4140_u64) };
}

fn return_to(address: u64) {
    // SAFETY: as above.
    unsafe { asm!("push {0}", "ret", in(reg) address) };
}

fn in_thread(body: fn()) {
    let small = thread::Builder::new().stack_size(256 * 1024);
    drop(small.spawn(body).expect("a thread").join());
}

#[inline(never)]
fn descend(depth: u64) -> u64 {
    if black_box(depth) == u64::MAX {
        return 0;
    }
    black_box(descend(depth + 1))
}

#[inline(never)]
fn descend_wide(depth: u64) -> u64 {
    let frame = black_box([depth; 512]);
    if frame[0] == u64::MAX {
        return 0;
    }
    descend_wide(depth + 1) ^ black_box(&frame)[1]
}

fn recursion() {
    black_box(descend(0));
}

fn wide_recursion() {
    black_box(descend_wide(0));
}

#[inline(never)]
fn huge_frame() {
    let frame = black_box([1_u64; 3 * 1024 * 1024 / 8]);
    black_box(&frame);
}
