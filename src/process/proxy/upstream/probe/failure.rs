//! Why a probe has failed, for people.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use thiserror::Error;

use super::wire::WireError;
use crate::logic::http1::refusal::ResponseRefusal;

/// Why a probe failed.
#[derive(Debug, Error)]
pub(in crate::process::proxy) enum ProbeError {
    #[error("no answer in time")]
    TimedOut,
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("connection lost")]
    Lost(#[source] io::Error),
    #[error("the connection ended before the answer did")]
    Ended,
    #[error("bad answer")]
    Answer(#[source] ResponseRefusal),
    #[error("{0}{1}")]
    Status(String, HostHint),
    #[error("`{0}` is not in the first 64 KiB")]
    Without(String),
    #[error("bad answer")]
    Http2(#[from] h2::Error),
    #[error("gRPC health: {0}")]
    Grpc(String),
}

/// What may be wrong where a backend does not like the default Host.
#[derive(Clone, Copy, Debug)]
pub(in crate::process::proxy) struct HostHint(pub(super) Option<SocketAddr>);

impl fmt::Display for HostHint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => write!(f, "; the Host was {address}, `host` sets another"),
            None => Ok(()),
        }
    }
}

/// Returns a status for people, with as much of its reason as is one.
pub(super) fn text(status: u16, reason: &str) -> String {
    let is_plain = |c: &char| c.is_ascii_graphic() || *c == ' ';
    let reason: String = reason.chars().filter(is_plain).take(REASON_MAX).collect();
    format!("status {status} {reason}").trim_end().to_owned()
}

/// A longer reason is cut.
const REASON_MAX: usize = 40;
