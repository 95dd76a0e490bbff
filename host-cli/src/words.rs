//! What a guest says over its channel, as lines for people and for programs.

use sandtrap::{Codec, Level, Payload};
use serde_json::Value;

/// A line of a log. What would move a terminal's cursor is left out.
pub(crate) fn log(level: Level, text: &str) -> String {
    format!("{}: {}\n", level.name(), tame(text))
}

/// How far a guest is, without the end of the line.
pub(crate) fn progress(done: u64, total: Option<u64>, text: &str) -> String {
    let text = tame(text);
    match total {
        Some(total) if total > 0 => {
            let percent = u128::from(done) * 100 / u128::from(total);
            format!("{percent:>3}% {done}/{total} {text}")
        }
        Some(_) | None => format!("{done} {text}"),
    }
}

/// A value as one line of JSON. Bytes that are text are a string, and all others numbers.
pub(crate) fn item(codec: Codec, bytes: &[u8]) -> String {
    let json = match codec {
        Codec::Json => json_line(bytes),
        Codec::Raw | Codec::Typed => None,
    };
    let line = json.unwrap_or_else(|| match std::str::from_utf8(bytes) {
        Ok(text) => Value::from(text).to_string(),
        Err(_) => Value::from(bytes).to_string(),
    });
    line + "\n"
}

/// JSON on one line, or nothing if it is none. Within JSON the end of a line is only ever between two of its parts.
fn json_line(bytes: &[u8]) -> Option<String> {
    let payload = Payload::json_text(bytes).ok()?;
    let text = std::str::from_utf8(payload.bytes()).ok()?;
    Some(text.replace(['\n', '\r'], " "))
}

fn tame(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_cannot_move_the_cursor_or_begin_a_line() {
        assert_eq!(log(Level::Info, "a\n\x1b[2Jb"), "info: a  [2Jb\n");
        assert_eq!(progress(1, Some(3), "a\rb"), " 33% 1/3 a b");
        assert_eq!(progress(7, None, "rows"), "7 rows");
        assert_eq!(progress(7, Some(0), "rows"), "7 rows");
    }

    #[test]
    fn an_item_is_one_line_of_json_whatever_it_is() {
        for (codec, bytes, line) in [
            (Codec::Json, &b"{\"b\":1,\n\"a\":2}"[..], "{\"b\":1, \"a\":2}\n"),
            (Codec::Json, b"{no", "\"{no\"\n"),
            (Codec::Raw, b"a\"b\n", "\"a\\\"b\\n\"\n"),
            (Codec::Raw, b"\xff\x01", "[255,1]\n"),
        ] {
            assert_eq!(item(codec, bytes), line);
        }
    }
}
