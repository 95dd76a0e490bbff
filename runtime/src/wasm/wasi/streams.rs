//! Writing to stdout and stderr while they are what they were at the beginning: straight to the outlet.

use wasmtime_wasi::p1::types;
use wiggle::{GuestMemory, GuestPtr};

use crate::channel::Stream;

use super::World;

/// The stream that a descriptor stands for, if nobody can have changed that.
pub(super) fn untouched(world: &World, fd: i32) -> Option<Stream> {
    match fd {
        _ if !world.reference.is_untouched() => None,
        1 => Some(Stream::Stdout),
        2 => Some(Stream::Stderr),
        _ => None,
    }
}

/// Writes the first buffer that has anything in it, as the reference does.
pub(super) fn write(
    world: &World,
    memory: &mut GuestMemory<'_>,
    stream: Stream,
    (buffers, count): (i32, i32),
    size: i32,
) -> wasmtime::Result<i32> {
    let list = GuestPtr::<types::Ciovec>::new(buffers.cast_unsigned());
    let mut written = 0;
    for buffer in list.as_array(count.cast_unsigned()).iter() {
        let buffer = memory.read(buffer?)?;
        if buffer.buf_len > 0 {
            let bytes = memory.as_cow(buffer.buf.as_array(buffer.buf_len))?;
            world.outlet.write(stream, &bytes)?;
            written = buffer.buf_len;
            break;
        }
    }
    memory.write(GuestPtr::new(size.cast_unsigned()), written)?;
    Ok(0)
}
