//! What a request costs in the steady state: heap allocations, counted by the allocator itself.
//!
//! One test in a binary of its own: proxy, backend and client run in this process, and the latter
//! two use fixed buffers, so that every allocation that is counted is the proxy's.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

#[path = "common/lone.rs"]
mod lone;

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use lone::{ANSWER, ANSWER_END, backend, has_read, start};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: everything is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, SeqCst);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, SeqCst);
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// A keep-alive request allocates nothing, with a body or without, nor does its response; where the
/// backend has a limit of requests that is not reached, and the pool hashes, neither.
#[test]
fn keep_alive_requests_allocate_nothing() {
    let backend = backend(serve);
    // Both live to the end: also ending one allocates.
    let proxies = [
        ("", "random_of_two"),
        (", requests: 1", "{hash: {cookie: c}}"),
    ]
    .map(|(limit, balance)| start(backend, limit, balance));
    for (_, address) in &proxies {
        allocates_nothing(*address);
    }
}

fn allocates_nothing(proxy_address: SocketAddr) {
    let get = b"GET /some/path?with=query HTTP/1.1\r\nHost: example.org\r\nAccept: */*\r\n\
        Cookie: a=b; c=d\r\nConnection: keep-alive\r\n\r\n";
    let post = [
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n".as_slice(),
        &[b'x'; 20_000],
    ]
    .concat();
    let chunked = b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
        3\r\nabc\r\n0\r\n\r\n";
    for request in [get.as_slice(), &post, chunked] {
        let mut client = TcpStream::connect(proxy_address).unwrap();
        client.set_nodelay(true).unwrap();
        exchange(&mut client, request, 200);
        let before = ALLOCATIONS.load(SeqCst);
        assert!(before > 0, "allocations are counted");
        exchange(&mut client, request, REQUESTS);
        let during = ALLOCATIONS.load(SeqCst) - before;
        let shown = String::from_utf8_lossy(&request[..20]);
        assert_eq!(during, 0, "allocations in {REQUESTS} requests {shown:?}");
    }
}

fn exchange(client: &mut TcpStream, request: &[u8], times: usize) {
    for _ in 0..times {
        client.write_all(request).unwrap();
        assert!(has_read(client, ANSWER_END), "the proxy answers");
    }
}

/// Answers every request, which it knows by its end.
fn serve(mut stream: TcpStream) {
    let mut buffer = vec![0; 64 * 1024];
    let mut len = 0;
    while let Ok(read @ 1..) = stream.read(&mut buffer[len..]) {
        len += read;
        if is_whole(&buffer[..len]) {
            stream.write_all(ANSWER).unwrap();
            len = 0;
        }
    }
}

fn is_whole(request: &[u8]) -> bool {
    let end = request.windows(4).position(|four| four == b"\r\n\r\n");
    let Some(end) = end else { return false };
    let body = &request[end + 4..];
    match request[0] {
        b'P' if request[1] == b'O' => body.len() == 20_000,
        b'P' => body.ends_with(b"0\r\n\r\n"),
        _ => true,
    }
}

const REQUESTS: usize = 2000;
