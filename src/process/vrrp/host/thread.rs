//! The loop of the host thread: commands first, then what the kernel says, then what follows from
//! it.

mod change;
mod forwarding;
pub(super) mod leftovers;
mod link_set;
mod links;
mod reports;
mod router;

use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tracing::warn;

use self::forwarding::Forwarding;
use self::links::Moving;
use self::reports::Reports;
use self::router::{Awaited, Held, Place, Router};
use super::super::routers::{RouterId, Routers};
use super::accept_mode::AcceptMode;
use super::addresses::{self, Refusal};
use super::attachment;
use super::macvlan::{self, PREFIX_V6, VirtualMac};
use super::messages::{
    Acceptance, Answer, Command, Event, Leftovers, Order, Ownership, RouterSpec, What, clear, wake,
};
use super::monitor::{Link, Monitor};
use super::neighbor_suppression::NeighborSuppression;
use super::netlink::Netlink;
use super::routes;
use crate::model::{Chain, Family};

/// The host thread's end of the queues.
pub(super) struct Line {
    pub(super) orders: Receiver<Order>,
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
pub(super) fn run(line: Line, specs: Routers<RouterSpec>, interfaces: Vec<String>) {
    let failure = match Worker::new(&line, specs, interfaces) {
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
    routers: Routers<Router>,
    /// Those that are followed, each with what was last said of its carrier.
    carriers: Vec<(String, Option<bool>)>,
    netlink: Netlink,
    monitor: Monitor,
    /// `None` where the kernel does not let us.
    suppression: Option<NeighborSuppression>,
    /// What is sent to these is dropped, or why that cannot be done; `None` where nobody asks for
    /// it.
    accept_mode: Option<Result<AcceptMode, String>>,
    forwarding: Forwarding,
    reports: Reports,
    /// Those that move or are new, until their place is there.
    awaited: Vec<Awaited>,
    /// What nobody tells us of is looked at again then.
    look_at: Instant,
}

impl<'a> Worker<'a> {
    fn new(
        line: &'a Line,
        specs: Routers<RouterSpec>,
        interfaces: Vec<String>,
    ) -> io::Result<Self> {
        let mut netlink = Netlink::open()?;
        let monitor = Monitor::open(&mut netlink)?;
        let suppression = match NeighborSuppression::open() {
            Ok(suppression) => Some(suppression),
            Err(error) => {
                line.report(Event::SuppressionRefused(error.to_string()));
                None
            }
        };
        let keep = specs.map(|(_, spec)| spec.leftovers);
        let routers = specs.map(|(_, spec)| Router::new(spec));
        let mut worker = Self {
            line,
            accept_mode: refuse(&routers),
            forwarding: Forwarding::open(routers.values()),
            reports: Reports::open(routers.values()),
            look_at: Instant::now(),
            awaited: Vec::new(),
            routers,
            carriers: interfaces.into_iter().map(|name| (name, None)).collect(),
            netlink,
            monitor,
            suppression,
        };
        worker.silence_leftovers();
        worker.clear_attachments();
        worker.make_attachments();
        worker.survey(&keep);
        Ok(worker)
    }

    /// Keeps what is to be adopted, removes all else that a former process left, and says what
    /// there is.
    fn survey(&mut self, leftovers: &Routers<Leftovers>) {
        let view = self.monitor.view();
        let kept = self.routers.map(|(id, router)| {
            let lives = |place| self.is_lease_alive(router, place);
            leftovers[id] == Leftovers::Keep && router.place(view).is_some_and(lives)
        });
        for (id, router) in self.routers.iter_mut() {
            router.held = Held::Absent;
            if let Some((ifindex, link)) = router.place(view).filter(|_| kept[id]) {
                let all = addresses::all_installed(link, &router.addresses, router.ownership);
                // What is missing comes with the installation that the adoption asks for.
                router.held = if all { Held::Present } else { Held::Lost };
                router.held_at = Some(ifindex);
                self.reports.begin(router, view);
            }
        }
        for (ifindex, link) in view.links() {
            let of_kept = |address: &IpAddr| {
                self.routers.values().any(|router| {
                    router.held != Held::Absent
                        && router
                            .place(view)
                            .is_some_and(|(place, _)| place == ifindex)
                        && router.addresses.contains(address)
                })
            };
            let left = link
                .addresses
                .iter()
                .filter(|found| addresses::is_ours(found) && !of_kept(&found.address))
                .map(|found| found.address);
            if let Err(error) = addresses::remove(&mut self.netlink, ifindex, left) {
                warn!(interface = %link.name, error = %Chain(&error), "addresses of a former run remain");
            }
        }
        for &id in self.routers.ids().iter() {
            if self.routers[id].held == Held::Absent {
                self.suppress_own(id);
            }
        }
        self.report_links();
        self.line.report(Event::Surveyed(kept));
    }

    /// Returns whether an address is there that the process before installed for a virtual router:
    /// one that it still has, or one that nobody has any more. A process that dies between a reload
    /// and the installation leaves the addresses of before.
    fn is_lease_alive(&self, router: &Router, place: (u32, &Link)) -> bool {
        let view = self.monitor.view();
        let is_own = |address: &IpAddr| router.addresses.contains(address);
        let is_of_nobody = |address: &IpAddr| {
            let mut all = self.routers.values();
            router
                .addresses
                .iter()
                .all(|own| own.is_ipv4() == address.is_ipv4())
                && !all.any(|other| other.addresses.contains(address))
        };
        let of_owner = |link| addresses::all_installed(link, &router.addresses, router.ownership);
        let (ifindex, link) = place;
        of_owner(link)
            || view.links().any(|(at, link)| {
                let ours = link.addresses.iter().filter(|it| addresses::is_ours(it));
                ours.map(|found| &found.address)
                    .any(|it| is_own(it) || at == ifindex && is_of_nobody(it))
            })
    }

    /// Deletes the macvlans of former processes that no virtual router of ours needs.
    fn clear_attachments(&mut self) {
        let routers = &self.routers;
        let view = self.monitor.view().clone();
        let needed = |ifindex: u32, _: &Link| {
            let is_there = |place: &Place| {
                let found = place.find(&view);
                place.virtual_mac.is_some() && found.is_some_and(|(at, _)| at == ifindex)
            };
            routers.values().any(|router| {
                let is_former = router.former.as_ref().is_some_and(|it| it.at == ifindex);
                is_former
                    || is_there(&router.belongs())
                    || router.moving_to.as_ref().is_some_and(is_there)
            })
        };
        attachment::clear(&mut self.netlink, &mut self.monitor, needed);
        self.forwarding.forget_gone(self.monitor.view());
        self.reports.forget_gone(self.monitor.view());
    }

    /// No macvlan that a former process left forwards or reports before it is known whose it is.
    fn silence_leftovers(&mut self) {
        let links = self.monitor.view().links();
        let of_ipv6 = |link: &Link| macvlan::is_ours(link) && link.name.starts_with(PREFIX_V6);
        for (_, link) in links.filter(|(_, link)| of_ipv6(link)) {
            self.forwarding.end(&link.name);
            self.reports.end_of(&link.name);
        }
    }

    /// Makes a macvlan, or puts it in order. One for IPv6 neither forwards nor reports before it is
    /// told to, if it is idle.
    fn attach(
        &mut self,
        interface: &str,
        virtual_mac: VirtualMac,
        is_idle: bool,
    ) -> Result<(), String> {
        let name = attachment::name_of(self.monitor.view(), interface, virtual_mac);
        if let (Some(name), true, Family::Ipv6) = (name, is_idle, virtual_mac.family) {
            self.forwarding.end(&name);
            self.reports.end_of(&name);
        }
        attachment::make(&mut self.netlink, &mut self.monitor, interface, virtual_mac)
    }

    /// Makes the macvlans that are missing, and puts in order those that are there; what is in the
    /// way is reported once.
    fn make_attachments(&mut self) {
        for &id in self.routers.ids().iter() {
            let router = &self.routers[id];
            let Some(virtual_mac) = router.virtual_mac else {
                continue;
            };
            let usable = |(_, link): (u32, &Link)| link.set_up;
            let view = self.monitor.view();
            let there = router.place(view).is_some_and(usable);
            if there && router.link.is_some() && router.no_attachment.is_none() {
                continue;
            }
            let (interface, is_idle) = (router.interface.clone(), router.held == Held::Absent);
            let made = self.attach(&interface, virtual_mac, is_idle);
            let router = &mut self.routers[id];
            if let (Err(why), true) = (&made, router.no_attachment.as_ref() != made.as_ref().err())
            {
                let why = why.clone();
                self.line
                    .report(Event::AttachmentRefused { router: id, why });
            }
            router.no_attachment = made.err();
        }
    }

    /// Has what is sent to addresses refused as it is wanted by now.
    fn refuse_anew(&mut self) {
        let addresses = refused(&self.routers);
        let outcome = match &mut self.accept_mode {
            Some(Ok(mode)) => mode.refuse(&addresses).map_err(|error| error.to_string()),
            Some(Err(_)) | None => {
                self.accept_mode = refuse(&self.routers);
                Ok(())
            }
        };
        if let Err(why) = outcome {
            self.accept_mode = Some(Err(why));
        }
    }

    fn work(&mut self) -> io::Result<()> {
        loop {
            let mut waiting = [
                PollFd::new(self.line.woken.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.monitor.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut waiting, self.turn_max()) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            let open = clear(&self.line.woken);
            // Renewals and removals go before events: a flood of those must not cost a lease.
            while let Ok(order) = self.line.orders.try_recv() {
                match order {
                    Order::Command(command) => self.execute(command)?,
                    Order::Change(change) => self.change(*change)?,
                }
            }
            if !open {
                return Ok(());
            }
            let changed = self.monitor.catch_up(&mut self.netlink)? | self.look_again();
            if changed
                || self
                    .routers
                    .values()
                    .any(|router| router.no_attachment.is_some())
            {
                self.make_attachments();
                self.suppress_owners();
                self.report_links();
                self.report_losses()?;
            }
            self.settle_places();
        }
    }

    /// How long a turn may wait for an event.
    fn turn_max(&self) -> PollTimeout {
        let until = self.awaited.iter().map(|awaited| awaited.until).min();
        let left = until.map(|at| at.saturating_duration_since(Instant::now()).as_millis() + 1);
        let left = left.map_or(TURN_MAX_MS, |ms| {
            u16::try_from(ms).map_or(TURN_MAX_MS, |ms| ms.min(TURN_MAX_MS))
        });
        PollTimeout::from(left)
    }

    /// Settings of the kernel change without a word.
    fn look_again(&mut self) -> bool {
        let now = Instant::now();
        if now < self.look_at {
            return false;
        }
        self.look_at = now + LOOK_INTERVAL;
        for router in self.routers.values() {
            self.forwarding.settle(router, self.monitor.view());
        }
        true
    }

    fn execute(&mut self, command: Command) -> io::Result<()> {
        // It was for one that is gone by now.
        if self.routers.get(command.router).is_none() {
            return Ok(());
        }
        let answer = Answer {
            router: command.router,
            generation: command.generation,
        };
        let event = match command.what {
            What::Install(lease) => {
                // What is there now decides whether something is in the way.
                self.monitor.catch_up(&mut self.netlink)?;
                let view = self.monitor.view();
                self.reports.begin(&self.routers[command.router], view);
                match self.apply(command, lease) {
                    Ok(()) => {
                        self.end_suppression(command.router);
                        Event::Applied(answer)
                    }
                    Err(what) => {
                        let view = self.monitor.view();
                        self.reports.end(&self.routers[command.router], view);
                        Event::ApplyFailed(answer, what)
                    }
                }
            }
            // Released instead of suppressed, or too late: then the next renewal decides, or what
            // the router noticed.
            What::Renew(_)
                if self.routers[command.router].held == Held::Absent
                    || Instant::now() > command.not_after =>
            {
                Event::Renewed(answer)
            }
            What::Renew(lease) => match self.apply(command, lease) {
                Ok(()) => Event::Renewed(answer),
                Err(what) => Event::ApplyFailed(answer, what),
            },
            What::Suppress => return self.begin_suppression(command.router),
            What::Remove => {
                self.remove(command.router);
                Event::Removed(answer)
            }
        };
        self.line.report(event);
        Ok(())
    }

    /// Installs or renews.
    fn apply(&mut self, command: Command, lease: Duration) -> Result<(), String> {
        if Instant::now() > command.not_after {
            return Err("the host thread was late".into());
        }
        let router = &self.routers[command.router];
        let Some((ifindex, _)) = router.place(self.monitor.view()) else {
            return Err(format!("no interface {}", router.address_interface));
        };
        if let (Acceptance::Refuse, Some(Err(_))) = (router.acceptance, &self.accept_mode) {
            // What was in the way may be gone.
            self.accept_mode = refuse(&self.routers);
        }
        if let (Acceptance::Refuse, Some(Err(why))) = (router.acceptance, &self.accept_mode) {
            return Err(format!(
                "accept: false needs nftables, which refuses: {why}"
            ));
        }
        if let Some(hindrance) = links::conflict_with_host(router, self.monitor.view()) {
            return Err(hindrance.explain(&router.address_interface));
        }
        if let Some(former) = router.held_at.filter(|former| *former != ifindex) {
            // Another link has the name now.
            self.take_away(command.router, former);
            self.routers[command.router].held_at = None;
        }
        let (router, view) = (&self.routers[command.router], self.monitor.view());
        let link = view.link(ifindex).ok_or("the interface is gone again")?;
        let outcome = addresses::install(
            &mut self.netlink,
            (ifindex, link),
            &router.addresses,
            router.ownership,
            lease,
        );
        outcome.map_err(|refusal| explain(&refusal))?;
        let router = &mut self.routers[command.router];
        (router.held, router.held_at) = (Held::Present, Some(ifindex));
        // The kernel takes routes with a former address whose source is the same.
        self.leave_former(command.router);
        self.connect_networks(command.router, ifindex, lease);
        self.forwarding
            .settle(&self.routers[command.router], self.monitor.view());
        Ok(())
    }

    /// Without these routes the addresses answer those who need none: that is better than nothing.
    fn connect_networks(&mut self, id: RouterId, ifindex: u32, lease: Duration) {
        let routes = self.routers[id].routes(self.monitor.view());
        let outcome = routes::install(&mut self.netlink, ifindex, &routes, lease);
        let router = &mut self.routers[id];
        let why = outcome.err().map(|error| error.to_string());
        if let (Some(error), true) = (&why, router.no_route != why) {
            let interface = &router.interface;
            warn!(%interface, %error, "no route to the network of a virtual address");
        }
        router.no_route = why;
    }

    /// Takes the routes away that no other virtual router on the same link needs.
    fn disconnect_networks(&mut self, id: RouterId, ifindex: u32) {
        let view = self.monitor.view();
        let on_link = |router: &Router| {
            router
                .held_place(view)
                .is_some_and(|(place, _)| place == ifindex)
        };
        let others = self.routers.iter().filter(|(other, router)| {
            *other != id && router.held != Held::Absent && on_link(router)
        });
        let needed: Vec<_> = others.flat_map(|(_, router)| router.routes(view)).collect();
        let mut routes = self.routers[id].routes(view);
        routes.retain(|route| !needed.iter().any(|other| other.is_of_same_network(route)));
        if let Err(error) = routes::remove(&mut self.netlink, ifindex, &routes) {
            let interface = &self.routers[id].interface;
            warn!(%interface, %error, "routes end with their lease only");
        }
    }

    fn begin_suppression(&mut self, id: RouterId) -> io::Result<()> {
        self.reports.end(&self.routers[id], self.monitor.view());
        let router = &self.routers[id];
        let place = router
            .held_place(self.monitor.view())
            .map(|(place, _)| place);
        let is_needed = |address: &IpAddr| place.is_some_and(|at| self.is_needed(id, at, address));
        let addresses: Vec<IpAddr> = router
            .addresses
            .iter()
            .copied()
            .filter(|address| !is_needed(address))
            .collect();
        let refused = match &mut self.suppression {
            Some(suppression) => suppression.begin(&addresses).err(),
            None => return self.release(id),
        };
        if let Some(error) = refused {
            self.suppression = None;
            self.line
                .report(Event::SuppressionRefused(error.to_string()));
            return self.release(id);
        }
        Ok(())
    }

    /// In place of a suppression that the kernel refused.
    fn release(&mut self, id: RouterId) -> io::Result<()> {
        self.remove(id);
        Ok(())
    }

    fn end_suppression(&mut self, id: RouterId) {
        let addresses = &self.routers[id].addresses;
        if let Some(Err(error)) = self
            .suppression
            .as_mut()
            .map(|suppression| suppression.end(addresses))
        {
            // The tables end with their socket, and every suppression with them.
            self.suppression = None;
            self.line
                .report(Event::SuppressionRefused(error.to_string()));
        }
    }

    fn remove(&mut self, id: RouterId) {
        self.leave_former(id);
        self.routers[id].held = Held::Absent;
        self.reports.end(&self.routers[id], self.monitor.view());
        self.forwarding
            .settle(&self.routers[id], self.monitor.view());
        if let Some((ifindex, _)) = self.routers[id].held_place(self.monitor.view()) {
            self.take_away(id, ifindex);
        }
        self.routers[id].held_at = None;
        self.end_suppression(id);
        self.suppress_own(id);
    }

    /// Deletes the addresses of a virtual router from a link, and the routes that it needs there.
    fn take_away(&mut self, id: RouterId, ifindex: u32) {
        let router = &self.routers[id];
        let link = self.monitor.view().link(ifindex);
        let own = link.map_or_else(Vec::new, |link| router.own_among(link, &router.addresses));
        let addresses = router.addresses.iter().copied();
        let leased: Vec<IpAddr> = addresses
            .filter(|address| !own.contains(address) && !self.is_needed(id, ifindex, address))
            .collect();
        if let Err(error) = addresses::remove(&mut self.netlink, ifindex, leased.into_iter()) {
            warn!(interface = %router.interface, error = %Chain(&error), "addresses end with their lease only");
        }
        self.disconnect_networks(id, ifindex);
    }

    /// An address that its host has got since is not answered for either.
    fn suppress_owners(&mut self) {
        for &id in self.routers.ids().iter() {
            let router = &self.routers[id];
            if (router.ownership, router.held) == (Ownership::Owner, Held::Absent) {
                self.suppress_own(id);
            }
        }
    }

    /// An owner that is not Active keeps its addresses, but does not answer for them: somebody else
    /// may.
    fn suppress_own(&mut self, id: RouterId) {
        let own = self.routers[id].own_of_host(self.monitor.view());
        if own.is_empty() {
            return;
        }
        let refused = match &mut self.suppression {
            Some(suppression) => suppression.begin(&own).err(),
            None => Some(io::ErrorKind::Unsupported.into()),
        };
        if let Some(error) = refused {
            let interface = &self.routers[id].interface;
            warn!(%interface, %error, "an owner that is not Active goes on answering for its addresses");
        }
    }

    fn remove_everything(&mut self) {
        for &id in self.routers.ids().iter() {
            if self.routers[id].held != Held::Absent {
                self.remove(id);
            }
        }
        attachment::clear(&mut self.netlink, &mut self.monitor, |_, _| false);
    }

    /// Says which of the interfaces that are followed have carrier, where that has changed.
    fn report_carriers(&mut self) {
        for (interface, said) in &mut self.carriers {
            let link = self.monitor.view().named(interface);
            let up = link.is_some_and(|(_, link)| link.up);
            if said.replace(up) != Some(up) {
                let interface = interface.clone();
                self.line.report(Event::Carrier { interface, up });
            }
        }
    }

    /// Reports the links that are not as they were last reported.
    fn report_links(&mut self) {
        self.report_carriers();
        let view = self.monitor.view();
        let moving = Moving::of(self.routers.values());
        for (id, router) in self.routers.iter_mut() {
            let link = links::describe(router, view, &moving);
            if router.link.as_ref() != Some(&link) {
                router.link = Some(link.clone());
                self.line.report(Event::Link { router: id, link });
            }
        }
    }

    /// Reports addresses that somebody removed. The kernel tells of new IPv6 addresses later than
    /// it acknowledges them, so a suspicion is checked against what there really is.
    fn report_losses(&mut self) -> io::Result<()> {
        if self.routers.values().any(|router| self.has_lost(router)) {
            self.monitor.read_all(&mut self.netlink)?;
        }
        for &id in self.routers.ids().iter() {
            if self.has_lost(&self.routers[id]) {
                self.routers[id].held = Held::Lost;
                self.line.report(Event::AddressesLost { router: id });
            }
        }
        Ok(())
    }

    fn has_lost(&self, router: &Router) -> bool {
        let installed = |link| addresses::all_installed(link, &router.addresses, router.ownership);
        let place = router.place(self.monitor.view());
        let there = |(ifindex, link)| router.held_at == Some(ifindex) && installed(link);
        router.held == Held::Present && !place.is_some_and(there)
    }
}

/// Begins to refuse what is sent to addresses that are not to be accepted, if there are any.
fn refuse(routers: &Routers<Router>) -> Option<Result<AcceptMode, String>> {
    let addresses = refused(routers);
    (!addresses.is_empty()).then(|| AcceptMode::open(&addresses).map_err(|error| error.to_string()))
}

fn refused(routers: &Routers<Router>) -> Vec<IpAddr> {
    let refusing = routers
        .values()
        .filter(|router| router.acceptance == Acceptance::Refuse);
    refusing
        .flat_map(|router| router.addresses.iter().copied())
        .collect()
}

/// Adds what a person can do where the errno alone does not say it.
fn explain(refusal: &Refusal) -> String {
    let text = Chain(refusal).to_string();
    match refusal {
        Refusal::Address {
            address: IpAddr::V6(_),
            source,
            ..
        } if source.raw_os_error() == Some(libc::EACCES) => {
            format!("{text}; is IPv6 disabled on the interface (net.ipv6.conf.*.disable_ipv6)?")
        }
        Refusal::OfHost {
            address,
            prefix_len,
        } => format!(
            "{text}: `ip address del {address}/{prefix_len}` where it is left over, or `owner: true`"
        ),
        Refusal::Address { .. } | Refusal::Suppression(_) => text,
    }
}

/// How late a changed setting of the kernel is noticed.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Nothing needs the thread that often; but no wait is without an end.
const TURN_MAX_MS: u16 = 1000;
