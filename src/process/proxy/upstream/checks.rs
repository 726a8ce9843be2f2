//! Health checks: one probe after another for each backend, on a thread of their own.
//!
//! What a probe does is `probe`'s. The verdict is `logic::balance::health`'s;
//! here it is stored for the workers and told to the supervisor. Checks end when the drain
//! begins; a tick of their runtime, whatever else waits in it, is a step of their progress.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::watch::Receiver;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::config::{HealthCheckConfig, ProbeConfig};
use crate::ipc::message::FromProxy;
use crate::logic::balance::health::{BackendHealth, Outcome, Thresholds};
use crate::model::Chain;
use crate::process::proxy::io::deadline::BEAT_MS;
use crate::process::proxy::progress::Progress;
use crate::process::proxy::shared::{Events, Shared, Stage};
use crate::process::proxy::shortage::{Operation, is_shortage_towards};
use crate::process::proxy::upstream::pool::Pool;
use crate::process::proxy::upstream::probe::{ProbeError, probe};

/// The runtime of the health checks, made before the proxy accepts: it needs descriptors.
pub(in crate::process::proxy) struct Checks(Option<Runtime>);

impl Drop for Checks {
    /// A runtime that is dropped within another one would wait for itself.
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Checks {
    /// Makes the runtime.
    pub(in crate::process::proxy) fn new() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(Self(Some(runtime)))
    }

    /// Probes all backends until the drain; tells first of the pools that need no probe or were
    /// known before. Where a backend's checks end before, its thread ends too, and makes no
    /// progress any more.
    pub(in crate::process::proxy) fn run(
        mut self,
        shared: Arc<Shared>,
        mut stage: Receiver<Stage>,
        progress: &Progress,
        events: Events,
    ) {
        for pool in &shared.generation.pools {
            let health = pool.health();
            if health.probed {
                events(FromProxy::Health(health));
            }
        }
        let local = tokio::task::LocalSet::new();
        let mut checks = JoinSet::new();
        for pool in &shared.generation.pools {
            let HealthCheckConfig::Probe(config) = &pool.check else {
                continue;
            };
            for backend in 0..pool.backends.all().len() {
                let target = Target {
                    shared: Arc::clone(&shared),
                    pool: Arc::clone(pool),
                    backend,
                };
                let check = check(target, config.clone(), Arc::clone(&events));
                checks.spawn_local_on(check, &local);
            }
        }
        let Some(runtime) = self.0.take() else { return };
        let drained = local.block_on(&runtime, async {
            let mut ticks = tokio::time::interval(Duration::from_millis(BEAT_MS));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    // An error means that the handle is gone.
                    _ = stage.wait_for(|stage| *stage != Stage::Serving) => return true,
                    Some(_) = checks.join_next() => return false,
                    _ = ticks.tick() => progress.end(),
                }
            }
        });
        if drained {
            progress.finish();
        } else {
            tracing::error!(
                thread = progress.name(),
                "health checks of a backend have ended"
            );
        }
    }
}

struct Target {
    shared: Arc<Shared>,
    pool: Arc<Pool>,
    /// By index.
    backend: usize,
}

async fn check(target: Target, config: ProbeConfig, events: Events) {
    let Target {
        shared,
        pool,
        backend: index,
    } = target;
    let backend = &pool.backend(index).runtime;
    let thresholds = Thresholds {
        rise: config.rise,
        fall: config.fall,
    };
    let mut health = BackendHealth::new(thresholds, backend.availability());
    loop {
        let began_at = Instant::now();
        let result = match tokio::time::timeout(
            config.timeout,
            probe(backend.address, &config.kind),
        )
        .await
        {
            Ok(result) => result,
            Err(_) => Err(ProbeError::TimedOut),
        };
        let outcome = match &result {
            Ok(_) => Some(Outcome::Success),
            // What we lack is no verdict on the backend.
            Err(ProbeError::Connect(error)) if is_shortage_towards(backend.address, error) => {
                let now_ms = shared.now_ms();
                shared.shortages.note(Operation::Probe, error, now_ms);
                None
            }
            Err(_) => Some(Outcome::Failure),
        };
        let text = match (result, outcome) {
            (Err(error), None) => format!("not probed: {}", Chain(&error)),
            (result, _) => result.unwrap_or_else(|error| Chain(&error).to_string()),
        };
        backend.set_last_check(text.clone());
        if outcome == Some(Outcome::Success) {
            backend.handle_probed(&config.kind, shared.now_ms());
        }
        let changed = outcome.and_then(|outcome| health.handle_probe(outcome));
        if let Some(availability) = changed {
            pool.set_availability(index, availability, shared.now_ms());
            tracing::info!(
                pool = %pool.name, backend = %backend.name, to = availability.as_str(), check = %text,
                "backend changed state"
            );
            events(FromProxy::Health(pool.health()));
        }
        // Two nodes started together do not stay in step.
        let interval = config.interval * fastrand::u32(95..=105) / 100;
        let rest = interval.saturating_sub(began_at.elapsed()).max(REST_MIN);
        tokio::time::sleep(rest).await;
    }
}

/// Between two probes, whatever the interval.
const REST_MIN: Duration = Duration::from_millis(1);
