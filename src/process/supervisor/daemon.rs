//! The supervisor's loop: messages, ticks, questions and signals, one at a time.
//!
//! Channels are read before a tick is counted, so that a beat that has arrived always counts.
//! Nothing here waits for a child: what it does not read is its end.

mod asked;
mod belief;
mod children;
mod commit;
mod hearing;
mod meter;
mod plan;
mod questions;
mod reload;
mod shortage;
mod starting;
mod stopping;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use nix::sys::signal::{self as nix_signal, SigSet};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use self::asked::Asked;
use self::belief::Belief;
use self::meter::LogMeters;
use self::shortage::Shortages;
use super::admin::Admin;
use super::aside::Aside;
use super::child::{Child, Heard, TICK};
use super::control::event_log::{self, EventLog};
use super::control::socket::{self, Question};
use super::error::SupervisorError;
use super::follow::Followers;
use super::follow::names::Resolver;
use super::follow::news::News;
use super::follow::process::NamesProcess;
use super::keys::watch::{Renewed, Watch};
use super::keys::{self, Keys};
use super::notify::Notifier;
use super::passed::access_log::AccessLog;
use super::passed::listeners::{self, Bound};
use super::passed::spool::Spool;
use super::reload::commanded::Store;
use super::reload::running::Running;
use super::reload::stages::{Reloads, Stage};
use super::runtime_dir::NetworkLock;
use super::scripts::notify::NotifyPrograms;
use super::scripts::track::Observation;
use super::tracking::{Fallbacks, Observers, tracked};
use crate::config::Config;
use crate::config::overrides::Overrides;
use crate::ipc;
use crate::ipc::log::Printer;
use crate::ipc::message::{
    ActiveRole, FromAdmin, FromKeys, FromNames, FromProxy, FromVrrp, PoolHealth, SocketKey,
};
use crate::logic::lifecycle::{Lifecycle, Phase};
use crate::logic::track::Tracker;
use crate::model::Fitness;
use crate::process::role::Role;

/// What the daemon starts with.
#[derive(Debug)]
pub(super) struct Setup {
    /// The configuration file.
    pub path: PathBuf,
    /// `--node`.
    pub node: Option<String>,
    /// Checked, and with what was changed by command.
    pub config: Config,
    /// Checked, as the file has it.
    pub base: Config,
    /// The text it was made from; the children read it for themselves.
    pub yaml: String,
    /// What operators have changed by command.
    pub overrides: Overrides,
    /// Where that is kept.
    pub store: Store,
    /// What is to be said of all this.
    pub running: Running,
    /// Held while there are virtual routers, or once there have been some.
    pub network_lock: Option<NetworkLock>,
    /// Open already, so that an error of theirs stops the start.
    pub sockets: Bound,
    /// Open already, for the same reason.
    pub access_log: Option<AccessLog>,
    pub spool: Option<Spool>,
    pub cache_dir: PathBuf,
    /// Started already, with what it is to keep, for the same reason.
    pub keys: Option<Keys>,
    /// What it knows of names is found already.
    pub resolver: Arc<Resolver>,
    /// Started already, because it was asked.
    pub names: Option<NamesProcess>,
    /// What operators look at; its sockets are open already.
    pub admin: Admin,
    /// Where the control socket goes.
    pub runtime_dir: PathBuf,
}

/// Runs until told to stop and everything is given up.
pub(super) async fn serve(mut setup: Setup, printer: &Printer) -> Result<(), SupervisorError> {
    let path = setup.runtime_dir.join(ipc::control::SOCKET);
    let listener = socket::listen(&path).map_err(|source| SupervisorError::System {
        what: "open the control socket",
        source,
    })?;
    let (sender, questions) = mpsc::channel(QUESTIONS_MAX);
    setup.admin.be_asked_over(sender.clone());
    let control = tokio::spawn(socket::serve(listener, sender, setup.path.clone()));
    let mut signals = Signals::new()?;
    SigSet::from_iter(WAITING_SIGNALS)
        .thread_unblock()
        .map_err(|errno| SupervisorError::System {
            what: "unblock signals",
            source: errno.into(),
        })?;
    let result = Daemon::new(setup, printer.clone())
        .run(&mut signals, questions)
        .await;
    control.abort();
    // The socket of a daemon that has gone answers nobody; a failure leaves what the next start
    // removes.
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
    keys: Option<Keys>,
    /// While the keys of a new process are read again.
    reading_again: Option<Aside<Vec<String>>>,
    names: Option<NamesProcess>,
    admin: Admin,
    /// For how many workers the proxy has lines.
    lent_lines: u16,
    /// Of certificates, where there are some.
    watch: Option<Watch>,
    /// What the configuration is known by whose certificates are watched.
    watched: u64,
    renewals: mpsc::Sender<Renewed>,
    renewed: mpsc::Receiver<Renewed>,
    /// What is wrong with certificates that were to be taken up.
    certificate_warnings: Vec<String>,
    /// Of backends in files and behind names.
    followers: Followers,
    news: mpsc::Receiver<News>,
    tracker: Tracker,
    /// What the vrrp process was last told of each entry.
    fitness: BTreeMap<String, Fitness>,
    lifecycle: Lifecycle,
    vrrp_ready: bool,
    proxy_ready: bool,
    announced_ready: bool,
    kept_sockets: Vec<(SocketKey, OwnedFd)>,
    active: Vec<ActiveRole>,
    health: BTreeMap<String, PoolHealth>,
    fallbacks: Fallbacks,
    /// What the processes that run now should have and work without.
    lacking: Vec<(Role, String)>,
    event_log: EventLog,
    notify_programs: NotifyPrograms,
    /// Of scripts, files and processes.
    observations: mpsc::Receiver<Observation>,
    /// Scripts that cannot be run, and why.
    unrunnable: BTreeMap<String, String>,
    observers: Observers,
    reloads: Reloads,
    asked: Vec<Asked>,
    next_id: u64,
}

impl Daemon {
    fn new(mut setup: Setup, printer: Printer) -> Self {
        let now = Instant::now();
        let threads = listeners::threads(&setup.config);
        let tracker = Tracker::new(now, tracked(&setup.config));
        let epoch_file = event_log::epoch_file(&setup.runtime_dir);
        let belief = Belief::new(&setup.config);
        let notify_programs = NotifyPrograms::new();
        let (observer, observations) = mpsc::channel(OBSERVATIONS_MAX);
        let (renewals, renewed) = mpsc::channel(1);
        let (teller, news) = mpsc::channel(1);
        let (vrrp, proxy) = (belief.vrrp_bounds(), belief.proxy_bounds());
        let wanted = |role, bounds, empty: bool| (!empty).then(|| Child::new(role, bounds, now));
        Self {
            vrrp: wanted(Role::Vrrp, vrrp, setup.config.virtual_routers.is_empty()),
            proxy: wanted(Role::Proxy, proxy, setup.config.listeners.is_empty()),
            keys: setup.keys.take(),
            reading_again: None,
            names: setup.names.take(),
            admin: std::mem::take(&mut setup.admin),
            lent_lines: 0,
            watch: None,
            watched: 0,
            renewals,
            renewed,
            certificate_warnings: Vec::new(),
            followers: Followers::new(teller, Arc::clone(&setup.resolver)),
            news,
            lifecycle: Lifecycle::new(plan::of_stop(&setup.config)),
            belief,
            shortages: Shortages::default(),
            meters: LogMeters::new(now, printer.is_talkative()),
            printer,
            notifier: Notifier::from_environment(),
            threads,
            tracker,
            fitness: BTreeMap::new(),
            vrrp_ready: false,
            proxy_ready: false,
            announced_ready: false,
            kept_sockets: Vec::new(),
            active: Vec::new(),
            health: BTreeMap::new(),
            fallbacks: Fallbacks::of(&setup.config),
            lacking: Vec::new(),
            event_log: EventLog::open(SystemTime::now(), epoch_file),
            notify_programs,
            observers: Observers::new(observer),
            reloads: Reloads::default(),
            observations,
            unrunnable: BTreeMap::new(),
            setup,
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
        // What cannot be had now is an error that an operator sees; later it is a shortage that
        // passes.
        self.hear_first_secrets().await;
        self.start_first()?;
        while self.lifecycle.phase() != Phase::Over {
            self.start_children();
            let due = self.next_due();
            tokio::select! {
                biased;
                _ = signals.terminate.recv() => self.handle_stop_signal("SIGTERM"),
                _ = signals.interrupt.recv() => self.handle_stop_signal("SIGINT"),
                _ = signals.hang_up.recv() => self.handle_reload_signal(),
                _ = signals.user_defined_1.recv() => self.reopen_access_log(),
                heard = receive::<FromVrrp>(self.vrrp.as_ref()) => self.hear_vrrp(heard).await,
                heard = receive::<FromProxy>(self.proxy.as_ref()) => self.hear_proxy(heard).await,
                heard = receive::<FromKeys>(self.keys.as_ref().map(|it| &it.child)) => self.hear_keys(heard).await,
                heard = receive::<FromNames>(self.names.as_ref().map(|it| &it.child)) => self.hear_names(heard).await,
                heard = receive::<FromAdmin>(self.admin.child()) => self.hear_admin(heard).await,
                read = keys::keys_read(&mut self.reading_again) => self.handle_keys_read(read),
                Some(log) = reopened(&mut self.setup.access_log) => self.lend_access_log(log),
                () = opened(&mut self.setup.spool) => {}
                () = self.notify_programs.next_finished() => {}
                Some(observation) = self.observations.recv() => self.take_observation(observation),
                Some(renewed) = self.renewed.recv() => self.take_renewed(renewed),
                Some(news) = self.news.recv() => self.take_news(news),
                read = self.reloads.next_read() => self.handle_read(read),
                Some(question) = questions.recv() => self.handle_question(question),
                // Before what is due: nothing that stays due can keep it from beating and watching.
                _ = tick.tick() => self.handle_tick(),
                // Nobody is late whose message has arrived: every channel is empty when this comes.
                () = tokio::time::sleep_until(due.into()) => self.tracker.handle_timeout(Instant::now()),
            }
            self.spread_verdicts();
            self.announce_ready();
        }
        self.notify_programs.finish(NOTIFY_TIMEOUT).await;
        tracing::info!("stopped");
        Ok(())
    }

    /// Returns when something of the loop's own is due; at the latest with the next tick.
    fn next_due(&self) -> Instant {
        let keys = self.keys.as_ref().map(|keys| &keys.child);
        let names = self.names.as_ref().map(|names| &names.child);
        let admin = self.admin.child();
        let starts = [self.vrrp.as_ref(), self.proxy.as_ref(), keys, names, admin]
            .into_iter()
            .flatten()
            // Nobody is started any more while the daemon stops.
            .filter(|_| self.lifecycle.phase() == Phase::Running)
            .filter_map(Child::start_at);
        let latest = Instant::now() + TICK;
        starts
            .chain(self.tracker.poll_timeout())
            .chain(self.lifecycle.poll_timeout())
            .min()
            .unwrap_or(latest)
            .min(latest)
    }

    fn handle_tick(&mut self) {
        for child in [&mut self.vrrp, &mut self.proxy].into_iter().flatten() {
            child.handle_tick();
        }
        if let Some(keys) = &mut self.keys {
            keys.child.handle_tick();
        }
        if let Some(names) = &mut self.names {
            names.child.handle_tick();
        }
        if let Some(admin) = self.admin.child_mut() {
            admin.handle_tick();
        }
        self.notifier.send("WATCHDOG=1");
        self.ask_for_time();
        let now = Instant::now();
        self.leave_undead_behind(now);
        self.talk_to_children(now);
        self.watch_reload(now);
        self.follow_keys();
        self.follow_names();
        if let Stage::Idle = self.reloads.stage {
            self.begin_renewal();
        }
        let (late, waiting) = std::mem::take(&mut self.asked)
            .into_iter()
            .partition::<Vec<_>, _>(|asked| asked.until <= now);
        self.asked = waiting;
        for asked in late {
            self.answer(asked);
        }
    }
}

/// Waits for a message of a child that exists; for ever where it does not.
async fn receive<T: serde::de::DeserializeOwned>(child: Option<&Child>) -> Heard<T> {
    match child {
        Some(child) => child.receive().await,
        None => std::future::pending().await,
    }
}

/// Waits for an access log that is being opened anew, if there is one; `None` when it stays as it
/// was.
async fn reopened(log: &mut Option<AccessLog>) -> Option<OwnedFd> {
    match log {
        Some(log) => log.reopened().await,
        None => std::future::pending().await,
    }
}

/// Waits for a file for bodies that is being opened, if there is one.
async fn opened(spool: &mut Option<Spool>) {
    match spool {
        Some(spool) => spool.opened().await,
        None => std::future::pending().await,
    }
}

/// What operators send a daemon that runs: it waits while the daemon begins.
pub(super) const WAITING_SIGNALS: [nix_signal::Signal; 2] =
    [nix_signal::Signal::SIGHUP, nix_signal::Signal::SIGUSR1];
/// Observations that wait for the loop; the threads that make more of them wait.
const OBSERVATIONS_MAX: usize = 256;
/// Questions that wait for the loop; the tasks that ask more of them wait.
const QUESTIONS_MAX: usize = 16;
/// How long the last notify programs may take when the daemon stops.
const NOTIFY_TIMEOUT: Duration = Duration::from_secs(5);
