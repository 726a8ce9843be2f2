//! Requests and responses that are never relayed.
//!
//! The parser has already refused what is not HTTP/1. Here is refused what two parsers could read
//! in two ways (RFC 9112 §6.1, §6.3, RFC 9110 §7.2) and what a load balancer has no business
//! relaying. When in doubt, refuse. Pure. Read `fields` next for what is changed in the messages
//! that pass.

use hyper::header::{
    CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING, UPGRADE,
};
use hyper::{Method, StatusCode, Uri, Version};
use thiserror::Error;

use super::hyper_fields::Upgrade;

/// Why a request is not relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RequestRefusal {
    /// RFC 9112 §3.2: an HTTP/1.1 request has a Host field.
    #[error("the Host field is missing")]
    HostMissing,
    /// RFC 9112 §3.2: exactly one.
    #[error("there is more than one Host field")]
    HostRepeated,
    /// RFC 9112 §3.2: it is a host and maybe a port.
    #[error("the Host field is not a host name or address with an optional port")]
    HostInvalid,
    /// RFC 9112 §3.2.2: the target's authority rules; another Host field is a trick.
    #[error("the Host field differs from the target's authority")]
    HostMismatch,
    /// This proxy is not a tunnel for its clients.
    #[error("CONNECT is not served here")]
    Connect,
    /// RFC 9112 §6.1: any coding but one `chunked`.
    #[error("only the transfer coding `chunked` is understood")]
    TransferCoding,
    /// RFC 9112 §6.1: the sign of a smuggled request.
    #[error("both Content-Length and Transfer-Encoding are present")]
    BothFramings,
    /// RFC 9112 §6.3: a list, even of equal numbers.
    #[error("the Content-Length field is not one number")]
    ContentLength,
    /// The target is neither a path, nor a URL, nor `*` for OPTIONS.
    #[error("the target is not one an HTTP server can answer")]
    Target,
}

impl RequestRefusal {
    /// Returns the status of the answer.
    pub fn status(self) -> StatusCode {
        match self {
            RequestRefusal::Connect => StatusCode::METHOD_NOT_ALLOWED,
            RequestRefusal::TransferCoding => StatusCode::NOT_IMPLEMENTED,
            RequestRefusal::HostMissing
            | RequestRefusal::HostRepeated
            | RequestRefusal::HostInvalid
            | RequestRefusal::HostMismatch
            | RequestRefusal::BothFramings
            | RequestRefusal::ContentLength
            | RequestRefusal::Target => StatusCode::BAD_REQUEST,
        }
    }

    /// Returns one word for the answer's body and the log.
    pub fn token(self) -> &'static str {
        match self {
            RequestRefusal::HostMissing => "host_missing",
            RequestRefusal::HostRepeated => "host_repeated",
            RequestRefusal::HostInvalid => "host_invalid",
            RequestRefusal::HostMismatch => "host_mismatch",
            RequestRefusal::Connect => "connect_refused",
            RequestRefusal::TransferCoding => "transfer_coding",
            RequestRefusal::BothFramings => "both_framings",
            RequestRefusal::ContentLength => "content_length",
            RequestRefusal::Target => "target_invalid",
        }
    }
}

/// Checks a request's head.
///
/// # Errors
/// The first rule it breaks.
pub fn check_request(
    method: &Method,
    target: &Uri,
    version: Version,
    fields: &HeaderMap,
) -> Result<(), RequestRefusal> {
    if method == Method::CONNECT {
        return Err(RequestRefusal::Connect);
    }
    if target.scheme().is_none() && !target.path().starts_with('/') {
        let asterisk = target.path() == "*" && method == Method::OPTIONS;
        if !asterisk {
            return Err(RequestRefusal::Target);
        }
    }
    check_host(target, version, fields)?;
    check_framing(fields)
}

fn check_host(target: &Uri, version: Version, fields: &HeaderMap) -> Result<(), RequestRefusal> {
    let mut hosts = fields.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(RequestRefusal::HostRepeated);
    }
    let Some(host) = host else {
        let optional = version == Version::HTTP_10;
        return if optional {
            Ok(())
        } else {
            Err(RequestRefusal::HostMissing)
        };
    };
    if !is_host(host.as_bytes()) {
        return Err(RequestRefusal::HostInvalid);
    }
    match target.authority() {
        Some(authority)
            if !authority
                .as_str()
                .as_bytes()
                .eq_ignore_ascii_case(host.as_bytes()) =>
        {
            Err(RequestRefusal::HostMismatch)
        }
        Some(_) | None => Ok(()),
    }
}

fn check_framing(fields: &HeaderMap) -> Result<(), RequestRefusal> {
    let has_length = fields.contains_key(CONTENT_LENGTH);
    if fields.contains_key(TRANSFER_ENCODING) {
        if !is_chunked_alone(fields) {
            return Err(RequestRefusal::TransferCoding);
        }
        if has_length {
            return Err(RequestRefusal::BothFramings);
        }
    }
    if has_length && single_length(fields).is_none() {
        return Err(RequestRefusal::ContentLength);
    }
    Ok(())
}

/// Returns whether `text` is a registered name, an IPv4 or a bracketed IPv6 address, maybe with a
/// port.
///
/// Stricter than RFC 3986 §3.2.2: no sub-delimiters, which no real host has and some backends read
/// as paths.
pub fn is_host(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else {
        return false;
    };
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let Some((address, port)) = rest.split_once(']') else {
                return false;
            };
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            match port.strip_prefix(':') {
                Some(port) => (true, port),
                None => (port.is_empty(), ""),
            }
        }
        None => {
            let (name, port) = text.split_once(':').unwrap_or((text, ""));
            let allowed = |byte: u8| {
                byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
            };
            (!name.is_empty() && name.bytes().all(allowed), port)
        }
    };
    let port_fits = port.is_empty()
        || (port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok());
    host && port_fits
}

/// Why a response is not relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ResponseRefusal {
    /// 101 without a request for it, or to another protocol.
    #[error("it switched protocols without being asked")]
    UnsolicitedUpgrade,
    /// RFC 9112 §6.3: the sign of a split response.
    #[error("it carried both Content-Length and Transfer-Encoding")]
    BothFramings,
    /// Any coding but one `chunked`.
    #[error("its transfer coding is not `chunked`")]
    TransferCoding,
    /// Several lengths that differ, or no number.
    #[error("its Content-Length is not one number")]
    ContentLength,
}

/// Checks a response's head against what the request asked for.
///
/// # Errors
/// The first rule it breaks.
pub fn check_response(
    status: StatusCode,
    fields: &HeaderMap,
    asked: Upgrade,
) -> Result<(), ResponseRefusal> {
    if status == StatusCode::SWITCHING_PROTOCOLS {
        let websocket = fields
            .get(UPGRADE)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
        let solicited = asked == Upgrade::WebSocket && websocket;
        return if solicited {
            Ok(())
        } else {
            Err(ResponseRefusal::UnsolicitedUpgrade)
        };
    }
    let has_length = fields.contains_key(CONTENT_LENGTH);
    if fields.contains_key(TRANSFER_ENCODING) {
        if has_length {
            return Err(ResponseRefusal::BothFramings);
        }
        if !is_chunked_alone(fields) {
            return Err(ResponseRefusal::TransferCoding);
        }
    }
    if has_length && single_length(fields).is_none() {
        return Err(ResponseRefusal::ContentLength);
    }
    Ok(())
}

/// Returns the one number of all Content-Length lines; lists of equal numbers are one (RFC 9110
/// §8.6).
pub fn single_length(fields: &HeaderMap) -> Option<u64> {
    let mut length = None;
    for part in list(fields, &CONTENT_LENGTH) {
        if part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let number: u64 = part.parse().ok()?;
        if length.is_some_and(|before| before != number) {
            return None;
        }
        length = Some(number);
    }
    length
}

fn is_chunked_alone(fields: &HeaderMap) -> bool {
    let mut codings = list(fields, &TRANSFER_ENCODING);
    codings
        .next()
        .is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"))
        && codings.next().is_none()
}

/// Returns the elements of a comma-separated field over all its lines; an unreadable line is one
/// empty element.
pub fn list<'a>(fields: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let text = |value: &'a HeaderValue| value.to_str().unwrap_or("");
    fields
        .get_all(name)
        .iter()
        .flat_map(move |value| text(value).split(',').map(str::trim))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            let value = HeaderValue::from_str(value).expect("a value");
            map.append(HeaderName::from_static(name), value);
        }
        map
    }

    #[test]
    fn hosts_follow_the_table() {
        for (host, good) in [
            ("example.org", true),
            ("example.org:8080", true),
            ("example.org:", true),
            ("192.0.2.1:80", true),
            ("[2001:db8::1]:443", true),
            ("[2001:db8::1]", true),
            ("a_b.example", true),
            ("", false),
            (":80", false),
            ("a b", false),
            ("a,b", false),
            ("user@host", false),
            ("host/path", false),
            ("host?x", false),
            ("host#x", false),
            ("host:99999", false),
            ("host:80:80", false),
            ("host:+80", false),
            ("[::1", false),
            ("[::1]x", false),
            ("[zz]", false),
        ] {
            assert_eq!(is_host(host.as_bytes()), good, "{host:?}");
        }
    }

    #[test]
    fn requests_follow_the_table() {
        use RequestRefusal as R;
        let host = ("host", "a");
        for (method, target, lines, hoped) in [
            ("GET", "/", vec![host], Ok(())),
            ("GET", "/", vec![], Err(R::HostMissing)),
            ("GET", "/", vec![host, host], Err(R::HostRepeated)),
            ("GET", "/", vec![("host", "a/b")], Err(R::HostInvalid)),
            ("GET", "http://a/x", vec![host], Ok(())),
            ("GET", "http://b/x", vec![host], Err(R::HostMismatch)),
            ("OPTIONS", "*", vec![host], Ok(())),
            ("GET", "*", vec![host], Err(R::Target)),
            ("CONNECT", "a:443", vec![host], Err(R::Connect)),
            (
                "POST",
                "/",
                vec![host, ("transfer-encoding", "Chunked")],
                Ok(()),
            ),
            (
                "POST",
                "/",
                vec![host, ("transfer-encoding", "gzip, chunked")],
                Err(R::TransferCoding),
            ),
            (
                "POST",
                "/",
                vec![host, ("transfer-encoding", "chunked, chunked")],
                Err(R::TransferCoding),
            ),
            (
                "POST",
                "/",
                vec![host, ("transfer-encoding", "identity")],
                Err(R::TransferCoding),
            ),
            (
                "POST",
                "/",
                vec![
                    host,
                    ("transfer-encoding", "chunked"),
                    ("content-length", "3"),
                ],
                Err(R::BothFramings),
            ),
            ("POST", "/", vec![host, ("content-length", "5")], Ok(())),
            (
                "POST",
                "/",
                vec![host, ("content-length", "+5")],
                Err(R::ContentLength),
            ),
            (
                "POST",
                "/",
                vec![host, ("content-length", "5, 6")],
                Err(R::ContentLength),
            ),
        ] {
            let method = Method::from_bytes(method.as_bytes()).expect("a method");
            let uri: Uri = target.parse().expect("a target");
            let got = check_request(&method, &uri, Version::HTTP_11, &fields(&lines));
            assert_eq!(got, hoped, "{method} {target} {lines:?}");
        }
    }

    #[test]
    fn http_1_0_needs_no_host() {
        let uri = Uri::from_static("/");
        assert_eq!(
            check_request(&Method::GET, &uri, Version::HTTP_10, &fields(&[])),
            Ok(())
        );
    }

    #[test]
    fn responses_follow_the_table() {
        use ResponseRefusal as R;
        let websocket = ("upgrade", "websocket");
        for (status, lines, asked, hoped) in [
            (200, vec![], Upgrade::None, Ok(())),
            (200, vec![("content-length", "5, 5")], Upgrade::None, Ok(())),
            (
                200,
                vec![("content-length", "5, 6")],
                Upgrade::None,
                Err(R::ContentLength),
            ),
            (
                200,
                vec![("transfer-encoding", "chunked")],
                Upgrade::None,
                Ok(()),
            ),
            (
                200,
                vec![("transfer-encoding", "gzip, chunked")],
                Upgrade::None,
                Err(R::TransferCoding),
            ),
            (
                200,
                vec![("transfer-encoding", "chunked"), ("content-length", "5")],
                Upgrade::None,
                Err(R::BothFramings),
            ),
            (101, vec![websocket], Upgrade::WebSocket, Ok(())),
            (
                101,
                vec![websocket],
                Upgrade::None,
                Err(R::UnsolicitedUpgrade),
            ),
            (
                101,
                vec![("upgrade", "h2c")],
                Upgrade::WebSocket,
                Err(R::UnsolicitedUpgrade),
            ),
            (101, vec![], Upgrade::WebSocket, Err(R::UnsolicitedUpgrade)),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(
                check_response(status, &fields(&lines), asked),
                hoped,
                "{status} {lines:?}"
            );
        }
    }
}
