//! A request as it goes on, whatever it came by: whom it asks for what, and the fields that travel.
//!
//! It is one text, which a backend of HTTP/1.1 is sent as it is; the parts are found in it again
//! where somebody wants them. What is said otherwise to a backend is said in another text, when the
//! backend is known.

use std::net::SocketAddr;

use super::cookie;

/// A request's head that has been judged and may be relayed.
///
/// ```
/// use evenkeel::logic::http1::request::message::Message;
///
/// let message = Message::new(b"GET /a?b HTTP/1.1\r\nHost: example.org\r\nTE: trailers\r\n\r\n".to_vec());
/// assert_eq!((message.method(), message.target()), (&b"GET"[..], &b"/a?b"[..]));
/// assert_eq!(message.authority(), b"example.org");
/// assert_eq!(message.fields().count(), 2);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    text: Vec<u8>,
}

impl Message {
    /// Takes what [`RequestHead::write`](super::RequestHead::write) has written.
    pub fn new(text: Vec<u8>) -> Self {
        Self { text }
    }

    /// Returns the method (RFC 9110 §9.1).
    pub fn method(&self) -> &[u8] {
        self.word(0)
    }

    /// Returns the path and query, or `*` (RFC 9112 §3.2.1, §3.2.4).
    pub fn target(&self) -> &[u8] {
        self.word(1)
    }

    /// Returns the path alone, or `*`.
    pub fn path(&self) -> &[u8] {
        let mut parts = self.target().split(|&byte| byte == b'?');
        parts.next().unwrap_or_default()
    }

    /// Returns the host, maybe with a port (RFC 9110 §7.2): every message that goes on has one.
    pub fn authority(&self) -> &[u8] {
        self.field("host").unwrap_or_default()
    }

    /// Returns the value of the first field of this name.
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        let mut fields = self.fields();
        let field = fields.find(|(it, _)| it.eq_ignore_ascii_case(name.as_bytes()));
        field.map(|(_, value)| value)
    }

    /// Returns the value of the first cookie of this name, as it stands (RFC 6265 §4.2.1).
    pub fn cookie(&self, name: &str) -> Option<&[u8]> {
        self.cookies(name).next()
    }

    /// Returns the values of all cookies of this name, in order.
    pub fn cookies(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let fields = self.fields();
        let fields = fields.filter(|(it, _)| it.eq_ignore_ascii_case(b"cookie"));
        fields.flat_map(move |(_, value)| cookie::values(value, name))
    }

    /// Takes all cookies of this name out.
    pub fn take_cookies_out(&mut self, name: &str) {
        cookie::take_out(&mut self.text, name);
    }

    /// Has it say how long its body is, which was said to come in chunks: the fields of that are
    /// taken out, and nothing follows the body (RFC 9110 §6.5.1 lets trailers be dropped).
    pub fn set_length(&mut self, bytes: u64) {
        let mut text = Vec::with_capacity(self.text.len() + LENGTH_FIELD_BYTES);
        for line in self.text.split_inclusive(|&byte| byte == b'\n') {
            let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
            let is_of_chunks = [&b"transfer-encoding"[..], b"trailer", b"content-length"]
                .iter()
                .any(|it| name.eq_ignore_ascii_case(it));
            if line == b"\r\n" {
                text.extend_from_slice(format!("Content-Length: {bytes}\r\n").as_bytes());
            }
            if !is_of_chunks {
                text.extend_from_slice(line);
            }
        }
        self.text = text;
    }

    /// Returns what asks for the answer to this where it is: cookies, secrets and the body of the
    /// request are not for whoever has a file.
    pub fn elsewhere(text: &[u8], target: &str, server: Option<SocketAddr>) -> Self {
        let mut lines = text.split_inclusive(|&byte| byte == b'\n');
        let first = lines.next().unwrap_or_default();
        let (method, is_other) = match first.split(|&byte| byte == b' ').next() {
            Some(b"HEAD") => ("HEAD", false),
            Some(b"GET") => ("GET", false),
            Some(_) | None => ("GET", true),
        };
        let mut out = format!("{method} {target} HTTP/1.1\r\n").into_bytes();
        if let Some(server) = server {
            out.extend_from_slice(format!("Host: {server}\r\n").as_bytes());
        }
        for line in lines.take_while(|line| *line != b"\r\n") {
            let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
            let is_host = name.eq_ignore_ascii_case(b"host");
            let is_among = |names: &[&[u8]]| names.iter().any(|it| name.eq_ignore_ascii_case(it));
            let begins = name.get(..OF_BODY.len()).unwrap_or_default();
            let goes = begins.eq_ignore_ascii_case(OF_BODY)
                || is_among(&NOT_ELSEWHERE)
                || is_other && is_among(&OF_ANOTHER_METHOD)
                || is_host && server.is_some();
            if !goes {
                out.extend_from_slice(line);
            }
        }
        out.extend_from_slice(b"\r\n");
        Self { text: out }
    }

    /// Returns names and values of all fields, in order.
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let lines = self.text.split(|&byte| byte == b'\n').skip(1);
        lines.filter_map(|line| {
            let colon = line.iter().position(|&byte| byte == b':')?;
            Some((&line[..colon], line[colon + 1..].trim_ascii()))
        })
    }

    /// Returns the text.
    pub fn as_text(&self) -> &[u8] {
        &self.text
    }

    /// Returns the text, to be sent.
    pub fn into_text(self) -> Vec<u8> {
        self.text
    }

    /// Returns whether it may be sent twice (RFC 9110 §9.2.2).
    pub fn is_idempotent(&self) -> bool {
        is_idempotent(self.method())
    }

    fn word(&self, index: usize) -> &[u8] {
        let line = self.text.split(|&byte| byte == b'\r').next();
        let mut words = line.unwrap_or_default().split(|&byte| byte == b' ');
        words.nth(index).unwrap_or_default()
    }
}

/// Returns whether a request of this method may be sent twice (RFC 9110 §9.2.2).
pub(super) fn is_idempotent(method: &[u8]) -> bool {
    matches!(
        method,
        b"GET" | b"HEAD" | b"OPTIONS" | b"PUT" | b"DELETE" | b"TRACE"
    )
}

/// What the fields of a body begin with.
const OF_BODY: &[u8] = b"content-";
/// Fields of a request that are not for those whom its backend names, beside those of its body.
const NOT_ELSEWHERE: [&[u8]; 15] = [
    b"authorization",
    b"connection",
    b"cookie",
    b"digest",
    b"expect",
    b"if-match",
    b"if-unmodified-since",
    b"repr-digest",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
    b"x-http-method",
    b"x-http-method-override",
    b"x-method-override",
];
/// Those that mean something else where it was no GET or HEAD (RFC 9110 §13.1, §14.2).
const OF_ANOTHER_METHOD: [&[u8]; 4] = [
    b"if-modified-since",
    b"if-none-match",
    b"if-range",
    b"range",
];
/// The field that says a length, whatever that is.
const LENGTH_FIELD_BYTES: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> Message {
        Message::new(text.as_bytes().to_vec())
    }

    #[test]
    fn parts_are_found_in_the_text() {
        let request =
            message("POST /a:b HTTP/1.1\r\nA: 1: 2\r\nHOST: b:80\r\nEmpty:\r\nhost-x: c\r\n\r\n");
        assert_eq!(
            (request.method(), request.target()),
            (&b"POST"[..], &b"/a:b"[..])
        );
        assert_eq!(request.authority(), b"b:80");
        let fields: Vec<_> = request.fields().collect();
        let hoped: [(&[u8], &[u8]); 4] = [
            (b"A", b"1: 2"),
            (b"HOST", b"b:80"),
            (b"Empty", b""),
            (b"host-x", b"c"),
        ];
        assert_eq!(fields, hoped);
    }

    #[test]
    fn paths_end_where_the_query_begins() {
        for (target, path) in [("/a/b?c?d", "/a/b"), ("/?", "/"), ("/a", "/a"), ("*", "*")] {
            let request = message(&format!("GET {target} HTTP/1.1\r\nHost: b\r\n\r\n"));
            assert_eq!(request.path(), path.as_bytes(), "{target}");
        }
    }

    #[test]
    fn the_first_field_and_the_first_cookie_of_a_name_are_found() {
        let request = message(
            "GET / HTTP/1.1\r\nX-User:  ann \r\nx-user: bob\r\nCookie: ab=0; a=1=2;b= x ; A=3\r\n\
             Cookie: c=\"4\"; a=5;flag; e=\r\n\r\n",
        );
        assert_eq!(request.field("x-USER"), Some(&b"ann"[..]));
        assert_eq!(request.field("x-use"), None);
        for (name, value) in [
            ("a", Some("1=2")),
            ("b", Some(" x")),
            ("A", Some("3")),
            ("c", Some("\"4\"")),
            ("e", Some("")),
            ("flag", None),
            ("d", None),
        ] {
            assert_eq!(request.cookie(name), value.map(str::as_bytes), "{name}");
        }
    }

    #[test]
    fn a_body_in_chunks_that_is_whole_says_its_length() {
        let mut request = message(
            "POST /a:b HTTP/1.1\r\nHost: b\r\nTRANSFER-encoding: chunked\r\nTrailer: X\r\nX: 1\r\n\r\n",
        );
        request.set_length(1234567);
        assert_eq!(
            request.as_text(),
            b"POST /a:b HTTP/1.1\r\nHost: b\r\nX: 1\r\nContent-Length: 1234567\r\n\r\n"
        );
        request.set_length(0);
        assert_eq!(request.field("content-length"), Some(&b"0"[..]));
        assert_eq!(request.fields().count(), 3);
    }

    #[test]
    fn who_has_the_answer_hears_neither_of_the_body_nor_of_the_session() {
        let text = "POST /a?b HTTP/1.1\r\nHOST: b:80\r\nCookie: s=1\r\nAuthorization: x\r\nRange: bytes=0-1\r\nContent-Length: 3\r\nContent-MD5: x\r\nX-Forwarded-For: 192.0.2.9\r\n\r\nabc";
        let server = "192.0.2.1:7500".parse().ok();
        for (text, server, hoped) in [
            (
                text.to_owned(),
                None,
                "GET /f HTTP/1.1\r\nHOST: b:80\r\nX-Forwarded-For: 192.0.2.9\r\n\r\n",
            ),
            (
                text.replace("POST", "GET"),
                None,
                "GET /f HTTP/1.1\r\nHOST: b:80\r\nRange: bytes=0-1\r\nX-Forwarded-For: 192.0.2.9\r\n\r\n",
            ),
            (
                text.replace("POST", "HEAD"),
                server,
                "HEAD /f HTTP/1.1\r\nHost: 192.0.2.1:7500\r\nRange: bytes=0-1\r\nX-Forwarded-For: 192.0.2.9\r\n\r\n",
            ),
        ] {
            let asked = Message::elsewhere(text.as_bytes(), "/f", server);
            assert_eq!(String::from_utf8_lossy(asked.as_text()), hoped);
        }
    }

    #[test]
    fn what_is_no_message_has_no_parts() {
        for text in ["", "\r\n", "GET", "GET\r\n\r\n"] {
            let request = message(text);
            assert_eq!(request.target(), b"", "{text:?}");
            assert_eq!(request.fields().count(), 0, "{text:?}");
        }
    }
}
