//! One client connection, from accept to the last byte.
//!
//! hyper reads requests and writes answers; here its end is watched over: the sweep's cut, the
//! drain, the tunnel a request became, and a close that does not destroy the answer on its way (a
//! reset would, where the client still sends).

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::watch::{Cut, Phase, Watch, WatchedStream};
use crate::logic::http1::hyper_framing::FramingScan;
use crate::process::proxy::answer::REQUEST_TIMEOUT;
use crate::process::proxy::relay::{self, ClientConnection};
use crate::process::proxy::worker::{Stage, Thread};

/// Serves a connection to its end.
pub(in crate::process::proxy) async fn serve(
    thread: Rc<Thread>,
    listener: usize,
    stream: TcpStream,
    client: SocketAddr,
) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let Ok(local) = stream.local_addr() else {
        return;
    };
    let timeouts = thread.table.listeners[listener].timeouts;
    let watch = Arc::new(Watch::new(Arc::clone(&thread.clock), timeouts));
    let _registered = thread.register(listener, &watch);
    let connection = Rc::new(ClientConnection {
        thread: Rc::clone(&thread),
        listener,
        client,
        local: local.to_string(),
        watch: Arc::clone(&watch),
        tunnel: RefCell::new(None),
    });
    let shared = Rc::clone(&connection);
    let service = service_fn(move |request| relay::answer(Rc::clone(&shared), request));
    let stream = WatchedStream {
        stream,
        watch: Arc::clone(&watch),
        scan: FramingScan::default(),
    };
    let mut http = Builder::new()
        .max_header_size(HEAD_BYTES_MAX)
        .max_buf_size(BUFFER_BYTES_MAX)
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut stage = thread.stage.clone();
    let mut warned = false;
    loop {
        tokio::select! {
            biased;
            // hyper has answered what it refused; how the connection ended is the client's affair.
            _ = &mut http => break,
            () = watch.wake.notified() => break,
            () = drained(&mut stage, &watch), if !warned => {
                warned = true;
                std::pin::Pin::new(&mut http).graceful_shutdown();
            }
        }
    }
    let tunnel = connection.tunnel.take();
    match http.into_parts() {
        Some(parts) => close(parts.io.into_inner().stream, &watch).await,
        None => {
            if let Some(tunnel) = tunnel {
                tunnel.run(&watch).await;
            }
        }
    }
}

/// Waits until idle connections are to be closed: at the drain, or a little later where a request
/// may be on its way.
async fn drained(stage: &mut tokio::sync::watch::Receiver<Stage>, watch: &Watch) {
    if stage
        .wait_for(|stage| *stage != Stage::Serving)
        .await
        .is_err()
    {
        // Nobody is left to end the drain; the thread is about to end.
        return;
    }
    if watch.phase() == Phase::Idle {
        tokio::time::sleep(DRAIN_GRACE).await;
    }
}

async fn close(mut stream: TcpStream, watch: &Watch) {
    match watch.why_cut() {
        Cut::Silently | Cut::Drained => return,
        Cut::RequestTimeout => {
            let writing = stream.write_all(REQUEST_TIMEOUT);
            if !matches!(
                tokio::time::timeout(LINGER_READ_TIMEOUT, writing).await,
                Ok(Ok(()))
            ) {
                return;
            }
        }
        Cut::No => {}
    }
    tokio::select! {
        _ = tokio::time::timeout(LINGER_TIMEOUT, linger(stream)) => {}
        () = watch.wake.notified() => {}
    }
}

/// Ends our side, then reads what the client still sends until it ends its own: closing a socket
/// with unread bytes resets the connection, and the client might never read the answer.
async fn linger(mut stream: TcpStream) {
    if stream.shutdown().await.is_err() {
        return;
    }
    // Nearly all clients end their side without another byte.
    let mut waste = vec![0; 64];
    loop {
        match tokio::time::timeout(LINGER_READ_TIMEOUT, stream.read(&mut waste)).await {
            Ok(Ok(read)) if read > 0 => waste.resize(16 * 1024, 0),
            Ok(_) | Err(_) => return,
        }
    }
}

/// A request's head; more is answered 431.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Read ahead of a slow backend; then the client waits.
const BUFFER_BYTES_MAX: usize = 256 * 1024;
/// How long a client's last bytes are read after an answer that closes the connection.
const LINGER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a client may be silent meanwhile.
const LINGER_READ_TIMEOUT: Duration = Duration::from_secs(1);
/// How long an idle connection is still served when the drain begins.
const DRAIN_GRACE: Duration = Duration::from_millis(100);
