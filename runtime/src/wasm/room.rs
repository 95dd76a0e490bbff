//! How many guests this process can hold at once.
//!
//! Each needs several mappings of memory, and the kernel gives a process only so many. When they run out,
//! not a guest is refused but the next allocation of the host, whatever it is for, and that ends the
//! process. So mappings are counted here, and a guest that would need the last ones is refused by name.

use std::fs;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Mappings for the instance itself and around its stack.
const FOR_EACH_GUEST: u64 = 1;

/// A memory or a table: what is accessible, what is not yet, and the image that it begins with.
const FOR_EACH_MEMORY: u64 = 2;
const FOR_EACH_TABLE: u64 = 1;

/// What the kernel allows where it does not say.
const USUAL_MOST: u64 = 65_530;

/// The part of all mappings that is left to everybody else in this process: one in sixteen.
const LEFT: u64 = 16;

static TAKEN: AtomicU64 = AtomicU64::new(0);

static MOST: LazyLock<u64> = LazyLock::new(|| {
    let told = fs::read_to_string("/proc/sys/vm/max_map_count").ok();
    let most = told.and_then(|text| text.trim().parse().ok()).unwrap_or(USUAL_MOST);
    most - most / LEFT
});

/// Room for one guest. It is free again when this is dropped.
pub(super) struct Room {
    mappings: u64,
}

impl Room {
    /// Takes room for a guest with so many memories and tables, if there is some.
    pub(super) fn take((memories, tables): (usize, usize)) -> Option<Self> {
        let mappings =
            FOR_EACH_GUEST + FOR_EACH_MEMORY * memories as u64 + FOR_EACH_TABLE * tables as u64;
        let one_more = |taken| (taken + mappings <= *MOST).then_some(taken + mappings);
        TAKEN.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        Some(Self { mappings })
    }

    /// Why there is none.
    pub(super) fn why_none() -> String {
        format!(
            "this process holds as many guests as the kernel has mappings for ({} of its memory); \
             wait for one to end, or raise the sysctl vm.max_map_count",
            *MOST
        )
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        TAKEN.fetch_sub(self.mappings, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_taken_until_there_is_none_and_then_given_back() {
        let large = (1000, 1000);
        let rooms: Vec<Room> = std::iter::from_fn(|| Room::take(large)).collect();
        let each = 1 + 3 * 1000;
        assert_eq!(rooms.len() as u64, *MOST / each);
        drop(rooms);
        assert!(Room::take(large).is_some());
    }
}
