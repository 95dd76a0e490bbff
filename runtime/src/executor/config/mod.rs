//! An executor's settings as a TOML file: read whole, checked whole, and printed as what holds.
//!
//! Every key is a row of the table in `keys`; the names of the crash barrier that this follows are rows of a second
//! table, with their unit in the name. A key of a part that may be left out has it there. A key that is unknown, a value of the wrong kind or unit, and two keys that
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
use keys::{ALIASES, KEYS, NOTHING_TO_SET, OLDER_NAMES};
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
    pub(super) slower_than: Duration,
    pub(super) retries: bool,
    pub(super) retry: RetrySettings,
    pub(super) quarantines: bool,
    pub(super) quarantine: QuarantineSettings,
    pub(super) hedges: bool,
    pub(super) hedge: HedgeSettings,
    pub(super) watches: bool,
    pub(super) health: HealthSettings,
}

/// What a text says: which row is set, under which name, to what, and where that stands.
struct Said {
    section: &'static str,
    key: &'static str,
    written: String,
    shown: String,
    span: Range<usize>,
}

impl Said {
    fn fault(&self, text: &str, what: &str) -> ConfigError {
        fault(text, self.span.clone(), format!("`{}` {what}", self.written))
    }

    /// Whether it leaves something out: a part, or all of them.
    fn leaves_out(&self, section: &str) -> bool {
        (self.section, self.key) == (section, "enabled") && self.shown == "false"
    }
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

    /// These settings, with what the text names changed. A part that is left out is not any more, once the text says
    /// something about it.
    pub fn with_toml(self, text: &str) -> Result<Self, ConfigError> {
        self.with_toml_for(text, None)
    }

    /// The same for so many workers, whatever the text says about them. Where it says nothing about the queue, that is as long
    /// as it is usual for their number.
    pub fn with_toml_for(self, text: &str, workers: Option<usize>) -> Result<Self, ConfigError> {
        let table = DeTable::parse(text).map_err(|error| {
            fault(text, error.span().unwrap_or_default(), error.message().to_owned())
        })?;
        let mut draft = Draft::of(self);
        let said = draft.read(text, table.get_ref())?;
        draft.switch_on(text, &said)?;
        let is_set = |key: &str| said.iter().any(|it| (it.section, it.key) == ("pool", key));
        if let Some(workers) = workers {
            draft.all.pool.workers = workers;
        }
        if (is_set("workers") || workers.is_some()) && !is_set("queue") {
            draft.all.pool.queue = draft.all.pool.workers.saturating_mul(4);
        }
        for it in &said {
            if let Some(why) = draft.idle(it.section, it.key) {
                return Err(it.fault(text, why));
            }
        }
        draft
            .check(|of| {
                let at = said.iter().find(|it| format!("{}.{}", it.section, it.key) == of);
                at.map(|it| it.span.clone()).unwrap_or_default()
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
            if draft.idle(section, key).is_some() || draft.is_off(section, key) {
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
    let older = OLDER_NAMES.iter().find(|(s, older, _)| (*s, *older) == (section, key));
    if let Some(row) = row(section, older.map_or(key, |(.., name)| name)) {
        return Ok((row, Plain::of(value)));
    }
    let alias = ALIASES.iter().find(|(name, ..)| section == "crash_barrier" && *name == key);
    let Some((_, target_section, target, is_ms)) = alias else {
        if let Some((.., why)) = NOTHING_TO_SET.iter().find(|(s, k, _)| (*s, *k) == (section, key))
        {
            return Err(format!("`{written}` {why}"));
        }
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
            slower_than: breaker.slow.map_or(Duration::from_secs(10), |slow| slow.than),
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

    /// Takes in every key that is set.
    fn read(&mut self, text: &str, table: &DeTable<'_>) -> Result<Vec<Said>, ConfigError> {
        let mut all: Vec<Said> = Vec::new();
        for (section, entries) in table {
            let name = section.get_ref().as_ref();
            let Some(entries) = entries.get_ref().as_table() else {
                let is_an_alias = ALIASES.iter().any(|(alias, ..)| *alias == name);
                let example = if is_an_alias { "[crash_barrier]" } else { "[pool]" };
                let what = format!("`{name}` belongs into a section, as in {example}");
                return Err(fault(text, section.span(), what));
            };
            let is_known = |known: &str| known == name;
            let sections = KEYS.iter().map(|(section, ..)| *section);
            if entries.is_empty() && !sections.chain(["crash_barrier"]).any(is_known) {
                return Err(fault(text, section.span(), format!("there is no section [{name}]")));
            }
            for (key, value) in entries {
                let written = format!("{name}.{}", key.get_ref());
                let (target, value_of) = find(name, key.get_ref(), value.get_ref(), &written)
                    .map_err(|what| fault(text, key.span(), what))?;
                let (section, key_of, field) = KEYS[target];
                field
                    .set(self, &value_of)
                    .map_err(|what| fault(text, value.span(), format!("`{written}` {what}")))?;
                let (shown, span) = (field.show(self), key.span());
                let it = Said { section, key: key_of, written, shown, span };
                let is_other = |other: &&Said| {
                    (other.section, other.key) == (it.section, it.key) && other.shown != it.shown
                };
                if let Some(Said { shown, span, .. }) = all.iter().find(is_other) {
                    let line = line_of(text, span.start);
                    let what = format!("says {}, and line {line} says {shown}", it.shown);
                    return Err(it.fault(text, &what));
                }
                all.push(it);
            }
        }
        Ok(all)
    }

    /// Whoever says how a part is to be wants it. If he says besides that it is to be left out, nobody knows what he means.
    fn switch_on(&mut self, text: &str, said: &[Said]) -> Result<(), ConfigError> {
        for it in said {
            let is_part = self.switch(it.section).is_some();
            let needs_all = is_part || it.section == "device" || it.key == "deadline";
            if it.leaves_out(it.section) {
                continue;
            }
            let off = said.iter().find(|other| {
                needs_all && other.leaves_out("executor") || is_part && other.leaves_out(it.section)
            });
            if let Some(off) = off {
                let (line, name) = (line_of(text, off.span.start), &off.written);
                let what = format!(
                    "has nothing to set, as line {line} says `{name} = false`; leave one of the two out"
                );
                return Err(it.fault(text, &what));
            }
            if let Some(switch) = self.switch(it.section) {
                *switch = true;
            }
        }
        Ok(())
    }

    fn finish(mut self) -> ExecutorSettings {
        let (rate, than) = (self.slow_rate, self.slower_than);
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
