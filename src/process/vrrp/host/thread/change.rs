//! A reload on the host: virtual routers that come, go and change, without an address that stays
//! ever being away.
//!
//! Where the addresses of a virtual router belong elsewhere from now on, they stay until the new
//! place is up, then are installed there, by the next command, and only then are taken away here.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::warn;

use super::Worker;
use super::router::{self, Awaited, Former, Held, Place, Router};
use crate::model::{Chain, VirtualAddress};
use crate::process::vrrp::host::addresses;
use crate::process::vrrp::host::macvlan::VirtualMac;
use crate::process::vrrp::host::messages::{Change, Event, Ownership, RouterSpec};
use crate::process::vrrp::host::monitor::Link;
use crate::process::vrrp::host::routes;
use crate::process::vrrp::routers::RouterId;

/// What a virtual router had before.
struct Before {
    addresses: Vec<IpAddr>,
    networks: Arc<[VirtualAddress]>,
    ownership: Ownership,
}

impl Worker<'_> {
    /// Puts a change in place.
    pub(super) fn change(&mut self, change: Change) -> io::Result<()> {
        self.monitor.catch_up(&mut self.netlink)?;
        let mut has_left_macvlans = false;
        for id in change.removed {
            has_left_macvlans |= self.forget(id);
        }
        if has_left_macvlans {
            self.clear_attachments();
        }
        let changed: Vec<(RouterId, Before)> = change
            .changed
            .into_iter()
            .filter_map(|(id, spec)| Some((id, self.take_spec(id, &spec)?)))
            .collect();
        self.add(change.added);
        if let Some(interfaces) = change.interfaces {
            self.follow(interfaces);
        }
        for (id, before) in changed {
            self.give_up(id, &before);
        }
        self.refuse_anew();
        self.forwarding.provide(self.routers.values());
        self.reports.provide(self.routers.values());
        self.make_attachments();
        self.suppress_owners();
        self.report_links();
        self.settle_places();
        drop(change.closing);
        Ok(())
    }

    /// Goes on with those whose place is there by now, or is waited for no longer.
    pub(super) fn settle_places(&mut self) {
        for awaited in std::mem::take(&mut self.awaited) {
            let id = awaited.router;
            self.make_next_place(id);
            let Some(router) = self.routers.get(id) else {
                continue;
            };
            let place = router.moving_to.clone().unwrap_or_else(|| router.belongs());
            let view = self.monitor.view();
            let is_there = match place.virtual_mac {
                None if router.moving_to.is_none() => true,
                Some(_) | None => place.find(view).is_some_and(|(_, link)| link.up),
            };
            let is_over = Instant::now() >= awaited.until || router.no_attachment.is_some();
            match (is_there || is_over, router.moving_to.is_some()) {
                (false, _) => self.awaited.push(awaited),
                (true, true) => self.move_on(id, place),
                (true, false) => {
                    self.line.report(Event::Added { router: id });
                }
            }
        }
    }

    /// After an installation: what is still where the addresses were before goes.
    pub(super) fn leave_former(&mut self, id: RouterId) {
        let Some(former) = self.routers[id].former.take() else {
            return;
        };
        let ifindex = former.at;
        let Some(link) = self.monitor.view().link(ifindex) else {
            return;
        };
        let name = link.name.clone();
        let router = &self.routers[id];
        let own = router.own_among(link, &former.addresses);
        // Where the name of its interface has changed, it may be the same link.
        let stays = |address: &IpAddr| {
            router.held_at == Some(ifindex) && router.addresses.contains(address)
        };
        let mut gone = former.addresses;
        gone.retain(|address| {
            !own.contains(address) && !stays(address) && !self.is_needed(id, ifindex, address)
        });
        if let Err(error) = addresses::remove(&mut self.netlink, ifindex, gone.into_iter()) {
            warn!(interface = %name, error = %Chain(&error), "addresses end with their lease only");
        }
        self.drop_routes((ifindex, former.virtual_mac), &former.networks);
        if former.virtual_mac.is_some() && self.routers[id].held_at != Some(ifindex) {
            self.forwarding.end(&name);
            self.reports.end_of(&name);
            self.clear_attachments();
        }
    }

    /// Returns whether another virtual router holds an address on the same link.
    pub(super) fn is_needed(&self, id: RouterId, ifindex: u32, address: &IpAddr) -> bool {
        let view = self.monitor.view();
        self.routers.iter().any(|(other, router)| {
            other != id
                && router.held != Held::Absent
                && router.addresses.contains(address)
                && router
                    .held_place(view)
                    .is_some_and(|(place, _)| place == ifindex)
        })
    }

    /// Returns whether a macvlan was made for it.
    fn forget(&mut self, id: RouterId) -> bool {
        let Some(router) = self.routers.get(id) else {
            return false;
        };
        if router.held != Held::Absent || router.former.is_some() {
            self.remove(id);
        }
        let router = &self.routers[id];
        let own = router.own_of_host(self.monitor.view());
        let next = router.moving_to.as_ref();
        let has_next = next.is_some_and(|next| next.virtual_mac.is_some());
        let has_macvlan = router.virtual_mac.is_some() || has_next;
        self.release_from_silence(&own);
        self.routers.remove(id);
        has_macvlan
    }

    fn take_spec(&mut self, id: RouterId, spec: &RouterSpec) -> Option<Before> {
        let router = self.routers.get_mut(id)?;
        let before = Before {
            addresses: router.addresses.clone(),
            networks: Arc::clone(&router.networks),
            ownership: router.ownership,
        };
        router.change(spec);
        if router.moving_to.is_some() {
            self.await_place(id);
        }
        Some(before)
    }

    fn await_place(&mut self, router: RouterId) {
        self.awaited.retain(|awaited| awaited.router != router);
        let until = Instant::now() + PLACE_PATIENCE;
        self.awaited.push(Awaited { router, until });
    }

    /// Takes in new ones, and removes what a former process left of their addresses.
    fn add(&mut self, added: Vec<(RouterId, RouterSpec)>) {
        let ids: Vec<RouterId> = added.iter().map(|(id, _)| *id).collect();
        let added = added.iter().map(|(id, spec)| (*id, Router::new(spec)));
        self.routers.extend(added);
        for id in ids {
            let router = &self.routers[id];
            if let Some((ifindex, link)) = router.place(self.monitor.view()) {
                let ours = link.addresses.iter().filter(|it| addresses::is_ours(it));
                let left: Vec<IpAddr> = ours
                    .map(|found| found.address)
                    .filter(|address| router.addresses.contains(address))
                    .filter(|address| !self.is_needed(id, ifindex, address))
                    .collect();
                let left = left.into_iter();
                if let Err(error) = addresses::remove(&mut self.netlink, ifindex, left) {
                    let interface = &self.routers[id].interface;
                    warn!(%interface, error = %Chain(&error), "addresses of a former run remain");
                }
            }
            self.await_place(id);
        }
    }

    /// Those that were followed before are not told of again.
    fn follow(&mut self, interfaces: Vec<String>) {
        let before = std::mem::take(&mut self.carriers);
        let said = |name: &String| before.iter().find(|(known, _)| known == name)?.1;
        self.carriers = interfaces
            .into_iter()
            .map(|name| {
                let said = said(&name);
                (name, said)
            })
            .collect();
    }

    /// Takes away what a virtual router has no more.
    fn give_up(&mut self, id: RouterId, before: &Before) {
        let router = &self.routers[id];
        let mut gone = before.addresses.clone();
        gone.retain(|address| !router.addresses.contains(address));
        let new: Vec<IpAddr> = router
            .addresses
            .iter()
            .copied()
            .filter(|address| !before.addresses.contains(address))
            .collect();
        if router.held == Held::Absent {
            // The host's own of an owner; those that it still owns are silent again at once.
            let changed = before.ownership != router.ownership;
            self.release_from_silence(if changed { &before.addresses } else { &gone });
            return;
        }
        let is_silent = self
            .suppression
            .as_ref()
            .is_some_and(|it| it.has_any(&before.addresses));
        if is_silent {
            self.begin_silence(&new);
        }
        let router = &self.routers[id];
        let virtual_mac = router.virtual_mac;
        let held = router.held_place(self.monitor.view());
        let place = held.map(|(ifindex, _)| (ifindex, virtual_mac));
        if let Some((ifindex, link)) = held {
            let name = link.name.clone();
            let own = match before.ownership {
                Ownership::Owner => gone
                    .iter()
                    .copied()
                    .filter(|address| addresses::is_of_host(link, *address))
                    .collect(),
                Ownership::Lease => Vec::new(),
            };
            let leased: Vec<IpAddr> = gone
                .iter()
                .copied()
                .filter(|address| !own.contains(address))
                .filter(|address| !self.is_needed(id, ifindex, address))
                .collect();
            let removed = addresses::remove(&mut self.netlink, ifindex, leased.into_iter());
            if let Err(error) = removed {
                warn!(interface = %name, error = %Chain(&error), "addresses end with their lease only");
            }
        }
        self.release_from_silence(&gone);
        if let (Some(place), true) = (place, before.networks != self.routers[id].networks) {
            self.drop_routes(place, &before.networks);
        }
    }

    /// Takes away the routes of networks on a link that nobody needs there any more.
    fn drop_routes(
        &mut self,
        (ifindex, virtual_mac): (u32, Option<VirtualMac>),
        networks: &[VirtualAddress],
    ) {
        let view = self.monitor.view();
        let Some(interface) = router::interface_of(view, ifindex, virtual_mac) else {
            return;
        };
        let mut routes = routes::missing(interface, networks);
        let interface = interface.name.clone();
        let on_link = |router: &&Router| {
            let place = router.held_place(view);
            router.held != Held::Absent && place.is_some_and(|(place, _)| place == ifindex)
        };
        let others = self.routers.values().filter(on_link);
        let needed: Vec<_> = others.flat_map(|router| router.routes(view)).collect();
        routes.retain(|route| !needed.iter().any(|other| other.is_of_same_network(route)));
        if let Err(error) = routes::remove(&mut self.netlink, ifindex, &routes) {
            warn!(%interface, %error, "routes end with their lease only");
        }
    }

    /// Makes the macvlan to which the addresses of a virtual router are to move.
    fn make_next_place(&mut self, id: RouterId) {
        let Some(router) = self.routers.get(id) else {
            return;
        };
        let next = router.moving_to.as_ref();
        let Some((place, virtual_mac)) = next.and_then(|it| Some((it, it.virtual_mac?))) else {
            return;
        };
        let is_up = |(_, link): (u32, &Link)| link.set_up;
        if place.find(self.monitor.view()).is_some_and(is_up) {
            return;
        }
        let interface = router.interface.clone();
        let made = self.attach(&interface, virtual_mac, true);
        let router = &mut self.routers[id];
        if let (Err(why), true) = (&made, router.no_attachment.as_ref() != made.as_ref().err()) {
            let why = why.clone();
            self.line
                .report(Event::AttachmentRefused { router: id, why });
        }
        router.no_attachment = made.err();
    }

    /// The addresses of a virtual router belong here from now on.
    fn move_on(&mut self, id: RouterId, to: Place) {
        let router = &mut self.routers[id];
        let from = router.virtual_mac;
        let held = router.held_place(self.monitor.view());
        let held_at = held.map(|(ifindex, _)| ifindex);
        router.moving_to = None;
        router.address_interface.clone_from(&to.interface);
        router.virtual_mac = to.virtual_mac;
        if to.virtual_mac.is_none() {
            router.no_attachment = None;
        }
        match router.held {
            Held::Absent => {
                if from.is_some() {
                    self.clear_attachments();
                }
            }
            Held::Present | Held::Lost => {
                router.held = Held::Lost;
                self.leave_former(id);
                let router = &mut self.routers[id];
                router.held_at = None;
                router.former = held_at.map(|at| Former {
                    at,
                    virtual_mac: from,
                    addresses: router.addresses.clone(),
                    networks: Arc::clone(&router.networks),
                });
            }
        }
        self.suppress_owners();
        self.report_links();
        self.line.report(Event::Moved { router: id });
    }

    fn release_from_silence(&mut self, addresses: &[IpAddr]) {
        let ended = self.suppression.as_mut().map(|it| it.end(addresses));
        self.note_suppression(ended);
    }

    fn begin_silence(&mut self, addresses: &[IpAddr]) {
        let begun = self.suppression.as_mut().map(|it| it.begin(addresses));
        self.note_suppression(begun);
    }

    /// The tables end with their socket, and every suppression with them.
    fn note_suppression(&mut self, outcome: Option<io::Result<()>>) {
        if let Some(Err(error)) = outcome {
            self.suppression = None;
            self.line
                .report(Event::SuppressionRefused(error.to_string()));
        }
    }
}

/// How long a new place of addresses may need to be up.
const PLACE_PATIENCE: Duration = Duration::from_secs(1);
