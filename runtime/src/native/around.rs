//! What lies around a few addresses of a stopped tracee. Newer kernels are asked for single mappings; of others the list of all is
//! read, which takes several times as long.

use std::fs::File;

use super::mappings::{FURTHEST_FRAME, Mappings};
use super::sys;

/// A stack has a guard or two. Somebody may have put thousands there, to keep us.
const MOST_GUARDS: usize = 16;

/// One mapping, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) readable: bool,
    pub(super) writable: bool,
    pub(super) executable: bool,
    pub(super) kind: Kind,
}

/// What is mapped there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    /// The stack of the first thread.
    Stack,
    Heap,
    Other,
}

/// How a process can be asked about its mappings.
#[derive(Debug)]
pub(super) enum Around {
    Asked(File),
    Listed(Mappings),
}

impl Kind {
    pub(super) fn of(inode: u64, name: &[u8]) -> Self {
        match (inode, name) {
            (0, b"[stack]") => Self::Stack,
            (0, b"[heap]") => Self::Heap,
            (0, _) => Self::Other,
            _ => Self::File,
        }
    }
}

impl Around {
    /// Those of the process that a thread belongs to; `None` where they can't be read.
    pub(super) fn of(tid: i32) -> Option<Self> {
        let maps = File::open(format!("/proc/{tid}/maps")).ok()?;
        // It knows the question if it answers about where everything is above.
        match sys::mapping_from(&maps, 0) {
            Ok(Some(_)) => Some(Self::Asked(maps)),
            Ok(None) => None,
            Err(_) => Mappings::of(tid).map(Self::Listed),
        }
    }

    /// The mapping that an address is in, or the next one above.
    fn from(&self, address: u64) -> Option<Piece> {
        match self {
            Self::Asked(maps) => sys::mapping_from(maps, address).ok()?,
            Self::Listed(mappings) => mappings.above(address).next().map(|mapping| Piece {
                start: mapping.start,
                end: mapping.end,
                readable: mapping.readable,
                writable: mapping.writable,
                executable: mapping.executable,
                kind: Kind::of(mapping.inode, mapping.name.as_bytes()),
            }),
        }
    }

    pub(super) fn at(&self, address: u64) -> Option<Piece> {
        self.from(address).filter(|piece| piece.start <= address)
    }

    pub(super) fn is_writable(&self, address: u64) -> bool {
        self.at(address).is_some_and(|piece| piece.writable)
    }

    /// Whether an address is one that a stack gets to which runs out: the next memory above is a stack, and
    /// between them is nothing but guards and holes.
    pub(super) fn is_below_a_stack(&self, address: u64) -> bool {
        let mut next = self.from(address);
        for _ in 0..MOST_GUARDS {
            match next {
                Some(piece) if !(piece.readable || piece.writable || piece.executable) => {
                    next = self.from(piece.end);
                }
                _ => break,
            }
        }
        next.is_some_and(|next| {
            let near = next.start.saturating_sub(address) <= FURTHEST_FRAME;
            next.writable && (next.kind == Kind::Stack || near && next.kind == Kind::Other)
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::native::mappings::tests::{MAPS, parsed};

    pub(in super::super) fn listed(text: &str) -> Around {
        Around::Listed(parsed(text))
    }

    #[test]
    fn below_a_stack_is_what_nothing_but_guards_and_holes_keeps_from_it() {
        let maps = listed(MAPS);
        for (address, below) in [
            (0x7ffc_ffff_fff0, true),
            // A first stack may be far away: there is nothing else below it.
            (0x7fff_0000_0000 - (1 << 33), true),
            (0x7f00_0000_0ff0, true),
            // A frame of a megabyte in a thread.
            (0x7eff_fff0_0000, true),
            (0x7eff_0000_0000, false),
            (0x7f00_0020_0010, false),
            (0x1234, false),
            (0x4f_fff0, false),
            (0x8000_0000_0000_0000, false),
        ] {
            assert_eq!(maps.is_below_a_stack(address), below, "{address:#x}");
        }
    }

    #[test]
    fn whoever_has_put_very_many_guards_below_a_stack_has_none_that_runs_out() {
        let guards = |count: u64| -> String {
            let line = |at: u64| {
                let start = 0x7000_0000_0000 + at * 0x1000;
                format!("{start:x}-{:x} ---p 00000000 00:00 0 \n", start + 0x1000)
            };
            let stack = 0x7000_0000_0000 + count * 0x1000;
            let last = format!("{stack:x}-{:x} rw-p 00000000 00:00 0 [stack]\n", stack + 0x1000);
            (0..count).map(line).chain([last]).collect()
        };
        assert!(listed(&guards(MOST_GUARDS as u64)).is_below_a_stack(0x7000_0000_0010));
        assert!(!listed(&guards(1_000)).is_below_a_stack(0x7000_0000_0010));
    }

    #[test]
    fn whoever_is_asked_says_what_stands_in_the_list() {
        let own = std::process::id().cast_signed();
        let asked = Around::of(own).unwrap();
        let all = Around::Listed(Mappings::of(own).unwrap());
        let (in_stack, in_heap) = (0_u8, Box::new(0_u8));
        let on_heap = &raw const *in_heap as u64;
        let code = listed as fn(&str) -> Around as usize as u64;
        for address in [0, &raw const in_stack as u64, on_heap, code, u64::MAX] {
            // Its neighbours may have grown meanwhile.
            let of = |around: &Around| around.at(address).map(|piece| (piece.writable, piece.kind));
            assert_eq!(of(&asked), of(&all), "{address:#x}");
        }
        assert!(asked.is_writable(on_heap) && !asked.is_writable(code) && !asked.is_writable(0));
        assert!(asked.at(code).unwrap().executable);
        assert_eq!(asked.at(code).unwrap().kind, Kind::File);
    }
}
