//! The supervisor's loop: messages, ticks, questions and signals, one at a time.
//!
//! Channels are read before a tick is counted, so that a beat that has arrived always counts. Nothing here waits for
//! a child: what it does not read is its end.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use nix::time::{ClockId, clock_gettime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use super::SupervisorError;
use super::access_log::AccessLog;
use super::child::{Child, TICK};
use super::control::{self, Question};
use super::hooks::Hooks;
use super::journal::Journal;
use super::listeners::{self, BoundListener};
use super::notify::Notifier;
use crate::config::{self, Config};
use crate::ipc;
use crate::ipc::control::{
    AccessLogStatus, BackendStatus, ListenerStatus, PoolStatus, ProcessStatus, Request, Response,
    RouterStatus, Status,
};
use crate::ipc::log::Printer;
use crate::ipc::message::{
    ActiveRole, FromProxy, FromVrrp, PoolHealth, SocketKey, ToProxy, ToVrrp,
};
use crate::logic::track::{PoolState, Tracked, Tracker};
use crate::model::{Fitness, RouterName};
use crate::process::role::Role;

/// What the daemon starts with.
#[derive(Debug)]
pub struct Setup {
    /// Checked.
    pub config: Config,
    /// The text it was made from; the children read it for themselves.
    pub yaml: String,
    /// Open already, so that an error of theirs stops the start.
    pub sockets: Vec<BoundListener>,
    /// Open already, for the same reason.
    pub access_log: Option<AccessLog>,
    /// Where the control socket goes.
    pub runtime_dir: PathBuf,
}

/// Runs until told to stop and everything is given up.
pub async fn serve(setup: Setup, printer: &Printer) -> Result<(), SupervisorError> {
    let path = setup.runtime_dir.join(ipc::control::SOCKET);
    let listener = control::listen(&path).map_err(|source| SupervisorError::System {
        what: "open the control socket",
        source,
    })?;
    let (sender, questions) = mpsc::channel(QUESTIONS_MAX);
    let control = tokio::spawn(control::serve(listener, sender));
    let mut signals = Signals::new()?;
    let result = Daemon::new(setup, printer.clone())
        .run(&mut signals, questions)
        .await;
    control.abort();
    // The socket of a daemon that has gone answers nobody; a failure leaves what the next start removes.
    let _ = std::fs::remove_file(path);
    result
}

/// The signals that mean something.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    user_defined_1: Signal,
}

impl Signals {
    fn new() -> Result<Self, SupervisorError> {
        let on = |kind| {
            signal(kind).map_err(|source| SupervisorError::System {
                what: "listen to signals",
                source,
            })
        };
        Ok(Self {
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
            hang_up: on(SignalKind::hangup())?,
            user_defined_1: on(SignalKind::user_defined1())?,
        })
    }
}

/// Everything the supervisor knows.
struct Daemon {
    setup: Setup,
    printer: Printer,
    notifier: Notifier,
    threads: u16,
    vrrp: Option<Child>,
    proxy: Option<Child>,
    tracker: Tracker,
    phase: Phase,
    vrrp_ready: bool,
    proxy_ready: bool,
    announced_ready: bool,
    kept_sockets: Vec<(SocketKey, OwnedFd)>,
    active: Vec<ActiveRole>,
    health: BTreeMap<String, PoolHealth>,
    /// What the processes that run now should have and work without.
    lacking: Vec<(Role, String)>,
    journal: Journal,
    hooks: Hooks,
    asked: Vec<Asked>,
    next_id: u64,
}

/// How far the daemon is with stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// The vrrp process gives the addresses to a peer, while the proxy serves on.
    HandingOver {
        until: Instant,
    },
    /// The proxy finishes what is in flight.
    Draining {
        until: Instant,
    },
    Over,
}

/// A status that waits for its parts.
struct Asked {
    id: u64,
    reply: oneshot::Sender<Response>,
    until: Instant,
    routers: Option<(Vec<RouterStatus>, BTreeMap<String, u64>)>,
    proxy: Option<ProxyPart>,
}

/// What the proxy says of itself.
#[derive(Default)]
struct ProxyPart {
    listeners: Vec<ListenerStatus>,
    pools: Vec<PoolStatus>,
    access_log: Option<AccessLogStatus>,
}

impl Daemon {
    fn new(setup: Setup, printer: Printer) -> Self {
        let now = Instant::now();
        let threads = listeners::threads(&setup.config);
        let tracker = Tracker::new(now, tracked(&setup.config));
        let hooks = Hooks::new(&setup.config);
        let wanted = |role, empty: bool| (!empty).then(|| Child::new(role, now));
        Self {
            vrrp: wanted(Role::Vrrp, setup.config.virtual_routers.is_empty()),
            proxy: wanted(Role::Proxy, setup.config.listeners.is_empty()),
            setup,
            printer,
            notifier: Notifier::from_environment(),
            threads,
            tracker,
            phase: Phase::Running,
            vrrp_ready: false,
            proxy_ready: false,
            announced_ready: false,
            kept_sockets: Vec::new(),
            active: Vec::new(),
            health: BTreeMap::new(),
            lacking: Vec::new(),
            journal: Journal::new(SystemTime::now()),
            hooks,
            asked: Vec::new(),
            next_id: 0,
        }
    }

    async fn run(
        mut self,
        signals: &mut Signals,
        mut questions: mpsc::Receiver<Question>,
    ) -> Result<(), SupervisorError> {
        let config = &self.setup.config;
        tracing::info!(
            node = %config.node,
            virtual_routers = config.virtual_routers.len(),
            listeners = config.listeners.len(),
            pools = config.pools.len(),
            version = env!("CARGO_PKG_VERSION"),
            "starting"
        );
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.phase != Phase::Over {
            self.start_children()?;
            let due = self.next_due();
            tokio::select! {
                biased;
                _ = signals.terminate.recv() => self.stop("SIGTERM")?,
                _ = signals.interrupt.recv() => self.stop("SIGINT")?,
                _ = signals.hang_up.recv() => tracing::warn!("SIGHUP ignored: this version does not reload, restart it"),
                _ = signals.user_defined_1.recv() => self.reopen_access_log()?,
                message = receive::<FromVrrp>(&self.vrrp) => self.handle_vrrp(message).await?,
                message = receive::<FromProxy>(&self.proxy) => self.handle_proxy(message).await?,
                () = self.hooks.next_finished() => {}
                Some(question) = questions.recv() => self.handle_question(question)?,
                () = tokio::time::sleep_until(due.into()) => {}
                _ = tick.tick() => self.handle_tick(),
            }
            self.tracker.handle_timeout(Instant::now());
            self.spread_verdicts()?;
            self.announce_ready();
        }
        self.hooks.finish(HOOKS_TIMEOUT).await;
        tracing::info!("stopped");
        Ok(())
    }

    /// Returns when something of the loop's own is due; at the latest with the next tick.
    fn next_due(&self) -> Instant {
        let starts = [&self.vrrp, &self.proxy]
            .into_iter()
            .flatten()
            .filter_map(Child::start_at);
        let until = match self.phase {
            Phase::Running | Phase::Over => None,
            Phase::HandingOver { until } | Phase::Draining { until } => Some(until),
        };
        let latest = Instant::now() + TICK;
        starts
            .chain(self.tracker.poll_timeout())
            .chain(until)
            .min()
            .unwrap_or(latest)
            .min(latest)
    }

    fn start_children(&mut self) -> Result<(), SupervisorError> {
        let now = Instant::now();
        let running = self.phase == Phase::Running;
        if running && wants_start(&self.vrrp, now) {
            self.start_vrrp(now)?;
        }
        if running && wants_start(&self.proxy, now) {
            self.start_proxy(now)?;
        }
        let late = match &mut self.phase {
            Phase::HandingOver { until } if now >= *until => Some((until, &mut self.vrrp)),
            Phase::Draining { until } if now >= *until => Some((until, &mut self.proxy)),
            Phase::Running | Phase::HandingOver { .. } | Phase::Draining { .. } | Phase::Over => {
                None
            }
        };
        if let Some((until, Some(child))) = late {
            tracing::warn!(
                child = child.name(),
                "process did not stop in time, killing it"
            );
            child.kill();
            *until = now + HAND_OVER_SPARE;
        }
        Ok(())
    }

    fn start_vrrp(&mut self, now: Instant) -> Result<(), SupervisorError> {
        let Some(child) = &mut self.vrrp else {
            return Ok(());
        };
        child.start(now, 1)?;
        for part in self.kept_sockets.chunks(DESCRIPTORS_A_MESSAGE) {
            let keys = part.iter().map(|(key, _)| key.clone()).collect();
            let sockets: Vec<BorrowedFd<'_>> = part.iter().map(|(_, fd)| fd.as_fd()).collect();
            child.send(&ToVrrp::KeptSockets(keys), &sockets)?;
        }
        let (yaml, node) = (self.setup.yaml.clone(), self.setup.config.node.clone());
        child.send(
            &ToVrrp::Configure {
                yaml,
                node,
                adopt: self.active.clone(),
            },
            &[],
        )?;
        for entry in entries(&self.setup.config) {
            if let Some(verdict) = self.tracker.verdict(entry) {
                let fitness = verdict.fitness.clone();
                child.send(
                    &ToVrrp::Fitness {
                        entry: entry.to_owned(),
                        fitness,
                    },
                    &[],
                )?;
            }
        }
        Ok(())
    }

    fn start_proxy(&mut self, now: Instant) -> Result<(), SupervisorError> {
        let Some(child) = &mut self.proxy else {
            return Ok(());
        };
        // Every data thread beats, and the thread that probes backends.
        child.start(now, usize::from(self.threads) + 1)?;
        for bound in &self.setup.sockets {
            let sockets: Vec<BorrowedFd<'_>> = bound.sockets.iter().map(AsFd::as_fd).collect();
            let message = ToProxy::Lend {
                listener: bound.listener.clone(),
                bind: bound.bind,
            };
            child.send(&message, &sockets)?;
        }
        if let Some(log) = &self.setup.access_log {
            log.lend(child)?;
        }
        let configure = ToProxy::Configure {
            yaml: self.setup.yaml.clone(),
            node: self.setup.config.node.clone(),
            threads: self.threads,
            health: self.health.values().cloned().collect(),
        };
        child.send(&configure, &[])
    }

    async fn handle_vrrp(
        &mut self,
        message: Option<(FromVrrp, Vec<OwnedFd>)>,
    ) -> Result<(), SupervisorError> {
        let Some((message, descriptors)) = message else {
            return self.handle_vrrp_end().await;
        };
        match message {
            FromVrrp::Beat { active } => {
                self.active = active;
                if let Some(child) = &mut self.vrrp {
                    child.handle_beat(0);
                }
            }
            FromVrrp::KeepSockets { sockets, more } => {
                if !more {
                    self.kept_sockets.clear();
                }
                self.kept_sockets
                    .extend(sockets.into_iter().zip(descriptors));
            }
            FromVrrp::Lacking(what) => self.note_lacking(Role::Vrrp, what),
            FromVrrp::Ready => self.vrrp_ready = true,
            FromVrrp::Transition(report) => {
                if report.to != "Active" {
                    // A role that was given up is not adopted by the next process.
                    self.active.retain(|role| role.router != report.router);
                }
                self.notifier
                    .send(&format!("STATUS={} is {}", report.router, report.to));
                let priority = self.priority_of(&report.router);
                let ago = age(report.at_ns);
                let event = self.journal.note(SystemTime::now(), ago, report);
                self.hooks.handle_event(&event, priority);
            }
            FromVrrp::Status {
                id,
                routers,
                statistics,
            } => self.fill(id, |asked| asked.routers = Some((routers, statistics))),
            FromVrrp::Log(line) => drop(self.printer.print(Role::Vrrp.profile().name, &line)),
            FromVrrp::Stopped => self.drain_proxy()?,
        }
        Ok(())
    }

    async fn handle_vrrp_end(&mut self) -> Result<(), SupervisorError> {
        self.vrrp_ready = false;
        if let Some(child) = &mut self.vrrp {
            let pid = child.pid();
            let ended = child.handle_end(Instant::now()).await;
            match self.phase {
                Phase::Running => {
                    tracing::error!(child = child.name(), pid, %ended, "process died, restarting it");
                }
                Phase::HandingOver { .. } => self.drain_proxy()?,
                Phase::Draining { .. } | Phase::Over => {}
            }
        }
        Ok(())
    }

    async fn handle_proxy(
        &mut self,
        message: Option<(FromProxy, Vec<OwnedFd>)>,
    ) -> Result<(), SupervisorError> {
        let now = Instant::now();
        let Some((message, _)) = message else {
            self.handle_proxy_end(now).await;
            return Ok(());
        };
        match message {
            FromProxy::Beat { thread } => {
                if let Some(child) = &mut self.proxy {
                    child.handle_beat(usize::from(thread));
                }
            }
            FromProxy::Lacking(what) => self.note_lacking(Role::Proxy, what),
            FromProxy::Ready => {
                self.proxy_ready = true;
                self.tracker.handle_proxy_serving(now);
            }
            FromProxy::Health(health) => {
                self.tracker
                    .handle_pool(now, &health.pool, pool_state(&health));
                self.health.insert(health.pool.clone(), health);
            }
            FromProxy::Status {
                id,
                listeners,
                pools,
                access_log,
            } => {
                let part = ProxyPart {
                    listeners,
                    pools,
                    access_log,
                };
                self.fill(id, |asked| asked.proxy = Some(part));
            }
            FromProxy::Log(line) => drop(self.printer.print(Role::Proxy.profile().name, &line)),
            FromProxy::Drained => {}
        }
        Ok(())
    }

    async fn handle_proxy_end(&mut self, now: Instant) {
        self.proxy_ready = false;
        let Some(child) = &mut self.proxy else { return };
        let pid = child.pid();
        let ended = child.handle_end(now).await;
        match self.phase {
            Phase::Running => {
                tracing::error!(child = child.name(), pid, %ended, "process died, restarting it");
                self.tracker.handle_proxy_died(now);
            }
            Phase::HandingOver { .. } => {
                tracing::error!(child = child.name(), pid, %ended, "process died while stopping");
            }
            Phase::Draining { .. } | Phase::Over => self.phase = Phase::Over,
        }
    }

    /// Returns the priority a virtual router has after tracking, 0 in fault.
    fn priority_of(&self, router: &RouterName) -> u8 {
        let of_router = self
            .setup
            .config
            .virtual_routers
            .iter()
            .find(|r| r.name == *router);
        let base = of_router.map_or(0, |router| router.priority.get());
        match self
            .tracker
            .verdict(&router.entry)
            .map(|verdict| &verdict.fitness)
        {
            Some(Fitness::Fault(_)) => 0,
            Some(Fitness::Ready(priority)) => priority.get(),
            Some(Fitness::Unready) | None => base,
        }
    }

    fn note_lacking(&mut self, role: Role, what: Vec<String>) {
        for what in what {
            let child = role.profile().name;
            // A restarted process lacks what the one before lacked; once is loud enough.
            if !self.lacking.contains(&(role, what.clone())) {
                tracing::warn!(
                    child,
                    cause = what,
                    "process works without what it should have"
                );
                self.lacking.push((role, what));
            }
        }
    }

    fn reopen_access_log(&mut self) -> Result<(), SupervisorError> {
        match &mut self.setup.access_log {
            Some(log) => log.reopen(self.proxy.as_mut()),
            None => {
                tracing::info!("SIGUSR1 ignored: there is no access log");
                Ok(())
            }
        }
    }

    fn handle_tick(&mut self) {
        for child in [&mut self.vrrp, &mut self.proxy].into_iter().flatten() {
            child.handle_tick();
        }
        self.notifier.send("WATCHDOG=1");
        let now = Instant::now();
        let (late, waiting) = std::mem::take(&mut self.asked)
            .into_iter()
            .partition::<Vec<_>, _>(|asked| asked.until <= now);
        self.asked = waiting;
        for asked in late {
            self.answer(asked);
        }
    }

    /// Begins to stop; a second signal does not wait any more.
    fn stop(&mut self, signal: &str) -> Result<(), SupervisorError> {
        match self.phase {
            Phase::Running => {
                tracing::info!(signal, "stopping");
                self.notifier.send("STOPPING=1");
                let slowest = self.setup.config.virtual_routers.iter();
                let interval = slowest
                    .map(|router| router.advertisement_interval.duration())
                    .max();
                let release = config::release_time(&self.setup.config.virtual_routers);
                let spare = release + HAND_OVER_SPARE;
                let until = Instant::now() + interval.unwrap_or_default() * 2 + spare;
                self.phase = Phase::HandingOver { until };
                match &mut self.vrrp {
                    Some(child) if child.is_running() => child.send(&ToVrrp::Stop, &[]),
                    Some(_) | None => self.drain_proxy(),
                }
            }
            Phase::HandingOver { .. } | Phase::Draining { .. } | Phase::Over => {
                tracing::warn!(signal, "stopping at once");
                self.phase = Phase::Over;
                Ok(())
            }
        }
    }

    fn drain_proxy(&mut self) -> Result<(), SupervisorError> {
        // As long as they are open here the kernel goes on greeting clients that nobody will serve.
        self.setup.sockets.clear();
        match &mut self.proxy {
            Some(child) if child.is_running() => {
                let drain = self.setup.config.proxy.drain;
                let deadline_ms = u64::try_from(drain.as_millis()).unwrap_or(u64::MAX);
                self.phase = Phase::Draining {
                    until: Instant::now() + drain + HAND_OVER_SPARE,
                };
                child.send(&ToProxy::Drain { deadline_ms }, &[])
            }
            Some(_) | None => {
                self.phase = Phase::Over;
                Ok(())
            }
        }
    }

    fn spread_verdicts(&mut self) -> Result<(), SupervisorError> {
        while let Some((entry, verdict)) = self.tracker.poll_change() {
            tracing::info!(
                entry,
                fitness = %verdict.fitness,
                cause = verdict.reason,
                "fitness changed"
            );
            if let Some(child) = &mut self.vrrp {
                child.send(
                    &ToVrrp::Fitness {
                        entry,
                        fitness: verdict.fitness,
                    },
                    &[],
                )?;
            }
        }
        Ok(())
    }

    fn announce_ready(&mut self) {
        let vrrp = self.vrrp.is_none() || self.vrrp_ready;
        let proxy = self.proxy.is_none() || self.proxy_ready;
        if vrrp && proxy && !self.announced_ready {
            self.announced_ready = true;
            self.notifier.send("READY=1");
            tracing::info!("ready");
        }
    }

    fn handle_question(&mut self, question: Question) -> Result<(), SupervisorError> {
        match question.request {
            Request::Events { after } => {
                // Who asked and left needs no answer.
                let _ = question
                    .reply
                    .send(Response::Events(self.journal.after(after)));
            }
            Request::Status => {
                self.next_id += 1;
                let id = self.next_id;
                let asked = Asked {
                    id,
                    reply: question.reply,
                    until: Instant::now() + STATUS_TIMEOUT,
                    routers: self.vrrp.is_none().then(Default::default),
                    proxy: self.proxy.is_none().then(Default::default),
                };
                self.asked.push(asked);
                if let Some(child) = &mut self.vrrp {
                    child.send(&ToVrrp::ReportStatus { id }, &[])?;
                }
                if let Some(child) = &mut self.proxy {
                    child.send(&ToProxy::ReportStatus { id }, &[])?;
                }
                self.fill(id, |_| ());
            }
        }
        Ok(())
    }

    /// Adds a part to a status and answers it when it is whole.
    fn fill(&mut self, id: u64, part: impl FnOnce(&mut Asked)) {
        let Some(index) = self.asked.iter().position(|asked| asked.id == id) else {
            return;
        };
        part(&mut self.asked[index]);
        if self.asked[index].routers.is_some() && self.asked[index].proxy.is_some() {
            let asked = self.asked.remove(index);
            self.answer(asked);
        }
    }

    fn answer(&self, asked: Asked) {
        let lacking = self.lacking.iter();
        let mut warnings: Vec<String> = lacking
            .map(|(role, what)| format!("{}: {what}", role.profile().name))
            .collect();
        let mut missing = |name| warnings.push(format!("{name} does not answer"));
        let (mut virtual_routers, statistics) = asked.routers.unwrap_or_else(|| {
            missing(Role::Vrrp.profile().name);
            Default::default()
        });
        for router in &mut virtual_routers {
            // Tracking knows why; the router itself knows only that it was told.
            let verdict = self.tracker.verdict(&router.name.entry);
            if let Some(verdict) = verdict.filter(|verdict| !verdict.reason.is_empty()) {
                router.priority_reason.clone_from(&verdict.reason);
            }
        }
        let proxy = asked.proxy.unwrap_or_else(|| {
            missing(Role::Proxy.profile().name);
            ProxyPart {
                pools: self.pools_as_last_heard(),
                ..ProxyPart::default()
            }
        });
        let own = ProcessStatus {
            name: Role::Supervisor.profile().name.into(),
            pid: Some(std::process::id()),
            restarts: 0,
        };
        let children = [&self.vrrp, &self.proxy]
            .into_iter()
            .flatten()
            .map(|child| ProcessStatus {
                name: child.name().into(),
                pid: child.pid(),
                restarts: child.restarts(),
            });
        let status = Status {
            node: self.setup.config.node.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            virtual_routers,
            listeners: proxy.listeners,
            pools: proxy.pools,
            processes: std::iter::once(own).chain(children).collect(),
            warnings,
            statistics,
            access_log: proxy.access_log,
        };
        // Who asked and left needs no answer.
        let _ = asked.reply.send(Response::Status(Box::new(status)));
    }

    /// Returns what is known of the pools while the proxy itself does not answer.
    fn pools_as_last_heard(&self) -> Vec<PoolStatus> {
        let pools = self.setup.config.pools.iter();
        pools
            .map(|pool| {
                let health = self.health.get(&pool.name);
                let backends = pool.backends.iter().map(|backend| BackendStatus {
                    name: backend.name.clone(),
                    address: backend.address,
                    state: match health.and_then(|health| health.backends.get(&backend.name)) {
                        Some(true) => "up".into(),
                        Some(false) => "down".into(),
                        None => "unprobed".into(),
                    },
                    check: "as last heard from the proxy".into(),
                    active_requests: 0,
                    requests_total: 0,
                    failures_total: 0,
                    unasked_total: 0,
                    requests_max: backend.requests,
                });
                PoolStatus::uncounted(pool.name.clone(), backends.collect())
            })
            .collect()
    }
}

/// Waits for a message of a child that exists; for ever where it does not.
async fn receive<T: serde::de::DeserializeOwned>(
    child: &Option<Child>,
) -> Option<(T, Vec<OwnedFd>)> {
    match child {
        Some(child) => child.receive().await,
        None => std::future::pending().await,
    }
}

fn wants_start(child: &Option<Child>, now: Instant) -> bool {
    child
        .as_ref()
        .and_then(Child::start_at)
        .is_some_and(|at| at <= now)
}

/// Returns the entries of `virtual_routers`, each once, in the order of the file.
fn entries(config: &Config) -> Vec<&str> {
    let mut entries: Vec<&str> = Vec::new();
    for router in &config.virtual_routers {
        if !entries.contains(&router.name.entry.as_str()) {
            entries.push(&router.name.entry);
        }
    }
    entries
}

/// Returns what each entry depends on: the pools of the listeners that serve on its addresses.
fn tracked(config: &Config) -> Vec<Tracked> {
    let mut all: Vec<Tracked> = Vec::new();
    for router in &config.virtual_routers {
        let entry = &router.name.entry;
        if all.iter().any(|tracked| tracked.entry == *entry) {
            continue;
        }
        let mut pools: Vec<String> = Vec::new();
        let on_it = |name: &Option<String>| name.as_ref() == Some(entry);
        for listener in config.listeners.iter().filter(|l| on_it(&l.virtual_router)) {
            if !pools.contains(&listener.pool) {
                pools.push(listener.pool.clone());
            }
        }
        all.push(Tracked {
            entry: entry.clone(),
            priority: router.priority,
            pools: (!pools.is_empty()).then_some(pools),
        });
    }
    all
}

/// Returns how long ago a time of CLOCK_MONOTONIC was.
fn age(at_ns: u64) -> Duration {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC)
        .map(Duration::from)
        .unwrap_or_default();
    now.saturating_sub(Duration::from_nanos(at_ns))
}

fn pool_state(health: &PoolHealth) -> PoolState {
    if health.backends.values().any(|up| *up) {
        PoolState::Serving
    } else if health.probed {
        PoolState::Lost
    } else {
        PoolState::Unknown
    }
}

/// Questions that wait for the loop; the tasks that ask more of them wait.
const QUESTIONS_MAX: usize = 16;
/// How long the children may take for their part of a status.
const STATUS_TIMEOUT: Duration = Duration::from_millis(500);
/// What a child may take longer than it should before it is killed.
const HAND_OVER_SPARE: Duration = Duration::from_secs(2);
/// How long the last notify programs may take when the daemon stops.
const HOOKS_TIMEOUT: Duration = Duration::from_secs(5);
/// How many kept sockets go into one message.
const DESCRIPTORS_A_MESSAGE: usize = 200;
