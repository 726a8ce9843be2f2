//! The proxy process on its channel: takes the sockets and the configuration, serves, answers,
//! drains.
//!
//! The main thread only talks to the supervisor, and beats for the threads that make progress, also
//! while they drain. When the supervisor is gone the proxy finishes what is in flight and ends:
//! whoever starts a new daemon finds no old one in its way.

use std::collections::VecDeque;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::{Drained, Events, PassedSocket, Proxy, ProxyError, allocator};
use crate::config::{self, ConfigErrors, check::NodeName};
use crate::ipc::channel::{AsyncChannel, Bounds, Channel, ChannelError, Sent};
use crate::ipc::message::{FromProxy, PoolHealth, ToProxy};
use crate::model::Chain;

/// Why the process ends by itself.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The channel broke.
    #[error("failed to talk to the supervisor")]
    Channel(#[from] ChannelError),
    /// The configuration that the supervisor sent.
    #[error("the configuration is wrong")]
    Config(#[from] ConfigErrors),
    /// The proxy does not start.
    #[error("failed to start the proxy")]
    Proxy(#[from] ProxyError),
    /// A system call that should always work.
    #[error("failed to {what}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
}

/// Runs the proxy until it is told to drain, or the supervisor is gone.
///
/// # Errors
/// When the channel breaks, the configuration is wrong, or the proxy does not start.
pub fn run(channel: OwnedFd) -> Result<(), RunError> {
    allocator::configure();
    let system = |what| move |source| RunError::System { what, source };
    let speaking = Channel::new(channel.try_clone().map_err(system("copy the channel"))?);
    let outbox = Outbox {
        channel: speaking,
        waiting: Mutex::default(),
    };
    let events: Events = Arc::new(move |event| outbox.say(event));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(system("start a runtime"))?;
    runtime.block_on(async {
        let channel = AsyncChannel::new(channel, Bounds::FROM_PARENT)?;
        serve(&channel, events).await
    })
}

async fn serve(channel: &AsyncChannel, events: Events) -> Result<(), RunError> {
    let mut main = Main {
        events,
        passed: Vec::new(),
        sink: None,
        proxy: None,
        draining: None,
        supervised: true,
    };
    let mut beat = tokio::time::interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            message = channel.receive::<ToProxy>(), if main.supervised => match message {
                // Without a configuration there is nothing to go on with.
                Err(error) if error.is_shortage() && main.proxy.is_some() => {
                    tracing::warn!(error = %Chain(&error), "the supervisor was not understood");
                }
                Err(error) => return Err(error.into()),
                Ok(Some((message, descriptors))) => main.obey(channel, message, descriptors)?,
                Ok(None) => {
                    main.supervised = false;
                    main.drain(DRAIN_ALONE);
                }
            },
            _ = beat.tick() => main.beat(),
            drained = main.drained() => {
                if drained.cut > 0 {
                    tracing::warn!(cut = drained.cut, "connections cut at the end of the drain");
                }
                answer(channel, &FromProxy::Drained);
                return Ok(());
            }
        }
    }
}

/// What the main thread knows.
struct Main {
    events: Events,
    passed: Vec<PassedSocket>,
    sink: Option<OwnedFd>,
    proxy: Option<Arc<Proxy>>,
    draining: Option<Pin<Box<dyn Future<Output = Drained>>>>,
    /// Whether the supervisor is there.
    supervised: bool,
}

impl Main {
    fn obey(
        &mut self,
        channel: &AsyncChannel,
        message: ToProxy,
        descriptors: Vec<OwnedFd>,
    ) -> Result<(), RunError> {
        match message {
            ToProxy::PassListener { listener, bind } => {
                let sockets = descriptors.into_iter().map(TcpListener::from).collect();
                self.passed.push(PassedSocket {
                    listener,
                    bind,
                    sockets,
                });
            }
            ToProxy::AccessLog => {
                self.sink = descriptors.into_iter().next();
                self.lend_sink();
            }
            // What is in flight is worth more than an order that nobody gives.
            ToProxy::Configure { .. } if self.proxy.is_some() => {
                tracing::warn!("a second configuration was ignored");
            }
            ToProxy::Configure {
                yaml,
                node,
                threads,
                health,
                overrides: _,
            } => {
                let sockets = std::mem::take(&mut self.passed);
                let proxy = start(&yaml, &node, threads, sockets, &health, &self.events)?;
                let lacking = proxy.lacking();
                if !lacking.is_empty() {
                    (self.events)(FromProxy::Lacking(lacking));
                }
                self.proxy = Some(Arc::new(proxy));
                self.lend_sink();
            }
            ToProxy::Prepare { generation, .. } => {
                let refused = Some("this process does not reload yet".to_owned());
                (self.events)(FromProxy::Prepared {
                    generation,
                    refused,
                });
            }
            ToProxy::Commit { .. } | ToProxy::Forget { .. } => {}
            ToProxy::ReportStatus { id } => {
                let proxy = self.proxy.as_ref();
                let (listeners, pools) = proxy.map(|proxy| proxy.status()).unwrap_or_default();
                let status = FromProxy::Status {
                    id,
                    listeners,
                    pools,
                    access_log: proxy.and_then(|proxy| proxy.access_log()),
                    warnings: proxy.map(|proxy| proxy.warnings()).unwrap_or_default(),
                };
                answer(channel, &status);
            }
            ToProxy::Drain { deadline_ms } => self.drain(Duration::from_millis(deadline_ms)),
        }
        Ok(())
    }

    /// Gives what the access log is written to to a proxy that runs.
    fn lend_sink(&mut self) {
        if let Some(proxy) = &self.proxy
            && let Some(sink) = self.sink.take()
        {
            proxy.set_access_log(sink);
        }
    }

    fn beat(&self) {
        if let Some(proxy) = &self.proxy {
            proxy.beat();
        }
    }

    /// Begins the drain; one that has begun goes on as it is.
    fn drain(&mut self, within: Duration) {
        let proxy = self.proxy.clone();
        self.draining.get_or_insert_with(|| {
            Box::pin(async move {
                match proxy {
                    Some(proxy) => proxy.drain(within).await,
                    None => Drained { cut: 0 },
                }
            })
        });
    }

    /// Waits for the end of the drain; for ever where none has begun.
    async fn drained(&mut self) -> Drained {
        match &mut self.draining {
            Some(draining) => draining.await,
            None => std::future::pending().await,
        }
    }
}

fn start(
    yaml: &str,
    node: &str,
    threads: u16,
    sockets: Vec<PassedSocket>,
    health: &[PoolHealth],
    events: &Events,
) -> Result<Proxy, RunError> {
    let config = config::parse("the running configuration", yaml, NodeName::Given(node))?;
    Ok(Proxy::start(
        &config,
        threads,
        sockets,
        health,
        Arc::clone(events),
    )?)
}

/// Sends an answer, if there is room for it; a status that cannot be sent is a part of a status
/// that is missing.
fn answer(channel: &AsyncChannel, answer: &FromProxy) {
    match channel.send(answer, &[]) {
        // The end of the channel is seen where it is read.
        Ok(Sent::Queued | Sent::Closed) => {}
        Ok(Sent::Full) => tracing::warn!("the supervisor does not read, an answer is lost"),
        Ok(Sent::Short(error)) => tracing::warn!(%error, "no room for an answer, it is lost"),
        Err(error) => tracing::error!(error = %Chain(&error), "an answer cannot be sent"),
    }
}

/// What the proxy's threads have to say, in order; nobody waits, and nothing but beats is lost.
struct Outbox {
    channel: Channel,
    /// What did not fit. Bounded: there is one `Ready`, and of a pool's health only the last
    /// matters.
    waiting: Mutex<VecDeque<FromProxy>>,
}

impl Outbox {
    /// Sends an event after those that wait, or lets it wait for the next beat.
    fn say(&self, event: FromProxy) {
        // A thread that panicked here left the list whole.
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let FromProxy::Health(new) = &event {
            waiting.retain(|old| !matches!(old, FromProxy::Health(old) if old.pool == new.pool));
        }
        let beat = is_of_the_moment(&event);
        if !beat || waiting.is_empty() {
            waiting.push_back(event);
        }
        while let Some(next) = waiting.front() {
            match self.channel.send(next, &[]) {
                Ok(Sent::Full | Sent::Short(_)) => break,
                // The main thread sees the end of the channel for itself.
                Ok(Sent::Queued | Sent::Closed) | Err(_) => drop(waiting.pop_front()),
            }
        }
        // A beat says "now"; a late one would be a lie.
        waiting.retain(|event| !is_of_the_moment(event));
    }
}

fn is_of_the_moment(event: &FromProxy) -> bool {
    matches!(event, FromProxy::Beat { .. } | FromProxy::Stuck { .. })
}

/// As often as the supervisor counts silence.
const BEAT: Duration = Duration::from_millis(50);
/// How long requests in flight may take when the supervisor is gone.
const DRAIN_ALONE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;
    use crate::ipc::channel::{self, Received};

    fn health(pool: &str, up: bool) -> FromProxy {
        let backends = [("a".to_owned(), up)].into();
        FromProxy::Health(PoolHealth {
            pool: pool.into(),
            backends,
            probed: true,
        })
    }

    #[test]
    fn health_outlives_a_full_channel_and_only_the_last_is_told() {
        let (ours, theirs) = channel::pair().unwrap();
        let theirs = Channel::new(theirs);
        let outbox = Outbox {
            channel: Channel::new(ours),
            waiting: Mutex::default(),
        };
        let beat = FromProxy::Beat { thread: 0 };
        while outbox.channel.send(&beat, &[]).unwrap() == Sent::Queued {}
        outbox.say(health("p", true));
        outbox.say(health("q", true));
        outbox.say(health("p", false));
        outbox.say(beat.clone());
        let mut heard = Vec::new();
        while let Received::Message(event, _) = theirs.receive::<FromProxy>().unwrap() {
            heard.push(event);
        }
        assert!(
            heard.iter().all(|event| *event == beat),
            "the rest did not fit"
        );
        outbox.say(beat.clone());
        let mut heard = Vec::new();
        while let Received::Message(event, _) = theirs.receive::<FromProxy>().unwrap() {
            heard.push(event);
        }
        assert_eq!(
            heard,
            [health("q", true), health("p", false)],
            "told with the next beat"
        );
    }
}
