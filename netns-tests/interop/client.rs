//! A client on the link: who answers on a virtual address.
//!
//! Every node has a server on a port of its own making that says its name, whoever holds the
//! addresses.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use evenkeel::lab::namespace::host::Host;

/// A server that says its name, until it is dropped.
pub(super) struct Server {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(super) fn start(host: &Host, name: &'static str) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&over);
        let (ready, listening) = std::sync::mpsc::sync_channel(1);
        let serve = move || {
            let listener = TcpListener::bind(("::", PORT)).unwrap();
            listener.set_nonblocking(true).unwrap();
            ready.send(()).unwrap();
            while !until.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((mut connection, _)) => drop(connection.write_all(name.as_bytes())),
                    Err(_) => wait_readable(&listener),
                }
            }
        };
        let thread = host.thread("server", serve).unwrap();
        listening.recv().unwrap();
        Self {
            over,
            thread: Some(thread),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Returns the name of the node that answers a client on an address now.
pub(super) fn who_answers(client: &Host, address: &'static str) -> Option<String> {
    client
        .run(move || {
            let address: IpAddr = address.parse().unwrap();
            let to = SocketAddr::new(address, PORT);
            let mut connection = TcpStream::connect_timeout(&to, PATIENCE).ok()?;
            connection.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut name = String::new();
            connection.read_to_string(&mut name).ok()?;
            Some(name)
        })
        .unwrap()
}

fn wait_readable(listener: &TcpListener) {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::os::fd::AsFd;
    let mut waiting = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
    let _ = poll(&mut waiting, PollTimeout::from(TURN_MS));
}

const PORT: u16 = 7;
/// A link without delay answers in less; nobody else's answer is waited for.
const PATIENCE: Duration = Duration::from_millis(40);
const TURN_MS: u16 = 50;
