//! Figures as people read them: three digits and a unit.

/// A time, from nanoseconds to seconds.
pub(crate) fn time(seconds: f64) -> String {
    let size = seconds.abs();
    match size {
        _ if size < 1e-6 => with_unit(seconds * 1e9, "ns"),
        _ if size < 1e-3 => with_unit(seconds * 1e6, "µs"),
        _ if size < 1.0 => with_unit(seconds * 1e3, "ms"),
        _ => with_unit(seconds, "s"),
    }
}

/// Bytes, in the units of limits.
pub(crate) fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut units = ["B", "KiB", "MiB", "GiB"].into_iter().peekable();
    let mut unit = "B";
    while let Some(next) = units.next() {
        unit = next;
        if value < 1024.0 || units.peek().is_none() {
            break;
        }
        value /= 1024.0;
    }
    with_unit(value, unit)
}

/// How many.
pub(crate) fn count(number: f64) -> String {
    match number {
        _ if number < 1e3 => digits(number),
        _ if number < 1e6 => format!("{} k", digits(number / 1e3)),
        _ => format!("{} M", digits(number / 1e6)),
    }
}

/// How many times.
pub(crate) fn times(ratio: f64) -> String {
    format!("{}×", digits(ratio))
}

fn with_unit(value: f64, unit: &str) -> String {
    format!("{} {unit}", digits(value))
}

/// Three of them.
fn digits(value: f64) -> String {
    let size = value.abs();
    let text = match size {
        _ if size >= 99.95 => return format!("{value:.0}"),
        _ if size >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    };
    match text.strip_suffix(".00").or_else(|| text.strip_suffix(".0")) {
        Some(whole) => whole.to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits_and_a_unit() {
        for (seconds, text) in [
            (4.2e-9, "4.20 ns"),
            (353.4e-6, "353 µs"),
            (1e-3, "1 ms"),
            (0.0123, "12.3 ms"),
            (2.5, "2.50 s"),
            (-3e-6, "-3 µs"),
            (0.0, "0 ns"),
        ] {
            assert_eq!(time(seconds), text);
        }
    }

    #[test]
    fn sizes_counts_and_ratios_do_so_too() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1536), "1.50 KiB");
        assert_eq!(size(64 << 20), "64 MiB");
        assert_eq!(size(3 << 40), "3072 GiB");
        assert_eq!(count(12.34), "12.3");
        assert_eq!(count(340_000.0), "340 k");
        assert_eq!(count(2.5e6), "2.50 M");
        assert_eq!(times(98.04), "98×");
    }
}
