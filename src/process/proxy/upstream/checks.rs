//! Health checks: one probe after another for each backend, on a thread of their own.
//!
//! What a probe does is `probe`'s. The verdict is `logic::balance::health`'s;
//! here it is stored for the workers and told to the supervisor. Where generations follow each
//! other, the check of a backend that is unchanged goes on in its rhythm, and one that is changed
//! goes on from the last verdict. Checks end when the drain begins; a tick of their runtime,
//! whatever else waits in it, is a step of their progress.

mod telling;

use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::watch::Receiver;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::MissedTickBehavior;

use crate::config::{BackendMode, HealthCheckConfig, ProbeConfig};
use crate::logic::balance::health::{Availability, BackendHealth, Outcome, Thresholds};
use crate::model::Chain;
use crate::process::proxy::deployment::{Deployment, Desired};
use crate::process::proxy::io::deadline::BEAT_MS;
use crate::process::proxy::io::tls::Scratch;
use crate::process::proxy::progress::Progress;
use crate::process::proxy::shared::{Events, Shared, Stage};
use crate::process::proxy::shortage::{Operation, is_shortage_towards};
use crate::process::proxy::tls::signing::{self, SigningLines};
use crate::process::proxy::upstream::backend::{Backend, BackendRuntime};
use crate::process::proxy::upstream::pool::Pool;
use crate::process::proxy::upstream::probe::wire::WireError;
use crate::process::proxy::upstream::probe::{Aim, ProbeError, probe};
use telling::Telling;

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

    /// Probes the backends of what runs until the drain: of the `first` deployment, and then of
    /// what is desired. Tells first of the pools that need no probe or were known before. Where a
    /// backend's checks end before, its thread ends too, and makes no progress any more.
    pub(in crate::process::proxy) fn run(
        mut self,
        shared: Arc<Shared>,
        mut stage: Receiver<Stage>,
        (first, mut desired): (Arc<Deployment>, Receiver<Arc<Desired>>),
        mut lines: Receiver<SigningLines>,
        progress: &Progress,
        events: Events,
    ) {
        let Some(runtime) = self.0.take() else { return };
        let local = tokio::task::LocalSet::new();
        let drained = local.block_on(&runtime, async {
            let mut probing = Probing::new(shared, events);
            probing.begin(first);
            probing.connect(&lines.borrow_and_update());
            let mut ticks = tokio::time::interval(Duration::from_millis(BEAT_MS));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    // An error means that the handle is gone.
                    _ = stage.wait_for(|stage| *stage != Stage::Serving) => return true,
                    Ok(()) = desired.changed() => {
                        let running = Arc::clone(&desired.borrow_and_update().running);
                        probing.follow(&running);
                    }
                    Ok(()) = lines.changed() => probing.connect(&lines.borrow_and_update()),
                    Some(ended) = probing.checks.join_next() => match ended {
                        Err(error) if error.is_cancelled() => {}
                        Ok(()) | Err(_) => return false,
                    },
                    _ = ticks.tick() => {
                        signing::line().handle_beat();
                        progress.end();
                    }
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

/// All checks of the generation that runs.
struct Probing {
    shared: Arc<Shared>,
    events: Events,
    running: Option<Arc<Deployment>>,
    /// By their runtime: pools, each as the current generation has it.
    pools: HashMap<usize, Rc<Telling>>,
    /// By its runtime, the check of each backend that is probed.
    probes: HashMap<usize, Probe>,
    checks: JoinSet<()>,
    scratch: Rc<Scratch>,
}

struct Probe {
    config: ProbeConfig,
    task: AbortHandle,
}

impl Probing {
    fn new(shared: Arc<Shared>, events: Events) -> Self {
        Self {
            shared,
            events,
            running: None,
            pools: HashMap::new(),
            probes: HashMap::new(),
            checks: JoinSet::new(),
            scratch: Rc::default(),
        }
    }

    /// Asks for signatures over the last of these lines, which is no worker's.
    fn connect(&self, lines: &SigningLines) {
        let threads = self.running.as_ref().map_or(0, |running| running.threads);
        let own = lines.last().filter(|_| lines.len() > threads);
        signing::line().connect(own.cloned());
    }

    /// Takes up the first deployment.
    fn begin(&mut self, deployment: Arc<Deployment>) {
        for pool in self.change_to(&deployment) {
            pool.tell_if_probed();
        }
    }

    /// Takes up a deployment, if it is another one, and tells of the pools that it changes.
    fn follow(&mut self, deployment: &Arc<Deployment>) {
        let running = self.running.as_ref();
        if running.is_some_and(|running| Arc::ptr_eq(running, deployment)) {
            return;
        }
        for pool in self.change_to(deployment) {
            pool.tell();
        }
        deployment.committed.give(Ok(()));
    }

    /// Begins and ends checks; returns the pools that are new or changed.
    fn change_to(&mut self, deployment: &Arc<Deployment>) -> Vec<Rc<Telling>> {
        let mut pools = std::mem::take(&mut self.pools);
        let mut probes = std::mem::take(&mut self.probes);
        let mut changed = Vec::new();
        for pool in &deployment.generation.pools {
            let key = Arc::as_ptr(&pool.runtime).addr();
            let known = pools.remove(&key);
            let is_same = |known: &Rc<Telling>| Arc::ptr_eq(&known.pool(), pool);
            if let Some(same) = known.as_ref().filter(|known| is_same(known)) {
                let keys = pool.backends.all().iter().map(key_of);
                let kept = keys.filter_map(|key| Some((key, probes.remove(&key)?)));
                self.probes.extend(kept);
                self.pools.insert(key, Rc::clone(same));
                continue;
            }
            let of_new = || Rc::new(Telling::new(Arc::clone(pool), Arc::clone(&self.events)));
            let current = known.unwrap_or_else(of_new);
            current.replace(Arc::clone(pool));
            changed.push(Rc::clone(&current));
            for backend in pool.backends.all() {
                self.keep_or_begin(&mut probes, &current, backend);
            }
            self.pools.insert(key, current);
        }
        for probe in probes.into_values() {
            probe.task.abort();
        }
        for gone in pools.into_values() {
            gone.end();
        }
        self.running = Some(Arc::clone(deployment));
        changed
    }

    /// Takes the check of a backend over from `probes`, or begins another one.
    fn keep_or_begin(
        &mut self,
        probes: &mut HashMap<usize, Probe>,
        pool: &Rc<Telling>,
        backend: &Backend,
    ) {
        let key = key_of(backend);
        let now_ms = self.shared.now_ms();
        let Some(config) = check_of(&pool.pool(), backend, now_ms) else {
            return;
        };
        match probes.remove(&key) {
            Some(same) if same.config == config => {
                self.probes.insert(key, same);
                return;
            }
            Some(other) => other.task.abort(),
            None => {}
        }
        let target = Target {
            shared: Arc::clone(&self.shared),
            pool: Rc::clone(pool),
            backend: Arc::clone(&backend.runtime),
            scratch: Rc::clone(&self.scratch),
        };
        let task = self.checks.spawn_local(check(target, config.clone()));
        self.probes.insert(key, Probe { config, task });
    }
}

/// What a backend is in all generations is its runtime.
fn key_of(backend: &Backend) -> usize {
    Arc::as_ptr(&backend.runtime).addr()
}

/// Returns how a backend is probed; where it is not, its verdict is what goes without saying.
fn check_of(pool: &Pool, backend: &Backend, now_ms: u64) -> Option<ProbeConfig> {
    let runtime = &backend.runtime;
    match (&pool.health_check, backend.mode) {
        (HealthCheckConfig::Probe(config), BackendMode::Up | BackendMode::Drained) => {
            Some(config.clone())
        }
        (HealthCheckConfig::Probe(_), BackendMode::Maintained) => {
            // What it is like afterwards its first probe says.
            runtime.set_availability(Availability::Unprobed, now_ms);
            runtime.set_last_check("not checked in maintenance".to_owned());
            None
        }
        (HealthCheckConfig::None, _) => {
            runtime.set_availability(Availability::Up, now_ms);
            runtime.set_last_check("not checked".to_owned());
            None
        }
    }
}

struct Target {
    shared: Arc<Shared>,
    /// As the current generation has it.
    pool: Rc<Telling>,
    backend: Arc<BackendRuntime>,
    /// Of this thread.
    scratch: Rc<Scratch>,
}

async fn check(target: Target, config: ProbeConfig) {
    let Target {
        shared,
        pool,
        backend,
        scratch,
    } = target;
    let thresholds = Thresholds {
        rise: config.rise,
        fall: config.fall,
    };
    let mut health = BackendHealth::new(thresholds, backend.availability());
    // The first probe says at once what there is; of the others not all come together.
    let mut spread = fastrand::u32(..=100);
    loop {
        let began_at = Instant::now();
        let current = pool.pool();
        let probing = probe(Aim::of(&current, &backend, &config), &config.kind, &scratch);
        let result = match tokio::time::timeout(config.timeout, probing).await {
            Ok(result) => result,
            Err(_) => Err(ProbeError::TimedOut),
        };
        drop(current);
        let outcome = outcome(&shared, &backend, &result);
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
            let current = pool.pool();
            current.set_availability(&backend, availability, shared.now_ms());
            tracing::info!(
                pool = %current.name, backend = %backend.name, to = availability.as_str(), check = %text,
                "backend changed state"
            );
            pool.tell_soon();
        }
        let interval = match health.is_changing() {
            true => config.interval_changing,
            false => config.interval,
        };
        // Two nodes started together do not stay in step.
        let percent = fastrand::u32(95..=105) + std::mem::take(&mut spread);
        let interval = interval * percent / 100;
        let rest = interval.saturating_sub(began_at.elapsed()).max(REST_MIN);
        tokio::time::sleep(rest).await;
    }
}

/// Returns what a probe says of its backend: what we lack is no verdict on it.
fn outcome(
    shared: &Shared,
    backend: &BackendRuntime,
    result: &Result<String, ProbeError>,
) -> Option<Outcome> {
    match result {
        Ok(_) => Some(Outcome::Success),
        Err(ProbeError::Wire(WireError::Connect(error)))
            if is_shortage_towards(backend.address, error) =>
        {
            let now_ms = shared.now_ms();
            shared.shortages.note(Operation::Probe, error, now_ms);
            None
        }
        Err(ProbeError::Wire(WireError::Unsigned)) => None,
        Err(_) => Some(Outcome::Failure),
    }
}

/// Between two probes, whatever the interval.
const REST_MIN: Duration = Duration::from_millis(1);
