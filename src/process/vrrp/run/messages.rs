//! The supervisor: what it says, and what it is told.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use tracing::{error, info, warn};

use nix::errno::Errno;

use super::preparation::Text;
use super::{BEAT_INTERVAL, Error, Phase, Process, system};
use crate::ipc::message::{ActiveRole, FromVrrp, ToVrrp, TransitionReport};
use crate::logic::vrrp::Transition;
use crate::model::Chain;
use crate::process::vrrp::boundary::{Received, Sent, Supervisor};
use crate::process::vrrp::link::socket::VrrpSocket;
use crate::process::vrrp::router::RouterRuntime;
use crate::process::vrrp::routers::RouterId;
use crate::process::vrrp::status;

impl<S: Supervisor> Process<S> {
    pub(in crate::process::vrrp::run) fn read_supervisor(&mut self) -> Result<(), Error> {
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
                    error!(error = %Chain(&failure), "the supervisor cannot be understood");
                    self.handle_supervisor_lost("the supervisor cannot be understood");
                }
            }
        }
        Ok(())
    }

    /// A message was lost for want of descriptors or memory: without a configuration there is
    /// nothing to go on with.
    pub(in crate::process::vrrp::run) fn handle_message_shortage(&self) -> Result<(), Error> {
        warn!("a message of the supervisor was lost for want of descriptors or memory");
        match self.phase {
            Phase::Waiting => Err(system("take a message of the supervisor", Errno::ENOBUFS)),
            Phase::Surveying | Phase::Running | Phase::Stopping { .. } | Phase::Over => Ok(()),
        }
    }

    /// Losing the supervisor means giving the addresses up.
    pub(in crate::process::vrrp::run) fn handle_supervisor_lost(&mut self, why: &'static str) {
        if self.supervised {
            self.supervised = false;
            warn!(cause = why, "giving the addresses up");
            // What was held for the proxy that served on it is held for nobody now.
            self.release();
            self.stop(Duration::ZERO);
        }
    }

    pub(in crate::process::vrrp::run) fn handle_message(
        &mut self,
        message: ToVrrp,
        descriptors: Vec<OwnedFd>,
    ) -> Result<(), Error> {
        match message {
            ToVrrp::KeptSockets(keys) => self.kept.extend(keys.into_iter().zip(descriptors)),
            ToVrrp::Configure {
                yaml,
                node,
                adopt,
                overrides,
            } => self.configure(&yaml, &node, adopt, &overrides)?,
            ToVrrp::Prepare {
                generation,
                yaml,
                node,
                overrides,
            } => self.prepare(Text {
                generation,
                yaml,
                node,
                overrides,
            }),
            ToVrrp::Commit {
                generation,
                fitness,
            } => self.commit(generation, fitness),
            ToVrrp::Forget { generation } => self.forget(generation),
            ToVrrp::Fitness { entry, fitness } => self.set_fitness(entry, &fitness),
            ToVrrp::ReportStatus { id } => {
                let routers = self.describe();
                let elsewhere = self
                    .link_sockets
                    .iter()
                    .map(|link_socket| &link_socket.rejections);
                let all = self.runtimes.values();
                let statistics = status::statistics(all, elsewhere, self.departed);
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

    /// Sends what the supervisor should know: sockets to keep, messages, and a beat when it is due.
    pub(in crate::process::vrrp::run) fn report(&mut self) {
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

    pub(in crate::process::vrrp::run) fn send_sockets(&mut self) -> Sent {
        // Those of virtual routers that only let go are nobody's any more in the supervisor.
        let configured = self.runtimes.values().filter(|it| it.is_configured());
        let configured: BTreeSet<_> = configured
            .map(|it| (it.config.interface.as_str(), it.family()))
            .collect();
        let all = self.link_sockets.iter().map(|it| &it.socket);
        let kept: Vec<&VrrpSocket> = all
            .filter(|it| configured.contains(&(it.key().interface.as_str(), it.key().family)))
            .collect();
        // Without a socket there is one part as well: what was kept before is out of date.
        let parts = match kept.is_empty() {
            true => vec![&kept[..]],
            false => kept.chunks(DESCRIPTORS_A_MESSAGE).collect(),
        };
        for (number, part) in parts.into_iter().enumerate() {
            let part = part.iter();
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

    pub(in crate::process::vrrp::run) fn active_roles(&self) -> Vec<ActiveRole> {
        let active = self.runtimes.values().filter(|runtime| runtime.is_active());
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

    pub(in crate::process::vrrp::run) fn describe(&self) -> Vec<crate::ipc::control::RouterStatus> {
        let now = Instant::now();
        let describe = |(id, runtime): (RouterId, &RouterRuntime)| {
            let unclaimed = self
                .link_socket_of(id)
                .map(|link_socket| &self.link_sockets[link_socket].rejections);
            let others = runtime.sync_group.iter().filter(|other| **other != id);
            let others = others.map(|other| &self.runtimes[*other]);
            let in_the_way = |other: &RouterRuntime| {
                let why = status::hindrance(other)?;
                Some(format!("{}: {why}", other.config.name))
            };
            let group = others.filter_map(in_the_way).next();
            status::describe(runtime, unclaimed, group.as_deref(), now)
        };
        let configured = self.runtimes.iter().filter(|(_, it)| it.is_configured());
        configured.map(describe).collect()
    }

    pub(in crate::process::vrrp::run) fn report_transition(
        &mut self,
        id: RouterId,
        transition: Transition,
        now: Instant,
    ) {
        let router = &self.runtimes[id].config.name;
        let report = TransitionReport::of(router.clone(), &transition, self.clock.ns(now));
        let Transition { from, to, cause } = transition;
        info!(%router, %from, %to, %cause, "state changed");
        // A death right now must find the supervisor knowing the role.
        self.beat_at = now;
        self.outbox.push(FromVrrp::Transition(report));
    }
}

/// The kernel allows 253.
const DESCRIPTORS_A_MESSAGE: usize = 200;
/// From the supervisor in one turn.
const MESSAGES_PER_TURN: usize = 16;
