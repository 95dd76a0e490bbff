//! Where a thread stands that panics, for a host that asked: addresses of the program's file, which the host gives names.
//!
//! That is the moment at which a guest has the least to spare. So nothing is allocated, no file is read and no name is looked
//! up here: the addresses go into a table on the stack, by the unwinder that runs next anyway.
#![expect(unsafe_code, reason = "the unwinder and the list of what is loaded speak C")]

use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering};

use sandtrap_protocol::{BACKTRACE_VARIABLE, FromGuest};

use crate::testify;

/// The innermost ones. With its head the frame is small enough to be sent in one call of the system.
const MOST_ADDRESSES: usize = 120;
const WORD: usize = size_of::<u64>();

/// What the unwinder is answered: as many other answers end it.
const GO_ON: c_int = 0;
const STOP: c_int = 5;

static IS_WANTED: AtomicBool = AtomicBool::new(false);

unsafe extern "C" {
    // The standard library brings them: it unwinds by them itself.
    fn _Unwind_Backtrace(
        step: extern "C" fn(*mut c_void, *mut c_void) -> c_int,
        given: *mut c_void,
    ) -> c_int;
    fn _Unwind_GetIP(context: *mut c_void) -> usize;
}

/// The program as it lies in memory.
#[derive(Clone, Copy, Default)]
struct Image {
    /// What was added to the addresses of its file.
    bias: u64,
    end: u64,
}

struct Table {
    image: Image,
    bytes: [u8; (1 + MOST_ADDRESSES) * WORD],
    length: usize,
}

/// Hears whether the host asks. Before there is a second thread.
pub(crate) fn open() {
    if std::env::var_os(BACKTRACE_VARIABLE).is_some() {
        // SAFETY: this runs first in `main`, before there is a second thread that could read it.
        unsafe { std::env::remove_var(BACKTRACE_VARIABLE) };
        IS_WANTED.store(true, Ordering::Relaxed);
    }
}

/// Says where this thread stands, if that was asked for.
pub(crate) fn tell() {
    if !IS_WANTED.load(Ordering::Relaxed) {
        return;
    }
    let mut table = Table { image: image(), bytes: [0; _], length: 0 };
    // SAFETY: asks for a number that the kernel gave this process at its start.
    let entry = unsafe { libc::getauxval(libc::AT_ENTRY) };
    table.push(entry.wrapping_sub(table.image.bias));
    // SAFETY: `step` is called with the table, which lives until this returns, and with contexts that the unwinder owns.
    unsafe { _Unwind_Backtrace(step, (&raw mut table).cast()) };
    testify::say_value(&FromGuest::Stack, &table.bytes[..table.length]);
}

extern "C" fn step(context: *mut c_void, table: *mut c_void) -> c_int {
    // SAFETY: the unwinder calls this with one of its contexts, while that is valid.
    let address = unsafe { _Unwind_GetIP(context) } as u64;
    // SAFETY: it passes on what `tell` gave it: its table, which nobody else looks at meanwhile.
    let table = unsafe { &mut *table.cast::<Table>() };
    // What is not the program's own (a library's, say) would need a file of its own to be looked up in.
    let is_own = (table.image.bias..table.image.end).contains(&address);
    if is_own && !table.push(address - table.image.bias) { STOP } else { GO_ON }
}

impl Table {
    /// Says whether there was room.
    fn push(&mut self, word: u64) -> bool {
        let Some(place) = self.bytes.get_mut(self.length..self.length + WORD) else { return false };
        place.copy_from_slice(&word.to_le_bytes());
        self.length += WORD;
        true
    }
}

fn image() -> Image {
    let mut image = Image::default();
    // SAFETY: `first` is called with the image, which lives until this returns, and with a description that is valid
    // during the call.
    unsafe { libc::dl_iterate_phdr(Some(first), (&raw mut image).cast()) };
    image
}

/// The program itself comes first, and nothing else is wanted.
unsafe extern "C" fn first(
    loaded: *mut libc::dl_phdr_info,
    _: libc::size_t,
    image: *mut c_void,
) -> c_int {
    // SAFETY: the list hands out a valid description, for the time of this call.
    let loaded = unsafe { &*loaded };
    // SAFETY: the description says how many headers there are, and they are never unmapped.
    let headers =
        unsafe { std::slice::from_raw_parts(loaded.dlpi_phdr, usize::from(loaded.dlpi_phnum)) };
    let ends = headers.iter().filter(|header| header.p_type == libc::PT_LOAD);
    let end = ends.map(|header| header.p_vaddr + header.p_memsz).max().unwrap_or(0);
    // SAFETY: it passes on what `image` gave it: its image, which nobody else looks at meanwhile.
    let image = unsafe { &mut *image.cast::<Image>() };
    *image = Image { bias: loaded.dlpi_addr, end: loaded.dlpi_addr + end };
    1
}
