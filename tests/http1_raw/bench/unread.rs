//! How many bytes the proxy has not read yet of what it was sent, by the kernel's socket monitor.
//!
//! The layout is `struct inet_diag_req_v2` and `struct inet_diag_msg` of linux/inet_diag.h:
//!
//! ```text
//! request:  header(16) family protocol ext pad states(4) id(48)
//! answer:   header(16) family state timer retrans id(48) expires(4) rqueue(4) ...
//! id:       sport(2) dport(2) src(16) dst(16) interface(4) cookie(8); ports and addresses as on the wire
//! ```

use std::net::SocketAddrV4;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_SOCK_DIAG};

/// Asks the kernel about sockets.
pub(crate) struct Monitor(Socket);

impl Monitor {
    pub(crate) fn open() -> Self {
        let mut socket = Socket::new(NETLINK_SOCK_DIAG).expect("the kernel has a socket monitor");
        socket.bind_auto().expect("a netlink address");
        Self(socket)
    }

    /// Returns the bytes that wait to be read at `local` of a connection from `remote`; 0 where
    /// there is no such connection (any more).
    pub(crate) fn unread(&self, local: SocketAddrV4, remote: SocketAddrV4) -> u32 {
        let mut ask = Vec::with_capacity(REQUEST_BYTES as usize);
        ask.extend_from_slice(&REQUEST_BYTES.to_ne_bytes());
        ask.extend_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        ask.extend_from_slice(&NLM_F_REQUEST.to_ne_bytes());
        ask.extend_from_slice(&[0; 8]);
        ask.extend_from_slice(&[AF_INET, IPPROTO_TCP, 0, 0]);
        ask.extend_from_slice(&u32::MAX.to_ne_bytes());
        ask.extend_from_slice(&local.port().to_be_bytes());
        ask.extend_from_slice(&remote.port().to_be_bytes());
        for address in [local, remote] {
            ask.extend_from_slice(&address.ip().octets());
            ask.extend_from_slice(&[0; 12]);
        }
        ask.extend_from_slice(&[0; 4]);
        // No cookie.
        ask.extend_from_slice(&[0xff; 8]);
        let kernel = SocketAddr::new(0, 0);
        self.0
            .send_to(&ask, &kernel, 0)
            .expect("the kernel is asked");
        let (answer, _) = self.0.recv_from_full().expect("the kernel answers");
        let kind = answer.get(4..6).map(|kind| [kind[0], kind[1]]);
        if kind.map(u16::from_ne_bytes) != Some(SOCK_DIAG_BY_FAMILY) {
            return 0;
        }
        let queue = answer.get(RQUEUE_AT..RQUEUE_AT + 4);
        let queue: Option<[u8; 4]> = queue.and_then(|queue| queue.try_into().ok());
        u32::from_ne_bytes(queue.expect("a whole answer"))
    }
}

const REQUEST_BYTES: u32 = 16 + 8 + 48;
const RQUEUE_AT: usize = 16 + 4 + 48 + 4;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const AF_INET: u8 = 2;
const IPPROTO_TCP: u8 = 6;
