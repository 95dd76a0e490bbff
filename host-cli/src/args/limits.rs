//! The limits of one task. The defaults are the library's own: they stand in one place only.

use std::time::Duration;

use clap::ValueEnum;
use sandtrap::{ByteSize, Cpus, Limits, OnMemoryLimit, parse_duration, show_duration};

use super::values;

/// The limits, those first that mean something behind either wall.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitArgs {
    /// Memory: of a module's memories and tables together, or of the whole process tree
    #[arg(long, value_name = "SIZE", value_parser = values::size, allow_hyphen_values = true)]
    #[arg(default_value = size_text(Limits::default().memory))]
    memory: ByteSize,

    /// What a guest meets that asks for more memory: its end, or a refusal that it may cope with
    #[arg(long, value_name = "WHAT", default_value = "trap")]
    on_memory_limit: OnMemoryLimitArg,

    /// Time on the clock, from the start to the end
    #[arg(long, value_name = "TIME", value_parser = parse_duration, allow_hyphen_values = true)]
    #[arg(default_value = time_text(Limits::default().wall))]
    wall: Duration,

    /// How long a guest may go on that was told to end: by Ctrl-C, or by who shuts sandtrap down. A function's guest is told by
    /// its channel, a process that is run by SIGTERM; a module that is run can't be told, and ends at once. A second Ctrl-C,
    /// or one after another signal, ends it at once [default: no time]
    #[arg(long, value_name = "TIME", value_parser = parse_duration, allow_hyphen_values = true)]
    grace: Option<Duration>,

    /// Processor time of all threads together
    #[arg(long, value_name = "TIME", value_parser = parse_duration, allow_hyphen_values = true)]
    #[arg(default_value = time_text(Limits::default().cpu))]
    cpu: Duration,

    /// Instructions of a module [default: not counted]
    #[arg(long, value_name = "COUNT", value_parser = values::fuel, allow_hyphen_values = true)]
    fuel: Option<u64>,

    /// Stack of the main thread
    #[arg(long, value_name = "SIZE", value_parser = values::size, allow_hyphen_values = true)]
    #[arg(default_value = size_text(Limits::default().stack))]
    stack: ByteSize,

    /// Bytes on stdout and stderr together
    #[arg(long, value_name = "SIZE", value_parser = values::size, allow_hyphen_values = true)]
    #[arg(default_value = size_text(Limits::default().output))]
    output: ByteSize,

    /// Bytes that a command may read of its stdin [default: not counted]
    #[arg(long, value_name = "SIZE", value_parser = values::size, allow_hyphen_values = true)]
    stdin_bytes: Option<ByteSize>,

    /// Bytes the guest may send back over its own channel
    #[arg(long, value_name = "SIZE", value_parser = values::size, allow_hyphen_values = true)]
    #[arg(default_value = size_text(Limits::default().result))]
    result: ByteSize,

    /// Processes alive at the same time
    #[arg(long, value_name = "COUNT", value_parser = values::count, allow_hyphen_values = true)]
    #[arg(default_value = Limits::default().processes.to_string())]
    processes: u32,

    /// Threads alive at the same time, of all processes together, the first one of each included
    #[arg(long, value_name = "COUNT", value_parser = values::count, allow_hyphen_values = true)]
    #[arg(default_value = Limits::default().threads.to_string())]
    threads: u32,

    /// Processors that a process and its tree may use at once, as in 0.5 [default: all]
    #[arg(long, value_name = "COUNT", value_parser = values::cpus, allow_hyphen_values = true)]
    cpus: Option<Cpus>,

    /// Open files of one process
    #[arg(long, value_name = "COUNT", value_parser = values::count, allow_hyphen_values = true)]
    #[arg(default_value = Limits::default().open_files.to_string())]
    open_files: u32,

    /// The largest file that may be written
    #[arg(long, value_name = "SIZE", value_parser = values::size, allow_hyphen_values = true)]
    #[arg(default_value = size_text(Limits::default().file_bytes))]
    file_bytes: ByteSize,

    /// Room in a /tmp of the guest's own (and its /dev/shm), which is there for this task and gone with it [default: there is
    /// none]
    #[arg(long, value_name = "SIZE", value_parser = values::size, allow_hyphen_values = true)]
    scratch: Option<ByteSize>,

    /// Files and folders in there
    #[arg(long, value_name = "COUNT", value_parser = values::count, allow_hyphen_values = true)]
    #[arg(requires = "scratch")]
    #[arg(default_value = Limits::default().scratch_files.to_string())]
    scratch_files: u32,
}

/// The choices, as they are called on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum OnMemoryLimitArg {
    Trap,
    Refuse,
}

impl LimitArgs {
    /// The time of grace, if it was said.
    pub(super) fn grace(&self) -> Option<Duration> {
        self.grace
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits {
            memory: self.memory,
            on_memory_limit: match self.on_memory_limit {
                OnMemoryLimitArg::Trap => OnMemoryLimit::Trap,
                OnMemoryLimitArg::Refuse => OnMemoryLimit::Refuse,
            },
            wall: self.wall,
            grace: self.grace.unwrap_or(Limits::default().grace),
            cpu: self.cpu,
            cpus: self.cpus,
            fuel: self.fuel,
            stack: self.stack,
            output: self.output,
            stdin: self.stdin_bytes,
            result: self.result,
            processes: self.processes,
            threads: self.threads,
            open_files: self.open_files,
            file_bytes: self.file_bytes,
            scratch: self.scratch.unwrap_or(Limits::default().scratch),
            scratch_files: self.scratch_files,
        }
    }
}

/// A size as one would type it.
pub(super) fn size_text(size: ByteSize) -> String {
    size.to_string().replace(' ', "")
}

/// A duration as one would type it.
pub(super) fn time_text(duration: Duration) -> String {
    show_duration(duration).replace(' ', "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        limits: LimitArgs,
    }

    #[test]
    fn without_flags_the_limits_are_the_librarys_defaults() {
        let line = Line::parse_from(["x"]);
        assert_eq!(line.limits.limits(), Limits::default());
    }

    #[test]
    fn every_flag_reaches_its_own_limit() {
        let line = "x --memory 1MiB --wall 2s --grace 1s --cpu 3s --fuel 4 --stack 5MiB --output 6MiB --stdin-bytes 14MiB \
                    --result 7MiB --processes 8 --threads 11 --open-files 9 --file-bytes 10MiB --cpus 1.5 --scratch 12MiB --scratch-files 13 --on-memory-limit refuse";
        let line = Line::parse_from(line.split_whitespace());
        let expected = Limits {
            memory: ByteSize::mib(1),
            on_memory_limit: OnMemoryLimit::Refuse,
            wall: Duration::from_secs(2),
            grace: Duration::from_secs(1),
            cpu: Duration::from_secs(3),
            cpus: Some(Cpus::thousandths(1500)),
            fuel: Some(4),
            stack: ByteSize::mib(5),
            output: ByteSize::mib(6),
            stdin: Some(ByteSize::mib(14)),
            result: ByteSize::mib(7),
            processes: 8,
            threads: 11,
            open_files: 9,
            file_bytes: ByteSize::mib(10),
            scratch: ByteSize::mib(12),
            scratch_files: 13,
        };
        assert_eq!(line.limits.limits(), expected);
    }
}
