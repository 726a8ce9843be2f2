//! One measurement: one workload through one proxy, for some seconds.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use evenkeel::lab::LabError;
use evenkeel::lab::namespace::host::Host;

use crate::backend::{self, Backend};
use crate::conn::Failure;
use crate::histogram::Histogram;
use crate::load::multiplexed::{self, Streams};
use crate::load::{self, Generator, Pace, Plan, Reuse};
use crate::measure::{Machine, Memory, cpu_ns, own_thread_ns, ticks};
use crate::peers::{BACKEND_PORT, Kind, Peer, Setting};
use crate::wire::Template;
use crate::workload::Shape;

/// What a measurement has shown.
pub(crate) struct Sample {
    /// Requests that were answered rightly in the measured time.
    pub answered: u64,
    /// How long was measured.
    pub span: Duration,
    /// CPU of all the proxy's processes; of the backend where there is no proxy.
    pub cpu_ns: u64,
    /// The share of it that was spent in the program itself, as the tick counters see it.
    pub user_share: f64,
    /// CPU of the generator and of the backend.
    pub load_ns: u64,
    /// The share of the machine that others used.
    pub foreign: f64,
    /// Latencies.
    pub latencies: Histogram,
    /// What went wrong, and how often.
    pub failures: BTreeMap<Failure, u64>,
    /// Requests that reached the backend as something else.
    pub bad_at_backend: u64,
    /// Memory before connections were opened.
    pub memory_before: Memory,
    /// Memory at the end, connections open.
    pub memory: Memory,
    /// How many connections were idle at the end.
    pub idle: usize,
}

impl Sample {
    /// Returns microseconds of CPU per request; `None` where nothing was answered.
    pub(crate) fn cpu_us(&self) -> Option<f64> {
        (self.answered > 0).then(|| self.cpu_ns as f64 / 1e3 / self.answered as f64)
    }

    /// Returns requests a second.
    pub(crate) fn rate(&self) -> f64 {
        self.answered as f64 / self.span.as_secs_f64()
    }

    /// Returns how many cores the proxy used, 1.0 for one that was never idle.
    pub(crate) fn cores(&self) -> f64 {
        self.cpu_ns as f64 / 1e9 / self.span.as_secs_f64()
    }

    /// Returns how many cores generator and backend used.
    pub(crate) fn load_cores(&self) -> f64 {
        self.load_ns as f64 / 1e9 / self.span.as_secs_f64()
    }

    /// Returns bytes of memory for each idle connection.
    pub(crate) fn bytes_per_idle(&self) -> Option<f64> {
        let grown = self.memory.pss.saturating_sub(self.memory_before.pss);
        (self.idle > 0).then(|| grown as f64 / self.idle as f64)
    }

    /// Returns the number of all failures.
    pub(crate) fn failed(&self) -> u64 {
        self.failures.values().sum::<u64>() + self.bad_at_backend
    }
}

/// The network, the backend and those who stand before it.
pub(crate) struct Fleet {
    setting: Setting,
    // Dropped in this order.
    peers: Vec<Peer>,
    backend: Backend,
}

impl Fleet {
    /// Starts the backend and all these proxies.
    pub(crate) fn start(host: &Host, setting: Setting, kinds: &[Kind]) -> Result<Self, LabError> {
        let address = ([0, 0, 0, 0], BACKEND_PORT).into();
        let backend = Backend::start(host, address, setting.threads.load_place(), setting.behind)?;
        let start = |kind: &Kind| Peer::start(host, *kind, setting, &[BACKEND_PORT]);
        Ok(Self {
            setting,
            peers: kinds.iter().map(start).collect::<Result<_, _>>()?,
            backend,
        })
    }

    /// Returns whether it is set up like this.
    pub(crate) fn has(&self, setting: Setting) -> bool {
        self.setting == setting
    }

    /// Measures a workload through one of them.
    pub(crate) fn measure(
        &mut self,
        host: &Host,
        kind: Kind,
        shape: &Shape,
        span: Duration,
    ) -> Result<Sample, LabError> {
        if let Some(streams) = shape.streams {
            return self.measure_streams(host, kind, shape, (streams, span));
        }
        let peer = peer(&mut self.peers, kind)?;
        let pids = peer.pids()?;
        if shape.fresh {
            // What a process needs once for all is not what a connection needs.
            let warm = Shape {
                busy: 64,
                idle: 0,
                pace: Pace::Closed,
                ..*shape
            };
            let generator = Generator::start(host, plan(kind, &warm))?;
            std::thread::sleep(FRESH_WARM_UP);
            drop(generator.stop());
            std::thread::sleep(SETTLE);
        }
        let memory_before = Memory::of(&pids);
        let bad_before = self.backend.bad();
        let generator = Generator::start(host, plan(kind, shape))?;
        wait_for_idle(&generator, shape.idle);
        std::thread::sleep(WARM_UP);
        let before = Counters::read(&pids, generator.answered());
        generator.measure();
        std::thread::sleep(span);
        let after = Counters::read(&pids, generator.answered());
        let memory = Memory::of(&pids);
        let idle = generator.idle();
        let seen = generator.stop();
        let mut failures = seen
            .as_ref()
            .map(|seen| seen.failures.clone())
            .unwrap_or_default();
        if idle < shape.idle {
            *failures.entry(Failure::Connect).or_default() += (shape.idle - idle) as u64;
        }
        let latencies = seen.map_or_else(Histogram::new, |seen| seen.latencies);
        if peer.pids()? != pids {
            failures.insert(Failure::Restarted, 1);
        }
        let user = after.ticks.0.saturating_sub(before.ticks.0);
        let system = after.ticks.1.saturating_sub(before.ticks.1);
        let backend_ns = after.backend_ns.saturating_sub(before.backend_ns);
        let load_ns = after.load_ns.saturating_sub(before.load_ns) + backend_ns;
        let proxy_ns = after.proxy_ns.saturating_sub(before.proxy_ns);
        Ok(Sample {
            answered: after.answered - before.answered,
            span: after.at - before.at,
            cpu_ns: if kind == Kind::Direct {
                backend_ns
            } else {
                proxy_ns
            },
            user_share: user as f64 / ((user + system).max(1)) as f64,
            load_ns,
            foreign: after
                .machine
                .foreign_since(before.machine, proxy_ns + load_ns),
            latencies,
            failures,
            bad_at_backend: self.backend.bad() - bad_before,
            memory_before,
            memory,
            idle,
        })
    }

    /// Measures the whole of what h2load does, from its first connection to its end.
    fn measure_streams(
        &mut self,
        host: &Host,
        kind: Kind,
        shape: &Shape,
        (streams, span): (Streams, Duration),
    ) -> Result<Sample, LabError> {
        let pids = peer(&mut self.peers, kind)?.pids()?;
        let memory_before = Memory::of(&pids);
        let bad_before = self.backend.bad();
        let before = Counters::read(&pids, 0);
        let done = multiplexed::run(host, &plan(kind, shape), streams, span)?;
        let after = Counters::read(&pids, done.answered);
        let user = after.ticks.0.saturating_sub(before.ticks.0);
        let system = after.ticks.1.saturating_sub(before.ticks.1);
        let cpu_ns = after.proxy_ns.saturating_sub(before.proxy_ns);
        let load_ns = after.backend_ns.saturating_sub(before.backend_ns) + done.load_ns;
        let mut failures = BTreeMap::new();
        if done.failed > 0 {
            failures.insert(Failure::Lost, done.failed);
        }
        Ok(Sample {
            answered: done.answered,
            span: after.at - before.at,
            cpu_ns,
            user_share: user as f64 / ((user + system).max(1)) as f64,
            load_ns,
            foreign: after
                .machine
                .foreign_since(before.machine, cpu_ns + load_ns),
            latencies: Histogram::new(),
            failures,
            bad_at_backend: self.backend.bad() - bad_before,
            memory_before,
            memory: Memory::of(&pids),
            idle: 0,
        })
    }
}

/// Returns one of those that were started.
fn peer(peers: &mut [Peer], kind: Kind) -> Result<&mut Peer, LabError> {
    let absent = || LabError::NoSuchHost(kind.name().to_owned());
    peers
        .iter_mut()
        .find(|peer| peer.kind == kind)
        .ok_or_else(absent)
}

fn plan(kind: Kind, shape: &Shape) -> Plan {
    Plan {
        port: kind.port(),
        busy: shape.busy,
        idle: shape.idle,
        pace: shape.pace,
        template: Template::new(
            shape.response_bytes,
            shape.request_bytes,
            shape.reuse == Reuse::Close,
        ),
        reuse: shape.reuse,
        place: shape.setting.threads.load_place(),
        secure: shape.secure,
    }
}

/// Waits until all are idle, or no more come.
fn wait_for_idle(generator: &Generator, wanted: usize) {
    let deadline = Instant::now() + IDLE_TIMEOUT;
    while generator.idle() < wanted && Instant::now() < deadline {
        std::thread::sleep(SETTLE / 10);
    }
}

struct Counters {
    at: Instant,
    answered: u64,
    proxy_ns: u64,
    load_ns: u64,
    backend_ns: u64,
    ticks: (u64, u64),
    machine: Machine,
}

impl Counters {
    fn read(pids: &[u32], answered: u64) -> Self {
        Self {
            answered,
            at: Instant::now(),
            proxy_ns: cpu_ns(pids),
            load_ns: own_thread_ns(load::THREAD),
            backend_ns: own_thread_ns(backend::THREAD),
            ticks: ticks(pids),
            machine: Machine::now(),
        }
    }
}

const WARM_UP: Duration = Duration::from_millis(400);
const FRESH_WARM_UP: Duration = Duration::from_secs(1);
const SETTLE: Duration = Duration::from_millis(300);
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
