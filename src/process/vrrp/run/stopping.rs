//! Giving everything up: to peers, after them, and the host thread at the end.
//!
//! Whoever wants the addresses has them within an interval. Where nobody does, they are held for
//! what is in flight on them, until the supervisor says that nothing is.

use std::time::{Duration, Instant};

use super::{BEAT_INTERVAL, Phase, Process};
use crate::config;
use crate::ipc::message::FromVrrp;
use crate::logic::vrrp::router::RELEASE_MARGIN;
use crate::process::vrrp::boundary::Supervisor;

impl<S: Supervisor> Process<S> {
    /// Begins to give every address up; a second call changes nothing. Where no peer is heard they
    /// are held for so long.
    pub(super) fn stop(&mut self, hold: Duration) {
        match self.phase {
            Phase::Waiting => self.phase = Phase::Over,
            Phase::Surveying | Phase::Running => {
                self.forget_prepared();
                let now = Instant::now();
                for runtime in self.runtimes.values_mut() {
                    runtime.machine.handle_shutdown(now);
                    runtime.machine.hold_unheard(now + hold);
                }
                self.perform_all(now);
                let intervals = self
                    .runtimes
                    .values()
                    .map(|runtime| runtime.config.advertisement_interval);
                let longest = intervals
                    .max()
                    .map_or(Duration::ZERO, |longest| longest.duration());
                self.phase = Phase::Stopping {
                    deadline: now + (2 * longest).max(hold) + STOP_MARGIN,
                    handed_over_at: Some(now + longest + RELEASE_MARGIN),
                };
            }
            Phase::Stopping { .. } | Phase::Over => {}
        }
    }

    /// Lets go of what is still held after a stop.
    pub(super) fn release(&mut self) {
        if let Phase::Stopping { .. } = self.phase {
            for runtime in self.runtimes.values_mut() {
                runtime.machine.release();
            }
            self.perform_all(Instant::now());
        }
    }

    /// Tells when no peer can be expected to speak any more, and what is held beside one that has
    /// spoken was let go: until then clients may still come here.
    pub(super) fn report_when_handed_over(&mut self, now: Instant) {
        if let Phase::Stopping { handed_over_at, .. } = &mut self.phase
            && handed_over_at.is_some_and(|at| at <= now)
            && !self.runtimes.values().any(|it| it.machine.is_succeeded())
        {
            *handed_over_at = None;
            self.outbox.push(FromVrrp::HandedOver);
        }
    }

    pub(super) fn stop_deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Stopping {
                deadline,
                handed_over_at,
            } => {
                // One that is past waits for a timer of a virtual router.
                let now = Instant::now();
                let coming = handed_over_at.filter(|at| *at > now);
                Some(coming.map_or(deadline, |at| at.min(deadline)))
            }
            Phase::Waiting | Phase::Surveying | Phase::Running | Phase::Over => None,
        }
    }

    /// Waits for the end of the host thread, and goes on beating: whoever is silent is killed.
    pub(super) fn end_host(&mut self) -> Result<(), String> {
        let Some(mut host) = self.host.take() else {
            return Ok(());
        };
        host.close();
        let routers = self.runtimes.values().map(|runtime| &runtime.config);
        let deadline = Instant::now() + config::release_time(routers);
        loop {
            if let Some(outcome) = host.wait_for_end(BEAT_INTERVAL) {
                return outcome;
            }
            if Instant::now() > deadline {
                return Err("the host thread does not end".into());
            }
            self.report();
        }
    }
}

/// Beyond two intervals, for giving the addresses up.
const STOP_MARGIN: Duration = Duration::from_secs(1);
