//! Unused memory goes back to the system: the allocator keeps it otherwise, for ever.
//!
//! Buffers are mapped each by itself: a client that sends its head in two pieces would leave a hole
//! of the size of the first among what is small, and the holes of thousands of clients fit no other
//! use else. Data threads say when much has gone (`Giver`); a thread of its own asks the allocator,
//! because that takes milliseconds after a flood. Read `memory` for what counts as much.

use std::cell::Cell;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::memory::{ALLOCATOR_BYTES, BLOCK_BYTES, TRIM_BYTES};

/// How a worker asks for memory to be given back.
#[derive(Clone, Debug)]
pub(super) struct Giver {
    asks: SyncSender<()>,
    /// The most that was in use since it last asked.
    peak_bytes: Cell<usize>,
    /// Sweeps since then.
    sweeps: Cell<u32>,
}

/// Who gives it back.
#[derive(Debug)]
pub(super) struct Trimmer {
    asked: Receiver<()>,
}

/// Returns both ends; what is asked while it is being done is done once more.
pub(super) fn channel() -> (Giver, Trimmer) {
    let (asks, asked) = sync_channel(1);
    let giver = Giver {
        asks,
        peak_bytes: Cell::new(0),
        sweeps: Cell::new(0),
    };
    (giver, Trimmer { asked })
}

impl Giver {
    /// Takes note of what is in use at a sweep, and of the most there was since the last; asks
    /// where much has gone, once a second at most.
    pub(super) fn handle_sweep(&self, in_use_bytes: usize, peak_bytes: usize) {
        let peak_bytes = self.peak_bytes.get().max(peak_bytes).max(in_use_bytes);
        self.peak_bytes.set(peak_bytes);
        self.sweeps.set(self.sweeps.get().saturating_add(1));
        if peak_bytes - in_use_bytes < TRIM_BYTES || self.sweeps.get() < SWEEPS_MIN {
            return;
        }
        self.peak_bytes.set(in_use_bytes);
        self.sweeps.set(0);
        // Where it is full another worker has asked.
        let _ = self.asks.try_send(());
    }
}

impl Trimmer {
    /// Gives memory back whenever it is asked to, until no worker is left to ask.
    pub(super) fn run(self) {
        while self.asked.recv().is_ok() {
            trim();
        }
    }
}

/// Has the allocator map what is as large as a block by itself, for this whole process.
pub(super) fn configure() {
    #[cfg(target_env = "gnu")]
    {
        let threshold = libc::c_int::try_from(BLOCK_BYTES - 2 * ALLOCATOR_BYTES);
        // SAFETY: the call takes two numbers. It is made before there are other threads; where it
        // fails, memory is used less well.
        unsafe {
            libc::mallopt(
                libc::M_MMAP_THRESHOLD,
                threshold.unwrap_or(libc::c_int::MAX),
            );
        }
    }
}

/// Has the allocator give back what is free, of all threads.
fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the call takes a number and touches nothing but what is free.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Sweeps from one time to the next, at four a second.
const SWEEPS_MIN: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back_once_where_much_has_gone() {
        let (giver, trimmer) = channel();
        let asked = |in_use: usize, sweeps: u32| {
            (0..sweeps).for_each(|_| giver.handle_sweep(in_use, in_use));
            trimmer.asked.try_recv().is_ok()
        };
        assert!(!asked(10 * TRIM_BYTES, 10), "it is in use");
        assert!(!asked(9 * TRIM_BYTES + 1, 10), "that is little");
        assert!(asked(9 * TRIM_BYTES, 1));
        assert!(!asked(0, 3), "a moment ago");
        assert!(asked(0, 1));
        assert!(!asked(0, 100), "nothing is left to give back");
    }
}
