//! How modules are compiled, and where what was compiled is kept.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;
use sandtrap::{ByteSize, CompileLimits, Program, Runtime, Trust, parse_duration};

use super::limits::{size_text, time_text};
use super::values;

/// What is kept of compiled modules: some tens of programs as large as Python.
const MOST_KEPT: ByteSize = ByteSize::mib(1024);

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Compiling modules")]
pub(crate) struct CompileArgs {
    /// Whose code it is: `untrusted` is compiled in a confined process, `own` by sandtrap itself and without
    /// limits
    #[arg(long, value_name = "WHOSE", default_value = "untrusted")]
    trust: TrustArg,

    /// Time on the clock for compiling an untrusted module
    #[arg(long, value_name = "TIME", value_parser = parse_duration, allow_hyphen_values = true)]
    #[arg(default_value = time_text(CompileLimits::default().wall))]
    compile_wall: Duration,

    /// Processor time for it, of all threads together
    #[arg(long, value_name = "TIME", value_parser = parse_duration, allow_hyphen_values = true)]
    #[arg(default_value = time_text(CompileLimits::default().cpu))]
    compile_cpu: Duration,

    /// Memory for it
    #[arg(long, value_name = "SIZE", value_parser = values::size, allow_hyphen_values = true)]
    #[arg(default_value = size_text(CompileLimits::default().memory))]
    compile_memory: ByteSize,

    /// The largest module that is read, whoever's it is
    #[arg(long, value_name = "SIZE", value_parser = values::size, allow_hyphen_values = true)]
    #[arg(default_value = size_text(CompileLimits::default().module))]
    compile_input: ByteSize,

    /// The most code that comes out, and the largest file that is read of those compiled ahead
    #[arg(long, value_name = "SIZE", value_parser = values::size, allow_hyphen_values = true)]
    #[arg(default_value = size_text(CompileLimits::default().code))]
    compile_output: ByteSize,

    #[command(flatten)]
    cache: CacheArgs,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Compiling modules")]
struct CacheArgs {
    /// Where compiled modules are kept, up to 1 GiB [default: sandtrap in $XDG_CACHE_HOME or ~/.cache]
    #[arg(long, value_name = "DIR", conflicts_with = "no_cache")]
    cache: Option<PathBuf>,

    /// Keep nothing of what is compiled, and use nothing that was kept
    #[arg(long)]
    no_cache: bool,
}

/// Whose code it is, as it is called on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum TrustArg {
    Own,
    Untrusted,
}

impl CompileArgs {
    pub(crate) fn trust(&self) -> Trust {
        match self.trust {
            TrustArg::Own => Trust::Own,
            TrustArg::Untrusted => Trust::Untrusted,
        }
    }

    pub(crate) fn limits(&self) -> CompileLimits {
        CompileLimits {
            wall: self.compile_wall,
            cpu: self.compile_cpu,
            memory: self.compile_memory,
            module: self.compile_input,
            code: self.compile_output,
        }
    }

    /// Where compiled modules are kept, as a row for `--show-policy`.
    pub(crate) fn cache_row(&self) -> String {
        let directory = self.cache.cache.clone().or_else(usual_directory);
        match directory.filter(|_| !self.cache.no_cache) {
            Some(directory) => format!("{}, up to {MOST_KEPT}", directory.display()),
            None => "none".to_owned(),
        }
    }

    /// The program, compiled as these flags say.
    pub(crate) fn apply(&self, program: Program) -> Program {
        program.trust(self.trust()).compile_limits(self.limits())
    }

    /// The runtime with its cache. Without the usual directory there is none, which only costs time.
    pub(crate) fn runtime(&self) -> anyhow::Result<Runtime> {
        // One guest, then the end: a pool of places would cost more than it saves.
        self.runtime_for(0)
    }

    /// The same, with places kept ready for so many guests of modules at once.
    pub(crate) fn runtime_for(&self, guests: u32) -> anyhow::Result<Runtime> {
        let plain = || Runtime::builder().instances(guests);
        if self.cache.no_cache {
            return plain().build().context("cannot make the runtime");
        }
        if let Some(directory) = &self.cache.cache {
            let kept = plain().cache(directory, MOST_KEPT).build();
            return kept.context("--cache: name a directory of your own, or use --no-cache");
        }
        let usual = usual_directory().map(|directory| plain().cache(directory, MOST_KEPT));
        match usual.and_then(|builder| builder.build().ok()) {
            Some(runtime) => Ok(runtime),
            None => plain().build().context("cannot make the runtime"),
        }
    }
}

/// Where people expect to find what can be made again.
fn usual_directory() -> Option<PathBuf> {
    let absolute = |path: PathBuf| path.is_absolute().then_some(path);
    let given = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).and_then(absolute);
    let home = || Some(absolute(PathBuf::from(env::var_os("HOME")?))?.join(".cache"));
    Some(given.or_else(home)?.join("sandtrap"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        compile: CompileArgs,
    }

    #[test]
    fn without_flags_compiling_is_bounded_like_the_librarys_default() {
        let compile = Line::parse_from(["x"]).compile;
        assert_eq!(
            (compile.trust(), compile.limits()),
            (Trust::default(), CompileLimits::default())
        );
    }

    #[test]
    fn every_flag_reaches_its_own_place() {
        let line = "x --trust own --compile-wall 1s --compile-cpu 2s --compile-memory 3MiB \
                    --compile-input 4MiB --compile-output 5MiB";
        let compile = Line::parse_from(line.split_whitespace()).compile;
        let expected = CompileLimits {
            wall: Duration::from_secs(1),
            cpu: Duration::from_secs(2),
            memory: ByteSize::mib(3),
            module: ByteSize::mib(4),
            code: ByteSize::mib(5),
        };
        assert_eq!((compile.trust(), compile.limits()), (Trust::Own, expected));
    }
}
