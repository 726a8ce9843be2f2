//! The body of a request that is read whole before a backend is asked, and sent from there: as
//! often as a backend has to be asked again.
//!
//! It goes through the same direction twice: first from the client to where it is kept, then from
//! there to the backend. What the client has sent behind it waits meanwhile.

use std::task::{Context, Poll};

use crate::logic::http1::head::Framing;
use crate::logic::http1::request::Expectation;
use crate::logic::http1::response::BodyCoding;
use crate::process::proxy::context::WorkerContext;
use crate::process::proxy::io::buffers::Held;
use crate::process::proxy::io::deadline::{Deadline, Interrupt};
use crate::process::proxy::io::stream::Stream;
use crate::process::proxy::spool::body::{Body, Failure};
use crate::process::proxy::transfer::buffered::Buffered;
use crate::process::proxy::transfer::ends::Ends;
use crate::process::proxy::transfer::exchange::{Exchange, Sides, Waited};
use crate::process::proxy::transfer::flow::FlowError;

impl Exchange {
    /// Reads the body of the request to its end, and returns how long it is.
    pub(in crate::process::proxy) async fn buffer(
        &mut self,
        framing: Framing,
        mut body: Box<Body>,
        client: &mut Stream,
        (context, deadline): (&WorkerContext, &Deadline),
    ) -> Result<u64, Waited> {
        let carry = match framing {
            Framing::Chunked => BodyCoding::Unchunked,
            Framing::None | Framing::Length(_) | Framing::UntilClose => BodyCoding::AsIs,
        };
        self.upload.frame(framing, carry);
        let ended = std::future::poll_fn(|cx| {
            if let Poll::Ready(interrupt) = deadline.poll_interrupt(cx) {
                return Poll::Ready(Err(match interrupt {
                    Interrupt::Drain | Interrupt::Cut => Waited::Cut,
                    Interrupt::Overdue if self.upload.awaits_sink() => {
                        Waited::Unkept(Failure::slow())
                    }
                    Interrupt::Overdue => Waited::ClientSilent,
                }));
            }
            let ends = Ends {
                source: &mut *client,
                sink: &mut *body,
                buffers: &context.buffers,
                pipes: &context.pipes,
                deadline,
                budget: &context.budget,
            };
            self.poll_buffer(cx, ends, context)
        });
        let ended = ended.await;
        // Nobody has been sent it so far.
        self.upload.rewind();
        ended?;
        let bytes = body.len();
        let behind = None;
        self.expectation = Expectation::None;
        self.buffered = Some(Box::new(Buffered { body, behind }));
        Ok(bytes)
    }

    fn poll_buffer(
        &mut self,
        cx: &mut Context<'_>,
        mut ends: Ends<'_, Stream, Body>,
        context: &WorkerContext,
    ) -> Poll<Result<(), Waited>> {
        if let Poll::Ready(ended) = self.upload.poll(cx, &mut ends) {
            return Poll::Ready(ended.map_err(|error| match error {
                FlowError::Body(error) => Waited::BrokenBody(error),
                FlowError::Source => Waited::ClientGone,
                FlowError::Sink => unkept(ends.sink),
            }));
        }
        self.give_leave(ends.source, context);
        self.keep_pace(context, ends.deadline);
        if self.upload.awaits_sink() {
            let failed = self.poll_failed_client(ends.source, ends.deadline);
            return failed.map(|()| Err(Waited::ClientGone));
        }
        Poll::Pending
    }

    /// Moves some of the request to the backend, from where it is.
    pub(super) fn poll_source(
        &mut self,
        cx: &mut Context<'_>,
        sides: &mut Sides<'_>,
    ) -> Poll<Result<(), FlowError>> {
        match &mut self.buffered {
            None => self.upload.poll(cx, &mut sides.up()),
            Some(buffered) => {
                let mut ends = Ends {
                    source: &mut *buffered.body,
                    sink: &mut *sides.upstream,
                    buffers: &sides.context.buffers,
                    pipes: &sides.context.pipes,
                    deadline: sides.deadline,
                    budget: &sides.context.budget,
                };
                self.upload.poll(cx, &mut ends)
            }
        }
    }

    /// Returns what it means that nothing more of the request can be read.
    pub(super) fn source_failed(&mut self) -> Waited {
        match &mut self.buffered {
            None => Waited::ClientGone,
            Some(buffered) => unkept(&mut buffered.body),
        }
    }

    /// Has the body that is kept be sent, from its beginning.
    pub(super) fn begin_replay(&mut self, context: &WorkerContext) {
        let Some(buffered) = &mut self.buffered else {
            return;
        };
        if buffered.behind.is_none() {
            let mut behind = std::mem::take(&mut self.upload.input);
            behind.shrink(&context.buffers);
            buffered.behind = Some(behind);
        }
        buffered.body.rewind();
        let bytes = buffered.body.len();
        self.upload.begin_anew(bytes, &context.buffers);
    }

    /// Has what the client has sent behind the body be next, also where not all of that was sent.
    pub(in crate::process::proxy) fn end_replay(&mut self, context: &WorkerContext) {
        let buffered = self.buffered.as_mut();
        if let Some(behind) = buffered.and_then(|buffered| buffered.behind.take()) {
            self.upload.drop_input(behind, &context.buffers);
        }
    }

    /// Returns what the client has sent behind its request.
    pub(super) fn ahead(&mut self) -> &mut Held {
        let buffered = self.buffered.as_mut();
        let behind = buffered.and_then(|buffered| buffered.behind.as_mut());
        behind.unwrap_or(&mut self.upload.input)
    }

    /// Lets the body go that was sent: no other backend is asked.
    pub(in crate::process::proxy) fn let_go(&mut self) {
        if self.has_uploaded() {
            self.buffered = None;
        }
    }
}

fn unkept(body: &mut Body) -> Waited {
    let failure = body.take_failure();
    Waited::Unkept(failure.unwrap_or_else(Failure::slow))
}
