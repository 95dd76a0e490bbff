//! The part of a report that holds what a guest wrote and returned.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sandtrap_protocol::Codec;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::payload::Payload;
use crate::report::Report;
use crate::task::Value;
use crate::verdict::{Failure, Verdict};

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct OutputRecord {
    stdout: Option<String>,
    stdout_encoding: &'static str,
    stderr_tail: String,
    stderr_encoding: &'static str,
    #[schemars(with = "Option<serde_json::Value>")]
    result: Option<Box<RawValue>>,
    /// How a function wrote its result: JSON stands here as it is, digit for digit, and all else in base64.
    result_codec: Option<&'static str>,
    /// The file in which a large result lies, where that was asked for; `result` is null then.
    result_file: Option<String>,
    /// The error of a function as a value, where its guest can write it as one, in the same way as a result.
    #[schemars(with = "Option<serde_json::Value>")]
    error_value: Option<Box<RawValue>>,
    error_codec: Option<&'static str>,
}

pub(super) fn output_record(report: &Report) -> OutputRecord {
    let output = &report.output;
    let (stdout, stdout_encoding) = match &output.stdout {
        Some(bytes) => {
            let (text, encoding) = text_or_base64(bytes);
            (Some(text), encoding)
        }
        None => (None, "utf-8"),
    };
    let (stderr_tail, stderr_encoding) = text_or_base64(&output.stderr_tail);
    let file = output.result.as_ref().filter(|_| report.verdict.is_completed());
    let result_file = file.and_then(Payload::path).map(|path| path.display().to_string());
    let (result, result_codec) = match &output.result {
        _ if report.task.function.is_none() || !report.verdict.is_completed() => (None, None),
        Some(result) if result_file.is_some() => (None, Some(result.codec().name())),
        Some(result) => (Some(value_of(result)), Some(result.codec().name())),
        None => (Some(raw(&output.values.iter().map(number).collect())), None),
    };
    let failed = matches!(report.verdict, Verdict::Failed(Failure::Error { .. }));
    let error = output.error_value.as_ref().filter(|_| failed);
    OutputRecord {
        stdout,
        stdout_encoding,
        stderr_tail,
        stderr_encoding,
        result,
        result_codec,
        result_file,
        error_value: error.map(value_of),
        error_codec: error.map(|error| error.codec().name()),
    }
}

fn text_or_base64(bytes: &[u8]) -> (String, &'static str) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (text.to_owned(), "utf-8"),
        Err(_) => (STANDARD.encode(bytes), "base64"),
    }
}

/// What a function gave. A guest may call something JSON that is none.
fn value_of(result: &Payload) -> Box<RawValue> {
    let json = match result.codec() {
        Codec::Json => as_it_is(result.bytes()),
        Codec::Raw | Codec::Typed => None,
    };
    json.unwrap_or_else(|| raw(&STANDARD.encode(result.bytes()).into()))
}

/// JSON as it was written, on one line, if it is some that whoever reads the report can read.
fn as_it_is(bytes: &[u8]) -> Option<Box<RawValue>> {
    let text = std::str::from_utf8(bytes).ok()?;
    // What is taken as it is was not looked into: half a character, a number beyond all others, or more levels than a
    // reader takes, two of which are the report's own, would make the whole report unreadable.
    serde_json::from_str::<serde_json::Value>(&format!("[[{text}]]")).ok()?;
    // Within JSON the end of a line is only ever between two of its parts.
    RawValue::from_string(text.replace(['\n', '\r'], " ")).ok()
}

fn raw(value: &serde_json::Value) -> Box<RawValue> {
    to_raw_value(value).expect("a value of JSON can be written as such")
}

/// A number; JSON has no NaN and no infinity, so those are words.
fn number(value: &Value) -> serde_json::Value {
    match value {
        Value::I32(value) => (*value).into(),
        Value::I64(value) => (*value).into(),
        Value::F32(value) if value.is_finite() => f64::from(*value).into(),
        Value::F64(value) if value.is_finite() => (*value).into(),
        Value::F32(_) | Value::F64(_) => value.to_string().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(codec: Codec, bytes: &[u8]) -> String {
        serde_json::to_string(&value_of(&Payload::new(codec, bytes))).unwrap()
    }

    #[test]
    fn json_stands_as_it_was_written_and_on_one_line() {
        for json in ["18446744073709551616", "1.00", r#"{"b":1,"a":2,"b":3}"#, r#""\u00e9 \n""#] {
            assert_eq!(written(Codec::Json, json.as_bytes()), json);
        }
        assert_eq!(written(Codec::Json, b" [1,\r\n2]\n"), "[1,  2]");
    }

    #[test]
    fn what_a_guest_calls_json_and_a_reader_would_not_is_in_base64() {
        let deep = |depth| ["[".repeat(depth), "]".repeat(depth)].concat();
        for bad in ["{no", "", "1 2", "\"\n\"", r#""\ud800""#, "1e999", &deep(126), &deep(1_000)] {
            let expected = format!("\"{}\"", STANDARD.encode(bad));
            assert_eq!(written(Codec::Json, bad.as_bytes()), expected, "{bad}");
        }
        assert_eq!(written(Codec::Json, b"\"\xff\""), "\"Iv8i\"");
        assert_eq!(written(Codec::Json, deep(125).as_bytes()), deep(125));
        assert_eq!(written(Codec::Raw, b"1"), "\"MQ==\"");
    }
}
