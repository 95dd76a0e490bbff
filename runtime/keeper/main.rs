//! The keeper: a process that stands inside a finished cage and makes each task out of itself.
//!
//! It is a program of its own, a few pages large, without a C library or a heap, carried inside the library and
//! executed from memory. It has no memory of the host's and knows nothing but its socket. The host builds the
//! cage around it (`cage/`), and each task inherits what stands: namespaces, root, filter, the lack of
//! capabilities. What is a task's own (its group, limits, descriptors, rules) is done by its child in `launch`.
//!
//! A task is not the keeper's child but its sibling: the host's watching thread is the parent of both, so it sees
//! and traces a task directly. When the host is gone the socket ends, and so does the keeper. (With words beside its name
//! this program is the [`heir`].)
//!
//! # Safety
//!
//! One thread, static buffers; every address given to the kernel is of one of them, or of the order that was just
//! read, which is not touched until its child has left this memory.
#![no_std]
#![no_main]
#![no_builtins]

mod call;
mod heir;
mod launch;
mod memory;
mod view;
mod wire;

use call::{call, exit, number};
use launch::Order;
use wire::{BOARD, Board, FIRST, Head, MOST_BYTES, SOCKET, step};

#[cfg(target_arch = "x86_64")]
core::arch::global_asm!(
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "mov rdi, rsp",
    "and rsp, -16",
    "call {begin}",
    "ud2",
    begin = sym begin,
);

#[cfg(target_arch = "aarch64")]
core::arch::global_asm!(
    ".globl _start",
    "_start:",
    "mov x29, xzr",
    "mov x0, sp",
    "bl {begin}",
    "brk 1",
    begin = sym begin,
);

#[panic_handler]
fn broken(_: &core::panic::PanicInfo<'_>) -> ! {
    exit(70)
}

/// Most orders fit in here.
const USUAL_BYTES: usize = 64 * 1024;

static mut USUAL: [u64; USUAL_BYTES / 8] = [0; USUAL_BYTES / 8];

/// The kernel has put a number there, and so many addresses of texts, of which the first is the program's name.
extern "C" fn begin(stack: *const usize) -> ! {
    // SAFETY: as said.
    let count = unsafe { *stack };
    if count > 1 {
        heir::inherit(stack.wrapping_add(2).cast(), count - 1);
    }
    keep()
}

/// Serves orders until there is nobody left to give them.
fn keep() -> ! {
    let Some(board) = open_board() else { exit(71) };
    loop {
        let Some((bytes, length)) = receive() else { exit(0) };
        match Order::read(bytes, length) {
            Some(order) => order.launch(board),
            None => launch::failed(board, step::ORDER, 7),
        }
        // SAFETY: closes what came with the order in this process's own table.
        let _ = unsafe {
            call(number::CLOSE_RANGE, [FIRST as usize, u32::MAX as usize, 0, 0, 0, 0])
        };
        if bytes as usize != (&raw mut USUAL) as usize {
            // SAFETY: it was mapped by `receive` with this length, and nobody has it any more.
            let _ = unsafe { call(number::MUNMAP, [bytes as usize, length, 0, 0, 0, 0]) };
        }
        // SAFETY: one byte of a constant.
        let told = unsafe { call(number::WRITE, [SOCKET as usize, c".".as_ptr() as usize, 1, 0, 0, 0]) };
        if told.is_err() {
            exit(0);
        }
    }
}

/// The page that the host has, too.
fn open_board() -> Option<&'static Board> {
    const READ_AND_WRITE: usize = 3;
    const SHARED: usize = 1;
    let arguments = [0, size_of::<Board>(), READ_AND_WRITE, SHARED, BOARD as usize, 0];
    // SAFETY: a new mapping wherever the kernel wants it; the host has sized and sealed the file.
    let address = unsafe { call(number::MMAP, arguments) }.ok()?;
    // SAFETY: the mapping is as large as a board, lives as long as this process, and holds atomic integers only.
    Some(unsafe { &*(address as *const Board) })
}

/// Waits for an order. Gives it whole, with its length; `None` when the host is gone or speaks nonsense.
fn receive() -> Option<(*mut u8, usize)> {
    let usual = (&raw mut USUAL).cast::<u8>();
    let mut have = first_part(usual)?;
    while have < size_of::<Head>() {
        have += more(usual.wrapping_add(have), USUAL_BYTES - have)?;
    }
    // SAFETY: the buffer is aligned to 8 and holds at least a head.
    let total = unsafe { &*usual.cast::<Head>() }.bytes as usize;
    if total < size_of::<Head>() || total > MOST_BYTES || have > total {
        return None;
    }
    let bytes = if total <= USUAL_BYTES { usual } else { mapped(usual, have, total)? };
    while have < total {
        have += more(bytes.wrapping_add(have), total - have)?;
    }
    Some((bytes, total))
}

/// The first part of an order; its descriptors take the lowest free numbers, from FIRST on.
fn first_part(buffer: *mut u8) -> Option<usize> {
    #[repr(C)]
    struct Part {
        base: *mut u8,
        length: usize,
    }
    #[repr(C)]
    struct Message {
        name: usize,
        name_length: u32,
        parts: *mut Part,
        count: usize,
        control: *mut u64,
        control_length: usize,
        flags: i32,
    }
    let mut control = [0_u64; 16];
    let mut part = Part { base: buffer, length: USUAL_BYTES };
    let mut message = Message {
        name: 0,
        name_length: 0,
        parts: &raw mut part,
        count: 1,
        control: (&raw mut control).cast(),
        control_length: size_of_val(&control),
        flags: 0,
    };
    loop {
        let address = (&raw mut message) as usize;
        // SAFETY: the message names a buffer of this length, and a buffer for the descriptors' numbers, which are
        // known without looking at it.
        match unsafe { call(number::RECVMSG, [SOCKET as usize, address, 0, 0, 0, 0]) } {
            Ok(0) => return None,
            Ok(count) => return Some(count),
            Err(4) => {}
            Err(_) => return None,
        }
    }
}

fn more(at: *mut u8, room: usize) -> Option<usize> {
    loop {
        // SAFETY: the callers have `room` bytes at `at`.
        match unsafe { call(number::READ, [SOCKET as usize, at as usize, room, 0, 0, 0]) } {
            Ok(0) => return None,
            Ok(count) => return Some(count),
            Err(4) => {}
            Err(_) => return None,
        }
    }
}

/// Room for an order that is larger than usual, with what there is of it.
fn mapped(usual: *const u8, have: usize, total: usize) -> Option<*mut u8> {
    const READ_AND_WRITE: usize = 3;
    const PRIVATE_AND_ANONYMOUS: usize = 0x22;
    let arguments = [0, total, READ_AND_WRITE, PRIVATE_AND_ANONYMOUS, usize::MAX, 0];
    // SAFETY: a new mapping of nobody's.
    let address = unsafe { call(number::MMAP, arguments) }.ok()? as *mut u8;
    // SAFETY: `have` bytes are in the usual buffer, and the new one is larger.
    unsafe { core::ptr::copy_nonoverlapping(usual, address, have) };
    Some(address)
}
