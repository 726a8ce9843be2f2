//! Which backend gets a request, what happens where one fails, and who waits for one.

mod affinity;
mod backup;
mod balance;
mod ejection;
mod failures;
mod fallback;
mod hash;
mod grpc;
mod probes;
mod queue;
mod retries;
mod slow_start;

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};

use crate::common::Backend;

/// Returns a backend that says its name, and the status that it says to health checks.
fn ailing(name: &'static str) -> (Backend, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(200));
    let says = Arc::clone(&status);
    let backend = Backend::scripted(move |mut visit| {
        while let Some(request) = visit.request() {
            let status = match request.line().contains("/health") {
                true => says.load(Relaxed),
                false => 200,
            };
            let length = name.len();
            let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n{name}");
            visit.wire.send(answer);
        }
    });
    (backend, status)
}
