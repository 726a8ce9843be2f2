//! What a line says of a request that had to wait for a backend with room.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;

use crate::common::{Backend, PATIENCE, Wire, wait_until};
use crate::logged::{Logged, require};
use crate::rig::{GET, OK, Setup, setup};

/// A backend that answers as often as it is told to.
fn gated() -> (Backend, SyncSender<()>) {
    let (answer, told): (_, Receiver<()>) = sync_channel(16);
    let told = Arc::new(Mutex::new(told));
    let backend = Backend::scripted(move |mut visit| {
        while visit.request().is_some() {
            if told.lock().unwrap().recv_timeout(PATIENCE).is_err() {
                return;
            }
            visit.wire.send(OK);
        }
    });
    (backend, answer)
}

/// The last of the backends takes one request at a time.
fn limited(backends: &[&Backend], queue_ms: u64) -> Setup {
    let addresses: Vec<_> = backends.iter().map(|backend| backend.address).collect();
    setup(&addresses).pool(|pool| {
        pool.timeouts.queue = Duration::from_millis(queue_ms);
        pool.backends.last_mut().unwrap().requests = Some(1);
    })
}

/// Sends a request that gets the only room, and one that waits.
fn full(logged: &Logged, gated: &Backend) -> (Wire, Wire) {
    let [mut first, mut second] = [logged.rig.client(), logged.rig.client()];
    first.send(GET);
    wait_until("the first arrives", || !gated.requests().is_empty());
    second.send(GET.replace("GET /", "GET /second"));
    wait_until("the second waits", || {
        logged.rig.pool().queued_requests == 1
    });
    (first, second)
}

#[test]
fn the_wait_is_the_time_in_the_queue() {
    let (backend, answer) = gated();
    let logged = Logged::start(limited(&[&backend], 60_000));
    let (_first, mut second) = full(&logged, &backend);
    std::thread::sleep(Duration::from_millis(50));
    (0..2).for_each(|_| answer.send(()).unwrap());
    assert_eq!(second.response().status(), 200);
    let first = logged.line();
    require(&first, &json!({"path": "/", "termination": "complete"}));
    let second = logged.line();
    require(
        &second,
        &json!({"path": "/second", "termination": "complete", "backend": "b0", "retries": 0}),
    );
    let queue_ms = |line: &serde_json::Value| line["queue_ms"].as_f64().unwrap();
    assert!(queue_ms(&first) < 50.0, "{first}");
    assert!(queue_ms(&second) >= 50.0, "{second}");
}

#[test]
fn waiting_in_vain_is_said() {
    let (backend, _answer) = gated();
    let logged = Logged::start(limited(&[&backend], 200));
    let (_first, mut second) = full(&logged, &backend);
    assert_eq!(second.response().status(), 503);
    let line = logged.line();
    require(
        &line,
        &json!({
            "path": "/second", "status": 503, "termination": "queue_timeout", "ended_by": "backend",
            "phase": "queue", "backend": null, "queue_ms": null, "request_bytes": 0,
        }),
    );
    assert!(line["total_ms"].as_f64().unwrap() >= 150.0, "{line}");
}

#[test]
fn a_retry_that_waits_in_vain_is_said_with_who_failed() {
    let dying = Backend::scripted(|mut visit| drop(visit.request()));
    let (backend, _answer) = gated();
    let logged = Logged::start(limited(&[&dying, &backend], 200));
    let (_first, mut second) = full(&logged, &backend);
    assert_eq!(second.response().status(), 503);
    require(
        &logged.line(),
        &json!({
            "path": "/second", "status": 503, "termination": "queue_timeout", "phase": "queue",
            "backend": "b0", "retries": 1,
        }),
    );
}

#[test]
fn clients_that_leave_the_queue_are_said() {
    let (backend, _answer) = gated();
    let logged = Logged::start(limited(&[&backend], 60_000));
    let (_first, second) = full(&logged, &backend);
    drop(second);
    require(
        &logged.line(),
        &json!({
            "path": "/second", "status": null, "termination": "client_gone", "ended_by": "client",
            "phase": "queue", "backend": null, "response_bytes": 0, "request_bytes": 0,
        }),
    );
}

#[test]
fn who_still_waits_at_the_end_of_the_drain_is_said() {
    let (backend, _answer) = gated();
    let logged = Logged::start(limited(&[&backend], 60_000));
    let _clients = full(&logged, &backend);
    logged.rig.drain(Duration::from_millis(200));
    let lines = logged.rest();
    let second = lines.iter().find(|line| line.contains("/second")).unwrap();
    require(
        &serde_json::from_str(second).unwrap(),
        &json!({"status": null, "termination": "drain_timeout", "phase": "queue"}),
    );
}
