//! All that crosses between the supervisor and its children.
//!
//! Every message is small, or travels in a memory file beside its frame (see `channel`). Times are
//! nanoseconds of CLOCK_MONOTONIC, which all processes of a machine share.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

pub use super::control::ConnectionFilter;
use super::control::{AccessLogStatus, ListenerStatus, PoolStatus, RouterStatus, unix_ms};
pub use super::log_line::LogLine;
pub use crate::config::found::Found;
pub use crate::config::overrides::{BackendOverride, Overrides};
use crate::config::tls::CertificateChain;
use crate::logic::vrrp::Transition;
use crate::model::{Family, Fitness, KeyId, RouterName, SecretBytes};

/// Supervisor to vrrp.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToVrrp {
    /// Sockets of the vrrp process before this one, one descriptor each, in this order; sent before
    /// `Configure`, in several messages where there are many.
    KeptSockets(Vec<SocketKey>),
    /// Begin. The text has passed `config::parse` in the supervisor.
    Configure {
        /// The text of the configuration.
        yaml: String,
        /// The name of this node.
        node: String,
        /// What the process before this one last said of each of its virtual routers that was
        /// Active.
        adopt: Vec<ActiveRole>,
        /// What operators have changed by command.
        overrides: Overrides,
    },
    /// Another configuration is to follow: read it, and say `Prepared`. Nothing changes before
    /// `Commit`; one that was prepared before and not committed is forgotten.
    Prepare {
        /// Its number, larger than all before.
        generation: u64,
        /// The text of the configuration; it has passed `config::parse` in the supervisor.
        yaml: String,
        /// The name of this node.
        node: String,
        /// What operators have changed by command.
        overrides: Overrides,
    },
    /// Put the configuration of this number, which was prepared, in the place of the one before,
    /// then say `Committed`.
    Commit {
        /// As in `Prepare`.
        generation: u64,
        /// What tracking says of every entry of the new configuration.
        fitness: BTreeMap<String, Fitness>,
    },
    /// The configuration of this number will not follow.
    Forget {
        /// As in `Prepare`.
        generation: u64,
    },
    /// What tracking says of all virtual routers of an entry.
    Fitness {
        /// The key under `virtual_routers`.
        entry: String,
        /// The verdict; an entry that was never mentioned is `Unready`.
        fitness: Fitness,
    },
    /// Answer with `Status`.
    ReportStatus {
        /// Echoed in the answer.
        id: u64,
    },
    /// The supervisor's loop is alive; every 50 ms. Once it was said, silence means that the
    /// supervisor is lost.
    Beat,
    /// Give every address up (make before break). Say `HandedOver` when no peer can be expected to
    /// speak any more, and `Stopped` when nothing is held; then exit.
    Stop {
        /// Where no peer is heard the addresses are held so long, or until `Release`, for what is
        /// in flight on them.
        hold_ms: u64,
    },
    /// Let go of what is still held.
    Release,
}

/// Vrrp to supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromVrrp {
    /// The protocol thread is alive; every 50 ms.
    Beat {
        /// Every virtual router that is Active now.
        active: Vec<ActiveRole>,
    },
    /// Duplicates for the supervisor to keep.
    KeepSockets {
        /// One descriptor each, in this order.
        sockets: Vec<SocketKey>,
        /// Beside those of the message before, which was full; otherwise they replace what was
        /// kept.
        more: bool,
    },
    /// What the process should have, could not get, and works without; for people.
    Lacking(Vec<String>),
    /// The configuration is applied: sockets open, routers started.
    Ready,
    /// The answer to `Prepare`.
    Prepared {
        /// As asked.
        generation: u64,
        /// Why it cannot be applied, for people; `None`: it can, and will be.
        refused: Option<String>,
    },
    /// The answer to `Commit`: nothing of the configuration before decides any more.
    Committed {
        /// As asked.
        generation: u64,
    },
    /// A virtual router changed state.
    Transition(TransitionReport),
    /// The answer to `ReportStatus`.
    Status {
        /// As asked.
        id: u64,
        /// In the order of the configuration.
        routers: Vec<RouterStatus>,
        /// Counters of all of them together.
        statistics: BTreeMap<String, u64>,
    },
    /// What a virtual router follows was observed for the first time, or has changed.
    Observed {
        /// What it is.
        what: Followed,
        /// Whether it is as it should be.
        well: bool,
    },
    /// A line for the log.
    Log(LogLine),
    /// Whoever wants the addresses has them; nobody else is to be waited for.
    HandedOver,
    /// Everything is given up; the process exits now.
    Stopped,
}

/// What the vrrp process observes for the tracker.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Followed {
    /// The carrier of an interface.
    Interface(String),
    /// Gateways, as the configuration names them.
    Gateway(String),
}

/// A virtual router that is Active.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActiveRole {
    /// Which.
    pub router: RouterName,
    /// When it last advertised, ns of CLOCK_MONOTONIC.
    pub advertised_at_ns: u64,
}

/// Which VRRP socket a descriptor is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SocketKey {
    /// The name of its interface.
    pub interface: String,
    /// The index of that interface when the socket was opened; a re-created interface has another.
    pub ifindex: u32,
    /// IPv4 or IPv6.
    pub family: Family,
}

/// One change of state, for the log and for `status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransitionReport {
    /// Which virtual router.
    pub router: RouterName,
    /// What it was.
    pub from: StateName,
    /// What it is now.
    pub to: StateName,
    /// Why, as a fragment for people.
    pub cause: String,
    /// When, ns of CLOCK_MONOTONIC.
    pub at_ns: u64,
}

impl TransitionReport {
    /// Returns the report of a transition of this virtual router at this time.
    pub fn of(router: RouterName, transition: &Transition, at_ns: u64) -> Self {
        Self {
            router,
            from: StateName::of(transition.from),
            to: StateName::of(transition.to),
            cause: transition.cause.to_string(),
            at_ns,
        }
    }
}

/// The name of a state, RFC 9568 §6.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StateName {
    /// Out of work, or in fault.
    Initialize,
    /// Ready to take over.
    Backup,
    /// Has the addresses.
    Active,
}

impl StateName {
    /// Returns the state of this name; there is no other.
    fn of(name: &str) -> Self {
        let all = [Self::Initialize, Self::Backup, Self::Active];
        let found = all.into_iter().find(|state| state.as_str() == name);
        found.unwrap_or(Self::Initialize)
    }

    /// Returns its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Initialize => "Initialize",
            Self::Backup => "Backup",
            Self::Active => "Active",
        }
    }
}

/// Supervisor to proxy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToProxy {
    /// Listening sockets of one bind address, beside those that were passed before; sent before
    /// `Configure` and `Prepare`. Each is accepted from by one worker, a worker may have several.
    /// Of an address that is served already, those that listen are accepted from at once; those
    /// that are only bound when the configuration is committed for which they were passed, before
    /// which they must listen.
    PassListener {
        /// The key under `listeners` that has this address in the configuration to come.
        listener: String,
        /// The address they listen on.
        bind: SocketAddr,
    },
    /// What the access log is written to from now on, one descriptor; sent before `Configure`, and
    /// again when it was opened anew. Between `Prepare` and `Commit` or `Forget` it is for the
    /// configuration that is prepared, otherwise for the running one. A configuration that writes
    /// to the same target as the one before needs none: it goes on with what that one has, whatever
    /// the format of its lines.
    AccessLog,
    /// The file in which bodies of requests are kept, one descriptor, for this process alone; sent
    /// before `Configure` or `Commit` of a configuration that needs one, or as soon as there is
    /// one.
    Spool,
    /// What asks the process `keys` to sign, one descriptor for each worker, in their order,
    /// and one for the health checks; sent
    /// before `Configure` where there is that process, and again when it was started anew. A worker
    /// has none in between, and begins no handshake.
    PassSigningLines,
    /// What is derived from the secret of the group; sent before `Configure`, and again when the
    /// hour has changed.
    Secrets(Secrets),
    /// Begin.
    Configure {
        /// The text of the configuration.
        yaml: String,
        /// The name of this node.
        node: String,
        /// The number of workers that accept; `PassListener` brought at least as many descriptors
        /// for each address.
        threads: u16,
        /// What the process before this one last said of the backends; they start so, until probed.
        health: Vec<PoolHealth>,
        /// What operators have changed by command.
        overrides: Overrides,
        /// What the configuration names and others keep.
        found: Found,
    },
    /// Another configuration is to follow: read it, make what it needs, and say `Prepared`. Nothing
    /// changes before `Commit`; one that was prepared before and not committed is forgotten, with
    /// the sockets that were passed for it.
    Prepare {
        /// Its number, larger than all before.
        generation: u64,
        /// The text of the configuration; it has passed `config::parse` in the supervisor.
        yaml: String,
        /// The name of this node.
        node: String,
        /// The number of workers that accept.
        threads: u16,
        /// What operators have changed by command.
        overrides: Overrides,
        /// What the configuration names and others keep.
        found: Found,
    },
    /// Put the configuration of this number, which was prepared, in the place of the one before,
    /// then say `Committed`.
    Commit {
        /// As in `Prepare`.
        generation: u64,
    },
    /// The configuration of this number will not follow.
    Forget {
        /// As in `Prepare`.
        generation: u64,
    },
    /// Answer with `Status`.
    ReportStatus {
        /// Echoed in the answer.
        id: u64,
    },
    /// Send the lines of the access log as they are made over this socket of an operator's, one
    /// descriptor (see `lent`), until the operator leaves.
    FollowLog,
    /// Send who is connected over such a socket, and close it.
    ReportConnections(ConnectionFilter),
    /// Finish what is in flight, within this time, then say `Drained` and exit.
    Drain {
        /// Milliseconds.
        deadline_ms: u64,
    },
}

/// Supervisor to keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToKeys {
    /// A line over which `PairAsked` comes, one descriptor.
    PassReader,
    /// Lines of workers, one descriptor each, beside those of before: they end by themselves.
    PassLines,
    /// The files with the secrets of the group, one descriptor each, the one that is used first.
    Secrets,
    /// There are none: the node has one of its own.
    NoSecrets,
    /// Keep these keys, and forget the others in a while: somebody may ask for one yet.
    Keep(Vec<KeyId>),
}

/// Keys to supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromKeys {
    /// The process is alive; every 50 ms.
    Beat,
    /// What the process should have, could not get, and works without; for people.
    Lacking(Vec<String>),
    /// What is derived from the secret; again with every hour.
    Secrets(Secrets),
    /// The secrets cannot be used, and why, for people; those of before are.
    SecretsRefused(String),
    /// A line for the log.
    Log(LogLine),
}

/// Supervisor to keys, over a line of its own: read this pair, and keep its key. The files come as
/// descriptors: the certificates, and the key where it is in another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairAsked {
    /// Echoed in the answer.
    pub id: u64,
    /// What it is known by.
    pub path: PathBuf,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairRead {
    /// As asked.
    pub id: u64,
    /// The certificates, or why they are no pair, for people.
    pub chain: Result<CertificateChain, String>,
}

/// Supervisor to names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToNames {
    /// Lines over which names are asked for (see `resolving`), one descriptor each; each ends by
    /// itself.
    PassLines,
}

/// Names to supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromNames {
    /// The process is alive, however slow the resolver is; every 50 ms.
    Beat,
    /// What the process should have, could not get, and works without; for people.
    Lacking(Vec<String>),
    /// This file of the resolver's was replaced by one that the process may not read: another
    /// process may.
    Replaced(String),
    /// A line for the log.
    Log(LogLine),
}

/// Supervisor to admin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToAdmin {
    /// Two lines over which the supervisor is asked as over the control socket, one descriptor
    /// each: one for what is shown, one for what is changed.
    PassLines,
    /// Answer on these listening sockets, one descriptor each, instead of those of before.
    Serve(AdminSettings),
}

/// How operators are answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdminSettings {
    /// Names of hosts under which it may be asked.
    pub hosts: Vec<String>,
    /// The SHA-256 of what allows changes; `None`: nobody changes anything.
    pub token: Option<SecretBytes>,
}

/// Admin to supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromAdmin {
    /// The process is alive; every 50 ms.
    Beat,
    /// What the process should have, could not get, and works without; for people.
    Lacking(Vec<String>),
    /// A line for the log.
    Log(LogLine),
}

/// What is derived from the secret of the group, or from one of the node's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secrets {
    /// Keys of session tickets, by the hour since 1970 that they are for: of this one, of those
    /// before whose tickets are accepted, and of the next.
    pub tickets: Vec<TicketSecret>,
    /// Keys of affinity cookies: the first is used, all are accepted.
    pub affinity: Vec<SecretBytes>,
    /// Whether the secret is one of the node's own.
    pub of_one_node: bool,
}

/// A secret of a group has so many bytes at least: one that can be guessed is none.
pub const SECRET_BYTES_MIN: usize = 32;

/// What keys of session tickets are derived from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketSecret {
    /// Since 1970-01-01 UTC.
    pub hour: u64,
    /// Of this hour; where secrets are rotated an hour has several, and the first is used.
    pub key: SecretBytes,
}

impl TicketSecret {
    /// Tickets of so many hours before this one are accepted.
    pub const HOURS_BEFORE: u64 = 2;

    /// Returns this hour.
    pub fn hour_now() -> u64 {
        unix_ms(SystemTime::now()) / 3_600_000
    }
}

/// Proxy to supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromProxy {
    /// A thread makes progress, or has ended in order; every 50 ms.
    Beat {
        /// 0: the health checks; the workers come behind them.
        thread: u16,
    },
    /// A thread makes no progress; every 50 ms as long as it does not.
    Stuck {
        /// As in `Beat`.
        thread: u16,
        /// What it is doing, for the log.
        doing: String,
    },
    /// What the process should have, could not get, and works without; for people.
    Lacking(Vec<String>),
    /// Every worker accepts on all its sockets.
    Ready,
    /// The answer to `Prepare`.
    Prepared {
        /// As asked.
        generation: u64,
        /// Why it cannot be applied, for people; `None`: it can, and will be.
        refused: Option<String>,
    },
    /// The answer to `Commit`: every worker takes new requests by the new configuration.
    Committed {
        /// As asked.
        generation: u64,
    },
    /// The health of a pool changed, or was first known.
    Health(PoolHealth),
    /// The answer to `ReportStatus`.
    Status {
        /// As asked.
        id: u64,
        /// In the order of the configuration.
        listeners: Vec<ListenerStatus>,
        /// In the order of the configuration.
        pools: Vec<PoolStatus>,
        /// Where there is one.
        access_log: Option<AccessLogStatus>,
        /// What was short of late, for people.
        warnings: Vec<String>,
    },
    /// A line for the log.
    Log(LogLine),
    /// Nothing is in flight any more; the process exits now.
    Drained,
}

/// How many of a pool's backends can be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolHealth {
    /// The key under `pools`.
    pub pool: String,
    /// Each backend by name: up, or not; missing: not yet probed.
    pub backends: BTreeMap<String, bool>,
    /// True when every backend has been probed, or needs none.
    pub probed: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_states_are_those_of_the_rfc_and_no_other_is_read() {
        for name in ["Initialize", "Backup", "Active"] {
            let state = StateName::of(name);
            assert_eq!(state.as_str(), name);
            let text = format!("{name:?}");
            assert_eq!(serde_json::from_str::<StateName>(&text).ok(), Some(state));
        }
        assert!(serde_json::from_str::<StateName>("\"Active\\nREADY=1\"").is_err());
    }
}
