//! A backend as all workers see it: what a configuration says of it, and what has become of it.
//!
//! The second outlives the configuration: verdict, ejection, requests in flight and counters are
//! those of a name and an address, in atomics. Written by the workers (counters, ejection) and by
//! the health checks (verdicts), read by both and by `status`. All orderings are relaxed: each
//! number stands for itself, but for `in_flight`, about which `queue` tells.

mod outlier;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::{BackendConfig, BackendMode, HealthCheckConfig, ProbeKind};
use crate::ipc::control::BackendStatus;
use crate::logic::balance::health::Availability;
use crate::logic::balance::pick::{Ejection, Rank, Tier};
use crate::logic::balance::slow_start::{self, PERCENT_ALL, Returns, SlowStart};
use crate::process::proxy::counters::{Counter, PerWorker};
use crate::process::proxy::upstream::backend::outlier::Outlier;

/// A backend of a pool, in one generation.
pub(in crate::process::proxy) struct Backend {
    pub(in crate::process::proxy) weight: u16,
    pub(in crate::process::proxy) tier: Tier,
    /// Requests in flight at once; `None`: any number.
    pub(in crate::process::proxy) requests_max: Option<u32>,
    pub(in crate::process::proxy) mode: BackendMode,
    pub(in crate::process::proxy) runtime: Arc<BackendRuntime>,
}

/// What has become of the backend of this name and address, in all generations.
pub(in crate::process::proxy) struct BackendRuntime {
    pub(in crate::process::proxy) name: String,
    pub(in crate::process::proxy) address: SocketAddr,
    availability: AtomicU8,
    /// What the current generation says of it: for requests of older ones too.
    mode: AtomicU8,
    /// When it has last come back, by the coarse clock; 0 where it was never away.
    up_since_ms: AtomicU64,
    /// Whether it was in maintenance, and has not come back yet.
    maintained: AtomicBool,
    last_check: Mutex<String>,
    /// Until then it is used only where no other backend is left; 0 where it is trusted.
    ejected_until_ms: AtomicU64,
    /// Ejections in a row, without a sign of life between them.
    ejections: AtomicU32,
    /// Whether it was ejected for its silence, of which a connection says nothing: the kernel of a
    /// frozen one accepts.
    silent: AtomicBool,
    /// When it has last answered a request, by the coarse clock.
    answered_ms: AtomicU64,
    /// What it has answered, and whether it is ejected for that.
    pub(in crate::process::proxy) outlier: Outlier,
    in_flight: AtomicU64,
    unsolicited: AtomicU64,
    pub(in crate::process::proxy) counters: PerWorker<BackendCounters>,
}

/// What one worker counts of a backend.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(in crate::process::proxy) struct BackendCounters {
    pub(in crate::process::proxy) requests: Counter,
    pub(in crate::process::proxy) failures: Counter,
}

impl Backend {
    /// Returns whether one more request may be given to it.
    pub(in crate::process::proxy) fn has_free_slot(&self) -> bool {
        self.requests_max
            .is_none_or(|max| self.runtime.in_flight() < u64::from(max))
    }

    /// Acquires a slot for one request; returns whether there was one: exact, whatever other
    /// threads do.
    pub(in crate::process::proxy) fn try_acquire(&self) -> bool {
        let in_flight = &self.runtime.in_flight;
        let Some(max) = self.requests_max else {
            in_flight.fetch_add(1, Relaxed);
            return true;
        };
        let one_more = |count: u64| (count < u64::from(max)).then_some(count + 1);
        in_flight.fetch_update(Relaxed, Relaxed, one_more).is_ok()
    }

    /// Returns its part of a status.
    pub(in crate::process::proxy) fn status(
        &self,
        slow_start: Option<SlowStart>,
        now_ms: u64,
    ) -> BackendStatus {
        let runtime = &self.runtime;
        let percent = slow_start.map(|slow_start| slow_start.percent(runtime.up_ms(now_ms)));
        let is_up = self.mode == BackendMode::Up && runtime.availability() == Availability::Up;
        let ejected_ms = runtime.outlier.left_ms(now_ms);
        BackendStatus {
            name: runtime.name.clone(),
            address: runtime.address,
            state: match (is_up, ejected_ms) {
                (true, Some(_)) => "ejected".to_owned(),
                (true, None) | (false, _) => runtime.availability().as_str().to_owned(),
            },
            ejected_ms: ejected_ms.filter(|_| is_up),
            check: runtime.last_check(),
            active_requests: runtime.in_flight(),
            requests_total: runtime.counters.sum(|counters| &counters.requests),
            failures_total: runtime.counters.sum(|counters| &counters.failures),
            unsolicited_total: runtime.unsolicited.load(Relaxed),
            requests_max: self.requests_max,
            mode: self.mode,
            backup: self.tier == Tier::Backup,
            slow_start: percent.filter(|percent| is_up && *percent < PERCENT_ALL),
        }
    }
}

impl BackendRuntime {
    /// Returns a backend of which nothing is known but maybe its last verdict.
    pub(in crate::process::proxy) fn new(
        config: &BackendConfig,
        check: &HealthCheckConfig,
        known: Option<bool>,
    ) -> Self {
        Self {
            name: config.name.clone(),
            address: config.address,
            availability: AtomicU8::new(encode(initial(check, known))),
            mode: AtomicU8::new(encode_mode(config.mode)),
            up_since_ms: AtomicU64::new(0),
            maintained: AtomicBool::new(config.mode == BackendMode::Maintained),
            last_check: Mutex::new(match check {
                HealthCheckConfig::None => "not checked".to_owned(),
                HealthCheckConfig::Probe(_) => String::new(),
            }),
            ejected_until_ms: AtomicU64::new(0),
            ejections: AtomicU32::new(0),
            silent: AtomicBool::new(false),
            answered_ms: AtomicU64::new(0),
            outlier: Outlier::default(),
            in_flight: AtomicU64::new(0),
            unsolicited: AtomicU64::new(0),
            counters: PerWorker::default(),
        }
    }

    /// Returns whether it is this backend, and not another of the same name or address.
    pub(in crate::process::proxy) fn is_of(&self, config: &BackendConfig) -> bool {
        self.name == config.name && self.address == config.address
    }

    /// Has new requests given to it, or not. One that comes back from maintenance begins slowly,
    /// when it takes requests and is up.
    pub(in crate::process::proxy) fn set_mode(&self, mode: BackendMode, now_ms: u64) {
        match mode {
            BackendMode::Maintained => self.maintained.store(true, Relaxed),
            BackendMode::Up => {
                let is_up = self.availability() == Availability::Up;
                if is_up && self.maintained.load(Relaxed) {
                    self.begin(now_ms);
                }
            }
            BackendMode::Drained => {}
        }
        self.mode.store(encode_mode(mode), Relaxed);
    }

    /// Begins slowly.
    fn begin(&self, now_ms: u64) {
        self.maintained.store(false, Relaxed);
        self.up_since_ms.store(now_ms.max(1), Relaxed);
    }

    /// Returns for how long it has been back.
    pub(in crate::process::proxy) fn up_ms(&self, now_ms: u64) -> u64 {
        match self.up_since_ms.load(Relaxed) {
            0 => u64::MAX,
            since_ms => now_ms.saturating_sub(since_ms),
        }
    }

    /// Returns whether new requests may be given to it, as far as operators are concerned.
    pub(in crate::process::proxy) fn takes_requests(&self) -> bool {
        self.mode.load(Relaxed) == TAKES_ALL
    }

    /// Returns in which order it is asked; `None` where it is not.
    #[inline]
    pub(in crate::process::proxy) fn rank(&self, now_ms: u64) -> Option<Rank> {
        let rank = Rank::of(self.availability(), self.ejection(now_ms));
        rank.filter(|_| self.takes_requests())
    }

    /// Returns whether sessions that are on it stay there: also while it is drained. One of which
    /// nothing is known is tried.
    pub(in crate::process::proxy) fn takes_sessions(&self, now_ms: u64) -> bool {
        let takes = self.mode.load(Relaxed) != TAKES_NOTHING;
        takes
            && match self.availability() {
                Availability::Up | Availability::Unprobed => {
                    self.ejection(now_ms) == Ejection::None
                }
                Availability::Down => false,
            }
    }

    /// Notes that it has sent an unsolicited response.
    pub(in crate::process::proxy) fn count_unsolicited(&self) {
        if self.unsolicited.fetch_add(1, Relaxed) == 0 {
            let Self { name, address, .. } = self;
            tracing::warn!(backend = %name, %address, "backend sends what nobody has asked for");
        }
    }

    /// Returns whether it ever has: then it may again, in the moment before a request.
    pub(in crate::process::proxy) fn is_unsolicited(&self) -> bool {
        self.unsolicited.load(Relaxed) > 0
    }

    /// Returns how many requests are in flight.
    pub(in crate::process::proxy) fn in_flight(&self) -> u64 {
        self.in_flight.load(Relaxed)
    }

    /// Gives back the slot of a request that has ended.
    pub(in crate::process::proxy) fn release(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }

    /// Prefers other backends for a while: it could not be connected to. Twice as long as the last
    /// time where it could not in between, so that a backend that is frozen costs fewer and fewer
    /// requests their time; not longer for many that have met it at once.
    pub(in crate::process::proxy) fn eject(&self, now_ms: u64) {
        let before_ms = self.ejected_until_ms.load(Relaxed);
        if before_ms > now_ms {
            return;
        }
        let doublings = self.ejections.load(Relaxed).min(EJECTION_DOUBLINGS_MAX);
        let until_ms = now_ms + (EJECTION_MS << doublings);
        let until = &self.ejected_until_ms;
        if (until.compare_exchange(before_ms, until_ms, Relaxed, Relaxed)).is_ok() {
            self.ejections.fetch_add(1, Relaxed);
        }
    }

    /// Likewise where it has left a request without an answer that it was picked for at
    /// `picked_ms`, and has answered no other since.
    pub(in crate::process::proxy) fn eject_silent(&self, picked_ms: u64, now_ms: u64) {
        if self.answered_ms.load(Relaxed) <= picked_ms {
            self.silent.store(true, Relaxed);
            self.eject(now_ms);
        }
    }

    /// Notes that a request is given to it: where its ejection has expired that is a trial, which
    /// no other joins until it shows a sign of life.
    pub(in crate::process::proxy) fn handle_picked(&self, now_ms: u64) {
        if self.may_be_tried(now_ms) {
            self.eject(now_ms);
        }
    }

    /// Notes that it can be connected to, which ends an ejection for another reason than silence.
    pub(in crate::process::proxy) fn handle_connected(&self) {
        if self.ejections.load(Relaxed) > 0 && !self.silent.load(Relaxed) {
            self.trust();
        }
    }

    /// Notes that it has answered a request, which ends any ejection.
    pub(in crate::process::proxy) fn handle_answered(&self, now_ms: u64) {
        if self.answered_ms.load(Relaxed) != now_ms {
            self.answered_ms.store(now_ms, Relaxed);
        }
        if self.ejections.load(Relaxed) > 0 {
            self.trust();
        }
    }

    fn trust(&self) {
        self.silent.store(false, Relaxed);
        self.ejections.store(0, Relaxed);
        self.ejected_until_ms.store(0, Relaxed);
    }

    /// Notes that a probe has succeeded: what is left of a long ejection is as much as of a first.
    /// A connection alone says nothing of one that was silent.
    pub(in crate::process::proxy) fn handle_probed(&self, kind: &ProbeKind, now_ms: u64) {
        let says_nothing = match kind {
            ProbeKind::Tcp(tcp) => tcp.receive.is_empty() && self.silent.load(Relaxed),
            ProbeKind::Http(_) | ProbeKind::Grpc(_) => false,
        };
        if !says_nothing {
            self.ejections.store(0, Relaxed);
            let soon_ms = now_ms + EJECTION_MS;
            self.ejected_until_ms.fetch_min(soon_ms, Relaxed);
        }
    }

    /// Returns whether its ejection has expired, and it may be tried.
    pub(in crate::process::proxy) fn may_be_tried(&self, now_ms: u64) -> bool {
        (1..=now_ms).contains(&self.ejected_until_ms.load(Relaxed))
    }

    /// Returns whether others are asked first, for either reason.
    pub(in crate::process::proxy) fn ejection(&self, now_ms: u64) -> Ejection {
        let is_unreachable = self.ejected_until_ms.load(Relaxed) > now_ms;
        if is_unreachable || self.outlier.is_ejected(now_ms) {
            Ejection::Ejected
        } else {
            Ejection::None
        }
    }

    pub(in crate::process::proxy) fn availability(&self) -> Availability {
        match self.availability.load(Relaxed) {
            UP => Availability::Up,
            DOWN => Availability::Down,
            _ => Availability::Unprobed,
        }
    }

    pub(in crate::process::proxy) fn set_availability(&self, to: Availability, now_ms: u64) {
        let returns = match self.maintained.load(Relaxed) && self.takes_requests() {
            true => Returns::FromMaintenance,
            false => Returns::No,
        };
        if slow_start::begins(self.availability(), to, returns) {
            self.begin(now_ms);
        }
        self.availability.store(encode(to), Relaxed);
    }

    /// Returns what its last check has said, for people.
    fn last_check(&self) -> String {
        // A thread that panicked here left the text whole.
        let last = self
            .last_check
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        last.clone()
    }

    pub(in crate::process::proxy) fn set_last_check(&self, text: String) {
        *self
            .last_check
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = text;
    }
}

fn initial(check: &HealthCheckConfig, known: Option<bool>) -> Availability {
    match (check, known) {
        (HealthCheckConfig::None, _) | (HealthCheckConfig::Probe(_), Some(true)) => {
            Availability::Up
        }
        (HealthCheckConfig::Probe(_), Some(false)) => Availability::Down,
        (HealthCheckConfig::Probe(_), None) => Availability::Unprobed,
    }
}

fn encode(availability: Availability) -> u8 {
    match availability {
        Availability::Unprobed => UNPROBED,
        Availability::Up => UP,
        Availability::Down => DOWN,
    }
}

fn encode_mode(mode: BackendMode) -> u8 {
    match mode {
        BackendMode::Up => TAKES_ALL,
        BackendMode::Drained => TAKES_SESSIONS,
        BackendMode::Maintained => TAKES_NOTHING,
    }
}

const TAKES_ALL: u8 = 0;
const TAKES_SESSIONS: u8 = 1;
const TAKES_NOTHING: u8 = 2;

/// How long a backend that could not be connected to, or is silent, is asked last: about what a
/// health check needs to notice.
const EJECTION_MS: u64 = 1000;
/// So often that doubles: to 32 seconds.
const EJECTION_DOUBLINGS_MAX: u32 = 5;

const UNPROBED: u8 = 0;
const UP: u8 = 1;
const DOWN: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TcpProbe;

    fn backend() -> BackendRuntime {
        let config = BackendConfig {
            name: "a".to_owned(),
            address: SocketAddr::from(([127, 0, 0, 1], 80)),
            weight: 1,
            requests: None,
            mode: crate::config::BackendMode::Up,
            tier: Tier::Primary,
            origin: crate::config::Origin::Written,
        };
        BackendRuntime::new(&config, &HealthCheckConfig::None, None)
    }

    /// Returns how long each of so many ejections in a row lasts.
    fn lengths_ms(backend: &BackendRuntime, count: usize) -> Vec<u64> {
        backend.ejected_until_ms.store(0, Relaxed);
        let mut now_ms = 1_000_000;
        let eject = |_| {
            now_ms += 100_000;
            backend.eject(now_ms);
            backend.ejected_until_ms.load(Relaxed) - now_ms
        };
        (0..count).map(eject).collect()
    }

    #[test]
    fn ejections_in_a_row_are_longer_and_longer_and_bounded() {
        let backend = backend();
        let hoped = [1000, 2000, 4000, 8000, 16_000, 32_000, 32_000];
        assert_eq!(lengths_ms(&backend, 7), hoped);
        backend.handle_connected();
        assert_eq!(lengths_ms(&backend, 1), [1000]);
    }

    #[test]
    fn many_that_meet_it_at_once_eject_it_once() {
        let backend = backend();
        for now_ms in [5000, 5001, 5999] {
            backend.eject(now_ms);
        }
        assert_eq!(backend.ejected_until_ms.load(Relaxed), 6000);
        assert_eq!(backend.ejections.load(Relaxed), 1);
    }

    #[test]
    fn successful_probes_shorten_an_ejection_and_never_begin_one() {
        let backend = backend();
        backend.handle_probed(&ProbeKind::Tcp(TcpProbe::default()), 1000);
        assert_eq!(backend.ejection(1000), Ejection::None);
        lengths_ms(&backend, 4);
        backend.handle_probed(&ProbeKind::Tcp(TcpProbe::default()), 1_000_000);
        assert_eq!(backend.ejected_until_ms.load(Relaxed), 1_001_000);
    }

    /// The kernel of a frozen backend accepts connections.
    #[test]
    fn connections_do_not_end_the_ejection_of_a_silent_backend_and_answers_do() {
        let backend = backend();
        backend.eject_silent(1000, 2000);
        backend.handle_connected();
        backend.handle_probed(&ProbeKind::Tcp(TcpProbe::default()), 2000);
        let lengths = lengths_ms(&backend, 2);
        assert_eq!(lengths, [2000, 4000], "nothing has begun anew");
        backend.handle_answered(300_000);
        assert_eq!(backend.ejection(300_000), Ejection::None);
        assert_eq!(lengths_ms(&backend, 1), [1000]);
    }

    /// One answer that takes long is nothing against a backend that gives others.
    #[test]
    fn backends_that_answer_others_are_not_silent() {
        let backend = backend();
        backend.handle_answered(1500);
        backend.eject_silent(1000, 2000);
        assert_eq!(backend.ejection(2000), Ejection::None);
        backend.eject_silent(1501, 2000);
        assert_eq!(backend.ejection(2000), Ejection::Ejected);
    }

    #[test]
    fn one_request_tries_a_backend_whose_ejection_has_expired() {
        let backend = backend();
        backend.handle_picked(500);
        assert_eq!(backend.ejection(500), Ejection::None, "it was trusted");
        backend.eject(1000);
        assert_eq!(backend.ejection(2000), Ejection::None);
        backend.handle_picked(2000);
        let others = [2000, 3999, 4000].map(|now_ms| backend.ejection(now_ms));
        assert_eq!(
            others,
            [Ejection::Ejected, Ejection::Ejected, Ejection::None]
        );
        backend.handle_connected();
        backend.handle_picked(5000);
        assert_eq!(
            backend.ejection(5000),
            Ejection::None,
            "it is trusted again"
        );
    }
    /// Returns for how long it has been back at 10,000 ms, `None` for ever.
    fn back_ms(backend: &BackendRuntime) -> Option<u64> {
        Some(backend.up_ms(10_000)).filter(|up_ms| *up_ms < u64::MAX)
    }

    #[test]
    fn backends_begin_slowly_that_were_down_and_not_those_that_are_new() {
        let backend = backend();
        backend.set_availability(Availability::Unprobed, 1000);
        backend.set_availability(Availability::Up, 2000);
        assert_eq!(back_ms(&backend), None, "it is new");
        backend.set_availability(Availability::Down, 3000);
        assert_eq!(back_ms(&backend), None);
        backend.set_availability(Availability::Up, 4000);
        backend.set_mode(BackendMode::Up, 5000);
        assert_eq!(back_ms(&backend), Some(6000), "a reload changes nothing");
    }

    /// The probe and the mode come in any order.
    #[test]
    fn backends_begin_slowly_when_they_are_back_from_maintenance() {
        for drained in [false, true] {
            for probed_first in [false, true] {
                let backend = backend();
                backend.set_mode(BackendMode::Maintained, 1000);
                backend.set_availability(Availability::Unprobed, 1000);
                if drained {
                    backend.set_mode(BackendMode::Drained, 1500);
                }
                if probed_first {
                    backend.set_availability(Availability::Up, 2000);
                }
                assert_eq!(back_ms(&backend), None);
                backend.set_mode(BackendMode::Up, 3000);
                backend.set_availability(Availability::Up, 4000);
                let hoped = if probed_first { 7000 } else { 6000 };
                assert_eq!(back_ms(&backend), Some(hoped), "{drained} {probed_first}");
                backend.set_mode(BackendMode::Up, 5000);
                assert_eq!(back_ms(&backend), Some(hoped), "once");
            }
        }
    }
}
