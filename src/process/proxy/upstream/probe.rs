//! One probe of a backend: a connection, or a request and the answer to it.
//!
//! An answer is read as those of traffic are, by `logic::http1`: a backend whose every answer would
//! be refused is not called up. A probe uses a connection of its own; what is left of its answer is
//! read behind the verdict, so that the backend can end in order. When probes are made is
//! `checks`'s to say.

mod failure;
mod grpc;
mod http2;
mod judge;
pub(in crate::process::proxy) mod wire;

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

pub(in crate::process::proxy) use self::failure::ProbeError;
use self::failure::text;
use self::judge::{Search, is_hoped, judged, request};
use self::wire::{END_TIMEOUT, ENDS, Wire};
use crate::config::{
    HttpProbe, PoolProtocol, ProbeConfig, ProbeKind, ProbeMethod, ProxyProtocol, TcpProbe,
};
use crate::logic::http1::body::Body;
use crate::logic::http1::head::{Persistence, Slots, Upgrade, Version};
use crate::logic::http1::refusal::{BodyError, ResponseRefusal};
use crate::logic::http1::response::{AskedFor, AskedMethod, BodyCoding, ResponseHead};
use crate::logic::proxy_protocol;
use crate::process::proxy::io::tls::Scratch;
use crate::process::proxy::tls::connector::Secure;
use crate::process::proxy::transfer::exchange::{INTERIM_MAX, RESPONSE_LIMITS};
use crate::process::proxy::upstream::backend::BackendRuntime;
use crate::process::proxy::upstream::pool::Pool;

/// Where a probe goes, and how TLS is spoken there.
#[derive(Clone)]
pub(in crate::process::proxy) struct Aim {
    address: SocketAddr,
    secure: Option<Secure>,
    protocol: PoolProtocol,
    proxy_protocol: Option<ProxyProtocol>,
}

impl Aim {
    /// Returns where a backend of a pool is probed.
    pub(in crate::process::proxy) fn of(
        pool: &Pool,
        backend: &BackendRuntime,
        config: &ProbeConfig,
    ) -> Self {
        let mut address = backend.address;
        if let Some(port) = config.port {
            address.set_port(port);
        }
        let connector = pool.connector.as_ref().filter(|_| config.tls);
        let secure = connector.and_then(|connector| connector.to(backend.address));
        let secure = secure.map(|secure| match config.kind {
            ProbeKind::Grpc(_) => secure.offering_http2(),
            ProbeKind::Tcp(_) | ProbeKind::Http(_) => secure.clone(),
        });
        Self {
            address,
            secure,
            protocol: pool.protocol,
            proxy_protocol: pool.proxy_protocol,
        }
    }
}

/// Probes a backend once; returns what it said, for people.
pub(in crate::process::proxy) async fn probe(
    aim: Aim,
    kind: &ProbeKind,
    scratch: &Rc<Scratch>,
) -> Result<String, ProbeError> {
    // A probe has no client.
    let first = match aim.proxy_protocol {
        None => &b""[..],
        Some(ProxyProtocol::V1) => b"PROXY UNKNOWN\r\n",
        Some(ProxyProtocol::V2) => proxy_protocol::LOCAL,
    };
    let mut wire = Wire::open(aim.address, first, aim.secure.as_ref(), scratch).await?;
    match kind {
        ProbeKind::Tcp(tcp) => {
            let text = talk(&mut wire, tcp).await;
            wire.close();
            text
        }
        ProbeKind::Http(http) => match aim.protocol {
            PoolProtocol::Http1 | PoolProtocol::Tcp => ask(wire, aim.address, http).await,
            PoolProtocol::Http2 => http2::ask(wire, aim.address, http).await,
        },
        ProbeKind::Grpc(service) => grpc::ask(wire, aim.address, service).await,
    }
}

/// Says what is to be said on a connection, and hears what must come.
async fn talk(wire: &mut Wire, tcp: &TcpProbe) -> Result<String, ProbeError> {
    if !tcp.send.is_empty() {
        let written = wire.write_all(tcp.send.as_bytes()).await;
        written.map_err(ProbeError::Lost)?;
    }
    if tcp.receive.is_empty() {
        return Ok("connected".to_owned());
    }
    let mut search = Search::new(&tcp.receive);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match wire.read(&mut buffer).await {
            Ok(0) => return Err(ProbeError::Ended),
            Ok(len) => search.handle(&buffer[..len]),
            Err(error) => return Err(ProbeError::Lost(error)),
        }
        match search.is_found() {
            Some(true) => return Ok("received what it should".to_owned()),
            Some(false) => return Err(ProbeError::Without(tcp.receive.clone())),
            None => {}
        }
    }
}

/// Sends a request, and judges the answer.
async fn ask(mut wire: Wire, address: SocketAddr, http: &HttpProbe) -> Result<String, ProbeError> {
    let method = match http.method {
        ProbeMethod::Get => AskedMethod::Other,
        ProbeMethod::Head => AskedMethod::Head,
    };
    let written = wire.write_all(request(address, http).as_bytes()).await;
    written.map_err(ProbeError::Lost)?;
    let mut answer = answer(&mut wire, method, http.body.as_deref()).await?;
    let is_hoped = is_hoped(answer.status, &http.expect);
    let body = match &mut answer.search {
        Some(search) if is_hoped => find(&mut wire, &mut answer.body, search).await,
        Some(_) | None => Ok(()),
    };
    let Answer {
        status,
        text,
        body: rest,
        ..
    } = answer;
    // The verdict does not wait for it; where too many wait already, it is ended at once.
    if let Ok(place) = ENDS.try_acquire() {
        tokio::task::spawn_local(async move {
            let _place = place;
            end(wire, rest).await;
        });
    }
    let text = judged(status, text, address, http)?;
    body.map(|()| text)
}

/// Reads the body as far as it takes to know whether it has what it must.
async fn find(wire: &mut Wire, body: &mut Body, search: &mut Search) -> Result<(), ProbeError> {
    let malformed = |error| ProbeError::Answer(ResponseRefusal::Body(error));
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let found = match search.is_found() {
            None if body.is_ended() => Some(false),
            known => known,
        };
        match found {
            Some(true) => return Ok(()),
            Some(false) => return Err(ProbeError::Without(search.wanted.clone())),
            None => {}
        }
        match wire.read(&mut buffer).await {
            Ok(0) => body.handle_end().map_err(malformed)?,
            Ok(len) => take(body, &buffer[..len], Some(&mut *search)).map_err(malformed)?,
            Err(error) => return Err(ProbeError::Lost(error)),
        }
    }
}

/// What a backend has answered.
struct Answer {
    status: u16,
    /// The status for people.
    text: String,
    /// What is still to come.
    body: Body,
    /// What has come of what must be in it.
    search: Option<Search>,
}

/// Reads the final head, and what has come of the body with it: as much as is judged of traffic
/// before it is relayed.
async fn answer(
    wire: &mut Wire,
    method: AskedMethod,
    wanted: Option<&str>,
) -> Result<Answer, ProbeError> {
    let asked = AskedFor {
        method,
        version: Version::Http11,
        upgrade: Upgrade::None,
        persistence: Persistence::Close,
    };
    let (mut bytes, mut interim_count) = (Vec::new(), 0);
    let mut buffer = vec![0; READ_BYTES];
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
                let mut body = Body::new(head.framing, BodyCoding::Unchunked);
                let mut search = wanted.map(Search::new);
                let taken = take(&mut body, &bytes[head.len..], search.as_mut());
                taken.map_err(|error| ProbeError::Answer(ResponseRefusal::Body(error)))?;
                return Ok(Answer {
                    status: head.status,
                    text: text(head.status, head.reason),
                    body,
                    search,
                });
            }
            None => match wire.read(&mut buffer).await {
                Ok(0) => return Err(ProbeError::Ended),
                Ok(len) => bytes.extend_from_slice(&buffer[..len]),
                Err(error) => return Err(ProbeError::Lost(error)),
            },
        }
    }
}

fn take(
    body: &mut Body,
    mut bytes: &[u8],
    mut search: Option<&mut Search>,
) -> Result<(), BodyError> {
    while !bytes.is_empty() && !body.is_ended() {
        let run = body.handle_bytes(bytes)?;
        if let Some(search) = &mut search {
            search.handle(&bytes[..run.pass]);
        }
        bytes = &bytes[run.pass + run.skip..];
    }
    Ok(())
}

/// Reads what is left of an answer and then the end of the connection: a backend whose answer is
/// cut logs an error, and whoever ends a connection first has its port occupied for a minute, which
/// should not be us.
async fn end(mut wire: Wire, mut body: Body) {
    let mut buffer = vec![0; READ_BYTES];
    let mut bytes = 0;
    let rest = async {
        while !body.is_ended() && bytes < REST_BYTES_MAX {
            match wire.read(&mut buffer).await {
                Ok(len @ 1..) if take(&mut body, &buffer[..len], None).is_ok() => bytes += len,
                Ok(_) | Err(_) => return,
            }
        }
    };
    let in_time = tokio::time::timeout(REST_TIMEOUT, rest).await;
    if in_time.is_ok() && body.is_ended() {
        // Nothing more is expected, whatever comes.
        let _ = tokio::time::timeout(END_TIMEOUT, wire.read(&mut buffer)).await;
    }
    wire.close();
}

/// Read at once.
const READ_BYTES: usize = 16 * 1024;
/// What is read of a probe's answer, at most.
const REST_BYTES_MAX: usize = 256 * 1024;
/// How long it is read; the verdict stands already.
const REST_TIMEOUT: Duration = Duration::from_secs(2);
