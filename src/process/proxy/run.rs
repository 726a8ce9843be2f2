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

use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::generation::compiled::Compiled;
use super::{Drained, Events, Given, PassedSocket, Proxy, ProxyError, allocator};
use crate::config::{self, Config, ConfigErrors, check::NodeName};
use crate::ipc::channel::{AsyncChannel, Bounds, Channel, ChannelError, Sent};
use crate::ipc::message::{Found, FromProxy, Overrides, PoolHealth, Secrets, ToProxy};
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
        spool: None,
        secrets: Secrets::default(),
        lines: Vec::new(),
        proxy: None,
        reading: None,
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
            (asked, read) = read(&mut main.reading) => main.prepare(asked, read),
            drained = drained(&mut main.draining) => {
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
    /// What bodies of requests are kept in, until the proxy begins.
    spool: Option<OwnedFd>,
    /// Of the process that keeps private keys, until the proxy begins.
    secrets: Secrets,
    lines: Vec<OwnedFd>,
    proxy: Option<Arc<Proxy>>,
    /// The configuration that is to follow, while its text is read.
    reading: Option<Reading>,
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
                self.take(PassedSocket {
                    listener,
                    bind,
                    sockets,
                });
            }
            ToProxy::AccessLog => {
                self.sink = descriptors.into_iter().next();
                self.lend_sink();
            }
            ToProxy::Spool => self.take_spool(descriptors),
            ToProxy::PassSigningLines => self.take_lines(descriptors),
            ToProxy::Secrets(secrets) => self.take_secrets(secrets),
            // What is in flight is worth more than an order that nobody gives.
            ToProxy::Configure { .. } if self.proxy.is_some() => {
                tracing::warn!("a second configuration was ignored");
            }
            ToProxy::Configure {
                yaml,
                node,
                threads,
                health,
                overrides,
                found,
            } => {
                let config = parse(&yaml, &node, &overrides, found)?;
                self.start(&config, threads, &health)?;
            }
            ToProxy::Prepare {
                generation,
                yaml,
                node,
                threads,
                overrides,
                found,
            } => {
                let asked = Asked {
                    generation,
                    threads,
                };
                // A large text takes longer to read than this thread may be silent.
                let proxy = self.proxy.clone();
                let read = move || compile(&yaml, &node, &overrides, found, proxy.as_deref());
                self.reading = Some((asked, tokio::task::spawn_blocking(read)));
            }
            ToProxy::Commit { generation } => {
                let proxy = self.proxy.as_ref();
                if !proxy.is_some_and(|proxy| proxy.commit(generation)) {
                    tracing::warn!("a configuration was ignored that is not prepared");
                }
            }
            ToProxy::Forget { generation } => {
                self.reading
                    .take_if(|(asked, _)| asked.generation == generation);
                if let Some(proxy) = &self.proxy {
                    proxy.forget(generation);
                }
                self.lend_sink();
            }
            ToProxy::FollowLog => self.serve(descriptors, |proxy, socket| proxy.follow_log(socket)),
            ToProxy::ReportConnections(wanted) => self.serve(descriptors, |proxy, socket| {
                tokio::spawn(proxy.report_connections(wanted, socket));
            }),
            ToProxy::ReportStatus { id } => answer(channel, &self.status(id)),
            ToProxy::Drain { deadline_ms } => self.drain(Duration::from_millis(deadline_ms)),
        }
        Ok(())
    }

    fn status(&self, id: u64) -> FromProxy {
        let proxy = self.proxy.as_ref();
        let (listeners, pools) = proxy.map(|proxy| proxy.status()).unwrap_or_default();
        FromProxy::Status {
            id,
            listeners,
            pools,
            access_log: proxy.and_then(|proxy| proxy.access_log()),
            warnings: proxy.map(|proxy| proxy.warnings()).unwrap_or_default(),
        }
    }

    /// Takes sockets for a proxy that is to begin, or that runs.
    fn take(&mut self, passed: PassedSocket) {
        match &self.proxy {
            Some(proxy) => proxy.pass(passed),
            None => self.passed.push(passed),
        }
    }

    fn start(
        &mut self,
        config: &Config,
        threads: u16,
        health: &[PoolHealth],
    ) -> Result<(), ProxyError> {
        let sockets = std::mem::take(&mut self.passed);
        let events = Arc::clone(&self.events);
        let given = Given::new(
            std::mem::take(&mut self.secrets),
            std::mem::take(&mut self.lines),
            self.spool.take(),
        );
        let proxy = Proxy::start_with(config, threads, sockets, health, events, given)?;
        self.proxy = Some(Arc::new(proxy));
        self.lend_sink();
        Ok(())
    }

    fn take_lines(&mut self, lines: Vec<OwnedFd>) {
        match &self.proxy {
            Some(proxy) => proxy.set_signing_lines(lines),
            None => self.lines = lines,
        }
    }

    fn take_secrets(&mut self, secrets: Secrets) {
        match &self.proxy {
            Some(proxy) => proxy.set_secrets(secrets),
            None => self.secrets = secrets,
        }
    }

    /// Answers an operator over a socket of theirs; it is closed where there is no proxy yet.
    fn serve(&self, sockets: Vec<OwnedFd>, answer: impl FnOnce(Arc<Proxy>, OwnedFd)) {
        if let (Some(proxy), Some(socket)) = (&self.proxy, sockets.into_iter().next()) {
            answer(Arc::clone(proxy), socket);
        }
    }

    fn take_spool(&mut self, descriptors: Vec<OwnedFd>) {
        self.spool = descriptors.into_iter().next();
        if let Some(proxy) = &self.proxy
            && let Some(file) = self.spool.take()
            && let Err(error) = proxy.set_spool(file)
        {
            tracing::error!(%error, "bodies of requests cannot be kept on the disk");
        }
    }

    /// Gives what the access log is written to to a proxy that runs; where a configuration is being
    /// read it may be meant for that one.
    fn lend_sink(&mut self) {
        if self.reading.is_none()
            && let Some(proxy) = &self.proxy
            && let Some(sink) = self.sink.take()
        {
            proxy.set_access_log(sink);
        }
    }

    /// Prepares the configuration that was read, or says why it cannot be.
    fn prepare(&mut self, asked: Asked, read: Result<ReadConfig, String>) {
        self.reading = None;
        let Asked {
            generation,
            threads,
        } = asked;
        let prepared = read.and_then(|(config, compiled)| {
            let proxy = self.proxy.as_ref().zip(compiled);
            let (proxy, compiled) = proxy.ok_or("the proxy has not begun")?;
            let prepared = proxy.prepare_with(generation, &config, threads, compiled);
            prepared.map_err(|error| Chain(&error).to_string())
        });
        if let Err(refused) = prepared {
            let refused = Some(refused);
            (self.events)(FromProxy::Prepared {
                generation,
                refused,
            });
        }
        self.lend_sink();
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
}

/// Waits for the end of the drain; for ever where none has begun.
async fn drained(draining: &mut Option<Pin<Box<dyn Future<Output = Drained>>>>) -> Drained {
    match draining {
        Some(draining) => draining.await,
        None => std::future::pending().await,
    }
}

/// Waits until the configuration that is to follow is read; for ever where there is none.
async fn read(reading: &mut Option<Reading>) -> (Asked, Result<ReadConfig, String>) {
    let Some((asked, reading)) = reading else {
        return std::future::pending().await;
    };
    let read = match reading.await {
        Ok(read) => read.map_err(|errors| Chain(&errors).to_string()),
        Err(_) => Err("the thread that reads it has failed".to_owned()),
    };
    (*asked, read)
}

/// A text that is being read, and what for.
type Reading = (Asked, JoinHandle<Result<ReadConfig, RunError>>);

/// A configuration that was read; compiled where the proxy has begun.
type ReadConfig = (Config, Option<Compiled>);

/// What was asked to be prepared.
#[derive(Clone, Copy, Debug)]
struct Asked {
    generation: u64,
    threads: u16,
}

fn compile(
    yaml: &str,
    node: &str,
    overrides: &Overrides,
    found: Found,
    proxy: Option<&Proxy>,
) -> Result<ReadConfig, RunError> {
    let config = parse(yaml, node, overrides, found)?;
    let compiled = proxy.map(|proxy| proxy.compile(&config)).transpose()?;
    Ok((config, compiled))
}

fn parse(
    yaml: &str,
    node: &str,
    overrides: &Overrides,
    found: Found,
) -> Result<Config, ConfigErrors> {
    let config = config::parse("the running configuration", yaml, NodeName::Given(node));
    let mut config = config?;
    found.apply(&mut config);
    overrides.apply(&mut config);
    Ok(config)
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
