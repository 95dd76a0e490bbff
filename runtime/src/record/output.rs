//! The part of a report that holds what a guest wrote and returned.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sandtrap_protocol::Codec;
use schemars::JsonSchema;
use serde::Serialize;

use crate::payload::Payload;
use crate::report::Report;
use crate::task::Value;

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct OutputRecord {
    stdout: Option<String>,
    stdout_encoding: &'static str,
    stderr_tail: String,
    stderr_encoding: &'static str,
    result: Option<serde_json::Value>,
    /// How a function wrote its result: JSON stands here as it is, and all else in base64.
    result_codec: Option<&'static str>,
    /// The file in which a large result lies, where that was asked for; `result` is null then.
    result_file: Option<String>,
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
        None => (Some(output.values.iter().map(number).collect()), None),
    };
    OutputRecord {
        stdout,
        stdout_encoding,
        stderr_tail,
        stderr_encoding,
        result,
        result_codec,
        result_file,
    }
}

fn text_or_base64(bytes: &[u8]) -> (String, &'static str) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (text.to_owned(), "utf-8"),
        Err(_) => (STANDARD.encode(bytes), "base64"),
    }
}

/// What a function gave. A guest may call something JSON that is none.
fn value_of(result: &Payload) -> serde_json::Value {
    let json = match result.codec() {
        Codec::Json => serde_json::from_slice(result.bytes()).ok(),
        Codec::Raw | Codec::Typed => None,
    };
    json.unwrap_or_else(|| STANDARD.encode(result.bytes()).into())
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
