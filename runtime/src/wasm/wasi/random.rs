//! Random numbers, piece by piece: what a guest asks for at once is never all made beforehand.

use std::convert::Infallible;

use rand_core::TryRng;
use wasmtime::Trap;
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p1::types::Errno;
use wasmtime_wasi::p1::wasi_snapshot_preview1 as preview_1;
use wiggle::GuestMemory;

use super::{World, code};

/// How much is made between two looks at whether the guest is to end.
const PIECE: u32 = 64 << 10;

/// Has a guest see random numbers that come from a seed, whichever way it asks for them.
pub(super) fn make_up(context: &mut WasiCtxBuilder, seed: u64) {
    let mut seeds = Seeded(seed);
    let mut next = || Seeded(seeds.next());
    context.secure_random(next()).insecure_random(next());
    context.insecure_random_seed(u128::from(seeds.next()));
}

/// Numbers from a seed: SplitMix64, by Steele, Lea and Flood.
struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

impl TryRng for Seeded {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok((self.next() >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.next())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for piece in bytes.chunks_mut(8) {
            let number = self.next().to_le_bytes();
            piece.copy_from_slice(&number[..piece.len()]);
        }
        Ok(())
    }
}

pub(super) async fn random_get(
    world: &mut World,
    memory: &mut GuestMemory<'_>,
    buffer: i32,
    len: i32,
) -> wasmtime::Result<i32> {
    let (mut at, mut left) = (buffer.cast_unsigned(), len.cast_unsigned());
    // All of it has to be the guest's, before any of it is made.
    let GuestMemory::Unshared(bytes) = &*memory else { return Ok(code(Errno::Notsup)) };
    if u64::from(at) + u64::from(left) > bytes.len() as u64 {
        return Err(Trap::MemoryOutOfBounds.into());
    }
    loop {
        world.signal.check()?;
        let piece = left.min(PIECE);
        let said = preview_1::random_get(
            &mut *world.reference,
            memory,
            at.cast_signed(),
            piece.cast_signed(),
        )?;
        left -= piece;
        if said != code(Errno::Success) || left == 0 {
            return Ok(said);
        }
        at = at.checked_add(piece).ok_or(Trap::MemoryOutOfBounds)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_a_seed_are_those_of_the_method() {
        // The first three of seed 1234567, as the authors' own code gives them.
        let mut seeded = Seeded(1_234_567);
        let found = [seeded.next(), seeded.next(), seeded.next()];
        assert_eq!(
            found,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }
}
