//! What an operator may ask over the control socket, and the answers: one JSON line each way.
//!
//! The structures here are the JSON that `evenkeel status --json` prints: a public contract. Fields
//! are only added.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, IoSlice, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, SystemTime};

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use serde::{Deserialize, Serialize};

use crate::config::BackendMode;
use crate::model::{Network, RouterName};

/// A question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// The state of everything.
    Status,
    /// The configuration that runs.
    Configuration,
    /// The lines of the access log as they are made, over a socket that comes with the question
    /// (see `lent`).
    FollowLog,
    /// The connections of clients, in the same way.
    Connections(ConnectionFilter),
    /// The transitions after this epoch; 0: all that are remembered.
    Events {
        /// The epoch of the last one that the operator has seen.
        after: u64,
    },
    /// Read the configuration again, and follow it.
    Reload {
        /// The name of the file whose descriptor comes with the question; `None`: that which the
        /// daemon was started with.
        file: Option<String>,
        /// Say only what would change.
        dry_run: bool,
    },
    /// Change a backend, until that is taken back.
    Backend {
        /// The key under `pools`.
        pool: String,
        /// The key under `backends`.
        backend: String,
        /// What is changed.
        change: BackendChange,
    },
    /// Change the base priority of an entry of `virtual_routers`.
    Router {
        /// The key under `virtual_routers`.
        entry: String,
        /// The base priority, 1 to 254; `None`: as in the file.
        priority: Option<u8>,
    },
    /// Put a listener into maintenance, or end that.
    Maintenance {
        /// The key under `listeners`.
        listener: String,
        /// What is changed.
        change: MaintenanceChange,
    },
}

/// Which connections are asked for: those that all of this is true of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionFilter {
    /// Of this listener.
    pub listener: Option<String>,
    /// Of clients with these addresses.
    pub client: Option<Network>,
}

impl ConnectionFilter {
    /// Returns whether it asks for a connection of a listener's and a client's.
    pub fn wants(&self, listener: &str, client: IpAddr) -> bool {
        let Self {
            listener: of,
            client: by,
        } = self;
        of.as_ref().is_none_or(|of| of == listener)
            && by.is_none_or(|by| by.contains(client.to_canonical()))
    }
}

/// What is changed of the maintenance of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaintenanceChange {
    /// It begins, or goes on with another Retry-After.
    On {
        /// What Retry-After says, seconds, 1 to 604800; `None`: as in the file.
        retry_after_s: Option<u32>,
    },
    /// It ends.
    Off,
}

/// What is changed of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackendChange {
    /// No new requests.
    Drain,
    /// No new requests and no probes.
    Maintain,
    /// Requests and probes again.
    Up,
    /// Its share of the requests, 1 to 256.
    Weight(u16),
    /// One more backend, which listens there.
    Add(SocketAddr),
    /// It is not used any more.
    Remove,
    /// As in the file.
    Reset,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    /// To `Status`.
    Status(Box<Status>),
    /// To `Configuration`.
    Configuration(Box<ShownConfiguration>),
    /// To `FollowLog` and `Connections`: what was asked for comes over the socket that came with
    /// the question, from the proxy itself.
    OverSocket,
    /// To `Events`, in order.
    Events(Vec<Event>),
    /// To `Reload`, `Backend`, `Router` and `Maintenance`.
    Changed(ChangeReport),
    /// To the same: nothing has changed, and why.
    Refused(Refusal),
    /// The question could not be answered: why.
    Error(String),
}

/// The configuration that runs, as it may be shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownConfiguration {
    /// The file that it was read from.
    pub file: String,
    /// The number of it.
    pub generation: u64,
    /// Its YAML, without comments and secrets.
    pub yaml: String,
    /// What was changed by command, and lies over it.
    pub overrides: Vec<OverrideStatus>,
}

/// What has changed, or would.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeReport {
    /// The number of the configuration that runs now; where it was only asked for, that which runs.
    pub generation: u64,
    /// Whether it was only asked what would change.
    pub dry_run: bool,
    /// Each as `router web: priority 150 to 120`; empty where nothing changes.
    pub steps: Vec<String>,
    /// What is worth knowing beside, for people.
    pub notes: Vec<String>,
}

/// Why nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// All that is wrong, for people; several lines where a file is.
    pub text: String,
    /// Whether the configuration is wrong, rather than the machine unable.
    pub bad_config: bool,
}

/// One change of state of one virtual router.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// A number that only grows, also from one start of the daemon to the next.
    pub epoch: u64,
    /// When, milliseconds since 1970-01-01 UTC.
    pub at_ms: u64,
    /// Which virtual router.
    pub router: RouterName,
    /// The state that was left: `Initialize`, `Backup` or `Active`.
    pub from: String,
    /// The state that was entered.
    pub to: String,
    /// Why, as a fragment for people.
    pub cause: String,
}

/// The state of everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The name of this machine in the group.
    pub node: String,
    /// The version of the program.
    pub version: String,
    /// In the order of the configuration; empty when the vrrp process does not answer.
    pub virtual_routers: Vec<RouterStatus>,
    /// In the order of the configuration; empty when the proxy does not answer.
    pub listeners: Vec<ListenerStatus>,
    /// In the order of the configuration.
    pub pools: Vec<PoolStatus>,
    /// The processes of the daemon.
    pub processes: Vec<ProcessStatus>,
    /// What is wrong now, for people: a process that does not answer, a right that is missing.
    pub warnings: Vec<String>,
    /// Counters of all virtual routers together, RFC 8347 §3, and of packets that were for none of
    /// them.
    #[serde(default)]
    pub statistics: BTreeMap<String, u64>,
    /// The access log; `None` where there is none or the proxy does not answer.
    #[serde(default)]
    pub access_log: Option<AccessLogStatus>,
    /// The configuration that runs.
    #[serde(default)]
    pub configuration: ConfigurationStatus,
    /// What was changed by command.
    #[serde(default)]
    pub overrides: Vec<OverrideStatus>,
}

/// The configuration that runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigurationStatus {
    /// The file that it was read from.
    pub file: String,
    /// Whether that is the file which the daemon was started with; another one holds until the next
    /// reload or restart.
    pub is_own: bool,
    /// 1 at the start, one more with every change.
    pub generation: u64,
    /// When it was taken into use, milliseconds since 1970-01-01 UTC.
    pub since_ms: u64,
    /// Of the text: the same on two nodes whose files are the same; FNV-1a, 16 hexadecimal digits.
    pub checksum: String,
    /// Whether the file that the daemon was started with differs from what runs; `None` where it
    /// cannot be read.
    pub file_differs: Option<bool>,
    /// The last reload or command that failed after the last that did not.
    pub last_failure: Option<FailureStatus>,
}

/// A change that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureStatus {
    /// When, milliseconds since 1970-01-01 UTC.
    pub at_ms: u64,
    /// Why, for people.
    pub text: String,
}

/// Something that was changed by command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverrideStatus {
    /// `backend api/b1`, `router web` or `listener http`.
    pub subject: String,
    /// `drained`, `weight 3`, `priority 90`, `in maintenance`.
    pub change: String,
    /// When, milliseconds since 1970-01-01 UTC.
    pub at_ms: u64,
}

/// How the access log fares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessLogStatus {
    /// A path, `stdout` or `journald`.
    pub to: String,
    /// Lines written since the proxy started.
    pub lines_written_total: u64,
    /// Lines dropped, because they could not be written or had to wait too long.
    pub lines_dropped_total: u64,
    /// Why the last lines could not be written; empty where they could.
    pub error: String,
}

/// One process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessStatus {
    /// `evenkeel`, or one of those that it starts: `evenkeel-proxy`.
    pub name: String,
    /// `None` while it is being restarted.
    pub pid: Option<u32>,
    /// How often it was started again.
    pub restarts: u64,
}

/// One virtual router.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouterStatus {
    /// Entry and family.
    pub name: RouterName,
    /// The interface.
    pub interface: String,
    /// 1 to 255.
    pub vrid: u8,
    /// `Initialize`, `Backup` or `Active`.
    pub state: String,
    /// Milliseconds since the last transition.
    pub since_ms: u64,
    /// Why the last transition happened.
    pub cause: String,
    /// As configured.
    pub base_priority: u8,
    /// After tracking; 0 while in fault, or unready and not Active.
    pub effective_priority: u8,
    /// Why the two differ, or why it does not stand; empty where there is nothing to say.
    pub priority_reason: String,
    /// The addresses that move.
    pub addresses: Vec<IpAddr>,
    /// Whether the addresses are on this node now.
    pub holds_addresses: bool,
    /// The configured interval, milliseconds.
    pub advertisement_interval_ms: u64,
    /// The interval learned from the Active, milliseconds; in Backup only.
    pub active_adver_interval_ms: Option<u64>,
    /// The source of our advertisements.
    pub primary_address: Option<IpAddr>,
    /// The other routers heard, most recent first; at most 16.
    pub peers: Vec<PeerStatus>,
    /// Counters by name, RFC 8347 §3 and beyond.
    pub counters: BTreeMap<String, u64>,
    /// Packets rejected, by reason.
    pub rejected: BTreeMap<String, u64>,
    /// The last rejected packet.
    pub last_rejected: Option<RejectedStatus>,
    /// What an administrator should look at, in words; empty when all is well.
    #[serde(default)]
    pub notes: Vec<String>,
    /// The Active as far as known: this node, or the one last heard.
    #[serde(default)]
    pub active: Option<ActiveStatus>,
    /// What the last transition is called in RFC 8347 (`last-event`).
    #[serde(default)]
    pub last_event: String,
    /// Why this node is Active, as RFC 8347 has it (`new-master-reason`): `priority`, `preempted`,
    /// `no-response`, or `not-master`.
    #[serde(default)]
    pub new_active_reason: String,
    /// Its timers.
    #[serde(default)]
    pub timers: TimerStatus,
    /// How it is configured.
    #[serde(default)]
    pub settings: RouterSettings,
}

/// Who has the addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActiveStatus {
    /// The source of its advertisements.
    pub address: IpAddr,
    /// What it advertises.
    pub priority: u8,
}

/// The timers of a virtual router.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimerStatus {
    /// Skew_Time, microseconds.
    pub skew_time_us: u64,
    /// Active_Down_Interval, milliseconds.
    pub active_down_interval_ms: u64,
    /// Milliseconds until the next advertisement of an Active, or until a Backup would be Active;
    /// `None` elsewhere.
    pub next_ms: Option<u64>,
}

/// What the configuration says of a virtual router, and is not shown elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouterSettings {
    /// The version of the protocol, 2 or 3.
    pub version: u8,
    /// Whether it owns the addresses.
    pub owner: bool,
    /// `always`, `never`, or `after 30s`.
    pub preempt: String,
    /// Accept_Mode.
    pub accept: bool,
    /// The form of the checksum that is sent.
    pub checksum: String,
    /// `none` or `password`.
    pub authentication: String,
    /// To whom advertisements go; empty: to the group.
    pub unicast_peers: Vec<IpAddr>,
    /// 00:00:5e:00:01:33; `None` where the interface's own address is used.
    pub virtual_mac: Option<String>,
    /// Virtual routers of the same group move together.
    pub sync_group: String,
    /// The lifetime of the addresses, milliseconds.
    pub lease_ms: u64,
    /// Intervals of silence after which the Active is down.
    pub down_multiplier: u8,
}

/// A router heard on the link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerStatus {
    /// Its source address.
    pub address: IpAddr,
    /// The priority it last advertised.
    pub priority: u8,
    /// Milliseconds since it was last heard.
    pub heard_ms: u64,
    /// `rfc5798` or `rfc9568`: how it computes its checksum.
    pub checksum: String,
    /// How many advertisements came in each form.
    #[serde(default)]
    pub checksums: BTreeMap<String, u64>,
    /// The interval it last advertised, milliseconds.
    #[serde(default)]
    pub interval_ms: u64,
    /// The addresses it last listed.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
}

/// A packet that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectedStatus {
    /// Who sent it.
    pub source: IpAddr,
    /// Why, as a key of `rejected`.
    pub reason: String,
    /// Milliseconds since then.
    pub since_ms: u64,
}

/// One listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerStatus {
    /// The key under `listeners`.
    pub name: String,
    /// Where it listens.
    pub binds: Vec<SocketAddr>,
    /// The pool that answers what no route is for.
    pub pool: Option<String>,
    /// Its routes, in order.
    #[serde(default)]
    pub routes: Vec<RouteStatus>,
    /// Its certificates, those that end first: a hundred at most.
    #[serde(default)]
    pub certificates: Vec<CertificateStatus>,
    /// Connections since the proxy started that had to begin with a PROXY header and did not.
    #[serde(default)]
    pub proxy_headers_failed_total: u64,
    /// Handshakes of TLS that have come to their end since the proxy started.
    #[serde(default)]
    pub handshakes_total: u64,
    /// Handshakes that have not.
    #[serde(default)]
    pub handshakes_failed_total: u64,
    /// Client connections open now.
    pub connections: u64,
    /// Connections turned away since the proxy started: one too many.
    #[serde(default)]
    pub connections_refused_total: u64,
    /// Idle connections closed since the proxy started, so that new ones could come.
    #[serde(default)]
    pub connections_evicted_total: u64,
    /// Connections turned away since the proxy started: those of their client came too often.
    #[serde(default)]
    pub connections_rate_limited_total: u64,
    /// Requests answered 429 since the proxy started: they came too often.
    #[serde(default)]
    pub requests_rate_limited_total: u64,
    /// Requests answered since the proxy started.
    pub requests_total: u64,
    /// Answers by class of status: `2xx`, `3xx`, `4xx`, `5xx`.
    pub responses_total: BTreeMap<String, u64>,
    /// How long the requests took that no route was for, from the first byte to the last of the
    /// answer.
    #[serde(default)]
    pub times: TimesStatus,
}

/// One certificate of a listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateStatus {
    /// The names of servers that it is for.
    pub names: Vec<String>,
    /// Where it was read.
    pub file: String,
    /// Until when it holds, seconds since 1970-01-01 UTC.
    pub not_after_s: i64,
    /// For how many days; below 0 where it has ended.
    pub days_left: i64,
}

/// One route of a listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteStatus {
    /// Its name, or its place in the list, from 1.
    pub name: String,
    /// The pool that answers; `None`: the proxy itself.
    pub pool: Option<String>,
    /// Requests that have taken it since the proxy started.
    pub requests_total: u64,
    /// How long they took, from the first byte to the last of the answer.
    #[serde(default)]
    pub times: TimesStatus,
}

/// How long something took, as a histogram. Counted while the configuration has a section `admin`
/// or `access_log`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimesStatus {
    /// How many took no longer than each of 1, 2.5, 5, 10, 25, 50, 100, 250 and 500 ms, 1, 2.5, 5,
    /// 10 and 30 s, but longer than the one before; and, last, how many took longer than all.
    pub buckets: Vec<u64>,
    /// How long all took together, microseconds.
    pub sum_us: u64,
}

impl TimesStatus {
    /// The bounds of all buckets but the last, microseconds.
    pub const BOUNDS_US: [u64; 14] = [
        1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
        2_500_000, 5_000_000, 10_000_000, 30_000_000,
    ];

    /// Returns how many were counted.
    pub fn count(&self) -> u64 {
        self.buckets
            .iter()
            .fold(0, |sum, it| sum.saturating_add(*it))
    }
}

/// One pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolStatus {
    /// The key under `pools`.
    pub name: String,
    /// In the order of the configuration.
    pub backends: Vec<BackendStatus>,
    /// Requests tried again on another backend.
    pub retries_total: u64,
    /// Requests that wait now for a backend that has room.
    #[serde(default)]
    pub queued_requests: u64,
    /// Times a request had to wait since the proxy started.
    #[serde(default)]
    pub queued_total: u64,
    /// Times it waited in vain.
    #[serde(default)]
    pub queue_timeouts_total: u64,
    /// Requests whose bodies are kept now, until a backend has them (`buffer_requests`).
    #[serde(default)]
    pub buffered_requests: u64,
    /// Bytes that these bodies take on the disk.
    #[serde(default)]
    pub buffered_disk_bytes: u64,
    /// Requests for whose bodies there was no room.
    #[serde(default)]
    pub unbuffered_total: u64,
    /// How long its backends took from the connection to the head of the response.
    #[serde(default)]
    pub response_times: TimesStatus,
}

impl PoolStatus {
    /// Returns a pool of whose requests nothing is known.
    pub fn uncounted(name: String, backends: Vec<BackendStatus>) -> Self {
        Self {
            name,
            backends,
            retries_total: 0,
            queued_requests: 0,
            queued_total: 0,
            queue_timeouts_total: 0,
            buffered_requests: 0,
            buffered_disk_bytes: 0,
            unbuffered_total: 0,
            response_times: TimesStatus::default(),
        }
    }
}

/// One backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendStatus {
    /// The key under `backends`.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// `up`, `down`, `unprobed`, or `ejected`: up, but taken out for how it answers.
    pub state: String,
    /// What the last probe said.
    pub check: String,
    /// Requests in flight now.
    pub active_requests: u64,
    /// Requests sent to it since the proxy started.
    pub requests_total: u64,
    /// Attempts that failed.
    pub failures_total: u64,
    /// Times that it sent what nobody had asked for.
    #[serde(default)]
    pub unsolicited_total: u64,
    /// Requests in flight at once, as configured; `None`: any number.
    #[serde(default)]
    pub requests_max: Option<u32>,
    /// Whether it gets requests and probes, as configured or by command.
    #[serde(default)]
    pub mode: BackendMode,
    /// Whether it gets requests only where no other backend can be given them.
    #[serde(default)]
    pub backup: bool,
    /// How much of its weight it has, in percent, while it begins slowly; `None`: all.
    #[serde(default)]
    pub slow_start: Option<u16>,
    /// For how long it is ejected still, in milliseconds; `None`: it is not.
    #[serde(default)]
    pub ejected_ms: Option<u64>,
}

/// Returns a time as it stands in these structures: milliseconds since 1970-01-01 UTC, 0 before.
pub fn unix_ms(at: SystemTime) -> u64 {
    let since = at
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Returns the seconds since 1970-01-01 UTC, as certificates count them.
pub fn unix_s(at: SystemTime) -> i64 {
    i64::try_from(unix_ms(at) / 1000).unwrap_or(i64::MAX)
}

/// Asks the daemon that uses this runtime directory, and waits for its answer, each step at most
/// `within`.
///
/// # Errors
/// When no daemon listens there, a step takes longer than `within`, or the answer is not one.
pub fn ask(runtime_dir: &Path, request: &Request, within: Duration) -> io::Result<Response> {
    ask_with(runtime_dir, request, None, within)
}

/// As [`ask`], with a descriptor.
///
/// # Errors
/// As [`ask`].
pub fn ask_with(
    runtime_dir: &Path,
    request: &Request,
    descriptor: Option<BorrowedFd<'_>>,
    within: Duration,
) -> io::Result<Response> {
    let stream = UnixStream::connect(runtime_dir.join(SOCKET))?;
    stream.set_read_timeout(Some(within))?;
    stream.set_write_timeout(Some(within))?;
    let mut question = serde_json::to_vec(request)?;
    question.push(b'\n');
    let descriptors: Vec<RawFd> = descriptor.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&descriptors)];
    let rights: &[ControlMessage<'_>] = if descriptors.is_empty() { &[] } else { &rights };
    let slices = [IoSlice::new(&question)];
    let flags = MsgFlags::MSG_NOSIGNAL;
    let sent = sendmsg::<()>(stream.as_raw_fd(), &slices, rights, flags, None)?;
    (&stream).write_all(&question[sent..])?;
    let mut line = String::new();
    BufReader::new(stream.take(ANSWER_BYTES_MAX)).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}

/// The name of the control socket in the runtime directory.
pub const SOCKET: &str = "control.sock";
/// The longest answer that is read.
const ANSWER_BYTES_MAX: u64 = 16 << 20;
