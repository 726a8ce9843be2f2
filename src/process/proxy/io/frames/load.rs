//! What the streams of one connection hold together, and what they may.
//!
//! A stream has its own part from its beginning (`HTTP2_STREAM_BYTES`). What it holds beyond that
//! while somebody is waited for comes out of what is left for all: where that is used up, the
//! others read little at a time. What was sent and has not been written is `unsent`'s.

use std::cell::Cell;
use std::rc::Rc;

use crate::process::proxy::memory::{
    BLOCK_BYTES, HTTP2_CONNECTION_BYTES, HTTP2_READ_BYTES, HTTP2_READ_BYTES_MIN,
    HTTP2_STREAM_BYTES, taken,
};

/// The account of a connection.
#[derive(Default)]
pub(in crate::process::proxy) struct Load {
    bytes_max: Cell<usize>,
    streams: Cell<usize>,
    /// By those that have begun, from their beginning.
    reserved_bytes: Cell<usize>,
    /// Beyond that.
    held_bytes: Cell<usize>,
}

impl Load {
    /// Returns how many streams there are.
    pub(in crate::process::proxy) fn streams(&self) -> usize {
        self.streams.get()
    }

    /// Reserves what a stream needs whose head is so long, of so much for the connection; `None`
    /// where too little is left.
    pub(in crate::process::proxy) fn begin(
        self: &Rc<Self>,
        head_bytes: usize,
        bytes_max: usize,
    ) -> Option<Reserved> {
        self.bytes_max.set(bytes_max);
        let bytes = HTTP2_STREAM_BYTES + 2 * head_bytes;
        if self.left() < bytes {
            return None;
        }
        self.streams.set(self.streams.get() + 1);
        add(&self.reserved_bytes, bytes);
        Some(Reserved {
            load: Rc::clone(self),
            bytes,
        })
    }

    fn left(&self) -> usize {
        let used = HTTP2_CONNECTION_BYTES + self.reserved_bytes.get() + self.held_bytes.get();
        self.bytes_max.get().saturating_sub(used)
    }

    /// Returns how much may be read at a time.
    pub(super) fn read_bytes(&self) -> usize {
        match self.left() {
            ..LARGE_READ => HTTP2_READ_BYTES_MIN,
            LARGE_READ.. => HTTP2_READ_BYTES,
        }
    }
}

fn add(cell: &Cell<usize>, bytes: usize) {
    cell.set(cell.get().saturating_add(bytes));
}

fn subtract(cell: &Cell<usize>, bytes: usize) {
    cell.set(cell.get().saturating_sub(bytes));
}

/// A stream's own part, until it is dropped.
pub(in crate::process::proxy) struct Reserved {
    load: Rc<Load>,
    bytes: usize,
}

impl Reserved {
    /// Returns whether no other stream is there.
    pub(in crate::process::proxy) fn is_last(&self) -> bool {
        self.load.streams.get() == 1
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        subtract(&self.load.reserved_bytes, self.bytes);
        self.load.streams.set(self.load.streams.get() - 1);
    }
}

/// What one direction of a stream holds beyond the stream's own part, until it is dropped.
pub(in crate::process::proxy) struct Share {
    load: Rc<Load>,
    held_bytes: usize,
}

impl Share {
    /// Returns nothing so far.
    pub(in crate::process::proxy) fn new(load: &Rc<Load>) -> Self {
        Self {
            load: Rc::clone(load),
            held_bytes: 0,
        }
    }

    /// Returns how much may be read at a time.
    pub(in crate::process::proxy) fn read_bytes(&self) -> usize {
        self.load.read_bytes()
    }

    /// Returns whether little is left for all.
    pub(in crate::process::proxy) fn is_short(&self) -> bool {
        self.load.left() < LARGE_READ
    }

    /// Takes note of how much is held while somebody is waited for.
    pub(in crate::process::proxy) fn note(&mut self, bytes: usize) {
        let held_bytes = taken(bytes).saturating_sub(BLOCK_BYTES);
        if held_bytes != self.held_bytes {
            subtract(&self.load.held_bytes, self.held_bytes);
            add(&self.load.held_bytes, held_bytes);
            self.held_bytes = held_bytes;
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        subtract(&self.load.held_bytes, self.held_bytes);
    }
}

/// What holding as much as is read at a time takes.
const LARGE_READ: usize = taken(HTTP2_READ_BYTES);

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    const MAX: usize = 2 << 20;

    #[test]
    fn streams_are_refused_where_their_own_parts_would_not_fit() {
        let load = Rc::<Load>::default();
        let streams: Vec<Reserved> = std::iter::from_fn(|| load.begin(300, MAX)).collect();
        assert!((100..150).contains(&streams.len()), "{}", streams.len());
        assert_eq!(load.streams(), streams.len());
        assert!(load.begin(300, MAX).is_none());
        drop(streams);
        assert_eq!((load.streams(), load.reserved_bytes.get()), (0, 0));
        assert!(load.begin(300, MAX).is_some());
    }

    #[test]
    fn those_that_hold_much_leave_little_to_read_for_the_others() {
        let load = Rc::<Load>::default();
        let streams: Vec<_> = (0..100).map(|_| load.begin(300, MAX).unwrap()).collect();
        let mut shares = Vec::new();
        for _ in &streams {
            for _ in 0..2 {
                let mut share = Share::new(&load);
                share.note(share.read_bytes());
                shares.push(share);
            }
        }
        let used = HTTP2_CONNECTION_BYTES + load.reserved_bytes.get() + load.held_bytes.get();
        assert!(used <= MAX, "{used}");
        let large = shares.iter().filter(|share| share.held_bytes > 0).count();
        assert!((5..100).contains(&large), "{large}");
        for share in &mut shares {
            share.note(0);
        }
        assert_eq!(load.held_bytes.get(), 0);
        assert_eq!(shares[0].read_bytes(), HTTP2_READ_BYTES);
    }
}
