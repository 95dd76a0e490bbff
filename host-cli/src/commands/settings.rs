//! The settings of an executor, out of flags and of the file that one of them names.

use std::path::Path;

use anyhow::Context as _;
use sandtrap::ExecutorSettings;

use crate::args::{AttemptArgs, Mistake, ReuseArg};
use crate::reading;

/// What a file and flags make of settings. Flags count more than the file, and so does the number of workers if one is given.
pub(super) fn settings(
    base: ExecutorSettings,
    config: Option<&Path>,
    workers: Option<usize>,
    reuse: Option<ReuseArg>,
    retries: Option<u32>,
) -> anyhow::Result<ExecutorSettings> {
    let mut settings = base;
    if let Some(path) = config {
        settings = settings
            .with_toml_for(&reading::settings(path)?, workers)
            .map_err(|error| Mistake(format!("`{}`, {error}", path.display())))?;
    }
    match reuse {
        Some(ReuseArg::Warm) => _ = settings.pool.keep.get_or_insert_default(),
        Some(ReuseArg::Fresh) => settings.pool.keep = None,
        None => {}
    }
    if let Some(retries) = retries {
        if retries > 0 && !settings.enabled {
            return Err(fight(
                config,
                "enabled = false",
                "`--retries` needs the executor; leave one of the two out",
            ));
        }
        settings.retry.get_or_insert_default().attempts = retries.saturating_add(1);
    }
    Ok(settings)
}

/// What the executor of one task is set to, if a flag asks for one; `calls` says whether the task is a call.
pub(super) fn of_one(args: &AttemptArgs, calls: bool) -> anyhow::Result<Option<ExecutorSettings>> {
    let is_plain = args.retries.is_none() && args.config.is_none();
    if is_plain && args.reuse != Some(ReuseArg::Warm) {
        return Ok(None);
    }
    // Nothing that nobody asked for: what one task brings with it is over with it.
    let base = ExecutorSettings {
        deadline: None,
        breaker: None,
        quarantine: None,
        retry: None,
        health: None,
        ..ExecutorSettings::with_workers(1)
    };
    let config = args.config.as_deref();
    let mut settings = settings(base, config, Some(1), args.reuse, args.retries)?;
    if !settings.device.is_empty() {
        let why = "no device can be named here; leave it out, or name the device in a line of `sandtrap batch`";
        return Err(fight(config, "[device]", why));
    }
    if !calls && settings.pool.keep.is_some() {
        let why =
            "a program that is run ends with its task, and nothing of it can be kept; leave it out";
        return Err(fight(config, "keep = true", why));
    }
    if !calls && settings.pool.spares > 0 {
        let why = "a program that is run can't stand ready before its task is known; leave it out";
        return Err(fight(config, "spares", why));
    }
    if let (Some(retry), Some(retries)) = (&mut settings.retry, args.retries) {
        // A budget is for many tasks: one has what was asked for.
        retry.budget.most = retry.budget.most.max(retries);
    }
    Ok(Some(settings))
}

/// Whether crashes can be written down where that is wanted: nothing is run before that is known.
pub(super) fn check_history(settings: &ExecutorSettings) -> anyhow::Result<()> {
    let path = settings.history.as_deref().unwrap_or(Path::new(""));
    let failed = || format!("cannot write the history of crashes to `{}`", path.display());
    settings.check_history().with_context(failed)
}

fn fight(config: Option<&Path>, what: &str, why: &str) -> anyhow::Error {
    let file = config.map(|path| format!("`{}` says `{what}`, and ", path.display()));
    Mistake(file.unwrap_or_default() + why).into()
}
