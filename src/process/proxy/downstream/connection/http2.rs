//! A client's connection that speaks HTTP/2 (RFC 9113): many requests at a time, each on a stream
//! that is a client of its own to all that follows.
//!
//! `h2` has the frames. Here is who gets a stream and for how long the connection goes on: what all
//! streams of a connection may hold is bounded, and where one would be too much it is refused
//! before anything is done for it, so that its client may ask again (RFC 9113 §8.7).

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::Request;

use super::part::Part;
use super::{Answering, Futures, Read};
use crate::logic::http1::crossing::request::{self, Follows, Framed};
use crate::logic::http1::crossing::websocket::key_of;
use crate::logic::http1::head::{Framing, Upgrade};
use crate::logic::http1::refusal::RequestRefusal;
use crate::logic::http1::response::AskedMethod;
use crate::process::proxy::context::steps::in_steps;
use crate::process::proxy::downstream::client::{Age, Client};
use crate::process::proxy::downstream::local::WorkerListener;
use crate::process::proxy::io::budget::Hunger;
use crate::process::proxy::io::buffers::Held;
use crate::process::proxy::io::deadline::{Deadline, Interrupt, Phase};
use crate::process::proxy::io::frames::Frames;
use crate::process::proxy::io::frames::data::Data;
use crate::process::proxy::io::frames::load::Load;
use crate::process::proxy::io::frames::server::ServerFrames;
use crate::process::proxy::io::frames::unsent::Unsent;
use crate::process::proxy::io::stream::Stream;
use crate::process::proxy::io::tls::Session;
use crate::process::proxy::memory::{ADDED_BYTES, HTTP2_UNSENT_BYTES};
use crate::process::proxy::request::context::{After, Announced};
use crate::process::proxy::tls::acceptor::HTTP2;
use crate::process::proxy::transfer::wire::Wire;

type Connected = Connection<Wire, Data>;

/// A stream that has begun.
type Asked = (Request<RecvStream>, SendResponse<Data>);

/// What the streams of a connection have in common.
struct Joint {
    futures: Rc<Futures>,
    load: Rc<Load>,
    unsent: Rc<Unsent>,
    hunger: Rc<Hunger>,
}

/// What a connection has come to.
enum Next {
    /// Nothing: it has been told that nothing more is taken.
    Leaving,
    /// Nothing: it is over.
    Over,
}

/// Whether a connection takes new streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taking {
    Streams,
    /// It was told that this ends (RFC 9113 §6.8).
    Nothing,
}

impl Client {
    /// Returns whether HTTP/2 was agreed upon in the handshake.
    pub(super) fn speaks_http2(&self) -> bool {
        self.stream.session().and_then(Session::protocol) == Some(HTTP2)
    }

    /// Ready where what a client has sent first is the beginning of HTTP/2; `None` where it is not.
    pub(super) fn poll_preface(&self) -> Option<Poll<()>> {
        let bytes = self.ahead.bytes();
        let len = bytes.len().min(PREFACE.len());
        let may_be = self.age == Age::New && self.stream.is_plain();
        (may_be && bytes[..len] == PREFACE[..len]).then_some(match len < PREFACE.len() {
            true => Poll::Pending,
            false => Poll::Ready(()),
        })
    }

    /// Serves a connection that speaks HTTP/2 to its end.
    pub(super) async fn serve_http2(mut self: Box<Self>, futures: Rc<Futures>) {
        let Some(mut connection) = self.begin_http2().await else {
            return;
        };
        let joint = Joint {
            futures,
            load: Rc::default(),
            unsent: Rc::new(Unsent::new(&self.context.buffers, HTTP2_UNSENT_BYTES)),
            hunger: Rc::new(Hunger::joint()),
        };
        self.deadline.listen();
        let mut taking = Taking::Streams;
        loop {
            let next = poll_fn(|cx| {
                loop {
                    let asked = match self.poll_next(cx, &mut connection, taking) {
                        Poll::Ready(Ok(asked)) => asked,
                        Poll::Ready(Err(next)) => return Poll::Ready(next),
                        Poll::Pending => return Poll::Pending,
                    };
                    self.take_stream(&joint, asked);
                    // Its handshake is told of once.
                    self.age = Age::Kept;
                }
            });
            match next.await {
                Next::Leaving => {
                    taking = Taking::Nothing;
                    connection.graceful_shutdown();
                    if joint.load.streams() == 0 {
                        self.deadline.enter(Phase::Lingering, LEAVING_TIMEOUT);
                    }
                }
                Next::Over => return,
            }
        }
    }

    /// Reads how the client begins, and says how we do.
    async fn begin_http2(&mut self) -> Option<Connected> {
        let listener = self.slot.current();
        let within = listener.timeouts.request_head;
        self.deadline.enter(Phase::Head, within);
        if self.announced.is_none()
            && let Some(destination) = self.stream.local_addr()
        {
            let by = None;
            self.announced = Some(Rc::new(Announced { by, destination }));
        }
        let stream = std::mem::replace(&mut self.stream, Stream::none());
        let ahead = std::mem::take(&mut self.ahead);
        let wire = Wire::new(stream, Rc::clone(&self.context), ahead, PREFACE.len());
        let mut shaking = settings(&listener).handshake(wire);
        let shaken = poll_fn(|cx| {
            if self.deadline.poll_interrupt(cx).is_ready() {
                return Poll::Ready(None);
            }
            std::pin::Pin::new(&mut shaking).poll(cx).map(Result::ok)
        });
        let connection = shaken.await?;
        self.deadline
            .enter(Phase::Idle, listener.timeouts.keep_alive);
        Some(connection)
    }

    /// Ready with a stream that has begun, or with what the connection has come to.
    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        connection: &mut Connected,
        taking: Taking,
    ) -> Poll<Result<Asked, Next>> {
        if let Poll::Ready(interrupt) = self.deadline.poll_interrupt(cx) {
            return Poll::Ready(Err(match (interrupt, taking) {
                (Interrupt::Overdue | Interrupt::Drain, Taking::Streams) => Next::Leaving,
                (Interrupt::Overdue | Interrupt::Drain, Taking::Nothing) | (Interrupt::Cut, _) => {
                    Next::Over
                }
            }));
        }
        if taking == Taking::Streams && self.deadline.expects_no_more() {
            return Poll::Ready(Err(Next::Leaving));
        }
        match connection.poll_accept(cx) {
            Poll::Ready(Some(Ok(asked))) => Poll::Ready(Ok(asked)),
            Poll::Ready(Some(Err(_)) | None) => Poll::Ready(Err(Next::Over)),
            Poll::Pending if self.deadline.take_wanted() => {
                if self.deadline.phase() != Phase::Idle {
                    // Another is asked in its stead.
                    self.context.evictions.tell();
                    return Poll::Pending;
                }
                self.slot.current().counters.evicted.count();
                connection.abrupt_shutdown(Reason::NO_ERROR);
                // What can be said is said; the place is wanted now.
                let _ = connection.poll_closed(cx);
                Poll::Ready(Err(Next::Over))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// Begins to answer on a stream, in a task of its own.
    fn take_stream(&self, joint: &Joint, (request, mut respond): Asked) {
        let listener = self.slot.current();
        let limits = &listener.http2;
        let (parts, body) = request.into_parts();
        let follows = match body.is_end_stream() {
            true => Follows::Nothing,
            false => Follows::Body,
        };
        let protocol = parts.extensions.get::<h2::ext::Protocol>();
        let key = protocol.map(|_| key_of(self.context.random()));
        let framed = Framed {
            follows,
            protocol: protocol.map(h2::ext::Protocol::as_str),
            websocket_key: key.as_deref().unwrap_or_default(),
        };
        let buffers = &self.context.buffers;
        let mut text = buffers.with_room(ADDED_BYTES);
        let written = request::write(&parts, &framed, &mut text);
        let reserved = joint.load.begin(text.len(), limits.memory_bytes as usize);
        let Some(reserved) = reserved else {
            buffers.give_back(text);
            respond.send_reset(Reason::REFUSED_STREAM);
            return;
        };
        let part = Part::new(reserved, self, listener.timeouts.keep_alive);
        let method = match parts.method {
            http::Method::HEAD => AskedMethod::Head,
            _ => AskedMethod::Other,
        };
        let framing = written.as_ref().map_or(Framing::None, |framing| *framing);
        let (load, unsent) = (Rc::clone(&joint.load), Rc::clone(&joint.unsent));
        let frames = ServerFrames::new(body, respond, method, framing, load, unsent);
        let mut client = Box::new(self.of_stream(Frames::Server(Box::new(frames)), text));
        let read = client.read_stream(&listener, written.err(), framed.protocol.is_some());
        let deadline = Rc::clone(&client.deadline);
        let mut handling = joint.futures.requests.take();
        handling.start((client, listener, read));
        let answering = Answering {
            futures: Rc::clone(&joint.futures),
            handling,
            context: Rc::clone(&self.context),
            slot: Rc::clone(&self.slot),
            deadline,
            hunger: Rc::clone(&joint.hunger),
            part,
        };
        joint.futures.streams.run(answering, |answering| {
            let context = Rc::clone(&answering.context);
            let deadline = Rc::clone(&answering.deadline);
            let listener = answering.slot.number;
            let hunger = Rc::clone(&answering.hunger);
            in_steps(context, listener, deadline, hunger, || {
                answer_stream(answering)
            })
        });
    }

    /// Returns the client that a stream is, with the text of its head.
    fn of_stream(&self, frames: Frames, text: Vec<u8>) -> Self {
        let context = &self.context;
        let len = text.len();
        Self {
            context: Rc::clone(context),
            slot: Rc::clone(&self.slot),
            address: self.address,
            port: self.port,
            announced: self.announced.clone(),
            stream: Stream::framed(frames),
            deadline: Rc::new(Deadline::new(Rc::clone(&context.clock))),
            ahead: Held::new(text, len),
            age: self.age,
            acceptor: self.acceptor.clone(),
            tls: self.tls.clone(),
        }
    }

    /// Judges the head of a stream.
    fn read_stream(
        &mut self,
        listener: &Rc<WorkerListener>,
        refusal: Option<RequestRefusal>,
        is_connect: bool,
    ) -> Read {
        let mut reading = self.begin();
        reading.listener = Some(Rc::clone(listener));
        let refused = |refusal| Read::Refused(refusal, reading.moments());
        if let Some(refusal) = refusal {
            return refused(refusal);
        }
        match self.parse(listener, &mut reading) {
            // RFC 8441 §4: a protocol that is not relayed.
            Poll::Ready(Read::Request(request, _))
                if is_connect && request.asked.upgrade == Upgrade::None =>
            {
                Read::Refused(RequestRefusal::Protocol, reading.moments())
            }
            Poll::Ready(read) => read,
            Poll::Pending => Read::Refused(RequestRefusal::HeadTooLarge, reading.moments()),
        }
    }
}

/// Answers on a stream, and ends it.
async fn answer_stream(answering: Answering) {
    let Answering {
        futures,
        mut handling,
        context,
        slot,
        deadline,
        hunger: _,
        part,
    } = answering;
    let _watched = context.watch_stream(&slot, part.client, &deadline);
    let (mut client, after) = poll_fn(|cx| handling.poll(cx)).await;
    futures.requests.give_back(handling);
    client.ahead.clear(&client.context.buffers);
    if after == After::Keep {
        client.stream.say_end();
    }
}

/// Returns how a listener speaks HTTP/2.
fn settings(listener: &WorkerListener) -> Builder {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(listener.http2.streams)
        .max_header_list_size(listener.limits.head_bytes)
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buffer_size(SEND_BUFFER_BYTES)
        .enable_connect_protocol();
    builder
}

/// What a client says first (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Of a request's body, what may come before it goes on.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
/// The same of all streams of a connection together.
const CONNECTION_WINDOW_BYTES: u32 = 256 * 1024;
/// Of a response, what may wait for the connection.
const SEND_BUFFER_BYTES: usize = 16 * 1024;
/// How long a connection without streams may take to end once it was told to.
const LEAVING_TIMEOUT: Duration = Duration::from_secs(1);
