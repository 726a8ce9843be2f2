//! A proxy on loopback with one listener and one pool (others may be added), to be changed by each
//! test before it starts.
//!
//! Round robin, no health check and generous timeouts unless a test says otherwise.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::{Backend, Message, Wire, poll};
use evenkeel::config::{
    BackendConfig, BackendMode, Balance, Config, ErrorPages, ForwardingConfig, GroupConfig,
    HealthCheckConfig, HttpProbe, KeepAliveConfig, ListenerConfig, ListenerLimits,
    ListenerTimeouts, MaintenanceConfig, PoolConfig, PoolTimeouts, ProbeConfig, ProbeKind,
    ProxyConfig, Tier,
};
use evenkeel::ipc::control::PoolStatus;
use evenkeel::ipc::message::{FromProxy, PoolHealth};
use evenkeel::logic::http1::head::Protocol;
use evenkeel::logic::http1::rewrite::edit::FieldEdits;
use evenkeel::process::proxy::{Drained, Given, PassedSocket, Proxy};

/// A proxy in this process, and what it has said.
pub(crate) struct Rig {
    pub proxy: Proxy,
    pub address: SocketAddr,
    pub events: Arc<Mutex<Vec<FromProxy>>>,
    /// As it was started.
    pub config: Config,
    pub threads: u16,
    generation: AtomicU64,
}

/// What a proxy is to be.
pub(crate) struct Setup {
    pub config: Config,
    pub threads: u16,
    pub health: Vec<PoolHealth>,
}

pub(crate) fn setup(backends: &[SocketAddr]) -> Setup {
    let backends = backends
        .iter()
        .enumerate()
        .map(|(index, &address)| BackendConfig {
            name: format!("b{index}"),
            address,
            weight: 1,
            requests: None,
            mode: BackendMode::Up,
            tier: Tier::Primary,
            origin: evenkeel::config::Origin::Written,
        });
    let pool = PoolConfig {
        name: "web".to_owned(),
        backends: backends.collect(),
        follow: evenkeel::config::Follow::default(),
        balance: Balance::RoundRobin,
        health_check: HealthCheckConfig::None,
        timeouts: PoolTimeouts {
            connect: Duration::from_secs(2),
            response_head: Duration::from_secs(5),
            queue: Duration::from_secs(5),
            backend_fin: Duration::from_secs(10),
        },
        keep_alive: KeepAliveConfig::default(),
        slow_start: Duration::ZERO,
        fallback: None,
        ejection: None,
        affinity: None,
        tls: None,
        protocol: evenkeel::config::PoolProtocol::Http1,
        proxy_protocol: None,
        buffer_requests: None,
        reproxy: None,
    };
    let config = Config {
        node: "lb1".to_owned(),
        virtual_routers: Vec::new(),
        track_scripts: Vec::new(),
        listeners: vec![listener()],
        pools: vec![pool],
        proxy: ProxyConfig::default(),
        access_log: None,
        group: GroupConfig::default(),
        admin: None,
    };
    Setup {
        config,
        threads: 1,
        health: Vec::new(),
    }
}

/// A listener that allows all that there is.
fn listener() -> ListenerConfig {
    ListenerConfig {
        name: "http".to_owned(),
        virtual_router: None,
        binds: Vec::new(),
        mode: evenkeel::config::Mode::Http,
        routes: Vec::new(),
        https_redirect: None,
        pool: Some("web".to_owned()),
        request_fields: FieldEdits::default(),
        response_fields: FieldEdits::default(),
        timeouts: timeouts(30_000, 30_000),
        limits: slow_bodies(),
        forwarding: ForwardingConfig::default(),
        access_log: true,
        upgrades: ["websocket", "tcp"]
            .map(|name| Protocol::new(name.as_bytes()).unwrap())
            .into(),
        trace: true,
        error_pages: ErrorPages::default(),
        maintenance: MaintenanceConfig::default(),
        tls: None,
        http2: evenkeel::config::Http2Config::default(),
        proxy_protocol: Vec::new(),
    }
}

/// Returns limits that say nothing of how fast a body is.
fn slow_bodies() -> ListenerLimits {
    ListenerLimits {
        body_rate: 0,
        ..ListenerLimits::default()
    }
}

/// Returns how long heads and pauses between requests, and how long everything else may take.
fn timeouts(request_head_ms: u64, idle_ms: u64) -> ListenerTimeouts {
    let (head, idle) = (
        Duration::from_millis(request_head_ms),
        Duration::from_millis(idle_ms),
    );
    ListenerTimeouts {
        handshake: head,
        request_head: head,
        keep_alive: head,
        request_body: idle,
        idle,
        tunnel: idle,
        client_fin: Duration::from_secs(10),
        linger: Duration::from_secs(30),
    }
}

impl Setup {
    pub(crate) fn pool(mut self, change: impl FnOnce(&mut PoolConfig)) -> Self {
        change(&mut self.config.pools[0]);
        self
    }

    pub(crate) fn client_timeouts(mut self, request_head_ms: u64, idle_ms: u64) -> Self {
        self.config.listeners[0].timeouts = timeouts(request_head_ms, idle_ms);
        self
    }

    pub(crate) fn listener(mut self, change: impl FnOnce(&mut ListenerConfig)) -> Self {
        change(&mut self.config.listeners[0]);
        self
    }

    pub(crate) fn check(self, kind: ProbeKind, rise: u32, fall: u32) -> Self {
        self.pool(|pool| {
            pool.health_check = HealthCheckConfig::Probe(ProbeConfig {
                kind,
                interval: Duration::from_millis(30),
                interval_changing: Duration::from_millis(30),
                port: None,
                tls: pool.tls.is_some(),
                timeout: Duration::from_millis(500),
                rise,
                fall,
            });
        })
    }

    pub(crate) fn start(self) -> Rig {
        self.start_with(Given::default())
    }

    /// Starts it with what it is given besides.
    pub(crate) fn start_with(self, given: Given) -> Rig {
        let Self {
            mut config,
            threads,
            health,
        } = self;
        let events: Arc<Mutex<Vec<FromProxy>>> = Arc::default();
        let sink = Arc::clone(&events);
        let mut lent = Vec::new();
        for listener in &mut config.listeners {
            let sockets = sockets(threads);
            let bind = sockets[0].local_addr().unwrap();
            listener.binds = vec![bind];
            lent.push(PassedSocket {
                listener: listener.name.clone(),
                bind,
                sockets,
            });
        }
        let address = lent[0].bind;
        let sink = Arc::new(move |event| sink.lock().unwrap().push(event));
        let proxy = Proxy::start_with(&config, threads, lent, &health, sink, given).unwrap();
        Rig {
            proxy,
            address,
            events,
            config,
            threads,
            generation: AtomicU64::new(1),
        }
    }
}

/// Opens one SO_REUSEPORT group, as the supervisor does.
pub(crate) fn sockets(count: u16) -> Vec<TcpListener> {
    sockets_at("127.0.0.1:0".parse().unwrap(), count)
}

/// Opens more sockets of the group at an address.
pub(crate) fn sockets_at(mut at: SocketAddr, count: u16) -> Vec<TcpListener> {
    (0..count)
        .map(|_| {
            let socket =
                socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            socket.set_reuse_port(true).unwrap();
            socket.bind(&at.into()).unwrap();
            socket.listen(128).unwrap();
            let listener = TcpListener::from(socket);
            at = listener.local_addr().unwrap();
            listener
        })
        .collect()
}

/// Asks for `/health`, and takes what is common for healthy.
pub(crate) fn http_check() -> ProbeKind {
    ProbeKind::Http(HttpProbe {
        path: "/health".to_owned(),
        expect: Vec::new(),
        ..HttpProbe::default()
    })
}

pub(crate) fn rig(backends: &[&Backend]) -> Rig {
    let addresses: Vec<_> = backends.iter().map(|backend| backend.address).collect();
    setup(&addresses).start()
}

impl Rig {
    pub(crate) fn client(&self) -> Wire {
        Wire::connect(self.address)
    }

    pub(crate) fn ask(&self, request: &str) -> Message {
        self.client().ask(request)
    }

    pub(crate) fn pool(&self) -> PoolStatus {
        self.proxy.status().1.remove(0)
    }

    pub(crate) fn healths(&self) -> Vec<PoolHealth> {
        let events = self.events.lock().unwrap();
        let healths = events.iter().filter_map(|event| match event {
            FromProxy::Health(health) => Some(health.clone()),
            FromProxy::Beat { .. }
            | FromProxy::Stuck { .. }
            | FromProxy::Lacking(_)
            | FromProxy::Ready
            | FromProxy::Prepared { .. }
            | FromProxy::Committed { .. }
            | FromProxy::Status { .. }
            | FromProxy::Log(_)
            | FromProxy::Drained => None,
        });
        healths.collect()
    }

    /// Prepares a configuration, and waits until all threads have; returns its number.
    pub(crate) fn prepare(&self, config: &Config, threads: u16) -> u64 {
        let generation = self.generation.fetch_add(1, SeqCst);
        self.proxy.prepare(generation, config, threads).unwrap();
        let prepared = |event: &FromProxy| {
            if let FromProxy::Prepared {
                generation: said,
                refused,
            } = event
                && *said == generation
            {
                return Some(refused.clone());
            }
            None
        };
        let refused = poll("it is prepared", || self.said(prepared));
        assert_eq!(refused, None);
        generation
    }

    /// Commits it, and waits until all threads have taken it up.
    pub(crate) fn commit(&self, generation: u64) {
        assert!(self.proxy.commit(generation), "it is prepared");
        let committed = FromProxy::Committed { generation };
        let is_said = |event: &FromProxy| (*event == committed).then_some(());
        poll("it is committed", || self.said(is_said));
    }

    /// Has it follow another configuration.
    pub(crate) fn reload_with(&self, config: &Config, threads: u16) {
        self.commit(self.prepare(config, threads));
    }

    /// Has it follow its first configuration with a change.
    pub(crate) fn reload(&self, change: impl FnOnce(&mut Config)) {
        let mut config = self.config.clone();
        change(&mut config);
        self.reload_with(&config, self.threads);
    }

    /// Passes sockets of an address.
    pub(crate) fn pass(&self, bind: SocketAddr, sockets: Vec<TcpListener>) {
        self.proxy.pass(PassedSocket {
            listener: "http".to_owned(),
            bind,
            sockets,
        });
    }

    /// Returns what `find` finds first among the events.
    fn said<T>(&self, find: impl Fn(&FromProxy) -> Option<T>) -> Option<T> {
        self.events.lock().unwrap().iter().find_map(find)
    }

    /// Returns how often a thread has said an event so far.
    pub(crate) fn count(&self, event: impl Fn(u16) -> FromProxy) -> impl Fn(u16) -> usize {
        let events = self.events.lock().unwrap().clone();
        move |thread| {
            let said = event(thread);
            events.iter().filter(|event| **event == said).count()
        }
    }

    pub(crate) fn drain(&self, within: Duration) -> Drained {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(self.proxy.drain(within))
    }
}

pub(crate) const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Asks for a WebSocket.
pub(crate) const WEBSOCKET: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\nSec-WebSocket-Version: 13\r\n\r\n";
