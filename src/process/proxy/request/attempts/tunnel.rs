//! A connection that stops being HTTP, or never was: bytes both ways to their end.

use std::future::poll_fn;

use super::Attempts;
use crate::logic::access::EndedBy;
use crate::process::proxy::io::deadline::Phase;
use crate::process::proxy::io::stream::Stream;
use crate::process::proxy::request::context::{After, RequestContext};
use crate::process::proxy::request::record::Termination;
use crate::process::proxy::transfer::exchange::Relayed;
use crate::process::proxy::transfer::exchange::tunnel::{Fins, Rest, Tunnel};
use crate::process::proxy::upstream::slot::RequestSlot;

impl Attempts<'_> {
    /// Carries what comes, for a client that has asked for nothing.
    pub(super) async fn carry(&mut self, slot: &RequestSlot, upstream: &mut Stream) -> After {
        let RequestContext {
            rules, deadline, ..
        } = self.context;
        let runtime = &slot.backend().runtime;
        runtime.handle_answered(self.pool.now_ms());
        deadline.enter(Phase::Tunnel, rules.timeouts.tunnel);
        self.exchange.carry();
        self.tunnel(upstream).await
    }

    /// Relays bytes both ways to their end.
    pub(super) async fn tunnel(&mut self, upstream: &mut Stream) -> After {
        let mut tunnel = Tunnel::new(self.fins());
        let (exchange, mut sides) = self.sides(upstream);
        let ended = poll_fn(|cx| exchange.poll_tunnel(cx, &mut sides, &mut tunnel)).await;
        self.record.first = tunnel.ended_by();
        let carries_bytes = self.carries_bytes();
        self.record.termination = match ended {
            Relayed::Silent => self.silence(&tunnel),
            Relayed::Cut => Termination::DrainTimeout,
            Relayed::Whole => Termination::Complete,
            // What has changed to another protocol says itself whether it was whole.
            Relayed::Truncated | Relayed::ClientGone if !carries_bytes => Termination::Complete,
            Relayed::Truncated => Termination::ResponseTruncated,
            Relayed::ClientGone => Termination::ClientGone,
        };
        if carries_bytes && self.record.termination != Termination::Complete {
            // Neither side may take what it has for the whole.
            upstream.reset_on_close();
            return After::Reset;
        }
        match tunnel.rest() {
            Rest::None => After::Close,
            // Closing would destroy what the client has not read.
            Rest::Unread => After::Linger,
        }
    }

    /// Returns whose time is over where a tunnel has fallen silent; what a client has not taken of
    /// a backend that has failed was not the whole.
    fn silence(&self, tunnel: &Tunnel) -> Termination {
        let within = self.context.rules.timeouts.tunnel;
        match self.exchange.awaited(tunnel) {
            EndedBy::Client if tunnel.has_backend_failed() => Termination::ResponseTruncated,
            EndedBy::Client if self.fins().client < within => Termination::ClientFinTimeout,
            EndedBy::Backend if self.fins().backend < within => Termination::BackendFinTimeout,
            EndedBy::Client | EndedBy::Backend | EndedBy::Nobody | EndedBy::Proxy => {
                Termination::TunnelTimeout
            }
        }
    }

    fn fins(&self) -> Fins {
        Fins {
            client: self.context.rules.timeouts.client_fin,
            backend: self.timeouts().backend_fin,
        }
    }
}
