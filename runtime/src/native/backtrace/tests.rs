//! Stacks and tables that were made to mislead: every backtrace of them ends, and stays small.

use super::*;
use crate::native::mappings::tests::parsed;
use crate::native::tracing::General;

const MAPS: &str = "\
00400000-00408000 r-xp 00000000 08:01 1 /x
00600000-10600000 rw-p 00000000 00:00 0 [stack]
";

const CODE: u64 = 0x40_1000;
const HEADER: u64 = 0x40_2000;
const COMMON: u64 = 0x40_3000;
const STACK: u64 = 0x60_0000;

const STACK_POINTER: usize = if cfg!(target_arch = "x86_64") { 7 } else { 31 };
const FRAME_POINTER: usize = if cfg!(target_arch = "x86_64") { 6 } else { 29 };
const RETURN_REGISTER: u8 = if cfg!(target_arch = "x86_64") { 16 } else { 30 };

/// The pages of an image with a table of rules, whose rules for the one function are `instructions`.
fn image(instructions: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 0x8000];
    let mut put = |address: u64, what: &[u8]| {
        let at = (address - 0x40_0000) as usize;
        bytes[at..at + what.len()].copy_from_slice(what);
    };
    let word = |number: u64| number.to_le_bytes();
    put(0x40_0000, b"\x7fELF\x02\x01");
    put(0x40_0020, &word(64));
    put(0x40_0036, &[56, 0, 2, 0]);
    put(0x40_0040, &[1, 0, 0, 0]);
    put(0x40_0050, &word(0x40_0000));
    put(0x40_0078, &0x6474_e550_u32.to_le_bytes());
    put(0x40_0088, &word(HEADER));
    put(HEADER, &[1, 0x1b, 3, 0x3b, 0, 0, 0, 0, 1, 0, 0, 0]);
    let distance = |to: u64| (to.wrapping_sub(HEADER) as i32).to_le_bytes();
    put(HEADER + 12, &distance(CODE));
    let common = [&[0, 0, 0, 0, 1, 0, 1, 0x78, RETURN_REGISTER], instructions].concat();
    put(COMMON, &(common.len() as u32).to_le_bytes());
    put(COMMON + 4, &common);
    let entry = COMMON + 4 + common.len() as u64;
    put(HEADER + 16, &distance(entry));
    put(entry, &20_u32.to_le_bytes());
    put(entry + 4, &((entry + 4 - COMMON) as u32).to_le_bytes());
    put(entry + 8, &word(CODE));
    put(entry + 16, &word(0x1000));
    bytes
}

/// Goes up a stack in which `stack` says what stands where.
fn steps(image: &[u8], stack: impl Fn(u64) -> u64, frame_pointer: u64) -> Vec<Step> {
    let mappings = parsed(MAPS);
    let memory = Memory::new(|address, page| {
        if let Some(at) = address.checked_sub(STACK) {
            for (index, word) in page.chunks_exact_mut(8).enumerate() {
                word.copy_from_slice(&stack(at + index as u64 * 8).to_le_bytes());
            }
        } else {
            let at = usize::try_from(address.checked_sub(0x40_0000)?).ok()?;
            page.copy_from_slice(image.get(at..at + 4096)?);
        }
        Some(())
    });
    let mut by_number = vec![0; 32];
    by_number[STACK_POINTER] = STACK;
    by_number[FRAME_POINTER] = frame_pointer;
    let mut unwinder = Unwinder::new(&mappings, memory, |_| None);
    let general = General { instruction: CODE + 8, by_number };
    walk(&mut unwinder, Place::first(&general))
}

/// `CFA = stack pointer + 16`, and the return address below it.
fn climbing() -> Vec<u8> {
    vec![0x0c, STACK_POINTER as u8, 16, 0x80 | RETURN_REGISTER, 1]
}

pub(in crate::native) fn pseudo_random(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}

#[test]
fn rules_lead_from_frame_to_frame() {
    let stack = |at| if at == 8 { CODE + 0x20 } else { 0 };
    let found = steps(&image(&climbing()), stack, 0);
    let addresses: Vec<u64> = found.iter().map(|step| step.address).collect();
    assert_eq!(addresses, [CODE + 8, CODE + 0x20]);
    let (file, bias) = found[1].image.clone().unwrap();
    assert_eq!((file.path.to_str(), bias), (Some("/x"), 0));
}

#[test]
fn a_recursion_is_one_frame_and_has_an_end() {
    let found = steps(&image(&climbing()), |_| CODE + 0x20, 0);
    assert_eq!(found.len(), 2);
    assert_eq!(found[1].times as usize, MOST_STEPS - 1);
}

#[test]
fn frames_that_are_all_different_are_cut() {
    let found = steps(&image(&climbing()), |at| CODE + 0x10 + at % 0x800, 0);
    assert_eq!(found.len(), MOST_FRAMES);
}

#[test]
fn a_stack_that_leads_nowhere_or_back_ends_the_backtrace() {
    // `CFA = stack pointer + 0`: it stands still.
    let still = [0x0c, STACK_POINTER as u8, 0, 0x80 | RETURN_REGISTER, 1];
    // `CFA = stack pointer - 128`.
    let back = [0x12, STACK_POINTER as u8, 16, 0x80 | RETURN_REGISTER, 1];
    for instructions in [&still[..], &back[..]] {
        let found = steps(&image(instructions), |_| CODE + 0x20, 0);
        assert!(found.len() <= 2 && found.iter().all(|step| step.times <= 2), "{found:?}");
    }
    // Frame pointers that point to themselves, and to each other.
    let nothing = vec![0; 0x8000];
    for frame_pointer in [STACK + 64, STACK + 65, 0, u64::MAX - 7] {
        let stack = |at: u64| if at.is_multiple_of(16) { STACK + 64 } else { CODE + 0x20 };
        let found = steps(&nothing, stack, frame_pointer);
        assert!(found.len() <= 2, "{found:?}");
    }
}

#[test]
fn an_expression_without_end_ends() {
    // `DW_CFA_def_cfa_expression`, three bytes, of which the one instruction jumps to itself.
    let found = steps(&image(&[0x0f, 3, 0x2f, 0xfd, 0xff]), |_| CODE + 0x20, 0);
    assert_eq!(found.len(), 1);
    // The same for each of 65536 frames: a return address by an expression that counts for long.
    let counting =
        [0x0c, STACK_POINTER as u8, 16, 0x16, RETURN_REGISTER, 5, 0x0a, 0x20, 0x10, 0x2f, 0xfb];
    let found = steps(&image(&counting), |_| CODE + 0x20, 0);
    assert!(found.len() <= 2, "{found:?}");
}

#[test]
fn whatever_the_tables_and_the_stack_hold_it_ends_and_stays_small() {
    for seed in 1..3000 {
        let mut random = pseudo_random(seed);
        let instructions: Vec<u8> = (0..random() % 40).map(|_| random().to_le_bytes()[0]).collect();
        let mut bytes = image(&instructions);
        for _ in 0..random() % 30 {
            let at = [0x40, 0x78, 0x2000, 0x3000, 0x3010][random() as usize % 5] + random() % 48;
            bytes[at as usize] = random().to_le_bytes()[0];
        }
        let salt = random();
        let stack = |at: u64| match (at ^ salt) % 5 {
            0 => CODE + (at ^ salt) % 0x1000,
            1 => STACK.wrapping_add(at).wrapping_add((salt % 512) * 8),
            2 => STACK,
            3 => u64::MAX - at % 64,
            _ => at ^ salt,
        };
        let found = steps(&bytes, stack, STACK + salt % 4096);
        assert!(found.len() <= MOST_FRAMES, "{seed}");
    }
}

#[test]
fn what_a_guest_tells_is_of_its_program_only_if_that_begins_where_it_says() {
    let own = std::env::current_exe().unwrap();
    let told = Told::of(&own).unwrap();
    let steps = |entry| told.steps(&[entry, 9, 9, 9, 7]).0;
    let seen: Vec<_> =
        steps(told.entry).iter().map(|it| (it.address, it.within, it.times)).collect();
    assert_eq!(seen, [(9, 8, 3), (7, 6, 1)]);
    assert_eq!(steps(told.entry)[0].image.as_ref().unwrap().0.path, own);
    assert!(steps(told.entry + 1).is_empty() && told.steps(&[]).is_empty());
    let many: Vec<u64> = std::iter::once(told.entry).chain(0..1000).collect();
    assert_eq!(told.steps(&many).0.len(), MOST_FRAMES);
}
