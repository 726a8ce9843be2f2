//! The protocol thread: one plain loop on `ppoll`.
//!
//! Every turn drains all sockets first and only then acts on due timers, so that an advertisement that waited in a
//! socket counts before a timer that it would have moved. Nothing here waits for the host thread, a file or the log.

mod effects;
mod stopping;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use caps::Capability;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::time::TimeSpec;
use tracing::{debug, error, info, warn};

use super::boundary::{Received, Sent, Supervisor};
use super::clock::Clock;
use super::frames::Announcers;
use super::host::{
    Acceptance, Answer, Event, Host, Leftovers, Ownership, RouterLink, RouterSpec, VirtualMac, What,
};
use super::link_socket::LinkSocket;
use super::outbox::Outbox;
use super::router::RouterRuntime;
use super::socket::{Packet, RECEIVE_BYTES, VrrpSocket};
use super::watch::Watch;
use super::{realtime, status};
use crate::config::{self, ConfigErrors, VirtualRouterConfig};
use crate::ipc::message::{ActiveRole, FromVrrp, SocketKey, ToVrrp, TransitionReport};
use crate::logic::vrrp::packet;
use crate::logic::vrrp::router::Failure;
use crate::logic::vrrp::{Envelope, LinkState, Rejection, Transition};
use crate::model::{Fitness, Priority};
use crate::process::role;

/// Why the process ends by itself.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration that the supervisor sent.
    #[error("the configuration is wrong: {0}")]
    Config(#[from] ConfigErrors),
    /// A system call that should always work.
    #[error("failed to {what}: {error}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        error: io::Error,
    },
    /// The host thread.
    #[error("the host thread has ended: {0}")]
    Host(String),
}

/// Runs the vrrp process until it is told to stop, or the supervisor is gone, and every address is given up.
pub fn run(mut supervisor: impl Supervisor) -> Result<(), Error> {
    // A service manager or a terminal signals every process of the daemon; it is the supervisor that decides, and
    // addresses are handed over only if this process lives to do it.
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
        warn!(%error, "a right that is no longer needed stays");
    }
    serve(supervisor, |yaml, node| {
        let node = config::check::NodeName::Given(node);
        Ok(config::parse("the running configuration", yaml, node)?.virtual_routers)
    })
}

/// Reads the virtual routers of a node from the text of a configuration.
pub type ReadConfig = fn(&str, &str) -> Result<Vec<VirtualRouterConfig>, ConfigErrors>;

/// As [`run`], with normal scheduling, and with a reader of one's own for the configuration.
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
    runtimes: Vec<RouterRuntime>,
    link_sockets: Vec<LinkSocket>,
    host: Option<Host>,
    outbox: Outbox,
    /// The supervisor's duplicates are not those that are in use.
    sockets_changed: bool,
    /// A socket could not be opened; it is tried again then.
    open_at: Option<Instant>,
    announcers: Announcers,
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
            runtimes: Vec::new(),
            link_sockets: Vec::new(),
            host: None,
            outbox: Outbox::default(),
            sockets_changed: false,
            open_at: None,
            announcers: Announcers::open().unwrap_or_else(|error| {
                error!(%error, "no packet socket: addresses cannot be announced");
                Announcers::default()
            }),
            announced_first: 0,
            beat_at: Instant::now(),
            buf: vec![0; RECEIVE_BYTES],
            message: Vec::with_capacity(RECEIVE_BYTES),
        }
    }

    /// Waits for a packet, a message, the host thread, or the next timer.
    fn wait(&self) -> Result<(), Error> {
        let timers = self.runtimes.iter().flat_map(|runtime| {
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
        let timeout = TimeSpec::from(wake_at.saturating_duration_since(Instant::now()));
        let sockets = self
            .link_sockets
            .iter()
            .map(|link_socket| link_socket.socket.as_fd());
        let host = self.host.as_ref().map(AsFd::as_fd);
        let supervisor = self.supervised.then(|| self.supervisor.fd());
        let mut waiting: Vec<PollFd<'_>> = sockets
            .chain(host)
            .chain(supervisor)
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
        self.act_on_timers();
        self.announce_what_is_due();
        self.retry_deferred();
        self.report();
        Ok(())
    }

    /// Takes in what arrived on every socket.
    fn drain_sockets(&mut self) {
        let mut buf = std::mem::take(&mut self.buf);
        for index in 0..self.link_sockets.len() {
            for _ in 0..PACKETS_PER_TURN {
                match self.link_sockets[index].socket.receive(&mut buf) {
                    Ok(Some(packet)) => self.handle_packet(index, &packet),
                    Ok(None) => break,
                    Err(error) => {
                        // Such as ENETDOWN, once, when the interface goes down.
                        debug!(%error, "nothing received");
                        break;
                    }
                }
            }
        }
        self.buf = buf;
    }

    /// Takes in one packet: whose is it, is it our own, is it sound.
    fn handle_packet(&mut self, socket: usize, packet: &Packet<'_>) {
        let now = Instant::now();
        let link_socket = &mut self.link_sockets[socket];
        let (envelope, message) = match packet {
            Packet::Message { envelope, message } => (envelope, *message),
            Packet::Malformed { source, reason } => {
                return link_socket.reject(now, *source, *reason);
            }
        };
        if packet::is_carp(message) {
            return link_socket.reject(now, Some(envelope.source), Rejection::Carp);
        }
        let Some(vrid) = packet::peek_vrid(message) else {
            return link_socket.reject(now, Some(envelope.source), Rejection::Length);
        };
        let key = link_socket.socket.key();
        let runtime = self.runtimes.iter().position(|runtime| {
            runtime.config.vrid.get() == vrid && runtime.hears(&key.interface, key.family)
        });
        match runtime {
            Some(runtime) => self.handle_router_packet(runtime, now, envelope, message),
            None => link_socket.reject(now, Some(envelope.source), Rejection::Vrid),
        }
    }

    fn handle_router_packet(
        &mut self,
        index: usize,
        now: Instant,
        envelope: &Envelope,
        message: &[u8],
    ) {
        let runtime = &mut self.runtimes[index];
        if runtime.link.local.contains(&envelope.source) {
            return runtime.reject(now, envelope.source, Rejection::OwnSource);
        }
        match runtime.parse(envelope, message) {
            Ok((advertisement, form)) => {
                runtime.note_peer(now, envelope.source, &advertisement, form);
                let before = runtime.machine.counters();
                runtime
                    .machine
                    .handle_advertisement(now, envelope.source, &advertisement);
                let after = runtime.machine.counters();
                for cause in runtime.anomalies.of(&before, &after, now) {
                    let router = &runtime.config.name;
                    warn!(%router, peer = %envelope.source, cause, "odd advertisements, accepted");
                }
                self.perform(index, now);
            }
            Err(reason) => runtime.reject(now, envelope.source, reason),
        }
    }

    fn read_supervisor(&mut self) -> Result<(), Error> {
        for _ in 0..MESSAGES_PER_TURN {
            if !self.supervised {
                break;
            }
            match self.supervisor.receive() {
                Ok(Received::Message(message, descriptors)) => {
                    self.handle_message(message, descriptors)?
                }
                Ok(Received::Nothing) => break,
                Ok(Received::Lost) => self.handle_message_shortage()?,
                Ok(Received::Closed) => self.handle_supervisor_lost("the supervisor is gone"),
                Err(failure) => {
                    error!(error = %failure, "the supervisor cannot be understood");
                    self.handle_supervisor_lost("the supervisor cannot be understood");
                }
            }
        }
        Ok(())
    }

    /// A message was lost for want of descriptors or memory: without a configuration there is nothing to go on with.
    fn handle_message_shortage(&self) -> Result<(), Error> {
        warn!("a message of the supervisor was lost for want of descriptors or memory");
        match self.phase {
            Phase::Waiting => Err(system("take a message of the supervisor", Errno::ENOBUFS)),
            Phase::Surveying | Phase::Running | Phase::Stopping { .. } | Phase::Over => Ok(()),
        }
    }

    /// Losing the supervisor means giving the addresses up.
    fn handle_supervisor_lost(&mut self, why: &'static str) {
        if self.supervised {
            self.supervised = false;
            warn!(cause = why, "giving the addresses up");
            // What was held for the proxy that served on it is held for nobody now.
            self.release();
            self.stop(Duration::ZERO);
        }
    }

    fn handle_message(&mut self, message: ToVrrp, descriptors: Vec<OwnedFd>) -> Result<(), Error> {
        match message {
            ToVrrp::KeptSockets(keys) => self.kept.extend(keys.into_iter().zip(descriptors)),
            ToVrrp::Configure { yaml, node, adopt } => self.configure(&yaml, &node, adopt)?,
            ToVrrp::Fitness { entry, fitness } => self.set_fitness(entry, &fitness),
            ToVrrp::ReportStatus { id } => {
                let routers = self.describe();
                let elsewhere = self
                    .link_sockets
                    .iter()
                    .map(|link_socket| &link_socket.rejections);
                let statistics = status::statistics(&self.runtimes, elsewhere);
                self.outbox.push(FromVrrp::Status {
                    id,
                    routers,
                    statistics,
                });
            }
            ToVrrp::Beat => self.watch.handle_beat(),
            ToVrrp::Stop { hold_ms } => self.stop(Duration::from_millis(hold_ms)),
            ToVrrp::Release => self.release(),
        }
        Ok(())
    }

    /// Begins; a second configuration of a running process is not a thing, and is ignored.
    fn configure(&mut self, yaml: &str, node: &str, adopt: Vec<ActiveRole>) -> Result<(), Error> {
        let Phase::Waiting = self.phase else {
            warn!("a second configuration was ignored");
            return Ok(());
        };
        let routers = (self.read_config)(yaml, node)?;
        let now = Instant::now();
        let spec = |router: &VirtualRouterConfig| {
            let adopted = adopt.iter().any(|role| role.router == router.name);
            host_spec(
                router,
                if adopted {
                    Leftovers::Keep
                } else {
                    Leftovers::Remove
                },
            )
        };
        let host = Host::start(routers.iter().map(spec).collect());
        self.host = Some(host.map_err(|error| Error::System {
            what: "start a thread",
            error,
        })?);
        let groups: Vec<String> = routers
            .iter()
            .map(|router| router.sync_group.clone())
            .collect();
        let sync_group = |number: usize| {
            let others = (0..groups.len()).filter(|other| *other != number);
            others
                .filter(|other| groups[*other] == groups[number])
                .collect()
        };
        let numbered = routers.into_iter().enumerate();
        self.runtimes = numbered
            .map(|(number, router)| RouterRuntime::new(number, router, sync_group(number), now))
            .collect();
        for runtime in &mut self.runtimes {
            if let Some(fitness) = self.fitness.get(&runtime.config.name.entry) {
                runtime.machine.set_fitness(now, fitness.clone());
            }
        }
        self.adopt = adopt;
        self.phase = Phase::Surveying;
        Ok(())
    }

    fn set_fitness(&mut self, entry: String, fitness: &Fitness) {
        let now = Instant::now();
        let concerned = |runtime: &&mut RouterRuntime| runtime.config.name.entry == entry;
        for runtime in self.runtimes.iter_mut().filter(concerned) {
            runtime.machine.set_fitness(now, fitness.clone());
        }
        self.perform_all(now);
        self.fitness.insert(entry, fitness.clone());
    }

    fn read_host(&mut self) -> Result<(), Error> {
        if let Some(host) = &self.host {
            host.clear_wakening();
        }
        for _ in 0..EVENTS_PER_TURN {
            let Some(event) = self.host.as_ref().and_then(Host::event) else {
                break;
            };
            self.handle_host_event(event)?;
        }
        Ok(())
    }

    fn handle_host_event(&mut self, event: Event) -> Result<(), Error> {
        let now = Instant::now();
        match event {
            Event::Link { router, link } => self.set_link(router, link, now),
            Event::Surveyed(kept) => self.begin(&kept, now),
            Event::Applied(answer) => {
                self.handle_answer(answer, now, |runtime| runtime.machine.handle_applied(now));
            }
            Event::ApplyFailed(answer, what) => self.handle_answer(answer, now, |runtime| {
                let router = &runtime.config.name;
                error!(%router, error = %what, "the addresses cannot be held");
                runtime.machine.handle_apply_failed(now, Failure { what });
            }),
            Event::Renewed(answer) | Event::Removed(answer) => {
                self.handle_answer(answer, now, |_| {})
            }
            Event::AddressesLost { router } => self.reinstall(router, now),
            Event::AttachmentRefused { router, why } => {
                let runtime = &mut self.runtimes[router];
                let router = &runtime.config.name;
                error!(%router, error = %why, "the virtual MAC cannot be had");
            }
            Event::SuppressionRefused(why) => warn!(
                error = %why,
                "no nftables: addresses that are given up are released at once, not suppressed"
            ),
            Event::Ended(why) => return Err(Error::Host(why.unwrap_or_default())),
        }
        Ok(())
    }

    fn handle_answer(
        &mut self,
        answer: Answer,
        now: Instant,
        then: impl FnOnce(&mut RouterRuntime),
    ) {
        let runtime = &mut self.runtimes[answer.router];
        if runtime.accept(answer) {
            then(runtime);
            self.perform(answer.router, now);
        }
    }

    /// Installs addresses that somebody else removed, if they should still be here: a router that has slept notices
    /// that first.
    fn reinstall(&mut self, index: usize, now: Instant) {
        self.runtimes[index].machine.handle_timeout(now);
        self.perform(index, now);
        let runtime = &mut self.runtimes[index];
        if runtime.is_active() {
            runtime.put_back += 1;
            let router = &runtime.config.name;
            warn!(%router, "addresses were removed by somebody else; putting them back");
            self.command(index, What::Install(self.runtimes[index].config.lease), now);
        }
    }

    /// The survey is over: every router adopts its role or starts.
    fn begin(&mut self, kept: &[bool], now: Instant) {
        let Phase::Surveying = self.phase else {
            return;
        };
        self.phase = Phase::Running;
        let adopt = std::mem::take(&mut self.adopt);
        for (runtime, kept) in self.runtimes.iter_mut().zip(kept) {
            let role = adopt.iter().find(|role| role.router == runtime.config.name);
            let advertised_at = role.and_then(|role| self.clock.instant(role.advertised_at_ns));
            match advertised_at.filter(|_| *kept) {
                Some(at) => {
                    runtime.advertised_at = Some(at);
                    runtime.machine.handle_adoption(now, at);
                }
                None => runtime.machine.handle_startup(now),
            }
        }
        // What was said while nobody listened comes before anything that an adopted role would say.
        self.drain_sockets();
        self.perform_all(now);
        self.kept.clear();
        self.outbox.push(FromVrrp::Ready);
    }

    fn set_link(&mut self, index: usize, link: RouterLink, now: Instant) {
        let before = std::mem::replace(&mut self.runtimes[index].link, link).outlet;
        if let Some(outlet) = before
            && !self
                .runtimes
                .iter()
                .any(|other| other.link.outlet.as_ref() == Some(&outlet))
        {
            self.announcers.close(&outlet);
        }
        self.connect(index, now);
    }

    /// Makes the socket of a router fit its link, and tells the router.
    fn connect(&mut self, index: usize, now: Instant) {
        let runtime = &self.runtimes[index];
        let (interface, family) = (runtime.config.interface.clone(), runtime.family());
        let ifindex = runtime.link.ifindex;
        let before = self.link_sockets.len();
        self.link_sockets.retain(|link_socket| {
            let key = link_socket.socket.key();
            key.interface != interface || key.family != family || Some(key.ifindex) == ifindex
        });
        self.sockets_changed |= before != self.link_sockets.len();
        let mut trouble = None;
        if let (Some(ifindex), None) = (ifindex, self.link_socket_of(index)) {
            match self.open(SocketKey {
                interface,
                ifindex,
                family,
            }) {
                Ok(link_socket) => {
                    self.link_sockets.push(link_socket);
                    self.sockets_changed = true;
                }
                Err(error) => trouble = Some(error),
            }
        }
        let runtime = &mut self.runtimes[index];
        trouble = trouble.or(runtime.open_outlet().err());
        let mut state = runtime.link.state;
        if let Some(error) = trouble {
            let router = &runtime.config.name;
            warn!(%router, %error, "the VRRP socket cannot be opened");
            state = LinkState::Down;
            self.open_at = Some(now + OPEN_AGAIN);
        }
        self.runtimes[index].machine.handle_link(now, state);
        self.perform(index, now);
    }

    fn open(&mut self, key: SocketKey) -> io::Result<LinkSocket> {
        let socket = match self.kept.remove(&key) {
            Some(descriptor) => VrrpSocket::adopt(key, descriptor),
            None => VrrpSocket::open(key)?,
        };
        Ok(LinkSocket::new(socket))
    }

    fn link_socket_of(&self, index: usize) -> Option<usize> {
        let runtime = &self.runtimes[index];
        self.link_sockets.iter().position(|link_socket| {
            let key = link_socket.socket.key();
            runtime.hears(&key.interface, key.family)
        })
    }

    fn act_on_timers(&mut self) {
        let now = Instant::now();
        for index in 0..self.runtimes.len() {
            let machine = &mut self.runtimes[index].machine;
            if machine.poll_timeout().is_some_and(|at| at <= now) {
                machine.handle_timeout(now);
                self.perform(index, now);
            }
            self.fail_if_host_silent(index, now);
        }
        if self.open_at.is_some_and(|at| at <= now) {
            self.open_at = None;
            for index in 0..self.runtimes.len() {
                if self.link_socket_of(index).is_none() || !self.runtimes[index].has_outlet() {
                    self.connect(index, now);
                }
            }
        }
        self.report_when_handed_over(now);
        if let Phase::Stopping { deadline, .. } = self.phase
            && (deadline <= now || self.runtimes.iter().all(RouterRuntime::is_released))
        {
            self.phase = Phase::Over;
        }
    }

    /// A virtual router whose leases nobody renews is not Active.
    fn fail_if_host_silent(&mut self, index: usize, now: Instant) {
        let runtime = &mut self.runtimes[index];
        if runtime.host_is_silent(now) {
            let what = "the host thread does not answer".to_owned();
            error!(router = %runtime.config.name, error = %what, "the addresses cannot be held");
            runtime.machine.handle_apply_failed(now, Failure { what });
            self.perform(index, now);
        }
    }

    fn report_transition(&mut self, index: usize, transition: Transition, now: Instant) {
        let router = &self.runtimes[index].config.name;
        let report = TransitionReport::of(router.clone(), &transition, self.clock.ns(now));
        let Transition { from, to, cause } = transition;
        info!(%router, %from, %to, %cause, "state changed");
        // A death right now must find the supervisor knowing the role.
        self.beat_at = now;
        self.outbox.push(FromVrrp::Transition(report));
    }

    /// Sends what the supervisor should know: sockets to keep, messages, and a beat when it is due.
    fn report(&mut self) {
        if !self.supervised {
            self.beat_at = Instant::now() + BEAT_INTERVAL;
            return;
        }
        let mut outcome = Sent::Done;
        if self.sockets_changed {
            outcome = self.send_sockets();
            self.sockets_changed = outcome != Sent::Done;
        }
        if outcome == Sent::Done {
            outcome = self.outbox.flush(&mut self.supervisor);
        }
        let now = Instant::now();
        if self.beat_at <= now {
            self.beat_at = now + BEAT_INTERVAL;
            self.watch.handle_tick();
            let beat = FromVrrp::Beat {
                active: self.active_roles(),
            };
            if self.supervisor.send(&beat, &[]) == Sent::Closed {
                outcome = Sent::Closed;
            }
        }
        if outcome == Sent::Closed {
            self.handle_supervisor_lost("the supervisor is gone");
        } else if self.watch.is_suppressed() {
            self.handle_supervisor_lost("the supervisor is silent for 2 s");
        }
    }

    fn send_sockets(&mut self) -> Sent {
        // Without a socket there is one part as well: what was kept before is out of date.
        let count = self
            .link_sockets
            .len()
            .div_ceil(DESCRIPTORS_A_MESSAGE)
            .max(1);
        for number in 0..count {
            let from = number * DESCRIPTORS_A_MESSAGE;
            let to = self.link_sockets.len().min(from + DESCRIPTORS_A_MESSAGE);
            let part = self.link_sockets[from..to]
                .iter()
                .map(|link_socket| &link_socket.socket);
            let message = FromVrrp::KeepSockets {
                sockets: part.clone().map(|socket| socket.key().clone()).collect(),
                more: number > 0,
            };
            let descriptors: Vec<BorrowedFd<'_>> = part.map(AsFd::as_fd).collect();
            let outcome = self.supervisor.send(&message, &descriptors);
            if outcome != Sent::Done {
                return outcome;
            }
        }
        Sent::Done
    }

    fn active_roles(&self) -> Vec<ActiveRole> {
        let active = self.runtimes.iter().filter(|runtime| runtime.is_active());
        let role = |runtime: &RouterRuntime| {
            let at = runtime.advertised_at?;
            let router = runtime.config.name.clone();
            Some(ActiveRole {
                router,
                advertised_at_ns: self.clock.ns(at),
            })
        };
        active.filter_map(role).collect()
    }

    fn describe(&self) -> Vec<crate::ipc::control::RouterStatus> {
        let now = Instant::now();
        let describe = |(index, runtime)| {
            let unclaimed = self
                .link_socket_of(index)
                .map(|link_socket| &self.link_sockets[link_socket].rejections);
            status::describe(runtime, unclaimed, now)
        };
        self.runtimes.iter().enumerate().map(describe).collect()
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

/// Says what the host thread must know of a virtual router.
fn host_spec(router: &VirtualRouterConfig, leftovers: Leftovers) -> RouterSpec {
    let virtual_mac = VirtualMac {
        family: router.name.family,
        vrid: router.vrid,
    };
    RouterSpec {
        interface: router.interface.clone(),
        virtual_mac: router.virtual_mac.then_some(virtual_mac),
        addresses: router.addresses.clone().into(),
        ownership: if router.priority == Priority::OWNER {
            Ownership::Owner
        } else {
            Ownership::Lease
        },
        acceptance: if router.accept || router.priority == Priority::OWNER {
            Acceptance::Accept
        } else {
            Acceptance::Refuse
        },
        leftovers,
    }
}

fn system(what: &'static str, errno: Errno) -> Error {
    Error::System {
        what,
        error: errno.into(),
    }
}

/// The kernel allows 253.
const DESCRIPTORS_A_MESSAGE: usize = 200;
/// A sign of life for the supervisor, which kills a process that is silent for 300 ms.
const BEAT_INTERVAL: Duration = Duration::from_millis(50);
/// From one socket in one turn; what remains is taken in the next, after the timers that are due.
const PACKETS_PER_TURN: usize = 256;
/// From the supervisor in one turn.
const MESSAGES_PER_TURN: usize = 16;
/// From the host thread in one turn.
const EVENTS_PER_TURN: usize = 1024;
/// Until a socket that could not be opened is tried again.
const OPEN_AGAIN: Duration = Duration::from_secs(1);
/// For the last message to find room.
const GOODBYE_TIMEOUT: Duration = Duration::from_millis(200);
const GOODBYE_PAUSE: Duration = Duration::from_millis(5);
