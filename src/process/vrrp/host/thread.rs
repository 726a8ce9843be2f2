//! The loop of the host thread: commands first, then what the kernel says, then what follows from it.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tracing::warn;

use super::addresses::{self, Refusal};
use super::monitor::Monitor;
use super::netlink::Netlink;
use super::nftables::Silence;
use super::{Answer, Command, Event, Leftovers, RouterLink, RouterSpec, What, clear, wake};
use crate::logic::vrrp::LinkState;

/// The host thread's end of the queues.
pub(super) struct Line {
    pub(super) commands: Receiver<Command>,
    pub(super) woken: UnixStream,
    pub(super) events: SyncSender<Event>,
    pub(super) wake: UnixStream,
}

impl Line {
    /// Returns false when nobody listens any more.
    fn report(&self, event: Event) -> bool {
        let heard = self.events.send(event).is_ok();
        wake(&self.wake);
        heard
    }
}

/// Runs until the protocol thread has closed its end.
pub(super) fn run(line: Line, specs: Vec<RouterSpec>) {
    let failure = match Worker::new(&line, specs) {
        Ok(mut worker) => {
            let outcome = worker.work();
            worker.remove_everything();
            outcome.err()
        }
        Err(error) => Some(error),
    };
    line.report(Event::Ended(failure.map(|error| error.to_string())));
}

struct Worker<'a> {
    line: &'a Line,
    routers: Vec<Router>,
    virtual_addresses: Vec<IpAddr>,
    netlink: Netlink,
    monitor: Monitor,
    /// `None` where the kernel does not let us.
    silence: Option<Silence>,
}

/// A virtual router as the host has it.
struct Router {
    interface: String,
    addresses: Vec<IpAddr>,
    held: Held,
    /// The last that was reported.
    link: Option<RouterLink>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Held {
    Absent,
    Present,
    /// Present, but lost to somebody else; reported, and not again until the next installation.
    Lost,
}

impl<'a> Worker<'a> {
    fn new(line: &'a Line, specs: Vec<RouterSpec>) -> io::Result<Self> {
        let mut netlink = Netlink::open()?;
        let monitor = Monitor::open(&mut netlink)?;
        let silence = match Silence::open() {
            Ok(silence) => Some(silence),
            Err(error) => {
                line.report(Event::SilenceRefused(error.to_string()));
                None
            }
        };
        let keep: Vec<Leftovers> = specs.iter().map(|spec| spec.leftovers).collect();
        let routers: Vec<Router> = specs
            .into_iter()
            .map(|spec| Router {
                addresses: spec
                    .addresses
                    .iter()
                    .map(|virtual_| virtual_.address)
                    .collect(),
                interface: spec.interface,
                held: Held::Absent,
                link: None,
            })
            .collect();
        let virtual_addresses: BTreeSet<IpAddr> = routers
            .iter()
            .flat_map(|router| router.addresses.iter().copied())
            .collect();
        let virtual_addresses = virtual_addresses.into_iter().collect();
        let mut worker = Self {
            line,
            routers,
            virtual_addresses,
            netlink,
            monitor,
            silence,
        };
        worker.survey(&keep);
        Ok(worker)
    }

    /// Keeps what is to be adopted, removes all else that a former process left, and says what there is.
    fn survey(&mut self, leftovers: &[Leftovers]) {
        let view = self.monitor.view();
        let kept: Vec<bool> = self
            .routers
            .iter()
            .zip(leftovers)
            .map(|(router, leftovers)| {
                *leftovers == Leftovers::Keep
                    && view
                        .named(&router.interface)
                        .is_some_and(|(_, link)| addresses::all_installed(link, &router.addresses))
            })
            .collect();
        for (router, kept) in self.routers.iter_mut().zip(&kept) {
            router.held = if *kept { Held::Present } else { Held::Absent };
        }
        for (ifindex, link) in view.links() {
            let of_kept = |address: &IpAddr| {
                self.routers.iter().any(|router| {
                    router.held == Held::Present
                        && router.interface == link.name
                        && router.addresses.contains(address)
                })
            };
            let left = link
                .addresses
                .iter()
                .filter(|found| addresses::is_ours(found) && !of_kept(&found.address))
                .map(|found| found.address);
            if let Err(error) = addresses::remove(&mut self.netlink, ifindex, left) {
                warn!(interface = %link.name, %error, "addresses of a former run remain");
            }
        }
        self.report_links();
        self.line.report(Event::Surveyed(kept));
    }

    fn work(&mut self) -> io::Result<()> {
        loop {
            let mut waiting = [
                PollFd::new(self.line.woken.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.monitor.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut waiting, PollTimeout::from(TURN_MAX_MS)) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            let open = clear(&self.line.woken);
            // Renewals and removals go before events: a flood of those must not cost a lease.
            while let Ok(command) = self.line.commands.try_recv() {
                self.execute(command)?;
            }
            if !open {
                return Ok(());
            }
            if self.monitor.catch_up(&mut self.netlink)? {
                self.report_links();
                self.report_losses()?;
            }
        }
    }

    fn execute(&mut self, command: Command) -> io::Result<()> {
        let answer = Answer {
            router: command.router,
            generation: command.generation,
        };
        let event = match command.what {
            What::Install(lease) => {
                // What is there now decides whether something is in the way.
                self.monitor.catch_up(&mut self.netlink)?;
                match self.apply(command, lease) {
                    Ok(()) => {
                        self.routers[command.router].held = Held::Present;
                        self.end_silence(command.router);
                        Event::Applied(answer)
                    }
                    Err(what) => Event::ApplyFailed(answer, what),
                }
            }
            // Released instead of silenced, or too late: then the next renewal decides, or what the router noticed.
            What::Renew(_)
                if self.routers[command.router].held == Held::Absent
                    || Instant::now() > command.not_after =>
            {
                Event::Renewed(answer)
            }
            What::Renew(lease) => match self.apply(command, lease) {
                Ok(()) => {
                    self.routers[command.router].held = Held::Present;
                    Event::Renewed(answer)
                }
                Err(what) => Event::ApplyFailed(answer, what),
            },
            What::Silence => return self.begin_silence(command.router),
            What::Remove => {
                self.remove(command.router);
                Event::Removed(answer)
            }
        };
        self.line.report(event);
        Ok(())
    }

    /// Installs or renews.
    fn apply(&mut self, command: Command, lease: std::time::Duration) -> Result<(), String> {
        if Instant::now() > command.not_after {
            return Err("the host thread was late".into());
        }
        let router = &self.routers[command.router];
        let Some((ifindex, link)) = self.monitor.view().named(&router.interface) else {
            return Err(format!("no interface {}", router.interface));
        };
        let outcome =
            addresses::install(&mut self.netlink, ifindex, link, &router.addresses, lease);
        outcome.map_err(|refusal| explain(&refusal))
    }

    fn begin_silence(&mut self, index: usize) -> io::Result<()> {
        let addresses = &self.routers[index].addresses;
        let refused = match &mut self.silence {
            Some(silence) => silence.begin(addresses).err(),
            None => return self.release(index),
        };
        if let Some(error) = refused {
            self.silence = None;
            self.line.report(Event::SilenceRefused(error.to_string()));
            return self.release(index);
        }
        Ok(())
    }

    /// In place of a silence that the kernel refused.
    fn release(&mut self, index: usize) -> io::Result<()> {
        self.remove(index);
        Ok(())
    }

    fn end_silence(&mut self, index: usize) {
        let addresses = &self.routers[index].addresses;
        if let Some(Err(error)) = self.silence.as_mut().map(|silence| silence.end(addresses)) {
            // The tables end with their socket, and every silence with them.
            self.silence = None;
            self.line.report(Event::SilenceRefused(error.to_string()));
        }
    }

    fn remove(&mut self, index: usize) {
        let router = &mut self.routers[index];
        router.held = Held::Absent;
        if let Some((ifindex, _)) = self.monitor.view().named(&router.interface) {
            let addresses = router.addresses.iter().copied();
            if let Err(error) = addresses::remove(&mut self.netlink, ifindex, addresses) {
                warn!(interface = %router.interface, %error, "addresses end with their lease only");
            }
        }
        self.end_silence(index);
    }

    fn remove_everything(&mut self) {
        for index in 0..self.routers.len() {
            if self.routers[index].held != Held::Absent {
                self.remove(index);
            }
        }
    }

    fn report_links(&mut self) {
        let view = self.monitor.view();
        let local: Arc<[IpAddr]> = view
            .links()
            .flat_map(|(_, link)| link.addresses.iter())
            .filter(|found| {
                found.protocol != addresses::TAG && !self.virtual_addresses.contains(&found.address)
            })
            .map(|found| found.address)
            .collect();
        for (index, router) in self.routers.iter_mut().enumerate() {
            let place = view.named(&router.interface);
            let primary = place.filter(|(_, link)| link.up).and_then(|(_, link)| {
                let kin = *router.addresses.first()?;
                let in_use = router.link.as_ref().and_then(RouterLink::primary);
                addresses::primary(link, &self.virtual_addresses, kin, in_use)
            });
            let link = RouterLink {
                ifindex: place.map(|(ifindex, _)| ifindex),
                mac: place.and_then(|(_, link)| link.mac),
                state: primary.map_or(LinkState::Down, |primary| LinkState::Up { primary }),
                local: Arc::clone(&local),
            };
            if router.link.as_ref() != Some(&link) {
                router.link = Some(link.clone());
                self.line.report(Event::Link {
                    router: index,
                    link,
                });
            }
        }
    }

    /// Reports addresses that somebody removed. The kernel tells of new IPv6 addresses later than it acknowledges
    /// them, so a suspicion is checked against what there really is.
    fn report_losses(&mut self) -> io::Result<()> {
        if self.routers.iter().any(|router| self.has_lost(router)) {
            self.monitor.read_all(&mut self.netlink)?;
        }
        for index in 0..self.routers.len() {
            if self.has_lost(&self.routers[index]) {
                self.routers[index].held = Held::Lost;
                self.line.report(Event::AddressesLost { router: index });
            }
        }
        Ok(())
    }

    fn has_lost(&self, router: &Router) -> bool {
        let installed = |link| addresses::all_installed(link, &router.addresses);
        let place = self.monitor.view().named(&router.interface);
        router.held == Held::Present && !place.is_some_and(|(_, link)| installed(link))
    }
}

/// Adds what a person can do where the errno alone does not say it.
fn explain(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Address {
            address: IpAddr::V6(_),
            error,
            ..
        } if error.raw_os_error() == Some(libc::EACCES) => {
            format!("{refusal}; is IPv6 disabled on the interface (net.ipv6.conf.*.disable_ipv6)?")
        }
        Refusal::Address { .. } | Refusal::Silence(_) => refusal.to_string(),
    }
}

/// Nothing needs the thread that often; but no wait is without an end.
const TURN_MAX_MS: u16 = 1000;
