//! One probe of a backend: a connection, or a request and the answer to it.
//!
//! An answer is read as those of traffic are, by `logic::http1`: a backend whose every answer would
//! be refused is not called up. A probe uses a connection of its own; what is left of its answer is
//! read behind the verdict, so that the backend can end in order. When probes are made is
//! `checks`'s to say.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::config::{ProbeKind, ProbeMethod};
use crate::logic::http1::body::Body;
use crate::logic::http1::head::{Persistence, Slots, Upgrade, Version};
use crate::logic::http1::refusal::{BodyError, ResponseRefusal};
use crate::logic::http1::response::{AskedFor, AskedMethod, BodyCoding, ResponseHead};
use crate::process::proxy::transfer::exchange::{INTERIM_MAX, RESPONSE_LIMITS};

/// Why a probe failed.
#[derive(Debug, Error)]
pub(in crate::process::proxy) enum ProbeError {
    #[error("no answer in time")]
    TimedOut,
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    #[error("connection lost")]
    Lost(#[source] io::Error),
    #[error("the connection ended before the answer did")]
    Ended,
    #[error("bad answer")]
    Answer(#[source] ResponseRefusal),
    #[error("{0}{1}")]
    Status(String, HostHint),
}

/// What may be wrong where a backend does not like the default Host.
#[derive(Clone, Copy, Debug)]
pub(in crate::process::proxy) struct HostHint(Option<SocketAddr>);

impl fmt::Display for HostHint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => write!(f, "; the Host was {address}, `host` sets another"),
            None => Ok(()),
        }
    }
}

/// Probes a backend once; returns what it said, for people.
pub(in crate::process::proxy) async fn probe(
    address: SocketAddr,
    kind: &ProbeKind,
) -> Result<String, ProbeError> {
    let mut stream = TcpStream::connect(address)
        .await
        .map_err(ProbeError::Connect)?;
    let ProbeKind::Http {
        method,
        path,
        host,
        expect,
    } = kind
    else {
        return Ok("connected".to_owned());
    };
    let (verb, asked_method) = match method {
        ProbeMethod::Get => ("GET", AskedMethod::Other),
        ProbeMethod::Head => ("HEAD", AskedMethod::Head),
    };
    let said = host.clone().unwrap_or_else(|| address.to_string());
    let request = format!(
        "{verb} {path} HTTP/1.1\r\nHost: {said}\r\nConnection: close\r\n\
         User-Agent: evenkeel-health-check\r\n\r\n"
    );
    let written = stream.write_all(request.as_bytes()).await;
    written.map_err(ProbeError::Lost)?;
    let Answer { status, text, body } = answer(&mut stream, asked_method).await?;
    // The verdict does not wait for it; where too many wait already, it is ended at once.
    if let Ok(place) = ENDS.try_acquire() {
        tokio::task::spawn_local(async move {
            let _place = place;
            end(stream, body).await;
        });
    }
    if is_hoped(status, expect) {
        return Ok(text);
    }
    let is_default = host.is_none() && matches!(status, 400 | 403 | 404 | 421);
    let hint = HostHint(is_default.then_some(address));
    Err(ProbeError::Status(text, hint))
}

/// What a backend has answered.
struct Answer {
    status: u16,
    /// The status for people.
    text: String,
    /// What is still to come.
    body: Body,
}

/// Returns a status for people, with as much of its reason as is one.
fn text(status: u16, reason: &str) -> String {
    let is_plain = |c: &char| c.is_ascii_graphic() || *c == ' ';
    let reason: String = reason.chars().filter(is_plain).take(REASON_MAX).collect();
    format!("status {status} {reason}").trim_end().to_owned()
}

fn is_hoped(status: u16, expect: &[(u16, u16)]) -> bool {
    match expect {
        [] => (200..=399).contains(&status),
        ranges => ranges
            .iter()
            .any(|(from, to)| (*from..=*to).contains(&status)),
    }
}

/// Reads the final head, and what has come of the body with it: as much as is judged of traffic
/// before it is relayed.
async fn answer(stream: &mut TcpStream, method: AskedMethod) -> Result<Answer, ProbeError> {
    let asked = AskedFor {
        method,
        version: Version::Http11,
        upgrade: Upgrade::None,
        persistence: Persistence::Close,
    };
    let (mut bytes, mut interim_count) = (Vec::new(), 0);
    loop {
        let mut slots = Slots::new();
        let head = ResponseHead::parse(&bytes, &mut slots, &RESPONSE_LIMITS, asked);
        match head.map_err(ProbeError::Answer)? {
            Some(head) if head.is_interim() => {
                interim_count += 1;
                if interim_count > INTERIM_MAX {
                    return Err(ProbeError::Answer(ResponseRefusal::TooManyInterim));
                }
                bytes.drain(..head.len);
            }
            Some(head) => {
                let mut body = Body::new(head.framing, BodyCoding::AsIs);
                let taken = take(&mut body, &bytes[head.len..]);
                taken.map_err(|error| ProbeError::Answer(ResponseRefusal::Body(error)))?;
                return Ok(Answer {
                    status: head.status,
                    text: text(head.status, head.reason),
                    body,
                });
            }
            None => match stream.read_buf(&mut bytes).await {
                Ok(1..) => {}
                Ok(0) => return Err(ProbeError::Ended),
                Err(error) => return Err(ProbeError::Lost(error)),
            },
        }
    }
}

fn take(body: &mut Body, mut bytes: &[u8]) -> Result<(), BodyError> {
    while !bytes.is_empty() && !body.is_ended() {
        let run = body.handle_bytes(bytes)?;
        bytes = &bytes[run.pass + run.skip..];
    }
    Ok(())
}

/// Reads what is left of an answer and then the end of the connection: a backend whose answer is
/// cut logs an error, and whoever ends a connection first has its port occupied for a minute, which
/// should not be us.
async fn end(mut stream: TcpStream, mut body: Body) {
    let mut buffer = vec![0; 16 * 1024];
    let mut bytes = 0;
    let rest = async {
        while !body.is_ended() && bytes < REST_BYTES_MAX {
            match stream.read(&mut buffer).await {
                Ok(len @ 1..) if take(&mut body, &buffer[..len]).is_ok() => bytes += len,
                Ok(_) | Err(_) => return,
            }
        }
    };
    let in_time = tokio::time::timeout(REST_TIMEOUT, rest).await;
    if in_time.is_ok() && body.is_ended() {
        // Nothing more is expected, whatever comes.
        let _ = tokio::time::timeout(END_TIMEOUT, stream.read(&mut buffer)).await;
    }
}

/// A longer reason is cut.
const REASON_MAX: usize = 40;
/// Probes whose end is waited for; each has a descriptor.
static ENDS: Semaphore = Semaphore::const_new(ENDS_MAX);
const ENDS_MAX: usize = 64;
/// What is read of a probe's answer, at most.
const REST_BYTES_MAX: usize = 256 * 1024;
/// How long it is read; the verdict stands already.
const REST_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the end of a probe's connection is waited for behind it.
const END_TIMEOUT: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_hoped_for_by_their_ranges() {
        for (status, expect, hoped) in [
            (200, &[][..], true),
            (399, &[], true),
            (400, &[], false),
            (199, &[], false),
            (404, &[(200, 204), (404, 404)], true),
            (205, &[(200, 204), (404, 404)], false),
        ] {
            assert_eq!(is_hoped(status, expect), hoped, "{status} {expect:?}");
        }
    }
}
