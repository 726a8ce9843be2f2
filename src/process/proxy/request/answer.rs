//! The responses that the proxy gives itself: what the client is told of an attempt that failed,
//! and how a local reply is sent.
//!
//! What an [`AttemptError`] means to the client and to the access log stands in two tables here;
//! whether the request is tried again, in `logic::balance::retry`.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::task::Poll;

use crate::config::RespondConfig;
use crate::logic::balance::rate::retry_after_secs;
use crate::logic::balance::retry::{AttemptError, Cause, Reached, Side};
use crate::logic::http1::head::Persistence;
use crate::logic::http1::local_reply::{LocalReply, Page};
use crate::logic::http1::refusal::{BodyError, RequestRefusal, ResponseRefusal};
use crate::logic::http1::response::AskedFor;
use crate::logic::http1::rewrite::edit::Edits;
use crate::model::Chain;
use crate::process::proxy::downstream::clients::Exceeded;
use crate::process::proxy::downstream::listener::Listener;
use crate::process::proxy::io::deadline::Phase;
use crate::process::proxy::io::stream::Stream;
use crate::process::proxy::request::context::{After, Local, RequestContext};
use crate::process::proxy::request::record::{Record, Termination};
use crate::process::proxy::spool::body::Failure;

/// What ends a request that no backend answers.
pub(in crate::process::proxy) enum Unserved {
    /// A local reply.
    Reply(LocalReply, Termination),
    /// The end of the connection: the client is gone, or is not to be told.
    NoReply(Termination),
}

/// What an error has besides its kind, for people.
pub(in crate::process::proxy) enum Detail {
    /// Nothing.
    None,
    /// What the system said.
    System(io::Error),
    /// What is wrong with the body of the request.
    Body(BodyError),
    /// What is wrong with the response.
    Response(ResponseRefusal),
}

impl fmt::Display for Detail {
    /// Reads on behind the kind of the error.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::System(error) => write!(f, ": {error}"),
            Self::Body(error) => write!(f, ": {error}"),
            Self::Response(refusal) => write!(f, ": {}", Chain(refusal)),
        }
    }
}

/// Returns what ends a request whose last attempt failed, on a backend that `named` names.
pub(in crate::process::proxy) fn unserved(
    error: AttemptError,
    named: &str,
    detail: Detail,
) -> Unserved {
    let termination = termination(error);
    let reply = match (error.side, error.cause, detail) {
        (_, Cause::Drained, _) | (Side::Client, Cause::Lost, _) => {
            return Unserved::NoReply(termination);
        }
        (Side::Client, _, Detail::Body(BodyError::TooLong)) => {
            refused(RequestRefusal::BodyTooLarge)
        }
        (Side::Client, _, Detail::Body(error)) => refused(RequestRefusal::Body(error)),
        (Side::Client, _, Detail::None | Detail::System(_) | Detail::Response(_)) => late(),
        (Side::Upstream | Side::Proxy, _, detail) => {
            let (status, token) = status_and_token(error);
            let why = reason(error, named, &detail);
            LocalReply::line(status, token, why)
        }
    };
    Unserved::Reply(reply, termination)
}

/// Returns status and word of what the client is told of an error that is not its own.
const fn status_and_token(error: AttemptError) -> (u16, &'static str) {
    match (error.cause, error.reached) {
        (Cause::Shortage | Cause::Drained, _) => (503, "resources_exhausted"),
        (Cause::Refused, _) => (502, "connect_failed"),
        (Cause::TimedOut, Reached::Nothing) => (504, "connect_timeout"),
        (Cause::TimedOut, Reached::Connected(_) | Reached::Sent(_)) => (504, "response_timeout"),
        (Cause::Lost, _) => (502, "connection_lost"),
        (Cause::Malformed, _) => (502, "invalid_response"),
    }
}

/// Returns the word of the access log.
fn termination(error: AttemptError) -> Termination {
    match (error.side, error.cause, error.reached) {
        (_, Cause::Drained, _) => Termination::DrainTimeout,
        (_, Cause::Shortage, _) => Termination::ResourcesExhausted,
        (Side::Client, Cause::Lost, _) => Termination::ClientGone,
        (Side::Client, Cause::TimedOut, _) => Termination::RequestBodyTimeout,
        (Side::Client, Cause::Malformed | Cause::Refused, _) => Termination::RequestBodyInvalid,
        (Side::Upstream | Side::Proxy, Cause::TimedOut, Reached::Nothing) => {
            Termination::ConnectTimeout
        }
        (
            Side::Upstream | Side::Proxy,
            Cause::TimedOut,
            Reached::Connected(_) | Reached::Sent(_),
        ) => Termination::ResponseHeadTimeout,
        (Side::Upstream | Side::Proxy, Cause::Refused, _) => Termination::ConnectFailed,
        (Side::Upstream | Side::Proxy, Cause::Lost, _) => Termination::ConnectionLost,
        (Side::Upstream | Side::Proxy, Cause::Malformed, _) => Termination::InvalidResponse,
    }
}

/// Returns the reason for people.
fn reason(error: AttemptError, named: &str, detail: &Detail) -> String {
    match (error.cause, error.reached) {
        (Cause::Shortage | Cause::Drained, _) => {
            format!("this proxy can open no connection to a backend{detail}")
        }
        (Cause::Refused, _) => format!("{named} cannot be connected to{detail}"),
        (Cause::Malformed, _) => format!("{named} sent an answer that is not relayed{detail}"),
        (Cause::TimedOut, Reached::Nothing) => {
            format!("{named} did not accept the connection in time")
        }
        (Cause::TimedOut, Reached::Connected(_) | Reached::Sent(_)) => {
            format!("{named} did not answer in time")
        }
        (Cause::Lost, _) => format!("{named} closed the connection before it answered"),
    }
}

/// Returns what a request is known by; `head` is as backends are sent it.
pub(in crate::process::proxy) fn request_id(head: &[u8]) -> Option<&[u8]> {
    let mut lines = head.split(|&byte| byte == b'\n').rev();
    let id = lines.find_map(|line| line.strip_prefix(b"X-Request-Id: "));
    id.map(<[u8]>::trim_ascii)
}

/// Returns what a stranger is told instead of the reason, which names what is behind the proxy: how
/// to find it in the log.
pub(in crate::process::proxy) fn for_strangers(request_id: Option<&[u8]>) -> String {
    match request_id.map(String::from_utf8_lossy) {
        Some(id) => format!("request {id}"),
        None => "this request cannot be served now".to_owned(),
    }
}

/// Returns the reply as this client may read it: what is behind the proxy is nothing for strangers,
/// but stands in the log. `head` is the request's, as backends are sent it.
pub(in crate::process::proxy) fn disclosed(
    context: RequestContext<'_>,
    head: &[u8],
    reply: LocalReply,
    record: &mut Record,
) -> LocalReply {
    let id = request_id(head);
    record.request_id = id.map(Box::from);
    let trusted = &context.listener.forwarding.trusted_proxies;
    let peer = context.peer.ip();
    let is_inner = reply.status >= 500 || record.termination == Termination::Denied;
    if !is_inner || trusted.iter().any(|network| network.contains(peer)) {
        return reply;
    }
    tracing::debug!(error = %reply.why, "request not served");
    let why = for_strangers(id);
    record.error = Some(reply.why.into());
    LocalReply { why, ..reply }
}

/// Returns what an administrator has written for an answer.
pub(in crate::process::proxy) fn page_of(respond: &RespondConfig) -> Page {
    Page {
        content_type: respond.content_type.as_str().into(),
        body: respond.body.as_bytes().into(),
    }
}

/// Returns the answer to a client that is not served, because the listener is in maintenance.
pub(in crate::process::proxy) fn in_maintenance(listener: &Listener) -> Local {
    let why = format!("listener {} is in maintenance", listener.name);
    let mut reply = LocalReply::line(503, "maintenance", why);
    let retry_after = listener.maintenance.retry_after;
    let seconds = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
    reply.fields = format!("Retry-After: {seconds}\r\n").into_bytes();
    Local {
        reply,
        termination: Termination::Maintenance,
    }
}

/// Returns the answer to a request that is not relayed.
pub(in crate::process::proxy) fn refused(refusal: RequestRefusal) -> LocalReply {
    LocalReply::line(
        refusal.status(),
        refusal.token(),
        Chain(&refusal).to_string(),
    )
}

/// Returns the answer to a request that does not come to its end.
pub(in crate::process::proxy) fn late() -> LocalReply {
    LocalReply::line(
        408,
        "request_timeout",
        "the request did not come to its end in time".to_owned(),
    )
}

/// Returns the answer to a client that a route turns away.
pub(in crate::process::proxy) fn denied(route: &str) -> Local {
    let why = format!("route {route} is not for this client");
    Local {
        reply: LocalReply::line(403, "denied", why),
        termination: Termination::Denied,
    }
}

/// Returns the answer to a request that no route is for.
pub(in crate::process::proxy) fn no_route() -> Local {
    let why = "nothing is served under this address".to_owned();
    Local {
        reply: LocalReply::line(404, "no_route", why),
        termination: Termination::NoRoute,
    }
}

/// Returns the answer to a request that is one too many.
pub(in crate::process::proxy) fn rate_limited(exceeded: Exceeded) -> Local {
    let secs = retry_after_secs(exceeded.retry_after_ns);
    let why = format!("too many requests; the next may come in {secs} s");
    Local {
        reply: retry_after(LocalReply::line(429, "rate_limited", why), secs),
        termination: Termination::RateLimited,
    }
}

/// Returns what a client is told whose connections come too often.
pub(in crate::process::proxy) fn connection_rate_limited(exceeded: Exceeded) -> LocalReply {
    let secs = retry_after_secs(exceeded.retry_after_ns);
    let why = format!("too many new connections; the next may come in {secs} s");
    retry_after(LocalReply::line(429, "connections_rate_limited", why), secs)
}

/// RFC 6585 §4, RFC 9110 §10.2.3.
fn retry_after(mut reply: LocalReply, secs: u64) -> LocalReply {
    reply.fields = format!("Retry-After: {secs}\r\n").into_bytes();
    reply
}

/// Writes a local reply, or the page that the listener has for it.
pub(in crate::process::proxy) async fn send_local_reply(
    context: RequestContext<'_>,
    stream: &mut Stream,
    reply: &LocalReply,
    asked: AskedFor,
    persistence: Persistence,
    edits: Option<&Edits>,
    record: &mut Record,
) -> After {
    let RequestContext {
        worker,
        listener,
        deadline,
        ..
    } = context;
    let persistence = if deadline.expects_no_more() {
        Persistence::Close
    } else {
        persistence
    };
    listener.counters.count_response(reply.status);
    record.status = reply.status;
    if reply.status >= 400 && record.error.is_none() {
        record.error = Some(reply.why.as_str().into());
    }
    let id = record.request_id.as_deref();
    let dressed = listener.pages.dress(reply, record.termination, id);
    let reply = dressed.as_ref().unwrap_or(reply);
    deadline.enter(Phase::Relaying, context.rules.timeouts.idle);
    let page_bytes = reply.page.as_ref().map_or(0, |page| page.body.len());
    let mut text = worker.buffers.with_room(LOCAL_REPLY_BYTES + page_bytes);
    let date = worker.date.get();
    reply.write_head(asked.version, persistence, &date, &mut text);
    if let Some(edits) = edits {
        edits.apply(&mut text);
    }
    reply.write_body(asked.method, &mut text);
    let mut written = 0;
    let whole = poll_fn(|cx| {
        while written < text.len() || stream.has_unsent() {
            if deadline.poll_interrupt(cx).is_ready() {
                return Poll::Ready(false);
            }
            std::task::ready!(worker.budget.poll());
            let rest = &text[written..];
            let sent = match rest {
                [] => stream.poll_send(cx).map_ok(|_| 0),
                rest => stream.poll_write(cx, &[IoSlice::new(rest)]),
            };
            match std::task::ready!(sent) {
                Ok(count) => {
                    worker.budget.charge(count);
                    written += count;
                }
                Err(_) => return Poll::Ready(false),
            }
        }
        Poll::Ready(true)
    })
    .await;
    worker.buffers.give_back(text);
    record.response_bytes += written as u64;
    match (whole, persistence) {
        (false, _) => After::Close,
        (true, Persistence::Keep) => After::Keep,
        (true, Persistence::Close) => After::Linger,
    }
}

/// Returns what ends a request with a line.
pub(in crate::process::proxy) fn line(
    status: u16,
    word: &'static str,
    why: String,
    termination: Termination,
) -> Unserved {
    Unserved::Reply(LocalReply::line(status, word, why), termination)
}

/// Returns what ends a request whose body was to be whole before a backend is asked, and is not
/// kept.
pub(in crate::process::proxy) fn unkept(failure: Failure) -> Unserved {
    match failure {
        Failure::Full(why) => {
            let why = format!("there is no room for the body of the request: {why}");
            line(507, "disk_full", why, Termination::DiskFull)
        }
        Failure::Disk(error) => {
            let why = format!("the body of the request is not kept: {error}");
            line(500, "disk_failed", why, Termination::DiskFailed)
        }
    }
}

/// Returns what a client is told that speaks no TLS where it is spoken.
pub(in crate::process::proxy) fn tls_required() -> LocalReply {
    let why = "this port speaks TLS: use https://";
    LocalReply::line(400, "tls_required", why.to_owned())
}

/// Written as it is to a client that is one too many.
pub(in crate::process::proxy) const TOO_MANY_CONNECTIONS: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\n\
Content-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\nContent-Length: 49\r\n\
Connection: close\r\n\r\nconnections_exhausted: too many open connections\n";
/// Bytes that a local reply usually has beside its page.
const LOCAL_REPLY_BYTES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logic::balance::retry::Connection;

    #[test]
    fn every_error_has_its_status_its_word_and_its_termination() {
        use Cause::{Drained, Lost, Malformed, Refused, Shortage, TimedOut};
        use Side::{Client, Proxy, Upstream};
        let (nothing, sent) = (Reached::Nothing, Reached::Sent(Connection::Fresh));
        let unsent = Reached::Connected(Connection::Reused);
        for ((side, reached, cause), told, said) in [
            (
                (Upstream, nothing, Refused),
                "502 connect_failed",
                Termination::ConnectFailed,
            ),
            (
                (Upstream, nothing, TimedOut),
                "504 connect_timeout",
                Termination::ConnectTimeout,
            ),
            (
                (Upstream, sent, TimedOut),
                "504 response_timeout",
                Termination::ResponseHeadTimeout,
            ),
            (
                (Upstream, unsent, TimedOut),
                "504 response_timeout",
                Termination::ResponseHeadTimeout,
            ),
            (
                (Upstream, sent, Lost),
                "502 connection_lost",
                Termination::ConnectionLost,
            ),
            (
                (Upstream, sent, Malformed),
                "502 invalid_response",
                Termination::InvalidResponse,
            ),
            (
                (Proxy, nothing, Shortage),
                "503 resources_exhausted",
                Termination::ResourcesExhausted,
            ),
            ((Proxy, sent, Drained), "", Termination::DrainTimeout),
            ((Client, sent, Lost), "", Termination::ClientGone),
            (
                (Client, sent, TimedOut),
                "408 request_timeout",
                Termination::RequestBodyTimeout,
            ),
        ] {
            let error = AttemptError {
                side,
                reached,
                cause,
            };
            let unserved = unserved(error, "backend a", Detail::None);
            let (reply, termination) = match unserved {
                Unserved::Reply(reply, termination) => {
                    (format!("{} {}", reply.status, reply.token), termination)
                }
                Unserved::NoReply(termination) => (String::new(), termination),
            };
            assert_eq!((reply.as_str(), termination), (told, said), "{error:?}");
        }
    }

    #[test]
    fn strangers_are_told_how_to_find_the_reason_and_not_what_it_is() {
        let told = |head: &[u8]| for_strangers(request_id(head));
        let head = b"GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: 0af3\r\n\r\n";
        assert_eq!(told(head), "request 0af3");
        let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_eq!(told(head), "this request cannot be served now");
    }

    #[test]
    fn fixed_answers_state_their_length() {
        let text = std::str::from_utf8(TOO_MANY_CONNECTIONS).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        let length = format!("Content-Length: {}\r\n", body.len());
        assert!(head.contains(&length), "{head:?} should say {length:?}");
    }
}
