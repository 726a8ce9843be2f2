//! One request and its response between two sockets: both directions at once, never waiting for one
//! alone.
//!
//! First until the backend's head has come, then until everything has been moved. What a failure
//! means, and what is tried next, is `attempts`'s to say. All of it is polled by the client
//! connection's one task; nothing is spawned.

use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::config::PoolTimeouts;
use crate::logic::http1::head::{Framing, HeadLimits, Persistence, Slots, Version, head_may_end};
use crate::logic::http1::local_reply::CONTINUE;
use crate::logic::http1::refusal::{BodyError, ResponseRefusal};
use crate::logic::http1::request::Expectation;
use crate::logic::http1::response::{AskedFor, BodyCoding, ResponseHead, ResponseRewrite};
use crate::logic::http1::rewrite::edit::Edits;
use crate::logic::http1::rewrite::elsewhere::{Elsewhere, Inherited};
use crate::process::proxy::context::WorkerContext;
use crate::process::proxy::io::budget::PARSED;
use crate::process::proxy::io::buffers::Held;
use crate::process::proxy::io::deadline::{Deadline, Hurried, Interrupt, Phase};
use crate::process::proxy::io::frames::load::{Load, Share};
use crate::process::proxy::io::stream::Stream;
use crate::process::proxy::memory::{ADDED_BYTES, RESPONSE_HEAD_BYTES};
use crate::process::proxy::spool::body::Failure;
use crate::process::proxy::transfer::buffered::Buffered;
use crate::process::proxy::transfer::draining::Queues;
use crate::process::proxy::transfer::ends::Ends;
use crate::process::proxy::transfer::flow::{Flow, FlowError, Keeps};
use crate::process::proxy::transfer::pace::Pace;

mod buffering;
mod heeding;
pub(in crate::process::proxy) mod tunnel;
mod waiting;

/// A request on its way and its response on the way back.
pub(in crate::process::proxy) struct Exchange {
    asked: AskedFor,
    expectation: Expectation,
    upload: Flow,
    uploading: Uploading,
    pace: Pace,
    download: Flow,
    client: ClientSide,
    end: EndMeans,
    /// How far the response's head was searched for its end.
    searched: Option<usize>,
    interim_count: u8,
    edits: Option<Rc<Edits>>,
    heed: Heed,
    /// Of whoever has said where the answer is.
    inherited: Option<Box<Inherited>>,
    /// A field that the final head has besides.
    cookie: Option<Vec<u8>>,
    /// The body of the request, where it was read before a backend was asked.
    buffered: Option<Box<Buffered>>,
    queues: Queues,
}

/// How far the request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Uploading {
    Going,
    /// The backend has all of it.
    Done,
    /// The backend does not take it any more.
    Refused,
    /// The client does not send it any more, or sends what cannot be sent on.
    Broken,
}

/// What is expected of the client while it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientSide {
    /// It may leave, or send its next request.
    Watched,
    /// It has ended its direction; it may still want its answer. Says whether its time is over
    /// before the backend's.
    HalfClosed(Hurried),
}

/// What of a final head keeps it from the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::process::proxy) enum Heed {
    /// Nothing.
    Nothing,
    /// That the answer is said to be elsewhere.
    Place,
    /// That it is none that is hoped for: another may have it.
    Status,
}

/// What it means that the client ends its direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EndMeans {
    /// That its request is whole: it may wait for the answer.
    Asked,
    /// That it leaves: it knows how the answer begins.
    Leaves,
}

impl EndMeans {
    /// Returns how long an answer may be silent behind it.
    const fn timeout(self) -> Duration {
        match self {
            Self::Asked => HALF_CLOSED_TIMEOUT,
            Self::Leaves => LEAVING_TIMEOUT,
        }
    }
}

/// What the exchange works with, at each poll.
pub(in crate::process::proxy) struct Sides<'a> {
    pub(in crate::process::proxy) client: &'a mut Stream,
    pub(in crate::process::proxy) upstream: &'a mut Stream,
    pub(in crate::process::proxy) context: &'a WorkerContext,
    pub(in crate::process::proxy) deadline: &'a Deadline,
    pub(in crate::process::proxy) pool_timeouts: PoolTimeouts,
}

impl Sides<'_> {
    /// Ready with why the exchange is to stop what it does.
    fn poll_interrupt(&self, cx: &mut Context<'_>, queues: &mut Queues) -> Poll<Interrupt> {
        queues.poll_interrupt(cx, self.deadline, (self.client, self.upstream))
    }

    /// Returns the request's direction.
    fn up(&mut self) -> Ends<'_> {
        Ends {
            source: self.client,
            sink: self.upstream,
            buffers: &self.context.buffers,
            pipes: &self.context.pipes,
            deadline: self.deadline,
            budget: &self.context.budget,
        }
    }

    /// Returns the response's direction.
    fn down(&mut self) -> Ends<'_> {
        Ends {
            source: self.upstream,
            sink: self.client,
            buffers: &self.context.buffers,
            pipes: &self.context.pipes,
            deadline: self.deadline,
            budget: &self.context.budget,
        }
    }
}

/// A response's head has come and may be relayed.
#[derive(Clone, Copy, Debug)]
pub(in crate::process::proxy) struct Answered {
    pub(in crate::process::proxy) status: u16,
    /// Whether the backend's connection can be kept after it.
    pub(in crate::process::proxy) upstream: Persistence,
    /// Whether the client was told that its connection is kept.
    pub(in crate::process::proxy) client: Persistence,
    /// Whether the client takes the end of its connection for the end of the body.
    pub(in crate::process::proxy) ends: Ending,
}

/// How a client knows the end of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::process::proxy) enum Ending {
    /// By its framing.
    Stated,
    /// By the end of the connection.
    Close,
}

/// How the wait for a response's head has ended.
#[derive(Debug)]
pub(in crate::process::proxy) enum Waited {
    /// With a head.
    Answered(Answered),
    /// With the end of the backend's connection.
    Lost,
    /// With a response that is not relayed.
    Bad(ResponseRefusal),
    /// The client's body is malformed or broke off.
    BrokenBody(BodyError),
    /// The client has gone.
    ClientGone,
    /// The client does not go on with its body.
    ClientSilent,
    /// The body of the request is not kept, or was and cannot be read.
    Unkept(Failure),
    /// With an answer that is not relayed, though nothing is wrong with it.
    Heeded(Heeded),
    /// The backend does not answer, or does not take the request.
    BackendSilent,
    /// Everything ends.
    Cut,
}

/// An answer that nobody reads.
#[derive(Debug)]
pub(in crate::process::proxy) struct Heeded {
    pub(in crate::process::proxy) status: u16,
    /// Whether the backend's connection can be kept after it.
    pub(in crate::process::proxy) upstream: Persistence,
    /// Where the answer is, where it says so; otherwise it is none that is hoped for.
    pub(in crate::process::proxy) to: Option<Box<Elsewhere>>,
}

/// How the relaying of a response has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::process::proxy) enum Relayed {
    /// To its end.
    Whole,
    /// The backend broke off.
    Truncated,
    /// The client has gone.
    ClientGone,
    /// One side fell silent.
    Silent,
    /// Everything ends.
    Cut,
}

impl Relayed {
    fn of(interrupt: Interrupt) -> Self {
        match interrupt {
            Interrupt::Overdue => Self::Silent,
            Interrupt::Drain | Interrupt::Cut => Self::Cut,
        }
    }
}

enum Parsed {
    Final(Answered),
    Heeded(Heeded),
    Interim,
    Partial,
}

impl Exchange {
    pub(in crate::process::proxy) fn new(
        ahead: Held,
        framing: Framing,
        asked: AskedFor,
        expectation: Expectation,
    ) -> Self {
        let mut upload = Flow::new(ahead, Keeps::Head);
        upload.frame(framing, BodyCoding::AsIs);
        Self {
            asked,
            expectation,
            upload,
            uploading: Uploading::Going,
            pace: Pace::new(Duration::ZERO, 0),
            download: Flow::new(Held::default(), Keeps::Nothing),
            client: ClientSide::Watched,
            end: EndMeans::Asked,
            searched: None,
            interim_count: 0,
            edits: None,
            heed: Heed::Nothing,
            inherited: None,
            cookie: None,
            buffered: None,
            queues: Queues::default(),
        }
    }

    /// Has the head of the response be edited.
    pub(in crate::process::proxy) fn edit_response(&mut self, edits: Option<Rc<Edits>>) {
        self.edits = edits;
    }

    /// Has the final response give the client a cookie, or not: a field with the end of its line.
    pub(in crate::process::proxy) fn give_cookie(&mut self, cookie: Option<Vec<u8>>) {
        self.cookie = cookie;
    }

    /// Bounds what is held for each direction, and the request's body and how slow it may be.
    pub(in crate::process::proxy) fn limit(
        &mut self,
        connection_bytes: usize,
        body_bytes: u64,
        pace: Pace,
    ) {
        self.pace = pace;
        self.upload.limit_reads(connection_bytes);
        self.download.limit_reads(connection_bytes);
        self.upload.limit_body(body_bytes);
    }

    /// Bounds the content of the request's body.
    pub(in crate::process::proxy) fn limit_body(&mut self, bytes: u64) {
        self.upload.limit_body(bytes);
    }

    /// Has both directions hold what the account of a connection with many requests leaves them.
    pub(in crate::process::proxy) fn share(&mut self, load: &Rc<Load>) {
        self.upload.share(Share::new(load));
        self.download.share(Share::new(load));
    }

    /// Prepares for the first attempt: the request is sent with this head.
    pub(in crate::process::proxy) fn begin(&mut self, head: Vec<u8>, context: &WorkerContext) {
        self.upload.set_head(head);
        self.begin_replay(context);
    }

    /// Prepares for another attempt: the request is sent from its beginning.
    pub(in crate::process::proxy) fn rewind(&mut self, context: &WorkerContext) {
        self.upload.rewind();
        self.begin_replay(context);
        self.uploading = Uploading::Going;
        self.download.input.clear(&context.buffers);
        self.searched = None;
    }

    /// Returns whether the backend was sent anything of the request.
    pub(in crate::process::proxy) fn has_sent(&self) -> bool {
        self.upload.written() > 0
    }

    /// Returns whether the whole request could be sent again.
    pub(in crate::process::proxy) fn can_rewind(&self) -> bool {
        self.buffered.is_some() || self.upload.can_rewind()
    }

    /// Returns the bytes sent to the backend and to the client.
    pub(in crate::process::proxy) fn bytes(&self) -> (u64, u64) {
        (self.upload.written(), self.download.written())
    }

    /// Returns the request's head, as the backend is sent it, and maybe more.
    pub(in crate::process::proxy) fn head(&self) -> &[u8] {
        self.upload.head()
    }

    /// Returns whether the client has not taken all that was sent to it.
    pub(in crate::process::proxy) fn awaits_client(&self) -> bool {
        self.download.awaits_sink()
    }

    /// Returns whether the whole request has been taken from the client.
    pub(in crate::process::proxy) fn has_uploaded(&self) -> bool {
        self.uploading == Uploading::Done
    }

    /// Returns whether the client has nothing more to send of its request.
    pub(in crate::process::proxy) fn has_request(&self) -> bool {
        self.has_uploaded() || self.buffered.is_some()
    }

    /// Returns whether the client sends on a body that the backend still takes.
    pub(in crate::process::proxy) fn is_uploading(&self) -> bool {
        self.uploading == Uploading::Going && self.expectation == Expectation::None
    }

    /// Returns whether bytes came behind the response.
    pub(in crate::process::proxy) fn has_surplus(&self) -> bool {
        !self.download.input.is_empty()
    }

    /// Returns whether the client has sent more than its request.
    pub(in crate::process::proxy) fn is_ahead(&mut self) -> bool {
        !self.ahead().is_empty()
    }

    /// Holds no more than must be while the client is told that there is no answer.
    pub(in crate::process::proxy) fn settle(&mut self, context: &WorkerContext) {
        self.download.input.clear(&context.buffers);
        self.upload.input.shrink(&context.buffers);
    }

    /// Gives all buffers back but what the client has sent ahead.
    pub(in crate::process::proxy) fn end(&mut self, context: &WorkerContext) -> Held {
        self.end_replay(context);
        let surplus = &mut self.download.end(&context.buffers, &context.pipes);
        surplus.clear(&context.buffers);
        self.upload.end(&context.buffers, &context.pipes)
    }

    /// Sends the request and waits for the head of its response.
    pub(in crate::process::proxy) fn poll_answer(
        &mut self,
        cx: &mut Context<'_>,
        sides: &mut Sides<'_>,
    ) -> Poll<Waited> {
        if let Poll::Ready(interrupt) = sides.poll_interrupt(cx, &mut self.queues) {
            return Poll::Ready(self.interrupted(interrupt, sides.deadline));
        }
        if self.uploading == Uploading::Going
            && let Poll::Ready(why) = self.poll_upload(cx, sides)
        {
            return Poll::Ready(why);
        }
        if let Poll::Ready(waited) = self.poll_head(cx, sides) {
            return Poll::Ready(waited);
        }
        self.upload.input.shrink(&sides.context.buffers);
        self.hurry_half_closed(sides.deadline);
        self.poll_client(cx, sides)
    }

    fn interrupted(&self, interrupt: Interrupt, deadline: &Deadline) -> Waited {
        match interrupt {
            Interrupt::Drain | Interrupt::Cut => Waited::Cut,
            Interrupt::Overdue if self.client == ClientSide::HalfClosed(Hurried::Sooner) => {
                Waited::ClientGone
            }
            Interrupt::Overdue if self.download.awaits_sink() => Waited::ClientGone,
            Interrupt::Overdue if deadline.phase() == Phase::Waiting => Waited::BackendSilent,
            Interrupt::Overdue if self.upload.awaits_sink() => Waited::BackendSilent,
            Interrupt::Overdue if self.buffered.is_some() => Waited::Unkept(Failure::slow()),
            Interrupt::Overdue => Waited::ClientSilent,
        }
    }

    /// Ready where the client has failed; a backend that takes no more may have answered.
    fn poll_upload(&mut self, cx: &mut Context<'_>, sides: &mut Sides<'_>) -> Poll<Waited> {
        match self.poll_source(cx, sides) {
            Poll::Ready(Ok(())) => {
                self.uploading = Uploading::Done;
                self.end_replay(sides.context);
                sides
                    .deadline
                    .enter(Phase::Waiting, sides.pool_timeouts.response_head);
            }
            Poll::Ready(Err(FlowError::Sink)) => {
                self.uploading = Uploading::Refused;
                sides
                    .deadline
                    .enter(Phase::Waiting, sides.pool_timeouts.response_head);
            }
            Poll::Ready(Err(FlowError::Body(error))) => {
                self.uploading = Uploading::Broken;
                return Poll::Ready(Waited::BrokenBody(error));
            }
            Poll::Ready(Err(FlowError::Source)) => return Poll::Ready(self.source_failed()),
            Poll::Pending if self.expectation == Expectation::Continue => {
                self.give_leave(sides.client, sides.context);
            }
            Poll::Pending => self.keep_pace(sides.context, sides.deadline),
        }
        Poll::Pending
    }

    /// Has a client that waits for it send its body (RFC 9110 §10.1.1).
    fn give_leave(&mut self, client: &mut Stream, context: &WorkerContext) {
        if self.expectation == Expectation::Continue
            && self.upload.awaits_body()
            && !context.budget.is_used_up()
        {
            // The socket's buffer is empty; where it is not, the client hardly waits.
            client.try_write(CONTINUE);
            self.expectation = Expectation::None;
        }
    }

    /// Lets the client's time end sooner than without a byte, where its body comes too slowly.
    fn keep_pace(&mut self, context: &WorkerContext, deadline: &Deadline) {
        let now_ms = context.clock.get();
        if self.upload.awaits_sink() || self.buffered.is_some() {
            self.pace.pause(now_ms);
            return;
        }
        if let Some(left) = self.pace.left(now_ms, self.upload.content_bytes()) {
            deadline.hurry(left);
        }
    }

    fn poll_head(&mut self, cx: &mut Context<'_>, sides: &mut Sides<'_>) -> Poll<Waited> {
        let WorkerContext {
            buffers, budget, ..
        } = sides.context;
        loop {
            ready!(budget.poll());
            // Nothing is read behind an interim head that the client has not taken.
            match self.download.poll_flush(cx, &mut sides.down()) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Waited::ClientGone),
                Poll::Pending => return Poll::Pending,
            }
            if self.may_parse() {
                match self.parse(sides) {
                    Ok(Parsed::Final(answered)) => return Poll::Ready(Waited::Answered(answered)),
                    Ok(Parsed::Heeded(heeded)) => return Poll::Ready(Waited::Heeded(heeded)),
                    Ok(Parsed::Interim) => continue,
                    Ok(Parsed::Partial) => {}
                    Err(refusal) => return Poll::Ready(Waited::Bad(refusal)),
                }
            }
            let mut buffer = buffers.large();
            // A head that is still too short is shorter than that.
            let room = RESPONSE_HEAD_BYTES.saturating_sub(self.download.input.len());
            let room = room.min(self.download.head_read_bytes());
            match sides.upstream.poll_read(cx, &mut buffer[..room.max(1)]) {
                Poll::Ready(Ok(len @ 1..)) if self.download.input.is_empty() => {
                    budget.charge(len);
                    self.download.input = Held::new(buffer, len);
                }
                Poll::Ready(Ok(len @ 1..)) => {
                    budget.charge(len);
                    self.download.input.append(&buffer[..len], buffers);
                    buffers.give_back(buffer);
                }
                Poll::Ready(Ok(_) | Err(_)) => {
                    buffers.give_back(buffer);
                    return Poll::Ready(Waited::Lost);
                }
                Poll::Pending => {
                    buffers.give_back(buffer);
                    self.download.hold(buffers);
                    return Poll::Pending;
                }
            }
        }
    }

    fn may_parse(&mut self) -> bool {
        let bytes = self.download.input.bytes();
        if bytes.is_empty() {
            return false;
        }
        if let Some(from) = self.searched {
            self.searched = head_may_end(bytes, from);
        }
        self.searched.is_none() || bytes.len() >= RESPONSE_LIMITS.head_bytes
    }

    fn parse(&mut self, sides: &mut Sides<'_>) -> Result<Parsed, ResponseRefusal> {
        let mut input = std::mem::take(&mut self.download.input);
        let mut slots = Slots::new();
        let bytes = input.bytes();
        let head = ResponseHead::parse(bytes, &mut slots, &RESPONSE_LIMITS, self.asked)?;
        let (parsed, len) = match head {
            None => {
                sides.context.budget.charge(bytes.len() * PARSED);
                self.searched = head_may_end(bytes, 0);
                self.download.input = input;
                return Ok(Parsed::Partial);
            }
            Some(head) if head.is_interim() => {
                self.handle_interim(&head, sides.context)?;
                (Parsed::Interim, head.len)
            }
            Some(head) if head.status == 101 && self.uploading != Uploading::Done => {
                return Err(ResponseRefusal::EarlyUpgrade);
            }
            Some(head) => match self.heed(&head, bytes.len())? {
                Some(heeded) => (Parsed::Heeded(heeded), bytes.len()),
                None => (Parsed::Final(self.handle_final(&head, sides)), head.len),
            },
        };
        sides.context.budget.charge(len * PARSED);
        input.consume(len, &sides.context.buffers);
        self.download.input = input;
        self.searched = None;
        if let Parsed::Final(_) = parsed {
            let begun = self.download.begin(&sides.context.buffers);
            begun.map_err(ResponseRefusal::Body)?;
        }
        Ok(parsed)
    }

    /// Hands 1xx on (RFC 9110 §15.2), but 100: we have given leave ourselves.
    fn handle_interim(
        &mut self,
        head: &ResponseHead<'_, '_>,
        context: &WorkerContext,
    ) -> Result<(), ResponseRefusal> {
        self.interim_count += 1;
        if self.interim_count > INTERIM_MAX {
            return Err(ResponseRefusal::TooManyInterim);
        }
        // Who follows another place may say something else.
        let is_of_many = self.heed == Heed::Status;
        if head.status == 100 || is_of_many || self.asked.version == Version::Http10 {
            return Ok(());
        }
        let departure = ResponseRewrite {
            persistence: Persistence::Keep,
            carry: BodyCoding::AsIs,
            date: &context.date.get(),
        };
        self.write_head(head, &departure, context);
        Ok(())
    }

    fn handle_final(&mut self, head: &ResponseHead<'_, '_>, sides: &Sides<'_>) -> Answered {
        let Sides {
            context, deadline, ..
        } = sides;
        let (carry, mut persistence) = head.departure(self.asked);
        let mut upstream = head.persistence;
        // The rest of the request may not be read, or be taken for a request of its own.
        let is_early = self.uploading != Uploading::Done;
        if is_early {
            upstream = Persistence::Close;
        }
        if deadline.expects_no_more() || !self.has_request() {
            persistence = Persistence::Close;
        }
        let departure = ResponseRewrite {
            persistence,
            carry,
            date: &context.date.get(),
        };
        self.write_head(head, &departure, context);
        if head.status == 101 {
            self.upload.frame(Framing::UntilClose, BodyCoding::AsIs);
            self.download.frame(Framing::UntilClose, BodyCoding::AsIs);
        } else {
            self.download.frame(head.framing, carry);
        }
        let until_close = match carry {
            BodyCoding::AsIs => head.framing == Framing::UntilClose,
            BodyCoding::Unchunked => true,
            BodyCoding::Chunked => false,
        };
        Answered {
            status: head.status,
            upstream,
            client: persistence,
            ends: if until_close {
                Ending::Close
            } else {
                Ending::Stated
            },
        }
    }

    fn write_head(
        &mut self,
        head: &ResponseHead<'_, '_>,
        departure: &ResponseRewrite<'_>,
        context: &WorkerContext,
    ) {
        let prefix = self.download.prefix();
        context.buffers.reserve(prefix, head.len + ADDED_BYTES);
        let from = prefix.len();
        head.write(self.asked, departure, prefix);
        let inherited = self.inherited.as_ref();
        let inherited = inherited.map(|inherited| inherited.edits(head));
        let own = self.edits.as_deref().filter(|_| !head.is_interim());
        for edits in inherited.into_iter().chain(own) {
            let mut text = prefix.split_off(from);
            edits.apply(&mut text);
            prefix.append(&mut text);
        }
        if let Some(cookie) = &self.cookie
            && !head.is_interim()
            && prefix.ends_with(HEAD_END)
        {
            context
                .buffers
                .reserve(prefix, cookie.len() + PRIVATE.len());
            prefix.truncate(prefix.len() - 2);
            prefix.extend_from_slice(cookie);
            if head.status != 101 {
                prefix.extend_from_slice(PRIVATE);
            }
            prefix.extend_from_slice(b"\r\n");
        }
    }

    /// Relays the response, and what is left of the request, until the response has ended.
    pub(in crate::process::proxy) fn poll_relay(
        &mut self,
        cx: &mut Context<'_>,
        sides: &mut Sides<'_>,
    ) -> Poll<Relayed> {
        if let Poll::Ready(interrupt) = sides.poll_interrupt(cx, &mut self.queues) {
            return Poll::Ready(self.relay_interrupted(interrupt));
        }
        if self.uploading == Uploading::Going {
            match self.poll_source(cx, sides) {
                Poll::Ready(Ok(())) => {
                    self.uploading = Uploading::Done;
                    self.end_replay(sides.context);
                }
                Poll::Ready(Err(FlowError::Sink)) => self.uploading = Uploading::Refused,
                Poll::Ready(Err(FlowError::Source)) if self.buffered.is_some() => {
                    self.uploading = Uploading::Refused;
                }
                Poll::Ready(Err(FlowError::Source)) => return Poll::Ready(Relayed::ClientGone),
                Poll::Ready(Err(FlowError::Body(error))) => {
                    self.uploading = Uploading::Broken;
                    if error == BodyError::Truncated {
                        self.client = ClientSide::HalfClosed(Hurried::AsBefore);
                    }
                }
                Poll::Pending => {}
            }
        }
        if self.poll_early_end(cx, sides).is_ready() {
            return Poll::Ready(Relayed::ClientGone);
        }
        match self.poll_download(cx, sides) {
            Poll::Ready(Ok(())) => Poll::Ready(Relayed::Whole),
            Poll::Ready(Err(FlowError::Body(_) | FlowError::Source)) => {
                Poll::Ready(Relayed::Truncated)
            }
            Poll::Ready(Err(FlowError::Sink)) => Poll::Ready(Relayed::ClientGone),
            Poll::Pending => {
                self.upload.input.shrink(&sides.context.buffers);
                self.poll_leaving(cx, sides)
            }
        }
    }

    fn relay_interrupted(&self, interrupt: Interrupt) -> Relayed {
        let hurried = self.client == ClientSide::HalfClosed(Hurried::Sooner);
        match interrupt {
            Interrupt::Overdue if hurried && !self.download.awaits_sink() => Relayed::ClientGone,
            Interrupt::Overdue | Interrupt::Drain | Interrupt::Cut => Relayed::of(interrupt),
        }
    }

    /// Sends on what is left of a request whose answer is whole, ready when nothing more can be.
    pub(in crate::process::proxy) fn poll_rest(
        &mut self,
        cx: &mut Context<'_>,
        sides: &mut Sides<'_>,
    ) -> Poll<()> {
        if sides.poll_interrupt(cx, &mut self.queues).is_ready() {
            return Poll::Ready(());
        }
        let Poll::Ready(ended) = self.poll_source(cx, sides) else {
            self.keep_pace(sides.context, sides.deadline);
            return Poll::Pending;
        };
        self.uploading = match ended {
            Ok(()) => Uploading::Done,
            Err(FlowError::Sink) => Uploading::Refused,
            Err(FlowError::Body(_) | FlowError::Source) => Uploading::Broken,
        };
        Poll::Ready(())
    }

    fn poll_download(
        &mut self,
        cx: &mut Context<'_>,
        sides: &mut Sides<'_>,
    ) -> Poll<Result<(), FlowError>> {
        self.download.poll(cx, &mut sides.down())
    }
}

const HEAD_END: &[u8] = b"\r\n\r\n";
/// What one client is given is for no other (RFC 9111 §5.2.2.7), whatever else its backend says.
const PRIVATE: &[u8] = b"Cache-Control: private\r\n";
/// What a response's head may hold.
pub(in crate::process::proxy) const RESPONSE_LIMITS: HeadLimits = HeadLimits {
    head_bytes: RESPONSE_HEAD_BYTES,
    fields: 128,
    target_bytes: 0,
};
/// Interim responses to one request; with more it is a bad answer.
pub(in crate::process::proxy) const INTERIM_MAX: u8 = 16;
/// How long a client that has ended its direction behind its request is still believed to wait for
/// its answer: nobody can tell it from one that has left.
const HALF_CLOSED_TIMEOUT: Duration = Duration::from_secs(2);
/// Likewise of one that had the beginning of its answer and may have left.
const LEAVING_TIMEOUT: Duration = Duration::from_millis(100);
