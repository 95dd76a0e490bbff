//! What the host offers to modules.

use std::fs;

use wasmtime::PoolingAllocationConfig;

use crate::finding::{Finding, Probe};

/// Mappings that a pool for a thousand guests may come to, and as many again for the host: the kernel's own default.
const MAPPINGS: u64 = 65_530;

const MAX_MAP_COUNT: &str = "/proc/sys/vm/max_map_count";

/// Looks at what modules run on.
pub(crate) fn probe() -> Vec<Finding> {
    vec![pagemap_scan(), swap(), max_map_count()]
}

fn pagemap_scan() -> Finding {
    match PoolingAllocationConfig::is_pagemap_scan_available() {
        true => Finding::works(Probe::PagemapScan, None),
        false => Finding::missing(Probe::PagemapScan, "the kernel has no such call"),
    }
}

fn swap() -> Finding {
    let Ok(swaps) = fs::read_to_string("/proc/swaps") else {
        return Finding::noted(Probe::Swap, "unknown: /proc/swaps cannot be read");
    };
    match swaps.lines().count().saturating_sub(1) {
        0 => Finding::works(Probe::Swap, Some("none".to_owned())),
        some => Finding::noted(Probe::Swap, format!("{some} in use")),
    }
}

fn max_map_count() -> Finding {
    let text = fs::read_to_string(MAX_MAP_COUNT).unwrap_or_default();
    let fact = text.trim().to_owned();
    match fact.parse::<u64>() {
        Ok(most) if most >= MAPPINGS => Finding::works(Probe::MaxMapCount, Some(fact)),
        Ok(_) => Finding::missing(Probe::MaxMapCount, fact),
        Err(_) => Finding::noted(Probe::MaxMapCount, "unknown"),
    }
}
