//! The buffers of one worker: borrowed for a read or a head, given back, kept for the next.
//!
//! No connection holds a buffer without need: an idle connection has none, so that it costs little,
//! and in the steady state none is allocated. A buffer is owned by whoever has it: it can be kept
//! over an await without another connection writing into it. What is kept over one is no larger
//! than what is in it by more than a block (`memory::room`): a client decides how many connections
//! wait, and how long. Read `memory` for what that adds up to.

use std::cell::{Cell, RefCell};

use crate::process::proxy::io::recycle::Shelf;
use crate::process::proxy::memory::{
    ALLOCATOR_BYTES, BLOCK_BYTES, LARGE_BYTES, LARGE_KEPT, SHELF_BYTES, SHELVES, SMALL_BYTES, room,
};

/// The buffers that are free.
pub(in crate::process::proxy) struct Buffers {
    /// By the blocks that fit into them.
    small: [RefCell<Shelf<Vec<u8>>>; SHELVES],
    large: RefCell<Shelf<Vec<u8>>>,
    /// The large one that was given back last, or none: nearly every read uses it again.
    last: Cell<Vec<u8>>,
    /// Bytes of all buffers, free or in use,
    allocated_bytes: Cell<usize>,
    /// and the most there were since the last sweep.
    peak_bytes: Cell<usize>,
}

impl Default for Buffers {
    fn default() -> Self {
        let shelf = |blocks: usize| RefCell::new(Shelf::new(SHELF_BYTES / bytes_of(blocks)));
        Self {
            small: std::array::from_fn(shelf),
            large: RefCell::new(Shelf::new(LARGE_KEPT)),
            last: Cell::default(),
            allocated_bytes: Cell::new(0),
            peak_bytes: Cell::new(0),
        }
    }
}

impl Buffers {
    /// Returns an empty buffer with room for so many bytes, and little more.
    pub(in crate::process::proxy) fn with_room(&self, bytes: usize) -> Vec<u8> {
        let capacity = room(bytes);
        let kept = self.small.get(blocks_of(capacity));
        let kept = kept.and_then(|shelf| shelf.borrow_mut().take());
        kept.unwrap_or_else(|| {
            self.count(0, capacity);
            Vec::with_capacity(capacity)
        })
    }

    /// Returns a buffer of `LARGE_BYTES` bytes for a read; what they are means nothing.
    #[inline]
    pub(in crate::process::proxy) fn large(&self) -> Vec<u8> {
        let last = self.last.take();
        if last.capacity() == 0 {
            self.another_large()
        } else {
            last
        }
    }

    #[cold]
    fn another_large(&self) -> Vec<u8> {
        let kept = self.large.borrow_mut().take();
        kept.unwrap_or_else(|| {
            self.count(0, LARGE_BYTES);
            vec![0; LARGE_BYTES]
        })
    }

    /// Takes a buffer of either kind back.
    #[inline]
    pub(in crate::process::proxy) fn give_back(&self, buffer: Vec<u8>) {
        if buffer.len() == LARGE_BYTES {
            let other = self.last.replace(buffer);
            if other.capacity() != 0 {
                self.shelve(other);
            }
        } else if buffer.capacity() != 0 {
            self.shelve(buffer);
        }
    }

    fn shelve(&self, mut buffer: Vec<u8>) {
        let capacity = buffer.capacity();
        let too_many = if capacity >= LARGE_BYTES {
            buffer.resize(LARGE_BYTES, 0);
            self.large.borrow_mut().give_back(buffer)
        } else {
            buffer.clear();
            match self.small.get(blocks_of(capacity)) {
                Some(shelf) if capacity >= SMALL_BYTES => shelf.borrow_mut().give_back(buffer),
                Some(_) | None => Some(buffer),
            }
        };
        if too_many.is_some() {
            self.count(capacity, 0);
        }
    }

    /// Makes room for so many bytes behind those in a buffer, a block at a time: what is appended
    /// to byte by byte is copied once a block, and a head has few.
    #[inline]
    pub(in crate::process::proxy) fn reserve(&self, buffer: &mut Vec<u8>, bytes: usize) {
        if buffer.len() + bytes > buffer.capacity() {
            self.grow(buffer, bytes);
        }
    }

    fn grow(&self, buffer: &mut Vec<u8>, bytes: usize) {
        let len = buffer.len() + bytes;
        if buffer.capacity() < BLOCK_BYTES - ALLOCATOR_BYTES {
            let mut larger = self.with_room(len);
            larger.extend_from_slice(buffer);
            self.give_back(std::mem::replace(buffer, larger));
        } else {
            // The system moves whole pages without copying them.
            let before = buffer.capacity();
            buffer.reserve_exact(room(len) - buffer.len());
            self.count(before, buffer.capacity());
        }
    }

    /// Moves what a buffer holds into a smaller one where it has much more room than that.
    #[inline]
    pub(in crate::process::proxy) fn fit(&self, buffer: &mut Vec<u8>) {
        if buffer.capacity() >= 2 * SMALL_BYTES && buffer.capacity() >= 2 * room(buffer.len()) {
            let mut fitting = self.with_room(buffer.len());
            fitting.extend_from_slice(buffer);
            self.give_back(std::mem::replace(buffer, fitting));
        }
    }

    /// Frees buffers that were not needed for a while.
    pub(in crate::process::proxy) fn sweep(&self) -> Sweep {
        for (blocks, shelf) in self.small.iter().enumerate() {
            self.count(shelf.borrow_mut().sweep() * bytes_of(blocks), 0);
        }
        self.count(self.large.borrow_mut().sweep() * LARGE_BYTES, 0);
        let left_bytes = self.allocated_bytes.get();
        Sweep {
            left_bytes,
            peak_bytes: self.peak_bytes.replace(left_bytes),
        }
    }

    /// Counts what was freed and what was made. About: what grew while it was written into is
    /// counted when it comes back.
    fn count(&self, freed_bytes: usize, made_bytes: usize) {
        let bytes = self.allocated_bytes.get() + made_bytes;
        let bytes = bytes.saturating_sub(freed_bytes);
        self.allocated_bytes.set(bytes);
        self.peak_bytes.set(self.peak_bytes.get().max(bytes));
    }
}

/// Returns how many whole blocks a buffer fills.
fn blocks_of(capacity: usize) -> usize {
    (capacity + ALLOCATOR_BYTES) / BLOCK_BYTES
}

/// Returns the capacity of a buffer of so many blocks.
fn bytes_of(blocks: usize) -> usize {
    (blocks * BLOCK_BYTES)
        .saturating_sub(ALLOCATOR_BYTES)
        .max(SMALL_BYTES)
}

/// What a sweep has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::process::proxy) struct Sweep {
    /// Bytes of all buffers that are left.
    pub(in crate::process::proxy) left_bytes: usize,
    /// The most there were since the last sweep.
    pub(in crate::process::proxy) peak_bytes: usize,
}

/// Bytes that have been read and not been used up.
#[derive(Debug, Default)]
pub(in crate::process::proxy) struct Held {
    buffer: Vec<u8>,
    from: usize,
    to: usize,
}

impl Held {
    /// Holds the first `len` bytes of a buffer.
    pub(in crate::process::proxy) fn new(buffer: Vec<u8>, len: usize) -> Self {
        Self {
            buffer,
            from: 0,
            to: len,
        }
    }

    pub(in crate::process::proxy) fn bytes(&self) -> &[u8] {
        &self.buffer[self.from..self.to]
    }

    pub(in crate::process::proxy) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[self.from..self.to]
    }

    pub(in crate::process::proxy) fn len(&self) -> usize {
        self.to - self.from
    }

    pub(in crate::process::proxy) fn is_empty(&self) -> bool {
        self.from == self.to
    }

    /// Forgets the first `count` bytes; the buffer goes back with the last of them.
    pub(in crate::process::proxy) fn consume(&mut self, count: usize, buffers: &Buffers) {
        self.from += count;
        if self.is_empty() {
            self.clear(buffers);
        }
    }

    /// Forgets all but the first `count` bytes.
    pub(in crate::process::proxy) fn truncate(&mut self, count: usize) {
        self.to = self.to.min(self.from + count);
    }

    /// Forgets everything.
    pub(in crate::process::proxy) fn clear(&mut self, buffers: &Buffers) {
        let held = std::mem::take(self);
        buffers.give_back(held.buffer);
    }

    /// Appends bytes; what has been forgotten makes room for them.
    pub(in crate::process::proxy) fn append(&mut self, bytes: &[u8], buffers: &Buffers) {
        self.buffer.truncate(self.to);
        if self.to + bytes.len() > self.buffer.capacity() {
            self.buffer.drain(..self.from);
            self.from = 0;
        }
        buffers.reserve(&mut self.buffer, bytes.len());
        self.buffer.extend_from_slice(bytes);
        self.to = self.buffer.len();
    }

    /// Moves what a buffer holds into one that fits it, for a wait of unknown length. What is used
    /// up little by little is moved when half of it has gone, so that all moves together cost less
    /// than the reading did.
    #[inline]
    pub(in crate::process::proxy) fn shrink(&mut self, buffers: &Buffers) {
        if self.buffer.capacity() >= 2 * SMALL_BYTES {
            self.move_if_small(buffers);
        }
    }

    fn move_if_small(&mut self, buffers: &Buffers) {
        if self.buffer.capacity() >= 2 * room(self.len()) {
            let mut fitting = buffers.with_room(self.len());
            fitting.extend_from_slice(self.bytes());
            let len = fitting.len();
            self.clear(buffers);
            *self = Self::new(fitting, len);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free(buffers: &Buffers) -> usize {
        let small = buffers.small.iter();
        small.map(|shelf| shelf.borrow().len()).sum()
    }

    #[test]
    fn buffers_are_used_again() {
        let buffers = Buffers::default();
        let buffer = buffers.large();
        let large = buffer.as_ptr();
        let mut held = Held::new(buffer, 10);
        held.consume(4, &buffers);
        assert_eq!((held.len(), held.bytes().len()), (6, 6));
        held.shrink(&buffers);
        let last = buffers.large();
        assert_eq!((held.len(), last.as_ptr()), (6, large), "it is free again");
        held.append(b"abc", &buffers);
        assert_eq!(held.bytes().get(6..), Some(b"abc".as_slice()));
        held.consume(9, &buffers);
        assert!(held.is_empty());
        assert_eq!(free(&buffers), 1);
        let pointer = |buffer: &Vec<u8>| buffer.as_ptr();
        let buffer = buffers.with_room(10_000);
        let known = pointer(&buffer);
        buffers.give_back(buffer);
        assert_eq!(pointer(&buffers.with_room(9000)), known, "as large as this");
        assert_eq!(
            buffers.with_room(100).capacity(),
            SMALL_BYTES,
            "not for less"
        );
    }

    #[test]
    fn what_is_held_takes_no_more_room_the_longer_it_is_appended_to() {
        let buffers = Buffers::default();
        let mut held = Held::default();
        held.append(b"0123456789", &buffers);
        for _ in 0..10_000 {
            held.append(b"0123456789", &buffers);
            held.consume(10, &buffers);
        }
        assert_eq!(held.bytes(), b"0123456789");
        assert_eq!(held.buffer.capacity(), SMALL_BYTES);
    }

    /// Whatever the pieces are: the first comes in a large buffer, the others are appended.
    #[test]
    fn what_is_held_over_a_wait_takes_its_size_and_a_block() {
        for len in [
            1, 100, 2048, 2049, 4096, 15_000, 16_385, 17_000, 32_767, 65_536,
        ] {
            for piece in [1, 7, 700, len / 2 + 1, len] {
                let buffers = Buffers::default();
                let mut held = Held::default();
                let bytes = vec![b'x'; len];
                for bytes in bytes.chunks(piece) {
                    if held.is_empty() {
                        let mut buffer = buffers.large();
                        buffer[..bytes.len()].copy_from_slice(bytes);
                        held = Held::new(buffer, bytes.len());
                    } else {
                        held.append(bytes, &buffers);
                    }
                    held.shrink(&buffers);
                    let capacity = held.buffer.capacity();
                    let most = (held.len() + BLOCK_BYTES).max(SMALL_BYTES);
                    assert!(capacity <= most, "{capacity} for {} of {len}", held.len());
                }
                assert_eq!(held.bytes(), bytes);
            }
        }
    }

    #[test]
    fn what_is_used_up_slowly_takes_at_most_twice_its_size() {
        let buffers = Buffers::default();
        let mut held = Held::new(buffers.large(), LARGE_BYTES);
        let mut moved = 0;
        while held.len() > 1000 {
            let before = held.buffer.capacity();
            held.consume(1000, &buffers);
            held.shrink(&buffers);
            let capacity = held.buffer.capacity();
            if capacity < before {
                moved += held.len();
            }
            assert!(
                capacity < 2 * room(held.len()),
                "{capacity} for {}",
                held.len()
            );
        }
        assert!(moved < LARGE_BYTES, "{moved} bytes are moved in all");
    }

    #[test]
    fn buffers_that_nobody_needs_go_back_to_the_system() {
        let buffers = Buffers::default();
        let lent: Vec<_> = (0..100).map(|_| buffers.with_room(4000)).collect();
        lent.into_iter()
            .for_each(|buffer| buffers.give_back(buffer));
        let large: Vec<_> = (0..2 * LARGE_KEPT).map(|_| buffers.large()).collect();
        large
            .into_iter()
            .for_each(|buffer| buffers.give_back(buffer));
        let all = 100 * room(4000) + 2 * LARGE_KEPT * LARGE_BYTES;
        let Sweep {
            left_bytes,
            peak_bytes,
        } = buffers.sweep();
        assert_eq!(
            (left_bytes, peak_bytes),
            (all - (LARGE_KEPT - 1) * LARGE_BYTES, all)
        );
        for _ in 0..100 {
            buffers.sweep();
        }
        let Sweep {
            left_bytes,
            peak_bytes,
        } = buffers.sweep();
        assert!(left_bytes < 6 * LARGE_BYTES, "{left_bytes} bytes are left");
        assert_eq!(peak_bytes, left_bytes, "and no more");
    }
}
