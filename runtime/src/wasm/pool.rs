//! Where the memory of instances comes from: out of a pool that is reserved once, or from the system.
//!
//! A place in the pool keeps what its last guest's module looked like at the start, so the next guest of
//! that module finds it ready, and only the pages that were written are set back. Which ones were, the
//! kernel knows; without its help all that is kept would have to be written anew, so then nothing is kept.

use std::fs;

use wasmtime::{Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::compiler::Kind;
use super::shape::Shape;

/// Where the memory of an engine's instances comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Memory {
    /// From the system, each time. Right for a single run, and for modules no pool is made for.
    OnDemand,
    /// Out of a pool with so many places.
    Pool(u32),
}

/// Elements of a table in the pool. Compilers make one for each function whose address is taken.
const MOST_ELEMENTS: usize = 100_000;

/// Bytes the engine keeps for one instance, its functions' addresses above all.
const MOST_FOR_ONE: usize = 16 << 20;

/// How many places stay ready for the module that was there last, and how many bytes each of them may keep
/// resident: together they are what a pool costs when nobody runs.
const MOST_READY: u32 = 64;
const MOST_KEPT: usize = 2 << 20;

impl Memory {
    /// The memory for what was compiled, if `places` guests are to find room in a pool. Components have none
    /// there.
    pub(super) fn fit_for(kind: &Kind, places: u32) -> Self {
        match kind {
            Kind::Module(shape) if places > 0 && fits(shape) => Self::Pool(places),
            Kind::Module(_) | Kind::Component(_) => Self::OnDemand,
        }
    }
}

/// Whether a module is like those that compilers make: a place in the pool is as large as such a one needs.
fn fits(shape: &Shape) -> bool {
    shape.memories <= 1
        && shape.tables <= 1
        && shape.most_elements <= MOST_ELEMENTS as u64
        && !shape.needs_heap
        && !shape.is_unusual
}

/// How the engine is told.
pub(super) fn strategy(memory: Memory) -> InstanceAllocationStrategy {
    match memory {
        Memory::OnDemand => InstanceAllocationStrategy::OnDemand,
        Memory::Pool(places) => InstanceAllocationStrategy::Pooling(pool(places)),
    }
}

fn pool(places: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::default();
    pool.total_core_instances(places)
        .total_component_instances(places)
        .total_memories(places)
        .total_tables(places)
        .total_stacks(places)
        // A guest with a heap is run elsewhere: its heap would take the place of a memory.
        .total_gc_heaps(0)
        .max_unused_warm_slots(places.min(MOST_READY))
        .max_core_instance_size(MOST_FOR_ONE)
        .max_component_instance_size(MOST_FOR_ONE)
        .table_elements(MOST_ELEMENTS);
    if knows_written_pages() {
        pool.pagemap_scan(Enabled::Yes)
            .linear_memory_keep_resident(MOST_KEPT)
            .table_keep_resident(MOST_ELEMENTS * size_of::<usize>());
    }
    pool
}

/// Whether the kernel can say which pages a guest has written, and all of them: those that were swapped out
/// it leaves out, and the next guest would find them as they were. So not on a host with swap.
fn knows_written_pages() -> bool {
    let swaps = fs::read_to_string("/proc/swaps");
    let has_no_swap = swaps.is_ok_and(|swaps| swaps.lines().count() <= 1);
    has_no_swap && PoolingAllocationConfig::is_pagemap_scan_available()
}
