//! The suite: one binary, one module for each question.

mod calls;
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
mod hooks;
mod hostile;
mod hostile_talk;
mod house_rules;
mod kept;
mod labels;
mod other_languages;
mod soak;
mod specification;
mod wasi_testsuite;
