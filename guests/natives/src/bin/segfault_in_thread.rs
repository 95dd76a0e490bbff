//! Dies of: a read at an address where nothing is, in a thread other than the first.
//! SIGSEGV (`SEGV_MAPERR`) at 0x414141410000 in the thread named "crasher"; the whole process dies.
#![expect(unsafe_code, reason = "the wild read is the purpose of the file")]

use std::hint::black_box;
use std::ptr;
use std::thread;

fn crash() {
    let nowhere = ptr::without_provenance::<u32>(black_box(0x4141_4141_0000));
    // SAFETY: none is claimed: the fault is the purpose of the file and the process is disposable.
    black_box(unsafe { nowhere.read_volatile() });
}

fn main() {
    let crasher = thread::Builder::new().name("crasher".into()).spawn(crash);
    let _ = crasher.expect("a thread").join();
}
