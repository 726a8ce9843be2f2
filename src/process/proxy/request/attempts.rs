//! The way of one request: given to a backend, given to another if need be, and answered.
//!
//! The decisions are `logic::http1`'s and `logic::balance`'s; here they are carried out. Every way
//! out of `answer` says what becomes of the client's connection: nothing waits without a deadline.

use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;

use crate::logic::access::{self, Awaited};
use crate::logic::balance::retry::{
    self, AttemptError, Cause, Connection, Next, Reached, Repeat, Side, Spending, Tried,
};
use crate::logic::http1::head::{Framing, Persistence, Version};
use crate::logic::http1::local_reply::LocalReply;
use crate::logic::http1::request::Expectation;
use crate::logic::http1::response::AskedFor;
use crate::process::proxy::downstream::client::{After, Client};
use crate::process::proxy::io::deadline::{Interrupt, Phase};
use crate::process::proxy::io::stream::{Stream, Unread};
use crate::process::proxy::request::answer::{self, Detail, Unserved, send_local_reply};
use crate::process::proxy::request::record::{self, Moments, Record, Termination};
use crate::process::proxy::table::{Listener, Pool};
use crate::process::proxy::transfer::exchange::{
    Answered, Direction, Ending, Exchange, Relayed, Sides, Waited,
};
use crate::process::proxy::upstream::backend::Backend;
use crate::process::proxy::upstream::connect::{self, OpenError};
use crate::process::proxy::upstream::connections::Liveness;
use crate::process::proxy::upstream::picker::Claim;
use crate::process::proxy::upstream::slot::{QueueTicket, RequestSlot};

/// A request that may be relayed.
pub(in crate::process::proxy) struct Request {
    /// The client's own address.
    pub(in crate::process::proxy) origin: IpAddr,
    /// As the backend is sent it.
    pub(in crate::process::proxy) head: Vec<u8>,
    pub(in crate::process::proxy) framing: Framing,
    pub(in crate::process::proxy) expectation: Expectation,
    pub(in crate::process::proxy) asked: AskedFor,
    pub(in crate::process::proxy) repeat: Repeat,
    pub(in crate::process::proxy) moments: Moments,
}

/// Answers one request, in any case but that of a client that has gone.
pub(in crate::process::proxy) async fn answer(client: &mut Client, request: Request) -> After {
    let Request {
        origin,
        head,
        framing,
        expectation,
        asked,
        repeat,
        moments,
    } = request;
    let mut record = Record::new(client.address, client.listener);
    record.moments = moments;
    record.origin = origin;
    record.protocol = Some(protocol(asked.version));
    let ahead = std::mem::take(&mut client.ahead);
    let mut exchange = Exchange::new(head, ahead, framing, asked, expectation);
    let body_bytes = client.listener().limits.body_bytes;
    exchange.limit(
        client.context.table.connection_bytes,
        body_bytes.map_or(u64::MAX, u64::from),
    );
    let mut attempts = Attempts {
        client,
        exchange,
        asked,
        framing,
        repeat,
        tried: Tried::default(),
        record,
    };
    let result = attempts.run().await;
    attempts.note_progress();
    let after = match result {
        Ok(after) => after,
        Err(unserved) => attempts.end_unserved(unserved).await,
    };
    let Attempts {
        client,
        mut exchange,
        mut record,
        ..
    } = attempts;
    let (up, down) = exchange.bytes();
    record.request_bytes = up;
    // A local reply has been counted already.
    record.response_bytes += down;
    record.moments.ended_at = client.context.moment();
    record::ended(&client.context, &record, exchange.head());
    client.ahead = exchange.end(&client.context);
    after
}

/// How the wait for a slot has ended.
enum Queued {
    /// With a slot, or because no backend is left to wait for.
    Called(Option<RequestSlot>),
    Interrupted(Interrupt),
    ClientGone,
}

struct Attempts<'c> {
    client: &'c mut Client,
    exchange: Exchange,
    asked: AskedFor,
    framing: Framing,
    repeat: Repeat,
    tried: Tried,
    record: Record,
}

impl Attempts<'_> {
    fn listener(&self) -> &Listener {
        self.client.listener()
    }

    fn pool_index(&self) -> usize {
        self.listener().pool
    }

    fn pool(&self) -> &Pool {
        &self.client.context.table.pools[self.pool_index()]
    }

    fn backend(&self, index: usize) -> &Backend {
        &self.pool().backends[index]
    }

    async fn run(&mut self) -> Result<After, Unserved> {
        self.client.context.count_request(self.pool_index());
        let mut slot = self.first_slot().await?;
        let mut on = Connection::Reused;
        loop {
            let backend = slot.backend();
            slot.count_attempt();
            self.record.backend = Some(backend);
            self.record.moments.picked_at = self.client.context.moment();
            self.record.moments.connected_at = None;
            let (error, detail) = match self.lease(backend, on).await {
                Ok((mut stream, on)) => {
                    self.record.moments.connected_at = self.client.context.moment();
                    let waited = self.wait(&mut stream).await;
                    if let Waited::Answered(answered) = waited {
                        return Ok(self.relay(slot, answered, stream).await);
                    }
                    self.failed(on, waited)
                }
                Err(error) => self.no_connection(error),
            };
            let next = retry::next(error, self.repeat, self.tried.count());
            if next != Next::SameBackend && error.side == Side::Upstream {
                self.backend(backend).failures.fetch_add(1, Relaxed);
            }
            if error.side == Side::Upstream && error.reached == Reached::Nothing {
                self.client.context.eject(self.pool_index(), backend);
            }
            (slot, on) = match next {
                Next::SameBackend => {
                    // A dead connection that was kept costs its backend nothing.
                    let free = error.reached == Reached::Connected(Connection::Reused);
                    if !free && self.spend_retry() == Spending::Exhausted {
                        return Err(self.unserved(backend, error, detail));
                    }
                    (slot, Connection::Fresh)
                }
                Next::OtherBackend => {
                    drop(slot);
                    let unserved = self.unserved(backend, error, detail);
                    (self.slot_elsewhere(unserved).await?, Connection::Reused)
                }
                Next::GiveUp => return Err(self.unserved(backend, error, detail)),
            };
            self.record.retries += 1;
            self.exchange.rewind(&self.client.context);
        }
    }

    /// Returns a slot for a request that is new: it overtakes no request that waits.
    async fn first_slot(&mut self) -> Result<RequestSlot, Unserved> {
        let claim = if self.pool().queue.is_busy() {
            Claim::Full
        } else {
            self.claim()
        };
        let slot = match claim {
            Claim::Taken(backend) => Some(self.slot(backend)),
            Claim::Full => self.queue().await?,
            Claim::NoBackend => None,
        };
        slot.ok_or_else(|| self.nobody_up())
    }

    /// Returns a slot on a backend that has not been tried; `unserved` ends the request where there
    /// is none.
    async fn slot_elsewhere(&mut self, unserved: Unserved) -> Result<RequestSlot, Unserved> {
        let claim = self.claim();
        let slot = match claim {
            Claim::Taken(backend) => Some(self.slot(backend)),
            Claim::Full => None,
            Claim::NoBackend => return Err(unserved),
        };
        if self.spend_retry() == Spending::Exhausted {
            return Err(unserved);
        }
        let slot = match slot {
            Some(slot) => slot,
            None => self.queue().await?.ok_or(unserved)?,
        };
        self.pool().retries.fetch_add(1, Relaxed);
        Ok(slot)
    }

    fn claim(&self) -> Claim {
        self.client.context.claim(self.pool_index(), &self.tried)
    }

    /// Holds a slot that was taken.
    fn slot(&mut self, backend: usize) -> RequestSlot {
        self.tried.insert(backend);
        RequestSlot::new(&self.client.context, self.pool_index(), backend)
    }

    /// Waits for a slot; returns `None` where no backend is left to wait for.
    async fn queue(&mut self) -> Result<Option<RequestSlot>, Unserved> {
        let within = self.pool().timeouts.queue;
        let pool = self.pool_index();
        let Client {
            stream,
            context,
            deadline,
            ..
        } = &mut *self.client;
        deadline.enter(Phase::Queued, within);
        let ticket = QueueTicket::take(context, pool, self.tried);
        let exchange = &mut self.exchange;
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
            let gone = exchange.poll_early_client(cx, stream, context);
            gone.map(|()| Queued::ClientGone)
        });
        match ended.await {
            Queued::Called(slot) => {
                slot.iter()
                    .for_each(|slot| self.tried.insert(slot.backend()));
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
        self.record.phase = match self.client.deadline.phase() {
            Phase::Idle | Phase::Head | Phase::Queued => access::Phase::Queue,
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

    fn spend_retry(&self) -> Spending {
        let spending = self.client.context.spend_retry(self.pool_index());
        if spending == Spending::Exhausted {
            tracing::debug!(pool = %self.pool().name, "retry budget exhausted");
        }
        spending
    }

    /// Returns a connection; `on` says whether a kept one may be used.
    async fn lease(
        &self,
        backend: usize,
        on: Connection,
    ) -> Result<(Stream, Connection), OpenError> {
        if on == Connection::Reused {
            let looked_at = match self.repeat {
                Repeat::Harmless if !self.backend(backend).is_unsolicited() => Liveness::Runtime,
                Repeat::Harmless | Repeat::Risky => Liveness::Kernel,
            };
            let Client { context, .. } = &*self.client;
            let at = (self.pool_index(), backend);
            if let Some(stream) = context.upstreams.take(&context.table, at, looked_at) {
                return Ok((stream, Connection::Reused));
            }
        }
        let deadline = &self.client.deadline;
        deadline.enter(Phase::Connecting, self.pool().timeouts.connect);
        let address = self.backend(backend).address;
        let stream = connect::open(&self.client.context, address, deadline).await?;
        Ok((stream, Connection::Fresh))
    }

    /// Sends the request and waits for the head of its response.
    async fn wait(&mut self, upstream: &mut Stream) -> Waited {
        let client_timeouts = self.listener().timeouts;
        let pool_timeouts = self.pool().timeouts;
        let Client {
            stream,
            context,
            deadline,
            ..
        } = &mut *self.client;
        deadline.enter(Phase::Uploading, client_timeouts.request_body);
        let exchange = &mut self.exchange;
        let mut sides = Sides {
            client: stream,
            upstream,
            context,
            deadline,
            pool_timeouts,
        };
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
        let listener = self.client.listener();
        listener.count_response(answered.status);
        self.record.status = answered.status;
        self.record.moments.answered_at = self.client.context.moment();
        let timeouts = listener.timeouts;
        let pool = listener.pool;
        let pool_timeouts = self.pool().timeouts;
        let Client {
            stream,
            context,
            deadline,
            ..
        } = &mut *self.client;
        let exchange = &mut self.exchange;
        let mut sides = Sides {
            client: stream,
            upstream: &mut upstream,
            context,
            deadline,
            pool_timeouts,
        };
        if answered.status == 101 {
            sides.deadline.enter(Phase::Tunnel, timeouts.tunnel);
            exchange.begin_tunnel();
            let mut down = Direction::Open;
            let ended = poll_fn(|cx| exchange.poll_tunnel(cx, &mut sides, &mut down)).await;
            self.record.termination = match ended {
                Relayed::Silent => Termination::TunnelTimeout,
                Relayed::Cut => Termination::DrainTimeout,
                Relayed::Whole | Relayed::Truncated | Relayed::ClientGone => Termination::Complete,
            };
            return After::Close;
        }
        sides.deadline.enter(Phase::Relaying, timeouts.idle);
        let relayed = poll_fn(|cx| exchange.poll_relay(cx, &mut sides)).await;
        self.record.termination = termination(relayed);
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
            return After::Linger;
        }
        if answered.upstream == Persistence::Close {
            // Ended in order and first, it would occupy its port; but a backend may still read a
            // body.
            if is_bodyless(self.framing) {
                upstream.reset_on_close();
            }
        } else if exchange.has_surplus() {
            context.table.pools[pool].backends[slot.backend()].count_unasked();
        } else {
            context.upstreams.keep(pool, slot.backend(), upstream);
        }
        match (answered.client, self.asked.persistence) {
            (Persistence::Keep, _) => After::Keep,
            // The client has said that nothing follows; closing would reset what does.
            (Persistence::Close, Persistence::Close)
                if !exchange.is_ahead() && stream.unread() != Unread::Bytes =>
            {
                After::Close
            }
            (Persistence::Close, _) => After::Linger,
        }
    }

    /// Returns what ends the request if an attempt that has failed was its last.
    fn unserved(&self, backend: usize, error: AttemptError, detail: Detail) -> Unserved {
        let backend = self.backend(backend);
        let named = format!(
            "backend {} ({}) of pool {}",
            backend.name,
            backend.address,
            self.pool().name
        );
        answer::unserved(error, &named, detail)
    }

    /// Returns why an attempt has no connection.
    fn no_connection(&self, error: OpenError) -> (AttemptError, Detail) {
        let (side, cause, detail) = match error {
            OpenError::Cut => (Side::Proxy, Cause::Drained, Detail::None),
            OpenError::TimedOut => (Side::Upstream, Cause::TimedOut, Detail::None),
            OpenError::Refused(error) => (Side::Upstream, Cause::Refused, Detail::System(error)),
            OpenError::Shortage(error) => (Side::Proxy, Cause::Shortage, Detail::System(error)),
        };
        let reached = Reached::Nothing;
        let error = AttemptError {
            side,
            reached,
            cause,
        };
        (error, detail)
    }

    /// Returns why an attempt on a connection has no response.
    fn failed(&self, on: Connection, waited: Waited) -> (AttemptError, Detail) {
        let (side, cause, detail) = match waited {
            // A head is relayed before this is asked.
            Waited::Answered(_) | Waited::ClientGone => (Side::Client, Cause::Lost, Detail::None),
            Waited::Cut => (Side::Proxy, Cause::Drained, Detail::None),
            Waited::BrokenBody(error) => (Side::Client, Cause::Malformed, Detail::Body(error)),
            Waited::ClientSilent => (Side::Client, Cause::TimedOut, Detail::None),
            Waited::BackendSilent => (Side::Upstream, Cause::TimedOut, Detail::None),
            Waited::Bad(refusal) => (Side::Upstream, Cause::Malformed, Detail::Response(refusal)),
            Waited::Lost => (Side::Upstream, Cause::Lost, Detail::None),
        };
        let reached = if self.exchange.has_sent() {
            Reached::Sent(on)
        } else {
            Reached::Connected(on)
        };
        let error = AttemptError {
            side,
            reached,
            cause,
        };
        (error, detail)
    }

    fn nobody_up(&self) -> Unserved {
        let pool = self.pool();
        let why = format!(
            "none of the {} backends of pool {} is up",
            pool.backends.len(),
            pool.name
        );
        let reply = LocalReply {
            status: 503,
            token: "no_backend_up",
            why,
        };
        Unserved::Reply(reply, Termination::NoBackendUp)
    }

    fn all_full(&self) -> Unserved {
        let pool = self.pool();
        pool.queue.timeouts.fetch_add(1, Relaxed);
        let why = format!("no backend of pool {} had room in time", pool.name);
        let reply = LocalReply {
            status: 503,
            token: "queue_timeout",
            why,
        };
        Unserved::Reply(reply, Termination::QueueTimeout)
    }

    /// Sends the local reply; the connection is kept where the request is over.
    async fn end_unserved(&mut self, unserved: Unserved) -> After {
        let reply = match unserved {
            Unserved::Reply(reply, termination) => {
                self.record.termination = termination;
                reply
            }
            Unserved::NoReply(termination) => {
                self.record.termination = termination;
                // A client that still sends would not hear of an end in order, but go on.
                return if termination == Termination::DrainTimeout {
                    After::Reset
                } else {
                    After::Close
                };
            }
        };
        let over = is_bodyless(self.framing) || self.exchange.has_uploaded();
        let keep = over && reply.status >= 500;
        let persistence = match self.asked.persistence {
            Persistence::Keep if keep => Persistence::Keep,
            Persistence::Keep | Persistence::Close => Persistence::Close,
        };
        self.exchange.settle(&self.client.context);
        send_local_reply(
            self.client,
            &reply,
            self.asked,
            persistence,
            &mut self.record,
        )
        .await
    }
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
    }
}
