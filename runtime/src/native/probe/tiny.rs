//! The smallest program there is: an executable of one page that ends at once, made in memory.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};

/// What it exits with if it was given no variables.
pub(super) const EXIT: i32 = 7;
/// And if it was.
pub(super) const EXIT_WITH_VARIABLES: i32 = 8;

/// Where it lies in memory: anywhere but at the bottom.
const BASE: u64 = 0x40_0000;

const FILE_HEADER: u64 = 64;
const PROGRAM_HEADER: u64 = 56;

#[cfg(target_arch = "x86_64")]
const MACHINE: u16 = 62;
/// mov rdi, [rsp]; mov rax, [rsp + rdi*8 + 16]; xor edi, edi; test rax, rax; setne dil; add edi, 7; mov eax, 60; syscall
#[cfg(target_arch = "x86_64")]
const CODE: &[u8] = &[
    0x48, 0x8b, 0x3c, 0x24, 0x48, 0x8b, 0x44, 0xfc, 0x10, 0x31, 0xff, 0x48, 0x85, 0xc0, 0x40, 0x0f,
    0x95, 0xc7, 0x83, 0xc7, 7, 0xb8, 60, 0, 0, 0, 0x0f, 0x05,
];

#[cfg(target_arch = "aarch64")]
const MACHINE: u16 = 183;
/// ldr x0, [sp]; add x1, sp, #16; ldr x1, [x1, x0, lsl #3]; cmp x1, #0; cset w0, ne; add w0, w0, #7; mov x8, #93; svc #0
#[cfg(target_arch = "aarch64")]
const CODE: &[u8] = &[
    0xe0, 0x03, 0x40, 0xf9, 0xe1, 0x43, 0x00, 0x91, 0x21, 0x78, 0x60, 0xf8, 0x3f, 0x00, 0x00, 0xf1,
    0xe0, 0x07, 0x9f, 0x1a, 0x00, 0x1c, 0x00, 0x11, 0xa8, 0x0b, 0x80, 0xd2, 1, 0, 0, 0xd4,
];

/// Makes it.
pub(crate) fn program() -> io::Result<OwnedFd> {
    // Newer kernels want to be told that it will be executed, and older ones know no such word.
    let executable = MFdFlags::MFD_CLOEXEC | MFdFlags::from_bits_retain(libc::MFD_EXEC);
    let made = match memfd_create("sandtrap-probe", executable) {
        Err(Errno::EINVAL) => memfd_create("sandtrap-probe", MFdFlags::MFD_CLOEXEC),
        other => other,
    };
    let mut file = File::from(made?);
    file.write_all(&image())?;
    // What is open for writing can't be executed.
    Ok(File::open(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file)))?.into())
}

fn image() -> Vec<u8> {
    let entry = BASE + FILE_HEADER + PROGRAM_HEADER;
    let size = FILE_HEADER + PROGRAM_HEADER + CODE.len() as u64;
    let mut bytes = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0];
    bytes.resize(16, 0);
    let half = |bytes: &mut Vec<u8>, value: u16| bytes.extend(value.to_le_bytes());
    let word = |bytes: &mut Vec<u8>, value: u32| bytes.extend(value.to_le_bytes());
    let long = |bytes: &mut Vec<u8>, value: u64| bytes.extend(value.to_le_bytes());
    half(&mut bytes, 2); // an executable
    half(&mut bytes, MACHINE);
    word(&mut bytes, 1);
    long(&mut bytes, entry);
    long(&mut bytes, FILE_HEADER); // where the program header is
    long(&mut bytes, 0); // no sections
    word(&mut bytes, 0);
    half(&mut bytes, FILE_HEADER as u16);
    half(&mut bytes, PROGRAM_HEADER as u16);
    half(&mut bytes, 1); // one program header
    for _ in 0..3 {
        half(&mut bytes, 0);
    }
    word(&mut bytes, 1); // to be loaded
    word(&mut bytes, 5); // read and execute
    long(&mut bytes, 0);
    long(&mut bytes, BASE);
    long(&mut bytes, BASE);
    long(&mut bytes, size);
    long(&mut bytes, size);
    long(&mut bytes, 4096);
    bytes.extend(CODE);
    bytes
}
