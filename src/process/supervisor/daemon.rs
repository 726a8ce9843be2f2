//! The supervisor's loop: messages, ticks, questions and signals, one at a time.
//!
//! Channels are read before a tick is counted, so that a beat that has arrived always counts. Nothing here waits for
//! a child: what it does not read is its end.

mod belief;
mod hearing;
mod meter;
mod questions;
mod shortage;
mod starting;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use nix::time::{ClockId, clock_gettime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use self::belief::{Belief, LACKING_MAX, keep_sockets};
use self::hearing::LogMeters;
use self::questions::{Asked, ProxyPart};
use self::shortage::Shortages;
use super::SupervisorError;
use super::access_log::AccessLog;
use super::child::{Child, Heard, TICK};
use super::control::{self, Question};
use super::event_log::EventLog;
use super::hooks::Hooks;
use super::listeners::{self, BoundListener};
use super::notify::Notifier;
use super::tracking::{pool_state, tracked};
use crate::config::{self, Config};
use crate::ipc;
use crate::ipc::log::Printer;
use crate::ipc::message::{
    ActiveRole, FromProxy, FromVrrp, PoolHealth, SocketKey, StateName, ToProxy, ToVrrp,
};
use crate::logic::track::Tracker;
use crate::model::{Fitness, RouterName};
use crate::process::role::{self, Role};

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
    belief: Belief,
    shortages: Shortages,
    meters: LogMeters,
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
    event_log: EventLog,
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
    /// The proxy finishes what is in flight, on addresses that nobody else has taken too.
    Draining {
        until: Instant,
    },
    /// The vrrp process lets go of those.
    Releasing {
        until: Instant,
    },
    Over,
}

impl Daemon {
    fn new(setup: Setup, printer: Printer) -> Self {
        let now = Instant::now();
        let threads = listeners::threads(&setup.config);
        let tracker = Tracker::new(now, tracked(&setup.config));
        let hooks = Hooks::new(&setup.config);
        let belief = Belief::new(&setup.config);
        let (vrrp, proxy) = (belief.vrrp_bounds(), belief.proxy_bounds());
        let wanted = |role, bounds, empty: bool| (!empty).then(|| Child::new(role, bounds, now));
        Self {
            vrrp: wanted(Role::Vrrp, vrrp, setup.config.virtual_routers.is_empty()),
            proxy: wanted(Role::Proxy, proxy, setup.config.listeners.is_empty()),
            setup,
            belief,
            shortages: Shortages::default(),
            meters: LogMeters::new(now, printer.is_talkative()),
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
            event_log: EventLog::new(SystemTime::now()),
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
        if !self
            .setup
            .config
            .virtual_routers
            .iter()
            .all(|router| router.notify.is_empty())
        {
            self.note_lacking(Role::Supervisor, role::program_shortcomings().to_vec());
        }
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // What cannot be had now is an error that an operator sees; later it is a shortage that passes.
        self.start_first()?;
        while self.phase != Phase::Over {
            self.start_children();
            let due = self.next_due();
            tokio::select! {
                biased;
                _ = signals.terminate.recv() => self.stop("SIGTERM"),
                _ = signals.interrupt.recv() => self.stop("SIGINT"),
                _ = signals.hang_up.recv() => tracing::warn!("SIGHUP ignored: this version does not reload, restart it"),
                _ = signals.user_defined_1.recv() => self.reopen_access_log(),
                heard = receive::<FromVrrp>(&self.vrrp) => self.hear_vrrp(heard).await,
                heard = receive::<FromProxy>(&self.proxy) => self.hear_proxy(heard).await,
                Some(log) = reopened(&mut self.setup.access_log) => self.lend_access_log(log),
                () = self.hooks.next_finished() => {}
                Some(question) = questions.recv() => self.handle_question(question),
                // Before what is due: nothing that stays due can keep it from beating and watching.
                _ = tick.tick() => self.handle_tick(),
                // Nobody is late whose message has arrived: every channel is empty when this comes.
                () = tokio::time::sleep_until(due.into()) => self.tracker.handle_timeout(Instant::now()),
            }
            self.spread_verdicts();
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
            // Nobody is started any more while the daemon stops.
            .filter(|_| self.phase == Phase::Running)
            .filter_map(Child::start_at);
        let until = match self.phase {
            Phase::Running | Phase::Over => None,
            Phase::HandingOver { until }
            | Phase::Draining { until }
            | Phase::Releasing { until } => Some(until),
        };
        let latest = Instant::now() + TICK;
        starts
            .chain(self.tracker.poll_timeout())
            .chain(until)
            .min()
            .unwrap_or(latest)
            .min(latest)
    }

    fn handle_vrrp(&mut self, message: FromVrrp, descriptors: Vec<OwnedFd>) {
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
                keep_sockets(&mut self.kept_sockets, sockets, descriptors);
            }
            FromVrrp::Lacking(what) => self.note_lacking(Role::Vrrp, what),
            FromVrrp::Ready => self.vrrp_ready = true,
            FromVrrp::Transition(report) => {
                if report.to != StateName::Active {
                    // A role that was given up is not adopted by the next process.
                    self.active.retain(|role| role.router != report.router);
                }
                self.notifier.send(&format!(
                    "STATUS={} is {}",
                    report.router,
                    report.to.as_str()
                ));
                let priority = self.priority_of(&report.router);
                let ago = age(report.at_ns);
                let event = self.event_log.note(SystemTime::now(), ago, report);
                self.hooks.handle_event(&event, priority);
            }
            FromVrrp::Status {
                id,
                routers,
                statistics,
            } => self.fill(id, |asked| asked.routers = Some((routers, statistics))),
            FromVrrp::Log(line) => self.print(Role::Vrrp, line),
            FromVrrp::HandedOver | FromVrrp::Stopped => match self.phase {
                Phase::HandingOver { .. } => self.drain_proxy(),
                // Nobody told it to; its end is that of any other process, and is waited for.
                Phase::Running | Phase::Draining { .. } | Phase::Releasing { .. } | Phase::Over => {
                }
            },
        }
    }

    async fn handle_vrrp_end(&mut self) {
        if let Some(child) = &mut self.vrrp {
            let pid = child.pid();
            let ended = child.handle_end(Instant::now()).await;
            self.vrrp_ended(pid, &ended);
        }
    }

    fn vrrp_ended(&mut self, pid: Option<u32>, ended: &str) {
        self.vrrp_ready = false;
        match self.phase {
            Phase::Running => {
                let child = Role::Vrrp.profile().name;
                tracing::error!(child, pid, %ended, "process died, restarting it");
            }
            Phase::HandingOver { .. } => self.drain_proxy(),
            Phase::Draining { .. } => {}
            Phase::Releasing { .. } | Phase::Over => self.phase = Phase::Over,
        }
    }

    /// Goes on without children that were killed and do not end: whatever holds them in the kernel may do so for ever.
    fn leave_undead_behind(&mut self, now: Instant) {
        if let Some(child) = self.vrrp.as_mut().filter(|child| child.is_undead()) {
            let pid = child.pid();
            let ended = child.leave_behind(now);
            self.vrrp_ended(pid, ended);
        }
        if let Some(child) = self.proxy.as_mut().filter(|child| child.is_undead()) {
            let pid = child.pid();
            let ended = child.leave_behind(now);
            self.proxy_ended(pid, ended);
        }
    }

    fn handle_proxy(&mut self, message: FromProxy) {
        let now = Instant::now();
        match message {
            FromProxy::Beat { thread } => {
                if let Some(child) = &mut self.proxy {
                    child.handle_beat(usize::from(thread));
                }
            }
            FromProxy::Stuck { thread, doing } => {
                if let Some(child) = &mut self.proxy {
                    child.handle_stuck(usize::from(thread), doing);
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
                warnings,
            } => {
                let part = ProxyPart {
                    listeners,
                    pools,
                    access_log,
                    warnings,
                };
                self.fill(id, |asked| asked.proxy = Some(part));
            }
            FromProxy::Log(line) => self.print(Role::Proxy, line),
            FromProxy::Drained => {}
        }
    }

    async fn handle_proxy_end(&mut self, now: Instant) {
        let Some(child) = &mut self.proxy else { return };
        let pid = child.pid();
        let ended = child.handle_end(now).await;
        self.proxy_ended(pid, &ended);
    }

    fn proxy_ended(&mut self, pid: Option<u32>, ended: &str) {
        self.proxy_ready = false;
        let child = Role::Proxy.profile().name;
        match self.phase {
            Phase::Running => {
                tracing::error!(child, pid, %ended, "process died, restarting it");
                // To reap it may have taken longer than a restart may.
                self.tracker.handle_proxy_died(Instant::now());
            }
            Phase::HandingOver { .. } => {
                tracing::error!(child, pid, %ended, "process died while stopping");
            }
            Phase::Draining { .. } => self.release_addresses(),
            Phase::Releasing { .. } | Phase::Over => {}
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
        let well = of_router.map_or(0, |router| router.rank.well().get());
        match self
            .tracker
            .verdict(&router.entry)
            .map(|verdict| &verdict.fitness)
        {
            Some(Fitness::Fault(_)) => 0,
            Some(Fitness::Ready(priority)) => priority.get(),
            Some(Fitness::Unready) | None => well,
        }
    }

    fn note_lacking(&mut self, role: Role, what: Vec<String>) {
        for what in what {
            let child = role.profile().name;
            // A restarted process lacks what the one before lacked; once is loud enough.
            let same_role = self.lacking.iter().filter(|(other, _)| *other == role);
            if same_role.count() < LACKING_MAX && !self.lacking.contains(&(role, what.clone())) {
                tracing::warn!(
                    child,
                    cause = what,
                    "process works without what it should have"
                );
                self.lacking.push((role, what));
            }
        }
    }

    fn reopen_access_log(&mut self) {
        match &mut self.setup.access_log {
            Some(log) => log.begin_reopening(),
            None => tracing::info!("SIGUSR1 ignored: there is no access log"),
        }
    }

    fn handle_tick(&mut self) {
        for child in [&mut self.vrrp, &mut self.proxy].into_iter().flatten() {
            child.handle_tick();
        }
        self.notifier.send("WATCHDOG=1");
        self.ask_for_time();
        let now = Instant::now();
        self.leave_undead_behind(now);
        self.talk_to_children(now);
        let (late, waiting) = std::mem::take(&mut self.asked)
            .into_iter()
            .partition::<Vec<_>, _>(|asked| asked.until <= now);
        self.asked = waiting;
        for asked in late {
            self.answer(asked);
        }
    }

    /// Begins to stop; a second signal does not wait any more.
    fn stop(&mut self, signal: &str) {
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
                // As long as anything may be in flight, and a little longer than the proxy takes to end.
                let hold = match &self.proxy {
                    Some(_) => interval.unwrap_or_default() + self.setup.config.proxy.drain + spare,
                    None => Duration::ZERO,
                };
                let hold_ms = u64::try_from(hold.as_millis()).unwrap_or(u64::MAX);
                match &mut self.vrrp {
                    Some(child) if child.is_running() => child.send(&ToVrrp::Stop { hold_ms }),
                    Some(_) | None => self.drain_proxy(),
                }
            }
            Phase::HandingOver { .. } | Phase::Draining { .. } => {
                tracing::warn!(signal, "stopping at once");
                if let Some(child) = &mut self.proxy {
                    child.kill();
                }
                // Addresses are taken away in any case: another node may have them by now.
                self.release_addresses();
            }
            Phase::Releasing { .. } | Phase::Over => {
                tracing::warn!(signal, "stopping without looking back");
                self.phase = Phase::Over;
            }
        }
    }

    /// Asks the service manager for the time that handing over and draining may still take, whatever its own limit is.
    fn ask_for_time(&self) {
        match self.phase {
            Phase::HandingOver { .. } | Phase::Draining { .. } | Phase::Releasing { .. } => {
                let extension_us = TIME_ASKED_FOR.as_micros();
                self.notifier
                    .send(&format!("EXTEND_TIMEOUT_USEC={extension_us}"));
            }
            Phase::Running | Phase::Over => {}
        }
    }

    fn drain_proxy(&mut self) {
        // As long as they are open here the kernel goes on greeting clients that nobody will serve.
        self.setup.sockets.clear();
        match &mut self.proxy {
            Some(child) if child.is_running() => {
                let drain = self.setup.config.proxy.drain;
                let deadline_ms = u64::try_from(drain.as_millis()).unwrap_or(u64::MAX);
                self.phase = Phase::Draining {
                    until: Instant::now() + drain + HAND_OVER_SPARE,
                };
                child.send(&ToProxy::Drain { deadline_ms });
            }
            Some(_) | None => self.release_addresses(),
        }
    }

    /// Nothing is in flight any more: has the vrrp process let go of what it still holds.
    fn release_addresses(&mut self) {
        match &mut self.vrrp {
            Some(child) if child.is_running() => {
                let release = config::release_time(&self.setup.config.virtual_routers);
                self.phase = Phase::Releasing {
                    until: Instant::now() + release + HAND_OVER_SPARE,
                };
                child.send(&ToVrrp::Release);
            }
            Some(_) | None => self.phase = Phase::Over,
        }
    }

    fn spread_verdicts(&mut self) {
        while let Some((entry, verdict)) = self.tracker.poll_change() {
            tracing::info!(
                entry,
                fitness = %verdict.fitness,
                cause = verdict.reason,
                "fitness changed"
            );
            if let Some(child) = &mut self.vrrp {
                let fitness = verdict.fitness;
                child.send(&ToVrrp::Fitness { entry, fitness });
            }
        }
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
}

/// Waits for a message of a child that exists; for ever where it does not.
async fn receive<T: serde::de::DeserializeOwned>(child: &Option<Child>) -> Heard<T> {
    match child {
        Some(child) => child.receive().await,
        None => std::future::pending().await,
    }
}

/// Waits for an access log that is being opened anew, if there is one; `None` when it stays as it was.
async fn reopened(log: &mut Option<AccessLog>) -> Option<OwnedFd> {
    match log {
        Some(log) => log.reopened().await,
        None => std::future::pending().await,
    }
}

/// Returns how long ago a time of CLOCK_MONOTONIC was.
fn age(at_ns: u64) -> Duration {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC)
        .map(Duration::from)
        .unwrap_or_default();
    now.saturating_sub(Duration::from_nanos(at_ns))
}

/// Questions that wait for the loop; the tasks that ask more of them wait.
const QUESTIONS_MAX: usize = 16;
/// What a child may take longer than it should before it is killed.
const HAND_OVER_SPARE: Duration = Duration::from_secs(2);
/// How long the service manager is asked to wait from now on, at each tick of a stop: long enough for the last notify
/// programs and for the kill of a process that does not end.
const TIME_ASKED_FOR: Duration = Duration::from_secs(10);
/// How long the last notify programs may take when the daemon stops.
const HOOKS_TIMEOUT: Duration = Duration::from_secs(5);
