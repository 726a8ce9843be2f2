//! What happens to the interface of a virtual router.
//!
//! Without carrier nobody can be told and nobody can reach the addresses: all is given up at once.
//! An address to send from may come back at once, as when a network manager starts again: an Active
//! goes on for an interval, sending from the address that it had, and only then leaves.

use std::net::IpAddr;
use std::time::Instant;

use super::{Cause, LinkState, State, VirtualRouter};

impl VirtualRouter {
    /// Notes what the interface can do; a change of the primary address does not disturb an Active.
    pub fn handle_link(&mut self, now: Instant, link: LinkState) {
        self.notice_stall(now);
        let before = self.link;
        match link {
            LinkState::Up { primary } => {
                self.source = Some(primary);
                self.sourceless_at = None;
            }
            LinkState::NoSource if self.outlives_its_source() => {
                let leave_at = now + self.parameters.advertisement_interval.duration();
                self.sourceless_at.get_or_insert(leave_at);
                return;
            }
            LinkState::NoSource => {}
            LinkState::Down => {
                self.source = None;
                self.sourceless_at = None;
                self.settled_at = None;
            }
        }
        self.link = link;
        match (before, link) {
            (LinkState::Down, LinkState::Up { .. }) => {
                self.settle(now);
                self.start(now, Cause::LinkUp);
                if !self.parameters.link.required {
                    self.rejoin();
                }
            }
            (LinkState::Down, LinkState::NoSource) => self.settle(now),
            (LinkState::NoSource, LinkState::Up { .. }) => {
                self.start(now, Cause::LinkUp);
                self.rejoin();
            }
            (LinkState::Up { .. } | LinkState::NoSource, LinkState::Down) => self.lose_link(now),
            (LinkState::Up { .. }, LinkState::NoSource) => self.lose_source(now),
            (LinkState::Up { .. }, LinkState::Up { .. })
            | (LinkState::NoSource, LinkState::NoSource)
            | (LinkState::Down, LinkState::Down) => {}
        }
    }

    /// Returns the link as last told; it is up until an Active that has lost its source leaves.
    pub const fn link(&self) -> LinkState {
        self.link
    }

    /// Returns from where it sends: its primary address, or the last it had.
    pub const fn source(&self) -> Option<IpAddr> {
        self.source
    }

    /// Acts on what is due of the link.
    pub(super) fn watch_link(&mut self, now: Instant) {
        if self.settled_at.is_some_and(|at| at <= now) {
            self.settled_at = None;
        }
        if self.sourceless_at.is_some_and(|at| at <= now) {
            self.sourceless_at = None;
            self.link = LinkState::NoSource;
            self.lose_source(now);
        }
    }

    fn outlives_its_source(&self) -> bool {
        match (self.state, self.link) {
            (State::Active { .. }, LinkState::Up { .. }) => true,
            (State::Active { .. }, LinkState::NoSource | LinkState::Down)
            | (State::Initialize { .. } | State::Backup { .. }, _) => false,
        }
    }

    fn lose_source(&mut self, now: Instant) {
        match self.state {
            State::Initialize { .. } => {}
            State::Backup { .. } | State::Active { .. } => self.step_down(now, Cause::SourceLost),
        }
    }

    fn settle(&mut self, now: Instant) {
        let delay = self.parameters.link.up_delay;
        self.settled_at = (!delay.is_zero()).then(|| now + delay);
    }

    /// Takes part again, in a group that may have gone on meanwhile.
    const fn rejoin(&mut self) {
        match self.state {
            State::Backup { .. } => self.is_returning = self.parameters.in_sync_group,
            State::Initialize { .. } | State::Active { .. } => {}
        }
    }
}
