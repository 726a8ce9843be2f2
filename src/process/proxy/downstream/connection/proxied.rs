//! The beginning of a connection on which somebody else says whose it is (PROXY protocol).
//!
//! What comes is looked at where it is, and taken when it is a whole header: what follows belongs
//! to whatever is spoken then. Nothing is answered to what is none.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::turning_away::{turn_away, turn_away_for_now};
use crate::logic::access::{self, Termination};
use crate::logic::proxy_protocol::{Carries, HEADER_BYTES_MAX, Header, Malformed, parse};
use crate::process::proxy::context::Registered;
use crate::process::proxy::downstream::client::Client;
use crate::process::proxy::downstream::local::WorkerListener;
use crate::process::proxy::io::deadline::{Interrupt, Phase};
use crate::process::proxy::request::context::Announced;

/// How the wait for a header has ended.
enum Heard {
    Whole(Header),
    Malformed(Malformed),
    /// Its time was over.
    Late,
    /// The connection has ended, or has to.
    Over,
}

impl Client {
    /// Reads whose connection it is; returns whether it is served.
    pub(super) async fn hear_whose_it_is(&mut self, registered: &mut Registered) -> bool {
        let listener = self.slot.current();
        self.deadline
            .enter(Phase::Idle, listener.timeouts.request_head);
        let seen = Cell::new(0);
        let heard = poll_fn(|cx| self.poll_heard(cx, &listener, &seen)).await;
        match heard {
            Heard::Whole(header) => {
                if let Carries::Client {
                    source,
                    destination,
                } = header.carries
                {
                    let by = Some(self.address.ip());
                    self.announced = Some(Rc::new(Announced { by, destination }));
                    self.address = source;
                    self.port = destination.port();
                }
                return self.is_welcome(&listener, registered);
            }
            Heard::Malformed(why) => {
                self.note_unannounced(&listener, Termination::ProxyHeaderInvalid, why.to_string());
            }
            // Who connects to see whether somebody listens has nothing to say.
            Heard::Late if seen.get() > 0 => {
                let why = "the PROXY header did not come to its end in time";
                self.note_unannounced(&listener, Termination::ProxyHeaderTimeout, why.to_owned());
            }
            Heard::Late | Heard::Over => {}
        }
        false
    }

    fn poll_heard(
        &mut self,
        cx: &mut Context<'_>,
        listener: &WorkerListener,
        seen: &Cell<usize>,
    ) -> Poll<Heard> {
        if let Poll::Ready(interrupt) = self.deadline.poll_interrupt(cx) {
            return Poll::Ready(match interrupt {
                Interrupt::Overdue => Heard::Late,
                Interrupt::Drain | Interrupt::Cut => Heard::Over,
            });
        }
        ready!(self.context.budget.poll());
        let mut buffer = self.context.buffers.large();
        let room = buffer.len().min(HEADER_BYTES_MAX);
        let heard = loop {
            match self.stream.poll_peek(cx, &mut buffer[..room], seen.get()) {
                Poll::Ready(Ok(len @ 1..)) => {
                    self.context.budget.charge(len);
                    seen.set(len);
                    if self.deadline.phase() == Phase::Idle {
                        let within = listener.timeouts.request_head;
                        self.deadline.enter(Phase::Head, within);
                    }
                    match parse(&buffer[..len]) {
                        Ok(None) => {}
                        Ok(Some(header)) => {
                            let taken = self.stream.poll_read(cx, &mut buffer[..header.len]);
                            break Poll::Ready(whole(header, taken));
                        }
                        Err(why) => break Poll::Ready(Heard::Malformed(why)),
                    }
                }
                Poll::Ready(Ok(_) | Err(_)) => break Poll::Ready(Heard::Over),
                Poll::Pending if self.deadline.take_wanted() && self.leaves() => {
                    break Poll::Ready(Heard::Over);
                }
                Poll::Pending => break Poll::Pending,
            }
        };
        self.context.buffers.give_back(buffer);
        heard
    }

    /// Returns whether its client may have one more connection; who may not is told.
    fn is_welcome(&mut self, listener: &WorkerListener, registered: &mut Registered) -> bool {
        // The sender's own (`LOCAL`) is counted as nobody's.
        if self.announced.is_none() {
            return true;
        }
        let client = self.address.ip();
        let now_ns = || self.context.shared.now_ns();
        if let Err(exceeded) = listener.check_connection_rate(client, now_ns) {
            turn_away_for_now(&self.context, listener, &mut self.stream, exceeded);
            return false;
        }
        let is_counted = registered.name(self.address);
        if !is_counted {
            turn_away(listener, &mut self.stream);
        }
        is_counted
    }

    /// Takes note of a connection of which it was not said whose it is.
    fn note_unannounced(
        &mut self,
        listener: &WorkerListener,
        termination: Termination,
        why: String,
    ) {
        listener.counters.proxy_headers_failed.count();
        self.note_unserved(listener, 0, (access::Phase::ProxyHeader, termination), why);
    }
}

/// All of it was there a moment ago.
fn whole(header: Header, taken: Poll<io::Result<usize>>) -> Heard {
    match taken {
        Poll::Ready(Ok(len)) if len == header.len => Heard::Whole(header),
        Poll::Ready(_) | Poll::Pending => Heard::Over,
    }
}
