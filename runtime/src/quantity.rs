//! Sizes and durations as people write them: `64MiB`, `1.5s`. A number without a unit is refused.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A number of bytes. Written and read with a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

const BYTE_UNITS: [(&str, u64); 9] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];

const TIME_UNITS: [(&str, u64); 6] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

impl ByteSize {
    /// That many bytes.
    pub const fn bytes(count: u64) -> Self {
        Self(count)
    }

    /// That many times 1024 bytes.
    pub const fn kib(count: u64) -> Self {
        Self(count << 10)
    }

    /// That many times 1024 × 1024 bytes.
    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    /// The plain number of bytes.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The plain number, cut to what this machine can address.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, scale) = BYTE_UNITS[..5]
            .iter()
            .rev()
            .find(|(_, scale)| self.0 >= *scale)
            .unwrap_or(&BYTE_UNITS[0]);
        if self.0.is_multiple_of(*scale) {
            write!(f, "{} {unit}", self.0 / scale)
        } else {
            write!(f, "{:.1} {unit}", self.0 as f64 / *scale as f64)
        }
    }
}

/// Processors at once, a part of one included: `0.5`, `2`. Exact to a thousandth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cpus(u32);

impl Cpus {
    /// That many thousandths of a processor.
    pub const fn thousandths(count: u32) -> Self {
        Self(count)
    }

    /// The plain number of thousandths.
    pub const fn as_thousandths(self) -> u32 {
        self.0
    }

    /// As a number of processors.
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / 1000.0
    }
}

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_f64().fmt(f)
    }
}

impl FromStr for Cpus {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = |fault| QuantityError { text: text.to_owned(), fault, example: "0.5 or 2" };
        let number: f64 = text.trim().parse().map_err(|_| fail("is not a number"))?;
        let thousandths = (number * 1000.0).round();
        if thousandths.is_nan() {
            return Err(fail("is not a number"));
        }
        if thousandths < 0.0 {
            return Err(fail("is below zero"));
        }
        if thousandths > f64::from(u32::MAX) {
            return Err(fail("is too large"));
        }
        Ok(Self(thousandths as u32))
    }
}

/// Why a quantity could not be read; the text says how to write it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` {fault}; write it as in {example}")]
pub struct QuantityError {
    text: String,
    fault: &'static str,
    example: &'static str,
}

impl FromStr for ByteSize {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        scaled(text, &BYTE_UNITS, "64MiB").map(Self)
    }
}

/// Reads a duration such as `500ms`, `5s`, `1.5s` or `2m`.
pub fn parse_duration(text: &str) -> Result<Duration, QuantityError> {
    scaled(text, &TIME_UNITS, "5s or 250ms").map(Duration::from_nanos)
}

/// A duration as people say it: `41 ms`, `2.5 s`.
pub fn show_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    match nanos {
        0..1_000 => format!("{nanos} ns"),
        1_000..1_000_000 => format!("{} us", nanos / 1_000),
        1_000_000..1_000_000_000 => format!("{} ms", nanos / 1_000_000),
        _ if nanos.is_multiple_of(1_000_000_000) => format!("{} s", duration.as_secs()),
        _ => format!("{:.2} s", duration.as_secs_f64()),
    }
}

fn scaled(text: &str, units: &[(&str, u64)], example: &'static str) -> Result<u64, QuantityError> {
    let fail = |fault| QuantityError { text: text.to_owned(), fault, example };
    let trimmed = text.trim();
    if trimmed.starts_with('-') {
        return Err(fail("is below zero"));
    }
    let split = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
    let (number, unit) = (&trimmed[..split], trimmed[split..].trim_start());
    if number.is_empty() {
        return Err(fail("does not begin with a number"));
    }
    if unit.is_empty() {
        return Err(fail("has no unit"));
    }
    let Some((_, scale)) = units.iter().find(|(name, _)| *name == unit) else {
        return Err(fail("has a unit that is not known"));
    };
    let value = match number.parse::<u64>() {
        Ok(whole) => whole.checked_mul(*scale),
        Err(_) => number
            .parse::<f64>()
            .map_err(|_| fail("is not a number with a unit"))
            .map(|fraction| fraction * *scale as f64)
            .map(|exact| (exact < u64::MAX as f64).then_some(exact as u64))?,
    };
    match value {
        None => Err(fail("is too large")),
        Some(0) => Err(fail("is nothing at all")),
        Some(value) => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_unit() {
        for (text, bytes) in [
            ("1B", 1),
            ("64KiB", 65_536),
            ("64MiB", 67_108_864),
            ("1.5 GiB", 1_610_612_736),
            ("2kB", 2_000),
        ] {
            assert_eq!(text.parse::<ByteSize>().unwrap().as_u64(), bytes, "{text}");
        }
    }

    #[test]
    fn a_bad_size_is_refused_with_an_example() {
        for text in ["64", "-1MiB", "MiB", "64mib", "0MiB", "1..5MiB", "99999999TiB", ""] {
            let error = text.parse::<ByteSize>().unwrap_err().to_string();
            assert!(error.ends_with("write it as in 64MiB"), "{error}");
        }
    }

    #[test]
    fn durations_are_read_with_their_unit() {
        for (text, millis) in [("250ms", 250), ("5s", 5_000), ("1.5s", 1_500), ("2m", 120_000)] {
            assert_eq!(parse_duration(text).unwrap(), Duration::from_millis(millis));
        }
        for text in ["5", "-1s", "5sec", "0s", "s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn processors_are_read_and_shown_to_a_thousandth() {
        for (text, thousandths, shown) in
            [("0.5", 500, "0.5"), ("2", 2000, "2"), ("0.0004", 0, "0"), (" 1.25", 1250, "1.25")]
        {
            let cpus: Cpus = text.parse().unwrap();
            assert_eq!((cpus.as_thousandths(), cpus.to_string().as_str()), (thousandths, shown));
        }
        for text in ["", "half", "-1", "NaN", "1e12", "inf"] {
            let error = text.parse::<Cpus>().unwrap_err().to_string();
            assert!(error.ends_with("write it as in 0.5 or 2"), "{error}");
        }
    }

    #[test]
    fn sizes_and_durations_are_shown_as_people_write_them() {
        assert_eq!(ByteSize::mib(256).to_string(), "256 MiB");
        assert_eq!(ByteSize::bytes(9_542_042).to_string(), "9.1 MiB");
        assert_eq!(ByteSize::bytes(0).to_string(), "0 B");
        assert_eq!(show_duration(Duration::from_micros(41_200)), "41 ms");
        assert_eq!(show_duration(Duration::from_secs(2)), "2 s");
    }
}
