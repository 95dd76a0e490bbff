//! Where in a program, of which nothing has run yet, there is an instruction that calls the kernel: in the code that the kernel has
//! mapped into it. (That of the program itself may be anything.)

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;

use libc::pid_t;

/// What the kernel says to a program about itself: pairs of a key and a value.
const PAIR: usize = 2 * size_of::<u64>();

/// `syscall`.
const INSTRUCTION: [u8; 2] = [0x0f, 0x05];

/// No kernel's code for programs is longer.
const MOST: usize = 4 * 4096;

/// The address of one, if it can be had.
pub(super) fn of(pid: pid_t) -> Option<u64> {
    let words = fs::read(format!("/proc/{pid}/auxv")).ok()?;
    let base = value(&words, libc::AT_SYSINFO_EHDR)?;
    let memory = File::open(format!("/proc/{pid}/mem")).ok()?;
    let mut code = vec![0; MOST];
    // It ends somewhere: what is behind it can't be read.
    let mut count = 0;
    while let Ok(more @ 1..) = memory.read_at(&mut code[count..], base + count as u64) {
        count += more;
    }
    let at = code[..count].windows(INSTRUCTION.len()).position(|bytes| bytes == INSTRUCTION)?;
    Some(base + at as u64)
}

fn value(words: &[u8], key: u64) -> Option<u64> {
    let number = |bytes: &[u8]| bytes.try_into().map(u64::from_ne_bytes).ok();
    let pairs = words.chunks_exact(PAIR).map(|pair| pair.split_at(PAIR / 2));
    let mut found = pairs.filter(|(name, _)| number(name) == Some(key));
    found.next().and_then(|(_, value)| number(value)).filter(|value| *value != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_of_this_machine_has_one_where_it_is_said_to_be() {
        let own = std::process::id().cast_signed();
        let at = of(own).expect("there is one");
        let memory = File::open("/proc/self/mem").unwrap();
        let mut bytes = [0; INSTRUCTION.len()];
        memory.read_exact_at(&mut bytes, at).unwrap();
        assert_eq!(bytes, INSTRUCTION);
        assert_eq!(of(-1), None);
    }

    #[test]
    fn a_key_that_is_not_there_has_no_value() {
        let words: Vec<u8> = [3_u64, 7, libc::AT_SYSINFO_EHDR, 0, 0, 0]
            .iter()
            .flat_map(|word| word.to_ne_bytes())
            .collect();
        assert_eq!((value(&words, 3), value(&words, libc::AT_SYSINFO_EHDR)), (Some(7), None));
        assert_eq!(value(&words[..9], 3), None);
    }
}
