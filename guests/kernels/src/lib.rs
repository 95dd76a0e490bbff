//! Work that keeps a processor busy for some milliseconds: the same source behind both walls, and behind none.
//! Each gives a number that depends on all of it.

mod json;
mod pattern;

use std::hint::black_box;

/// One kind of work.
pub type Kernel = fn() -> u64;

/// All of them, by name.
pub const KERNELS: [(&str, Kernel); 8] = [
    ("hash", hash),
    ("sha256", sha256),
    ("sieve", sieve),
    ("matmul", matmul),
    ("recursion", recursion),
    ("sort", sort),
    ("json", json_text),
    ("regex", regular_expression),
];

/// Numbers that look random and are always the same.
fn numbers(count: usize) -> impl Iterator<Item = u64> {
    let next = |state: &u64| {
        let mut next = *state;
        next ^= next << 13;
        next ^= next >> 7;
        next ^= next << 17;
        Some(next)
    };
    std::iter::successors(Some(0x9e37_79b9_7f4a_7c15), next).take(count)
}

/// Multiplications of 64 bits, one after another.
pub fn hash() -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in 0..black_box(2_000_000_u64) {
        hash = (hash ^ (byte & 0xff)).wrapping_mul(0x0100_0000_01b3);
    }
    hash
}

/// The digest of a quarter of a mebibyte, byte for byte as the standard says it.
pub fn sha256() -> u64 {
    let data: Vec<u8> = numbers(32 * 1024).flat_map(u64::to_le_bytes).collect();
    let mut state = SHA_START;
    for block in black_box(&data).chunks_exact(64) {
        compress(&mut state, block);
    }
    u64::from(state[0]) << 32 | u64::from(state[7])
}

const SHA_START: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// The first 32 bits of the fractional parts of the cube roots of the first 64 primes.
fn round_constants() -> [u32; 64] {
    let is_prime = |n: &u32| (2..*n).take_while(|d| d * d <= *n).all(|d| !n.is_multiple_of(d));
    let mut constants = [0; 64];
    for (constant, prime) in constants.iter_mut().zip((2..).filter(is_prime)) {
        *constant = (f64::from(prime).cbrt().fract() * 4_294_967_296.0) as u32;
    }
    constants
}

fn compress(state: &mut [u32; 8], block: &[u8]) {
    thread_local!(static CONSTANTS: [u32; 64] = round_constants());
    let mut words = [0_u32; 64];
    for (word, bytes) in words.iter_mut().zip(block.chunks_exact(4)) {
        *word = bytes.iter().fold(0, |word, byte| word << 8 | u32::from(*byte));
    }
    for at in 16..64 {
        let (a, b) = (words[at - 15], words[at - 2]);
        let small = a.rotate_right(7) ^ a.rotate_right(18) ^ (a >> 3);
        let large = b.rotate_right(17) ^ b.rotate_right(19) ^ (b >> 10);
        words[at] =
            words[at - 16].wrapping_add(small).wrapping_add(words[at - 7]).wrapping_add(large);
    }
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
    CONSTANTS.with(|constants| {
        for (word, constant) in words.iter().zip(constants) {
            let large = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
            let choice = (e & f) ^ (!e & g);
            let one = [large, choice, *constant, *word].into_iter().fold(h, u32::wrapping_add);
            let small = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
            let two = small.wrapping_add((a & b) ^ (a & c) ^ (b & c));
            (h, g, f, e, d, c, b, a) =
                (g, f, e, d.wrapping_add(one), c, b, a, one.wrapping_add(two));
        }
    });
    for (sum, part) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
        *sum = sum.wrapping_add(part);
    }
}

/// The primes below two millions.
pub fn sieve() -> u64 {
    let mut is_prime = vec![true; black_box(2_000_000)];
    for n in 2..1_500 {
        if is_prime[n] {
            is_prime.iter_mut().skip(n * n).step_by(n).for_each(|at| *at = false);
        }
    }
    is_prime.iter().skip(2).filter(|at| **at).count() as u64
}

/// Two matrices of single floats.
pub fn matmul() -> u64 {
    const SIDE: usize = 160;
    let matrix = |seed: usize| -> Vec<f32> {
        (0..SIDE * SIDE).map(|at| ((at * seed) % 17) as f32).collect()
    };
    let (one, two) = (black_box(matrix(3)), black_box(matrix(5)));
    let mut product = vec![0.0_f32; SIDE * SIDE];
    for row in 0..SIDE {
        for at in 0..SIDE {
            let factor = one[row * SIDE + at];
            for column in 0..SIDE {
                product[row * SIDE + column] += factor * two[at * SIDE + column];
            }
        }
    }
    product.iter().map(|value| *value as u64).sum()
}

/// Calls, and nothing else.
pub fn recursion() -> u64 {
    fn fibonacci(n: u32) -> u64 {
        if n < 2 { u64::from(n) } else { fibonacci(n - 1) + fibonacci(n - 2) }
    }
    fibonacci(black_box(27))
}

/// A hundred thousand numbers in order.
pub fn sort() -> u64 {
    let mut all: Vec<u64> = numbers(black_box(100_000)).collect();
    all.sort();
    all[all.len() / 2]
}

/// A document of JSON, written and read again.
pub fn json_text() -> u64 {
    let text = json::document(numbers(black_box(4_000)));
    json::sum(text.as_bytes()).unwrap_or(0) ^ text.len() as u64
}

/// Dates in a long text.
pub fn regular_expression() -> u64 {
    let text: String = numbers(black_box(4_000))
        .map(|n| format!("on {}-{:02}-{:02} came {n}; ", 1900 + n % 200, 1 + n % 12, 1 + n % 28))
        .collect();
    pattern::count(black_box(r"\d\d\d\d-\d\d-\d*1 c[a-o]*me"), &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_the_standards() {
        // The one block of "abc", padded as the standard says.
        let mut block = [0_u8; 64];
        block[..4].copy_from_slice(b"abc\x80");
        block[63] = 24;
        let mut state = SHA_START;
        compress(&mut state, &block);
        assert_eq!((state[0], state[7]), (0xba78_16bf, 0xf200_15ad));
    }

    #[test]
    fn every_kernel_gives_a_number_that_is_always_the_same() {
        assert_eq!((sieve(), recursion()), (148_933, 196_418));
        for (name, kernel) in KERNELS {
            assert!(kernel() > 0 && kernel() == kernel(), "{name}");
        }
    }
}
