//! How connections come to their end where no more requests are expected: all of a worker's, when
//! the proxy stops, or those of a listener that was removed.
//!
//! Either way answers say that they are the last; what is idle ends in order after a moment, in
//! which a request may be on its way; what is left in the end is cut.

use std::rc::Rc;
use std::time::Duration;

use super::WorkerContext;
use crate::process::proxy::downstream::slot::ListenerSlot;
use crate::process::proxy::io::deadline::{Interrupt, Phase};
use crate::process::proxy::shared::Stage;
use crate::process::proxy::upstream::connections::Kept;

impl WorkerContext {
    /// Waits for the stop of the proxy, and then until nothing is left.
    pub(in crate::process::proxy) async fn until_drained(&self) {
        let mut stage = self.stage.clone();
        // An error means that the handle is gone, and with it everybody who could ask for more.
        let _ = stage.wait_for(|stage| *stage != Stage::Serving).await;
        self.draining.set(true);
        let finish = async {
            self.end_idle(None).await;
            self.until_empty().await;
        };
        tokio::select! {
            () = finish => {}
            _ = stage.wait_for(|stage| *stage == Stage::Cutting) => {}
        }
        self.interrupt_all(None, Interrupt::Cut);
        let _ = tokio::time::timeout(CUT_TIMEOUT, self.until_empty()).await;
        self.parts.borrow().kept().for_each(Kept::clear);
    }

    /// Has the connections of a listener that was removed end, and cuts what is left of them after
    /// `within`.
    pub(in crate::process::proxy) async fn drain(&self, slot: Rc<ListenerSlot>, within: Duration) {
        self.end_idle(Some(&slot)).await;
        tokio::time::sleep(within).await;
        let cut = self.interrupt_all(Some(&slot), Interrupt::Cut);
        if cut > 0 {
            let listener = &slot.current().name;
            tracing::warn!(%listener, cut, "connections cut at the end of the drain");
        }
    }

    /// Has all answers of the connections that there are say that they are the last, and ends what
    /// is idle of them.
    pub(in crate::process::proxy) async fn end_idle(&self, of: Option<&ListenerSlot>) {
        for register in [&self.connections, &self.streams] {
            let register = register.borrow();
            register.of(of).for_each(|it| it.expect_no_more());
        }
        // Accepting ends with what the kernel has already accepted.
        tokio::task::yield_now().await;
        tokio::time::sleep(ACCEPT_REST).await;
        // A request may be on its way on an idle connection.
        tokio::time::sleep(DRAIN_GRACE).await;
        for deadline in self.connections.borrow().of(of) {
            if deadline.phase() == Phase::Idle && deadline.expects_no_more() {
                deadline.interrupt(Interrupt::Drain);
            }
        }
    }

    /// Interrupts all connections, or those of a listener; returns how many.
    fn interrupt_all(&self, of: Option<&ListenerSlot>, why: Interrupt) -> usize {
        let streams = self.streams.borrow();
        streams.of(of).for_each(|deadline| deadline.interrupt(why));
        let connections = self.connections.borrow();
        connections
            .of(of)
            .map(|deadline| deadline.interrupt(why))
            .count()
    }

    async fn until_empty(&self) {
        while self.connections() > 0 {
            self.emptied.notified().await;
        }
    }
}

/// After the drain began, so that accepted connections are registered before the thread is found
/// empty.
const ACCEPT_REST: Duration = Duration::from_millis(20);
/// How long an idle connection is still served when the drain begins.
const DRAIN_GRACE: Duration = Duration::from_millis(80);
/// How long cut connections may take to end.
const CUT_TIMEOUT: Duration = Duration::from_millis(500);
