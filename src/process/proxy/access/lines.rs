//! The lines of one worker: rendered into a buffer of its own, handed over, never waited for.
//!
//! In the steady state nothing is allocated: buffers come back from the writer.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Instant, SystemTime};

use super::{BUFFER_BYTES, BUFFERS_A_THREAD, Filled, Job, Log};
use crate::logic::access::{Format, LINE_BYTES_MAX, Line};
use crate::process::proxy::io::recycle::Shelf;

/// Where a worker leaves its lines.
pub(in crate::process::proxy) struct Lines {
    log: Arc<Log>,
    owner: SyncSender<Vec<u8>>,
    returned: Receiver<Vec<u8>>,
    /// Have come back and are free.
    free: Shelf<Vec<u8>>,
    /// Being filled; without capacity where there is none.
    current: Vec<u8>,
    /// How many lines it has.
    count: u64,
    /// The same once more, as JSON, for those who follow the log; empty while nobody does.
    followed: Vec<u8>,
    /// How many lines that has.
    followed_count: u64,
    /// How many buffers have been made.
    made: usize,
    clock: WallClock,
}

impl Lines {
    /// Returns a place for the lines of one worker.
    pub(in crate::process::proxy) fn new(log: &Arc<Log>) -> Self {
        let (owner, returned) = sync_channel(BUFFERS_A_THREAD);
        Self {
            log: Arc::clone(log),
            owner,
            returned,
            free: Shelf::new(BUFFERS_A_THREAD),
            current: Vec::new(),
            count: 0,
            followed: Vec::new(),
            followed_count: 0,
            made: 0,
            clock: WallClock::now(),
        }
    }

    /// Returns whether they go to this log.
    pub(in crate::process::proxy) fn are_of(&self, log: &Arc<Log>) -> bool {
        Arc::ptr_eq(&self.log, log)
    }

    /// Writes a line, or drops it where no buffer is free.
    pub(in crate::process::proxy) fn write(&mut self, line: &Line<'_>) {
        if self.log.followers().are_there() {
            self.follow(line);
        }
        if self.current.capacity() == 0 && !self.take_buffer() {
            self.log.count_dropped(1);
            return;
        }
        self.log.format().render(line, &mut self.current);
        self.count += 1;
        if self.current.capacity() - self.current.len() < LINE_BYTES_MAX {
            self.hand_over();
        }
    }

    /// Returns what a clock on the wall showed then, milliseconds since 1970.
    pub(in crate::process::proxy) fn unix_ms(&self, at: Instant) -> u64 {
        self.clock.unix_ms(at)
    }

    /// A beat has passed: what there is goes to the writer.
    pub(in crate::process::proxy) fn handle_beat(&mut self) {
        self.clock = WallClock::now();
        self.hand_over();
        self.hand_over_followed();
    }

    /// Lets go buffers that nobody has needed for a while; returns the bytes of those that are
    /// left.
    pub(in crate::process::proxy) fn sweep(&mut self) -> usize {
        while let Ok(buffer) = self.returned.try_recv() {
            // There is room for all that were made.
            drop(self.free.give_back(buffer));
        }
        self.made = self.made.saturating_sub(self.free.sweep());
        self.made * BUFFER_BYTES
    }

    fn follow(&mut self, line: &Line<'_>) {
        if self.followed.capacity() == 0 {
            self.followed = Vec::with_capacity(BUFFER_BYTES);
        }
        Format::Json.render(line, &mut self.followed);
        self.followed_count += 1;
        if self.followed.capacity() - self.followed.len() < LINE_BYTES_MAX {
            self.hand_over_followed();
        }
    }

    /// Hands over what those get who follow the log. It is dropped where the writer is behind: the
    /// log itself comes first.
    fn hand_over_followed(&mut self) {
        if self.followed.is_empty() {
            return;
        }
        let lines = std::mem::take(&mut self.followed);
        let count = std::mem::take(&mut self.followed_count);
        if self.log.jobs.try_send(Job::Follow(lines)).is_err() {
            self.log.followers().note_lost(count);
        }
    }

    fn take_buffer(&mut self) -> bool {
        if let Some(buffer) = self.free.take().or_else(|| self.returned.try_recv().ok()) {
            self.current = buffer;
        } else if self.made < BUFFERS_A_THREAD {
            self.made += 1;
            self.current = Vec::with_capacity(BUFFER_BYTES);
        }
        self.current.capacity() > 0
    }

    fn hand_over(&mut self) {
        if self.current.is_empty() {
            return;
        }
        let filled = Filled {
            lines: std::mem::take(&mut self.current),
            count: std::mem::take(&mut self.count),
            owner: self.owner.clone(),
        };
        let count = filled.count;
        if self.log.jobs.try_send(Job::Write(filled)).is_err() {
            // The writer has ended, and so will this thread; or it is far behind more threads than
            // the log began with.
            self.log.count_dropped(count);
            self.made = self.made.saturating_sub(1);
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.hand_over();
        self.hand_over_followed();
    }
}

/// The clock on the wall, read with the other one now and then rather than for every line.
#[derive(Clone, Copy, Debug)]
struct WallClock {
    at: Instant,
    unix_ms: u64,
}

impl WallClock {
    fn now() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let unix_ms = since.map_or(0, |since| since.as_millis());
        Self {
            at: Instant::now(),
            unix_ms: u64::try_from(unix_ms).unwrap_or(u64::MAX),
        }
    }

    fn unix_ms(&self, at: Instant) -> u64 {
        let millis = |from: Instant, to: Instant| {
            let span = to.saturating_duration_since(from).as_millis();
            u64::try_from(span).unwrap_or(u64::MAX)
        };
        let after = self.unix_ms.saturating_add(millis(self.at, at));
        after.saturating_sub(millis(at, self.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_clock_on_the_wall_knows_moments_before_and_after_it_was_read() {
        let clock = WallClock {
            at: Instant::now(),
            unix_ms: 1_000_000,
        };
        let span = Duration::from_millis(1500);
        assert_eq!(clock.unix_ms(clock.at), 1_000_000);
        assert_eq!(clock.unix_ms(clock.at + span), 1_001_500);
        if let Some(before) = clock.at.checked_sub(span) {
            assert_eq!(clock.unix_ms(before), 998_500);
        }
    }
}
