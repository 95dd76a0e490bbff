//! What one call may make the host copy or go through, beyond what the reference bounds by itself.

use wasmtime_wasi::p1::types::Errno;

use super::code;

/// The longest path, as on every Linux system. The host copies it.
const LONGEST_PATH: u32 = 4096;

/// The most buffers of one call, as on every Linux system. The host goes through all of them, be they empty.
const MOST_BUFFERS: u32 = 1024;

/// Refuses paths that are longer than any file's.
pub(super) fn paths(lengths: &[i32]) -> Option<i32> {
    let is_long = lengths.iter().any(|length| length.cast_unsigned() > LONGEST_PATH);
    is_long.then_some(code(Errno::Nametoolong))
}

/// Refuses more buffers than anybody needs.
pub(super) fn buffers(counts: &[i32]) -> Option<i32> {
    let is_many = counts.iter().any(|count| count.cast_unsigned() > MOST_BUFFERS);
    is_many.then_some(code(Errno::Inval))
}
