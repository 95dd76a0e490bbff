//! The real binary, run as people run it: its exit codes, its report, its flags, its streams and its ends.

mod batches;
mod bench;
mod calls;
mod compiling;
mod diagnosis;
mod doctor;
mod exit_codes;
mod explain;
mod flags;
mod forks;
mod functions;
mod grants;
mod inputs;
mod inspect;
mod kit;
mod metrics;
mod profiles;
mod programs;
mod report_files;
mod reports;
mod running;
mod schema;
mod selftest;
mod shape;
mod stops;
mod streams;
