//! A backend as all workers see it: its limits, the verdict of its health checks, and its counters,
//! in atomics.
//!
//! Written by the workers (counters, ejection) and by the health checks (verdicts), read by both
//! and by `status`. All orderings are relaxed: each number stands for itself, but for `in_flight`,
//! about which `queue` tells.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

use crate::config::{BackendConfig, HealthCheckConfig};
use crate::ipc::control::BackendStatus;
use crate::logic::balance::health::Availability;
use crate::logic::balance::pick::Ejection;

/// A backend of a pool.
pub(in crate::process::proxy) struct Backend {
    pub(in crate::process::proxy) name: String,
    pub(in crate::process::proxy) address: SocketAddr,
    pub(in crate::process::proxy) weight: u16,
    /// Requests in flight at once; `None`: any number.
    pub(in crate::process::proxy) requests_max: Option<u32>,
    availability: AtomicU8,
    last_check: Mutex<String>,
    /// Until then it is used only where no other backend is left.
    ejected_until_ms: AtomicU64,
    in_flight: AtomicU64,
    pub(in crate::process::proxy) requests: AtomicU64,
    pub(in crate::process::proxy) failures: AtomicU64,
    unsolicited: AtomicU64,
}

impl Backend {
    /// Notes that it has sent an unsolicited response.
    pub(in crate::process::proxy) fn count_unasked(&self) {
        if self.unsolicited.fetch_add(1, Relaxed) == 0 {
            let Self { name, address, .. } = self;
            tracing::warn!(backend = %name, %address, "backend sends what nobody has asked for");
        }
    }

    /// Returns whether it ever has: then it may again, in the moment before a request.
    pub(in crate::process::proxy) fn is_unsolicited(&self) -> bool {
        self.unsolicited.load(Relaxed) > 0
    }

    pub(in crate::process::proxy) fn new(
        config: &BackendConfig,
        check: &HealthCheckConfig,
        known: Option<bool>,
    ) -> Self {
        Self {
            name: config.name.clone(),
            address: config.address,
            weight: config.weight,
            requests_max: config.requests,
            availability: AtomicU8::new(encode(initial(check, known))),
            last_check: Mutex::new(match check {
                HealthCheckConfig::None => "not checked".to_owned(),
                HealthCheckConfig::Probe(_) => String::new(),
            }),
            ejected_until_ms: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            unsolicited: AtomicU64::new(0),
        }
    }

    /// Returns how many requests are in flight.
    pub(in crate::process::proxy) fn in_flight(&self) -> u64 {
        self.in_flight.load(Relaxed)
    }

    /// Returns whether one more request may be given to it.
    pub(in crate::process::proxy) fn has_free_slot(&self) -> bool {
        self.requests_max
            .is_none_or(|max| self.in_flight() < u64::from(max))
    }

    /// Acquires a slot for one request; returns whether there was one: exact, whatever other
    /// threads do.
    pub(in crate::process::proxy) fn try_acquire(&self) -> bool {
        let Some(max) = self.requests_max else {
            self.in_flight.fetch_add(1, Relaxed);
            return true;
        };
        let one_more = |count: u64| (count < u64::from(max)).then_some(count + 1);
        self.in_flight
            .fetch_update(Relaxed, Relaxed, one_more)
            .is_ok()
    }

    /// Prefers other backends until then: it could not be connected to.
    pub(in crate::process::proxy) fn eject(&self, until_ms: u64) {
        self.ejected_until_ms.store(until_ms, Relaxed);
    }

    /// Returns whether its ejection has expired since the last call.
    pub(in crate::process::proxy) fn end_ejection(&self, now_ms: u64) -> bool {
        let over = |until_ms: u64| (1..=now_ms).contains(&until_ms).then_some(0);
        self.ejected_until_ms
            .fetch_update(Relaxed, Relaxed, over)
            .is_ok()
    }

    pub(in crate::process::proxy) fn ejection(&self, now_ms: u64) -> Ejection {
        if self.ejected_until_ms.load(Relaxed) > now_ms {
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

    pub(in crate::process::proxy) fn set_last_check(&self, text: String) {
        if let Ok(mut last) = self.last_check.lock() {
            *last = text;
        }
    }

    /// Gives back the slot of a request that has ended.
    pub(in crate::process::proxy) fn release(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }

    pub(in crate::process::proxy) fn set_availability(&self, availability: Availability) {
        self.availability.store(encode(availability), Relaxed);
    }

    /// Returns its part of a status.
    pub(in crate::process::proxy) fn status(&self) -> BackendStatus {
        BackendStatus {
            name: self.name.clone(),
            address: self.address,
            state: self.availability().as_str().to_owned(),
            check: self
                .last_check
                .lock()
                .map(|text| text.clone())
                .unwrap_or_default(),
            active_requests: self.in_flight(),
            requests_total: self.requests.load(Relaxed),
            failures_total: self.failures.load(Relaxed),
            unsolicited_total: self.unsolicited.load(Relaxed),
            requests_max: self.requests_max,
        }
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

const UNPROBED: u8 = 0;
const UP: u8 = 1;
const DOWN: u8 = 2;
