//! Random numbers, piece by piece: what a guest asks for at once is bounded, and never all made beforehand.

use wasmtime::Trap;
use wasmtime_wasi::p1::types::Errno;
use wasmtime_wasi::p1::wasi_snapshot_preview1 as preview_1;
use wiggle::GuestMemory;

use super::{World, code};

/// The most that one call gives.
const MOST: u32 = 64 << 20;

/// How much is made between two looks at whether the guest is to end.
const PIECE: u32 = 64 << 10;

pub(super) async fn random_get(
    world: &mut World,
    memory: &mut GuestMemory<'_>,
    buffer: i32,
    len: i32,
) -> wasmtime::Result<i32> {
    let (mut at, mut left) = (buffer.cast_unsigned(), len.cast_unsigned());
    if left > MOST {
        return Ok(code(Errno::Inval));
    }
    loop {
        world.signal.check()?;
        let piece = left.min(PIECE);
        let said = preview_1::random_get(
            &mut world.reference,
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
