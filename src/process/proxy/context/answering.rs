//! A worker's answer to who is connected: it goes through its connections, some at a time, between
//! its requests.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use super::WorkerContext;
use super::connections::{Connections, Watched};
use super::roll::{Call, Row};
use crate::process::proxy::io::deadline::{Deadline, Phase};
use crate::process::proxy::io::socket::traffic_of;

/// Answers a call.
pub(in crate::process::proxy) async fn answer(context: Rc<WorkerContext>, call: Arc<Call>) {
    let backends = backends(&context);
    for register in [&context.connections, &context.streams] {
        let mut place = 0;
        loop {
            let (rows, next) = some(&context, &register.borrow(), place, &call, &backends);
            call.add(rows);
            let Some(next) = next else { break };
            place = next;
            // Whoever waits for this thread comes first.
            tokio::task::yield_now().await;
        }
    }
    call.finish();
}

/// Returns the rows of some places, and where to go on.
fn some(
    context: &WorkerContext,
    register: &Connections,
    first: usize,
    call: &Call,
    backends: &HashMap<usize, String>,
) -> (Vec<Row>, Option<usize>) {
    let end = register.places().min(first + PLACES_AT_A_TIME);
    let watched = (first..end).filter_map(|place| register.watched(place));
    let rows = watched.filter_map(|watched| row(context, watched, call, backends));
    let rows = rows.collect();
    (rows, (end < register.places()).then_some(end))
}

fn row(
    context: &WorkerContext,
    watched: &Watched,
    call: &Call,
    backends: &HashMap<usize, String>,
) -> Option<Row> {
    let Watched {
        slot,
        deadline,
        origin,
    } = watched;
    let listener = slot.look();
    let client = origin.client;
    if !call.wanted.wants(&listener.name, client.ip()) {
        return None;
    }
    let traffic = origin.socket.and_then(traffic_of);
    Some(Row {
        worker: context.number,
        listener: listener.name.clone(),
        client,
        stream: origin.socket.is_none(),
        state: deadline.phase().word(),
        backend: backend_of(deadline).map(|backend| {
            let known = backends.get(&backend);
            // It is not configured any more.
            known.map_or_else(|| "-".to_owned(), String::clone)
        }),
        age_ms: context.clock.get().saturating_sub(origin.since_ms),
        state_ms: deadline.lasted_ms(),
        received_bytes: traffic.map(|(received, _)| received),
        sent_bytes: traffic.map(|(_, sent)| sent),
    })
}

/// Returns which backend a request is about, as a number, where one is under way with one.
fn backend_of(deadline: &Deadline) -> Option<usize> {
    match deadline.phase() {
        // The one of the request before may still be noted.
        Phase::Idle | Phase::Handshake | Phase::Head | Phase::Queued => None,
        Phase::Uploading
        | Phase::Connecting
        | Phase::Waiting
        | Phase::Relaying
        | Phase::Tunnel
        | Phase::Lingering => deadline.backend(),
    }
}

/// Returns the names of all backends, by what a deadline knows of them.
fn backends(context: &WorkerContext) -> HashMap<usize, String> {
    let parts = context.parts.borrow();
    let pools = parts.pools.iter();
    let named = pools.flat_map(|pool| {
        let backends = pool.worker_backends().iter();
        backends.map(|backend| {
            let name = format!("{}/{}", pool.name, backend.runtime.name);
            (Arc::as_ptr(&backend.runtime).addr(), name)
        })
    });
    named.collect()
}

/// Some 100 microseconds.
const PLACES_AT_A_TIME: usize = 128;
