//! The way of one request: given to a backend, given to another if need be, and answered.
//!
//! The decisions are `logic::http1`'s and `logic::balance`'s; here they are carried out. Every way
//! out of `answer` says what becomes of the client's connection: nothing waits without a deadline.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

mod buffering;
mod elsewhere;
mod tunnel;
mod unserved;

use crate::config::{PoolProtocol, PoolTimeouts};
use crate::logic::access::{self, Awaited};
use crate::logic::balance::affinity;
use crate::logic::balance::affinity::Arrival;
use crate::logic::balance::ejection::is_failure;
use crate::logic::balance::fallback::FALLBACKS_MAX;
use crate::logic::balance::health::Outcome;
use crate::logic::balance::retry::{
    self, AttemptError, Bond, Connection, Next, Order, Others, Price, Repeat, Reuse, Side,
    Spending, Step, Tried,
};
use crate::logic::http1::head::{Framing, Persistence, Version};
use crate::logic::http1::request::message::Message;
use crate::logic::http1::response::AskedFor;
use crate::logic::http1::rewrite::edit::Edits;
use crate::process::proxy::io::buffers::Held;
use crate::process::proxy::io::deadline::{Interrupt, Phase};
use crate::process::proxy::io::frames::Frames;
use crate::process::proxy::io::socket::Unread;
use crate::process::proxy::io::stream::Stream;
use crate::process::proxy::request::announcing;
use crate::process::proxy::request::answer::{Detail, Unserved};
use crate::process::proxy::request::context::{After, Request, RequestContext};
use crate::process::proxy::request::detour::Detour;
use crate::process::proxy::request::record::{self, Record, Termination};
use crate::process::proxy::transfer::exchange::{
    Answered, Ending, Exchange, Relayed, Sides, Waited,
};
use crate::process::proxy::transfer::pace::Pace;
use crate::process::proxy::upstream::connect::{self, OpenError};
use crate::process::proxy::upstream::connections::Liveness;
use crate::process::proxy::upstream::local::{WorkerBackend, WorkerPool};
use crate::process::proxy::upstream::picker::{Claim, Wish};
use crate::process::proxy::upstream::slot::{QueueTicket, RequestSlot};

/// Answers one request, in any case but that of a client that has gone. `ahead` is what the client
/// has sent behind its head, and what is left of it is returned.
pub(in crate::process::proxy) async fn answer(
    context: RequestContext<'_>,
    client: &mut Stream,
    ahead: Held,
    request: &mut Request,
    pool: Rc<WorkerPool>,
) -> (After, Held) {
    let record = record_of(request);
    let Request {
        framing,
        expectation,
        asked,
        repeat,
        order,
        ..
    } = *request;
    let edits = request.edits.take();
    let mut exchange = Exchange::new(ahead, framing, asked, expectation);
    let rules = context.rules;
    let body_bytes = rules.body_bytes.map_or(u64::MAX, u64::from);
    let pace = Pace::new(rules.timeouts.request_body, rules.body_rate);
    exchange.limit(context.listener.connection_bytes, body_bytes, pace);
    if let Some(load) = client.frames().and_then(Frames::load) {
        exchange.share(load);
    }
    exchange.edit_response(edits.clone());
    let mut attempts = Attempts {
        context,
        client,
        pool,
        message: std::mem::take(&mut request.message),
        edits,
        exchange,
        asked,
        framing,
        repeat,
        order,
        tried: Tried::default(),
        wish: Wish::default(),
        passed: Vec::new(),
        detour: None,
        record,
    };
    let result = attempts.run().await;
    attempts.note_progress();
    let after = match result {
        Ok(after) => after,
        Err(unserved) => attempts.end_unserved(unserved).await,
    };
    (after, attempts.end())
}

/// How the wait for a slot has ended.
enum Queued {
    /// With a slot, or because no backend is left to wait for.
    Called(Option<RequestSlot>),
    Interrupted(Interrupt),
    ClientGone,
}

struct Attempts<'c> {
    context: RequestContext<'c>,
    client: &'c mut Stream,
    pool: Rc<WorkerPool>,
    /// Empty once the exchange has it.
    message: Message,
    /// Of the response.
    edits: Option<Rc<Edits>>,
    exchange: Exchange,
    asked: AskedFor,
    framing: Framing,
    repeat: Repeat,
    order: Order,
    tried: Tried,
    /// Where it belongs, in this pool.
    wish: Wish,
    /// Pools with affinity that had nobody for it.
    passed: Vec<Rc<WorkerPool>>,
    /// Where the answer is said to be.
    detour: Option<Box<Detour>>,
    record: Record,
}

impl Attempts<'_> {
    async fn run(&mut self) -> Result<After, Unserved> {
        self.pool.count_request();
        if let Some(bounds) = self.pool.buffer_requests {
            self.buffer(bounds).await?;
        }
        let mut first_on = self.first_connection();
        let mut on = first_on;
        let mut next_slot = None;
        loop {
            let slot = match next_slot {
                Some(slot) => slot,
                None => self.first_slot().await?,
            };
            slot.backend().counters.requests.count();
            self.record.backend = Some(slot.index());
            let runtime = &slot.backend().runtime;
            self.context
                .deadline
                .note_backend(Arc::as_ptr(runtime).addr());
            self.record.moments.picked_at = self.context.worker.moment();
            self.record.moments.connected_at = None;
            let picked_ms = self.pool.now_ms();
            self.prepare(slot.index());
            let (error, detail) = match self.lease(slot.backend(), on).await {
                Ok((mut stream, used)) => {
                    self.record.moments.connected_at = self.context.worker.moment();
                    if self.carries_bytes() {
                        return Ok(self.carry(&slot, &mut stream).await);
                    }
                    let waited = self.wait(&mut stream).await;
                    if let Waited::Answered(answered) = waited {
                        let runtime = &slot.backend().runtime;
                        runtime.handle_answered(self.pool.now_ms());
                        self.note_status(&slot, answered.status);
                        return Ok(self.relay(slot, answered, stream).await);
                    }
                    if let Waited::Heeded(heeded) = waited {
                        next_slot = self.follow(slot, heeded, stream)?;
                        first_on = self.first_connection();
                        on = first_on;
                        continue;
                    }
                    self.failed(used, waited, &stream)?
                }
                Err(error) => self.no_connection(error),
            };
            self.tried.handle_error(error);
            let next = retry::next(error, self.repeat, self.bond(&slot), &self.tried);
            if retry::is_failure(error, next) {
                slot.backend().counters.failures.count();
            }
            self.record.ejected |= self.pool.note(slot.index(), picked_ms, error);
            let failed = (error, detail);
            let another = self.another(slot, failed, next, first_on);
            (next_slot, on) = Box::pin(another).await?;
            self.record.retries += 1;
        }
    }

    /// Returns whom to ask after an attempt that has failed, and on what connection; `None` is
    /// whoever is the first.
    async fn another(
        &mut self,
        slot: RequestSlot,
        (error, detail): (AttemptError, Detail),
        next: Next,
        first_on: Connection,
    ) -> Result<(Option<RequestSlot>, Connection), Unserved> {
        if self.has_places() && error.side == Side::Upstream {
            drop(slot);
            return Ok((self.next_place()?, first_on));
        }
        let (slot, on) = match self.step(&slot, error, next) {
            Step::Same => (slot, Connection::Fresh),
            Step::Other(other) => (other, self.tried.connection(first_on)),
            Step::Wait => {
                let unserved = self.unserved(slot.backend(), error, detail);
                drop(slot);
                let other = self.queue().await?.ok_or(unserved)?;
                self.pool.counters.retries.count();
                (other, self.tried.connection(first_on))
            }
            Step::GiveUp => return Err(self.unserved(slot.backend(), error, detail)),
        };
        Ok((Some(slot), on))
    }

    /// Returns on what kind of connection the first attempt is made.
    fn first_connection(&self) -> Connection {
        retry::connection(self.pool.keep_alive.reuse, self.repeat, self.order)
    }

    /// Returns whether it is a connection that carries bytes: no request ends only with it.
    fn carries_bytes(&self) -> bool {
        self.framing == Framing::UntilClose
    }

    /// Gives the exchange the request as the backend is sent it that was picked. All are sent the
    /// same so far: the message as it stands, without cookies of ours.
    fn prepare(&mut self, backend: usize) {
        // A session is with who was asked first, not with who has a file.
        let has_session = self.pool.affinity.is_some() || !self.passed.is_empty();
        if has_session && self.detour.is_none() {
            self.prepare_session(backend);
        }
        self.exchange.set_heed(self.heed());
        match std::mem::take(&mut self.message).into_text() {
            text if text.is_empty() => self.exchange.rewind(self.context.worker),
            text => self.exchange.begin(text, self.context.worker),
        }
    }

    /// Takes the cookies of pools out of the request, and has the client be given that of the
    /// backend which has been picked, where it does not have it.
    #[inline(never)]
    fn prepare_session(&mut self, backend: usize) {
        for pool in self.passed.iter().chain([&self.pool]) {
            if let Some(affinity) = &pool.affinity {
                self.message.take_cookies_out(&affinity.rules.name);
            }
        }
        let arrival = match self.context.tls {
            Some(_) => Arrival::Tls,
            None => Arrival::Plain,
        };
        let outcome = affinity::Outcome::of(self.wish.session, backend);
        let cookie = self.pool.cookie_of(backend, arrival);
        self.record.affinity = cookie.as_ref().map(|_| outcome);
        let cookie = cookie.filter(|_| outcome != affinity::Outcome::Kept);
        self.exchange.give_cookie(cookie);
    }

    /// Returns a slot for a request that is new: it overtakes no request that waits. Where there is
    /// none the pool of the current generation is asked, while that is another one.
    async fn first_slot(&mut self) -> Result<RequestSlot, Unserved> {
        let mut handed_on = 0;
        loop {
            // What is hashed, and which cookie counts, is the pool's.
            self.wish = self.pool.wish_of(&self.message, self.record.origin);
            let claim = if self.pool.runtime.queue.is_busy() {
                Claim::Full
            } else {
                self.pool.claim(&self.tried, self.wish)
            };
            let slot = match claim {
                Claim::Taken(backend) => Some(self.slot(backend)),
                Claim::Full => self.queue().await?,
                Claim::NoBackend => None,
            };
            if let Some(slot) = slot {
                return Ok(slot);
            }
            let next = match self.context.worker.successor_of(&self.pool) {
                Some(successor) => successor,
                None => self.fallback(&mut handed_on)?,
            };
            let passed = self.go_to(next);
            if passed.affinity.is_some() {
                self.passed.push(passed);
            }
        }
    }

    /// Has another pool be asked, and returns the one before: backends were known by their index in
    /// that.
    fn go_to(&mut self, pool: Rc<WorkerPool>) -> Rc<WorkerPool> {
        self.record.backend = None;
        self.tried = Tried::default();
        self.wish = Wish::default();
        std::mem::replace(&mut self.pool, pool)
    }

    /// Returns the pool that answers in the place of one of which nobody is up. A file has no more
    /// of them in a row, but the next pool may be of another file.
    fn fallback(&self, handed_on: &mut usize) -> Result<Rc<WorkerPool>, Unserved> {
        let pool = self
            .pool
            .fallback_pool()
            .filter(|_| *handed_on < FALLBACKS_MAX);
        let pool = pool.and_then(|name| self.context.worker.pool_of(name));
        let pool = pool.ok_or_else(|| self.nobody_up())?;
        *handed_on += 1;
        pool.count_request();
        Ok(pool)
    }

    /// Returns what ties the request to the backend that it has a slot on.
    fn bond(&self, slot: &RequestSlot) -> Bond {
        match self.wish.session {
            Some(known) if known.backend == slot.index() => Bond::Session,
            Some(_) | None => Bond::None,
        }
    }

    /// Returns what is done after an attempt that has failed. The slot that it had is still held.
    #[inline(never)]
    fn step(&mut self, slot: &RequestSlot, error: AttemptError, next: Next) -> Step<RequestSlot> {
        let tried = self.tried;
        let own = match self.bond(slot) {
            Bond::Session => self.pool.takes_session(slot.index()),
            Bond::None => self.pool.takes_request(slot.index()),
        };
        let step = retry::step(next, own, &tried, || self.others(slot, next));
        let paid = match (&step, retry::price(error, &tried)) {
            (Step::GiveUp, _) | (_, Price::Free) => Spending::Granted,
            (Step::Same | Step::Other(_) | Step::Wait, Price::One) => self.spend_retry(),
        };
        match (&step, paid) {
            (_, Spending::Exhausted) => return Step::GiveUp,
            (Step::Other(_), Spending::Granted) => self.pool.counters.retries.count(),
            (Step::Same | Step::Wait | Step::GiveUp, Spending::Granted) => {}
        }
        step
    }

    /// Takes room on a backend that has not been tried; where the one that has been may be asked
    /// again, on none that is worse.
    fn others(&mut self, own: &RequestSlot, next: Next) -> Others<RequestSlot> {
        if self.is_certain() {
            return Others::None;
        }
        if next != Next::OtherBackend && self.pool.are_others_worse(own.index(), &self.tried) {
            return Others::None;
        }
        match self.pool.claim(&self.tried, self.wish) {
            Claim::Taken(backend) => Others::Room(self.slot(backend)),
            Claim::Full => Others::Full,
            Claim::NoBackend => Others::None,
        }
    }

    /// Holds a slot that was taken.
    fn slot(&mut self, backend: usize) -> RequestSlot {
        self.tried.insert(backend);
        RequestSlot::new(&self.pool, backend)
    }

    /// Waits for a slot; returns `None` where no backend is left to wait for.
    async fn queue(&mut self) -> Result<Option<RequestSlot>, Unserved> {
        let RequestContext {
            worker, deadline, ..
        } = self.context;
        // The time of a request that enters again goes on.
        if deadline.phase() != Phase::Queued {
            deadline.enter(Phase::Queued, self.timeouts().queue);
        }
        let urgency = self.context.rules.urgency;
        let ticket = QueueTicket::take(&self.pool, self.tried, urgency, self.wish);
        let carries_bytes = self.carries_bytes();
        let Self {
            exchange, client, ..
        } = self;
        let ended = poll_fn(|cx| {
            let interrupt = deadline.poll_interrupt(cx);
            if let Poll::Ready(cut @ (Interrupt::Drain | Interrupt::Cut)) = interrupt {
                return Poll::Ready(Queued::Interrupted(cut));
            }
            // Called in the last moment is in time.
            if let Poll::Ready(slot) = ticket.poll(cx) {
                return Poll::Ready(Queued::Called(slot));
            }
            if let Poll::Ready(interrupt) = interrupt {
                return Poll::Ready(Queued::Interrupted(interrupt));
            }
            let gone = match carries_bytes {
                true => exchange.poll_failed_client(client, deadline),
                false => exchange.poll_early_client(cx, client, worker),
            };
            gone.map(|()| Queued::ClientGone)
        });
        match ended.await {
            Queued::Called(slot) => {
                slot.iter().for_each(|slot| self.tried.insert(slot.index()));
                Ok(slot)
            }
            Queued::Interrupted(Interrupt::Overdue) => Err(self.all_full()),
            Queued::Interrupted(Interrupt::Drain | Interrupt::Cut) => {
                Err(Unserved::NoReply(Termination::DrainTimeout))
            }
            Queued::ClientGone => Err(Unserved::NoReply(Termination::ClientGone)),
        }
    }

    /// Notes how far the request has come, before any local reply.
    fn note_progress(&mut self) {
        self.record.phase = match self.context.deadline.phase() {
            Phase::Idle | Phase::Handshake | Phase::Head | Phase::Queued => access::Phase::Queue,
            Phase::Connecting => access::Phase::Connect,
            Phase::Uploading => access::Phase::RequestBody,
            Phase::Waiting => access::Phase::ResponseHead,
            Phase::Relaying | Phase::Lingering => access::Phase::ResponseBody,
            Phase::Tunnel => access::Phase::Tunnel,
        };
        if self.exchange.awaits_client() {
            self.record.awaited = Awaited::Client;
        }
    }

    /// Returns how long the pool may take.
    fn timeouts(&self) -> PoolTimeouts {
        self.context.rules.of_pool(&self.pool)
    }

    fn spend_retry(&self) -> Spending {
        let spending = self.pool.spend_retry(self.context.worker.clock.get());
        if spending == Spending::Exhausted {
            tracing::debug!(pool = %self.pool.name, "retry budget exhausted");
        }
        spending
    }

    /// Returns a connection; `on` says whether a kept one may be used.
    async fn lease(
        &self,
        backend: &WorkerBackend,
        on: Connection,
    ) -> Result<(Stream, Connection), OpenError> {
        let WorkerBackend { runtime, kept, .. } = backend;
        if self.pool.protocol == PoolProtocol::Http2 && !self.carries_bytes() {
            return Ok((self.lease_stream(backend).await?, on));
        }
        if on == Connection::Reused && !self.carries_bytes() {
            let liveness = match self.repeat {
                Repeat::Harmless if !runtime.is_unsolicited() => Liveness::Runtime,
                Repeat::Harmless | Repeat::Risky => Liveness::Kernel,
            };
            if let Some(stream) = kept.take(liveness, self.announced()) {
                return Ok((stream, Connection::Reused));
            }
        }
        let RequestContext {
            worker, deadline, ..
        } = self.context;
        deadline.enter(Phase::Connecting, self.timeouts().connect);
        let connector = self.pool.connector.as_deref();
        let first = self.announcement();
        let opened = connect::open(worker, runtime.address, connector, &first, deadline);
        let stream = opened.await?;
        runtime.handle_connected();
        Ok((stream, Connection::Fresh))
    }

    /// Returns whose connections to backends of the pool are said to be, where that is said.
    fn announced(&self) -> Option<SocketAddr> {
        self.pool.proxy_protocol?;
        Some(announcing::client(self.context, self.record.origin))
    }

    /// Returns what a connection to a backend of the pool begins with.
    fn announcement(&self) -> Vec<u8> {
        let Some((version, client)) = self.pool.proxy_protocol.zip(self.announced()) else {
            return Vec::new();
        };
        let head = self.exchange.head();
        announcing::header(version, self.context, client, self.client, head)
    }

    /// Returns a stream on a connection that others have too.
    async fn lease_stream(&self, backend: &WorkerBackend) -> Result<Stream, OpenError> {
        let WorkerBackend { runtime, kept, .. } = backend;
        let RequestContext {
            worker, deadline, ..
        } = self.context;
        deadline.enter(Phase::Connecting, self.timeouts().connect);
        let connector = self.pool.connector.as_deref();
        let leased = connect::http2::lease(
            &kept.multiplexed,
            worker,
            runtime.address,
            connector,
            deadline,
        );
        let leased = leased.await?;
        runtime.handle_connected();
        Ok(leased)
    }

    /// Returns the exchange, and what it works with.
    fn sides<'a>(&'a mut self, upstream: &'a mut Stream) -> (&'a mut Exchange, Sides<'a>) {
        let pool_timeouts = self.timeouts();
        let sides = Sides {
            client: self.client,
            upstream,
            context: self.context.worker,
            deadline: self.context.deadline,
            pool_timeouts,
        };
        (&mut self.exchange, sides)
    }

    /// Sends the request and waits for the head of its response.
    async fn wait(&mut self, upstream: &mut Stream) -> Waited {
        let RequestContext {
            rules, deadline, ..
        } = self.context;
        deadline.enter(Phase::Uploading, rules.timeouts.request_body);
        let (exchange, mut sides) = self.sides(upstream);
        poll_fn(|cx| exchange.poll_answer(cx, &mut sides)).await
    }

    /// Relays the response whose head has come. The connection ends, or is kept, before its slot is
    /// given back.
    async fn relay(
        &mut self,
        slot: RequestSlot,
        answered: Answered,
        mut upstream: Stream,
    ) -> After {
        let RequestContext {
            worker,
            listener,
            rules,
            deadline,
            ..
        } = self.context;
        listener.counters.count_response(answered.status);
        self.record.status = answered.status;
        self.record.moments.answered_at = worker.moment();
        if answered.status == 101 {
            deadline.enter(Phase::Tunnel, rules.timeouts.tunnel);
            self.exchange.begin_tunnel();
            return self.tunnel(&mut upstream).await;
        }
        deadline.enter(Phase::Relaying, rules.timeouts.idle);
        self.exchange.let_go();
        let (exchange, mut sides) = self.sides(&mut upstream);
        let relayed = poll_fn(|cx| exchange.poll_relay(cx, &mut sides)).await;
        self.record.termination = termination(relayed);
        if self.pool.ejection.is_some() {
            self.note_relayed(&slot, answered.status, relayed);
        }
        let announced = self.announced();
        let exchange = &self.exchange;
        if relayed == Relayed::Silent && exchange.awaits_client() {
            // Closed, its socket would stay in the kernel for minutes, with bytes that the client
            // never takes.
            return After::Reset;
        }
        match (relayed, answered.ends) {
            (Relayed::Whole, _) => {}
            (Relayed::Truncated | Relayed::Silent | Relayed::Cut, Ending::Close) => {
                return After::Reset;
            }
            (Relayed::Truncated | Relayed::Silent | Relayed::Cut, Ending::Stated)
            | (Relayed::ClientGone, _) => return After::Close,
        }
        if !exchange.has_uploaded() {
            if answered.status < 300 && exchange.is_uploading() {
                self.upload_rest(&mut upstream).await;
            }
            if !self.exchange.has_request() {
                return After::Linger;
            }
        }
        let Self {
            client, exchange, ..
        } = self;
        let never = self.pool.keep_alive.reuse == Reuse::Never;
        if never || answered.upstream == Persistence::Close {
            // Ended in order and first, it would occupy its port; but a backend may still read a
            // body.
            if is_bodyless(self.framing) {
                upstream.reset_on_close();
            }
        } else if exchange.has_surplus() {
            slot.backend().runtime.count_unsolicited();
        } else {
            slot.backend().kept.keep(upstream, announced);
        }
        match (answered.client, self.asked.persistence) {
            (Persistence::Keep, _) => After::Keep,
            // The client has said that nothing follows; closing would reset what does.
            (Persistence::Close, Persistence::Close)
                if !exchange.is_ahead() && client.unread() != Unread::Bytes =>
            {
                After::Close
            }
            (Persistence::Close, _) => After::Linger,
        }
    }

    /// Notes what kind of answer has come, where backends are ejected for that: a failure at once,
    /// anything else of a connection that changes to another protocol.
    fn note_status(&mut self, slot: &RequestSlot, status: u16) {
        let outcome = match status {
            _ if is_failure(status) => Outcome::Failure,
            101 => Outcome::Success,
            _ => return,
        };
        let runtime = &slot.backend().runtime;
        self.record.ejected |= self.pool.note_outcome(runtime, outcome, self.pool.now_ms());
    }

    /// Notes how an answer ended that was none of a failure when it began. What the client does
    /// says nothing of its backend.
    fn note_relayed(&mut self, slot: &RequestSlot, status: u16, relayed: Relayed) {
        let outcome = match relayed {
            Relayed::Whole | Relayed::ClientGone | Relayed::Cut => Outcome::Success,
            Relayed::Truncated => Outcome::Failure,
            Relayed::Silent if self.exchange.awaits_client() => Outcome::Success,
            Relayed::Silent => Outcome::Failure,
        };
        if !is_failure(status) {
            let runtime = &slot.backend().runtime;
            self.record.ejected |= self.pool.note_outcome(runtime, outcome, self.pool.now_ms());
        }
    }

    /// Sends on the rest of a request that was answered early: a backend that has said yes may want
    /// it.
    async fn upload_rest(&mut self, upstream: &mut Stream) {
        let RequestContext {
            rules, deadline, ..
        } = self.context;
        let most = match self.exchange.has_request() {
            true => KEPT_REST_TIMEOUT,
            false => REST_TIMEOUT,
        };
        let within = rules.timeouts.request_body.min(most);
        deadline.enter(Phase::Uploading, within);
        let (exchange, mut sides) = self.sides(upstream);
        poll_fn(|cx| exchange.poll_rest(cx, &mut sides)).await;
    }

    /// Writes the request down for the log, and lets go of all but what the client has sent ahead.
    fn end(&mut self) -> Held {
        let Self {
            context,
            pool,
            message,
            exchange,
            record,
            ..
        } = self;
        let (up, down) = exchange.bytes();
        record.request_bytes = up;
        // A local reply has been counted already.
        record.response_bytes += down;
        record.moments.ended_at = context.worker.moment();
        if let Some(took) = record.moments.timers().response {
            pool.counters.response_times.note(took);
        }
        let head = match message.as_text() {
            [] => exchange.head(),
            // No backend was sent it.
            text => text,
        };
        record::ended(*context, Some(pool), record, head);
        context
            .worker
            .buffers
            .give_back(std::mem::take(message).into_text());
        exchange.end(context.worker)
    }
}

/// How long the rest of a request whose answer is whole may be silent: the client may send no more.
const REST_TIMEOUT: Duration = Duration::from_secs(5);
/// Likewise of one that is here: only the backend is waited for, and the client has its answer.
const KEPT_REST_TIMEOUT: Duration = Duration::from_millis(200);

/// Begins the record of a request.
pub(in crate::process::proxy) fn record_of(request: &mut Request) -> Record {
    let mut record = Record::new(request.origin);
    record.moments = request.moments;
    record.protocol = Some(match request.framing {
        Framing::UntilClose => "TCP",
        Framing::None | Framing::Length(_) | Framing::Chunked => protocol(request.asked.version),
    });
    record.asked = request.asked_as.take();
    record.order = request.order;
    record
}

fn is_bodyless(framing: Framing) -> bool {
    matches!(framing, Framing::None | Framing::Length(0))
}

fn termination(relayed: Relayed) -> Termination {
    match relayed {
        Relayed::Whole => Termination::Complete,
        Relayed::Truncated => Termination::ResponseTruncated,
        Relayed::ClientGone => Termination::ClientGone,
        Relayed::Silent => Termination::IdleTimeout,
        Relayed::Cut => Termination::DrainTimeout,
    }
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::Http10 => "HTTP/1.0",
        Version::Http11 => "HTTP/1.1",
        Version::Http2 => "HTTP/2.0",
    }
}
