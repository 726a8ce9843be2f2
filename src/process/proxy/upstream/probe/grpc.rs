//! A probe of a gRPC backend: a call of `grpc.health.v1.Health/Check` over HTTP/2, as gRPC's health
//! checking protocol has it.

use std::net::SocketAddr;

use bytes::{BufMut, Bytes, BytesMut};
use h2::client::{ResponseFuture, SendRequest};
use http::header::{CONTENT_TYPE, TE, USER_AGENT};
use http::{HeaderMap, Method, Request, StatusCode};

use super::failure::{HostHint, ProbeError, text};
use super::http2::converse;
use super::wire::Wire;
use crate::config::GrpcProbe;

/// Calls it, and judges the answer.
pub(super) async fn ask(
    wire: Wire,
    address: SocketAddr,
    probe: &GrpcProbe,
) -> Result<String, ProbeError> {
    let scheme = if wire.is_secure() { "https" } else { "http" };
    let authority = match &probe.host {
        Some(host) => host.clone(),
        None => address.to_string(),
    };
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!(
            "{scheme}://{authority}/grpc.health.v1.Health/Check"
        ))
        .header(CONTENT_TYPE, "application/grpc")
        .header(TE, "trailers")
        .header(USER_AGENT, "evenkeel-health-check")
        .body(())
        .map_err(|error| ProbeError::Lost(std::io::Error::other(error)))?;
    let question = question(&probe.service);
    converse(wire, |send| call(send, request, question)).await
}

async fn call(
    send: SendRequest<Bytes>,
    request: Request<()>,
    question: Bytes,
) -> Result<String, ProbeError> {
    let mut send = send.ready().await?;
    let (response, mut body) = send.send_request(request, false)?;
    body.send_data(question, true)?;
    answer(response).await
}

async fn answer(response: ResponseFuture) -> Result<String, ProbeError> {
    let (head, mut body) = response.await?.into_parts();
    if head.status != StatusCode::OK {
        let reason = head.status.canonical_reason().unwrap_or_default();
        let text = text(head.status.as_u16(), reason);
        return Err(ProbeError::Status(text, HostHint(None)));
    }
    let mut message = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        if message.len() + data.len() > MESSAGE_BYTES_MAX {
            return Err(ProbeError::Grpc("an answer that is too long".to_owned()));
        }
        message.extend_from_slice(&data);
    }
    // Where there is no message, the head is the trailers too.
    let trailers = match body.trailers().await? {
        Some(trailers) => trailers,
        None => head.headers,
    };
    match code(&trailers) {
        Some(0) => {}
        Some(code) => return Err(ProbeError::Grpc(named(code))),
        None => return Err(ProbeError::Grpc("an answer without grpc-status".to_owned())),
    }
    match health(&message) {
        Some(SERVING) => Ok("SERVING".to_owned()),
        Some(2) => Err(ProbeError::Grpc("NOT_SERVING".to_owned())),
        Some(3) => Err(ProbeError::Grpc("SERVICE_UNKNOWN".to_owned())),
        Some(_) => Err(ProbeError::Grpc("UNKNOWN".to_owned())),
        None => Err(ProbeError::Grpc("no HealthCheckResponse".to_owned())),
    }
}

fn code(trailers: &HeaderMap) -> Option<u32> {
    trailers.get("grpc-status")?.to_str().ok()?.parse().ok()
}

/// Returns a status as gRPC names it.
fn named(code: u32) -> String {
    let name = usize::try_from(code).ok().and_then(|at| CODES.get(at));
    match name {
        Some(name) => format!("grpc-status {code} {name}"),
        None => format!("grpc-status {code}"),
    }
}

/// Returns a HealthCheckRequest as one message of gRPC: not compressed, its length, and the service
/// as field 1.
fn question(service: &str) -> Bytes {
    let mut request = BytesMut::new();
    if !service.is_empty() {
        request.put_u8(1 << 3 | LENGTH);
        let mut len = service.len();
        while len > 0x7f {
            request.put_u8((len & 0x7f) as u8 | 0x80);
            len >>= 7;
        }
        request.put_u8(len as u8);
        request.put_slice(service.as_bytes());
    }
    let mut message = BytesMut::new();
    message.put_u8(0);
    message.put_u32(request.len() as u32);
    message.put(request);
    message.freeze()
}

/// Returns the status of a HealthCheckResponse, its field 1; `None` where it is none.
fn health(message: &[u8]) -> Option<u64> {
    let (prefix, mut rest) = message.split_first_chunk::<5>()?;
    let [compressed, len @ ..] = *prefix;
    if compressed != 0 || usize::try_from(u32::from_be_bytes(len)).ok()? != rest.len() {
        return None;
    }
    let mut status = 0;
    while !rest.is_empty() {
        let tag = varint(&mut rest)?;
        let skipped = match (tag & 7) as u8 {
            VARINT => {
                let value = varint(&mut rest)?;
                if tag >> 3 == 1 {
                    status = value;
                }
                0
            }
            LENGTH => usize::try_from(varint(&mut rest)?).ok()?,
            FIXED_64 => 8,
            FIXED_32 => 4,
            _ => return None,
        };
        rest = rest.get(skipped..)?;
    }
    Some(status)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Kinds of fields on the wire.
const VARINT: u8 = 0;
const FIXED_64: u8 = 1;
const LENGTH: u8 = 2;
const FIXED_32: u8 = 5;
/// What a service that is ready says.
const SERVING: u64 = 1;
/// By their numbers.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];
/// A status has a few bytes.
const MESSAGE_BYTES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_messages() {
        assert_eq!(question("")[..], [0; 5]);
        assert_eq!(question("a.B")[..], *b"\0\0\0\0\x05\x0a\x03a.B");
        let long = question(&"x".repeat(200));
        assert_eq!(long[..8], *b"\0\0\0\0\xcb\x0a\xc8\x01");
        assert_eq!(long.len(), 8 + 200);
    }

    #[test]
    fn answers_are_found_whatever_else_is_in_them() {
        for (message, hoped) in [
            (&b"\0\0\0\0\x02\x08\x01"[..], Some(1)),
            (b"\0\0\0\0\x02\x08\x02", Some(2)),
            (b"\0\0\0\0\x00", Some(0)),
            (b"\0\0\0\0\x06\x12\x02hi\x08\x01", Some(1)),
            (b"\0\0\0\0\x07\x1d\x01\x02\x03\x04\x08\x01", Some(1)),
            (
                b"\0\0\0\0\x0b\x19\x01\x02\x03\x04\x05\x06\x07\x08\x08\x01",
                Some(1),
            ),
            (b"\x01\0\0\0\x02\x08\x01", None),
            (b"\0\0\0\0\x03\x08\x01", None),
            (b"\0\0\0\0\x01\x08\x01", None),
            (b"\0\0\0\0\x02\x08\x81", None),
            (b"\0\0\0\0\x02\x12\x7f", None),
            (b"\0\0\0\0\x01\x0b", None),
            (b"\0\0\0", None),
            (b"", None),
            (
                b"\0\0\0\0\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
                None,
            ),
        ] {
            assert_eq!(health(message), hoped, "{message:?}");
        }
    }

    #[test]
    fn statuses_have_their_names() {
        assert_eq!(named(12), "grpc-status 12 UNIMPLEMENTED");
        assert_eq!(named(17), "grpc-status 17");
    }
}
