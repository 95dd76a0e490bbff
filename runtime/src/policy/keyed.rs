//! Something kept for each key, for a bounded number of keys.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Instant;

/// A bounded table. Of what may go, that which was not asked for longest goes first; else of everything.
#[derive(Clone, Debug)]
pub struct Keyed<K, V> {
    most: usize,
    kept: HashMap<K, (Instant, V)>,
}

impl<K: Clone + Eq + Hash, V> Keyed<K, V> {
    /// An empty table for this many keys.
    pub fn new(most: usize) -> Self {
        Self { most: most.max(1), kept: HashMap::new() }
    }

    /// What is kept for a key, made if it isn't there. `may_go` says which of the others are forgotten before the rest.
    pub fn entry(
        &mut self,
        key: &K,
        now: Instant,
        make: impl FnOnce() -> V,
        may_go: impl Fn(&V) -> bool,
    ) -> &mut V {
        if !self.kept.contains_key(key) && self.kept.len() >= self.most {
            let oldest = self.oldest(may_go).or_else(|| self.oldest(|_| true));
            oldest.map(|oldest| self.kept.remove(&oldest));
        }
        let (used, value) = self.kept.entry(key.clone()).or_insert_with(|| (now, make()));
        *used = now;
        value
    }

    /// What is kept for a key.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.kept.get_mut(key).map(|(_, value)| value)
    }

    /// Forgets a key.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.kept.remove(key).map(|(_, value)| value)
    }

    /// Every key with what is kept for it, in no order.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.kept.iter_mut().map(|(key, (_, value))| (key, value))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    fn oldest(&self, among: impl Fn(&V) -> bool) -> Option<K> {
        let of_them = self.kept.iter().filter(|(_, (_, value))| among(value));
        of_them.min_by_key(|(_, (used, _))| *used).map(|(key, _)| key.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn s21_the_table_is_bounded_and_the_oldest_of_what_may_go_goes_first() {
        let start = Instant::now();
        let mut table: Keyed<u32, bool> = Keyed::new(3);
        let mut at = 0;
        let mut add = |table: &mut Keyed<u32, bool>, key, rests| {
            at += 1;
            let now = start + Duration::from_secs(at);
            *table.entry(&key, now, || rests, |rests| *rests) = rests;
        };
        for (key, rests) in [(1, false), (2, true), (3, false), (4, false)] {
            add(&mut table, key, rests);
        }
        assert!(table.get_mut(&2).is_none(), "the one that may go");
        add(&mut table, 1, false);
        add(&mut table, 5, false);
        assert!(table.get_mut(&3).is_none(), "the one not asked for longest");
        assert!(table.get_mut(&1).is_some() && table.len() == 3 && !table.is_empty());
        assert_eq!(table.iter_mut().count(), 3);
        assert_eq!((table.remove(&1), table.remove(&1)), (Some(false), None));
    }
}
