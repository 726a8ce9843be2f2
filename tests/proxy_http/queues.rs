//! What the kernel says of the connections of this host: what it holds of each.
//!
//! With it a test knows what the proxy itself holds: what was written at one end, less what is in
//! the kernel on the way to the other.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

/// One line of `/proc/net/tcp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Socket {
    local: SocketAddr,
    remote: SocketAddr,
    /// As in `include/net/tcp_states.h`.
    state: u8,
    /// Bytes that have been written and not been acknowledged.
    pub unsent: usize,
    /// Bytes that have come and not been read.
    pub unread: usize,
}

/// Returns the sockets whose local address is `at` and whose remote one is `peer`: none or one.
pub(crate) fn sockets_between(at: SocketAddr, peer: SocketAddr) -> Vec<Socket> {
    let between = |socket: &Socket| socket.local == at && socket.remote == peer;
    sockets().into_iter().filter(between).collect()
}

/// Returns the bytes that the kernel holds of a connection, at both of its ends, both ways.
pub(crate) fn between(stream: &TcpStream) -> usize {
    let (here, there) = ends(stream);
    let sockets = [sockets_between(here, there), sockets_between(there, here)];
    let bytes = |socket: &Socket| socket.unsent + socket.unread;
    sockets.iter().flatten().map(bytes).sum()
}

/// Returns the bytes that the kernel holds of what was written here for the other end.
pub(crate) fn towards(stream: &TcpStream) -> usize {
    let (here, there) = ends(stream);
    sockets_between(here, there)[0].unsent + sockets_between(there, here)[0].unread
}

fn ends(stream: &TcpStream) -> (SocketAddr, SocketAddr) {
    (stream.local_addr().unwrap(), stream.peer_addr().unwrap())
}

fn sockets() -> Vec<Socket> {
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    table.lines().skip(1).map(socket).collect()
}

fn socket(line: &str) -> Socket {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (unsent, unread) = words[4].split_once(':').unwrap();
    let bytes = |text| usize::from_str_radix(text, 16).unwrap();
    Socket {
        local: address(words[1]),
        remote: address(words[2]),
        state: u8::from_str_radix(words[3], 16).unwrap(),
        unsent: bytes(unsent),
        unread: bytes(unread),
    }
}

/// The kernel prints an IPv4 address as a number in the order of the host.
fn address(text: &str) -> SocketAddr {
    let (address, port) = text.split_once(':').unwrap();
    let address = u32::from_str_radix(address, 16).unwrap();
    let port = u16::from_str_radix(port, 16).unwrap();
    SocketAddr::from((Ipv4Addr::from(address.to_ne_bytes()), port))
}
