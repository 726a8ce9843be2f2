//! Which blocks of the spool's file are free.
//!
//! The lowest free one is given first, so that the file stays short. What a pool may have of them
//! is its `Account`'s to say.

use std::collections::BTreeSet;

/// The blocks of a file.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    /// Free ones below `end`.
    free: BTreeSet<u32>,
    /// All from here on are free.
    end: u32,
}

impl Blocks {
    /// Takes one.
    pub(super) fn take(&mut self) -> u32 {
        if let Some(block) = self.free.pop_first() {
            return block;
        }
        let block = self.end;
        self.end += 1;
        block
    }

    /// Takes blocks back; returns how many the file still has.
    pub(super) fn give_back(&mut self, blocks: &[u32]) -> u32 {
        self.free.extend(blocks);
        while self.end > 0 && self.free.remove(&(self.end - 1)) {
            self.end -= 1;
        }
        self.end
    }
}

/// Bytes of one: what is taken and given back at a time.
pub(super) const BLOCK: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_lowest_is_given_first_and_the_file_ends_behind_the_last() {
        let mut blocks = Blocks::default();
        let taken: Vec<u32> = (0..4).map(|_| blocks.take()).collect();
        assert_eq!(taken, [0, 1, 2, 3]);
        assert_eq!(blocks.give_back(&[2, 0]), 4);
        assert_eq!([blocks.take(), blocks.take(), blocks.take()], [0, 2, 4]);
        assert_eq!(blocks.give_back(&[4, 3]), 3);
        assert_eq!(blocks.give_back(&[1, 2]), 1);
        assert_eq!(blocks.give_back(&[0]), 0);
        assert_eq!(blocks.take(), 0);
    }

    proptest! {
        #[test]
        fn no_block_is_given_twice(steps in proptest::collection::vec(any::<(bool, usize)>(), 0..200)) {
            let mut blocks = Blocks::default();
            let mut taken: Vec<u32> = Vec::new();
            for (takes, which) in steps {
                if takes || taken.is_empty() {
                    let block = blocks.take();
                    prop_assert!(!taken.contains(&block));
                    taken.push(block);
                } else {
                    let block = taken.swap_remove(which % taken.len());
                    let end = blocks.give_back(&[block]);
                    prop_assert_eq!(Some(end), taken.iter().max().map(|last| last + 1).or(Some(0)));
                }
            }
        }
    }
}
