//! Lives: computes what it is asked for, for some milliseconds.

use sandtrap_guest::task;
use sandtrap_kernels::KERNELS;

#[task]
fn compute(name: String) -> Option<u64> {
    KERNELS.iter().find(|(other, _)| *other == name).map(|(_, kernel)| kernel())
}

sandtrap_guest::serve!(compute);
