//! The proxy as its owner sees it: started with sockets, asked for its status, drained.
//!
//! No global state and no exit of the process: the process's `run` and the tests use it alike. Read
//! `worker` next.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit};
use thiserror::Error;
use tokio::sync::watch;

use super::access::Log;
use super::allocator;
use super::generation::Generation;
use super::io::deadline::Phase;
use super::progress::{Found, Observer, Progress};
use super::shared::{Events, Shared, Stage};
use super::upstream::checks::Checks;
use super::worker::{self, Plan};
use crate::config::{Config, HealthCheckConfig};
use crate::ipc::control::{AccessLogStatus, ListenerStatus, PoolStatus};
use crate::ipc::message::{FromProxy, PoolHealth};
use crate::logic::descriptors::{Shares, Wanted};

/// The sockets of one bind address, one a worker.
#[derive(Debug)]
pub struct PassedSocket {
    /// The key under `listeners`.
    pub listener: String,
    /// The address they listen on.
    pub bind: SocketAddr,
    /// As many as there are workers; listening already.
    pub sockets: Vec<std::net::TcpListener>,
}

/// Why the proxy cannot start.
#[derive(Debug, Error)]
pub enum ProxyError {
    /// The configuration names a pool that it does not have.
    #[error("listener {0} names a pool that does not exist")]
    UnknownPool(String),
    /// A passed socket belongs to no listener.
    #[error("a socket was passed for listener {0}, which does not exist")]
    UnknownListener(String),
    /// There must be a socket a thread.
    #[error("{bind} of listener {listener} needs {wanted} sockets, {passed} were passed")]
    SocketCount {
        /// The key under `listeners`.
        listener: String,
        /// The address.
        bind: SocketAddr,
        /// The number of workers.
        wanted: u16,
        /// What came.
        passed: usize,
    },
    /// The system gave no thread, or refused a socket.
    #[error("a thread of the proxy did not start")]
    Thread(#[source] io::Error),
}

/// A running proxy; dropping it cuts everything.
pub struct Proxy {
    shared: Arc<Shared>,
    stage: watch::Sender<Stage>,
    running: watch::Receiver<usize>,
    log: Option<Log>,
    observer: Mutex<Observer>,
    events: Events,
    connections_configured: u64,
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were cut at the deadline.
    pub cut: u64,
}

impl Proxy {
    /// Starts `threads` workers and the health checks; returns when all threads accept on all
    /// their sockets.
    ///
    /// `initial_health` is what a predecessor last said: backends start so. `Ready` is sent before
    /// it returns.
    ///
    /// # Errors
    /// When the sockets do not fit the configuration, or the system refuses a thread.
    pub fn start(
        config: &Config,
        threads: u16,
        sockets: Vec<PassedSocket>,
        initial_health: &[PoolHealth],
        events: Events,
    ) -> Result<Self, ProxyError> {
        let generation = Generation::new(config, None, initial_health, usize::from(threads));
        let generation = generation.map_err(|error| ProxyError::UnknownPool(error.listener))?;
        let shares = shares(config, threads, &sockets);
        let shared = Arc::new(Shared::new(generation, shares));
        // Before anything is accepted: without checks no backend would ever come up again.
        let checks = Checks::new().map_err(ProxyError::Thread)?;
        let sockets = deal(&shared.generation, threads, sockets)?;
        let (log, lines) = match &config.access_log {
            Some(log) => Log::start(log, threads)
                .map(|(log, lines)| (Some(log), lines))
                .map_err(ProxyError::Thread)?,
            None => (None, Vec::new()),
        };
        let mut lines = lines.into_iter();
        let (giver, trimmer) = allocator::channel();
        spawn("memory".to_owned(), move || trimmer.run())?;
        let (stage, staged) = watch::channel(Stage::Serving);
        let (running_tx, running) = watch::channel(usize::from(threads));
        let running_tx = Arc::new(running_tx);
        let workers = (0..threads).map(|number| Progress::new(format!("data-{number}")));
        let workers: Vec<_> = workers.collect();
        let checking = Progress::new("checks".to_owned());
        let all = workers.iter().chain([&checking]).cloned().collect();
        let proxy = Self {
            shared: Arc::clone(&shared),
            stage,
            running,
            log,
            observer: Mutex::new(Observer::new(all)),
            events: Arc::clone(&events),
            connections_configured: u64::from(config.proxy.connections),
        };
        let (started_tx, started) = mpsc::sync_channel(usize::from(threads));
        for ((number, sockets), progress) in (0..threads).zip(sockets).zip(workers) {
            let name = progress.name().to_owned();
            let plan = Plan {
                number,
                shared: Arc::clone(&shared),
                sockets,
                stage: staged.clone(),
                progress,
                lines: lines.next(),
                giver: giver.clone(),
            };
            let (started, ended) = (started_tx.clone(), Ended(Arc::clone(&running_tx)));
            spawn(name, move || {
                let _ended = ended;
                // The receiver is gone only where another worker has failed.
                worker::run(plan, |result| drop(started.send(result)));
            })?;
        }
        drop(started_tx);
        for _ in 0..threads {
            let late = || io::Error::from(io::ErrorKind::TimedOut);
            let result = started
                .recv_timeout(START_TIMEOUT)
                .unwrap_or_else(|_| Err(late()));
            result.map_err(ProxyError::Thread)?;
        }
        events(FromProxy::Ready);
        let name = checking.name().to_owned();
        spawn(name, move || checks.run(shared, staged, &checking, events))?;
        Ok(proxy)
    }

    /// Returns what it should have and works without, for people.
    pub fn lacking(&self) -> Vec<String> {
        let (shares, configured) = (&self.shared.shares, self.connections_configured);
        let (max, wanted) = (shares.connections, shares.limit_wanted);
        if max >= configured {
            return Vec::new();
        }
        vec![format!(
            "the limit of open files allows {max} client connections at once, not the {configured} of \
             `proxy: limits: connections`: raise it to {wanted} (LimitNOFILE= of the unit, ulimit -Hn)"
        )]
    }

    /// Returns what was short of late, for people.
    pub fn warnings(&self) -> Vec<String> {
        self.shared.shortages.warnings(self.shared.now_ms())
    }

    /// Says of which threads steps of work have ended since the last call, or that they are over,
    /// and what the others do; to be called as often as the supervisor counts silence.
    pub fn beat(&self) {
        let mut observer = self.observer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut stuck = Vec::new();
        observer.look(|found| match found {
            Found::Moving(number) => {
                let thread = u16::try_from(number).unwrap_or(u16::MAX);
                (self.events)(FromProxy::Beat { thread });
            }
            Found::Still(number, looks) if looks >= STUCK_LOOKS => stuck.push(number),
            Found::Still(..) => {}
        });
        for number in stuck {
            let listener = |index: usize| {
                let listener = self.shared.generation.listeners.get(index);
                listener.map(|listener| listener.name.as_str())
            };
            (self.events)(FromProxy::Stuck {
                thread: u16::try_from(number).unwrap_or(u16::MAX),
                doing: observer.describe(number, listener, Phase::name_of),
            });
        }
    }

    /// Returns the counters, in the order of the configuration.
    pub fn status(&self) -> (Vec<ListenerStatus>, Vec<PoolStatus>) {
        let Generation { listeners, pools } = &self.shared.generation;
        let listeners = listeners.iter().map(|listener| listener.status());
        let pools = pools.iter().map(|pool| pool.status());
        (listeners.collect(), pools.collect())
    }

    /// Writes the access log to `sink` from now on. Until the first call its lines wait, as far as
    /// there is room.
    pub fn set_access_log(&self, sink: OwnedFd) {
        if let Some(log) = &self.log {
            log.set_sink(sink);
        }
    }

    /// Returns how the access log fares, where there is one.
    pub fn access_log(&self) -> Option<AccessLogStatus> {
        self.log.as_ref().map(Log::status)
    }

    /// Stops accepting, answers with `Connection: close`, lets requests and tunnels end, and cuts
    /// what is left after `within`. Completes when nothing is in flight and the workers have
    /// ended.
    pub async fn drain(&self, within: Duration) -> Drained {
        let drained = self.drain_threads(within).await;
        if let Some(log) = &self.log {
            log.finish().await;
        }
        drained
    }

    async fn drain_threads(&self, within: Duration) -> Drained {
        self.stage.send_replace(Stage::Draining);
        let mut running = self.running.clone();
        // An error means that the last thread has ended.
        if tokio::time::timeout(within, running.wait_for(|threads| *threads == 0))
            .await
            .is_ok()
        {
            return Drained { cut: 0 };
        }
        let cut = self.shared.connections.load(Relaxed);
        self.stage.send_replace(Stage::Cutting);
        let ended = running.wait_for(|threads| *threads == 0);
        let _ = tokio::time::timeout(END_TIMEOUT, ended).await;
        Drained { cut }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stage.send_replace(Stage::Cutting);
    }
}

/// Counts a worker out, also when it panics.
struct Ended(Arc<watch::Sender<usize>>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0
            .send_modify(|threads| *threads = threads.saturating_sub(1));
    }
}

type Dealt = Vec<Vec<(usize, std::net::TcpListener)>>;

/// Gives each thread its socket of every bind address.
fn deal(
    generation: &Generation,
    threads: u16,
    passed: Vec<PassedSocket>,
) -> Result<Dealt, ProxyError> {
    let mut dealt: Dealt = (0..threads).map(|_| Vec::new()).collect();
    for PassedSocket {
        listener,
        bind,
        sockets,
    } in passed
    {
        let mut known = generation.listeners.iter();
        let Some(index) = known.position(|known| known.name == listener) else {
            return Err(ProxyError::UnknownListener(listener));
        };
        if sockets.len() != usize::from(threads) {
            let passed = sockets.len();
            return Err(ProxyError::SocketCount {
                listener,
                bind,
                wanted: threads,
                passed,
            });
        }
        for (thread, socket) in dealt.iter_mut().zip(sockets) {
            thread.push((index, socket));
        }
    }
    Ok(dealt)
}

/// Shares out the descriptors that this process may have.
fn shares(config: &Config, threads: u16, sockets: &[PassedSocket]) -> Shares {
    // Without an answer there is hardly a limit.
    let (limit, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((u64::MAX, u64::MAX));
    let probed = config.pools.iter().filter(|pool| match pool.health_check {
        HealthCheckConfig::Probe(_) => true,
        HealthCheckConfig::None => false,
    });
    let probes: usize = probed.map(|pool| pool.backends.len()).sum();
    let sockets: usize = sockets.iter().map(|passed| passed.sockets.len()).sum();
    Shares::of(
        limit,
        Wanted {
            connections: u64::from(config.proxy.connections),
            threads: u64::from(threads),
            sockets: sockets as u64,
            probes: probes as u64,
        },
    )
}

fn spawn(name: String, run: impl FnOnce() + Send + 'static) -> Result<(), ProxyError> {
    // Joined by the count of running threads, not by handle.
    std::thread::Builder::new()
        .name(name)
        .spawn(run)
        .map(drop)
        .map_err(ProxyError::Thread)
}

/// So many looks without a step are worth a word: an idle worker moves with each.
const STUCK_LOOKS: u32 = 2;
/// How long the workers may take to accept.
const START_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the workers may take to end after the cut.
const END_TIMEOUT: Duration = Duration::from_secs(2);
