//! How one task is begun and how often it is tried, as flags of `run` and `call`.

use std::path::PathBuf;

use clap::ValueEnum;
use sandtrap::Start;

use super::values;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Attempts")]
pub(crate) struct AttemptArgs {
    /// Try it so often again if it crashes or runs out of time: whoever asks for that says that it may be done twice. What
    /// each attempt writes passes through as it comes; the report is that of the last one, with its history [default: 0]
    #[arg(long, value_name = "COUNT", value_parser = values::count, allow_hyphen_values = true)]
    pub(crate) retries: Option<u32>,

    /// Settings of retries, breaker, quarantine and the rest, in the form of `sandtrap batch --show-config`; the task goes
    /// through an executor with one worker. Without --retries, only what never started is tried again, and functions that
    /// their guest marks [default: none of them]
    #[arg(long, value_name = "FILE.toml")]
    pub(crate) config: Option<PathBuf>,

    /// Whether a call has a guest of its own (fresh), or one that could go on with its state (warm), which pays for many
    /// calls: see `sandtrap batch --reuse warm`. A program that is run is always fresh [default: fresh]
    #[arg(long, value_name = "HOW")]
    pub(crate) reuse: Option<ReuseArg>,

    /// How a process begins: `spawn` executes it, `fork` executes it once, lets it warm up, and calls a fork of it (which
    /// pays for many calls: see `sandtrap batch --start fork`). A program that is run is always spawned
    #[arg(long, value_name = "HOW", default_value = "spawn")]
    pub(crate) start: StartArg,
}

/// How a process begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StartArg {
    Spawn,
    Fork,
}

impl StartArg {
    pub(crate) fn start(self) -> Start {
        match self {
            Self::Spawn => Start::Spawn,
            Self::Fork => Start::Fork,
        }
    }
}

/// Whose guest a call has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReuseArg {
    Fresh,
    Warm,
}

impl AttemptArgs {
    /// Whether it may be done twice.
    pub(crate) fn is_idempotent(&self) -> bool {
        self.retries.is_some_and(|retries| retries > 0)
    }

    /// What holds, as rows for `--show-policy`.
    pub(crate) fn rows(&self) -> Vec<(&'static str, String)> {
        let start = match self.start {
            StartArg::Spawn => "spawn",
            StartArg::Fork => "fork",
        };
        let reuse = match self.reuse {
            Some(ReuseArg::Warm) => "warm",
            Some(ReuseArg::Fresh) => "fresh",
            None if self.config.is_some() => "fresh, unless the settings say otherwise",
            None => "fresh",
        };
        let retries = match (self.retries, &self.config) {
            (Some(retries), _) => retries.to_string(),
            (None, Some(_)) => "as the settings say".to_owned(),
            (None, None) => "0".to_owned(),
        };
        let config = self.config.as_ref().map(|path| path.display().to_string());
        vec![
            ("start", start.to_owned()),
            ("reuse", reuse.to_owned()),
            ("retries", retries),
            ("config", config.unwrap_or_else(|| "none".to_owned())),
        ]
    }
}
