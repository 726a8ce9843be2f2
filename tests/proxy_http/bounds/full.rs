//! A backend that lets nobody in: the kernel has accepted as many as it may, and drops what else
//! comes.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, SyncSender};
use std::time::Duration;

use crate::common::{Visit, Wire};

/// It, and those who fill it.
pub(super) struct Full {
    pub address: SocketAddr,
    begin: SyncSender<()>,
    _filling: Vec<TcpStream>,
    _listener: TcpListener,
}

impl Full {
    /// Fills the queue of a socket; `within` after the beginning all in it are accepted, and those
    /// after them served.
    pub(super) fn new(within: Duration) -> Self {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        socket.bind(&any.into()).unwrap();
        socket.listen(1).unwrap();
        let listener = TcpListener::from(socket);
        let address = listener.local_addr().unwrap();
        let mut filling = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
            filling.push(stream);
            assert!(filling.len() < 10, "the queue of a socket has an end");
        }
        let accepting = listener.try_clone().unwrap();
        let (begin, begun) = mpsc::sync_channel(1);
        std::thread::spawn(move || {
            if begun.recv().is_err() {
                return;
            }
            std::thread::sleep(within);
            for stream in accepting.incoming().map_while(Result::ok) {
                std::thread::spawn(move || {
                    let mut wire = Wire::new(stream);
                    while wire.request().is_some() {
                        wire.send(crate::rig::OK);
                    }
                });
            }
        });
        Self {
            address,
            begin,
            _filling: filling,
            _listener: listener,
        }
    }

    /// Begins its time: until here the machine may have been busy with something else.
    pub(super) fn begin(&self) {
        self.begin.send(()).unwrap();
    }
}

/// Keeps a connection open and takes nothing from it.
pub(super) fn take_nothing(visit: &mut Visit, within: Duration) {
    std::thread::sleep(within);
    let _ = visit.wire.stream.peek(&mut [0]);
}
