//! What the supervisor was last told to say: the status, the transitions, and how it was before.
//!
//! It is asked every second while somebody looks, and seldom otherwise; who scrapes or loads a page
//! has it asked at once, unless it has just been.

use std::cell::{Cell, OnceCell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use tokio::sync::{Notify, watch};

use super::asking::Line;
use super::history::History;
use crate::ipc::control::{Event, Request, Response, Status, unix_ms};

/// What is shown, of one moment.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// What was said; `None`: the supervisor did not say it in time.
    pub(super) status: Option<Status>,
    /// The last transitions, in order.
    pub(super) events: Vec<Event>,
    /// When, milliseconds since 1970.
    pub(super) at_ms: u64,
    pub(super) taken_at: Instant,
    /// As it was asked for: all who ask meanwhile get the same.
    pub(super) texts: Texts,
}

/// A snapshot in the forms in which it is asked for, each made once.
#[derive(Debug, Default)]
pub(super) struct Texts {
    pub(super) page: OnceCell<Bytes>,
    /// With the form.
    pub(super) page_with_form: OnceCell<Bytes>,
    pub(super) status: OnceCell<Bytes>,
    pub(super) metrics: OnceCell<Bytes>,
    pub(super) open_metrics: OnceCell<Bytes>,
}

/// The last one, and who is told of another.
#[derive(Debug)]
pub(super) struct Watched {
    latest: watch::Sender<Option<Rc<Snapshot>>>,
    pub(super) history: RefCell<History>,
    wanted: Notify,
    /// Pages that are open.
    viewers: Cell<usize>,
}

impl Default for Watched {
    fn default() -> Self {
        Self {
            latest: watch::Sender::new(None),
            history: RefCell::default(),
            wanted: Notify::new(),
            viewers: Cell::new(0),
        }
    }
}

/// A page that is open, until it is dropped.
#[derive(Debug)]
pub(super) struct Viewer(Rc<Watched>);

impl Drop for Viewer {
    fn drop(&mut self) {
        self.0.viewers.set(self.0.viewers.get() - 1);
    }
}

impl Watched {
    /// Returns one that is no older than what a moment is here; `None` where there is none in time.
    pub(super) async fn snapshot(&self) -> Option<Rc<Snapshot>> {
        let mut latest = self.latest.subscribe();
        let is_fresh = |snapshot: &Option<Rc<Snapshot>>| {
            let fresh = |it: &Rc<Snapshot>| it.taken_at.elapsed() < FRESH;
            snapshot.as_ref().is_some_and(fresh)
        };
        if !is_fresh(&latest.borrow()) {
            self.wanted.notify_one();
        }
        let waited = tokio::time::timeout(SNAPSHOT_TIMEOUT, latest.wait_for(is_fresh)).await;
        waited.ok()?.ok()?.clone()
    }

    /// Returns where another is told of.
    pub(super) fn subscribe(&self) -> watch::Receiver<Option<Rc<Snapshot>>> {
        self.latest.subscribe()
    }

    /// Takes note of a page that is open; `None` where too many are.
    pub(super) fn be_viewed(self: &Rc<Self>) -> Option<Viewer> {
        if self.viewers.get() >= VIEWERS_MAX {
            return None;
        }
        self.viewers.set(self.viewers.get() + 1);
        self.wanted.notify_one();
        Some(Viewer(Rc::clone(self)))
    }
}

/// Asks over the line again and again, until it is broken.
pub(super) async fn follow(watched: Rc<Watched>, mut line: Line) -> io::Result<()> {
    let mut events: Vec<Event> = Vec::new();
    loop {
        let after = events.last().map_or(0, |event| event.epoch);
        if let Response::Events(more) = line.ask(&Request::Events { after }).await? {
            events.extend(more);
            events.drain(..events.len().saturating_sub(EVENTS_MAX));
        }
        let status = match line.ask(&Request::Status).await? {
            Response::Status(status) => Some(*status),
            Response::Events(_)
            | Response::Configuration(_)
            | Response::OverSocket
            | Response::Changed(_)
            | Response::Refused(_)
            | Response::Error(_) => None,
        };
        let snapshot = Rc::new(Snapshot {
            events: events.clone(),
            at_ms: unix_ms(SystemTime::now()),
            taken_at: Instant::now(),
            texts: Texts::default(),
            status,
        });
        if let Some(status) = &snapshot.status {
            let mut history = watched.history.borrow_mut();
            history.note(snapshot.at_ms, status);
        }
        watched.latest.send_replace(Some(snapshot));
        let pause = match watched.viewers.get() {
            0 => SELDOM,
            _ => OFTEN,
        };
        // Who wants one now gets it; not more often than it is worth.
        tokio::time::sleep(FRESH).await;
        let rest = pause.saturating_sub(FRESH);
        let _ = tokio::time::timeout(rest, watched.wanted.notified()).await;
    }
}

/// As old as what is shown may be: all that ask meanwhile get the same.
const FRESH: Duration = Duration::from_millis(200);
/// While a page is open.
const OFTEN: Duration = Duration::from_millis(800);
/// For the graphs of the next one that is.
const SELDOM: Duration = Duration::from_secs(5);
/// Longer than the supervisor takes.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(5);
/// Pages that are open at a time: the other connections are for who asks once.
const VIEWERS_MAX: usize = 100;
/// Transitions that are shown.
const EVENTS_MAX: usize = 500;
