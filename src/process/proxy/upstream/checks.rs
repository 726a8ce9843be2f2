//! Health checks: one probe after another for each backend, on a thread of their own.
//!
//! A probe uses a connection of its own and ends it. The verdict is `logic::balance::health`'s;
//! here it is stored for the workers and told to the supervisor. Checks end when the drain
//! begins; a tick of their runtime, whatever else waits in it, is a step of their progress.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::Parts;
use hyper::header::{CONNECTION, HOST, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::sync::watch::Receiver;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::config::{HealthCheckConfig, ProbeConfig, ProbeKind};
use crate::ipc::message::FromProxy;
use crate::logic::balance::health::{BackendHealth, Outcome, Thresholds};
use crate::model::Chain;
use crate::process::proxy::io::deadline::BEAT_MS;
use crate::process::proxy::progress::Progress;
use crate::process::proxy::shared::{Events, Shared, Stage};
use crate::process::proxy::shortage::{Operation, is_shortage_towards};
use crate::process::proxy::upstream::pool::Pool;

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

/// Why a probe failed.
#[derive(Debug, Error)]
enum ProbeError {
    #[error("no answer in time")]
    TimedOut,
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    #[error("bad answer")]
    Http(#[source] hyper::Error),
    #[error("the path or host cannot be sent")]
    Request(#[source] hyper::http::Error),
    #[error("status {0}")]
    Status(StatusCode),
}

async fn probe(address: SocketAddr, kind: &ProbeKind) -> Result<String, ProbeError> {
    let stream = TcpStream::connect(address)
        .await
        .map_err(ProbeError::Connect)?;
    let ProbeKind::Http { path, host, expect } = kind else {
        return Ok("connected".to_owned());
    };
    let host = host.clone().unwrap_or_else(|| address.to_string());
    let request = Request::get(path.as_str())
        .header(HOST, host)
        .header(CONNECTION, "close")
        .header(USER_AGENT, "evenkeel-health-check")
        .body(Empty::<Bytes>::new())
        .map_err(ProbeError::Request)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(ProbeError::Http)?;
    let exchange = async {
        let response = sender
            .send_request(request)
            .await
            .map_err(ProbeError::Http)?;
        Ok(response)
    };
    // Both in this task, so that a probe that is given up takes its connection along.
    let mut exchange = pin!(exchange);
    let mut connection = Box::pin(connection.without_shutdown());
    let (response, ended) = tokio::select! {
        biased;
        response = &mut exchange => (response?, None),
        ended = &mut connection => match ended {
            Err(error) => return Err(ProbeError::Http(error)),
            Ok(parts) => (exchange.await?, Some(parts)),
        },
    };
    let status = response.status();
    let connection = async move {
        match ended {
            Some(parts) => Ok(parts),
            None => connection.await,
        }
    };
    // The verdict does not wait for it; where too many wait already, it is ended at once.
    if let Ok(place) = ENDS.try_acquire() {
        let end = end(response.into_body(), connection);
        tokio::task::spawn_local(async move {
            let _place = place;
            let _ = tokio::time::timeout(END_TIMEOUT, end).await;
        });
    }
    let code = status.as_u16();
    let hoped = match expect.as_slice() {
        [] => (200..=399).contains(&code),
        ranges => ranges
            .iter()
            .any(|(from, to)| (*from..=*to).contains(&code)),
    };
    if hoped {
        Ok(format!("status {status}"))
    } else {
        Err(ProbeError::Status(status))
    }
}

/// Reads what is left of an answer and then the end of the connection: whoever ends a connection
/// first has its port occupied for a minute, and that should not be us.
async fn end<T>(
    mut body: Incoming,
    connection: impl Future<Output = hyper::Result<Parts<TokioIo<T>>>>,
) where
    T: AsyncRead + Unpin,
{
    let rest = async {
        let mut bytes = 0;
        while let Some(Ok(frame)) = body.frame().await {
            bytes += frame.data_ref().map_or(0, Bytes::len);
            if bytes > REST_BYTES_MAX {
                break;
            }
        }
        drop(body);
    };
    let ((), ended) = tokio::join!(rest, connection);
    if let Ok(parts) = ended {
        // Nothing more is expected, whatever comes.
        let _ = parts.io.into_inner().read(&mut [0]).await;
    }
}

/// Probes whose end is waited for; each has a descriptor.
static ENDS: Semaphore = Semaphore::const_new(ENDS_MAX);
const ENDS_MAX: usize = 64;
/// What is read of a probe's answer, at most.
const REST_BYTES_MAX: usize = 64 * 1024;
/// How long the end of a probe's connection is waited for; the verdict stands already.
const END_TIMEOUT: Duration = Duration::from_millis(200);
/// Between two probes, whatever the interval.
const REST_MIN: Duration = Duration::from_millis(1);
