//! A response's head: parsed, judged by what was asked, and written on for the client.
//!
//! A backend's `Connection: close` closes only its own connection; the transfer coding is chosen
//! anew for the client's version; lengths written twice are written once. Pure.

use httparse::Status;

use super::date::DATE_BYTES;
use super::head::{
    ConnectionOptions, Fields, Framing, HeadLimits, Persistence, Slots, Upgrade, Version,
    lines_end_in_crlf, syntax,
};
use super::names::{Name, length, list};
use super::refusal::ResponseRefusal;
use crate::model::write_number;

/// What a response answers: all of the request that its meaning depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskedFor {
    /// A response to HEAD has no body, whatever its fields say.
    pub method: AskedMethod,
    /// The client's version.
    pub version: Version,
    /// The protocol it asked for.
    pub upgrade: Upgrade,
    /// Whether its connection may be kept.
    pub persistence: Persistence,
}

/// The methods that change how a response is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskedMethod {
    /// HEAD.
    Head,
    /// Any other; CONNECT is refused.
    Other,
}

/// A response's head that may be relayed.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'s, 'b> {
    /// 100 to 999.
    pub status: u16,
    /// How the body ends.
    pub framing: Framing,
    /// Whether the backend's connection may be kept after it.
    pub persistence: Persistence,
    /// All fields.
    pub fields: Fields<'s, 'b>,
    /// Bytes of the head, with the empty line that ends it.
    pub len: usize,
    /// What stands behind the status.
    pub reason: &'b str,
    writes_length: Option<u64>,
    has_date: bool,
    /// The fields with space before their colon, by index, that travel.
    spaced: u128,
    /// The protocols that 426 tells the client to ask for.
    offers: Option<&'b [u8]>,
}

/// Whether space may stand before the colon of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spaces {
    None,
    Possible,
}

/// How a body is carried from the backend to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyCoding {
    /// Its bytes go on as they are, chunk framing included.
    AsIs,
    /// Chunk framing is taken off: the client speaks HTTP/1.0, the end of the connection ends it.
    Unchunked,
    /// Chunk framing is put on: its length is known only when the backend ends its connection.
    Chunked,
}

/// What is written to the client besides the backend's fields.
#[derive(Clone, Copy, Debug)]
pub struct ResponseRewrite<'a> {
    /// Whether the client's connection is kept.
    pub persistence: Persistence,
    /// How the body is carried.
    pub carry: BodyCoding,
    /// For a response that has none.
    pub date: &'a [u8; DATE_BYTES],
}

impl<'s, 'b> ResponseHead<'s, 'b> {
    /// Parses the head at the beginning of `bytes`; `None` where it has not ended yet.
    ///
    /// # Errors
    /// The first rule it breaks. Nothing on the connection can be trusted then.
    pub fn parse(
        bytes: &'b [u8],
        slots: &'s mut Slots<'b>,
        limits: &HeadLimits,
        asked: AskedFor,
    ) -> Result<Option<Self>, ResponseRefusal> {
        if let [b'\r' | b'\n', ..] = bytes {
            return Err(ResponseRefusal::Syntax("an empty line precedes it"));
        }
        let mut parsed = httparse::Response::new(&mut []);
        let [first, second] = slots.both(limits.fields);
        let mut config = httparse::ParserConfig::default();
        let mut parsing = config.parse_response_with_uninit_headers(&mut parsed, bytes, first);
        let mut spaces = Spaces::None;
        if let Err(httparse::Error::HeaderName) = parsing {
            // RFC 9112 §5.1: of a response the space before a colon is taken away.
            config.allow_spaces_after_header_name_in_responses(true);
            parsed = httparse::Response::new(&mut []);
            parsing = config.parse_response_with_uninit_headers(&mut parsed, bytes, second);
            spaces = Spaces::Possible;
        }
        let len = match parsing {
            Ok(Status::Complete(len)) if len <= limits.head_bytes => len,
            Ok(Status::Partial) if bytes.len() < limits.head_bytes => return Ok(None),
            Ok(Status::Partial | Status::Complete(_)) => return Err(ResponseRefusal::HeadTooLarge),
            Err(httparse::Error::TooManyHeaders) => return Err(ResponseRefusal::TooManyFields),
            Err(httparse::Error::Version) => return Err(ResponseRefusal::Version),
            Err(error) => return Err(ResponseRefusal::Syntax(syntax(error))),
        };
        let head = &bytes[..len];
        if !lines_end_in_crlf(head) {
            return Err(ResponseRefusal::BareLf);
        }
        let version = match parsed.version {
            Some(0) => Version::Http10,
            Some(_) | None => Version::Http11,
        };
        let status = parsed.code.unwrap_or_default();
        if status < 100 {
            return Err(ResponseRefusal::Status);
        }
        let mut response = ResponseHead {
            status,
            framing: Framing::None,
            persistence: Persistence::Close,
            fields: Fields::new(head, parsed.headers),
            len,
            reason: parsed.reason.unwrap_or_default(),
            writes_length: None,
            has_date: false,
            spaced: 0,
            offers: None,
        };
        response.judge(version, asked, spaces)?;
        Ok(Some(response))
    }

    fn judge(
        &mut self,
        version: Version,
        asked: AskedFor,
        spaces: Spaces,
    ) -> Result<(), ResponseRefusal> {
        let mut connection = ConnectionOptions::default();
        let (mut length, mut chunked, mut switches_to) = (None, false, None);
        for (index, field) in self.fields.all().iter().enumerate() {
            let value = field.value;
            if spaces == Spaces::Possible && self.fields.is_spaced(field) {
                self.spaced |= 1 << index;
            }
            match Name::of(field.name.as_bytes()) {
                Name::ContentLength => {
                    add_length(&mut length, value)?;
                    self.fields.drop_field(index);
                }
                Name::TransferEncoding => {
                    let alone = !chunked && value.eq_ignore_ascii_case(b"chunked");
                    if !alone || version == Version::Http10 {
                        return Err(ResponseRefusal::TransferCoding);
                    }
                    chunked = true;
                    self.fields.drop_field(index);
                }
                Name::Connection => {
                    connection.add(value);
                    self.fields.drop_field(index);
                }
                Name::Upgrade => {
                    switches_to = Some(value);
                    if self.status == 426 && self.offers.is_none() {
                        self.offers = Some(value);
                    }
                    self.fields.drop_field(index);
                }
                Name::KeepAlive | Name::ProxyAuthenticate | Name::ProxyConnection | Name::Te => {
                    self.fields.drop_field(index);
                }
                Name::Date => self.has_date = true,
                Name::Expect
                | Name::Forwarded
                | Name::Host
                | Name::Proxy
                | Name::ProxyAuthorization
                | Name::Trailer
                | Name::XForwardedFor
                | Name::XForwardedHost
                | Name::XForwardedPort
                | Name::XForwardedProto
                | Name::XRequestId
                | Name::Other => {}
            }
        }
        let nominates = connection.nominates();
        if nominates.map_err(|_| ResponseRefusal::ConnectionOptions)? {
            self.fields.drop_nominated();
        }
        if spaces == Spaces::Possible {
            self.spaced = self.fields.kept_of(self.spaced);
            self.fields.drop_set(self.spaced);
        }
        let asked_for = asked.upgrade.protocol().zip(switches_to);
        let as_asked = asked_for.is_some_and(|(asked, to)| to.eq_ignore_ascii_case(asked));
        if self.status == 101 && !(as_asked && connection.upgrade) {
            return Err(ResponseRefusal::UnsolicitedUpgrade);
        }
        if chunked && length.is_some() {
            return Err(ResponseRefusal::BothFramings);
        }
        self.persistence = connection.persistence(version);
        self.frame(asked.method, length, chunked);
        Ok(())
    }

    /// RFC 9112 §6.3.
    fn frame(&mut self, method: AskedMethod, length: Option<u64>, chunked: bool) {
        // RFC 9110 §8.6: no length where there never is a body.
        self.writes_length = match self.status {
            100..=199 | 204 => None,
            _ => length,
        };
        let bodyless = method == AskedMethod::Head || matches!(self.status, 100..=199 | 204 | 304);
        self.framing = match (bodyless, chunked, length) {
            (true, _, _) => Framing::None,
            (false, true, _) => Framing::Chunked,
            (false, false, Some(length)) => Framing::Length(length),
            (false, false, None) => Framing::UntilClose,
        };
        // The end of a HEAD's answer that states no length may be the end of the connection.
        let unclear = method == AskedMethod::Head && length.is_none() && !chunked;
        if self.framing == Framing::UntilClose || (unclear && !self.is_interim()) {
            self.persistence = Persistence::Close;
        }
    }

    /// Returns whether another response to the same request follows (RFC 9110 §15.2).
    pub fn is_interim(&self) -> bool {
        matches!(self.status, 100 | 102..=199)
    }

    /// Returns how the body reaches the client, and whether the client's connection can be kept
    /// after it.
    pub fn departure(&self, asked: AskedFor) -> (BodyCoding, Persistence) {
        match (self.framing, asked.version) {
            (Framing::None | Framing::Length(_), _) => (BodyCoding::AsIs, asked.persistence),
            (Framing::Chunked, Version::Http11 | Version::Http2) => {
                (BodyCoding::AsIs, asked.persistence)
            }
            (Framing::UntilClose, Version::Http11) => (BodyCoding::Chunked, asked.persistence),
            // The end of a stream is not that of its connection.
            (Framing::UntilClose, Version::Http2) => (BodyCoding::AsIs, asked.persistence),
            (Framing::Chunked, Version::Http10) => (BodyCoding::Unchunked, Persistence::Close),
            (Framing::UntilClose, Version::Http10) => (BodyCoding::AsIs, Persistence::Close),
        }
    }

    /// Appends the head that a client is sent.
    pub fn write(&self, asked: AskedFor, departure: &ResponseRewrite<'_>, out: &mut Vec<u8>) {
        write_status_line(out, self.status, self.reason);
        self.fields.write_kept(out);
        if self.spaced != 0 {
            self.fields.write_anew(self.spaced, out);
        }
        if let Some(length) = self.writes_length {
            out.extend_from_slice(b"Content-Length: ");
            write_number(out, length);
            out.extend_from_slice(b"\r\n");
        }
        if self.status == 101 {
            out.extend_from_slice(b"Connection: upgrade\r\nUpgrade: ");
            out.extend_from_slice(asked.upgrade.protocol().unwrap_or_default());
            out.extend_from_slice(b"\r\n\r\n");
            return;
        }
        if self.is_interim() {
            out.extend_from_slice(b"\r\n");
            return;
        }
        let chunks = match departure.carry {
            BodyCoding::AsIs => self.framing == Framing::Chunked,
            BodyCoding::Chunked => true,
            BodyCoding::Unchunked => false,
        };
        if chunks {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        }
        if !self.has_date {
            out.extend_from_slice(b"Date: ");
            out.extend_from_slice(departure.date);
            out.extend_from_slice(b"\r\n");
        }
        if let Some(protocols) = self.offers {
            // RFC 9110 §15.5.22.
            out.extend_from_slice(b"Upgrade: ");
            out.extend_from_slice(protocols);
            out.extend_from_slice(b"\r\nConnection: upgrade\r\n");
        }
        write_persistence(out, asked.version, departure.persistence);
        out.extend_from_slice(b"\r\n");
    }
}

/// RFC 9110 §8.6: repeats and lists of one number are that number.
fn add_length(known: &mut Option<u64>, value: &[u8]) -> Result<(), ResponseRefusal> {
    for part in list(value) {
        let number = length(part).ok_or(ResponseRefusal::ContentLength)?;
        if known.replace(number).is_some_and(|before| before != number) {
            return Err(ResponseRefusal::ContentLength);
        }
    }
    Ok(())
}

pub(super) fn write_status_line(out: &mut Vec<u8>, status: u16, reason: &str) {
    out.extend_from_slice(b"HTTP/1.1 ");
    write_number(out, u64::from(status));
    out.push(b' ');
    out.extend_from_slice(reason.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Says what becomes of the connection, where the version does not say it already.
pub(super) fn write_persistence(out: &mut Vec<u8>, version: Version, persistence: Persistence) {
    match (persistence, version) {
        (_, Version::Http2) => {}
        (Persistence::Close, _) => out.extend_from_slice(b"Connection: close\r\n"),
        (Persistence::Keep, Version::Http10) => {
            out.extend_from_slice(b"Connection: keep-alive\r\n");
        }
        (Persistence::Keep, Version::Http11) => {}
    }
}

#[cfg(test)]
mod tests;
