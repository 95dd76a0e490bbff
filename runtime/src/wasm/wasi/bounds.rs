//! What one call may make the host copy or go through, beyond what the reference bounds by itself.

use wasmtime_wasi::p1::types::Errno;

use crate::evidence::Step;
use crate::isolation::LoadError;
use crate::quantity::ByteSize;

use super::code;

/// The longest path, as on every Linux system. The host copies it.
const LONGEST_PATH: u32 = 4096;

/// The most buffers of one call, as on every Linux system. The host goes through all of them, be they empty.
const MOST_BUFFERS: u32 = 1024;

/// The most bytes of arguments and variables together. The host copies all of them whenever it is asked, as
/// often as the guest likes; a system gives a process about as much.
const MOST_WORDS: usize = 2 << 20;

/// Refuses more arguments and variables than a process would get.
pub(super) fn words(args: &[String], env: &[(String, String)]) -> Result<(), LoadError> {
    let args = args.iter().map(|arg| arg.len() + 1);
    let env = env.iter().map(|(name, value)| name.len() + value.len() + 2);
    let bytes: usize = args.chain(env).sum();
    if bytes <= MOST_WORDS {
        return Ok(());
    }
    let (bytes, most) = (ByteSize::bytes(bytes as u64), ByteSize::bytes(MOST_WORDS as u64));
    let detail = format!(
        "its arguments and variables are {bytes} together, and a guest gets {most} at most; give it \
         large things to read"
    );
    Err(LoadError::at(Step::Accept, detail))
}

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
