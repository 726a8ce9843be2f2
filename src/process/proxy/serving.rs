//! The proxy as its owner sees it: started with sockets, asked for its status, drained.
//!
//! No global state and no exit of the process: the process's `run` and the tests use it alike. Its
//! configuration is changed in two steps (`reload`). Read `worker` next.

mod reload;
mod roster;
mod shares;
mod state;

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::watch;

use self::state::State;
use super::access::Log;
use super::allocator;
use super::deployment::{Answers, Deployment, Desired, Sockets};
use super::generation::Generation;
use super::io::deadline::Phase;
use super::progress::{Found, Observer, Progress};
use super::shared::{Events, Shared, Stage};
use super::tls::signing::SigningLines;
use super::tls::tickets::SharedSecrets;
use super::upstream::checks::Checks;
use super::worker::{self, Plan};
use crate::config::Config;
use crate::ipc::control::{AccessLogStatus, ListenerStatus, PoolStatus};
use crate::ipc::message::{ConnectionFilter, FromProxy, PoolHealth, Secrets};

/// Sockets of one bind address.
#[derive(Debug)]
pub struct PassedSocket {
    /// The key under `listeners`.
    pub listener: String,
    /// The address they listen on.
    pub bind: SocketAddr,
    /// Listening already; of each address as many as there are workers, or more.
    pub sockets: Vec<std::net::TcpListener>,
}

/// Why the proxy cannot start, or cannot take up another configuration.
#[derive(Debug, Error)]
pub enum ProxyError {
    /// The configuration names a pool that it does not have.
    #[error("listener {0} names a pool that does not exist")]
    UnknownPool(String),
    /// A certificate cannot be used.
    #[error("{0}")]
    Tls(String),
    /// A passed socket belongs to no listener.
    #[error("a socket was passed for listener {0}, which does not exist")]
    UnknownListener(String),
    /// There must be a socket a worker at least.
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
    /// It stops.
    #[error("the proxy stops")]
    Draining,
    /// The configuration before is not taken up by all threads yet.
    #[error("the configuration before is still being taken up")]
    Busy,
}

/// A running proxy; dropping it cuts everything.
pub struct Proxy {
    shared: Arc<Shared>,
    stage: watch::Sender<Stage>,
    desired: watch::Sender<Arc<Desired>>,
    /// How many workers have not ended.
    running: Arc<watch::Sender<usize>>,
    state: Mutex<State>,
    observer: Mutex<Observer>,
    events: Events,
    secrets: Arc<SharedSecrets>,
    /// What workers ask for signatures over, by their number.
    lines: watch::Sender<SigningLines>,
}

/// What the proxy is given besides sockets.
#[derive(Debug, Default)]
pub struct Given {
    /// What is derived from the secret of the group.
    secrets: Arc<SharedSecrets>,
    lines: SigningLines,
    /// What bodies of requests are kept in.
    spool: Option<OwnedFd>,
}

impl Given {
    /// Returns what is derived from these secrets, and asks over these lines, one for each worker;
    /// bodies are kept in the file.
    pub fn new(secrets: Secrets, lines: Vec<OwnedFd>, spool: Option<OwnedFd>) -> Self {
        let given = Self {
            secrets: Arc::default(),
            lines: signing_lines(lines),
            spool,
        };
        given.secrets.set(secrets);
        given
    }
}

fn signing_lines(lines: Vec<OwnedFd>) -> SigningLines {
    lines.into_iter().map(Arc::new).collect()
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
        let given = Given::default();
        Self::start_with(config, threads, sockets, initial_health, events, given)
    }

    /// As [`start`](Self::start), with what is given besides.
    ///
    /// # Errors
    /// As those of [`start`](Self::start).
    pub fn start_with(
        config: &Config,
        threads: u16,
        sockets: Vec<PassedSocket>,
        initial_health: &[PoolHealth],
        events: Events,
        given: Given,
    ) -> Result<Self, ProxyError> {
        let Given {
            secrets,
            lines,
            spool,
        } = given;
        let compiled = Generation::compile(config, None, &secrets);
        let compiled = compiled.map_err(|error| ProxyError::Tls(error.to_string()))?;
        let generation = Generation::new(config, None, initial_health, compiled);
        let generation = generation.map_err(|error| ProxyError::UnknownPool(error.listener))?;
        let deployment = first(config, generation, threads, sockets)?;
        let shared = Arc::new(Shared::new(deployment.shares.connections));
        let kept = spool.map(|file| shared.spool.set_file(file));
        kept.transpose().map_err(ProxyError::Thread)?;
        // Before anything is accepted: without checks no backend would ever come up again.
        let checks = Checks::new().map_err(ProxyError::Thread)?;
        let (giver, trimmer) = allocator::channel();
        spawn("memory".to_owned(), move || trimmer.run())?;
        let checking = Progress::new("checks".to_owned());
        let mut observer = Observer::default();
        observer.add(Arc::clone(&checking));
        let desired = Desired {
            running: Arc::clone(&deployment),
            next: None,
        };
        let proxy = Self {
            shared,
            stage: watch::Sender::new(Stage::Serving),
            desired: watch::Sender::new(Arc::new(desired)),
            running: Arc::new(watch::Sender::new(0)),
            state: Mutex::new(State::new(deployment, giver)),
            observer: Mutex::new(observer),
            events,
            secrets,
            lines: watch::Sender::new(lines),
        };
        proxy.start_workers(usize::from(threads))?;
        shares::warn_of(&shares::lacking(&proxy.state().running));
        (proxy.events)(FromProxy::Ready);
        let name = checking.name().to_owned();
        let (shared, events) = (Arc::clone(&proxy.shared), Arc::clone(&proxy.events));
        let stage = proxy.stage.subscribe();
        let first = Arc::clone(&proxy.state().running);
        let desired = (first, proxy.desired.subscribe());
        let lines = proxy.lines.subscribe();
        spawn(name, move || {
            checks.run(shared, stage, desired, lines, &checking, events);
        })?;
        Ok(proxy)
    }

    /// Starts the first workers, and waits until all serve.
    fn start_workers(&self, threads: usize) -> Result<(), ProxyError> {
        let (started_tx, started) = mpsc::sync_channel(threads);
        let mut state = self.state();
        for number in 0..threads {
            let started = started_tx.clone();
            // The receiver is gone only where another worker has failed.
            self.hire(&mut state, number, move |result| drop(started.send(result)))?;
        }
        for _ in 0..threads {
            let late = || io::Error::from(io::ErrorKind::TimedOut);
            let result = started
                .recv_timeout(START_TIMEOUT)
                .unwrap_or_else(|_| Err(late()));
            result.map_err(ProxyError::Thread)?;
        }
        Ok(())
    }

    /// Starts the worker of a number, which follows what is desired.
    fn hire(
        &self,
        state: &mut State,
        number: usize,
        started: impl FnOnce(io::Result<()>) + Send + 'static,
    ) -> Result<(), ProxyError> {
        let progress = state.hire(number);
        let plan = Plan {
            number,
            shared: Arc::clone(&self.shared),
            desired: self.desired.subscribe(),
            stage: self.stage.subscribe(),
            progress: Arc::clone(&progress),
            giver: state.giver.clone(),
            lines: self.lines.subscribe(),
        };
        let lost = state.lost(number);
        let ended = Ended::count_in(&self.running);
        spawn(progress.name().to_owned(), move || {
            let _ended = ended;
            worker::run(plan, |result| {
                lost.store(result.is_err(), Relaxed);
                started(result);
            });
        })
        .inspect_err(|_| state.lost(number).store(true, Relaxed))?;
        self.observer().observe(number, progress);
        Ok(())
    }

    /// Replaces what is derived from the secret of the group.
    pub fn set_secrets(&self, secrets: Secrets) {
        self.secrets.set(secrets);
    }

    /// Has bodies of requests be kept in this file, where there is none yet.
    ///
    /// # Errors
    /// When the system gives no thread for it.
    pub fn set_spool(&self, file: OwnedFd) -> io::Result<()> {
        self.shared.spool.set_file(file)
    }

    /// Has workers ask for signatures over these lines, one for each.
    pub fn set_signing_lines(&self, lines: Vec<OwnedFd>) {
        self.lines.send_replace(signing_lines(lines));
    }

    /// Returns what it should have and works without, and what was short of late, for people.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = shares::lacking(&self.state().running);
        warnings.extend(self.shared.shortages.warnings(self.shared.now_ms()));
        warnings
    }

    /// Says of which threads steps of work have ended since the last call, or that they are over,
    /// and what the others do; to be called as often as the supervisor counts silence.
    pub fn beat(&self) {
        let mut observer = self.observer();
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
            let listener = |number: usize| self.listener_name(number);
            (self.events)(FromProxy::Stuck {
                thread: u16::try_from(number).unwrap_or(u16::MAX),
                doing: observer.describe(number, listener, Phase::name_of),
            });
        }
    }

    /// Returns the name of a listener by its number, where it is configured.
    fn listener_name(&self, number: usize) -> Option<String> {
        let running = Arc::clone(&self.state().running);
        let mut listeners = running.generation.listeners.iter();
        let listener = listeners.find(|listener| listener.runtime.number == number);
        listener.map(|listener| listener.name.clone())
    }

    /// Returns the counters, in the order of the configuration.
    pub fn status(&self) -> (Vec<ListenerStatus>, Vec<PoolStatus>) {
        let running = Arc::clone(&self.state().running);
        let listeners = running.generation.listeners.iter();
        let listeners = listeners.map(|listener| listener.status());
        let now_ms = self.shared.now_ms();
        let pools = running.generation.pools.iter();
        let pools = pools.map(|pool| pool.status(now_ms));
        (listeners.collect(), pools.collect())
    }

    /// Writes the access log to `sink` from now on: that of the configuration that is prepared,
    /// where one is, otherwise that of the running one. Until the first call its lines wait, as far
    /// as there is room.
    pub fn set_access_log(&self, sink: OwnedFd) {
        if let Some(log) = &self.state().latest().log {
            log.set_sink(sink);
        }
    }

    /// Has an operator follow the access log over this socket; it is closed where there is none.
    pub fn follow_log(&self, socket: OwnedFd) {
        if let Some(log) = &self.state().running.log {
            log.add_follower(socket);
        }
    }

    /// Tells an operator who is connected, over this socket.
    pub async fn report_connections(self: Arc<Self>, wanted: ConnectionFilter, socket: OwnedFd) {
        roster::report(&self.shared.roll, wanted, socket).await;
    }

    /// Returns how the access log fares, where there is one.
    pub fn access_log(&self) -> Option<AccessLogStatus> {
        self.state().running.log.as_ref().map(|log| log.status())
    }

    /// Stops accepting, answers with `Connection: close`, lets requests and tunnels end, and cuts
    /// what is left after `within`. Completes when nothing is in flight and the workers have
    /// ended.
    pub async fn drain(&self, within: Duration) -> Drained {
        let log = self.begin_drain();
        let drained = self.drain_threads(within).await;
        if let Some(log) = log {
            log.finish().await;
        }
        drained
    }

    /// Lets go of the sockets, as the workers do theirs; returns the log.
    fn begin_drain(&self) -> Option<Arc<Log>> {
        let mut state = self.state();
        self.stage.send_replace(Stage::Draining);
        self.forget_next(&mut state);
        drop([state.passed.take(), state.running.sockets.take()]);
        state.running.log.clone()
    }

    async fn drain_threads(&self, within: Duration) -> Drained {
        let mut running = self.running.subscribe();
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

    fn state(&self) -> MutexGuard<'_, State> {
        // A thread that panicked here left it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn observer(&self) -> MutexGuard<'_, Observer> {
        // The same.
        self.observer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stage.send_replace(Stage::Cutting);
    }
}

/// Counts a worker out, also when it panics.
struct Ended(Arc<watch::Sender<usize>>);

impl Ended {
    fn count_in(running: &Arc<watch::Sender<usize>>) -> Self {
        running.send_modify(|threads| *threads += 1);
        Self(Arc::clone(running))
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.0
            .send_modify(|threads| *threads = threads.saturating_sub(1));
    }
}

/// Returns the deployment of a proxy that begins.
fn first(
    config: &Config,
    generation: Generation,
    threads: u16,
    passed: Vec<PassedSocket>,
) -> Result<Arc<Deployment>, ProxyError> {
    let sockets = Sockets::default();
    for PassedSocket {
        listener,
        bind,
        sockets: some,
    } in passed
    {
        if generation.listener_of(bind).is_none() {
            return Err(ProxyError::UnknownListener(listener));
        }
        sockets.add(bind, some.into_iter().map(Arc::new));
    }
    require_sockets(&generation, &sockets, threads)?;
    let threads = usize::from(threads);
    let log = config.access_log.as_ref();
    let log = log.map(|log| Log::start(log, threads, None)).transpose();
    Ok(Arc::new(Deployment {
        generation: Arc::new(generation),
        threads,
        shares: shares::of(config, threads, sockets.len()),
        sockets,
        connections: u64::from(config.proxy.connections),
        drain: config.proxy.drain,
        log: log.map_err(ProxyError::Thread)?,
        // Who waits for the first workers is told of each.
        prepared: Answers::new(0, drop),
        committed: Answers::new(0, drop),
    }))
}

/// Requires as many sockets of each address as there are workers, at least.
fn require_sockets(
    generation: &Generation,
    sockets: &Sockets,
    threads: u16,
) -> Result<(), ProxyError> {
    let listeners = generation.listeners.iter();
    let mut binds = listeners.flat_map(|listener| {
        let binds = listener.binds.iter();
        binds.map(|bind| (&listener.name, *bind, sockets.count(*bind)))
    });
    match binds.find(|(.., passed)| *passed < usize::from(threads)) {
        None => Ok(()),
        Some((listener, bind, passed)) => Err(ProxyError::SocketCount {
            listener: listener.clone(),
            bind,
            wanted: threads,
            passed,
        }),
    }
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
