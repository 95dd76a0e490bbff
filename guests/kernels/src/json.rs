//! Just enough of JSON to keep a processor busy with it: lists, objects, texts without escapes, and whole numbers.

use std::fmt::Write as _;

/// A list of objects, each with a list in it.
pub(crate) fn document(numbers: impl Iterator<Item = u64>) -> String {
    let mut text = String::from("[");
    for number in numbers {
        if text.len() > 1 {
            text.push(',');
        }
        // Writing to a string can't fail.
        let _ = write!(
            text,
            r#"{{"id":{number},"name":"entry {number}","tags":["a","b",{}]}}"#,
            number % 7
        );
    }
    text.push(']');
    text
}

/// The sum of all numbers, and of the lengths of all texts; nothing if it is no such document.
pub(crate) fn sum(text: &[u8]) -> Option<u64> {
    let mut reader = Reader { text, at: 0 };
    let sum = reader.value()?;
    (reader.at == text.len()).then_some(sum)
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<u8> {
        let byte = *self.text.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn value(&mut self) -> Option<u64> {
        match self.next()? {
            b'[' => self.parts(b']', Self::value),
            b'{' => self.parts(b'}', Self::entry),
            b'"' => self.string(),
            digit @ b'0'..=b'9' => Some(self.number(digit)),
            _ => None,
        }
    }

    fn entry(&mut self) -> Option<u64> {
        let key = if self.next()? == b'"' { self.string()? } else { return None };
        if self.next()? != b':' {
            return None;
        }
        Some(self.value()?.wrapping_add(key))
    }

    fn parts(&mut self, end: u8, part: fn(&mut Self) -> Option<u64>) -> Option<u64> {
        let mut sum = 0_u64;
        loop {
            sum = sum.wrapping_add(part(self)?);
            match self.next()? {
                b',' => {}
                byte if byte == end => return Some(sum),
                _ => return None,
            }
        }
    }

    fn string(&mut self) -> Option<u64> {
        let begin = self.at;
        while self.next()? != b'"' {}
        std::str::from_utf8(&self.text[begin..self.at - 1]).ok().map(|text| text.len() as u64)
    }

    fn number(&mut self, first: u8) -> u64 {
        let mut number = u64::from(first - b'0');
        while let Some(digit @ b'0'..=b'9') = self.text.get(self.at) {
            number = number.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            self.at += 1;
        }
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_read_as_it_was_written() {
        assert_eq!(document([3].into_iter()), r#"[{"id":3,"name":"entry 3","tags":["a","b",3]}]"#);
        // Keys of 2, 4 and 4 letters; the texts `entry 3`, `a` and `b`; the numbers 3 and 3.
        assert_eq!(sum(document([3].into_iter()).as_bytes()), Some(10 + 9 + 6));
        for text in ["", "[", "[1,]", "{1:2}", "[1]x", "\"a"] {
            assert_eq!(sum(text.as_bytes()), None, "{text}");
        }
    }
}
