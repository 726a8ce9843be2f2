//! The words of the log: what each is called and how it is written.
//!
//! One list for both manners, so that a JSON key and a placeholder of the same name say the same.

use std::io::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use super::escape::{Escaping, write_escaped};
use super::{Line, head};
use crate::model::date_of_day;

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
    RequestId,
    Referer,
    UserAgent,
}

/// What a field has to say.
enum Value<'a> {
    Absent,
    Number(u64),
    Time(u64),
    Span(Duration),
    Address(IpAddr),
    /// A word or a name of ours.
    Word(&'a str),
    /// Bytes of the client's, of which at most so many are written.
    Foreign(&'a [u8], usize),
}

impl Field {
    /// Every field, in the order of a JSON line.
    pub const ALL: [Field; 26] = [
        Field::Time,
        Field::Client,
        Field::ClientPort,
        Field::Via,
        Field::Listener,
        Field::Pool,
        Field::Backend,
        Field::Method,
        Field::Host,
        Field::Path,
        Field::Protocol,
        Field::Status,
        Field::RequestBytes,
        Field::ResponseBytes,
        Field::HeadMs,
        Field::QueueMs,
        Field::ConnectMs,
        Field::ResponseMs,
        Field::TotalMs,
        Field::Retries,
        Field::Termination,
        Field::EndedBy,
        Field::Phase,
        Field::RequestId,
        Field::Referer,
        Field::UserAgent,
    ];

    /// Returns its key in JSON and its placeholder in a text.
    pub const fn name(self) -> &'static str {
        match self {
            Field::Time => "time",
            Field::Client => "client",
            Field::ClientPort => "client_port",
            Field::Via => "via",
            Field::Listener => "listener",
            Field::Pool => "pool",
            Field::Backend => "backend",
            Field::Method => "method",
            Field::Host => "host",
            Field::Path => "path",
            Field::Protocol => "protocol",
            Field::Status => "status",
            Field::RequestBytes => "request_bytes",
            Field::ResponseBytes => "response_bytes",
            Field::HeadMs => "head_ms",
            Field::QueueMs => "queue_ms",
            Field::ConnectMs => "connect_ms",
            Field::ResponseMs => "response_ms",
            Field::TotalMs => "total_ms",
            Field::Retries => "retries",
            Field::Termination => "termination",
            Field::EndedBy => "ended_by",
            Field::Phase => "phase",
            Field::RequestId => "request_id",
            Field::Referer => "referer",
            Field::UserAgent => "user_agent",
        }
    }

    /// Appends its value as JSON; `null` where there is none.
    pub(super) fn write_json(self, line: &Line<'_>, out: &mut Vec<u8>) {
        let value = self.value(line);
        match value {
            Value::Absent => out.extend_from_slice(b"null"),
            Value::Number(_) | Value::Span(_) => value.write(out, Escaping::Json),
            Value::Time(_) | Value::Address(_) | Value::Word(_) | Value::Foreign(..) => {
                out.push(b'"');
                value.write(out, Escaping::Json);
                out.push(b'"');
            }
        }
    }

    /// Appends its value as a text; `-` where there is none.
    pub(super) fn write_text(self, line: &Line<'_>, out: &mut Vec<u8>) {
        let value = self.value(line);
        if matches!(value, Value::Absent | Value::Foreign(b"", _)) {
            out.push(b'-');
        } else {
            value.write(out, Escaping::Text);
        }
    }

    fn value<'a>(self, line: &Line<'a>) -> Value<'a> {
        let foreign = |bytes: Option<&'a [u8]>, bytes_max| {
            bytes.map_or(Value::Absent, |bytes| Value::Foreign(bytes, bytes_max))
        };
        let word = |word: Option<&'a str>| word.map_or(Value::Absent, Value::Word);
        let span = |span: Option<Duration>| span.map_or(Value::Absent, Value::Span);
        let header = |name| head::field(line.head, name);
        let is_direct = line.peer.ip().to_canonical() == line.client.to_canonical();
        match self {
            Field::Time => Value::Time(line.began_ms),
            Field::Client => Value::Address(line.client),
            Field::ClientPort if is_direct => Value::Number(u64::from(line.peer.port())),
            Field::Via if !is_direct => Value::Address(line.peer.ip()),
            Field::ClientPort | Field::Via => Value::Absent,
            Field::Listener => Value::Word(line.listener),
            Field::Pool => Value::Word(line.pool),
            Field::Backend => word(line.backend),
            Field::Method => foreign(head::method_and_target(line.head).0, METHOD_BYTES_MAX),
            Field::Host => foreign(header("host"), HOST_BYTES_MAX),
            Field::Path => foreign(head::method_and_target(line.head).1, PATH_BYTES_MAX),
            Field::Protocol => word(line.protocol),
            Field::Status => line
                .status
                .map_or(Value::Absent, |status| Value::Number(u64::from(status))),
            Field::RequestBytes => Value::Number(line.request_bytes),
            Field::ResponseBytes => Value::Number(line.response_bytes),
            Field::HeadMs => span(line.timers.head),
            Field::QueueMs => span(line.timers.queue),
            Field::ConnectMs => span(line.timers.connect),
            Field::ResponseMs => span(line.timers.response),
            Field::TotalMs => span(line.timers.total),
            Field::Retries => Value::Number(u64::from(line.retries)),
            Field::Termination => Value::Word(line.termination.as_str()),
            Field::EndedBy => word(line.termination.ended_by(line.awaited).as_str()),
            Field::Phase => Value::Word(line.phase.as_str()),
            Field::RequestId => foreign(header("x-request-id"), REQUEST_ID_BYTES_MAX),
            Field::Referer => foreign(header("referer"), REFERER_BYTES_MAX),
            Field::UserAgent => foreign(header("user-agent"), USER_AGENT_BYTES_MAX),
        }
    }
}

impl Value<'_> {
    fn write(&self, out: &mut Vec<u8>, how: Escaping) {
        // Writing to a vector cannot fail.
        let _ = match self {
            Value::Absent => Ok(()),
            Value::Number(number) => write!(out, "{number}"),
            Value::Time(at_ms) => write_time(out, *at_ms),
            Value::Span(span) => {
                let micros = span.as_micros();
                write!(out, "{}.{:03}", micros / 1000, micros % 1000)
            }
            Value::Address(address) => write!(out, "{}", address.to_canonical()),
            Value::Word(word) => out.write_all(word.as_bytes()),
            Value::Foreign(bytes, bytes_max) => {
                write_escaped(out, bytes, *bytes_max, how);
                Ok(())
            }
        };
    }
}

/// RFC 3339, in UTC.
fn write_time(out: &mut Vec<u8>, at_ms: u64) -> std::io::Result<()> {
    let seconds = at_ms / 1000;
    let (year, month, day) = date_of_day(seconds / 86_400);
    write!(
        out,
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60,
        at_ms % 1000,
    )
}

/// No registered method is as long.
const METHOD_BYTES_MAX: usize = 32;
/// A name of DNS, and a port.
const HOST_BYTES_MAX: usize = 261;
/// Longer targets are attacks or accidents; what they begin with says which.
pub(super) const PATH_BYTES_MAX: usize = 2048;
const REQUEST_ID_BYTES_MAX: usize = 128;
const REFERER_BYTES_MAX: usize = 1024;
const USER_AGENT_BYTES_MAX: usize = 512;
