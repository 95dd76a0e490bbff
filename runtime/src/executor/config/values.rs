//! How a value is written in a settings file, read from it, and printed.

use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

use crate::labels::Labels;
use crate::quantity::{ByteSize, parse_duration};

use super::Draft;

/// How a value is written, and where it is kept.
#[derive(Clone, Copy)]
pub(super) enum Field {
    Flag(fn(&mut Draft) -> &mut bool),
    Count(fn(&mut Draft) -> &mut u32),
    /// A number, or `false` for none.
    MaybeCount(fn(&mut Draft) -> &mut Option<u32>),
    Number(fn(&mut Draft) -> &mut usize),
    Tasks(fn(&mut Draft) -> &mut u64),
    Factor(fn(&mut Draft) -> &mut f64),
    Time(fn(&mut Draft) -> &mut Duration),
    /// A time, or `false` for none.
    MaybeTime(fn(&mut Draft) -> &mut Option<Duration>),
    Size(fn(&mut Draft) -> &mut ByteSize),
    /// A size, or `false` for none.
    MaybeSize(fn(&mut Draft) -> &mut Option<ByteSize>),
    /// The name of a file, or `false` for none.
    MaybePath(fn(&mut Draft) -> &mut Option<PathBuf>),
    Verdicts(fn(&mut Draft) -> &mut Labels),
    Texts(fn(&mut Draft) -> &mut Vec<String>),
    Codes(fn(&mut Draft) -> &mut Vec<u32>),
    /// One of these words.
    Word(&'static [&'static str], fn(&mut Draft, usize), fn(&Draft) -> usize),
}

/// A value, without the places of its parts.
pub(super) enum Plain {
    Flag(bool),
    Integer(u64),
    Millis(u64),
    Float(f64),
    Text(String),
    Texts(Vec<String>),
    Integers(Vec<u64>),
    Other,
}

impl Plain {
    pub(super) fn of(value: &DeValue<'_>) -> Self {
        match value {
            DeValue::Boolean(flag) => Self::Flag(*flag),
            DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix())
                .map_or(Self::Other, Self::Integer),
            DeValue::Float(number) => number.as_str().parse().map_or(Self::Other, Self::Float),
            DeValue::String(text) => Self::Text(text.to_string()),
            DeValue::Array(items) => {
                let texts = items.iter().map(|item| item.get_ref().as_str().map(str::to_owned));
                let integers = items.iter().map(|item| match Self::of(item.get_ref()) {
                    Self::Integer(number) => Some(number),
                    _ => None,
                });
                match (texts.collect(), integers.collect()) {
                    (Some(texts), _) => Self::Texts(texts),
                    (None, Some(integers)) => Self::Integers(integers),
                    (None, None) => Self::Other,
                }
            }
            DeValue::Datetime(_) | DeValue::Table(_) => Self::Other,
        }
    }
}

impl Field {
    pub(super) fn set(self, draft: &mut Draft, value: &Plain) -> Result<(), String> {
        match (self, value) {
            (Self::Flag(at), Plain::Flag(flag)) => *at(draft) = *flag,
            (Self::Count(at), Plain::Integer(count)) => *at(draft) = narrow(*count)?,
            (Self::MaybeCount(at), Plain::Integer(count)) => *at(draft) = Some(narrow(*count)?),
            (Self::MaybeCount(at), Plain::Flag(false)) => *at(draft) = None,
            (Self::Number(at), Plain::Integer(count)) => *at(draft) = narrow(*count)? as usize,
            (Self::Tasks(at), Plain::Integer(count)) => *at(draft) = *count,
            (Self::Factor(at), Plain::Integer(count)) => *at(draft) = *count as f64,
            (Self::Factor(at), Plain::Float(factor)) => *at(draft) = *factor,
            (Self::Time(at), Plain::Millis(count)) => *at(draft) = Duration::from_millis(*count),
            (Self::Time(at), Plain::Text(text)) => {
                *at(draft) = parse_duration(text).map_err(|error| format!("is a time: {error}"))?;
            }
            (Self::MaybeTime(at), Plain::Text(text)) => {
                let time = parse_duration(text).map_err(|error| format!("is a time: {error}"))?;
                *at(draft) = Some(time);
            }
            (Self::MaybeTime(at), Plain::Flag(false)) => *at(draft) = None,
            (Self::Size(at), Plain::Text(text)) => *at(draft) = size(text)?,
            (Self::MaybeSize(at), Plain::Text(text)) => *at(draft) = Some(size(text)?),
            (Self::MaybeSize(at), Plain::Flag(false)) => *at(draft) = None,
            (Self::MaybePath(at), Plain::Text(text)) if !text.is_empty() => {
                *at(draft) = Some(text.into());
            }
            (Self::MaybePath(at), Plain::Flag(false)) => *at(draft) = None,
            (Self::Verdicts(at), Plain::Texts(texts)) => {
                let mut labels = Labels::NONE;
                for text in texts {
                    labels = labels.and(
                        Labels::named(text)
                            .map_err(|error| format!("is a list of labels: {error}"))?,
                    );
                }
                *at(draft) = labels;
            }
            (Self::Texts(at), Plain::Texts(texts)) => {
                // It would be found in everything.
                if texts.iter().any(String::is_empty) {
                    return Err("has an empty text in it".to_owned());
                }
                at(draft).clone_from(texts);
            }
            (Self::Codes(at), Plain::Texts(none)) if none.is_empty() => at(draft).clear(),
            (Self::Codes(at), Plain::Integers(codes)) => {
                *at(draft) = codes.iter().map(|code| narrow(*code)).collect::<Result<_, _>>()?;
            }
            (Self::Word(words, set, _), Plain::Text(text)) => {
                let at = words.iter().position(|word| word == text);
                set(draft, at.ok_or_else(|| format!("is one of {}", words.join(", ")))?);
            }
            (field, _) => return Err(field.kind().to_owned()),
        }
        Ok(())
    }

    fn kind(self) -> &'static str {
        match self {
            Self::Flag(_) => "is true or false",
            Self::Count(_) | Self::Number(_) | Self::Tasks(_) => "is a number, as in 5",
            Self::MaybeCount(_) => "is a number, as in 5, or false",
            Self::Factor(_) => "is a factor, as in 2.5",
            Self::Time(_) => "is a time with a unit in quotes, as in \"250ms\" or \"5s\"",
            Self::MaybeTime(_) => "is a time with a unit in quotes, as in \"5s\", or false",
            Self::Size(_) => "is a size with a unit in quotes, as in \"64MiB\"",
            Self::MaybeSize(_) => "is a size with a unit in quotes, as in \"64MiB\", or false",
            Self::MaybePath(_) => {
                "is the name of a file in quotes, as in \"crashes.jsonl\", or false"
            }
            Self::Verdicts(_) => {
                "is a list of labels or kinds, as in [\"crashed\", \"stopped.wall-time\"]"
            }
            Self::Texts(_) => "is a list of texts, as in [\"out of memory\"]",
            Self::Codes(_) => "is a list of numbers, as in [43, 44]",
            Self::Word(..) => "is a word in quotes",
        }
    }

    pub(super) fn show(self, draft: &mut Draft) -> String {
        match self {
            Self::Flag(at) => at(draft).to_string(),
            Self::Count(at) => at(draft).to_string(),
            Self::MaybeCount(at) => at(draft).map_or("false".to_owned(), |count| count.to_string()),
            Self::Number(at) => at(draft).to_string(),
            Self::Tasks(at) => at(draft).to_string(),
            Self::Factor(at) => at(draft).to_string(),
            Self::Time(at) => time(*at(draft)),
            Self::MaybeTime(at) => at(draft).map_or("false".to_owned(), time),
            Self::Size(at) => bytes(*at(draft)),
            Self::MaybeSize(at) => at(draft).map_or("false".to_owned(), bytes),
            Self::MaybePath(at) => at(draft).as_ref().map_or("false".to_owned(), |path| {
                toml::Value::from(path.display().to_string()).to_string()
            }),
            Self::Verdicts(at) => {
                let labels: Vec<String> =
                    at(draft).iter().map(|label| format!("\"{label}\"")).collect();
                format!("[{}]", labels.join(", "))
            }
            Self::Texts(at) => toml::Value::from(at(draft).clone()).to_string(),
            Self::Codes(at) => format!("{:?}", at(draft)),
            Self::Word(words, _, get) => format!("\"{}\"", words[get(draft)]),
        }
    }
}

fn narrow(count: u64) -> Result<u32, String> {
    u32::try_from(count).map_err(|_| format!("is too large: {count}"))
}

fn size(text: &str) -> Result<ByteSize, String> {
    text.parse().map_err(|error| format!("is a size: {error}"))
}

/// In the largest unit that loses nothing, so that what is printed is read as the same.
fn time(time: Duration) -> String {
    let nanos = time.as_nanos();
    let (count, unit) = match nanos {
        _ if nanos.is_multiple_of(1_000_000_000) => (nanos / 1_000_000_000, "s"),
        _ if nanos.is_multiple_of(1_000_000) => (nanos / 1_000_000, "ms"),
        _ => (nanos / 1_000, "us"),
    };
    format!("\"{count}{unit}\"")
}

fn bytes(size: ByteSize) -> String {
    let count = size.as_u64();
    let (count, unit) = match count {
        _ if count.is_multiple_of(1 << 20) => (count >> 20, "MiB"),
        _ if count.is_multiple_of(1 << 10) => (count >> 10, "KiB"),
        _ => (count, "B"),
    };
    format!("\"{count}{unit}\"")
}
