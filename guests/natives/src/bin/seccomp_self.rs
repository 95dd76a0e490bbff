//! Dies of: a system call (getppid) that its own seccomp filter kills it for.
//! SIGSYS, which no handler and no tracer could have turned aside.
#![expect(unsafe_code, reason = "filters are installed through libc")]

use std::mem::offset_of;

fn instruction(code: u32, k: u32, jump_if_not: u8) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: 0, jf: jump_if_not, k }
}

fn main() {
    let number = offset_of!(libc::seccomp_data, nr) as u32;
    let getppid = libc::SYS_getppid as u32;
    let mut filter = [
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, number, 0),
        instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, getppid, 1),
        instruction(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_KILL_PROCESS, 0),
        instruction(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: plain numbers.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }, 0);
    let (set, mode) = (libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER);
    // SAFETY: the program is valid and outlives the call, which copies it.
    assert_eq!(unsafe { libc::prctl(set, mode, &raw const program) }, 0);
    // SAFETY: no conditions.
    unsafe { libc::getppid() };
}
