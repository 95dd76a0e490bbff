//! An executor's settings as a TOML file: read whole, checked whole, and printed as what holds.
//!
//! Every key is a row of the table in `keys`; the names of the crash barrier that this follows are rows of a second
//! table, with their unit in the name. A key that is unknown, a value of the wrong kind or unit, and two keys that
//! contradict each other are errors, each with its line. Nothing is ignored.

mod keys;
mod values;

use std::fmt::Write as _;
use std::ops::Range;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use crate::policy::breaker::{BreakerSettings, SlowCalls};
use crate::policy::health::HealthSettings;
use crate::policy::hedge::HedgeSettings;
use crate::policy::quarantine::QuarantineSettings;
use crate::policy::restart::OnExcess;
use crate::policy::retry::RetrySettings;
use crate::policy::window::Span;
use crate::reuse::Reuse;

use super::settings::ExecutorSettings;
use keys::{ALIASES, KEYS};
use values::Plain;

/// A settings file that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct ConfigError {
    line: usize,
    what: String,
}

impl ConfigError {
    /// The line, from 1.
    pub fn line(&self) -> usize {
        self.line
    }
}

/// The settings with nothing optional in them: each key has one place here.
pub(super) struct Draft {
    pub(super) all: ExecutorSettings,
    pub(super) keeps: bool,
    pub(super) keep: Reuse,
    pub(super) stops: bool,
    pub(super) slow_restart: Duration,
    pub(super) breaks: bool,
    pub(super) breaker: BreakerSettings,
    pub(super) window: Duration,
    pub(super) window_calls: Option<u32>,
    pub(super) slow_rate: Option<u32>,
    pub(super) slow_than: Duration,
    pub(super) retries: bool,
    pub(super) retry: RetrySettings,
    pub(super) quarantines: bool,
    pub(super) quarantine: QuarantineSettings,
    pub(super) hedges: bool,
    pub(super) hedge: HedgeSettings,
    pub(super) watches: bool,
    pub(super) health: HealthSettings,
}

impl ExecutorSettings {
    /// Reads settings; what the text doesn't name stays as it is usual.
    ///
    /// ```
    /// use sandtrap::ExecutorSettings;
    ///
    /// let settings = ExecutorSettings::from_toml("[breaker]\nfailures = 3\nopen_for = \"10s\"")?;
    /// assert_eq!(settings.breaker.unwrap().failures, 3);
    /// let error = ExecutorSettings::from_toml("[retry]\nfirst = 100").unwrap_err();
    /// assert!(error.to_string().starts_with("line 2: `retry.first` is a time"));
    /// # Ok::<(), sandtrap::ConfigError>(())
    /// ```
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        Self::default().with_toml(text)
    }

    /// These settings, with what the text names changed.
    pub fn with_toml(self, text: &str) -> Result<Self, ConfigError> {
        let table = DeTable::parse(text).map_err(|error| {
            fault(text, error.span().unwrap_or_default(), error.message().to_owned())
        })?;
        let mut draft = Draft::of(self);
        // Which key was set, by its own name or by another one, and where.
        let mut seen: Vec<(&str, &str, String, Range<usize>)> = Vec::new();
        for (section, entries) in table.get_ref() {
            let name = section.get_ref().as_ref();
            let Some(entries) = entries.get_ref().as_table() else {
                let what = format!("`{name}` belongs into a section, as in [pool]");
                return Err(fault(text, section.span(), what));
            };
            for (key, value) in entries {
                let written = format!("{name}.{}", key.get_ref());
                let (target, value_of) = find(name, key.get_ref(), value.get_ref(), &written)
                    .map_err(|what| fault(text, key.span(), what))?;
                let (section, own, field) = KEYS[target];
                field
                    .set(&mut draft, &value_of)
                    .map_err(|what| fault(text, value.span(), format!("`{written}` {what}")))?;
                let now = field.show(&mut draft);
                let clash = seen
                    .iter()
                    .find(|(s, o, before, _)| (*s, *o) == (section, own) && *before != now);
                if let Some((.., before, at)) = clash {
                    let line = line_of(text, at.start);
                    let what = format!("`{written}` says {now}, and line {line} says {before}");
                    return Err(fault(text, key.span(), what));
                }
                seen.push((section, own, now, key.span()));
            }
        }
        let is_set =
            |key: &str| seen.iter().any(|(section, own, ..)| (*section, *own) == ("pool", key));
        if is_set("workers") && !is_set("queue") {
            draft.all.pool.queue = draft.all.pool.workers.saturating_mul(4);
        }
        for (section, own, _, span) in &seen {
            if let Some(why) = draft.idle(section, own) {
                return Err(fault(text, span.clone(), format!("`{section}.{own}` {why}")));
            }
        }
        draft
            .check(|of| {
                let at = seen.iter().find(|(section, own, ..)| format!("{section}.{own}") == of);
                at.map(|(.., span)| span.clone()).unwrap_or_default()
            })
            .map_err(|(span, what)| fault(text, span, what))?;
        Ok(draft.finish())
    }

    /// Everything that holds, in the form in which it is read. What is left out or has no meaning as things are set is
    /// not in it.
    pub fn to_toml(&self) -> String {
        let mut draft = Draft::of(self.clone());
        let (mut text, mut last) = (String::new(), "");
        for (section, key, field) in KEYS {
            if draft.idle(section, key).is_some() || (draft.is_off(section) && *key != "enabled") {
                continue;
            }
            if *section != last {
                let blank = if text.is_empty() { "" } else { "\n" };
                // Writing into a string can't fail.
                let _ = writeln!(text, "{blank}[{section}]");
                last = section;
            }
            let _ = writeln!(text, "{key} = {}", field.show(&mut draft));
        }
        text
    }
}

/// The row of a key, and its value in the unit of that row.
fn find(
    section: &str,
    key: &str,
    value: &DeValue<'_>,
    written: &str,
) -> Result<(usize, Plain), String> {
    let row =
        |section: &str, key: &str| KEYS.iter().position(|(s, k, _)| (*s, *k) == (section, key));
    if let Some(row) = row(section, key) {
        return Ok((row, Plain::of(value)));
    }
    let alias = ALIASES.iter().find(|(name, ..)| section == "crash_barrier" && *name == key);
    let Some((_, target_section, target, is_ms)) = alias else {
        let known: Vec<&str> =
            KEYS.iter().filter(|(s, ..)| *s == section).map(|(_, k, _)| *k).collect();
        return Err(if known.is_empty() && section != "crash_barrier" {
            format!("there is no section [{section}]")
        } else if known.is_empty() {
            let names: Vec<&str> = ALIASES.iter().map(|(name, ..)| *name).collect();
            format!("`{written}` is unknown; this section has {}", names.join(", "))
        } else {
            format!("`{written}` is unknown; this section has {}", known.join(", "))
        });
    };
    let row = row(target_section, target).ok_or("this key leads nowhere")?;
    match (is_ms, Plain::of(value)) {
        (true, Plain::Integer(count)) => Ok((row, Plain::Millis(count))),
        (true, _) => Err(format!("`{written}` is a number of milliseconds, as in 100")),
        (false, Plain::Text(word)) => {
            // The crash barrier writes its words with a colon.
            Ok((row, Plain::Text(word.trim_start_matches(':').to_owned())))
        }
        (false, plain) => Ok((row, plain)),
    }
}

fn fault(text: &str, span: Range<usize>, what: String) -> ConfigError {
    ConfigError { line: line_of(text, span.start), what }
}

fn line_of(text: &str, at: usize) -> usize {
    text.get(..at).unwrap_or(text).matches('\n').count() + 1
}

impl Draft {
    fn of(all: ExecutorSettings) -> Self {
        let breaker = all.breaker.unwrap_or_default();
        let (window, window_calls) = match breaker.window {
            Span::Time(window) => (window, None),
            Span::Calls(calls) => (Duration::from_secs(30), Some(calls)),
        };
        let (stops, slow_restart) = match all.pool.restart.on_excess {
            OnExcess::Slow(apart) => (false, apart),
            OnExcess::Stop => (true, Duration::from_secs(1)),
        };
        Self {
            keeps: all.pool.keep.is_some(),
            keep: all.pool.keep.unwrap_or_default(),
            stops,
            slow_restart,
            breaks: all.breaker.is_some(),
            breaker,
            window,
            window_calls,
            slow_rate: breaker.slow.map(|slow| slow.rate),
            slow_than: breaker.slow.map_or(Duration::from_secs(10), |slow| slow.than),
            retries: all.retry.is_some(),
            retry: all.retry.unwrap_or_default(),
            quarantines: all.quarantine.is_some(),
            quarantine: all.quarantine.unwrap_or_default(),
            hedges: all.hedge.is_some(),
            hedge: all.hedge.unwrap_or_default(),
            watches: all.health.is_some(),
            health: all.health.unwrap_or_default(),
            all,
        }
    }

    fn finish(mut self) -> ExecutorSettings {
        let (rate, than) = (self.slow_rate, self.slow_than);
        self.breaker.slow = rate.map(|rate| SlowCalls { rate, than });
        self.breaker.window = self.window_calls.map_or(Span::Time(self.window), Span::Calls);
        let apart = self.slow_restart;
        self.all.pool.restart.on_excess =
            if self.stops { OnExcess::Stop } else { OnExcess::Slow(apart) };
        self.all.pool.keep = self.keeps.then_some(self.keep);
        ExecutorSettings {
            breaker: self.breaks.then_some(self.breaker),
            retry: self.retries.then_some(self.retry),
            quarantine: self.quarantines.then_some(self.quarantine),
            hedge: self.hedges.then_some(self.hedge),
            health: self.watches.then_some(self.health),
            ..self.all
        }
    }
}

#[cfg(test)]
mod tests;
