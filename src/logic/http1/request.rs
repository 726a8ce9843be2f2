//! A request's head: parsed, judged, and written on for a backend.
//!
//! Fields of one connection do not travel over the next (RFC 9110 §7.6.1), a client's claims about
//! itself are extended or replaced by what we saw, and names that CGI-like backends confuse are
//! dropped. Pure; `refusal` lists what is not relayed at all.

pub mod cookie;
pub mod message;

use httparse::Status;

use super::forwarding::{ForwardingContext, OptionalField, Trust};
use super::head::{
    ConnectionOptions, Fields, Framing, HeadLimits, Persistence, Protocol, Slots, Upgrade, Version,
    lines_end_in_crlf, syntax,
};
use super::host::is_host;
use super::names::{Name, Standing, length, list, standing};
use super::refusal::RequestRefusal;
use crate::model::write_number;

/// A request's head that may be relayed.
///
/// ```
/// use evenkeel::logic::http1::head::{Framing, HeadLimits, Slots};
/// use evenkeel::logic::http1::request::{RequestHead, Target};
///
/// let bytes = b"POST /a HTTP/1.1\r\nHost: example.org\r\nContent-Length: 2\r\n\r\nok";
/// let mut slots = Slots::new();
/// let head = RequestHead::parse(bytes, &mut slots, &HeadLimits::default()).unwrap().unwrap();
/// assert_eq!(head.target, Target::Origin("/a"));
/// assert_eq!(head.framing, Framing::Length(2));
/// assert_eq!(&bytes[head.len..], b"ok");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'s, 'b> {
    /// Any token (RFC 9110 §9.1) but `CONNECT`.
    pub method: &'b str,
    /// What is asked for.
    pub target: Target<'b>,
    /// The client's version.
    pub version: Version,
    /// How the body ends.
    pub framing: Framing,
    /// Whether the client wants its connection kept.
    pub persistence: Persistence,
    /// The protocol it asks for, as far as it is relayed.
    pub upgrade: Upgrade,
    /// The protocol it asks for, whichever it is: one alone, in HTTP/1.1.
    pub asks_for: Option<&'b [u8]>,
    /// Whether it waits for leave to send the body.
    pub expectation: Expectation,
    /// How often it may be forwarded, at least once; for OPTIONS and TRACE alone, which count it.
    pub max_forwards: Option<u64>,
    /// The Host field, where there is one.
    pub host: Option<&'b [u8]>,
    /// All fields.
    pub fields: Fields<'s, 'b>,
    /// Bytes of the head, with empty lines before it and the one that ends it.
    pub len: usize,
    takes_trailers: bool,
    writes_length: bool,
    /// The fields that only a proxy may say, by index.
    claims: u128,
    rewritten: Rewritten<'b>,
}

/// What a backend is asked in the place of what the client has asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rewritten<'b> {
    /// The path and query.
    pub target: Option<&'b str>,
    /// The Host field; X-Forwarded-Host says what the client's was.
    pub host: Option<&'b str>,
}

/// What a request asks for (RFC 9112 §3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'b> {
    /// A path, maybe with a query.
    Origin(&'b str),
    /// A URL: its scheme, its authority, and its path and query, which may be empty, or `*`.
    Absolute(Scheme, &'b str, &'b str),
    /// `*`: the server itself.
    Asterisk,
}

/// The scheme of a URL, which says the port that need not be written (RFC 9110 §4.2.1, §4.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Port 80.
    Http,
    /// Port 443.
    Https,
}

impl Scheme {
    fn default_port(self) -> &'static [u8] {
        match self {
            Self::Http => b"80",
            Self::Https => b"443",
        }
    }
}

/// Whether a client waits before it sends its body (RFC 9110 §10.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// It does not.
    None,
    /// It waits for `100 Continue`.
    Continue,
}

impl<'s, 'b> RequestHead<'s, 'b> {
    /// Parses the head at the beginning of `bytes`; `None` where it has not ended yet.
    ///
    /// # Errors
    /// The first rule it breaks. What follows on the connection cannot be trusted then.
    pub fn parse(
        bytes: &'b [u8],
        slots: &'s mut Slots<'b>,
        limits: &HeadLimits,
    ) -> Result<Option<Self>, RequestRefusal> {
        let blank = blank_lines(bytes);
        let head = &bytes[blank..];
        if let [b'\n', ..] = head {
            return Err(RequestRefusal::BareLf);
        }
        let mut parsed = httparse::Request::new(&mut []);
        let parsing = httparse::ParserConfig::default().parse_request_with_uninit_headers(
            &mut parsed,
            head,
            slots.first(limits.fields),
        );
        let too_long = parsed
            .path
            .is_some_and(|path| path.len() > limits.target_bytes);
        let len = match parsing {
            Ok(Status::Complete(_)) if too_long => return Err(RequestRefusal::TargetTooLong),
            Ok(Status::Complete(len)) if blank + len <= limits.head_bytes => len,
            Ok(Status::Partial) if bytes.len() < limits.head_bytes => return Ok(None),
            Ok(Status::Partial) if too_long || !head.contains(&b'\n') => {
                return Err(RequestRefusal::TargetTooLong);
            }
            Ok(Status::Complete(_) | Status::Partial) => return Err(RequestRefusal::HeadTooLarge),
            // Which version it is, or none, is known at the end of the line.
            Err(httparse::Error::Version)
                if !head.contains(&b'\n') && bytes.len() < limits.head_bytes =>
            {
                return Ok(None);
            }
            Err(error) => return Err(refusal_of(error, head)),
        };
        let head = &head[..len];
        if !lines_end_in_crlf(head) {
            return Err(RequestRefusal::BareLf);
        }
        // A complete parse has found all three.
        let method = parsed.method.unwrap_or_default();
        let version = match parsed.version {
            Some(0) => Version::Http10,
            Some(_) | None => Version::Http11,
        };
        let target = Target::of(method, parsed.path.unwrap_or_default())?;
        let fields = Fields::new(head, parsed.headers);
        let mut request = RequestHead::judge(method, target, version, fields)?;
        request.len = blank + len;
        Ok(Some(request))
    }

    fn judge(
        method: &'b str,
        target: Target<'b>,
        version: Version,
        mut fields: Fields<'s, 'b>,
    ) -> Result<Self, RequestRefusal> {
        let mut seen = Seen::default();
        let mut claims = 0u128;
        for (index, field) in fields.all().iter().enumerate() {
            match seen.handle(field)? {
                Forward::Send => {}
                Forward::Omit => fields.drop_field(index),
                Forward::FromProxies => claims |= 1 << index,
            }
        }
        let nominates = seen.connection.nominates();
        if nominates.map_err(|_| RequestRefusal::ConnectionOptions)? {
            fields.drop_nominated();
        }
        check_host(version, target, seen.host)?;
        if let Target::Absolute(_, authority, _) = target
            && seen.host.is_some_and(|host| host != authority.as_bytes())
        {
            // RFC 9112 §3.2.2: the target's is sent in its place, though both mean the same.
            fields.drop_named("host");
            seen.host = None;
        }
        let (framing, writes_length) = seen.framing(version)?;
        let max_forwards = max_forwards(method, &mut fields)?;
        let asks_for = match seen.upgrade {
            Asked::One(name) if seen.connection.upgrade && version == Version::Http11 => Some(name),
            Asked::One(_) | Asked::Nothing | Asked::Several => None,
        };
        // RFC 6455 §4.1.
        let websocket = method == "GET"
            && matches!(framing, Framing::None | Framing::Length(0))
            && asks_for.is_some_and(|asked| asked.eq_ignore_ascii_case(b"websocket"));
        Ok(RequestHead {
            method,
            target,
            version,
            framing,
            persistence: seen.connection.persistence(version),
            upgrade: if websocket {
                Upgrade::WebSocket
            } else {
                Upgrade::None
            },
            asks_for,
            expectation: match (seen.expectation, version) {
                // RFC 9110 §10.1.1: an expectation in HTTP/1.0 is ignored.
                (Expectation::Continue, Version::Http11 | Version::Http2) => Expectation::Continue,
                (Expectation::Continue, Version::Http10) | (Expectation::None, _) => {
                    Expectation::None
                }
            },
            max_forwards,
            host: seen.host,
            fields,
            len: 0,
            takes_trailers: seen.takes_trailers,
            writes_length,
            claims,
            rewritten: Rewritten::default(),
        })
    }

    /// Appends the head that a backend is sent.
    ///
    /// Hop-by-hop fields go, those named by Connection among them (but never those that frame or
    /// route the message or say where it came from). `Proxy` and names with an underscore go,
    /// because CGI reads them as something else, and names that read like one of ours once every
    /// odd byte is a hyphen. What only a proxy may say goes unless the peer is trusted. Expect is
    /// ours: the proxy itself answers `100 Continue`. What is said of the client is `forwarding`'s.
    pub fn write(&self, arrival: &ForwardingContext<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(self.method.as_bytes());
        out.push(b' ');
        match self.rewritten.target {
            Some(target) => out.extend_from_slice(target.as_bytes()),
            None => self.target.write(out),
        }
        out.extend_from_slice(b" HTTP/1.1\r\n");
        match arrival.trust {
            Trust::Trusted => self.fields.write_kept(out),
            Trust::Untrusted => self.untrusted(arrival.proxy_fields).write_kept(out),
        }
        let host = match (self.host, self.target) {
            (Some(host), _) => host,
            (None, Target::Absolute(_, authority, _)) => authority.as_bytes(),
            (None, Target::Origin(_) | Target::Asterisk) => arrival.fallback_host.as_bytes(),
        };
        match self.rewritten.host {
            Some(host) => write_field(out, b"Host: ", host.as_bytes()),
            None if self.host.is_none() => write_field(out, b"Host: ", host),
            None => {}
        }
        match self.framing {
            Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
            Framing::Length(length) if self.writes_length => {
                out.extend_from_slice(b"Content-Length: ");
                write_number(out, length);
                out.extend_from_slice(b"\r\n");
            }
            Framing::Length(_) | Framing::None | Framing::UntilClose => {}
        }
        if let Some(max_forwards) = self.max_forwards {
            out.extend_from_slice(b"Max-Forwards: ");
            write_number(out, max_forwards.saturating_sub(1));
            out.extend_from_slice(b"\r\n");
        }
        match self.upgrade.protocol() {
            Some(protocol) => write_field(out, b"Connection: upgrade\r\nUpgrade: ", protocol),
            None if self.takes_trailers => {
                out.extend_from_slice(b"Connection: te\r\nTE: trailers\r\n");
            }
            None => {}
        }
        if arrival.via == OptionalField::Send {
            // Behind those of the proxies before (RFC 9110 §7.6.3).
            out.extend_from_slice(match self.version {
                Version::Http10 => b"Via: 1.0 evenkeel\r\n",
                Version::Http11 => b"Via: 1.1 evenkeel\r\n",
                Version::Http2 => b"Via: 2.0 evenkeel\r\n",
            });
        }
        arrival.write(self.fields.all(), host, out);
        out.extend_from_slice(b"\r\n");
    }

    /// Returns the fields without those that only a proxy may say.
    fn untrusted(&self, more: &[String]) -> Fields<'s, 'b> {
        let mut fields = self.fields;
        fields.drop_set(self.claims);
        for name in more {
            fields.drop_named(name);
        }
        fields
    }

    /// Notes that what was parsed stands for a request of another version.
    pub fn came_by(&mut self, version: Version) {
        self.version = version;
    }

    /// Returns the host that is asked, without a port; empty where HTTP/1.0 says none.
    pub fn host_name(&self) -> &'b [u8] {
        without_port(self.authority())
    }

    /// Returns the host that is asked, maybe with a port; empty where HTTP/1.0 says none.
    pub fn authority(&self) -> &'b [u8] {
        match (self.host, self.target) {
            (Some(host), _) => host,
            (None, Target::Absolute(_, authority, _)) => authority.as_bytes(),
            (None, Target::Origin(_) | Target::Asterisk) => &[],
        }
    }

    /// Has a backend be asked something else.
    pub fn rewrite(&mut self, rewritten: Rewritten<'b>) {
        if rewritten.host.is_some() {
            self.fields.drop_named("host");
        }
        self.rewritten = rewritten;
    }

    /// Relays the upgrade that it asks for only if it is one of these; a WebSocket only of a GET.
    pub fn allow_upgrades(&mut self, allowed: &[Protocol]) {
        let asked = self.asks_for.and_then(Protocol::new);
        let Some(asked) = asked.filter(|asked| allowed.contains(asked)) else {
            self.upgrade = Upgrade::None;
            return;
        };
        if !asked.as_bytes().eq_ignore_ascii_case(b"websocket") {
            self.upgrade = Upgrade::Other(asked);
        }
    }

    /// Returns whether doing it twice is as good as once (RFC 9110 §9.2.2).
    pub fn is_idempotent(&self) -> bool {
        message::is_idempotent(self.method.as_bytes())
    }
}

impl<'b> Target<'b> {
    /// RFC 9112 §3.2.
    fn of(method: &str, text: &'b str) -> Result<Self, RequestRefusal> {
        if method == "CONNECT" {
            return Err(RequestRefusal::Connect);
        }
        let invalid = RequestRefusal::Target;
        match text.as_bytes() {
            b"*" if method == "OPTIONS" => Ok(Target::Asterisk),
            [b'/', ..] if is_path(text.as_bytes()) => Ok(Target::Origin(text)),
            [b'h' | b'H', ..] => {
                let (scheme, rest) = text.split_once("://").ok_or(invalid)?;
                let scheme = match scheme {
                    text if text.eq_ignore_ascii_case("http") => Scheme::Http,
                    text if text.eq_ignore_ascii_case("https") => Scheme::Https,
                    _ => return Err(invalid),
                };
                let end = rest.find(['/', '?']).unwrap_or(rest.len());
                let (authority, path) = rest.split_at(end);
                if !is_host(authority.as_bytes()) || !is_path(path.as_bytes()) {
                    return Err(invalid);
                }
                // RFC 9112 §3.2.4: the last proxy asks the server itself, not its root.
                let path = match (method, path) {
                    ("OPTIONS", "") => "*",
                    (_, path) => path,
                };
                Ok(Target::Absolute(scheme, authority, path))
            }
            _ => Err(invalid),
        }
    }

    /// Returns the path and query, as backends are sent them.
    pub fn path(&self) -> &'b str {
        match *self {
            Target::Origin(path) => path,
            Target::Absolute(_, _, "") => "/",
            Target::Absolute(_, _, path) => path,
            Target::Asterisk => "*",
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        if let Target::Absolute(_, _, path) = self
            && path.starts_with('?')
        {
            out.push(b'/');
        }
        out.extend_from_slice(self.path().as_bytes());
    }
}

/// What the fields of a request have said so far.
#[derive(Clone, Copy, Debug)]
struct Seen<'b> {
    host: Option<&'b [u8]>,
    length: Option<(u64, &'b [u8])>,
    chunked: bool,
    connection: ConnectionOptions,
    upgrade: Asked<'b>,
    expectation: Expectation,
    takes_trailers: bool,
}

impl Default for Seen<'_> {
    fn default() -> Self {
        Seen {
            host: None,
            length: None,
            chunked: false,
            connection: ConnectionOptions::default(),
            upgrade: Asked::Nothing,
            expectation: Expectation::None,
            takes_trailers: false,
        }
    }
}

/// What the Upgrade fields ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked<'b> {
    Nothing,
    One(&'b [u8]),
    Several,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Forward {
    Send,
    Omit,
    /// Where a proxy says it that is trusted.
    FromProxies,
}

impl<'b> Seen<'b> {
    fn handle(&mut self, field: &httparse::Header<'b>) -> Result<Forward, RequestRefusal> {
        let value = field.value;
        match Name::of(field.name.as_bytes()) {
            Name::Other => {
                return Ok(match standing(field.name.as_bytes()) {
                    Standing::Free => Forward::Send,
                    Standing::Claim => Forward::FromProxies,
                    Standing::Disguise => Forward::Omit,
                });
            }
            Name::Date | Name::Trailer | Name::ProxyAuthenticate => {}
            Name::Host => match self.host {
                None => self.host = Some(value),
                Some(_) => return Err(RequestRefusal::HostRepeated),
            },
            Name::ContentLength => {
                let length = length(value).ok_or(RequestRefusal::ContentLength)?;
                if self.length.replace((length, value)).is_some() {
                    return Err(RequestRefusal::ContentLength);
                }
                // A number in its plainest form goes on as it is.
                let plain = value == b"0" || value.first().is_some_and(|&digit| digit != b'0');
                return Ok(if plain { Forward::Send } else { Forward::Omit });
            }
            Name::TransferEncoding => {
                if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(RequestRefusal::TransferCoding);
                }
                self.chunked = true;
                return Ok(Forward::Omit);
            }
            Name::Connection => {
                self.connection.add(value);
                return Ok(Forward::Omit);
            }
            Name::Upgrade => {
                self.upgrade = match self.upgrade {
                    Asked::Nothing => Asked::One(value),
                    Asked::One(_) | Asked::Several => Asked::Several,
                };
                return Ok(Forward::Omit);
            }
            Name::Expect if value.eq_ignore_ascii_case(b"100-continue") => {
                self.expectation = Expectation::Continue;
                return Ok(Forward::Omit);
            }
            Name::Expect => return Err(RequestRefusal::Expectation),
            Name::Te => {
                self.takes_trailers |= list(value).any(|coding| {
                    let coding = coding.split(|&byte| byte == b';').next().unwrap_or(coding);
                    coding.trim_ascii().eq_ignore_ascii_case(b"trailers")
                });
                return Ok(Forward::Omit);
            }
            Name::Forwarded
            | Name::KeepAlive
            | Name::Proxy
            | Name::ProxyAuthorization
            | Name::ProxyConnection
            | Name::XForwardedFor
            | Name::XForwardedHost
            | Name::XForwardedPort
            | Name::XForwardedProto
            | Name::XRequestId => return Ok(Forward::Omit),
        }
        Ok(Forward::Send)
    }

    /// RFC 9112 §6.3; also returns whether the length must be written anew.
    fn framing(&self, version: Version) -> Result<(Framing, bool), RequestRefusal> {
        match (self.chunked, self.length) {
            (true, Some(_)) => Err(RequestRefusal::BothFramings),
            (true, None) if version == Version::Http10 => Err(RequestRefusal::CodingBeforeChunks),
            (true, None) => Ok((Framing::Chunked, false)),
            (false, Some((length, text))) => {
                let plain = text == b"0" || text.first().is_some_and(|&digit| digit != b'0');
                Ok((Framing::Length(length), !plain))
            }
            (false, None) => Ok((Framing::None, false)),
        }
    }
}

/// RFC 9112 §3.2, §3.2.2.
fn check_host(
    version: Version,
    target: Target<'_>,
    host: Option<&[u8]>,
) -> Result<(), RequestRefusal> {
    let Some(host) = host else {
        return match version {
            Version::Http10 => Ok(()),
            Version::Http11 | Version::Http2 => Err(RequestRefusal::HostMissing),
        };
    };
    if !is_host(host) {
        return Err(RequestRefusal::HostInvalid);
    }
    match target {
        Target::Absolute(scheme, authority, _)
            if !is_same_authority(authority.as_bytes(), host, scheme) =>
        {
            Err(RequestRefusal::HostMismatch)
        }
        Target::Absolute(..) | Target::Origin(_) | Target::Asterisk => Ok(()),
    }
}

/// RFC 9110 §4.2.3: the case of letters does not matter, nor whether the port is written that the
/// scheme says.
fn is_same_authority(one: &[u8], two: &[u8], scheme: Scheme) -> bool {
    let (one_host, one_port) = host_and_port(one, scheme);
    let (two_host, two_port) = host_and_port(two, scheme);
    one_port == two_port && one_host.eq_ignore_ascii_case(two_host)
}

/// Returns the host of an authority.
pub fn without_port(authority: &[u8]) -> &[u8] {
    host_and_port(authority, Scheme::Http).0
}

fn host_and_port(authority: &[u8], scheme: Scheme) -> (&[u8], &[u8]) {
    let ends = |&byte: &u8| matches!(byte, b':' | b']');
    let (host, port) = match authority.iter().rposition(ends) {
        Some(at) if authority[at] == b':' => (&authority[..at], &authority[at + 1..]),
        Some(_) | None => (authority, &b""[..]),
    };
    let zeros = port.iter().take_while(|&&digit| digit == b'0').count();
    match &port[zeros..] {
        [] if port.is_empty() => (host, scheme.default_port()),
        number => (host, number),
    }
}

/// RFC 9110 §7.6.2: an intermediary counts down how often OPTIONS and TRACE may be forwarded, and
/// forwards neither where it is 0. The field is dropped, to be written anew.
fn max_forwards(method: &str, fields: &mut Fields<'_, '_>) -> Result<Option<u64>, RequestRefusal> {
    let end = match method {
        "OPTIONS" => RequestRefusal::OptionsEnd,
        "TRACE" => RequestRefusal::TraceEnd,
        _ => return Ok(None),
    };
    let mut max = None;
    for (index, field) in fields.all().iter().enumerate() {
        if field.name.eq_ignore_ascii_case("max-forwards") {
            let number = count(field.value).ok_or(RequestRefusal::MaxForwards)?;
            if max.replace(number).is_some() {
                return Err(RequestRefusal::MaxForwards);
            }
            fields.drop_field(index);
        }
    }
    match max {
        Some(0) => Err(end),
        max => Ok(max),
    }
}

/// Returns the number that digits state, or the largest there is (RFC 9110 §7.6.2).
fn count(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let text = std::str::from_utf8(digits).ok()?;
    Some(text.parse().unwrap_or(u64::MAX))
}

/// Returns the length of the empty lines before a head (RFC 9112 §2.2), some at most.
fn blank_lines(bytes: &[u8]) -> usize {
    let mut at = 0;
    while at < BLANK_BYTES_MAX && bytes[at..].starts_with(b"\r\n") {
        at += 2;
    }
    at
}

/// RFC 3986 §3.3, §3.4 and some bytes more that real clients send; none that ends a target, and no
/// backslash in a path, which some backends take for a slash.
fn is_path(text: &[u8]) -> bool {
    let mut in_query = false;
    text.iter().all(|&byte| match byte {
        b'?' => {
            in_query = true;
            true
        }
        b'"' => !in_query,
        b'\\' => in_query,
        b'#' | b'<' | b'>' | b'`' => false,
        0x21..=0x7e => true,
        _ => false,
    })
}

fn refusal_of(error: httparse::Error, head: &[u8]) -> RequestRefusal {
    match error {
        httparse::Error::TooManyHeaders => RequestRefusal::TooManyFields,
        httparse::Error::Version if names_a_version(head) => RequestRefusal::Version,
        httparse::Error::HeaderName
        | httparse::Error::HeaderValue
        | httparse::Error::NewLine
        | httparse::Error::Status
        | httparse::Error::Token
        | httparse::Error::Version => RequestRefusal::Syntax(syntax(error)),
    }
}

/// Returns whether the first line ends in the name of another version of HTTP.
fn names_a_version(head: &[u8]) -> bool {
    let line = head.split(|&byte| byte == b'\r').next().unwrap_or(head);
    let last = line.rsplit(|&byte| byte == b' ').next().unwrap_or(line);
    matches!(
        last,
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit()
                && minor.is_ascii_digit()
                && !matches!((major, minor), (b'1', b'0' | b'1'))
    )
}

fn write_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Empty lines before a request that are skipped.
const BLANK_BYTES_MAX: usize = 8;

#[cfg(test)]
mod tests;
