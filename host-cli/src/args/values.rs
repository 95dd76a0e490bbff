//! Reads the values of flags. A bad one is refused with an example of a good one.

use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::num::IntErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::str::FromStr;

use sandtrap::{Access, ByteSize, Cpus, DirGrant, Label, QuantityError, Value};

use crate::explain;

const ARGUMENT_EXAMPLE: &str = "write it as in i32:5 or f64:0.5";

/// A size with its unit.
pub(crate) fn size(text: &str) -> Result<ByteSize, QuantityError> {
    text.parse()
}

/// A number of processors, or a part of one.
pub(crate) fn cpus(text: &str) -> Result<Cpus, QuantityError> {
    text.parse()
}

/// A number of processes or files.
pub(crate) fn count(text: &str) -> Result<u32, String> {
    text.parse().map_err(|error: std::num::ParseIntError| not_whole(text, error.kind(), "16"))
}

/// A number of instructions.
pub(crate) fn fuel(text: &str) -> Result<u64, String> {
    text.parse().map_err(|error: std::num::ParseIntError| not_whole(text, error.kind(), "1000000"))
}

/// A seed of random numbers.
pub(crate) fn seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|error: std::num::ParseIntError| not_whole(text, error.kind(), "7"))
}

fn not_whole(text: &str, kind: &IntErrorKind, example: &str) -> String {
    let fault = match kind {
        IntErrorKind::PosOverflow => "is too large",
        _ if text.starts_with('-') => "is below zero",
        _ => "is not a whole number",
    };
    format!("`{text}` {fault}; write it as in {example}")
}

/// `NAME=VALUE`. The value may hold anything, further equals signs too.
pub(crate) fn env_pair(text: OsString) -> Result<(OsString, OsString), String> {
    let bytes = text.as_bytes();
    let fail = |fault: &str| Err(format!("`{}` {fault}; write it as in LANG=C", text.display()));
    match bytes.iter().position(|byte| *byte == b'=') {
        None => fail("has no `=`"),
        Some(0) => fail("has no name before its `=`"),
        Some(split) => {
            let part = |bytes| OsStr::from_bytes(bytes).to_owned();
            Ok((part(&bytes[..split]), part(&bytes[split + 1..])))
        }
    }
}

/// `HOST[:GUEST][:ro|rw]`. What the guest calls it is what the host does, unless said otherwise.
pub(crate) fn dir_grant(text: OsString) -> Result<DirGrant, String> {
    let bytes = text.as_bytes();
    let (rest, access) = match bytes.strip_suffix(b":rw") {
        Some(rest) => (rest, Access::ReadWrite),
        None => (bytes.strip_suffix(b":ro").unwrap_or(bytes), Access::ReadOnly),
    };
    let (host, guest) = match rest.iter().rposition(|byte| *byte == b':') {
        Some(split) => (&rest[..split], &rest[split + 1..]),
        None => (rest, rest),
    };
    if host.is_empty() || guest.is_empty() {
        return Err(format!("`{}` lacks a name; write it as in data:/data:rw", text.display()));
    }
    if host.contains(&b':') && !guest.contains(&b'/') {
        let guest = OsStr::from_bytes(guest).display();
        return Err(format!("`{guest}` is neither `ro` nor `rw`; write it as in data:/data:rw"));
    }
    let path = |bytes| PathBuf::from(OsStr::from_bytes(bytes));
    Ok(DirGrant { host: path(host), guest: path(guest), access })
}

/// `TYPE:NUMBER`, one argument of an export.
pub(crate) fn argument(text: &str) -> Result<Value, String> {
    let Some((kind, number)) = text.split_once(':') else {
        return Err(format!("`{text}` has no type; {ARGUMENT_EXAMPLE}"));
    };
    match kind {
        "i32" => number_of(number, kind).map(Value::I32),
        "i64" => number_of(number, kind).map(Value::I64),
        "f32" => number_of(number, kind).map(Value::F32),
        "f64" => number_of(number, kind).map(Value::F64),
        _ => Err(format!("`{kind}` is none of i32, i64, f32 and f64; {ARGUMENT_EXAMPLE}")),
    }
}

fn number_of<N>(text: &str, kind: &str) -> Result<N, String>
where
    N: FromStr<Err: Display>,
{
    text.parse().map_err(|error| format!("`{text}` is no {kind} ({error}); {ARGUMENT_EXAMPLE}"))
}

/// The label of a verdict; near misses are named.
pub(crate) fn label(text: &str) -> Result<Label, String> {
    text.parse().map_err(|_| {
        let list = "`sandtrap explain` lists them all";
        let near: Vec<String> =
            explain::nearest(text).iter().map(|label| format!("`{label}`")).collect();
        match near.as_slice() {
            [] => format!("`{text}` is no verdict; {list}"),
            [one] => format!("`{text}` is no verdict; did you mean {one}? {list}"),
            _ => format!("`{text}` is no verdict; is it one of {}? {list}", near.join(", ")),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read_with_their_type() {
        for (text, value) in [
            ("i32:5", Value::I32(5)),
            ("i32:-5", Value::I32(-5)),
            ("i64:-9223372036854775808", Value::I64(i64::MIN)),
            ("f32:0.5", Value::F32(0.5)),
            ("f64:-1e300", Value::F64(-1e300)),
            ("f64:inf", Value::F64(f64::INFINITY)),
        ] {
            assert_eq!(argument(text), Ok(value));
        }
    }

    #[test]
    fn a_bad_argument_is_refused_with_an_example() {
        for text in ["", "5", "i32", "i32:", "i32:x", "i32:1.5", "i32:2147483648", "u8:1", "f32:a"]
        {
            let error = argument(text).unwrap_err();
            assert!(error.ends_with(ARGUMENT_EXAMPLE), "{error}");
        }
    }

    #[test]
    fn a_variable_is_split_at_its_first_equals_sign() {
        for (text, name, value) in
            [("A=b", "A", "b"), ("A=", "A", ""), ("A=b=c", "A", "b=c"), ("A==", "A", "=")]
        {
            assert_eq!(env_pair(text.into()), Ok((name.into(), value.into())));
        }
        for text in ["A", "", "=b", "="] {
            assert!(env_pair(text.into()).unwrap_err().ends_with("write it as in LANG=C"));
        }
    }

    #[test]
    fn a_variable_may_hold_what_is_no_text() {
        let value = OsStr::from_bytes(b"A=\xff\xfe").to_owned();
        assert_eq!(env_pair(value).unwrap().1.as_bytes(), b"\xff\xfe");
    }

    #[test]
    fn a_bad_number_is_refused_with_its_fault() {
        for (text, fault) in
            [("-1", "below zero"), ("4294967296", "too large"), ("1.5", "whole"), ("", "whole")]
        {
            assert!(count(text).unwrap_err().contains(fault), "{text}");
        }
        assert_eq!(fuel("4294967296"), Ok(4_294_967_296));
    }

    #[test]
    fn an_unknown_label_is_refused_with_its_neighbours() {
        assert!(label("crashed.stak-overflow").unwrap_err().contains("`crashed.stack-overflow`"));
        assert!(label("zzzzzz").unwrap_err().contains("lists them all"));
        assert_eq!(label("completed"), Ok(Label::Completed));
    }
}
