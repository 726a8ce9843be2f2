//! The protocol thread: one plain loop on `ppoll`.
//!
//! Every turn drains all sockets first and only then acts on due timers, so that an advertisement
//! that waited in a socket counts before a timer that it would have moved. Nothing here waits for
//! the host thread, a file or the log.

mod effects;
mod hosting;
mod messages;
mod packets;
mod preparation;
mod prepare;
mod reload;
mod stopping;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use caps::Capability;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::time::TimeSpec;
use tracing::{error, warn};

pub use self::preparation::ReadConfig;
use self::preparation::{Preparation, Prepared, Text};
use super::boundary::{Sent, Supervisor};
use super::clock::Clock;
use super::host::{Change, Host};
use super::link::claims::Claims;
use super::link::frames::Announcers;
use super::link::socket::RECEIVE_BYTES;
use super::link::sockets::LinkSocket;
use super::outbox::Outbox;
use super::realtime;
use super::router::RouterRuntime;
use super::routers::Routers;
use super::watch::Watch;
use crate::config::{self, ConfigErrors, GatewayConfig};
use crate::ipc::message::{ActiveRole, Followed, FromVrrp, SocketKey};
use crate::logic::vrrp::Counters;
use crate::model::{Chain, Fitness};
use crate::process::role;

/// Why the process ends by itself.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration that the supervisor sent.
    #[error("the configuration is wrong")]
    Config(#[from] ConfigErrors),
    /// A system call that should always work.
    #[error("failed to {what}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The host thread.
    #[error("the host thread has ended: {0}")]
    Host(String),
}

/// Runs the vrrp process until it is told to stop, or the supervisor is gone, and every address is
/// given up.
///
/// # Errors
/// When the configuration is wrong, the host thread ends, or a system call fails that never should.
pub fn run(mut supervisor: impl Supervisor) -> Result<(), Error> {
    // A service manager or a terminal signals every process of the daemon; it is the supervisor
    // that decides, and addresses are handed over only if this process lives to do it.
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        signals.add(signal);
    }
    signals
        .thread_block()
        .map_err(|errno| system("block signals", errno))?;
    let lacking = realtime::enter();
    // The first messages of a process always fit.
    supervisor.send(&FromVrrp::Lacking(lacking), &[]);
    if let Err(error) = role::relinquish(Capability::CAP_SYS_NICE) {
        warn!(error = %Chain(&error), "a right that is no longer needed stays");
    }
    serve(supervisor, |yaml, node, overrides| {
        let node = config::check::NodeName::Given(node);
        let mut config = config::parse("the running configuration", yaml, node)?;
        overrides.apply(&mut config);
        Ok(config.virtual_routers)
    })
}

/// As [`run`], with normal scheduling, and with a reader of one's own for the configuration.
///
/// # Errors
/// As [`run`].
pub fn serve(supervisor: impl Supervisor, read_config: ReadConfig) -> Result<(), Error> {
    let clock = Clock::new().map_err(|errno| system("read the clock", errno))?;
    let mut process = Process::new(supervisor, read_config, clock);
    loop {
        process.wait()?;
        process.turn()?;
        if let Phase::Over = process.phase {
            return process.finish();
        }
    }
}

/// How far the process is.
#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Nothing is configured yet.
    Waiting,
    /// The host thread looks at what there is.
    Surveying,
    /// As it should be.
    Running,
    /// Every address is to be given up until then.
    /// until the first moment nobody has been waited for long enough to be told of.
    Stopping {
        deadline: Instant,
        handed_over_at: Option<Instant>,
    },
    /// Every address is given up, or time is.
    Over,
}

struct Process<S> {
    supervisor: S,
    /// Whether the channel is still open.
    supervised: bool,
    watch: Watch,
    read_config: ReadConfig,
    clock: Clock,
    phase: Phase,
    fitness: BTreeMap<String, Fitness>,
    kept: BTreeMap<SocketKey, OwnedFd>,
    adopt: Vec<ActiveRole>,
    runtimes: Routers<RouterRuntime>,
    link_sockets: Vec<LinkSocket>,
    host: Option<Host>,
    outbox: Outbox,
    /// What the host thread has not been told yet, for want of room; the first first.
    changes: VecDeque<Box<Change>>,
    /// To be prepared when the process runs.
    postponed: Option<Text>,
    preparing: Option<Preparation>,
    prepared: Option<Prepared>,
    /// What of the host is told to the supervisor, and which gateways are asked for that.
    followed: BTreeSet<Followed>,
    gateways: Vec<GatewayConfig>,
    /// What those have counted that reloads have taken away.
    departed: Counters,
    /// The supervisor's duplicates are not those that are in use.
    sockets_changed: bool,
    /// A socket could not be opened; it is tried again then.
    open_at: Option<Instant>,
    announcers: Announcers,
    claims: Claims,
    /// Some of what is claimed cannot be heard; that is tried again with the sockets.
    is_deaf: bool,
    /// The virtual router whose announcements come first in the next turn.
    announced_first: usize,
    beat_at: Instant,
    buf: Vec<u8>,
    message: Vec<u8>,
}

impl<S: Supervisor> Process<S> {
    fn new(supervisor: S, read_config: ReadConfig, clock: Clock) -> Self {
        Self {
            supervisor,
            supervised: true,
            watch: Watch::default(),
            read_config,
            clock,
            phase: Phase::Waiting,
            fitness: BTreeMap::new(),
            kept: BTreeMap::new(),
            adopt: Vec::new(),
            runtimes: Routers::default(),
            link_sockets: Vec::new(),
            host: None,
            outbox: Outbox::default(),
            changes: VecDeque::new(),
            postponed: None,
            preparing: None,
            prepared: None,
            followed: BTreeSet::new(),
            gateways: Vec::new(),
            departed: Counters::default(),
            sockets_changed: false,
            open_at: None,
            announcers: Announcers::open().unwrap_or_else(|error| {
                error!(%error, "no packet socket: addresses cannot be announced");
                Announcers::default()
            }),
            claims: Claims::default(),
            is_deaf: false,
            announced_first: 0,
            beat_at: Instant::now(),
            buf: vec![0; RECEIVE_BYTES],
            message: Vec::with_capacity(RECEIVE_BYTES),
        }
    }

    /// Waits for a packet, a message, the host thread, or the next timer.
    fn wait(&self) -> Result<(), Error> {
        let timers = self.runtimes.values().flat_map(|runtime| {
            let announce_at = runtime.announce_at();
            runtime
                .machine
                .poll_timeout()
                .into_iter()
                .chain(announce_at)
        });
        let wake_at = timers
            .chain(self.open_at)
            .chain(self.stop_deadline())
            .fold(self.beat_at, std::cmp::min);
        let now = Instant::now();
        let timeout = TimeSpec::from(wake_at.saturating_duration_since(now));
        let sockets = self
            .link_sockets
            .iter()
            .map(|link_socket| link_socket.socket.as_fd());
        let host = self.host.as_ref().map(AsFd::as_fd);
        let supervisor = self.supervised.then(|| self.supervisor.fd());
        let mut waiting: Vec<PollFd<'_>> = sockets
            .chain(host)
            .chain(supervisor)
            .chain(self.claims.fds(now))
            .chain(self.preparing.as_ref().map(AsFd::as_fd))
            .map(|descriptor| PollFd::new(descriptor, PollFlags::POLLIN))
            .collect();
        match ppoll(&mut waiting, Some(timeout), None) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(system("poll", errno)),
        }
    }

    fn turn(&mut self) -> Result<(), Error> {
        self.drain_sockets();
        self.read_supervisor()?;
        self.read_host()?;
        self.read_preparation();
        self.hear_claims();
        self.act_on_timers();
        self.announce_what_is_due();
        self.retry_deferred();
        self.report();
        Ok(())
    }

    fn act_on_timers(&mut self) {
        let now = Instant::now();
        for &id in self.runtimes.ids().iter() {
            let machine = &mut self.runtimes[id].machine;
            if machine.poll_timeout().is_some_and(|at| at <= now) {
                machine.handle_timeout(now);
                self.perform(id, now);
            }
            self.fail_if_host_silent(id, now);
        }
        if self.open_at.is_some_and(|at| at <= now) {
            self.open_at = None;
            for &id in self.runtimes.ids().iter() {
                if self.link_socket_of(id).is_none() || !self.runtimes[id].has_outlet() {
                    self.connect(id, now);
                }
            }
            if self.is_deaf {
                self.listen_for_claims(&self.virtual_addresses(), now);
            }
        }
        self.report_when_handed_over(now);
        self.dismiss_released();
        if let Phase::Stopping { deadline, .. } = self.phase
            && (deadline <= now || self.runtimes.values().all(RouterRuntime::is_released))
        {
            self.phase = Phase::Over;
        }
    }

    /// Ends the host thread, which removes what is still there, and says goodbye.
    fn finish(mut self) -> Result<(), Error> {
        if let Err(why) = self.end_host() {
            warn!(error = %why, "addresses may remain until their lease ends, and macvlans");
        }
        self.outbox.push(FromVrrp::Stopped);
        let deadline = Instant::now() + GOODBYE_TIMEOUT;
        while self.supervised
            && Instant::now() < deadline
            && self.outbox.flush(&mut self.supervisor) == Sent::Full
        {
            std::thread::sleep(GOODBYE_PAUSE);
        }
        Ok(())
    }
}

fn system(what: &'static str, errno: Errno) -> Error {
    Error::System {
        what,
        source: errno.into(),
    }
}

/// A sign of life for the supervisor, which kills a process that is silent for 300 ms.
const BEAT_INTERVAL: Duration = Duration::from_millis(50);
/// For the last message to find room.
const GOODBYE_TIMEOUT: Duration = Duration::from_millis(200);
const GOODBYE_PAUSE: Duration = Duration::from_millis(5);
