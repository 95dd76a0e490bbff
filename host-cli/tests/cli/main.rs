//! The real binary, run as people run it: its exit codes, its report, its flags, its streams and its ends.

mod attempts;
mod batch_lines;
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
mod host_dies;
mod inputs;
mod inspect;
mod isolated;
mod kit;
mod metrics;
mod otlp;
mod places;
mod profiles;
mod programs;
#[cfg(feature = "otlp")]
mod protobuf;
mod report_files;
mod reports;
mod running;
mod schema;
mod selftest;
mod settings;
mod shape;
mod stops;
mod streams;
