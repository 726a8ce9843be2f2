//! Who is connected: asked of all workers, which answer beside their work.
//!
//! A worker looks for a call with each of its beats, so that requests pay nothing for it. What the
//! workers say comes together in the call, and is bounded: what is beyond is counted. Knows nothing
//! of connections themselves; `answering` does.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::Notify;

use crate::ipc::message::ConnectionFilter;

/// The calls that go on, and who answers them.
#[derive(Default)]
pub(in crate::process::proxy) struct Roll {
    workers: AtomicU64,
    /// Of the last call.
    number: AtomicU64,
    calls: Mutex<Vec<Arc<Call>>>,
}

/// A worker, as long as it answers.
pub(in crate::process::proxy) struct Seat<'r> {
    roll: &'r Roll,
    /// The last call that it has seen.
    seen: u64,
}

/// One call.
pub(in crate::process::proxy) struct Call {
    number: u64,
    pub(in crate::process::proxy) wanted: ConnectionFilter,
    /// How many workers were there.
    workers: u64,
    answers: Mutex<Answers>,
    changed: Notify,
}

/// What workers have said.
#[derive(Debug, Default)]
pub(in crate::process::proxy) struct Answers {
    pub(in crate::process::proxy) rows: Vec<Row>,
    /// Connections beyond `ROWS_MAX`.
    pub(in crate::process::proxy) left_out: u64,
    /// How many workers have said all.
    whole: u64,
}

/// A connection, or a request on one that carries many.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(in crate::process::proxy) struct Row {
    pub(in crate::process::proxy) worker: usize,
    pub(in crate::process::proxy) listener: String,
    pub(in crate::process::proxy) client: SocketAddr,
    /// Whether it is one of several requests of its connection, which has a row of its own.
    pub(in crate::process::proxy) stream: bool,
    pub(in crate::process::proxy) state: &'static str,
    /// Whom it is about.
    pub(in crate::process::proxy) backend: Option<String>,
    pub(in crate::process::proxy) age_ms: u64,
    /// Since the state began, or bytes last moved in it.
    pub(in crate::process::proxy) state_ms: Option<u64>,
    /// As the kernel has it; `None` of a stream.
    pub(in crate::process::proxy) received_bytes: Option<u64>,
    pub(in crate::process::proxy) sent_bytes: Option<u64>,
}

impl Roll {
    /// Has a worker answer calls from now on.
    pub(in crate::process::proxy) fn join(&self) -> Seat<'_> {
        self.workers.fetch_add(1, Relaxed);
        Seat {
            roll: self,
            seen: self.number.load(Relaxed),
        }
    }

    /// Calls all workers; `None` where there are too many calls already.
    pub(in crate::process::proxy) fn call(&self, wanted: ConnectionFilter) -> Option<Arc<Call>> {
        let mut calls = self.calls();
        if calls.len() >= CALLS_MAX {
            return None;
        }
        let number = self.number.load(Relaxed) + 1;
        let call = Arc::new(Call {
            number,
            wanted,
            workers: self.workers.load(Relaxed),
            answers: Mutex::default(),
            changed: Notify::new(),
        });
        calls.push(Arc::clone(&call));
        self.number.store(number, Relaxed);
        Some(call)
    }

    /// Waits until all have answered, but no longer than `within`; returns what they have said, and
    /// how many have not said all.
    pub(in crate::process::proxy) async fn answers(
        &self,
        call: &Call,
        within: Duration,
    ) -> (Answers, u64) {
        let all = async {
            while call.answers().whole < call.workers {
                call.changed.notified().await;
            }
        };
        // What is there by then is told.
        let _ = tokio::time::timeout(within, all).await;
        self.calls().retain(|other| other.number != call.number);
        let answers = std::mem::take(&mut *call.answers());
        let missing = call.workers.saturating_sub(answers.whole);
        (answers, missing)
    }

    fn calls(&self) -> MutexGuard<'_, Vec<Arc<Call>>> {
        // What is in it is whole at every moment.
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat<'_> {
    /// Returns the calls that have come since this was last asked.
    pub(in crate::process::proxy) fn take_calls(&mut self) -> Vec<Arc<Call>> {
        let number = self.roll.number.load(Relaxed);
        if number == self.seen {
            return Vec::new();
        }
        let seen = std::mem::replace(&mut self.seen, number);
        let calls = self.roll.calls();
        let new = calls.iter().filter(|call| call.number > seen);
        new.cloned().collect()
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.roll.workers.fetch_sub(1, Relaxed);
    }
}

impl Call {
    /// Takes what a worker has to say, as far as there is room.
    pub(in crate::process::proxy) fn add(&self, mut rows: Vec<Row>) {
        let mut answers = self.answers();
        let room = ROWS_MAX - answers.rows.len();
        let beyond = rows.len().saturating_sub(room);
        rows.truncate(room);
        answers.rows.append(&mut rows);
        answers.left_out += beyond as u64;
    }

    /// Notes that a worker has said all.
    pub(in crate::process::proxy) fn finish(&self) {
        self.answers().whole += 1;
        self.changed.notify_one();
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Operators who ask at a time; one more is told so.
const CALLS_MAX: usize = 4;
/// Rows of an answer.
const ROWS_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        Row {
            worker: 0,
            listener: "http".into(),
            client: SocketAddr::from(([192, 0, 2, 7], 4711)),
            stream: false,
            state: "idle",
            backend: None,
            age_ms: 1,
            state_ms: None,
            received_bytes: Some(2),
            sent_bytes: None,
        }
    }

    #[tokio::test]
    async fn what_is_beyond_is_counted_and_who_is_silent_is_missing() {
        let roll = Roll::default();
        let (mut one, _silent) = (roll.join(), roll.join());
        let call = roll.call(ConnectionFilter::default()).expect("a call");
        for call in one.take_calls() {
            call.add(vec![row(); ROWS_MAX - 1]);
            call.add(vec![row(); 3]);
            call.finish();
        }
        assert!(one.take_calls().is_empty(), "each is seen once");
        let (answers, missing) = roll.answers(&call, Duration::ZERO).await;
        let counts = (answers.rows.len(), answers.left_out, missing);
        assert_eq!(counts, (ROWS_MAX, 2, 1));
    }

    #[test]
    fn calls_are_bounded() {
        let roll = Roll::default();
        for _ in 0..CALLS_MAX {
            assert!(roll.call(ConnectionFilter::default()).is_some());
        }
        assert!(roll.call(ConnectionFilter::default()).is_none());
    }
}
