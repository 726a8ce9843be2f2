//! A peer that behaves like keepalived 2.2.7 on the wire, as it was observed and measured; nothing
//! of it is shared with our router but the words and the two timer formulas of the RFC.
//!
//! What is modelled, and where it differs from ours:
//! - every instance starts as Backup, also after a kill, and has then taken its old addresses away;
//! - Backup: priority 0 sets the timer to the skew; a lower priority is discarded when it preempts
//!   and obeyed when it does not; else the interval is learned (version 3) and the timer starts
//!   again;
//! - Master: priority 0, a lower priority, or an equal one with a lower address is answered at
//!   once, in both versions and without a limit; a higher one makes it Backup, and the addresses
//!   are gone at once;
//! - Master: *any* packet that is processed, also one that is dropped, starts the advertisement
//!   timer again;
//! - another list of addresses is dropped, and in version 2 another interval;
//! - a clean stop sends priority 0 once and takes the addresses away at once; a kill leaves them
//!   for ever, since they have no lifetime; a lost link takes them away;
//! - waking from a stall, a Master advertises at once without reading its queue; a Backup reads one
//!   packet of the queue before it looks at its timer.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Instant;

use evenkeel::logic::vrrp::interval::{active_down_interval, skew_time};
use evenkeel::logic::vrrp::{Advertisement, Parameters, Preempt};
use evenkeel::model::{AdverInterval, Priority, Version};

/// What the instance wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    Advertise(Priority),
    TakeAddresses,
    DropAddresses,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Stopped,
    Fault,
    Backup { down_at: Instant },
    Master { adver_at: Instant },
}

/// One vrrp_instance. Of the parameters it uses the VRID, version, priority, addresses, interval,
/// multiplier and whether it preempts.
pub(crate) struct Keepalived {
    parameters: Parameters,
    source: IpAddr,
    role: Role,
    learned: AdverInterval,
    deeds: VecDeque<Deed>,
}

impl Keepalived {
    pub(crate) fn new(parameters: Parameters, source: IpAddr) -> Self {
        Self {
            learned: parameters.advertisement_interval,
            parameters,
            source,
            role: Role::Stopped,
            deeds: VecDeque::new(),
        }
    }

    pub(crate) fn start(&mut self, now: Instant, link_up: bool) {
        if self.role == Role::Stopped {
            self.role = Role::Fault;
            self.set_link(now, link_up);
        }
    }

    pub(crate) fn stop(&mut self) {
        if self.is_master() {
            self.deeds.push_back(Deed::Advertise(Priority::LEAVING));
            self.deeds.push_back(Deed::DropAddresses);
        }
        self.role = Role::Stopped;
    }

    pub(crate) fn set_link(&mut self, now: Instant, up: bool) {
        match (self.role, up) {
            (Role::Fault, true) => {
                self.learned = self.parameters.advertisement_interval;
                self.wait(now);
            }
            (Role::Backup { .. } | Role::Master { .. }, false) => {
                self.deeds.push_back(Deed::DropAddresses);
                self.role = Role::Fault;
            }
            (Role::Stopped | Role::Fault, _)
            | (Role::Backup { .. } | Role::Master { .. }, true) => {}
        }
    }

    pub(crate) fn hear(&mut self, now: Instant, source: IpAddr, heard: &Advertisement) {
        match self.role {
            Role::Stopped | Role::Fault => {}
            Role::Backup { .. } if self.drops(heard) => {}
            Role::Backup { .. } => self.hear_as_backup(now, heard),
            Role::Master { .. } => {
                if !self.drops(heard) {
                    let rank = (heard.priority, source);
                    if rank > (self.parameters.priority, self.source) {
                        self.deeds.push_back(Deed::DropAddresses);
                        self.learn(heard);
                        return self.wait(now);
                    }
                    self.advertise();
                }
                self.rest(now);
            }
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        match self.role {
            Role::Backup { down_at } if down_at <= now => {
                self.advertise();
                self.deeds.push_back(Deed::TakeAddresses);
                self.rest(now);
            }
            Role::Master { adver_at } if adver_at <= now => {
                self.advertise();
                self.rest(now);
            }
            Role::Stopped | Role::Fault | Role::Backup { .. } | Role::Master { .. } => {}
        }
    }

    pub(crate) fn due_at(&self) -> Option<Instant> {
        match self.role {
            Role::Stopped | Role::Fault => None,
            Role::Backup { down_at: at } | Role::Master { adver_at: at } => Some(at),
        }
    }

    pub(crate) fn poll_deed(&mut self) -> Option<Deed> {
        self.deeds.pop_front()
    }

    pub(crate) fn is_master(&self) -> bool {
        matches!(self.role, Role::Master { .. })
    }

    fn hear_as_backup(&mut self, now: Instant, heard: &Advertisement) {
        let Parameters {
            version, priority, ..
        } = self.parameters;
        if heard.priority == Priority::LEAVING {
            let down_at = now + skew_time(version, priority, self.learned);
            self.role = Role::Backup { down_at };
        } else if heard.priority >= priority || self.parameters.preempt == Preempt::Never {
            self.learn(heard);
            self.wait(now);
        }
    }

    fn drops(&self, heard: &Advertisement) -> bool {
        let ours = &self.parameters;
        let other_list = heard.addresses.len() != ours.addresses.len()
            || !ours.addresses.iter().all(|ip| heard.addresses.contains(ip));
        let other_interval = match ours.version {
            Version::V2 => heard.interval != ours.advertisement_interval,
            Version::V3 => false,
        };
        other_list || other_interval
    }

    fn learn(&mut self, heard: &Advertisement) {
        self.learned = heard.interval;
    }

    /// Becomes, or stays, Backup with a fresh timer.
    fn wait(&mut self, now: Instant) {
        let Parameters {
            version,
            priority,
            down_multiplier,
            ..
        } = self.parameters;
        let patience = active_down_interval(version, priority, self.learned, down_multiplier);
        self.role = Role::Backup {
            down_at: now + patience,
        };
    }

    /// Becomes, or stays, Master with a fresh timer.
    fn rest(&mut self, now: Instant) {
        self.role = Role::Master {
            adver_at: now + self.parameters.advertisement_interval.duration(),
        };
    }

    fn advertise(&mut self) {
        self.deeds
            .push_back(Deed::Advertise(self.parameters.priority));
    }
}

mod tests {
    use std::time::Duration;

    use super::*;
    use crate::node::{Kind, Setting};

    fn master() -> (Keepalived, Instant) {
        let parameters = Setting::new(Kind::Keepalived, 100, Preempt::Always, 100).parameters();
        let mut peer = Keepalived::new(parameters, IpAddr::from([192, 0, 2, 1]));
        let started = Instant::now();
        peer.start(started, true);
        let due_at = peer.due_at().expect("a Backup waits");
        assert_eq!(
            (due_at - started).as_micros(),
            3_609_375,
            "MASTER 3.61 s after its start"
        );
        peer.handle_timeout(due_at);
        let deeds: Vec<Deed> = std::iter::from_fn(|| peer.poll_deed()).collect();
        let advertises = Deed::Advertise(Priority::DEFAULT);
        assert_eq!(
            deeds,
            [advertises, Deed::TakeAddresses],
            "first the advertisement"
        );
        (peer, due_at)
    }

    fn heard(priority: u8, addresses: &[u8]) -> Advertisement {
        Advertisement {
            priority: Priority::from_wire(priority),
            vrid: Setting::new(Kind::Keepalived, 1, Preempt::Always, 1)
                .parameters()
                .vrid,
            interval: AdverInterval::DEFAULT,
            addresses: addresses
                .iter()
                .map(|host| IpAddr::from([192, 0, 2, *host]))
                .collect(),
        }
    }

    #[test]
    fn packet_that_it_drops_silences_a_modelled_keepalived() {
        let (mut peer, mut now) = master();
        for _ in 0..20 {
            now += Duration::from_millis(400);
            peer.handle_timeout(now);
            peer.hear(now, IpAddr::from([192, 0, 2, 9]), &heard(50, &[7]));
        }
        assert_eq!(peer.poll_deed(), None, "no advertisement in 8 s");
    }

    #[test]
    fn modelled_keepalived_answers_a_lower_priority_and_yields_to_a_higher_one() {
        let (mut peer, now) = master();
        let (lower, higher) = (heard(99, &[100]), heard(101, &[100]));
        peer.hear(now, IpAddr::from([192, 0, 2, 9]), &lower);
        assert_eq!(
            peer.poll_deed(),
            Some(Deed::Advertise(Priority::DEFAULT)),
            "at once"
        );
        peer.hear(now, IpAddr::from([192, 0, 2, 9]), &higher);
        assert_eq!(peer.poll_deed(), Some(Deed::DropAddresses), "at once");
        assert!(!peer.is_master(), "a Backup");
    }

    #[test]
    fn modelled_keepalived_that_stops_says_so_once() {
        let (mut peer, _) = master();
        peer.stop();
        let deeds: Vec<Deed> = std::iter::from_fn(|| peer.poll_deed()).collect();
        let leaves = Deed::Advertise(Priority::LEAVING);
        assert_eq!(deeds, [leaves, Deed::DropAddresses], "then lets go at once");
    }
}
