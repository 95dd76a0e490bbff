//! What the host keeps of a loaded module beside its code, as far as the module decides how much that is.
//!
//! The engine keeps what a module declares in the host's own memory, where no limit of a task counts it: a field of one
//! byte becomes dozens. So much as it takes at its peak, while the module is loaded, was measured for each kind of
//! declaration; the sum is bounded.

use std::io::BufRead;

use wasmparser::{CompositeInnerType, SubType};

use super::Early;

/// The most of a module or component: a host shall not grow by more than 32 MiB because it looked at what somebody sent
/// it. Python takes two at the most, a component of it nine.
const MOST: u64 = 30 << 20;

/// A type in the module and in the engine's list of all types, with all types above it.
const TYPE: u64 = 900;

/// One parameter, result or field of a type.
const VALUE: u64 = 72;

/// An import with its two names, and each byte of them.
const IMPORT: u64 = 256;
const IMPORT_BYTE: u64 = 4;

/// An export with its name, and each byte of that.
const EXPORT: u64 = 128;
const EXPORT_BYTE: u64 = 2;

/// A function, besides its code.
const FUNCTION: u64 = 48;

/// A global; what it begins with is computed when it is compiled.
const GLOBAL: u64 = 100;

/// An entry of a list of functions.
const ELEMENT: u64 = 38;

/// A piece of data; the data itself lies in a file that is mapped.
const SEGMENT: u64 = 40;

/// A byte of what a component declares beside its modules: types, names, and what is passed to whom.
const COMPONENT_BYTE: u64 = 64;

/// Bytes that the host will keep.
#[derive(Default)]
pub(super) struct Kept(u64);

impl Kept {
    fn add(&mut self, count: impl Into<u64>, each: u64) -> Result<(), Early> {
        self.0 = self.0.saturating_add(count.into().saturating_mul(each));
        if self.0 <= MOST {
            return Ok(());
        }
        let most = MOST >> 20;
        Err(Early::TooMuch(format!(
            "declarations (types, names, lists of functions) for which its host would keep more than {most} MiB"
        )))
    }

    pub(super) fn a_type(&mut self, ty: &SubType) -> Result<(), Early> {
        let values = match &ty.composite_type.inner {
            CompositeInnerType::Func(function) => {
                function.params().len() + function.results().len()
            }
            CompositeInnerType::Struct(fields) => fields.fields.len(),
            CompositeInnerType::Array(_) | CompositeInnerType::Cont(_) => 1,
        };
        self.add(1_u32, TYPE)?;
        self.add(values as u64, VALUE)
    }

    pub(super) fn imports(&mut self, count: u32, bytes: u32) -> Result<(), Early> {
        self.add(count, IMPORT)?;
        self.add(bytes, IMPORT_BYTE)
    }

    pub(super) fn exports(&mut self, count: u32, bytes: u32) -> Result<(), Early> {
        self.add(count, EXPORT)?;
        self.add(bytes, EXPORT_BYTE)
    }

    pub(super) fn functions(&mut self, count: u32) -> Result<(), Early> {
        self.add(count, FUNCTION)
    }

    pub(super) fn globals(&mut self, count: u32) -> Result<(), Early> {
        self.add(count, GLOBAL)
    }

    pub(super) fn data_segments(&mut self, count: u32) -> Result<(), Early> {
        self.add(count, SEGMENT)
    }

    pub(super) fn component(&mut self, bytes: u32) -> Result<(), Early> {
        self.add(bytes, COMPONENT_BYTE)
    }

    /// Each entry is a number, whose last byte alone has no highest bit. What stands between the entries is counted as
    /// some more of them.
    pub(super) fn elements(&mut self, section: &mut dyn BufRead) -> Result<(), Early> {
        loop {
            let bytes = section.fill_buf()?;
            if bytes.is_empty() {
                return Ok(());
            }
            let (length, ends) = (bytes.len(), bytes.iter().filter(|byte| **byte < 0x80).count());
            section.consume(length);
            self.add(ends as u64, ELEMENT)?;
        }
    }
}
