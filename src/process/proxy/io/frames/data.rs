//! What is sent in a frame, in a buffer of the worker: it goes back when the frame has been
//! written.

use std::rc::Rc;

use bytes::Buf;

use super::unsent::Unsent;
use crate::process::proxy::io::buffers::Held;

/// Some of a body.
#[derive(Default)]
pub(in crate::process::proxy) struct Data {
    bytes: Held,
    /// How many they were.
    len: usize,
    /// Who is told when they have been written; `None` of nothing.
    unsent: Option<Rc<Unsent>>,
}

impl Data {
    /// Copies bytes.
    pub(super) fn of(bytes: &[u8], unsent: &Rc<Unsent>) -> Self {
        let len = bytes.len();
        if len == 0 {
            return Self::default();
        }
        let mut buffer = unsent.buffers().with_room(len);
        buffer.extend_from_slice(bytes);
        unsent.handle_sent(len);
        Self {
            bytes: Held::new(buffer, len),
            len,
            unsent: Some(Rc::clone(unsent)),
        }
    }
}

impl Buf for Data {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.bytes()
    }

    fn advance(&mut self, count: usize) {
        if let Some(unsent) = &self.unsent {
            self.bytes.consume(count, unsent.buffers());
        }
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        if let Some(unsent) = &self.unsent {
            self.bytes.clear(unsent.buffers());
            unsent.handle_written(self.len);
        }
    }
}
