//! The suite: one binary, one module for each question.

mod backtraces;
mod chaos;
mod classify;
mod classify_native;
mod compiling;
mod confinement;
mod confusion;
mod contract;
mod crash_matrix;
mod deterministic;
mod doors;
mod executor;
mod fallbacks;
mod file_limits;
mod files;
mod hostile;
mod house_rules;
mod kept;
mod labels;
mod pool;
mod pool_walls;
mod soak;
mod specification;
mod wasi_testsuite;
