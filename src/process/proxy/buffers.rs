//! The buffers of one data thread: borrowed for a read or a head, given back, kept for the next.
//!
//! Nobody holds a buffer without need: an idle connection has none, so that it costs little, and in
//! the steady state none is allocated. A buffer is owned by whoever has it: it can be kept over an
//! await without another connection writing into it.

use std::cell::RefCell;

/// The buffers that are free.
#[derive(Default)]
pub(super) struct Buffers {
    small: RefCell<Vec<Vec<u8>>>,
    large: RefCell<Vec<Vec<u8>>>,
}

impl Buffers {
    /// Returns an empty buffer for a head.
    pub(super) fn small(&self) -> Vec<u8> {
        let kept = self.small.borrow_mut().pop();
        kept.unwrap_or_else(|| Vec::with_capacity(SMALL_BYTES))
    }

    /// Returns a buffer of `LARGE_BYTES` bytes for a read; what they are means nothing.
    pub(super) fn large(&self) -> Vec<u8> {
        let kept = self.large.borrow_mut().pop();
        kept.unwrap_or_else(|| vec![0; LARGE_BYTES])
    }

    /// Takes a buffer of either kind back.
    pub(super) fn give_back(&self, mut buffer: Vec<u8>) {
        if buffer.capacity() >= LARGE_BYTES {
            let mut large = self.large.borrow_mut();
            if large.len() < LARGE_KEPT {
                buffer.resize(LARGE_BYTES, 0);
                large.push(buffer);
            }
        } else if (1..=SMALL_KEPT_BYTES).contains(&buffer.capacity()) {
            let mut small = self.small.borrow_mut();
            if small.len() < SMALL_KEPT {
                buffer.clear();
                small.push(buffer);
            }
        }
    }
}

/// Bytes that have been read and not been used up.
#[derive(Debug, Default)]
pub(super) struct Held {
    buffer: Vec<u8>,
    from: usize,
    to: usize,
}

impl Held {
    /// Holds the first `len` bytes of a buffer.
    pub(super) fn new(buffer: Vec<u8>, len: usize) -> Held {
        Held {
            buffer,
            from: 0,
            to: len,
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[self.from..self.to]
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[self.from..self.to]
    }

    pub(super) fn len(&self) -> usize {
        self.to - self.from
    }

    pub(super) fn is_empty(&self) -> bool {
        self.from == self.to
    }

    /// Forgets the first `count` bytes; the buffer goes back with the last of them.
    pub(super) fn consume(&mut self, count: usize, buffers: &Buffers) {
        self.from += count;
        if self.is_empty() {
            self.clear(buffers);
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self, buffers: &Buffers) {
        let held = std::mem::take(self);
        buffers.give_back(held.buffer);
    }

    /// Appends bytes; what has been forgotten makes room for them.
    pub(super) fn append(&mut self, bytes: &[u8], buffers: &Buffers) {
        if self.buffer.capacity() == 0 {
            self.buffer = buffers.small();
        }
        self.buffer.truncate(self.to);
        if self.to + bytes.len() > self.buffer.capacity() {
            self.buffer.drain(..self.from);
            self.from = 0;
        }
        self.buffer.extend_from_slice(bytes);
        self.to = self.buffer.len();
    }

    /// Moves what little a large buffer holds into a small one, for a wait of unknown length.
    pub(super) fn shrink(&mut self, buffers: &Buffers) {
        if self.buffer.capacity() >= LARGE_BYTES && self.len() <= SMALL_KEPT_BYTES {
            let mut small = buffers.small();
            small.extend_from_slice(self.bytes());
            let len = small.len();
            self.clear(buffers);
            *self = Held::new(small, len);
        }
    }
}

/// A read: enough that large bodies need few calls.
pub(super) const LARGE_BYTES: usize = 256 * 1024;
/// Large buffers kept free; most reads give theirs back at once.
const LARGE_KEPT: usize = 16;
/// A head, with room for what is added to it.
const SMALL_BYTES: usize = 2 * 1024;
/// Small buffers that have grown larger than this are not kept.
const SMALL_KEPT_BYTES: usize = 16 * 1024;
/// Small buffers kept free.
const SMALL_KEPT: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_used_again() {
        let buffers = Buffers::default();
        let mut held = Held::new(buffers.large(), 10);
        held.consume(4, &buffers);
        assert_eq!((held.len(), held.bytes().len()), (6, 6));
        held.shrink(&buffers);
        assert_eq!((held.len(), buffers.large.borrow().len()), (6, 1));
        held.append(b"abc", &buffers);
        assert_eq!(held.bytes().get(6..), Some(b"abc".as_slice()));
        held.consume(9, &buffers);
        assert!(held.is_empty());
        assert_eq!(buffers.small.borrow().len(), 1);
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
}
