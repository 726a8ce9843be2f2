//! The proxy process on its channel: takes the sockets and the configuration, serves, answers, drains.
//!
//! The main thread only talks to the supervisor. When the supervisor is gone the proxy finishes what is in flight and
//! ends: whoever starts a new daemon finds no old one in its way.

use std::collections::VecDeque;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Events, LentSocket, Proxy, ProxyError, allocator};
use crate::config::{self, ConfigErrors, check::NodeName};
use crate::ipc::channel::{AsyncChannel, Channel, ChannelError, Sent};
use crate::ipc::message::{FromProxy, PoolHealth, ToProxy};

/// Why the process ends by itself.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The channel broke.
    #[error("failed to talk to the supervisor: {0}")]
    Channel(#[from] ChannelError),
    /// The configuration that the supervisor sent.
    #[error("the configuration is wrong: {0}")]
    Config(#[from] ConfigErrors),
    /// The proxy does not start.
    #[error("failed to start the proxy: {0}")]
    Proxy(#[from] ProxyError),
    /// A system call that should always work.
    #[error("failed to {what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
}

/// Runs the proxy until it is told to drain, or the supervisor is gone.
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
        let channel = AsyncChannel::new(channel)?;
        serve(&channel, events).await
    })
}

async fn serve(channel: &AsyncChannel, events: Events) -> Result<(), RunError> {
    let mut lent = Vec::new();
    let mut sink = None;
    let mut running: Option<(Proxy, u16)> = None;
    let mut beat = tokio::time::interval(BEAT);
    loop {
        let message = tokio::select! {
            message = channel.receive::<ToProxy>() => message?,
            _ = beat.tick() => {
                if let Some((_, threads)) = &running {
                    events(FromProxy::Beat { thread: *threads });
                }
                continue;
            }
        };
        let Some((message, descriptors)) = message else {
            return drain(running, DRAIN_ALONE).await;
        };
        match message {
            ToProxy::Lend { listener, bind } => {
                let sockets = descriptors.into_iter().map(TcpListener::from).collect();
                lent.push(LentSocket {
                    listener,
                    bind,
                    sockets,
                });
            }
            ToProxy::AccessLog => {
                sink = descriptors.into_iter().next();
                lend_sink(&running, &mut sink);
            }
            ToProxy::Configure {
                yaml,
                node,
                threads,
                health,
            } => {
                let sockets = std::mem::take(&mut lent);
                let proxy = start(&yaml, &node, threads, sockets, &health, &events)?;
                running = Some((proxy, threads));
                lend_sink(&running, &mut sink);
            }
            ToProxy::ReportStatus { id } => {
                let (listeners, pools) = running
                    .as_ref()
                    .map(|(proxy, _)| proxy.status())
                    .unwrap_or_default();
                let access_log = running.as_ref().and_then(|(proxy, _)| proxy.access_log());
                channel.send(
                    &FromProxy::Status {
                        id,
                        listeners,
                        pools,
                        access_log,
                    },
                    &[],
                )?;
            }
            ToProxy::Drain { deadline_ms } => {
                drain(running, Duration::from_millis(deadline_ms)).await?;
                channel.send(&FromProxy::Drained, &[])?;
                return Ok(());
            }
        }
    }
}

fn start(
    yaml: &str,
    node: &str,
    threads: u16,
    sockets: Vec<LentSocket>,
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

/// Gives what the access log is written to to a proxy that runs.
fn lend_sink(running: &Option<(Proxy, u16)>, sink: &mut Option<OwnedFd>) {
    if let Some((proxy, _)) = running
        && let Some(sink) = sink.take()
    {
        proxy.set_access_log(sink);
    }
}

async fn drain(running: Option<(Proxy, u16)>, within: Duration) -> Result<(), RunError> {
    if let Some((proxy, _)) = running {
        let drained = proxy.drain(within).await;
        if drained.cut > 0 {
            tracing::warn!(cut = drained.cut, "connections cut at the end of the drain");
        }
    }
    Ok(())
}

/// What the proxy's threads have to say, in order; nobody waits, and nothing but beats is lost.
struct Outbox {
    channel: Channel,
    /// What did not fit. Bounded: there is one `Ready`, and of a pool's health only the last matters.
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
        let beat = matches!(event, FromProxy::Beat { .. });
        if !beat || waiting.is_empty() {
            waiting.push_back(event);
        }
        while let Some(next) = waiting.front() {
            match self.channel.send(next, &[]) {
                Ok(Sent::Full) => break,
                // The main thread sees the end of the channel for itself.
                Ok(Sent::Queued | Sent::Closed) | Err(_) => drop(waiting.pop_front()),
            }
        }
        // A beat says "now"; a late one would be a lie.
        waiting.retain(|event| !matches!(event, FromProxy::Beat { .. }));
    }
}

/// As often as a data thread.
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
