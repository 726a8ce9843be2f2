//! What is known of a request when it has ended, for the access log (`logic::access`).
//!
//! Plain values, filled in while the request goes its way; `ended` is called once for every request
//! that was answered, or would have been.

use std::net::IpAddr;
use std::time::Instant;

use crate::logic::access::{Awaited, EndedBy, Line, Phase};
use crate::logic::balance::affinity::Outcome;
use crate::logic::balance::retry::Order;
use crate::process::proxy::request::context::RequestContext;
use crate::process::proxy::request::moments::{AskedAs, Moments};
use crate::process::proxy::upstream::pool::Pool;

pub(in crate::process::proxy) use crate::logic::access::Termination;

/// One request, from its first byte to the last of its answer.
#[derive(Clone, Debug)]
pub(in crate::process::proxy) struct Record {
    /// The client's own address, by the word of the trusted proxies before us.
    pub(in crate::process::proxy) origin: IpAddr,
    /// The backend that was tried last, by its index in the pool.
    pub(in crate::process::proxy) backend: Option<usize>,
    /// What the client was answered; 0 where it was not.
    pub(in crate::process::proxy) status: u16,
    /// Bytes the backend was sent, the head among them.
    pub(in crate::process::proxy) request_bytes: u64,
    /// Bytes the client was sent, the head among them.
    pub(in crate::process::proxy) response_bytes: u64,
    /// Attempts after the first.
    pub(in crate::process::proxy) retries: u16,
    /// When what happened.
    pub(in crate::process::proxy) moments: Moments,
    /// The client's version; `None` where its request was not read.
    pub(in crate::process::proxy) protocol: Option<&'static str>,
    /// What backends know it by, where the proxy has answered itself; for people.
    pub(in crate::process::proxy) request_id: Option<Box<[u8]>>,
    /// How it ended.
    pub(in crate::process::proxy) termination: Termination,
    /// Why the proxy answered itself.
    pub(in crate::process::proxy) error: Option<Box<str>>,
    /// How far it had come by then.
    pub(in crate::process::proxy) phase: Phase,
    /// Who was waited for when an answer stood still.
    pub(in crate::process::proxy) awaited: Awaited,
    /// Who has ended first, of a connection that carried bytes.
    pub(in crate::process::proxy) first: EndedBy,
    /// What the client has asked for, where a backend was asked something else.
    pub(in crate::process::proxy) asked: Option<Box<AskedAs>>,
    /// Whether it was the first of its connection.
    pub(in crate::process::proxy) order: Order,
    /// What became of its session; `None` where the pool has no affinity, or no key.
    pub(in crate::process::proxy) affinity: Option<Outcome>,
    /// The pool and the backend that have said where the answer is.
    pub(in crate::process::proxy) reproxied_by: Option<Box<str>>,
    /// Whether a backend was ejected for how it went.
    pub(in crate::process::proxy) ejected: bool,
}

impl Record {
    /// Returns the record of a request of which nothing is known but whence it came.
    pub(in crate::process::proxy) fn new(origin: IpAddr) -> Self {
        Self {
            origin,
            backend: None,
            status: 0,
            request_bytes: 0,
            response_bytes: 0,
            retries: 0,
            moments: Moments::default(),
            protocol: None,
            request_id: None,
            termination: Termination::Complete,
            error: None,
            phase: Phase::RequestHead,
            awaited: Awaited::Backend,
            first: EndedBy::Nobody,
            asked: None,
            order: Order::First,
            affinity: None,
            reproxied_by: None,
            ejected: false,
        }
    }
}

/// Takes note of a request that has ended, and which pool had to answer it: a line in the access
/// log.
/// `head` is the request's head as the backend was sent it or, where the request was not read, what
/// there was of it.
pub(in crate::process::proxy) fn ended(
    context: RequestContext<'_>,
    pool: Option<&Pool>,
    record: &Record,
    head: &[u8],
) {
    if let Some(took) = record.moments.timers().total {
        let rules = context.rules.route.map_or(0, |route| route + 1);
        if let Some(route) = context.listener.route_counters.get(rules) {
            route.times.note(took);
        }
    }
    if context.worker.is_logging()
        && context.listener.access_log
        && let Some(lines) = &mut *context.worker.lines.borrow_mut()
    {
        let moments = &record.moments;
        let began_at = moments.began_at.or(moments.ended_at);
        let began_ms = lines.unix_ms(began_at.unwrap_or_else(Instant::now));
        let backend = record.backend.zip(pool);
        let route = context
            .rules
            .route
            .and_then(|it| context.listener.routes.get(it));
        lines.write(&Line {
            began_ms,
            peer: *context.peer,
            announced_by: context.announced.and_then(|it| it.by),
            client: record.origin,
            listener: &context.listener.name,
            route: route.map(|route| route.name.as_str()),
            pool: pool.map(|pool| pool.name.as_str()),
            backend: backend.map(|(index, pool)| pool.backend(index).runtime.name.as_str()),
            head,
            asked: record.asked.as_ref().map(|it| (&*it.target, &*it.host)),
            protocol: record.protocol,
            status: (record.status > 0).then_some(record.status),
            request_bytes: record.request_bytes,
            response_bytes: record.response_bytes,
            timers: moments.timers(),
            retries: record.retries,
            termination: record.termination,
            error: record.error.as_deref(),
            phase: record.phase,
            awaited: record.awaited,
            first: record.first,
            affinity: record.affinity.map(Outcome::as_str),
            reproxied_by: record.reproxied_by.as_deref(),
            ejected: pool
                .filter(|pool| pool.ejection.is_some())
                .map(|_| record.ejected),
            tls: context.tls.map(|tls| tls.parts(record.order)),
        });
    }
}
