//! A proxy with one listener and one pool and a backend for it, in fixed buffers: for the tests
//! that count what a request costs.
//!
//! A file of its own, so that those tests are made of nothing else of `common`, which reads
//! messages and allocates for them.

use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use evenkeel::config::{self, NodeName};
use evenkeel::process::proxy::{PassedSocket, Proxy};

/// What the backend is to answer.
pub(crate) const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// How that answer ends, whatever the proxy has added to its head.
pub(crate) const ANSWER_END: &[u8] = b"\r\n\r\nhello";

/// Starts a proxy of one worker for this backend, which has these other keys, in a pool with this
/// `balance`; returns it and where it listens.
pub(crate) fn start(backend: SocketAddr, keys: &str, balance: &str) -> (Proxy, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let yaml = format!(
        "listeners:\n  http: {{bind: [\"{address}\"], pool: web}}\npools:\n  web:\n    \
         backends: {{b1: {{address: \"{backend}\"{keys}}}}}\n    health_check: none\n    \
         balance: {balance}\n    keep_alive: {{timeout: 10m}}\n"
    );
    let config = config::parse("test.yaml", &yaml, NodeName::Given("lb1")).unwrap();
    let lent = PassedSocket {
        listener: "http".to_owned(),
        bind: address,
        sockets: vec![listener],
    };
    let proxy = Proxy::start(&config, 1, vec![lent], &[], Arc::new(drop)).unwrap();
    (proxy, address)
}

/// Starts a backend that serves each connection on a thread of its own; returns where it listens.
pub(crate) fn backend(serve: fn(TcpStream)) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            stream.set_nodelay(true).unwrap();
            std::thread::spawn(move || serve(stream));
        }
    });
    address
}

/// Reads up to this end; returns whether it has come.
pub(crate) fn has_read(stream: &mut TcpStream, end: &[u8]) -> bool {
    let mut buffer = [0; 4096];
    let mut len = 0;
    while !buffer[..len].ends_with(end) {
        match stream.read(&mut buffer[len..]) {
            Ok(read @ 1..) => len += read,
            Ok(_) | Err(_) => return false,
        }
    }
    true
}
