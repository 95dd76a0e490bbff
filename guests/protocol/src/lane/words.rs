//! Messages as words of memory that both ends see.

use core::sync::atomic::Ordering;

use super::{FIRST, LANE_MOST, LINE_BYTES, Way};

/// So many bytes are written from a copy of theirs in whole words.
const SHORT: usize = 2 * LINE_BYTES;

impl Way {
    /// Copies the message that lies there, or as much of it as there can be and has room.
    pub(super) fn take(&self, into: &mut [u8]) -> usize {
        let length = (self.length.load(Ordering::Relaxed) as usize).min(LANE_MOST).min(into.len());
        let (eights, rest) = into[..length].as_chunks_mut::<8>();
        let count = eights.len();
        for (eight, word) in eights.iter_mut().zip(&self.words) {
            *eight = word.load(Ordering::Relaxed).to_ne_bytes();
        }
        if let Some(word) = self.words.get(count).filter(|_| !rest.is_empty()) {
            let last = word.load(Ordering::Relaxed).to_ne_bytes();
            rest.copy_from_slice(&last[..rest.len()]);
        }
        length
    }

    /// Writes the parts one behind the other. What lies beside the turn comes last.
    pub(super) fn write(&self, head: &[u8], tail: &[u8]) {
        let length = head.len() + tail.len();
        let mut short = [0; SHORT];
        if length <= SHORT {
            short[..head.len()].copy_from_slice(head);
            short[head.len()..length].copy_from_slice(tail);
            let (eights, _) = short.as_chunks::<8>();
            let words = eights.iter().map(|eight| u64::from_ne_bytes(*eight));
            let count = length.div_ceil(8);
            let places = self.words.iter().zip(words.clone()).take(count);
            places.skip(FIRST).for_each(|(place, word)| place.store(word, Ordering::Relaxed));
            let places = self.words.iter().zip(words).take(count.min(FIRST));
            return places.for_each(|(place, word)| place.store(word, Ordering::Relaxed));
        }
        self.write_long(head, tail);
    }

    /// The same of any length: each word has eight bytes of them, wherever they begin.
    fn write_long(&self, head: &[u8], tail: &[u8]) {
        let (mut first, mut count) = ([0; FIRST], 0);
        let mut put = |word: u64| {
            match (first.get_mut(count), self.words.get(count)) {
                (Some(kept), _) => *kept = word,
                (None, Some(place)) => place.store(word, Ordering::Relaxed),
                (None, None) => {}
            }
            count += 1;
        };
        let (mut pending, mut bits) = (0_u64, 0);
        for part in [head, tail] {
            let (eights, rest) = part.as_chunks::<8>();
            for eight in eights {
                let word = u64::from_le_bytes(*eight);
                put((pending | word << bits).to_le());
                pending = word.unbounded_shr(64 - bits);
            }
            for byte in rest {
                pending |= u64::from(*byte) << bits;
                bits += 8;
                if bits == 64 {
                    put(pending.to_le());
                    (pending, bits) = (0, 0);
                }
            }
        }
        if bits > 0 {
            put(pending.to_le());
        }
        for (place, word) in self.words.iter().zip(first).take(count) {
            place.store(word, Ordering::Relaxed);
        }
    }
}
