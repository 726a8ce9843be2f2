//! The configuration: YAML as written, then checked, whole or not at all.
//!
//! `file` reads the text into a tree, `check` turns the tree into a [`Config`] or into all errors
//! at once, each with its line, column and a hint; `reader`, `position` and `report` help it to
//! complain well. Pure: no file is opened here. Every process parses the same bytes for itself.

pub mod check;
pub mod diff;
pub mod file;
pub mod found;
pub mod overrides;
pub mod pages;
mod listener;
mod operators;
mod reader;
mod report;
pub mod tls;
pub mod track;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::logic::balance::fallback::with_fallbacks;
use crate::logic::http1::forwarding::OptionalField;
use crate::logic::http1::head::Protocol;
use crate::logic::http1::rewrite::edit::FieldEdits;
use crate::model::{
    AdverInterval, Network, Priority, Rank, RouterName, Version, VirtualAddress, Vrid,
};

pub use crate::logic::access::Format;
pub use crate::logic::balance::Balance;
pub use crate::logic::balance::affinity::{CookieRules, SameSite, Secure};
pub use crate::logic::balance::ejection::EjectionRules;
pub use crate::logic::balance::hash::HashOn;
pub use crate::logic::balance::pick::Tier;
pub use crate::logic::balance::retry::Reuse;
pub use crate::logic::vrrp::{AnnouncementPlan, Authentication, ChecksumForm, LinkRules, Preempt};
pub use check::{ConfigErrors, NodeName, parse};
pub use found::backends::{Follow, FoundBackend, NamedBackend, Origin};
pub use listener::rates::{CLIENTS_DEFAULT, ClientKey, ClientRateLimit, RateLimit, RequestRates};
pub use listener::routes::{
    HttpsRedirectConfig, KeepQuery, RedirectConfig, RespondConfig, Rewrite, RouteAction,
    RouteConfig, RouteLimits, RouteTimeouts, unreachable,
};
pub use operators::{AccessLogConfig, AccessLogTarget, AdminConfig};
pub use pages::{ErrorPages, ListenerMode, MaintenanceConfig, PageConfig, Statuses};
pub use reader::hiding::without_secrets;
pub use reader::nearest;
pub use tls::{
    Authorities, CertificateChain, CertificateSource, ClientCertificates, DefaultCertificate,
    FoundPoolTls, FoundTls, GroupConfig, ListenerTls, PoolTls, Resumption, SecretSource,
    TlsVersion,
};
pub use track::{GatewayConfig, ProcessConfig, ProcessSelector, TrackConfig, TrackScriptConfig};

/// A configuration that has passed every check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The name of this machine in the group.
    pub node: String,
    /// One for each entry and family, in the order of the file, IPv4 first.
    pub virtual_routers: Vec<VirtualRouterConfig>,
    /// In the order of the file.
    pub track_scripts: Vec<TrackScriptConfig>,
    /// In the order of the file.
    pub listeners: Vec<ListenerConfig>,
    /// In the order of the file.
    pub pools: Vec<PoolConfig>,
    /// The proxy as a whole.
    pub proxy: ProxyConfig,
    /// A line for each request; `None`: no such log.
    pub access_log: Option<AccessLogConfig>,
    /// What the nodes of the group share.
    pub group: GroupConfig,
    /// Where operators look; `None`: nowhere.
    pub admin: Option<AdminConfig>,
}

impl Config {
    /// Returns the pools that may answer the requests of a listener, each once: its own, those of
    /// its routes, those that have what backends of these name, and the fallbacks of all.
    pub fn pools_behind<'a>(&'a self, listener: &'a ListenerConfig) -> Vec<&'a str> {
        let fallback_of = |name: &str| self.pool(name)?.fallback_pool();
        let asked = with_fallbacks(listener.pools(), fallback_of);
        let named = asked
            .iter()
            .filter_map(|name| self.pool(name)?.reproxy.as_deref());
        let named: Vec<&str> = named.collect();
        with_fallbacks(asked.into_iter().chain(named), fallback_of)
    }

    /// Returns whether nodes stand in for each other, and have no secret together.
    pub fn lacks_secret(&self) -> bool {
        !self.virtual_routers.is_empty() && self.group.secret.is_empty()
    }

    /// Returns the pool of this name.
    pub fn pool(&self, name: &str) -> Option<&PoolConfig> {
        self.pools.iter().find(|pool| pool.name == name)
    }
}

/// One virtual router: one entry of `virtual_routers` in one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualRouterConfig {
    /// Shown as `web/ipv4`.
    pub name: RouterName,
    /// Virtual routers of the same group move together: the families of an entry, and what
    /// `synchronize_with` names.
    pub sync_group: String,
    /// The interface on whose link it advertises.
    pub interface: String,
    /// The identifier on that link.
    pub vrid: Vrid,
    /// The version that it and its peers speak.
    pub version: Version,
    /// To whom advertisements go instead of the group, and from whom alone they are taken; empty:
    /// multicast. One's own address may be among them.
    pub peers: Vec<IpAddr>,
    /// How many routers may lie between two peers: their advertisements have a TTL of 255 less so
    /// many at least.
    pub peer_hops: u8,
    /// The interface that has the addresses; that of the link as a rule.
    pub address_interface: String,
    /// The form of the checksum that is sent with version 3 and IPv4; both are accepted.
    pub checksum: ChecksumForm,
    /// What is in the authentication data of version 2.
    pub authentication: Authentication,
    /// The base priority of this node; 255 makes it the address owner.
    pub priority: Priority,
    /// What it stands with when it can serve, and when it cannot.
    pub rank: Rank,
    /// The base priorities that the file names, by node; empty where one number is for all.
    pub priorities: BTreeMap<String, Priority>,
    /// At least one; for IPv6 the first is link-local (RFC 9568 §5.2.9), derived where none is
    /// given.
    pub addresses: Vec<VirtualAddress>,
    /// Between two advertisements.
    pub advertisement_interval: AdverInterval,
    /// After how many intervals without an advertisement the Active is down; 1 to 100, 3 by the
    /// standard.
    pub down_multiplier: u8,
    /// When it is announced where the addresses are.
    pub announcements: AnnouncementPlan,
    /// Between two frames of announcements; zero: as fast as they go.
    pub announcement_pace: Duration,
    /// Accept_Mode (RFC 9568 §6.1): what is sent to the addresses is delivered here although we do
    /// not own them.
    pub accept: bool,
    /// The addresses have 00:00:5e:00:01:VRID (IPv6: 00:00:5e:00:02:VRID) as their hardware
    /// address.
    pub virtual_mac: bool,
    /// Programs that are run, in this order, on every change of state; absolute paths.
    pub notify: Vec<PathBuf>,
    /// What it follows beside its own listeners and pools.
    pub track: TrackConfig,
    /// When a lower-priority Active is replaced.
    pub preempt: Preempt,
    /// Kernel lifetime of the addresses, renewed every quarter of it while Active; at least 1 s.
    pub lease: Duration,
    /// What a link that is down means, and one that has come up.
    pub link: LinkRules,
}

impl VirtualRouterConfig {
    /// Returns whether these are the same virtual router, whatever its name.
    pub fn is_same(&self, other: &Self) -> bool {
        let identity = |it: &Self| (it.vrid, it.name.family);
        self.interface == other.interface && identity(self) == identity(other)
    }
}

/// A position where clients connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerConfig {
    /// The key under `listeners`.
    pub name: String,
    /// The entry of `virtual_routers` whose addresses it serves, by name or because a bind address
    /// is one of them.
    pub virtual_router: Option<String>,
    /// Every address it listens on; never empty. Virtual link-local addresses are left out.
    pub binds: Vec<SocketAddr>,
    /// What it carries.
    pub mode: Mode,
    /// What is looked at first, in this order.
    pub routes: Vec<RouteConfig>,
    /// Where requests go that no route is for, before the pool.
    pub https_redirect: Option<HttpsRedirectConfig>,
    /// The pool that answers what no route is for; `None`: 404 is answered.
    pub pool: Option<String>,
    /// What is changed of requests that no route is for; a route's own begin with it.
    pub request_fields: FieldEdits,
    /// What is changed of responses to them, and of the listener's own answers.
    pub response_fields: FieldEdits,
    /// How long clients may take.
    pub timeouts: ListenerTimeouts,
    /// How much they may send.
    pub limits: ListenerLimits,
    /// What backends are told of them.
    pub forwarding: ForwardingConfig,
    /// Whether its requests are in the access log, where there is one.
    pub access_log: bool,
    /// Protocols that requests may change to (RFC 9110 §7.8).
    pub upgrades: Vec<Protocol>,
    /// Whether TRACE goes on to backends.
    pub trace: bool,
    /// What its own answers say, in the place of a line; those for all listeners among them.
    pub error_pages: ErrorPages,
    /// Whether it is in maintenance, and what it says then.
    pub maintenance: MaintenanceConfig,
    /// How it speaks TLS; `None`: not at all.
    pub tls: Option<ListenerTls>,
    /// How it speaks HTTP/2.
    pub http2: Http2Config,
    /// Whose connections begin with a header of the PROXY protocol; empty: nobody's.
    pub proxy_protocol: Vec<Network>,
}

/// What the connections of a listener carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Requests.
    #[default]
    Http,
    /// Bytes, whatever they are.
    Tcp,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Tcp => "tcp",
        })
    }
}

/// How a listener speaks HTTP/2 (RFC 9113).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Http2Config {
    /// Whether clients are offered it in the handshake of TLS (RFC 7301).
    pub offered: bool,
    /// Whether a client without TLS may begin with it (RFC 9113 §3.3).
    pub prior_knowledge: bool,
    /// Streams of a connection at a time.
    pub streams: u32,
    /// What the streams of a connection may hold together.
    pub memory_bytes: u32,
}

impl Default for Http2Config {
    fn default() -> Self {
        Self {
            offered: true,
            prior_knowledge: false,
            streams: 100,
            memory_bytes: 2 * 1024 * 1024,
        }
    }
}

impl ListenerConfig {
    /// Returns the pools that may answer its requests, each once, its own first.
    pub fn pools(&self) -> Vec<&str> {
        let of_routes = self.routes.iter().filter_map(RouteConfig::pool);
        let mut pools = Vec::new();
        for pool in self.pool.as_deref().into_iter().chain(of_routes) {
            if !pools.contains(&pool) {
                pools.push(pool);
            }
        }
        pools
    }
}

/// How long a client may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerTimeouts {
    /// From the connection to the end of the handshake, where TLS is spoken.
    pub handshake: Duration,
    /// From the first byte to the end of a request's head; also from the connection to that byte.
    pub request_head: Duration,
    /// Between two requests of a connection.
    pub keep_alive: Duration,
    /// Without a byte of a request's body, while nothing is answered.
    pub request_body: Duration,
    /// Without a byte in either direction, while a response is relayed.
    pub idle: Duration,
    /// The same on an upgraded connection, and where bytes are carried.
    pub tunnel: Duration,
    /// Without a byte on such a connection, once its backend has ended its direction.
    pub client_fin: Duration,
    /// How long, in all, a client that still sends is read after its last answer.
    pub linger: Duration,
}

impl Default for ListenerTimeouts {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            request_head: Duration::from_secs(10),
            keep_alive: Duration::from_secs(60),
            request_body: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            tunnel: Duration::from_secs(3600),
            client_fin: Duration::from_secs(10),
            linger: Duration::from_secs(30),
        }
    }
}

/// How much a client may send, how many there may be, and how often they may come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerLimits {
    /// Of a request's head.
    pub head_bytes: u32,
    /// In a request's head.
    pub fields: u32,
    /// Of a request's target.
    pub target_bytes: u32,
    /// Of a request's body; `None`: any.
    pub body_bytes: Option<u32>,
    /// Of a request's body, a second, on the whole; 0: any.
    pub body_rate: u32,
    /// Open at once; `None`: as many as the whole proxy may have.
    pub connections: Option<u32>,
    /// Open at once from one address; `None`: any.
    pub connections_per_client: Option<u32>,
    /// Of new connections of each client; `None`: any.
    pub connection_rate_per_client: Option<ClientRateLimit>,
    /// Of requests.
    pub rates: RequestRates,
}

impl Default for ListenerLimits {
    fn default() -> Self {
        Self {
            head_bytes: 32 * 1024,
            fields: 100,
            target_bytes: 8 * 1024,
            body_bytes: None,
            body_rate: 100,
            connections: None,
            connections_per_client: None,
            connection_rate_per_client: None,
            rates: RequestRates::default(),
        }
    }
}

/// What backends are told of clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardingConfig {
    /// Whose word about the way before them is believed.
    pub trusted_proxies: Vec<Network>,
    /// What only they may say, besides the fields that are known for it.
    pub proxy_fields: Vec<String>,
    /// Whether the field of RFC 7239 is written besides X-Forwarded-*.
    pub forwarded: OptionalField,
    /// Whether the proxy writes itself into the field Via (RFC 9110 §7.6.3).
    pub via: OptionalField,
    /// Whether requests without a name that is believed get one.
    pub request_id: OptionalField,
}

impl Default for ForwardingConfig {
    fn default() -> Self {
        Self {
            trusted_proxies: Vec::new(),
            proxy_fields: Vec::new(),
            forwarded: OptionalField::Omit,
            via: OptionalField::Omit,
            request_id: OptionalField::Send,
        }
    }
}

/// Backends that can answer the same requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// The key under `pools`.
    pub name: String,
    /// In the order of the file, then those that were found; empty only where it follows something.
    pub backends: Vec<BackendConfig>,
    /// Where it has backends from besides.
    pub follow: Follow,
    /// Who gets the next request.
    pub balance: Balance,
    /// How backends are probed.
    pub health_check: HealthCheckConfig,
    /// How long backends may take.
    pub timeouts: PoolTimeouts,
    /// Which connections to backends are used again.
    pub keep_alive: KeepAliveConfig,
    /// How long a backend that was away is given less; zero: not at all.
    pub slow_start: Duration,
    /// What answers while none of its backends is up; `None`: 503.
    pub fallback: Option<Fallback>,
    /// When a backend is taken out for how it answers; `None`: never.
    pub ejection: Option<EjectionRules>,
    /// The cookie by which sessions stay on their backend; `None`: they do not.
    pub affinity: Option<CookieRules>,
    /// How TLS is spoken to backends; `None`: not at all.
    pub tls: Option<PoolTls>,
    /// What is spoken to backends, over TLS or not.
    pub protocol: PoolProtocol,
    /// In which version connections to backends begin with a PROXY header; `None`: with none.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// How the bodies of requests are read before a backend is asked; `None`: they are not.
    pub buffer_requests: Option<RequestBuffering>,
    /// The pool that has the answers which its backends name instead of answering; `None`: what
    /// they say of that is for the client.
    pub reproxy: Option<String>,
}

/// How much of the bodies of requests is kept until they are whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestBuffering {
    /// Bytes of one body that are kept in memory.
    pub memory: usize,
    /// Bytes of all of them that are kept on the disk.
    pub disk: u64,
}

impl Config {
    /// Returns whether bodies of requests may be kept on the disk.
    pub fn needs_spool(&self) -> bool {
        let mut kept = self.pools.iter().filter_map(|pool| pool.buffer_requests);
        kept.any(|buffering| buffering.disk > 0)
    }
}

impl fmt::Display for RequestBuffering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (memory, disk) = (Size(self.memory as u64), Size(self.disk));
        write!(f, "memory {memory}, disk {disk}")
    }
}

/// Bytes, in the largest unit that has no fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut units = SIZE_UNITS.iter();
        match units.find(|(_, bytes)| self.0 >= *bytes && self.0.is_multiple_of(*bytes)) {
            Some((unit, bytes)) => write!(f, "{}{unit}", self.0 / bytes),
            None => write!(f, "{}", self.0),
        }
    }
}

/// The units of sizes, the largest first.
pub const SIZE_UNITS: [(&str, u64); 4] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
];

impl Default for RequestBuffering {
    fn default() -> Self {
        Self {
            memory: 64 * 1024,
            disk: 100 * 1024 * 1024,
        }
    }
}

/// A version of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// A line of text.
    V1,
    /// Binary, with what is known of TLS and the request.
    V2,
}

impl fmt::Display for ProxyProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        })
    }
}

/// What is spoken to the backends of a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PoolProtocol {
    /// HTTP/1.1 (RFC 9112).
    #[default]
    Http1,
    /// HTTP/2 (RFC 9113).
    Http2,
    /// Whatever clients speak.
    Tcp,
}

impl fmt::Display for PoolProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http1 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
            Self::Tcp => "TCP",
        })
    }
}

/// What answers in the place of a pool of which nobody is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// Another pool, by name.
    Pool(String),
    /// Always the same.
    Respond(RespondConfig),
}

impl PoolConfig {
    /// Returns the pool that answers while none of its backends is up, where that is one.
    pub fn fallback_pool(&self) -> Option<&str> {
        match &self.fallback {
            Some(Fallback::Pool(name)) => Some(name),
            Some(Fallback::Respond(_)) | None => None,
        }
    }
}

/// One backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendConfig {
    /// The key under `backends`.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its share of the requests, 1 to 256.
    pub weight: u16,
    /// Requests in progress on it at once; `None`: any number.
    pub requests: Option<u32>,
    /// Whether it gets requests and probes.
    pub mode: BackendMode,
    /// Whether it gets requests only where no other backend can be given them.
    pub tier: Tier,
    /// Where it comes from.
    pub origin: Origin,
}

/// Whether a backend gets requests and probes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackendMode {
    /// Both.
    #[default]
    Up,
    /// No new requests, but probes; what it has it finishes.
    Drained,
    /// Neither.
    Maintained,
}

/// How backends are probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HealthCheckConfig {
    /// `health_check: none`: always up.
    None,
    /// Probed over and over.
    Probe(ProbeConfig),
}

/// One kind of probe and its pace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeConfig {
    /// What a probe does.
    pub kind: ProbeKind,
    /// From the start of one probe to the start of the next.
    pub interval: Duration,
    /// The same while the verdict is changing; default: the interval.
    pub interval_changing: Duration,
    /// Where backends are probed; `None`: where they are asked.
    pub port: Option<u16>,
    /// Whether TLS is spoken where it is spoken to the pool.
    pub tls: bool,
    /// A probe that takes longer has failed; default: the interval.
    pub timeout: Duration,
    /// Successes in a row that bring a backend up.
    pub rise: u32,
    /// Failures in a row that take a backend down.
    pub fall: u32,
}

/// What a probe does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeKind {
    /// Opens a connection, and perhaps says something on it.
    Tcp(TcpProbe),
    /// Sends a request.
    Http(HttpProbe),
    /// Asks for the health of a service, as gRPC has it.
    Grpc(GrpcProbe),
}

/// What is said on a connection that is opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TcpProbe {
    /// What is sent; empty: nothing.
    pub send: String,
    /// What must be among the first 64 KiB that come; empty: nothing need come.
    pub receive: String,
}

/// Whose health is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrpcProbe {
    /// The service; empty: the server as a whole.
    pub service: String,
    /// The authority of the call; default: the backend's address.
    pub host: Option<String>,
}

/// What is asked, and what must be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpProbe {
    /// How it asks.
    pub method: ProbeMethod,
    /// The target of the request, beginning with `/`.
    pub path: String,
    /// The Host field; default: the backend's address.
    pub host: Option<String>,
    /// More fields, in their order.
    pub headers: Vec<(String, String)>,
    /// Inclusive ranges of statuses that count as success; empty: 200 to 399.
    pub expect: Vec<(u16, u16)>,
    /// What must be in the first 64 KiB of the body; `None`: anything may.
    pub body: Option<String>,
}

impl Default for HttpProbe {
    fn default() -> Self {
        Self {
            method: ProbeMethod::Get,
            path: "/".to_owned(),
            host: None,
            headers: Vec::new(),
            expect: vec![(200, 399)],
            body: None,
        }
    }
}

/// The method of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeMethod {
    /// The answer has a body, which is read.
    Get,
    /// It has none.
    Head,
}

/// How long a backend, and the wait for one, may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolTimeouts {
    /// To accept a connection.
    pub connect: Duration,
    /// From the end of the request to the end of the response's head.
    pub response_head: Duration,
    /// How long a request waits for a backend that has room.
    pub queue: Duration,
    /// Without a byte on a connection that carries no requests any more, once its client has ended
    /// its direction.
    pub backend_fin: Duration,
}

/// Which connections to backends are used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAliveConfig {
    /// How long one is kept without a request.
    pub timeout: Duration,
    /// Kept to one backend by one data thread.
    pub connections: u32,
    /// For which requests one is used again.
    pub reuse: Reuse,
}

impl Default for KeepAliveConfig {
    fn default() -> Self {
        Self {
            // Below the 5 s that common servers keep theirs.
            timeout: Duration::from_secs(4),
            connections: 128,
            reuse: Reuse::Safe,
        }
    }
}

/// The proxy as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyConfig {
    /// Data threads; `None`: the cores it may run on.
    pub threads: Option<u16>,
    /// How long requests in flight may take when the daemon stops.
    pub drain: Duration,
    /// Client connections open at once, over all listeners.
    pub connections: u32,
    /// Held for one direction of a connection whose reader is slower than its writer.
    pub connection_bytes: u32,
}

impl Default for ProxyConfig {
    fn default() -> Self {
        Self {
            threads: None,
            drain: Duration::from_secs(5),
            connections: 20_000,
            connection_bytes: 256 * 1024,
        }
    }
}

/// Returns the checksum of a configuration's text: 64 bits of FNV-1a, as hexadecimal digits. It
/// tells whether two nodes have the same file; it guards against nobody.
pub fn checksum(yaml: &str) -> String {
    let hash = yaml.bytes().fold(FNV_OFFSET, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME)
    });
    format!("{hash:016x}")
}

/// Returns how long the host may take to let everything of these virtual routers go: deleting a
/// macvlan waits for a grace period of the kernel, 25 ms each where 50 were measured.
pub fn release_time<'a>(routers: impl IntoIterator<Item = &'a VirtualRouterConfig>) -> Duration {
    let macvlans = routers.into_iter().filter(|router| router.virtual_mac);
    let macvlans = u32::try_from(macvlans.count()).unwrap_or(u32::MAX);
    RELEASE_TIME_MAX.min(RELEASE_TIME + MACVLAN_RELEASE_TIME.saturating_mul(macvlans))
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;
const RELEASE_TIME: Duration = Duration::from_secs(1);
const MACVLAN_RELEASE_TIME: Duration = Duration::from_millis(100);
/// A service manager does not wait for ever: the unit says 45 s.
const RELEASE_TIME_MAX: Duration = Duration::from_secs(25);
