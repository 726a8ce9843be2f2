//! The host thread: all that changes the host's network or may block on the kernel's network lock.
//!
//! Commands come over a bounded queue and are executed in order; events go back over another, and a
//! byte over a socketpair wakes the protocol thread. It knows virtual routers as identities with
//! addresses, and nothing of VRRP. It never decides by itself that an address belongs here: one
//! that was removed by somebody else is reported, and put back by command.
//!
//! Read `monitor` (what the host has), `addresses` and `routes` (what we install), `attachment` and
//! `macvlan` (where), `suppression` and `accept_mode` (nftables), then `netlink`.

pub mod accept_mode;
pub mod addresses;
pub mod macvlan;
pub mod monitor;
pub mod netlink;
pub mod nftables;
pub mod routes;
mod attachment;
pub mod neighbor_suppression;
mod messages;
mod thread;

use std::io::{self};
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

pub use self::macvlan::VirtualMac;
pub use self::messages::{
    Acceptance, Answer, Change, Command, Event, Leftovers, Node, Outlet, Ownership, RouterLink,
    RouterSpec, What,
};
use self::messages::{Order, clear, wake};
pub use self::thread::leftovers::remove as remove_leftovers;
use super::gateways::{self, Gateways};
use super::routers::Routers;
use crate::config::GatewayConfig;

/// Gateways to ask, and the virtual addresses.
pub type AskedGateways = (Vec<GatewayConfig>, Arc<[IpAddr]>);

/// The protocol thread's end.
#[derive(Debug)]
pub struct Host {
    orders: SyncSender<Order>,
    events: Receiver<Event>,
    wake_host: Option<UnixStream>,
    woken: UnixStream,
    /// For a thread that asks gateways; `None` when all is to end.
    report: Option<(SyncSender<Event>, UnixStream)>,
    /// The thread that asks gateways, once there were any.
    gateways: Option<Gateways>,
}

impl Host {
    /// Starts the thread, and one that asks gateways where there are any; `interfaces` are those
    /// whose carrier is to be told of.
    ///
    /// # Errors
    /// When the kernel refuses the thread, or the sockets that wake it.
    pub fn start(
        routers: Routers<RouterSpec>,
        interfaces: Vec<String>,
        gateways: Vec<GatewayConfig>,
    ) -> io::Result<Self> {
        let (orders, to_do) = sync_channel(ORDERS_MAX);
        let (report, events) = sync_channel(EVENTS_MAX);
        let (wake_host, host_woken) = UnixStream::pair()?;
        let (wake, woken) = UnixStream::pair()?;
        for end in [&wake_host, &host_woken, &wake, &woken] {
            end.set_nonblocking(true)?;
        }
        let addresses = routers.values().flat_map(|router| router.addresses.iter());
        let addresses = addresses.map(|virtual_| virtual_.address).collect();
        let for_gateways = (report.clone(), wake.try_clone()?);
        let line = thread::Line {
            orders: to_do,
            woken: host_woken,
            events: report,
            wake,
        };
        std::thread::Builder::new()
            .name("evenkeel-host".into())
            .spawn(move || thread::run(line, routers, interfaces))?;
        let mut host = Self {
            orders,
            events,
            wake_host: Some(wake_host),
            woken,
            report: Some(for_gateways),
            gateways: None,
        };
        if !gateways.is_empty() {
            host.provide_for_gateways(Some((gateways, addresses)))?;
        }
        Ok(host)
    }

    /// Starts the thread that asks gateways, unless it is there, and says what it asks first.
    ///
    /// # Errors
    /// When the kernel refuses the thread.
    pub fn provide_for_gateways(&mut self, first: Option<AskedGateways>) -> io::Result<()> {
        let (None, Some((report, wake))) = (&self.gateways, &self.report) else {
            return Ok(());
        };
        let (report, wake) = (report.clone(), wake.try_clone()?);
        let gateways = gateways::start(first, move |label, there| {
            let heard = report.send(Event::Gateway { label, there }).is_ok();
            messages::wake(&wake);
            heard
        })?;
        self.gateways = Some(gateways);
        Ok(())
    }

    /// Has these gateways asked from now on; virtual addresses are not to be the source. The thread
    /// for them is there.
    pub fn follow_gateways(&self, gateways: AskedGateways) {
        if let Some(thread) = &self.gateways {
            thread.follow(gateways);
        }
    }

    /// Hands over a command, without waiting.
    ///
    /// # Errors
    /// The command, when the queue is full or the thread has ended.
    pub fn command(&self, command: Command) -> Result<(), Command> {
        match self.orders.try_send(Order::Command(command)) {
            Ok(()) => {
                self.wake_host.as_ref().map(wake);
                Ok(())
            }
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Err(command),
        }
    }

    /// Hands over a change, without waiting.
    ///
    /// # Errors
    /// The change, when the queue is full or the thread has ended.
    pub fn change(&self, change: Box<Change>) -> Result<(), Box<Change>> {
        match self.orders.try_send(Order::Change(change)) {
            Ok(()) => {
                self.wake_host.as_ref().map(wake);
                Ok(())
            }
            Err(TrySendError::Full(order) | TrySendError::Disconnected(order)) => match order {
                Order::Change(change) => Err(change),
                Order::Command(_) => Ok(()),
            },
        }
    }

    /// Returns the next event without waiting.
    pub fn event(&self) -> Option<Event> {
        self.events.try_recv().ok()
    }

    /// Takes the wakening bytes away; call it before `event`.
    pub fn clear_wakening(&self) {
        clear(&self.woken);
    }

    /// Has the thread end, which first takes every address and every macvlan away.
    pub fn close(&mut self) {
        self.wake_host = None;
        self.report = None;
        self.gateways = None;
    }

    /// Waits for the end of a thread that was closed, so long at most; `None`: it is not over.
    pub fn wait_for_end(&self, timeout: Duration) -> Option<Result<(), String>> {
        let deadline = Instant::now() + timeout;
        loop {
            match self
                .events
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(Event::Ended(None)) => return Some(Ok(())),
                Ok(Event::Ended(Some(what))) => return Some(Err(what)),
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return Some(Err("it has ended".into())),
                Err(RecvTimeoutError::Timeout) => return None,
            }
        }
    }
}

impl AsFd for Host {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.woken.as_fd()
    }
}

/// When it is full the protocol thread keeps the last command of each router and tries again;
/// renewals are dropped, because a router has at most one that is not answered.
const ORDERS_MAX: usize = 1024;
/// When it is full the host thread waits: the protocol thread empties it every turn.
const EVENTS_MAX: usize = 4096;
