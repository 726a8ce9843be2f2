//! An HTTP/1.1 backend inside the program: a thread on a host that says who asked it.
//!
//! It answers every path with one line, `backend=web1 node=10.77.0.2 xff=10.77.0.9`: its name, the
//! address the connection came from, and the request's `X-Forwarded-For` (`-` without one). What a
//! request can ask for beyond that is in [`answer`]. It fails on demand.

pub mod answer;

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use answer::Answerer;
pub use answer::Behavior;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use nix::sys::socket;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::LabError;
use super::namespace::host::Host;

/// A backend that runs until it is dropped.
#[derive(Debug)]
pub struct Backend {
    name: String,
    address: SocketAddr,
    commands: Option<mpsc::Sender<Command>>,
    thread: Option<JoinHandle<()>>,
}

impl Backend {
    /// Starts a backend on a host; it listens when this returns.
    ///
    /// Port 0 lets the kernel choose: see [`Backend::address`].
    ///
    /// # Errors
    /// When the host does not start the thread, or the address cannot be listened on.
    pub fn start(host: &Host, name: &str, address: SocketAddr) -> Result<Self, LabError> {
        let (commands, queue) = mpsc::channel(COMMANDS_MAX);
        let (started, starting) = sync_channel(1);
        let label: Arc<str> = name.into();
        let thread = host.thread(&format!("backend-{name}"), move || {
            run(label, address, queue, &started);
        })?;
        let address = starting
            .recv_timeout(ANSWER_TIMEOUT)
            .map_err(|_| LabError::HostSilent(name.to_owned()))?
            .map_err(LabError::system(format!(
                "start backend {name} at {address}"
            )))?;
        Ok(Self {
            name: name.to_owned(),
            address,
            commands: Some(commands),
            thread: Some(thread),
        })
    }

    /// Returns its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what it does, in force when this returns.
    ///
    /// # Errors
    /// When its thread does not answer, or it cannot listen again.
    pub fn set(&self, behavior: Behavior) -> Result<(), LabError> {
        let silent = || LabError::HostSilent(self.name.clone());
        let (applied, applying) = sync_channel(1);
        self.commands
            .as_ref()
            .ok_or_else(silent)?
            .try_send((behavior, applied))
            .map_err(|_| silent())?;
        applying
            .recv_timeout(ANSWER_TIMEOUT)
            .map_err(|_| silent())?
            .map_err(LabError::system(format!(
                "listen again at {}",
                self.address
            )))
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has ended too.
            let _ = thread.join();
        }
    }
}

/// A behavior, and whom to tell that it is in force.
type Command = (Behavior, SyncSender<io::Result<()>>);

fn run(
    name: Arc<str>,
    address: SocketAddr,
    queue: mpsc::Receiver<Command>,
    started: &SyncSender<io::Result<SocketAddr>>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = started.send(Err(error));
            return;
        }
    };
    runtime.block_on(async {
        let opened = listen(address).and_then(|listener| {
            let address = listener.local_addr()?;
            Ok((listener, address))
        });
        match opened {
            Ok((listener, address)) => {
                let _ = started.send(Ok(address));
                serve(&name, address, listener, queue).await;
            }
            Err(error) => {
                let _ = started.send(Err(error));
            }
        }
    });
}

/// Serves until the commands end.
async fn serve(
    name: &Arc<str>,
    address: SocketAddr,
    listener: TcpListener,
    mut queue: mpsc::Receiver<Command>,
) {
    let (behaviors, behavior) = tokio::sync::watch::channel(Behavior::Serves);
    let mut listener = Some(listener);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            command = queue.recv() => {
                let Some((next, applied)) = command else { return };
                let outcome = match next {
                    Behavior::Refuses => {
                        if let Some(listener) = listener.take() {
                            end_listening(&listener);
                        }
                        connections.shutdown().await;
                        Ok(())
                    }
                    Behavior::Serves | Behavior::FailsHealth | Behavior::Fails => {
                        reopen(&mut listener, address)
                    }
                };
                behaviors.send_replace(next);
                let _ = applied.send(outcome);
            }
            Some(_) = connections.join_next() => {}
            stream = accept(listener.as_ref()), if connections.len() < CONNECTIONS_MAX => {
                connections.spawn(answer_all(Arc::clone(name), stream, behavior.clone()));
            }
        }
    }
}

/// Waits for a connection; for ever without a listener.
async fn accept(listener: Option<&TcpListener>) -> (TcpStream, SocketAddr) {
    let Some(listener) = listener else {
        return std::future::pending().await;
    };
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            // The connection was gone already, or descriptors are short.
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Ends it whoever has a copy of the descriptor, such as a child that another thread of the tests
/// has forked and that has not begun its program yet: a close alone would leave the port taken.
fn end_listening(listener: &TcpListener) {
    // A socket that does not listen any more is what is wanted.
    let _ = socket::shutdown(listener.as_raw_fd(), socket::Shutdown::Read);
}

fn reopen(listener: &mut Option<TcpListener>, address: SocketAddr) -> io::Result<()> {
    if listener.is_none() {
        *listener = Some(listen(address)?);
    }
    Ok(())
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Answers the requests of one connection, and what comes after an upgrade.
async fn answer_all(
    name: Arc<str>,
    (stream, peer): (TcpStream, SocketAddr),
    behavior: tokio::sync::watch::Receiver<Behavior>,
) {
    // Without it answers are only slower.
    let _ = stream.set_nodelay(true);
    let answerer = Answerer::new(&name, peer);
    let service = service_fn(|request| answerer.answer(request, *behavior.borrow()));
    // A client that goes away is the end of the connection, not an error of the lab.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    answerer.echo().await;
}

/// Callers wait for each command, so the queue is never full but by many threads; then a caller
/// gets an error.
const COMMANDS_MAX: usize = 16;
/// Further connections wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 4096;
/// Further connections in the kernel's queue are dropped and tried again by their clients.
const BACKLOG: u32 = 1024;
const ACCEPT_PAUSE: Duration = Duration::from_millis(1);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
