//! Accesses to memory that is not there, or not for that, and instructions without a result.

use std::arch::asm;
use std::hint::black_box;
use std::{mem, ptr, thread};

use crate::Way;

const WILD: usize = 0x4141_4141_0000;
const NONCANONICAL: usize = 0x8000_0000_0000_1000;

/// A way to die that is one instruction.
macro_rules! instruction {
    ($text:literal) => {
        // SAFETY: none is claimed: the fault is the purpose of the file, and the process is disposable.
        || unsafe { asm!($text) }
    };
}

pub(crate) const WAYS: &[Way] = &[
    ("null-read", || read(0)),
    ("null-write", || write(0)),
    ("null-field", || read(4000)),
    ("null-call", || call(0)),
    ("wild-read", || read(WILD)),
    ("wild-write", || write(WILD)),
    ("wild-call", || call(WILD)),
    ("wild-add", wild_add),
    ("wild-copy", wild_copy),
    ("wild-fill", wild_fill),
    ("noncanonical-read", || read(NONCANONICAL)),
    ("noncanonical-write", || write(NONCANONICAL)),
    ("noncanonical-call", || call(NONCANONICAL)),
    ("use-after-unmap", use_after_unmap),
    ("protected-read", || read(map(libc::PROT_NONE).addr())),
    ("write-constant", || write((&raw const CONSTANT).addr())),
    ("run-data", || call((&raw const DATA).addr())),
    ("thread-read", || drop(thread::spawn(|| read(WILD)).join())),
    ("divide-by-zero", || divide(7, 0)),
    ("overflowing-division", || divide(i64::MIN, -1)),
    ("ud2", instruction!("ud2")),
    ("ud1", instruction!(".byte 0x67, 0x0f, 0xb9, 0x40, 0x0c")),
    ("breakpoint", instruction!("int3")),
    ("undecodable", instruction!(".byte 0x06")),
    ("privileged", instruction!("cli")),
    ("halt", instruction!("hlt")),
];

static CONSTANT: [i32; 4] = [1, 2, 3, 4];
/// In `.data`; it would return at once if it were executable.
static mut DATA: [u8; 16] = [0xc3; 16];

fn at(address: usize) -> *mut i32 {
    black_box(ptr::without_provenance_mut(address))
}

fn read(address: usize) {
    // SAFETY: as above.
    black_box(unsafe { at(address).read_volatile() });
}

fn write(address: usize) {
    // SAFETY: as above.
    unsafe { at(address).write_volatile(42) };
}

fn call(address: usize) {
    // SAFETY: as above.
    let function = unsafe { mem::transmute::<*mut i32, extern "C" fn()>(at(address)) };
    function();
    black_box(());
}

fn wild_add() {
    // SAFETY: as above.
    unsafe { asm!("add dword ptr [{0}], 3", in(reg) at(WILD)) };
}

fn wild_copy() {
    let source = black_box([7_u8; 64]);
    // SAFETY: as above.
    unsafe { ptr::copy_nonoverlapping(source.as_ptr(), at(WILD).cast(), black_box(64)) };
}

fn wild_fill() {
    // SAFETY: as above.
    unsafe { ptr::write_bytes(at(WILD).cast::<u8>(), 7, black_box(4096)) };
}

fn map(protection: i32) -> *mut i32 {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: the kernel picks the place, so that nothing is overlapped.
    unsafe { libc::mmap(ptr::null_mut(), 4096, protection, flags, -1, 0).cast() }
}

fn use_after_unmap() {
    let page = map(libc::PROT_READ | libc::PROT_WRITE);
    // SAFETY: the page is ours.
    unsafe { libc::munmap(page.cast(), 4096) };
    read(page.addr());
}

/// As the hardware does it: the language would look first.
fn divide(number: i64, divisor: i64) {
    // SAFETY: as above.
    unsafe {
        asm!("cqo", "idiv {0}", in(reg) divisor, inout("rax") number => _, out("rdx") _);
    }
}
