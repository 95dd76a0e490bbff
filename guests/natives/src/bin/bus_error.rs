//! Dies of: a read from a mapped file beyond its end, as it has been truncated since.
//! SIGBUS (`BUS_ADRERR`) at the first byte of the mapping.
#![expect(unsafe_code, reason = "mapping a file goes through libc")]

use std::fs::File;
use std::hint::black_box;
use std::os::fd::{AsRawFd, FromRawFd};
use std::{io, ptr};

fn main() -> io::Result<()> {
    // SAFETY: the name is a C string.
    let descriptor = unsafe { libc::memfd_create(c"shrinking".as_ptr(), 0) };
    // SAFETY: the descriptor is new, and nobody else has it.
    let file = unsafe { File::from_raw_fd(descriptor) };
    file.set_len(4096)?;
    let (read, shared) = (libc::PROT_READ, libc::MAP_SHARED);
    // SAFETY: the kernel picks the place, so that nothing is overlapped.
    let page = unsafe { libc::mmap(ptr::null_mut(), 4096, read, shared, file.as_raw_fd(), 0) };
    assert_ne!(page, libc::MAP_FAILED);
    file.set_len(0)?;
    // SAFETY: none is claimed: the fault is the purpose of the file and the process is disposable.
    black_box(unsafe { page.cast::<u8>().read_volatile() });
    Ok(())
}
