//! The suite: one binary, one module for each question.

mod classify;
mod compiling;
mod confinement;
mod contract;
mod crash_matrix;
mod deterministic;
mod doors;
mod fallbacks;
mod file_limits;
mod files;
mod hostile;
mod house_rules;
mod kept;
mod labels;
mod limits;
mod probes;
mod soak;
mod specification;
mod wasi_testsuite;
