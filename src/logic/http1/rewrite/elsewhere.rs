//! What a backend says that has its proxy fetch the answer: from where, and which of its own fields
//! the client gets.
//!
//! `X-Accel-Redirect` names a path, as nginx has it; `X-Reproxy-URL` names one or more URLs, as
//! Perlbal has it. Who may be asked there is the configuration's to say. Pure.

use std::net::{IpAddr, SocketAddr};

use super::edit::Edits;
use crate::logic::http1::head::Fields;
use crate::logic::http1::refusal::ResponseRefusal;
use crate::logic::http1::response::ResponseHead;

/// What a backend has said instead of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// Where the answer is, the first first; one at least, and none twice.
    pub places: Vec<Place>,
    /// What is made of the head that comes from there.
    pub inherited: Inherited,
}

/// What is made of a head that comes from elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inherited {
    /// Of an answer that is what was asked for;
    of_success: Edits,
    /// in several parts, whose type says where each ends (RFC 9110 §14.6).
    of_parts: Edits,
    /// Of any other: how long the one may be kept, and what it is, means nothing there.
    of_failure: Edits,
    /// Of one that says that another follows.
    of_interim: Edits,
    fields: usize,
    bytes: usize,
}

impl Inherited {
    /// Returns how many fields it brings, and how long they are.
    pub const fn size(&self) -> (usize, usize) {
        (self.fields, self.bytes)
    }

    /// Returns what is made of a head.
    pub fn edits(&self, head: &ResponseHead<'_, '_>) -> &Edits {
        let mut kinds = head.fields.values("Content-Type");
        let is_parts = kinds.next().is_some_and(|kind| {
            let begins = kind.get(..PARTS.len());
            begins.is_some_and(|begins| begins.eq_ignore_ascii_case(PARTS))
        });
        match head.status {
            100..=199 => &self.of_interim,
            200..=299 if is_parts => &self.of_parts,
            200..=299 | 304 => &self.of_success,
            _ => &self.of_failure,
        }
    }

    fn of(fields: &Fields<'_, '_>) -> Self {
        let all = fields.all().iter();
        let kept = all.filter(|field| is_among(&KEPT, field.name));
        let kept: Vec<(&str, &[u8])> = kept.map(|field| (field.name, field.value)).collect();
        let but = |left_out: &[&str]| {
            let some = kept.iter().filter(|(name, _)| !is_among(left_out, name));
            Edits::of_fields(&[ACCEL_REDIRECT, REPROXY_URL], some.copied())
        };
        let sizes = kept
            .iter()
            .map(|(name, value)| name.len() + value.len() + 4);
        Self {
            fields: kept.len(),
            bytes: sizes.sum(),
            of_success: but(&[]),
            of_parts: but(&["Content-Type"]),
            of_failure: but(&KEPT_OF_SUCCESS),
            of_interim: but(&KEPT),
        }
    }
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
    let inherited = Inherited::of(fields);
    Some(Ok(Elsewhere { places, inherited }))
}

fn places(lines: &[&[u8]]) -> Option<Vec<Place>> {
    let urls = lines
        .iter()
        .flat_map(|line| line.split(u8::is_ascii_whitespace));
    let urls = urls.filter(|url| !url.is_empty());
    let mut places = Vec::new();
    for url in urls {
        let place = place(url)?;
        if !places.contains(&place) {
            places.push(place);
        }
    }
    Some(places).filter(|places| (1..=PLACES_MAX).contains(&places.len()))
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

fn is_among(names: &[&str], name: &str) -> bool {
    names.iter().any(|it| name.eq_ignore_ascii_case(it))
}

const ACCEL_REDIRECT: &str = "X-Accel-Redirect";
const REPROXY_URL: &str = "X-Reproxy-URL";
const SCHEME: &[u8] = b"http://";
const HTTP_PORT: u16 = 80;
const PARTS: &[u8] = b"multipart/byteranges";
/// What a backend says of an answer that is elsewhere, and the client is to hear, as in nginx.
const KEPT: [&str; 6] = [
    "Content-Type",
    "Content-Disposition",
    "Accept-Ranges",
    "Set-Cookie",
    "Cache-Control",
    "Expires",
];
/// Those of them that are not said of a failure.
const KEPT_OF_SUCCESS: [&str; 5] = [
    "Content-Type",
    "Content-Disposition",
    "Accept-Ranges",
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
    use crate::logic::http1::response::{AskedFor, AskedMethod};

    const LIMITS: HeadLimits = HeadLimits {
        head_bytes: 65_536,
        fields: 100,
        target_bytes: 0,
    };
    const ASKED: AskedFor = AskedFor {
        method: AskedMethod::Other,
        version: Version::Http11,
        upgrade: Upgrade::None,
        persistence: Persistence::Keep,
    };

    fn said(fields: &str) -> Option<Result<Elsewhere, ResponseRefusal>> {
        let text = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n");
        let mut slots = Slots::new();
        let head = ResponseHead::parse(text.as_bytes(), &mut slots, &LIMITS, ASKED);
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
                "X-Accel-Redirect: /a\r\nX-Reproxy-URL: http://192.0.2.1/b http://192.0.2.1:80/b",
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
        let many: String = (0..=PLACES_MAX)
            .map(|it| format!("http://192.0.2.1/{it} "))
            .collect();
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
        let inherited = said.unwrap().unwrap().inherited;
        assert_eq!(inherited.size(), (4, 25 + 17 + 17 + 25));
        let cookies = "Set-Cookie: a=1\r\nset-cookie: b=2\r\n";
        let type_of = "Content-Type: image/png\r\n";
        let cached = "Cache-Control: no-store\r\n";
        for (line, own, hoped) in [
            (
                "200 OK",
                "Content-Type: text/plain\r\n",
                format!("{type_of}{cookies}{cached}"),
            ),
            ("304 X", "", format!("{type_of}{cookies}{cached}")),
            (
                "206 X",
                "Content-Type: Multipart/Byteranges; boundary=B\r\n",
                format!("Content-Type: Multipart/Byteranges; boundary=B\r\n{cookies}{cached}"),
            ),
            (
                "404 X",
                "Cache-Control: max-age=1\r\n",
                format!("Cache-Control: max-age=1\r\n{cookies}"),
            ),
            ("103 X", "Link: </a>\r\n", "Link: </a>\r\n".to_owned()),
        ] {
            let text = format!("HTTP/1.1 {line}\r\n{own}X-Accel-Redirect: /z\r\n\r\n");
            let mut slots = Slots::new();
            let head = ResponseHead::parse(text.as_bytes(), &mut slots, &LIMITS, ASKED);
            let mut edited = text.clone().into_bytes();
            inherited.edits(&head.unwrap().unwrap()).apply(&mut edited);
            assert_eq!(
                String::from_utf8(edited).unwrap(),
                format!("HTTP/1.1 {line}\r\n{hoped}\r\n")
            );
        }
    }
}
