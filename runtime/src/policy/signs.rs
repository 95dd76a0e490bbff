//! By which signs a failed device is known: words that its library writes, codes that its programs exit with. They are the
//! user's own, for nobody else knows the device.

/// What a task with a device says by how it ended, besides its verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// The device has failed.
    Failed,
    /// It had no memory left for this task.
    OutOfMemory,
}

/// The signs that are looked for where a task with a device did not complete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceSigns {
    /// Words in what it said last: in its error, its panic, or the end of its stderr. The device has failed.
    pub failed: Vec<String>,
    /// Words in the same places: the device has no memory left.
    pub out_of_memory: Vec<String>,
    /// Codes that it exits with. The device has failed.
    pub exits: Vec<u32>,
}

impl DeviceSigns {
    /// Whether there is nothing to look for.
    pub fn is_empty(&self) -> bool {
        self.failed.is_empty() && self.out_of_memory.is_empty() && self.exits.is_empty()
    }

    /// The sign in what was said, or in the code. A device that has failed has no memory either: that it failed comes first.
    pub fn find(&self, said: &[&str], exit: Option<i32>) -> Option<Sign> {
        let has = |words: &[String]| {
            words.iter().any(|word| said.iter().any(|text| text.contains(word.as_str())))
        };
        let code = exit.and_then(|code| u32::try_from(code).ok());
        if has(&self.failed) || code.is_some_and(|code| self.exits.contains(&code)) {
            return Some(Sign::Failed);
        }
        has(&self.out_of_memory).then_some(Sign::OutOfMemory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s02_a_device_is_known_by_words_and_by_codes_of_its_users() {
        let signs = DeviceSigns {
            failed: vec!["device-side assert".into()],
            out_of_memory: vec!["CUDA out of memory".into()],
            exits: vec![43],
        };
        let both = "CUDA out of memory after a device-side assert";
        for (said, exit, sign) in [
            ("", None, None),
            ("CUDA error: device-side assert triggered", None, Some(Sign::Failed)),
            ("RuntimeError: CUDA out of memory. Tried", None, Some(Sign::OutOfMemory)),
            (both, None, Some(Sign::Failed)),
            ("", Some(43), Some(Sign::Failed)),
            ("", Some(42), None),
            ("", Some(-1), None),
        ] {
            assert_eq!(signs.find(&["words before", said], exit), sign, "{said} {exit:?}");
        }
        assert!(DeviceSigns::default().is_empty() && !signs.is_empty());
    }
}
