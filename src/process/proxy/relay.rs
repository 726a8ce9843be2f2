//! The way of one request: given to a backend, given to another if need be, and answered.
//!
//! The decisions are `logic::http1`'s and `logic::balance`'s; here they are carried out. Every way
//! out of `answer` says what becomes of the client's connection: nothing waits without a deadline.

use std::future::poll_fn;
use std::io::IoSlice;
use std::net::IpAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;

use super::downstream::connection::Client;
use super::downstream::watch::{Interrupt, Phase};
use super::exchange::{Answered, Direction, Ending, Exchange, Relayed, Sides, Waited};
use super::picker::Claim;
use super::queue::Place;
use super::record::{self, Moments, Record, Termination};
use super::shared::{Backend, Listener, Pool};
use super::stream::{Stream, Unread};
use super::upstream::{self, InFlight, LookedAt, OpenError};
use crate::logic::access::{self, Awaited};
use crate::logic::balance::retry::{self, Connection, Failure, Next, Repeat, Spending, Tried};
use crate::logic::http1::head::{Framing, Persistence, Version};
use crate::logic::http1::own::OwnAnswer;
use crate::logic::http1::refusal::{BodyError, RequestRefusal};
use crate::logic::http1::request::Expectation;
use crate::logic::http1::response::AskedFor;

/// A request that may be relayed.
pub(super) struct Request {
    /// The client's own address.
    pub(super) origin: IpAddr,
    /// As the backend is sent it.
    pub(super) head: Vec<u8>,
    pub(super) framing: Framing,
    pub(super) expectation: Expectation,
    pub(super) asked: AskedFor,
    pub(super) repeat: Repeat,
    pub(super) moments: Moments,
}

/// What becomes of the client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// It waits for the next request.
    Keep,
    /// It is closed: nothing more is expected on it.
    Close,
    /// It is closed when the client has had time to read its answer.
    Linger,
    /// It is reset, so that nobody takes what was sent for the whole.
    Reset,
}

/// Answers one request, in any case but that of a client that has gone.
pub(super) async fn answer(client: &mut Client, request: Request) -> After {
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
        client.thread.table.connection_bytes,
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
        Err(own) => attempts.say(own).await,
    };
    let Attempts {
        client,
        mut exchange,
        mut record,
        ..
    } = attempts;
    let (up, down) = exchange.bytes();
    record.request_bytes = up;
    // An answer of our own has been counted already.
    record.response_bytes += down;
    record.moments.ended_at = client.thread.moment();
    record::ended(&client.thread, &record, exchange.head());
    client.ahead = exchange.end(&client.thread);
    after
}

/// An answer of our own, or the word that there is nobody to tell.
enum Own {
    Answer(OwnAnswer, Termination),
    Nobody(Termination),
}

/// How the wait for room has ended.
enum Queued {
    /// With room, or because there is nobody left to wait for.
    Called(Option<InFlight>),
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
        &self.client.thread.table.pools[self.pool_index()]
    }

    fn backend(&self, index: usize) -> &Backend {
        &self.pool().backends[index]
    }

    async fn run(&mut self) -> Result<After, Own> {
        self.client.thread.count_request(self.pool_index());
        let mut room = self.first_room().await?;
        let mut on = Connection::Reused;
        loop {
            let backend = room.backend();
            room.count_attempt();
            self.record.backend = Some(backend);
            self.record.moments.picked_at = self.client.thread.moment();
            self.record.moments.connected_at = None;
            let (failure, own) = match self.lease(backend, on).await {
                Ok((mut stream, on)) => {
                    self.record.moments.connected_at = self.client.thread.moment();
                    let waited = self.wait(&mut stream).await;
                    if let Waited::Answered(answered) = waited {
                        return Ok(self.relay(room, answered, stream).await);
                    }
                    self.failed(backend, on, waited)?
                }
                Err(error) => self.no_connection(backend, error)?,
            };
            let next = retry::next(failure, self.repeat, self.tried.count());
            if next != Next::SameBackend && failure != Failure::Shortage {
                self.backend(backend).failures.fetch_add(1, Relaxed);
            }
            if failure == Failure::Connect {
                self.client.thread.avoid(self.pool_index(), backend);
            }
            (room, on) = match next {
                Next::SameBackend => {
                    // A dead connection that was kept costs its backend nothing.
                    let free = failure == Failure::Unsent(Connection::Reused);
                    if !free && self.spend_retry() == Spending::Exhausted {
                        return Err(own);
                    }
                    (room, Connection::Fresh)
                }
                Next::OtherBackend => {
                    drop(room);
                    (self.other_room(own).await?, Connection::Reused)
                }
                Next::GiveUp => return Err(own),
            };
            self.record.retries += 1;
            self.exchange.rewind(&self.client.thread);
        }
    }

    /// Returns room for a request that is new: nobody who waits is overtaken.
    async fn first_room(&mut self) -> Result<InFlight, Own> {
        let claim = if self.pool().queue.is_busy() {
            Claim::Full
        } else {
            self.claim()
        };
        let room = match claim {
            Claim::Taken(backend) => Some(self.room(backend)),
            Claim::Full => self.queue().await?,
            Claim::Nobody => None,
        };
        room.ok_or_else(|| self.nobody_up())
    }

    /// Returns room on a backend that has not been tried; `own` is the answer where there is none.
    async fn other_room(&mut self, own: Own) -> Result<InFlight, Own> {
        let claim = self.claim();
        let room = match claim {
            Claim::Taken(backend) => Some(self.room(backend)),
            Claim::Full => None,
            Claim::Nobody => return Err(own),
        };
        if self.spend_retry() == Spending::Exhausted {
            return Err(own);
        }
        let room = match room {
            Some(room) => room,
            None => self.queue().await?.ok_or(own)?,
        };
        self.pool().retries.fetch_add(1, Relaxed);
        Ok(room)
    }

    fn claim(&self) -> Claim {
        self.client.thread.claim(self.pool_index(), &self.tried)
    }

    /// Holds room that was taken.
    fn room(&mut self, backend: usize) -> InFlight {
        self.tried.insert(backend);
        InFlight::new(&self.client.thread, self.pool_index(), backend)
    }

    /// Waits for room; returns `None` where there is nobody left to wait for.
    async fn queue(&mut self) -> Result<Option<InFlight>, Own> {
        let within = self.pool().timeouts.queue;
        let pool = self.pool_index();
        let Client {
            stream,
            thread,
            watch,
            ..
        } = &mut *self.client;
        watch.enter(Phase::Queued, within);
        let place = Place::take(thread, pool, self.tried);
        let exchange = &mut self.exchange;
        let ended = poll_fn(|cx| {
            let interrupt = watch.poll_interrupt(cx);
            if let Poll::Ready(cut @ (Interrupt::Drain | Interrupt::Cut)) = interrupt {
                return Poll::Ready(Queued::Interrupted(cut));
            }
            // Called in the last moment is in time.
            if let Poll::Ready(room) = place.poll(cx) {
                return Poll::Ready(Queued::Called(room));
            }
            if let Poll::Ready(interrupt) = interrupt {
                return Poll::Ready(Queued::Interrupted(interrupt));
            }
            let gone = exchange.poll_early_client(cx, stream, thread);
            gone.map(|()| Queued::ClientGone)
        });
        match ended.await {
            Queued::Called(room) => {
                room.iter()
                    .for_each(|room| self.tried.insert(room.backend()));
                Ok(room)
            }
            Queued::Interrupted(Interrupt::Overdue) => Err(self.all_full()),
            Queued::Interrupted(Interrupt::Drain | Interrupt::Cut) => {
                Err(Own::Nobody(Termination::DrainTimeout))
            }
            Queued::ClientGone => Err(Own::Nobody(Termination::ClientGone)),
        }
    }

    /// Notes how far the request has come, before any answer of our own.
    fn note_progress(&mut self) {
        self.record.phase = match self.client.watch.phase() {
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
        let spending = self.client.thread.spend_retry(self.pool_index());
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
                Repeat::Harmless if !self.backend(backend).has_spoken_unasked() => LookedAt::No,
                Repeat::Harmless | Repeat::Risky => LookedAt::Yes,
            };
            let Client { thread, .. } = &*self.client;
            let at = (self.pool_index(), backend);
            if let Some(stream) = thread.upstreams.take(&thread.table, at, looked_at) {
                return Ok((stream, Connection::Reused));
            }
        }
        let watch = &self.client.watch;
        watch.enter(Phase::Connecting, self.pool().timeouts.connect);
        let address = self.backend(backend).address;
        let stream = upstream::open(&self.client.thread, address, watch).await?;
        Ok((stream, Connection::Fresh))
    }

    /// Sends the request and waits for the head of its response.
    async fn wait(&mut self, upstream: &mut Stream) -> Waited {
        let client_timeouts = self.listener().timeouts;
        let pool_timeouts = self.pool().timeouts;
        let Client {
            stream,
            thread,
            watch,
            ..
        } = &mut *self.client;
        watch.enter(Phase::Uploading, client_timeouts.request_body);
        let exchange = &mut self.exchange;
        let mut sides = Sides {
            client: stream,
            upstream,
            thread,
            watch,
            pool_timeouts,
        };
        poll_fn(|cx| exchange.poll_answer(cx, &mut sides)).await
    }

    /// Relays the response whose head has come. The connection ends, or is kept, before its room is given back.
    async fn relay(&mut self, room: InFlight, answered: Answered, mut upstream: Stream) -> After {
        let listener = self.client.listener();
        listener.count_response(answered.status);
        self.record.status = answered.status;
        self.record.moments.answered_at = self.client.thread.moment();
        let timeouts = listener.timeouts;
        let pool = listener.pool;
        let pool_timeouts = self.pool().timeouts;
        let Client {
            stream,
            thread,
            watch,
            ..
        } = &mut *self.client;
        let exchange = &mut self.exchange;
        let mut sides = Sides {
            client: stream,
            upstream: &mut upstream,
            thread,
            watch,
            pool_timeouts,
        };
        if answered.status == 101 {
            sides.watch.enter(Phase::Tunnel, timeouts.tunnel);
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
        sides.watch.enter(Phase::Relaying, timeouts.idle);
        let relayed = poll_fn(|cx| exchange.poll_relay(cx, &mut sides)).await;
        self.record.termination = termination(relayed);
        if relayed == Relayed::Silent && exchange.awaits_client() {
            // Closed, its socket would stay in the kernel for minutes, with what nobody takes.
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
            // Ended in order and first, it would occupy its port; but a backend may still read a body.
            if is_bodyless(self.framing) {
                upstream.reset_on_close();
            }
        } else if exchange.has_surplus() {
            thread.table.pools[pool].backends[room.backend()].count_unasked();
        } else {
            thread.upstreams.keep(pool, room.backend(), upstream);
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

    /// Tells what an attempt without an answer means, and what the client is told if it was the
    /// last.
    fn failed(
        &self,
        backend: usize,
        on: Connection,
        waited: Waited,
    ) -> Result<(Failure, Own), Own> {
        let (failure, own) = match waited {
            // A head is relayed before anybody asks.
            Waited::Answered(_) | Waited::ClientGone => {
                return Err(Own::Nobody(Termination::ClientGone));
            }
            Waited::Cut => return Err(Own::Nobody(Termination::DrainTimeout)),
            Waited::BrokenBody(BodyError::TooLong) => {
                let answer = refused(RequestRefusal::BodyTooLarge);
                return Err(Own::Answer(answer, Termination::RequestBodyInvalid));
            }
            Waited::BrokenBody(error) => {
                let answer = refused(RequestRefusal::Body(error));
                return Err(Own::Answer(answer, Termination::RequestBodyInvalid));
            }
            Waited::ClientSilent => {
                return Err(Own::Answer(late(), Termination::RequestBodyTimeout));
            }
            Waited::BackendSilent => {
                let what = "did not answer in time";
                let own = self.own(504, "response_timeout", backend, what);
                let own = Own::Answer(own, Termination::ResponseHeadTimeout);
                (Failure::Timeout, own)
            }
            Waited::Bad(refusal) => {
                let what = format!("sent an answer that is not relayed: {refusal}");
                let own = self.own(502, "bad_answer", backend, &what);
                (Failure::BadAnswer, Own::Answer(own, Termination::BadAnswer))
            }
            Waited::Lost => {
                let failure = if self.exchange.has_sent() {
                    Failure::Unanswered(on)
                } else {
                    Failure::Unsent(on)
                };
                let what = "closed the connection before it answered";
                let own = self.own(502, "connection_lost", backend, what);
                (failure, Own::Answer(own, Termination::ConnectionLost))
            }
        };
        Ok((failure, own))
    }

    fn own(&self, status: u16, token: &'static str, backend: usize, what: &str) -> OwnAnswer {
        let backend = self.backend(backend);
        let why = format!(
            "backend {} ({}) of pool {} {what}",
            backend.name,
            backend.address,
            self.pool().name
        );
        OwnAnswer { status, token, why }
    }

    /// Tells what an attempt without a connection means, and what the client is told if it was the last.
    fn no_connection(&self, backend: usize, error: OpenError) -> Result<(Failure, Own), Own> {
        match error {
            OpenError::Cut => Err(Own::Nobody(Termination::DrainTimeout)),
            OpenError::TimedOut => {
                let what = "did not accept the connection in time";
                let own = self.own(504, "connect_timeout", backend, what);
                let own = Own::Answer(own, Termination::ConnectTimeout);
                Ok((Failure::Connect, own))
            }
            OpenError::Refused(error) => {
                let what = format!("cannot be connected to: {error}");
                let own = self.own(502, "connect_failed", backend, &what);
                let own = Own::Answer(own, Termination::ConnectFailed);
                Ok((Failure::Connect, own))
            }
            OpenError::Shortage(error) => {
                let own = OwnAnswer {
                    status: 503,
                    token: "resources_exhausted",
                    why: format!("this proxy can open no connection to a backend: {error}"),
                };
                let own = Own::Answer(own, Termination::ResourcesExhausted);
                Ok((Failure::Shortage, own))
            }
        }
    }

    fn nobody_up(&self) -> Own {
        let pool = self.pool();
        let why = format!(
            "none of the {} backends of pool {} is up",
            pool.backends.len(),
            pool.name
        );
        let own = OwnAnswer {
            status: 503,
            token: "no_backend_up",
            why,
        };
        Own::Answer(own, Termination::NoBackendUp)
    }

    fn all_full(&self) -> Own {
        let pool = self.pool();
        pool.queue.timeouts.fetch_add(1, Relaxed);
        let why = format!("no backend of pool {} had room in time", pool.name);
        let own = OwnAnswer {
            status: 503,
            token: "queue_timeout",
            why,
        };
        Own::Answer(own, Termination::QueueTimeout)
    }

    /// Gives an answer of our own; the connection is kept where the request is over.
    async fn say(&mut self, own: Own) -> After {
        let own = match own {
            Own::Answer(own, termination) => {
                self.record.termination = termination;
                own
            }
            Own::Nobody(termination) => {
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
        let keep = over && own.status >= 500;
        let persistence = match self.asked.persistence {
            Persistence::Keep if keep => Persistence::Keep,
            Persistence::Keep | Persistence::Close => Persistence::Close,
        };
        self.exchange.settle(&self.client.thread);
        say(self.client, &own, self.asked, persistence, &mut self.record).await
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

/// Returns the answer to a request that is not relayed.
pub(super) fn refused(refusal: RequestRefusal) -> OwnAnswer {
    OwnAnswer {
        status: refusal.status(),
        token: refusal.token(),
        why: refusal.to_string(),
    }
}

/// Returns the answer to a request that does not come to its end.
pub(super) fn late() -> OwnAnswer {
    OwnAnswer {
        status: 408,
        token: "request_timeout",
        why: "the request did not come to its end in time".to_owned(),
    }
}

/// Writes an answer of our own.
pub(super) async fn say(
    client: &mut Client,
    own: &OwnAnswer,
    asked: AskedFor,
    persistence: Persistence,
    record: &mut Record,
) -> After {
    let persistence = if client.thread.draining.get() {
        Persistence::Close
    } else {
        persistence
    };
    let listener = client.listener();
    listener.count_response(own.status);
    record.status = own.status;
    client.watch.enter(Phase::Relaying, listener.timeouts.idle);
    let mut text = client.thread.buffers.with_room(OWN_ANSWER_BYTES);
    let date = client.thread.date.get();
    own.write(asked.method, asked.version, persistence, &date, &mut text);
    let mut written = 0;
    let whole = poll_fn(|cx| {
        while written < text.len() {
            if client.watch.poll_interrupt(cx).is_ready() {
                return Poll::Ready(false);
            }
            std::task::ready!(client.thread.budget.poll());
            let rest = [IoSlice::new(&text[written..])];
            match std::task::ready!(client.stream.poll_write(cx, &rest)) {
                Ok(count) => {
                    client.thread.budget.charge(count);
                    written += count;
                }
                Err(_) => return Poll::Ready(false),
            }
        }
        Poll::Ready(true)
    })
    .await;
    client.thread.buffers.give_back(text);
    record.response_bytes += written as u64;
    match (whole, persistence) {
        (false, _) => After::Close,
        (true, Persistence::Keep) => After::Keep,
        (true, Persistence::Close) => After::Linger,
    }
}

/// Room for an answer of our own.
const OWN_ANSWER_BYTES: usize = 1024;
