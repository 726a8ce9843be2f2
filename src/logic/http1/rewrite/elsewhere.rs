//! What a backend says that has its proxy fetch the answer: from where, and which of its own fields
//! the client gets.
//!
//! `X-Accel-Redirect` names a path, as nginx has it; `X-Reproxy-URL` names one or more URLs, as
//! Perlbal has it. Who may be asked there is the configuration's to say. Pure.

use std::net::{IpAddr, SocketAddr};

use super::edit::Edits;
use crate::logic::http1::head::Fields;
use crate::logic::http1::refusal::ResponseRefusal;

/// What a backend has said instead of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// Where the answer is, the first first; one at least.
    pub places: Vec<Place>,
    /// What is made of the head that comes from there.
    pub edits: Edits,
}

/// Where an answer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Who has it; `None`: whoever is asked.
    pub server: Option<SocketAddr>,
    /// Path and query.
    pub target: String,
}

/// Returns where a backend has the answer be fetched from, where it does.
///
/// # Errors
/// What it says is not a path, or are not URLs that can be asked for.
pub fn read(fields: &Fields<'_, '_>) -> Option<Result<Elsewhere, ResponseRefusal>> {
    let urls: Vec<&[u8]> = fields.values(REPROXY_URL).collect();
    let path = fields.values(ACCEL_REDIRECT).next();
    let places = match (urls.is_empty(), path) {
        (false, _) => places(&urls),
        (true, Some(path)) => target(path).map(|target| {
            let server = None;
            vec![Place { server, target }]
        }),
        (true, None) => return None,
    };
    let Some(places) = places else {
        return Some(Err(ResponseRefusal::Elsewhere));
    };
    let all = fields.all().iter();
    let kept = all.filter(|field| is_kept(field.name));
    let kept = kept.map(|field| (field.name, field.value));
    let edits = Edits::of_fields(&[ACCEL_REDIRECT, REPROXY_URL], kept);
    Some(Ok(Elsewhere { places, edits }))
}

fn places(lines: &[&[u8]]) -> Option<Vec<Place>> {
    let urls = lines
        .iter()
        .flat_map(|line| line.split(u8::is_ascii_whitespace));
    let urls = urls.filter(|url| !url.is_empty());
    let places: Option<Vec<Place>> = urls.map(place).collect();
    places.filter(|places| (1..=PLACES_MAX).contains(&places.len()))
}

/// RFC 9110 §4.2.1; the host is an address, since nothing is looked up for a backend.
fn place(url: &[u8]) -> Option<Place> {
    let scheme = url.get(..SCHEME.len())?;
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return None;
    }
    let rest = &url[SCHEME.len()..];
    let end = rest.iter().position(|byte| *byte == b'/')?;
    let authority = std::str::from_utf8(&rest[..end]).ok()?;
    Some(Place {
        server: Some(server(authority)?),
        target: target(&rest[end..])?,
    })
}

fn server(authority: &str) -> Option<SocketAddr> {
    if let Ok(server) = authority.parse() {
        return Some(server);
    }
    let bare = authority
        .strip_prefix('[')
        .and_then(|it| it.strip_suffix(']'));
    let address: IpAddr = bare.unwrap_or(authority).parse().ok()?;
    // An IPv6 address is in brackets (RFC 3986 §3.2.2).
    (address.is_ipv6() == bare.is_some()).then(|| SocketAddr::new(address, HTTP_PORT))
}

/// Returns a path and query that can stand in a request.
fn target(text: &[u8]) -> Option<String> {
    let is_path = text.first() == Some(&b'/');
    let fits = text.len() <= TARGET_BYTES_MAX;
    let is_sent = text
        .iter()
        .all(|byte| byte.is_ascii_graphic() && *byte != b'#');
    let text = std::str::from_utf8(text).ok()?;
    (is_path && fits && is_sent).then(|| text.to_owned())
}

/// What a backend says of an answer that is elsewhere, and the client is to hear.
fn is_kept(name: &str) -> bool {
    KEPT.iter().any(|it| name.eq_ignore_ascii_case(it))
}

const ACCEL_REDIRECT: &str = "X-Accel-Redirect";
const REPROXY_URL: &str = "X-Reproxy-URL";
const SCHEME: &[u8] = b"http://";
const HTTP_PORT: u16 = 80;
/// As nginx has them.
const KEPT: [&str; 6] = [
    "Content-Type",
    "Content-Disposition",
    "Accept-Ranges",
    "Set-Cookie",
    "Cache-Control",
    "Expires",
];
/// More are not tried.
pub const PLACES_MAX: usize = 16;
const TARGET_BYTES_MAX: usize = 8192;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;
    use crate::logic::http1::head::{HeadLimits, Persistence, Slots, Upgrade, Version};
    use crate::logic::http1::response::{AskedFor, AskedMethod, ResponseHead};

    fn said(fields: &str) -> Option<Result<Elsewhere, ResponseRefusal>> {
        let text = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n");
        let limits = HeadLimits {
            head_bytes: 65_536,
            fields: 100,
            target_bytes: 0,
        };
        let asked = AskedFor {
            method: AskedMethod::Other,
            version: Version::Http11,
            upgrade: Upgrade::None,
            persistence: Persistence::Keep,
        };
        let mut slots = Slots::new();
        let head = ResponseHead::parse(text.as_bytes(), &mut slots, &limits, asked);
        read(&head.unwrap().unwrap().fields)
    }

    fn places_of(fields: &str) -> Option<Vec<(Option<String>, String)>> {
        let places = said(fields).unwrap().ok()?.places.into_iter();
        let shown = places.map(|it| (it.server.map(|server| server.to_string()), it.target));
        Some(shown.collect())
    }

    #[test]
    fn paths_and_urls_are_read() {
        assert_eq!(said("X-Accel: /a\r\nLocation: /b"), None);
        for (fields, hoped) in [
            (
                "X-Accel-Redirect: /a/b%20c?d=e",
                vec![(None, "/a/b%20c?d=e")],
            ),
            (
                "x-reproxy-url:  http://192.0.2.1:7500/dev1/0.fid HTTP://192.0.2.2/x?y ",
                vec![
                    (Some("192.0.2.1:7500"), "/dev1/0.fid"),
                    (Some("192.0.2.2:80"), "/x?y"),
                ],
            ),
            (
                "X-Reproxy-URL: http://[2001:db8::1]/a\r\nX-Reproxy-URL: http://[2001:db8::1]:81/b",
                vec![
                    (Some("[2001:db8::1]:80"), "/a"),
                    (Some("[2001:db8::1]:81"), "/b"),
                ],
            ),
            (
                "X-Accel-Redirect: /a\r\nX-Reproxy-URL: http://192.0.2.1/b",
                vec![(Some("192.0.2.1:80"), "/b")],
            ),
        ] {
            let hoped = hoped.into_iter();
            let hoped =
                hoped.map(|(server, target)| (server.map(str::to_owned), target.to_owned()));
            assert_eq!(places_of(fields), Some(hoped.collect()), "{fields}");
        }
    }

    #[test]
    fn what_cannot_be_asked_for_is_refused() {
        let many = "http://192.0.2.1/a ".repeat(PLACES_MAX + 1);
        let long = format!("/{}", "a".repeat(TARGET_BYTES_MAX));
        for fields in [
            "X-Accel-Redirect: a",
            "X-Accel-Redirect:",
            "X-Accel-Redirect: http://192.0.2.1/a",
            "X-Accel-Redirect: /a b",
            "X-Accel-Redirect: /a#b",
            "X-Accel-Redirect: /\u{e4}",
            &format!("X-Accel-Redirect: {long}"),
            "X-Reproxy-URL:",
            "X-Reproxy-URL: /a",
            "X-Reproxy-URL: https://192.0.2.1/a",
            "X-Reproxy-URL: http://192.0.2.1",
            "X-Reproxy-URL: http://files.example.org/a",
            "X-Reproxy-URL: http://user@192.0.2.1/a",
            "X-Reproxy-URL: http://2001:db8::1/a",
            "X-Reproxy-URL: http://[192.0.2.1]/a",
            "X-Reproxy-URL: http://192.0.2.1:0x50/a",
            "X-Reproxy-URL: http://192.0.2.1/a ftp://192.0.2.1/b",
            &format!("X-Reproxy-URL: {many}"),
        ] {
            let refused = said(fields).unwrap();
            assert_eq!(refused, Err(ResponseRefusal::Elsewhere), "{fields}");
        }
    }

    #[test]
    fn the_client_hears_what_the_answer_is_from_who_was_asked() {
        let said = said(
            "X-Accel-Redirect: /a\r\nContent-Type: image/png\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\n\
             ETag: x\r\nContent-Length: 0\r\nCache-Control: no-store",
        );
        let mut head = b"HTTP/1.1 206 Partial\r\nContent-Type: text/plain\r\nETag: y\r\nX-Accel-Redirect: /z\r\nContent-Range: bytes 0-1/2\r\n\r\n".to_vec();
        said.unwrap().unwrap().edits.apply(&mut head);
        assert_eq!(
            String::from_utf8(head).unwrap(),
            "HTTP/1.1 206 Partial\r\nETag: y\r\nContent-Range: bytes 0-1/2\r\n\
             Content-Type: image/png\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nCache-Control: no-store\r\n\r\n"
        );
    }
}
