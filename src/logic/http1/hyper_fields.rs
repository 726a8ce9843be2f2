//! What is changed in a message's fields on its way through the proxy.
//!
//! Fields of one connection do not travel over the next (RFC 9110 §7.6.1), a client's claims about
//! itself are extended or replaced by what we saw, and names that CGI-like backends confuse are
//! dropped. Pure; `refusal` has already refused what must not pass.

use std::fmt::Write as _;
use std::net::IpAddr;

use hyper::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, Entry, HOST, HeaderMap, HeaderName, HeaderValue,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use hyper::{Method, StatusCode, Version};

use super::hyper_refusal::{list, single_length};

/// Another protocol that a request asks for and that is relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upgrade {
    /// None, or one that is not relayed, such as `h2c`; the request goes on without it.
    None,
    /// RFC 6455.
    WebSocket,
}

/// What the proxy knows of the way a request came.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// The client's address.
    pub client: IpAddr,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// The Host for requests of HTTP/1.0 that have none: the address the client connected to.
    pub fallback_host: &'a str,
}

/// Returns the upgrade a request asks for, if it is one that is relayed: WebSocket, by GET, alone.
pub fn upgrade_of(method: &Method, version: Version, fields: &HeaderMap) -> Upgrade {
    let connection_says =
        || list(fields, &CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade"));
    let mut protocols = list(fields, &UPGRADE);
    let websocket_alone = protocols
        .next()
        .is_some_and(|p| p.eq_ignore_ascii_case("websocket"))
        && protocols.next().is_none();
    let bodyless =
        !fields.contains_key(TRANSFER_ENCODING) && single_length(fields).unwrap_or(0) == 0;
    if websocket_alone
        && method == Method::GET
        && version == Version::HTTP_11
        && bodyless
        && connection_says()
    {
        Upgrade::WebSocket
    } else {
        Upgrade::None
    }
}

/// Makes a request's fields fit for a backend.
///
/// Hop-by-hop fields go, those named by Connection among them (but never those that frame or route
/// the message or say where it came from). `Proxy` and names with an underscore go, because CGI
/// reads them as something else. Expect is ours: the proxy itself answers `100 Continue`. The rule
/// for forwarding fields: X-Forwarded-For keeps what the client sent and gets the client's address
/// appended at its right end; X-Forwarded-Proto and X-Forwarded-Host are replaced by what we saw.
pub fn prepare_request(fields: &mut HeaderMap, arrival: Arrival<'_>, upgrade: Upgrade) {
    let chunked = fields.contains_key(TRANSFER_ENCODING);
    let trailers = list(fields, &TE).any(|token| token.eq_ignore_ascii_case("trailers"));
    remove_hop_by_hop(fields);
    remove_misread_names(fields);
    fields.remove(PROXY_AUTHORIZATION);
    if fields
        .get(EXPECT)
        .is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"100-continue"))
    {
        fields.remove(EXPECT);
    }
    if chunked {
        fields.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    if trailers {
        fields.insert(TE, HeaderValue::from_static("trailers"));
        fields.insert(CONNECTION, HeaderValue::from_static("te"));
    }
    if upgrade == Upgrade::WebSocket {
        fields.insert(UPGRADE, HeaderValue::from_static("websocket"));
        fields.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
    if !fields.contains_key(HOST)
        && let Ok(host) = HeaderValue::from_str(arrival.fallback_host)
    {
        fields.insert(HOST, host);
    }
    set_forwarded(fields, arrival);
}

fn set_forwarded(fields: &mut HeaderMap, arrival: Arrival<'_>) {
    let mut way = String::with_capacity(48);
    for before in fields.get_all(X_FORWARDED_FOR) {
        if let Ok(text) = before.to_str()
            && !text.is_empty()
        {
            way.push_str(text);
            way.push_str(", ");
        }
    }
    let client = match arrival.client {
        IpAddr::V6(address) => address
            .to_ipv4_mapped()
            .map_or(IpAddr::V6(address), IpAddr::V4),
        IpAddr::V4(address) => IpAddr::V4(address),
    };
    // Writing to a String cannot fail.
    let _ = write!(way, "{client}");
    if let Ok(way) = HeaderValue::from_str(&way) {
        fields.insert(X_FORWARDED_FOR, way);
    }
    fields.insert(X_FORWARDED_PROTO, HeaderValue::from_static(arrival.scheme));
    if let Some(host) = fields.get(HOST).cloned() {
        fields.insert(X_FORWARDED_HOST, host);
    }
}

/// Makes a response's fields fit for the client.
///
/// Hop-by-hop fields go, so that a backend's `Connection: close` closes only its own connection;
/// the transfer coding is chosen anew for the client; lengths written twice are written once. A 101
/// keeps its upgrade.
pub fn prepare_response(status: StatusCode, fields: &mut HeaderMap) {
    let length = single_length(fields);
    remove_hop_by_hop(fields);
    fields.remove(PROXY_AUTHENTICATE);
    if status == StatusCode::SWITCHING_PROTOCOLS {
        fields.insert(UPGRADE, HeaderValue::from_static("websocket"));
        fields.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        fields.remove(CONTENT_LENGTH);
        return;
    }
    if status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED {
        fields.remove(CONTENT_LENGTH);
    } else if let Some(length) = length {
        fields.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
}

fn remove_hop_by_hop(fields: &mut HeaderMap) {
    if let Entry::Occupied(connection) = fields.entry(CONNECTION) {
        let named: Vec<HeaderName> = connection
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|token| HeaderName::from_bytes(token.trim().as_bytes()).ok())
            .filter(|name| !is_protected(name))
            .collect();
        connection.remove_entry_mult();
        for name in named {
            fields.remove(name);
        }
    }
    for name in HOP_BY_HOP {
        fields.remove(name);
    }
}

fn is_protected(name: &HeaderName) -> bool {
    [HOST, CONTENT_LENGTH, TRANSFER_ENCODING, TRAILER].contains(name)
        || name.as_str().starts_with("x-forwarded-")
}

fn remove_misread_names(fields: &mut HeaderMap) {
    fields.remove(PROXY);
    if fields.keys().any(|name| name.as_str().contains('_')) {
        let misread: Vec<HeaderName> = fields
            .keys()
            .filter(|name| name.as_str().contains('_'))
            .cloned()
            .collect();
        for name in misread {
            fields.remove(name);
        }
    }
}

const HOP_BY_HOP: [HeaderName; 5] = [
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];
const PROXY: HeaderName = HeaderName::from_static("proxy");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    const ARRIVAL: Arrival<'static> = Arrival {
        client: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9)),
        scheme: "http",
        fallback_host: "192.0.2.100:80",
    };

    fn map(lines: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(
                HeaderName::from_bytes(name.as_bytes()).expect("a name"),
                HeaderValue::from_str(value).expect("a value"),
            );
        }
        map
    }

    fn prepared(lines: &[(&str, &str)], name: &str) -> Option<String> {
        let mut fields = map(lines);
        prepare_request(&mut fields, ARRIVAL, Upgrade::None);
        let values: Vec<_> = fields
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .collect();
        (!values.is_empty()).then(|| values.join("|"))
    }

    #[test]
    fn request_fields_follow_the_table() {
        let host = ("Host", "a");
        for (lines, name, hoped) in [
            (vec![host, ("Connection", "close")], "connection", None),
            (
                vec![host, ("Connection", "x-a, X-B"), ("X-A", "1")],
                "x-a",
                None,
            ),
            (
                vec![
                    host,
                    ("Connection", "x-a"),
                    ("Connection", "x-b"),
                    ("X-B", "1"),
                ],
                "x-b",
                None,
            ),
            (
                vec![host, ("Connection", "host, content-length")],
                "host",
                Some("a"),
            ),
            (
                vec![
                    host,
                    ("Connection", "content-length"),
                    ("Content-Length", "3"),
                ],
                "content-length",
                Some("3"),
            ),
            (
                vec![
                    host,
                    ("Connection", "x-forwarded-for"),
                    ("X-Forwarded-For", "10.0.0.1"),
                ],
                "x-forwarded-for",
                Some("10.0.0.1, 192.0.2.9"),
            ),
            (vec![host, ("Keep-Alive", "timeout=5")], "keep-alive", None),
            (
                vec![host, ("Proxy-Connection", "keep-alive")],
                "proxy-connection",
                None,
            ),
            (
                vec![host, ("Proxy-Authorization", "Basic eA==")],
                "proxy-authorization",
                None,
            ),
        ] {
            assert_eq!(prepared(&lines, name).as_deref(), hoped, "{lines:?} {name}");
        }
    }

    #[test]
    fn request_fields_that_mislead_follow_the_table() {
        let host = ("Host", "a");
        for (lines, name, hoped) in [
            (vec![host, ("Proxy", "http://evil")], "proxy", None),
            (
                vec![host, ("X_Forwarded_For", "1.1.1.1")],
                "x_forwarded_for",
                None,
            ),
            (vec![host, ("TE", "gzip")], "te", None),
            (vec![host, ("TE", "gzip, trailers")], "te", Some("trailers")),
            (vec![host, ("TE", "trailers")], "connection", Some("te")),
            (vec![host, ("Expect", "100-Continue")], "expect", None),
            (
                vec![
                    host,
                    ("Upgrade", "h2c"),
                    ("Connection", "Upgrade, HTTP2-Settings"),
                ],
                "upgrade",
                None,
            ),
            (
                vec![
                    host,
                    ("HTTP2-Settings", "AA"),
                    ("Connection", "HTTP2-Settings"),
                ],
                "http2-settings",
                None,
            ),
            (
                vec![host, ("Transfer-Encoding", "chunked")],
                "transfer-encoding",
                Some("chunked"),
            ),
            (vec![host], "x-forwarded-for", Some("192.0.2.9")),
            (
                vec![
                    host,
                    ("X-Forwarded-For", "1.1.1.1"),
                    ("X-Forwarded-For", "2.2.2.2"),
                ],
                "x-forwarded-for",
                Some("1.1.1.1, 2.2.2.2, 192.0.2.9"),
            ),
            (
                vec![host, ("X-Forwarded-Proto", "https")],
                "x-forwarded-proto",
                Some("http"),
            ),
            (
                vec![host, ("X-Forwarded-Host", "evil")],
                "x-forwarded-host",
                Some("a"),
            ),
            (vec![], "host", Some("192.0.2.100:80")),
            (
                vec![host, ("Cookie", "a=1"), ("Cookie", "b=2")],
                "cookie",
                Some("a=1|b=2"),
            ),
        ] {
            assert_eq!(prepared(&lines, name).as_deref(), hoped, "{lines:?} {name}");
        }
    }

    #[test]
    fn websocket_is_the_only_upgrade() {
        let ask = |method: Method, version, lines: &[(&str, &str)]| {
            upgrade_of(&method, version, &map(lines))
        };
        let good = [
            ("Connection", "keep-alive, Upgrade"),
            ("Upgrade", "WebSocket"),
        ];
        assert_eq!(
            ask(Method::GET, Version::HTTP_11, &good),
            Upgrade::WebSocket
        );
        assert_eq!(ask(Method::POST, Version::HTTP_11, &good), Upgrade::None);
        assert_eq!(ask(Method::GET, Version::HTTP_10, &good), Upgrade::None);
        assert_eq!(
            ask(Method::GET, Version::HTTP_11, &good[1..]),
            Upgrade::None
        );
        let two = [("Connection", "upgrade"), ("Upgrade", "websocket, h2c")];
        assert_eq!(ask(Method::GET, Version::HTTP_11, &two), Upgrade::None);
    }

    #[test]
    fn response_fields_follow_the_table() {
        for (status, lines, name, hoped) in [
            (200, vec![("Connection", "close")], "connection", None),
            (200, vec![("Connection", "x-a"), ("X-A", "1")], "x-a", None),
            (200, vec![("Keep-Alive", "timeout=5")], "keep-alive", None),
            (
                200,
                vec![("Transfer-Encoding", "chunked")],
                "transfer-encoding",
                None,
            ),
            (
                200,
                vec![("Content-Length", "5, 5")],
                "content-length",
                Some("5"),
            ),
            (204, vec![("Content-Length", "5")], "content-length", None),
            (200, vec![("Upgrade", "h2")], "upgrade", None),
            (200, vec![("Set-Cookie", "a=1")], "set-cookie", Some("a=1")),
            (
                101,
                vec![("Connection", "Upgrade"), ("Upgrade", "WebSocket")],
                "upgrade",
                Some("websocket"),
            ),
        ] {
            let mut fields = map(&lines);
            prepare_response(StatusCode::from_u16(status).expect("a status"), &mut fields);
            let got = fields.get(name).and_then(|value| value.to_str().ok());
            assert_eq!(got, hoped, "{status} {lines:?} {name}");
        }
    }

    proptest! {
        #[test]
        fn no_connection_field_removes_what_frames_or_routes(
            tokens in proptest::collection::vec("[a-zA-Z-]{1,16}|host|content-length|X-Forwarded-For", 0..6),
            length in 0..1000u64,
        ) {
            let length = length.to_string();
            let connection = tokens.join(", ");
            let lines = [
                ("Host", "a"),
                ("Connection", connection.as_str()),
                ("Content-Length", length.as_str()),
                ("X-Forwarded-For", "203.0.113.5"),
            ];
            prop_assert_eq!(prepared(&lines, "host"), Some("a".to_owned()));
            prop_assert_eq!(prepared(&lines, "content-length"), Some(length.clone()));
            prop_assert_eq!(
                prepared(&lines, "x-forwarded-for"),
                Some("203.0.113.5, 192.0.2.9".to_owned())
            );
            for token in tokens.iter().filter(|t| t.starts_with(|c: char| c.is_ascii_alphabetic())) {
                let Ok(name) = HeaderName::from_bytes(token.as_bytes()) else { continue };
                if !is_protected(&name) && !name.as_str().starts_with("x-forwarded") {
                    prop_assert_eq!(prepared(&lines, name.as_str()), None);
                }
            }
        }

        #[test]
        fn names_with_underscores_never_pass(name in "[a-z]{1,5}_[a-z_]{0,5}") {
            prop_assert_eq!(prepared(&[("Host", "a"), (&name, "1")], &name), None);
        }
    }
}
