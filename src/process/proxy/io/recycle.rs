//! Things that are kept for the next use: lent, given back, and let go when nobody has needed them
//! for a while.
//!
//! What a flood has made a thread keep is not kept for ever: each sweep lets go a part of what has
//! lain there unused since the one before. Knows nothing of what it keeps; `buffers` and
//! `downstream::future_pool` do.

/// What is free of one kind, the one given back last on top.
pub(in crate::process::proxy) struct Shelf<T> {
    free: Vec<T>,
    kept_max: usize,
    /// The fewest there were since the last sweep: so many were not needed.
    unused: usize,
}

impl<T> Shelf<T> {
    /// Returns an empty shelf for so many; what is given back beyond them is let go at once.
    pub(in crate::process::proxy) const fn new(kept_max: usize) -> Self {
        Self {
            free: Vec::new(),
            kept_max,
            unused: 0,
        }
    }

    /// Returns the one that was given back last.
    pub(in crate::process::proxy) fn take(&mut self) -> Option<T> {
        let taken = self.free.pop();
        self.unused = self.unused.min(self.free.len());
        taken
    }

    /// Keeps one; returns it where there is no room for it.
    pub(in crate::process::proxy) fn give_back(&mut self, free: T) -> Option<T> {
        if self.free.len() >= self.kept_max {
            return Some(free);
        }
        self.free.push(free);
        None
    }

    /// Frees a part of what was not needed since the last sweep; returns how many.
    pub(in crate::process::proxy) fn sweep(&mut self) -> usize {
        let surplus = self.unused.saturating_sub(KEPT_MIN);
        let count = surplus.div_ceil(SWEEPS);
        // Those below are the ones that were used longest ago.
        self.free.drain(..count);
        if self.free.capacity() > 2 * self.free.len() + SWEEPS {
            self.free.shrink_to(self.free.len());
        }
        self.unused = self.free.len();
        count
    }

    /// Returns how many are free.
    #[cfg(test)]
    pub(in crate::process::proxy) fn len(&self) -> usize {
        self.free.len()
    }
}

/// What is always kept: the next use costs nothing, however long it takes to come.
const KEPT_MIN: usize = 4;
/// After about so many sweeps half of what is not needed has gone.
const SWEEPS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_needs_goes_and_what_is_in_use_stays() {
        let mut shelf = Shelf::new(1000);
        assert!((0..1000).all(|number| shelf.give_back(number).is_none()));
        assert_eq!(shelf.give_back(1000), Some(1000), "it is full");
        shelf.sweep();
        for _ in 0..SWEEPS * 8 {
            // A hundred are in use at once, again and again.
            let taken: Vec<u32> = (0..100).filter_map(|_| shelf.take()).collect();
            assert_eq!(taken.len(), 100);
            for number in taken {
                shelf.give_back(number);
            }
            shelf.sweep();
        }
        assert_eq!(shelf.len(), 100 + KEPT_MIN, "with what is always kept");
        for _ in 0..SWEEPS * 8 {
            shelf.sweep();
        }
        assert_eq!(shelf.len(), KEPT_MIN);
    }

    #[test]
    fn most_of_what_a_flood_has_left_goes_within_ten_seconds() {
        let mut shelf = Shelf::new(1024);
        for number in 0..1024 {
            shelf.give_back(number);
        }
        // At four sweeps a second.
        for _ in 0..40 {
            shelf.sweep();
        }
        assert!(shelf.len() < 16, "{} are left", shelf.len());
    }
}
