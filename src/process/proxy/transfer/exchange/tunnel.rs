//! Bytes both ways, whatever they are: a connection that has changed to another protocol, or that
//! never carried requests.
//!
//! The end of one direction is passed on, and the other goes on. From then on a side that is waited
//! for has less time: many a peer never ends its own.

use std::task::{Context, Poll};
use std::time::Duration;

use crate::logic::access::EndedBy;
use crate::logic::http1::head::Framing;
use crate::logic::http1::response::BodyCoding;
use crate::process::proxy::io::deadline::Interrupt;
use crate::process::proxy::io::socket::Ended;
use crate::process::proxy::transfer::exchange::{Exchange, Relayed, Sides, Uploading};
use crate::process::proxy::transfer::flow::FlowError;

/// How far a tunnel has come.
pub(in crate::process::proxy) struct Tunnel {
    down: Direction,
    first: EndedBy,
    /// Who has ended its direction behind bytes that the other does not take.
    unread: EndedBy,
    /// How the backend's connection has ended, as far as that is heard of before it is read.
    backend: Option<Ended>,
    rest: Rest,
    fins: Fins,
}

/// Whether the client may still send what nobody reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::process::proxy) enum Rest {
    None,
    Unread,
}

/// How long a side may be silent once the other has ended its direction.
#[derive(Clone, Copy, Debug)]
pub(in crate::process::proxy) struct Fins {
    pub(in crate::process::proxy) client: Duration,
    pub(in crate::process::proxy) backend: Duration,
}

/// The backend's direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Open,
    Ended,
}

impl Tunnel {
    /// Returns one that begins.
    pub(in crate::process::proxy) const fn new(fins: Fins) -> Self {
        Self {
            down: Direction::Open,
            first: EndedBy::Nobody,
            unread: EndedBy::Nobody,
            backend: None,
            rest: Rest::None,
            fins,
        }
    }

    /// Returns who has ended a direction first; nobody while both are open.
    pub(in crate::process::proxy) const fn ended_by(&self) -> EndedBy {
        self.first
    }

    /// Returns whether the backend has failed behind what was there to be read.
    pub(in crate::process::proxy) fn has_backend_failed(&self) -> bool {
        self.backend == Some(Ended::Failed)
    }

    /// Returns whether the client may still send what nobody reads.
    pub(in crate::process::proxy) const fn rest(&self) -> Rest {
        self.rest
    }

    fn note_end(&mut self, by: EndedBy) {
        if self.first == EndedBy::Nobody {
            self.first = by;
        }
    }

    /// Returns what it means that the client fails.
    fn client_failed(&mut self) -> Relayed {
        self.note_end(EndedBy::Client);
        Relayed::ClientGone
    }

    /// Returns what it means that the backend fails: what it has not ended is not whole.
    fn backend_failed(&mut self) -> Relayed {
        self.note_end(EndedBy::Backend);
        self.rest = Rest::Unread;
        match self.down {
            Direction::Open => Relayed::Truncated,
            Direction::Ended => Relayed::Whole,
        }
    }
}

impl Exchange {
    /// Begins to carry bytes, where nothing was asked for.
    pub(in crate::process::proxy) fn carry(&mut self) {
        self.upload.frame(Framing::UntilClose, BodyCoding::AsIs);
        self.download.frame(Framing::UntilClose, BodyCoding::AsIs);
        self.upload.pipe_while_full();
        self.download.pipe_while_full();
    }

    /// Bounds what is held for a connection that has changed to another protocol, and lets both
    /// directions flow.
    pub(in crate::process::proxy) fn begin_tunnel(&mut self) {
        self.uploading = Uploading::Going;
        self.upload.limit_body(u64::MAX);
        self.upload.limit_reads(TUNNEL_READ_BYTES);
        self.download.limit_reads(TUNNEL_READ_BYTES);
    }

    /// Relays bytes both ways until both sides have ended, one has failed or falls silent.
    pub(in crate::process::proxy) fn poll_tunnel(
        &mut self,
        cx: &mut Context<'_>,
        sides: &mut Sides<'_>,
        tunnel: &mut Tunnel,
    ) -> Poll<Relayed> {
        if let Poll::Ready(interrupt) = sides.poll_interrupt(cx, &mut self.queues) {
            return Poll::Ready(match interrupt {
                Interrupt::Overdue => Relayed::Silent,
                Interrupt::Drain | Interrupt::Cut => Relayed::Cut,
            });
        }
        if self.uploading == Uploading::Going {
            match self.upload.poll(cx, &mut sides.up()) {
                Poll::Ready(Ok(())) => {
                    self.uploading = Uploading::Done;
                    sides.upstream.shut();
                    tunnel.note_end(EndedBy::Client);
                }
                Poll::Ready(Err(FlowError::Source | FlowError::Body(_))) => {
                    return Poll::Ready(tunnel.client_failed());
                }
                Poll::Ready(Err(FlowError::Sink)) => return Poll::Ready(tunnel.backend_failed()),
                Poll::Pending => {}
            }
        }
        if tunnel.down == Direction::Open {
            match self.poll_download(cx, sides) {
                // A socket does not tell twice that it has failed.
                Poll::Ready(Ok(()))
                    if tunnel.has_backend_failed() && sides.upstream.frames().is_none() =>
                {
                    return Poll::Ready(tunnel.backend_failed());
                }
                Poll::Ready(Ok(())) => {
                    tunnel.down = Direction::Ended;
                    sides.client.shut();
                    tunnel.note_end(EndedBy::Backend);
                }
                Poll::Ready(Err(FlowError::Source | FlowError::Body(_))) => {
                    return Poll::Ready(tunnel.backend_failed());
                }
                Poll::Ready(Err(FlowError::Sink)) => return Poll::Ready(tunnel.client_failed()),
                Poll::Pending => {}
            }
        }
        if self.uploading == Uploading::Done && tunnel.down == Direction::Ended {
            return Poll::Ready(Relayed::Whole);
        }
        if self.look_behind(cx, sides, tunnel).is_ready() {
            return Poll::Ready(tunnel.client_failed());
        }
        match self.awaited(tunnel) {
            EndedBy::Client => _ = sides.deadline.hurry(tunnel.fins.client),
            EndedBy::Backend => _ = sides.deadline.hurry(tunnel.fins.backend),
            EndedBy::Nobody | EndedBy::Proxy => {}
        }
        Poll::Pending
    }

    /// Looks at each sweep whether a side has ended whose bytes the other does not take; ready
    /// where the client has failed.
    fn look_behind(
        &self,
        cx: &mut Context<'_>,
        sides: &mut Sides<'_>,
        tunnel: &mut Tunnel,
    ) -> Poll<()> {
        let up = self.uploading == Uploading::Going && self.upload.awaits_sink();
        let down = tunnel.down == Direction::Open && self.download.awaits_sink();
        if !up && !down {
            tunnel.unread = EndedBy::Nobody;
            return Poll::Pending;
        }
        if down && tunnel.backend.is_none() {
            tunnel.backend = sides.upstream.ended(cx);
        }
        match up.then(|| sides.client.ended(cx)).flatten() {
            Some(Ended::Failed) => return Poll::Ready(()),
            Some(Ended::InOrder) => tunnel.unread = EndedBy::Client,
            None if down && tunnel.backend.is_some() => tunnel.unread = EndedBy::Backend,
            None => {}
        }
        tunnel.note_end(tunnel.unread);
        if up {
            return self.poll_failed_client(sides.client, sides.deadline);
        }
        // One that is due is over with it.
        sides.deadline.reminder();
        sides.deadline.remind();
        Poll::Pending
    }

    /// Returns who is waited for, where one side has ended: who does not end its own, or does not
    /// take what is left.
    pub(in crate::process::proxy) fn awaited(&self, tunnel: &Tunnel) -> EndedBy {
        match (self.uploading == Uploading::Done, tunnel.down) {
            (true, Direction::Open) if self.download.awaits_sink() => EndedBy::Client,
            (true, Direction::Open) => EndedBy::Backend,
            (false, Direction::Ended) if self.upload.awaits_sink() => EndedBy::Backend,
            (false, Direction::Ended) => EndedBy::Client,
            (false, Direction::Open) => match tunnel.unread {
                EndedBy::Client => EndedBy::Backend,
                EndedBy::Backend => EndedBy::Client,
                EndedBy::Nobody | EndedBy::Proxy => EndedBy::Nobody,
            },
            (true, Direction::Ended) => EndedBy::Nobody,
        }
    }
}

/// Held for each direction of a connection that has changed to another protocol.
const TUNNEL_READ_BYTES: usize = 16 * 1024;
