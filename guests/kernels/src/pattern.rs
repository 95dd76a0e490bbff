//! A small matcher of regular expressions that goes back where it was wrong: letters, `\d`, `.`, `[a-z]`, and `*`.

/// One step of a pattern.
#[derive(Clone, Copy)]
struct Step {
    from: u8,
    to: u8,
    repeats: bool,
}

/// In how many places of a text a pattern matches.
pub(crate) fn count(pattern: &str, text: &str) -> u64 {
    let (steps, text) = (steps(pattern.as_bytes()), text.as_bytes());
    (0..text.len()).filter(|at| matches(&steps, &text[*at..])).count() as u64
}

fn steps(pattern: &[u8]) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut rest = pattern;
    loop {
        let (from, to, taken) = match rest {
            [] => return steps,
            [b'*', ..] => {
                if let Some(last) = steps.last_mut() {
                    last.repeats = true;
                }
                rest = &rest[1..];
                continue;
            }
            [b'\\', b'd', ..] => (b'0', b'9', 2),
            [b'[', from, b'-', to, b']', ..] => (*from, *to, 5),
            [b'.', ..] => (0, u8::MAX, 1),
            [letter, ..] => (*letter, *letter, 1),
        };
        steps.push(Step { from, to, repeats: false });
        rest = &rest[taken..];
    }
}

/// Whether a text begins with what the steps say.
fn matches(steps: &[Step], text: &[u8]) -> bool {
    let Some((step, later)) = steps.split_first() else { return true };
    let fits = |byte: &u8| (step.from..=step.to).contains(byte);
    if !step.repeats {
        return text.first().is_some_and(fits) && matches(later, &text[1..]);
    }
    let most = text.iter().take_while(|byte| fits(byte)).count();
    (0..=most).rev().any(|taken| matches(later, &text[taken..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_they_say() {
        for (pattern, text, found) in [
            ("ab", "abcab", 2),
            (r"\d\d", "1234", 3),
            ("a*b", "aab", 3),
            ("[x-z]q", "wq xq zq", 2),
            ("a.c", "abc a-c ac", 2),
            (".*", "", 0),
        ] {
            assert_eq!(count(pattern, text), found, "{pattern} in {text}");
        }
    }
}
