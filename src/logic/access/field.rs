//! The words of the log: what each is called and how it is written.
//!
//! One list for both manners, so that a JSON key and a placeholder of the same name say the same.

use std::net::IpAddr;
use std::time::Duration;

use super::escape::{Escaping, write_escaped};
use super::head::Parts;
use super::{EndedBy, Line};
use crate::model::{date_of_day, write_address, write_digits, write_number};

/// One thing that a line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(
    missing_docs,
    reason = "each is the word that `name` gives it; evenkeel(8) explains them"
)]
pub enum Field {
    Time,
    Client,
    ClientPort,
    Via,
    Listener,
    Route,
    Pool,
    Backend,
    Method,
    Host,
    Path,
    Protocol,
    Status,
    RequestBytes,
    ResponseBytes,
    HeadMs,
    QueueMs,
    ConnectMs,
    ResponseMs,
    TotalMs,
    Retries,
    Termination,
    EndedBy,
    Phase,
    Error,
    RequestId,
    Referer,
    UserAgent,
    Affinity,
    Ejected,
    ReproxiedBy,
    TlsVersion,
    TlsCipher,
    TlsServerName,
    TlsResumed,
    ClientCertificate,
    ClientCertificateFingerprint,
    HandshakeMs,
}

/// What a field has to say.
enum Value<'a> {
    Absent,
    Number(u64),
    Time(u64),
    Span(Duration),
    Flag(bool),
    Address(IpAddr),
    /// A word or a name of ours.
    Word(&'a str),
    /// Bytes of the client's, of which at most so many are written.
    Foreign(&'a [u8], usize),
}

impl Field {
    /// Every field, in the order of a JSON line.
    pub const ALL: [Self; 38] = [
        Self::Time,
        Self::Client,
        Self::ClientPort,
        Self::Via,
        Self::Listener,
        Self::Route,
        Self::Pool,
        Self::Backend,
        Self::Method,
        Self::Host,
        Self::Path,
        Self::Protocol,
        Self::Status,
        Self::RequestBytes,
        Self::ResponseBytes,
        Self::HeadMs,
        Self::QueueMs,
        Self::ConnectMs,
        Self::ResponseMs,
        Self::TotalMs,
        Self::Retries,
        Self::Termination,
        Self::EndedBy,
        Self::Phase,
        Self::Error,
        Self::RequestId,
        Self::Referer,
        Self::UserAgent,
        Self::Affinity,
        Self::Ejected,
        Self::ReproxiedBy,
        Self::TlsVersion,
        Self::TlsCipher,
        Self::TlsServerName,
        Self::TlsResumed,
        Self::ClientCertificate,
        Self::ClientCertificateFingerprint,
        Self::HandshakeMs,
    ];

    /// Those that only a request has whose pool has affinity, or ejects backends, or has the
    /// answers that others name; in JSON they stand behind all but those of TLS.
    pub const OF_POOL: [Self; 3] = [Self::Affinity, Self::Ejected, Self::ReproxiedBy];

    /// Those that only a request has that has come by TLS; in JSON they stand behind all others.
    pub const OF_TLS: &[Self] = Self::ALL.split_at(Self::ALL.len() - 7).1;

    /// Returns its key in JSON and its placeholder in a text.
    pub fn name(self) -> &'static str {
        let key = self.key();
        &key[2..key.len() - 2]
    }

    /// Returns what stands before its value in JSON, where it is not the first.
    pub(super) const fn key(self) -> &'static str {
        match self {
            Self::Time => ",\"time\":",
            Self::Client => ",\"client\":",
            Self::ClientPort => ",\"client_port\":",
            Self::Via => ",\"via\":",
            Self::Listener => ",\"listener\":",
            Self::Route => ",\"route\":",
            Self::Pool => ",\"pool\":",
            Self::Backend => ",\"backend\":",
            Self::Method => ",\"method\":",
            Self::Host => ",\"host\":",
            Self::Path => ",\"path\":",
            Self::Protocol => ",\"protocol\":",
            Self::Status => ",\"status\":",
            Self::RequestBytes => ",\"request_bytes\":",
            Self::ResponseBytes => ",\"response_bytes\":",
            Self::HeadMs => ",\"head_ms\":",
            Self::QueueMs => ",\"queue_ms\":",
            Self::ConnectMs => ",\"connect_ms\":",
            Self::ResponseMs => ",\"response_ms\":",
            Self::TotalMs => ",\"total_ms\":",
            Self::Retries => ",\"retries\":",
            Self::Termination => ",\"termination\":",
            Self::EndedBy => ",\"ended_by\":",
            Self::Phase => ",\"phase\":",
            Self::Error => ",\"error\":",
            Self::RequestId => ",\"request_id\":",
            Self::Referer => ",\"referer\":",
            Self::UserAgent => ",\"user_agent\":",
            Self::Affinity => ",\"affinity\":",
            Self::Ejected => ",\"ejected\":",
            Self::ReproxiedBy => ",\"reproxied_by\":",
            Self::TlsVersion => ",\"tls_version\":",
            Self::TlsCipher => ",\"tls_cipher\":",
            Self::TlsServerName => ",\"tls_server_name\":",
            Self::TlsResumed => ",\"tls_resumed\":",
            Self::ClientCertificate => ",\"client_certificate\":",
            Self::ClientCertificateFingerprint => ",\"client_certificate_fingerprint\":",
            Self::HandshakeMs => ",\"handshake_ms\":",
        }
    }

    /// Appends its value as JSON; `null` where there is none.
    pub(super) fn write_json(self, line: &Line<'_>, parts: &Parts<'_>, out: &mut Vec<u8>) {
        let value = self.value(line, parts);
        match value {
            Value::Absent => out.extend_from_slice(b"null"),
            Value::Number(_) | Value::Span(_) | Value::Flag(_) => value.write(out, Escaping::Json),
            Value::Time(_) | Value::Address(_) | Value::Word(_) | Value::Foreign(..) => {
                out.push(b'"');
                value.write(out, Escaping::Json);
                out.push(b'"');
            }
        }
    }

    /// Appends its value as a text; `-` where there is none.
    pub(super) fn write_text(self, line: &Line<'_>, parts: &Parts<'_>, out: &mut Vec<u8>) {
        let value = self.value(line, parts);
        if matches!(value, Value::Absent | Value::Foreign(b"", _)) {
            out.push(b'-');
        } else {
            value.write(out, Escaping::Text);
        }
    }

    fn value<'a>(self, line: &Line<'a>, parts: &Parts<'a>) -> Value<'a> {
        let foreign = |bytes: Option<&'a [u8]>, bytes_max| {
            bytes.map_or(Value::Absent, |bytes| Value::Foreign(bytes, bytes_max))
        };
        let word = |word: Option<&'a str>| word.map_or(Value::Absent, Value::Word);
        let span = |span: Option<Duration>| span.map_or(Value::Absent, Value::Span);
        let tls = line.tls.as_ref();
        let is_direct = line.peer.ip().to_canonical() == line.client.to_canonical();
        match self {
            Self::Time => Value::Time(line.began_ms),
            Self::Client => Value::Address(line.client),
            Self::ClientPort if is_direct => Value::Number(u64::from(line.peer.port())),
            Self::Via if !is_direct => Value::Address(line.peer.ip()),
            Self::Via => line.announced_by.map_or(Value::Absent, Value::Address),
            Self::ClientPort => Value::Absent,
            Self::Listener => Value::Word(line.listener),
            Self::Route => word(line.route),
            Self::Pool => word(line.pool),
            Self::Backend => word(line.backend),
            Self::Method => foreign(parts.method, METHOD_BYTES_MAX),
            Self::Host => foreign(parts.host, HOST_BYTES_MAX),
            Self::Path => foreign(parts.target, PATH_BYTES_MAX),
            Self::Protocol => word(line.protocol),
            Self::Status => line
                .status
                .map_or(Value::Absent, |status| Value::Number(u64::from(status))),
            Self::RequestBytes => Value::Number(line.request_bytes),
            Self::ResponseBytes => Value::Number(line.response_bytes),
            Self::HeadMs => span(line.timers.head),
            Self::QueueMs => span(line.timers.queue),
            Self::ConnectMs => span(line.timers.connect),
            Self::ResponseMs => span(line.timers.response),
            Self::TotalMs => span(line.timers.total),
            Self::Retries => Value::Number(u64::from(line.retries)),
            Self::Termination => Value::Word(line.termination.as_str()),
            Self::EndedBy => word(match line.termination.ended_by(line.awaited) {
                EndedBy::Nobody => line.first.as_str(),
                by @ (EndedBy::Client | EndedBy::Backend | EndedBy::Proxy) => by.as_str(),
            }),
            Self::Phase => Value::Word(line.phase.as_str()),
            Self::Error => foreign(line.error.map(str::as_bytes), ERROR_BYTES_MAX),
            Self::RequestId => foreign(parts.request_id, REQUEST_ID_BYTES_MAX),
            Self::Referer => foreign(parts.referer, REFERER_BYTES_MAX),
            Self::UserAgent => foreign(parts.user_agent, USER_AGENT_BYTES_MAX),
            Self::Affinity => word(line.affinity),
            Self::ReproxiedBy => word(line.reproxied_by),
            Self::Ejected => line.ejected.map_or(Value::Absent, Value::Flag),
            Self::TlsVersion => word(tls.map(|tls| tls.version)),
            Self::TlsCipher => word(tls.map(|tls| tls.cipher)),
            Self::TlsServerName => {
                let name = tls.and_then(|tls| tls.server_name);
                foreign(name.map(str::as_bytes), HOST_BYTES_MAX)
            }
            Self::TlsResumed => tls.map_or(Value::Absent, |tls| Value::Flag(tls.resumed)),
            Self::ClientCertificate => {
                let subject = tls.and_then(|tls| tls.client_certificate);
                foreign(subject.map(str::as_bytes), SUBJECT_BYTES_MAX)
            }
            Self::ClientCertificateFingerprint => word(tls.and_then(|tls| tls.fingerprint)),
            Self::HandshakeMs => span(tls.and_then(|tls| tls.handshake)),
        }
    }
}

impl Value<'_> {
    fn write(&self, out: &mut Vec<u8>, how: Escaping) {
        match self {
            Value::Absent => {}
            Value::Number(number) => write_number(out, *number),
            Value::Time(at_ms) => write_time(out, *at_ms),
            Value::Span(span) => {
                let millis = span.as_secs().saturating_mul(1000);
                let micros = u64::from(span.subsec_micros());
                write_number(out, millis.saturating_add(micros / 1000));
                out.push(b'.');
                write_digits(out, micros % 1000, 3);
            }
            Value::Address(address) => write_address(out, address.to_canonical()),
            Value::Flag(flag) => {
                out.extend_from_slice(if *flag { b"true" } else { b"false" });
            }
            Value::Word(word) => out.extend_from_slice(word.as_bytes()),
            Value::Foreign(bytes, bytes_max) => write_escaped(out, bytes, *bytes_max, how),
        }
    }
}

/// RFC 3339, in UTC.
fn write_time(out: &mut Vec<u8>, at_ms: u64) {
    let seconds = at_ms / 1000;
    let (year, month, day) = date_of_day(seconds / 86_400);
    write_digits(out, year, 4);
    for (before, number) in [
        (b'-', month),
        (b'-', day),
        (b'T', seconds / 3600 % 24),
        (b':', seconds / 60 % 60),
        (b':', seconds % 60),
    ] {
        out.push(before);
        write_digits(out, number, 2);
    }
    out.push(b'.');
    write_digits(out, at_ms % 1000, 3);
    out.push(b'Z');
}

/// No registered method is as long.
const METHOD_BYTES_MAX: usize = 32;
/// A name of DNS, and a port.
const HOST_BYTES_MAX: usize = 261;
/// Longer targets are attacks or accidents; what they begin with says which.
pub(super) const PATH_BYTES_MAX: usize = 2048;
const ERROR_BYTES_MAX: usize = 256;
const REQUEST_ID_BYTES_MAX: usize = 128;
const REFERER_BYTES_MAX: usize = 1024;
const USER_AGENT_BYTES_MAX: usize = 512;
const SUBJECT_BYTES_MAX: usize = 512;
