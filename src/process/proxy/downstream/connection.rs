//! One client connection, from accept to the last byte.
//!
//! Heads are read and judged here, one after another; each request that may be relayed is handed to
//! `attempts`. An idle connection holds no buffer. It is closed so that no answer on its way is
//! destroyed: a reset would do that, where the client still sends.

mod handshake;
mod http2;
mod part;
mod proxied;
mod tcp;
pub(in crate::process::proxy) mod turning_away;

use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use self::part::Part;
use crate::config::Mode;
use crate::logic::access;
use crate::logic::balance::retry::{Order, Repeat};
use crate::logic::http1::forwarding::{ForwardingContext, OptionalField, Trust, origin};
use crate::logic::http1::head::{Framing, Persistence, Slots, Upgrade, Version, head_may_end};
use crate::logic::http1::local_reply::LocalReply;
use crate::logic::http1::refusal::RequestRefusal;
use crate::logic::http1::request::message::Message;
use crate::logic::http1::request::{RequestHead, Target, without_port};
use crate::logic::http1::response::{AskedFor, AskedMethod};
use crate::process::proxy::context::WorkerContext;
use crate::process::proxy::context::connections::Origin;
use crate::process::proxy::context::tasks::Tasks;
use crate::process::proxy::downstream::client::{Age, Client};
use crate::process::proxy::downstream::listener::Counted;
use crate::process::proxy::downstream::local::WorkerListener;
use crate::process::proxy::downstream::routing::{Known, Route, Routed};
use crate::process::proxy::downstream::rules::Rules;
use crate::process::proxy::downstream::slot::ListenerSlot;
use crate::process::proxy::io::budget::{Hunger, PARSED};
use crate::process::proxy::io::buffers::Held;
use crate::process::proxy::io::deadline::{Deadline, Interrupt, Phase};
use crate::process::proxy::io::future_pool::{FuturePool, FutureSlot};
use crate::process::proxy::io::socket::Unread;
use crate::process::proxy::io::stream::Stream;
use crate::process::proxy::memory::{ADDED_BYTES, AHEAD_BYTES};
use crate::process::proxy::request::context::{After, Answerer, Request, RequestContext};
use crate::process::proxy::request::moments::Moments;
use crate::process::proxy::request::record::{self, Record, Termination};
use crate::process::proxy::request::{answer, attempts, local};
use crate::process::proxy::tls::acceptor;

/// How far the reading of a head has come.
struct Reading {
    /// Whom the request is for, since its first byte.
    listener: Option<Rc<WorkerListener>>,
    /// So far it was searched for its end.
    searched: Option<usize>,
    began_at: Option<Instant>,
}

impl Reading {
    fn moments(&self) -> Moments {
        Moments {
            began_at: self.began_at,
            ..Moments::default()
        }
    }
}

/// How the wait for a request has ended.
pub(in crate::process::proxy) enum Read {
    /// Before any request, TLS is to be spoken.
    Handshake,
    /// With the beginning of HTTP/2, without TLS.
    Http2,
    /// With the knowledge of whom the client asks for, where bytes are carried.
    Bytes(Option<Box<str>>),
    /// With a request, and what answers it.
    Request(Request, Answerer),
    /// With one that is not relayed.
    Refused(RequestRefusal, Moments),
    /// It did not come to its end.
    Late(Moments),
    /// Nothing was asked for too long, or the client has ended.
    Over,
    /// The drain has begun.
    Drained,
}

/// What was read, by a client, for a listener.
type Arrived = (Box<Client>, Rc<WorkerListener>, Read);

/// A stream whose request has been read, and what becomes of it.
struct Answering {
    futures: Rc<Futures>,
    handling: Box<dyn FutureSlot<Arrived, (Box<Client>, After)>>,
    context: Rc<WorkerContext>,
    slot: Rc<ListenerSlot>,
    deadline: Rc<Deadline>,
    hunger: Rc<Hunger>,
    part: Part,
}

/// What a worker handles requests with.
pub(in crate::process::proxy) struct Futures {
    /// In which it handles what was read.
    requests: FuturePool<Arrived, (Box<Client>, After)>,
    /// In which streams of connections that carry many are answered.
    streams: Tasks<Answering>,
}

impl Futures {
    /// Returns none so far.
    pub(in crate::process::proxy) fn new() -> Self {
        Self {
            requests: FuturePool::new(handle),
            streams: Tasks::new(),
        }
    }

    /// Lets go what has not been needed for a while; returns how many requests can be handled.
    pub(in crate::process::proxy) fn sweep(&self) -> usize {
        self.streams.sweep();
        self.requests.sweep()
    }
}

/// Serves a connection to its end.
pub(in crate::process::proxy) async fn serve(
    context: Rc<WorkerContext>,
    futures: Rc<Futures>,
    slot: Rc<ListenerSlot>,
    (stream, address, port): (Stream, SocketAddr, u16),
    counted: Counted,
    deadline: Rc<Deadline>,
) {
    let origin = Origin {
        client: address,
        socket: stream.number(),
        since_ms: context.clock.get(),
    };
    let mut registered = context.register(&slot, origin, counted, &deadline);
    let acceptor = slot.look().acceptor.clone();
    // It moves into the future of every request, and back.
    let mut client = Box::new(Client {
        context,
        slot,
        address,
        port,
        announced: None,
        stream,
        deadline,
        ahead: Held::default(),
        age: Age::New,
        acceptor,
        tls: None,
    });
    // Few connections begin so: the others need no room for it.
    if counted == Counted::Unnamed && !Box::pin(client.hear_whose_it_is(&mut registered)).await {
        return;
    }
    if client.acceptor.is_some() {
        let listener = client.slot.current();
        let mut slot = futures.requests.take();
        slot.start((client, listener, Read::Handshake));
        let after;
        (client, after) = poll_fn(|cx| slot.poll(cx)).await;
        futures.requests.give_back(slot);
        if after != After::Keep {
            client.ahead.clear(&client.context.buffers);
            return;
        }
        if client.speaks_http2() {
            return Box::pin(client.serve_http2(futures)).await;
        }
    }
    if client.slot.look().mode == Mode::Tcp {
        return Box::pin(client.serve_tcp(futures)).await;
    }
    loop {
        let mut reading = client.begin();
        let read = poll_fn(|cx| client.poll_request(cx, &mut reading)).await;
        if let Read::Http2 = read {
            return Box::pin(client.serve_http2(futures)).await;
        }
        let listener = reading.listener;
        let listener = listener.unwrap_or_else(|| client.slot.current());
        let mut slot = futures.requests.take();
        slot.start((client, listener, read));
        let after;
        (client, after) = poll_fn(|cx| slot.poll(cx)).await;
        futures.requests.give_back(slot);
        match after {
            After::Keep => client.age = Age::Kept,
            After::Close | After::Linger | After::Reset => {
                client.ahead.clear(&client.context.buffers);
                return;
            }
        }
    }
}

/// Handles what was read, and closes the connection where nothing follows.
async fn handle((mut client, listener, read): Arrived) -> (Box<Client>, After) {
    let after = match read {
        Read::Handshake => {
            return match client.acceptor.clone() {
                Some(acceptor) => {
                    let after = client.shake_hands(&listener, &acceptor).await;
                    (client, after)
                }
                None => (client, After::Keep),
            };
        }
        Read::Request(mut request, answerer) => {
            client.answer(&listener, &mut request, answerer).await
        }
        Read::Bytes(name) => client.carry(&listener, name.as_deref()).await,
        Read::Refused(refusal, moments) => client.refuse(&listener, refusal, moments).await,
        Read::Late(moments) => client.say_late(&listener, moments).await,
        Read::Http2 | Read::Over => After::Close,
        Read::Drained => After::Linger,
    };
    let last = client.deadline.expects_no_more() && client.ahead.is_empty();
    let within = listener.timeouts.linger;
    if matches!(after, After::Close | After::Reset) && client.stream.is_within_answer() {
        // The connection's turn comes before: it writes the head, which may have come just now.
        tokio::task::yield_now().await;
    }
    match after {
        After::Keep if last => client.linger(within).await,
        After::Keep => return (client, After::Keep),
        After::Linger => client.linger(within).await,
        After::Reset => client.stream.reset_on_close(),
        After::Close => client.stream.say_end(),
    }
    (client, After::Close)
}

impl Client {
    /// Returns where its request stands, its stream, and what it has sent ahead.
    fn split<'c>(
        &'c mut self,
        listener: &'c WorkerListener,
        rules: usize,
    ) -> (RequestContext<'c>, &'c mut Stream, &'c mut Held) {
        let context = RequestContext {
            worker: &self.context,
            listener,
            rules: &listener.rules[rules],
            peer: &self.address,
            announced: self.announced.as_deref(),
            deadline: &self.deadline,
            tls: self.tls.as_deref(),
        };
        (context, &mut self.stream, &mut self.ahead)
    }

    async fn answer(
        &mut self,
        listener: &WorkerListener,
        request: &mut Request,
        answerer: Answerer,
    ) -> After {
        let (context, stream, ahead) = self.split(listener, request.rules);
        listener.route_counters[request.rules].requests.count();
        match answerer {
            Answerer::Pool(pool) => {
                let sent = std::mem::take(ahead);
                let after;
                (after, *ahead) = attempts::answer(context, stream, sent, request, pool).await;
                after
            }
            Answerer::Local(local) => local::answer(context, stream, request, *local).await,
        }
    }

    /// Begins to wait for a request, or to read one that has begun.
    fn begin(&self) -> Reading {
        let listener = self.slot.look();
        let timeouts = &listener.timeouts;
        match (self.ahead.is_empty(), self.age) {
            (true, Age::New) => self.deadline.enter(Phase::Idle, timeouts.request_head),
            (true, Age::Kept) => self.deadline.enter(Phase::Idle, timeouts.keep_alive),
            (false, _) => self.deadline.enter(Phase::Head, timeouts.request_head),
        }
        let has_begun = !self.ahead.is_empty();
        Reading {
            listener: has_begun.then(|| Rc::clone(&listener)),
            searched: None,
            began_at: if has_begun {
                self.context.moment()
            } else {
                None
            },
        }
    }

    /// Reads until a head has come.
    fn poll_request(&mut self, cx: &mut Context<'_>, reading: &mut Reading) -> Poll<Read> {
        if let Poll::Ready(interrupt) = self.deadline.poll_interrupt(cx) {
            return Poll::Ready(match (interrupt, self.deadline.phase()) {
                (Interrupt::Drain, _) => Read::Drained,
                (Interrupt::Overdue, Phase::Head) => Read::Late(reading.moments()),
                (Interrupt::Overdue | Interrupt::Cut, _) => Read::Over,
            });
        }
        loop {
            ready!(self.context.budget.poll());
            if let Some(listener) = reading.listener.take() {
                let read = self.parse(&listener, reading);
                reading.listener = Some(listener);
                if read.is_ready() {
                    return read;
                }
            }
            let WorkerContext {
                buffers, budget, ..
            } = &*self.context;
            let mut buffer = buffers.large();
            // A head that is still too short is shorter than that.
            let room = AHEAD_BYTES.saturating_sub(self.ahead.len()).max(1);
            match self.stream.poll_read(cx, &mut buffer[..room]) {
                Poll::Ready(Ok(len @ 1..)) => {
                    budget.charge(len);
                    if self.ahead.is_empty() {
                        self.ahead = Held::new(buffer, len);
                    } else {
                        self.ahead.append(&buffer[..len], buffers);
                        buffers.give_back(buffer);
                    }
                    if self.deadline.phase() == Phase::Idle {
                        let listener = self.slot.current();
                        let within = listener.timeouts.request_head;
                        self.deadline.enter(Phase::Head, within);
                        reading.began_at = self.context.moment();
                        reading.listener = Some(listener);
                    }
                }
                Poll::Ready(Ok(_) | Err(_)) => {
                    buffers.give_back(buffer);
                    return Poll::Ready(Read::Over);
                }
                Poll::Pending => {
                    buffers.give_back(buffer);
                    self.ahead.shrink(buffers);
                    if self.deadline.take_wanted() && self.leaves() {
                        return Poll::Ready(Read::Over);
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    /// Returns whether a connection that is asked for its place gives it: not where a request is on
    /// its way.
    fn leaves(&mut self) -> bool {
        let leaves = self.deadline.phase() == Phase::Idle
            && self.stream.unread_in_the_kernel() == Unread::Nothing;
        if leaves {
            self.slot.current().counters.evicted.count();
        } else {
            // Another is asked in its stead.
            self.context.evictions.tell();
        }
        leaves
    }

    /// Reads a head that has come; pending where it has not come to its end.
    fn parse(&mut self, listener: &WorkerListener, reading: &mut Reading) -> Poll<Read> {
        let limits = listener.heads;
        if listener.http2.prior_knowledge
            && let Some(begun) = self.poll_preface()
        {
            return begun.map(|()| Read::Http2);
        }
        let bytes = self.ahead.bytes();
        if let Some(from) = reading.searched {
            reading.searched = head_may_end(bytes, from);
            if reading.searched.is_some() && bytes.len() < limits.head_bytes {
                return Poll::Pending;
            }
        }
        let mut slots = Slots::new();
        let mut head = match RequestHead::parse(bytes, &mut slots, &limits) {
            Ok(Some(head)) => head,
            Ok(None) => {
                self.context.budget.charge(bytes.len() * PARSED);
                reading.searched = head_may_end(bytes, 0);
                return Poll::Pending;
            }
            Err(refusal) => return Poll::Ready(Read::Refused(refusal, reading.moments())),
        };
        // Some backends do not look at the case of a method.
        if head.method.eq_ignore_ascii_case("TRACE") && !listener.trace {
            return Poll::Ready(Read::Refused(RequestRefusal::Trace, reading.moments()));
        }
        if head.asks_for.is_some() {
            head.allow_upgrades(&listener.upgrades);
        }
        if self.stream.frames().is_some() {
            head.came_by(Version::Http2);
        }
        let len = head.len;
        let (request, answerer) = match self.request(listener, &head, reading.began_at) {
            Ok(made) => made,
            Err(refusal) => return Poll::Ready(Read::Refused(refusal, reading.moments())),
        };
        let read = Poll::Ready(Read::Request(request, answerer));
        self.context.budget.charge(len * PARSED);
        self.ahead.consume(len, &self.context.buffers);
        read
    }

    /// Makes a request of a head that was judged.
    fn request(
        &self,
        listener: &WorkerListener,
        head: &RequestHead<'_, '_>,
        began_at: Option<Instant>,
    ) -> Result<(Request, Answerer), RequestRefusal> {
        let is_alike = acceptor::are_alike(self.acceptor.as_ref(), listener.acceptor.as_ref());
        if !is_alike || listener.mode != Mode::Http {
            return Err(RequestRefusal::Misdirected);
        }
        let local = self.fallback_host(head);
        let arrival = self.arrival(listener, &local);
        let trusted = &listener.forwarding.trusted_proxies;
        let origin = origin(arrival.peer, head.fields.all(), trusted);
        let buffers = &self.context.buffers;
        let mut out = buffers.with_room(head.len + ADDED_BYTES);
        let mut routed = if listener.is_plain {
            check_body(&listener.rules[0], head)?;
            head.write(&arrival, &mut out);
            Routed::to_pool(listener)
        } else {
            self.route(listener, head, origin, &arrival, &mut out)?
        };
        buffers.fit(&mut out);
        if listener.is_in_maintenance_for(origin) {
            routed.answerer = Answerer::Local(Box::new(answer::in_maintenance(listener)));
        } else {
            self.check_rates(listener, head, origin, &mut routed);
        }
        let bodyless = matches!(head.framing, Framing::None | Framing::Length(0));
        let harmless = bodyless && head.upgrade == Upgrade::None && head.is_idempotent();
        let request = Request {
            message: Message::new(out),
            edits: routed.edits,
            asked_as: routed.asked_as,
            rules: routed.rules,
            origin,
            framing: head.framing,
            expectation: head.expectation,
            asked: asked_for(head),
            repeat: if harmless {
                Repeat::Harmless
            } else {
                Repeat::Risky
            },
            order: match self.age {
                Age::New => Order::First,
                Age::Kept => Order::Later,
            },
            moments: Moments {
                began_at,
                head_at: self.context.moment(),
                ..Moments::default()
            },
        };
        Ok((request, routed.answerer))
    }

    /// Has a request that is one too many be told so; one that is denied takes nothing of what
    /// others have.
    fn check_rates(
        &self,
        listener: &WorkerListener,
        head: &RequestHead<'_, '_>,
        origin: IpAddr,
        routed: &mut Routed,
    ) {
        if let Answerer::Local(local) = &routed.answerer
            && local.termination == Termination::Denied
        {
            return;
        }
        let rates = &listener.rules[routed.rules].rates;
        let now_ns = || self.context.shared.now_ns();
        if let Err(exceeded) = rates.check(origin, |name| head.fields.values(name), now_ns) {
            listener.counters.rate_limited.count();
            routed.answerer = Answerer::Local(Box::new(answer::rate_limited(exceeded)));
        }
    }

    /// Finds the route of a request and writes it as a backend is sent it.
    #[inline(never)]
    fn route(
        &self,
        listener: &WorkerListener,
        head: &RequestHead<'_, '_>,
        origin: IpAddr,
        arrival: &ForwardingContext<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Routed, RequestRefusal> {
        let route = Route::find(listener, head, origin)?;
        check_body(&listener.rules[route.rules], head)?;
        let mut sent = *head;
        sent.rewrite(route.rewritten(listener));
        sent.write(arrival, out);
        let known = Known {
            client: origin,
            peer: self.address,
            host: match head.host_name() {
                [] => without_port(arrival.fallback_host.as_bytes()),
                name => name,
            },
            method: head.method,
            scheme: arrival.scheme,
            tls: self.tls.as_deref(),
        };
        Ok(route.routed(listener, head, known, out))
    }

    /// Returns the host that a request means which names none.
    fn fallback_host(&self, head: &RequestHead<'_, '_>) -> String {
        match (head.host, head.target) {
            (Some(_), _) | (None, Target::Absolute(..)) => String::new(),
            (None, Target::Origin(_) | Target::Asterisk) => {
                let announced = self.announced.as_ref().map(|it| it.destination);
                let local = announced.or_else(|| self.stream.local_addr());
                local.map_or_else(
                    || "localhost".to_owned(),
                    |local| host_of(local, self.scheme()),
                )
            }
        }
    }

    /// Returns what is known of the way a request came.
    fn arrival<'a>(
        &self,
        listener: &'a WorkerListener,
        fallback_host: &'a str,
    ) -> ForwardingContext<'a> {
        let peer = self.address.ip();
        let forwarding = &listener.forwarding;
        let mut trusted = forwarding.trusted_proxies.iter();
        ForwardingContext {
            peer,
            trust: if trusted.any(|network| network.contains(peer)) {
                Trust::Trusted
            } else {
                Trust::Untrusted
            },
            scheme: self.scheme(),
            port: self.port,
            fallback_host,
            proxy_fields: &forwarding.proxy_fields,
            forwarded: forwarding.forwarded,
            via: forwarding.via,
            request_id: match forwarding.request_id {
                OptionalField::Send => Some(self.context.request_id()),
                OptionalField::Omit => None,
            },
        }
    }

    /// Returns the scheme by which a request has come.
    fn scheme(&self) -> &'static str {
        match self.tls {
            Some(_) => "https",
            None => "http",
        }
    }

    async fn refuse(
        &mut self,
        listener: &WorkerListener,
        refusal: RequestRefusal,
        moments: Moments,
    ) -> After {
        let answer = answer::refused(refusal);
        self.send_local_reply(listener, &answer, Termination::RequestRefused, moments)
            .await
    }

    async fn say_late(&mut self, listener: &WorkerListener, moments: Moments) -> After {
        let answer = answer::late();
        self.send_local_reply(listener, &answer, Termination::RequestHeadTimeout, moments)
            .await
    }

    /// Answers a request that was not read.
    async fn send_local_reply(
        &mut self,
        listener: &WorkerListener,
        answer: &LocalReply,
        termination: Termination,
        moments: Moments,
    ) -> After {
        let mut record = Record::new(self.address.ip());
        record.termination = termination;
        record.moments = moments;
        // What the log may want of it.
        self.ahead.truncate(listener.heads.head_bytes);
        self.ahead.shrink(&self.context.buffers);
        let (context, stream, ahead) = self.split(listener, 0);
        let close = Persistence::Close;
        let after =
            answer::send_local_reply(context, stream, answer, UNKNOWN, close, None, &mut record)
                .await;
        record.moments.ended_at = context.worker.moment();
        let pool = context.rules.pool.as_deref();
        record::ended(context, pool, &record, ahead.bytes());
        after
    }

    /// Takes note of a connection that has ended before it could carry a request.
    fn note_unserved(
        &mut self,
        listener: &WorkerListener,
        rules: usize,
        (phase, termination): (access::Phase, Termination),
        why: String,
    ) {
        let mut record = Record::new(self.address.ip());
        record.protocol = (listener.mode == Mode::Tcp).then_some("TCP");
        record.termination = termination;
        record.phase = phase;
        record.error = Some(why.into());
        record.moments.ended_at = self.context.moment();
        let (context, ..) = self.split(listener, rules);
        record::ended(context, None, &record, b"");
    }

    /// Ends our side, then reads what the client still sends until it ends its own: closing a
    /// socket with unread bytes resets the connection, and the client might never read the answer.
    async fn linger(&mut self, linger: Duration) {
        self.stream.shut();
        self.ahead.clear(&self.context.buffers);
        if self.stream.frames().is_some() {
            // RFC 9113 §8.1: what still comes is not wanted, and the answer is not hurt by that.
            return;
        }
        self.deadline.enter(Phase::Lingering, LINGER_READ_TIMEOUT);
        self.deadline.hurry(linger);
        let began_ms = self.context.clock.get();
        poll_fn(|cx| {
            if self.deadline.poll_interrupt(cx).is_ready() {
                return Poll::Ready(());
            }
            let lasted_ms = self.context.clock.get().saturating_sub(began_ms);
            let left = linger.saturating_sub(Duration::from_millis(lasted_ms));
            let WorkerContext {
                buffers, budget, ..
            } = &*self.context;
            let mut buffer = buffers.large();
            let poll = loop {
                if budget.poll().is_pending() {
                    break Poll::Pending;
                }
                match self.stream.poll_read(cx, &mut buffer) {
                    Poll::Ready(Ok(len @ 1..)) => {
                        budget.charge(len);
                        self.deadline.touch();
                        // Whatever it sends, not longer than that in all.
                        self.deadline.hurry(left);
                    }
                    Poll::Ready(Ok(_) | Err(_)) => break Poll::Ready(()),
                    Poll::Pending => break Poll::Pending,
                }
            };
            buffers.give_back(buffer);
            poll
        })
        .await;
    }
}

/// Returns the Host that means this address (RFC 9110 §4.2.1, §4.2.2: the port of the scheme need
/// not be said).
fn host_of(local: SocketAddr, scheme: &str) -> String {
    let usual = match scheme {
        "https" => 443,
        _ => 80,
    };
    match local.ip() {
        IpAddr::V4(address) if local.port() == usual => address.to_string(),
        IpAddr::V6(address) if local.port() == usual => format!("[{address}]"),
        IpAddr::V4(_) | IpAddr::V6(_) => local.to_string(),
    }
}

/// RFC 9110 §15.5.14.
fn check_body(rules: &Rules, head: &RequestHead<'_, '_>) -> Result<(), RequestRefusal> {
    let too_long = |max: u32| matches!(head.framing, Framing::Length(n) if n > u64::from(max));
    match rules.body_bytes.is_some_and(too_long) {
        true => Err(RequestRefusal::BodyTooLarge),
        false => Ok(()),
    }
}

/// Returns what the meaning of a response depends on.
fn asked_for(head: &RequestHead<'_, '_>) -> AskedFor {
    AskedFor {
        method: match head.method {
            "HEAD" => AskedMethod::Head,
            _ => AskedMethod::Other,
        },
        version: head.version,
        upgrade: head.upgrade,
        persistence: head.persistence,
    }
}

/// What is assumed of a request that could not be read.
const UNKNOWN: AskedFor = AskedFor {
    method: AskedMethod::Other,
    version: Version::Http11,
    upgrade: Upgrade::None,
    persistence: Persistence::Close,
};
/// How long a client may be silent after an answer that closes the connection.
const LINGER_READ_TIMEOUT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9112 §3.2: of HTTP/1.0 without a Host.
    #[test]
    fn hosts_of_addresses_leave_the_port_out_that_goes_without_saying() {
        for (local, scheme, hoped) in [
            ("192.0.2.1:80", "http", "192.0.2.1"),
            ("192.0.2.1:8080", "http", "192.0.2.1:8080"),
            ("[2001:db8::1]:80", "http", "[2001:db8::1]"),
            ("[2001:db8::1]:443", "http", "[2001:db8::1]:443"),
            ("[2001:db8::1]:443", "https", "[2001:db8::1]"),
            ("192.0.2.1:80", "https", "192.0.2.1:80"),
        ] {
            let local = local.parse().expect("an address");
            assert_eq!(host_of(local, scheme), hoped);
        }
    }
}
