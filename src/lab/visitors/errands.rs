//! Errands: single requests of chosen lengths, all begun at once, each with its own outcome.
//!
//! For what crowds are too coarse for: which of the requests in flight at a stop end whole, and
//! when the others are cut.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::task::LocalSet;
use tokio::time::{interval_at, timeout};

use super::ask::{self, Then, Trouble};
use super::line::Line;
use crate::lab::LabError;
use crate::lab::namespace::host::Host;

/// One request and how long it is meant to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand {
    /// An answer that comes after so long.
    Request(Duration),
    /// A download over so long.
    Download(Duration),
    /// An upload over so long.
    Upload(Duration),
    /// Messages over a WebSocket, for so long.
    WebSocket(Duration),
}

/// How an errand ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Which one.
    pub errand: Errand,
    /// When, counted from the start of all.
    pub after: Duration,
    /// Whether the answer came whole.
    pub outcome: Result<(), Trouble>,
}

/// Errands that are under way.
#[derive(Debug)]
pub struct Errands {
    count: usize,
    started_at: Instant,
    ended: Receiver<Ended>,
    thread: Option<JoinHandle<()>>,
}

impl Errands {
    /// Sends all of them from a host, each on a connection of its own; no wait without a byte may
    /// be longer than `patience`.
    ///
    /// # Errors
    /// When the host does not start the thread.
    pub fn start(
        host: &Host,
        target: SocketAddr,
        errands: &[Errand],
        patience: Duration,
    ) -> Result<Self, LabError> {
        let (done, ended) = sync_channel(errands.len());
        let list = errands.to_vec();
        let started_at = Instant::now();
        let thread = host.thread("errands", move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            // Without one nothing ends, and whoever waits is told.
            let Ok(runtime) = runtime else { return };
            let local = LocalSet::new();
            let tasks: Vec<_> = list
                .into_iter()
                .enumerate()
                .map(|(serial, errand)| {
                    let done = done.clone();
                    local.spawn_local(async move {
                        let run = timeout(RUN_MAX, errand.run(target, serial, patience)).await;
                        let outcome = run.unwrap_or(Err(Trouble::Wrong)).map(|_| ());
                        let after = started_at.elapsed();
                        let _ = done.send(Ended {
                            errand,
                            after,
                            outcome,
                        });
                    })
                })
                .collect();
            local.block_on(&runtime, async {
                for task in tasks {
                    // One that panicked has ended too.
                    let _ = task.await;
                }
            });
        })?;
        Ok(Self {
            count: errands.len(),
            started_at,
            ended,
            thread: Some(thread),
        })
    }

    /// Returns when they began.
    pub const fn started_at(&self) -> Instant {
        self.started_at
    }

    /// Waits until all have ended, and returns how, in the order of their ends.
    ///
    /// # Errors
    /// When the thread ended before all of them had.
    pub fn wait(mut self) -> Result<Vec<Ended>, LabError> {
        let ended: Vec<Ended> = self.ended.iter().take(self.count).collect();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has ended too.
            let _ = thread.join();
        }
        if ended.len() == self.count {
            Ok(ended)
        } else {
            Err(LabError::HostSilent("of the errands".into()))
        }
    }
}

impl Errand {
    async fn run(
        self,
        target: SocketAddr,
        serial: usize,
        patience: Duration,
    ) -> Result<Then, Trouble> {
        let token = format!("errand-{serial}");
        let mut line = Line::open(target, patience).await?;
        match self {
            Self::Request(delay) => ask::request(&mut line, &token, delay).await,
            Self::Download(span) => ask::download(&mut line, &token, BYTES, span, &|| {}).await,
            Self::Upload(span) => ask::upload(&mut line, &token, BYTES, span, &|| {}).await,
            Self::WebSocket(span) => {
                ask::upgrade(&mut line, &token).await?;
                let begin = tokio::time::Instant::now();
                let mut ticks = interval_at(begin, MESSAGE_INTERVAL);
                while begin.elapsed() < span {
                    ticks.tick().await;
                    ask::message(&mut line, &token).await?;
                }
                Ok(Then::Close)
            }
        }
    }
}

/// Of a download or an upload, however long it takes.
const BYTES: u64 = 200_000;
const MESSAGE_INTERVAL: Duration = Duration::from_millis(100);
/// No errand is longer.
const RUN_MAX: Duration = Duration::from_secs(60);
