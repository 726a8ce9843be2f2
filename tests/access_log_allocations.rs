//! What a request of a kept connection costs the heap of its worker while it is logged.
//!
//! The workers are told from all other threads by their names, as the kernel knows them; so this is
//! a binary of its own.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

#[path = "common/mod.rs"]
#[expect(dead_code, reason = "shared with other tests, which use the rest")]
mod common;
#[path = "access_log/logged.rs"]
#[expect(dead_code, reason = "shared with other tests, which use the rest")]
mod logged;
#[path = "proxy_http/rig.rs"]
#[expect(dead_code, reason = "shared with other tests, which use the rest")]
mod rig;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use evenkeel::config::AccessLogTarget;
use evenkeel::process::proxy::{PassedSocket, Proxy};

use crate::common::{Backend, Wire, wait_until};
use crate::logged::{read, with_log};
use crate::rig::{GET, OK, setup, sockets};

/// Counts what workers ask of the heap.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// Whether this thread is a worker; `None` before it was asked.
    static WORKER: Cell<Option<bool>> = const { Cell::new(None) };
}

fn count() {
    // A thread that is ending is not counted any more.
    let counted = WORKER.try_with(|worker| {
        let known = worker.get().unwrap_or_else(is_worker);
        worker.set(Some(known));
        known
    });
    if counted.unwrap_or(false) {
        ALLOCATIONS.fetch_add(1, Relaxed);
    }
}

/// Asks without allocating.
fn is_worker() -> bool {
    let mut name = [0_u8; 16];
    // SAFETY: the kernel writes at most 16 bytes, its longest name.
    let asked = unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
    asked == 0 && name.starts_with(b"data-")
}

// SAFETY: all is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as our caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as our caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as our caller promised.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static HEAP: Counting = Counting;

#[test]
fn logged_requests_of_kept_connections_allocate_nothing() {
    let backend = Backend::saying(OK);
    let mut setup = with_log(
        setup(&[backend.address]),
        AccessLogTarget::StandardOutput,
        "json",
    );
    let sockets = sockets(1);
    let address = sockets[0].local_addr().unwrap();
    setup.config.listeners[0].binds = vec![address];
    let lent = vec![PassedSocket {
        listener: "http".to_owned(),
        bind: address,
        sockets,
    }];
    let proxy = Proxy::start(&setup.config, 1, lent, &[], Arc::new(drop)).unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    let lines = read(reader);
    proxy.set_access_log(writer.into());
    let mut client = Wire::connect(address);
    let mut ask = |times: u64| {
        for _ in 0..times {
            assert_eq!(client.ask(GET).status(), 200);
        }
    };
    // Until buffers, the connection and the log have what they need.
    ask(2_000);
    let before = ALLOCATIONS.load(Relaxed);
    assert!(before > 0, "allocations are counted");
    ask(REQUESTS);
    let allocations = ALLOCATIONS.load(Relaxed) - before;
    // Where the writer is late the log makes another buffer, up to 32 for good.
    assert!(
        allocations <= 32,
        "{allocations} allocations in {REQUESTS} requests"
    );
    wait_until("all are written", || {
        proxy.access_log().unwrap().lines_written_total == 2_000 + REQUESTS
    });
    assert_eq!(lines.try_iter().count() as u64, 2_000 + REQUESTS);
}

const REQUESTS: u64 = 3_000;
