//! Requests to the kernel's routing netlink, in batches: one send, then every acknowledgement.
//!
//! Blocking, for the host thread; but every wait has a deadline. It refuses to know what an address
//! is for.

use std::io;
use std::time::Duration;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::LinkMessage;
use netlink_packet_route::route::{RouteMessage, RouteProtocol};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_ROUTE;
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};

/// A socket for requests.
#[derive(Debug)]
pub struct Netlink {
    socket: Socket,
    sequence: u32,
}

/// One request: a message, and its flags beyond REQUEST and ACK.
pub type Request = (RouteNetlinkMessage, u16);

impl Netlink {
    /// Opens the socket.
    ///
    /// # Errors
    /// When the kernel refuses the socket.
    pub fn open() -> io::Result<Self> {
        let socket = open_socket(NETLINK_ROUTE)?;
        Ok(Self {
            socket,
            sequence: 0,
        })
    }

    /// Executes requests in order and returns the outcome of each.
    ///
    /// # Errors
    /// When the kernel did not answer at all.
    pub fn execute(&mut self, requests: Vec<Request>) -> io::Result<Vec<io::Result<()>>> {
        let mut outcomes = Vec::with_capacity(requests.len());
        let mut requests = requests.into_iter().peekable();
        while requests.peek().is_some() {
            let batch: Vec<Request> = requests.by_ref().take(BATCH_MESSAGES_MAX).collect();
            self.execute_batch(batch, &mut outcomes)?;
        }
        Ok(outcomes)
    }

    /// Executes one request.
    ///
    /// # Errors
    /// When the kernel refuses it, or did not answer.
    pub fn execute_one(&mut self, request: Request) -> io::Result<()> {
        let outcomes = self.execute(vec![request])?;
        outcomes
            .into_iter()
            .next()
            .unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()))
    }

    /// Reads all links.
    ///
    /// # Errors
    /// When the kernel refuses, or does not answer.
    pub fn links(&mut self) -> io::Result<Vec<RouteNetlinkMessage>> {
        self.dump(RouteNetlinkMessage::GetLink(LinkMessage::default()))
    }

    /// Reads all addresses.
    ///
    /// # Errors
    /// When the kernel refuses, or does not answer.
    pub fn addresses(&mut self) -> io::Result<Vec<RouteNetlinkMessage>> {
        self.dump(RouteNetlinkMessage::GetAddress(AddressMessage::default()))
    }

    /// Reads the routes of a family that bear a mark; an old kernel answers with all others too.
    ///
    /// # Errors
    /// When the kernel refuses, or does not answer.
    pub fn routes(
        &mut self,
        family: AddressFamily,
        protocol: RouteProtocol,
    ) -> io::Result<Vec<RouteNetlinkMessage>> {
        let mut question = RouteMessage::default();
        question.header.address_family = family;
        question.header.protocol = protocol;
        // It chooses only for who asks strictly: a router may have a million of them.
        let is_strict = self.socket.set_netlink_get_strict_chk(true).is_ok();
        let answers = self.dump(RouteNetlinkMessage::GetRoute(question));
        if is_strict {
            self.socket.set_netlink_get_strict_chk(false)?;
        }
        answers
    }

    fn execute_batch(
        &mut self,
        batch: Vec<Request>,
        outcomes: &mut Vec<io::Result<()>>,
    ) -> io::Result<()> {
        let first = self.sequence.wrapping_add(1);
        let count = batch.len();
        let mut bytes = Vec::new();
        for (message, flags) in batch {
            self.append(&mut bytes, message, NLM_F_REQUEST | NLM_F_ACK | flags);
        }
        self.socket.send(&bytes, 0)?;
        let mut acks: Vec<Option<io::Result<()>>> = Vec::new();
        acks.resize_with(count, || None);
        let mut missing = count;
        while missing > 0 {
            let datagram = self.receive()?;
            for message in Messages::of(&datagram) {
                let NetlinkPayload::Error(ack) = message.payload else {
                    continue;
                };
                let index = message.header.sequence_number.wrapping_sub(first) as usize;
                if let Some(slot @ None) = acks.get_mut(index) {
                    *slot = Some(if ack.code.is_none() {
                        Ok(())
                    } else {
                        Err(ack.to_io())
                    });
                    missing -= 1;
                }
            }
        }
        outcomes.extend(acks.into_iter().flatten());
        Ok(())
    }

    fn dump(&mut self, question: RouteNetlinkMessage) -> io::Result<Vec<RouteNetlinkMessage>> {
        let mut answers = Vec::new();
        for _ in 0..DUMP_ATTEMPTS_MAX {
            let mut bytes = Vec::new();
            self.append(&mut bytes, question.clone(), NLM_F_REQUEST | NLM_F_DUMP);
            self.socket.send(&bytes, 0)?;
            answers.clear();
            if self.collect(&mut answers)? {
                break;
            }
        }
        Ok(answers)
    }

    /// Collects the answers of a dump; false when the tables changed while they were read.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "netlink has kinds we never asked for"
    )]
    fn collect(&mut self, answers: &mut Vec<RouteNetlinkMessage>) -> io::Result<bool> {
        let mut consistent = true;
        loop {
            let datagram = self.receive()?;
            for message in Messages::of(&datagram) {
                if message.header.sequence_number != self.sequence {
                    continue;
                }
                consistent &= message.header.flags & NLM_F_DUMP_INTR == 0;
                match message.payload {
                    NetlinkPayload::InnerMessage(answer) => answers.push(answer),
                    NetlinkPayload::Done(_) => return Ok(consistent),
                    NetlinkPayload::Error(error) => return Err(error.to_io()),
                    _ => {}
                }
            }
        }
    }

    fn append(&mut self, bytes: &mut Vec<u8>, message: RouteNetlinkMessage, flags: u16) {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.sequence_number = self.sequence;
        header.flags = flags;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
        message.finalize();
        let at = bytes.len();
        bytes.resize(at + message.buffer_len().next_multiple_of(4), 0);
        message.serialize(&mut bytes[at..at + message.buffer_len()]);
    }

    fn receive(&self) -> io::Result<Vec<u8>> {
        Ok(self.socket.recv_from_full()?.0)
    }
}

/// The messages in a datagram; what does not parse is passed over.
pub struct Messages<'a> {
    rest: &'a [u8],
}

impl<'a> Messages<'a> {
    /// Begins at the start of a datagram.
    pub const fn of(datagram: &'a [u8]) -> Self {
        Self { rest: datagram }
    }
}

impl Iterator for Messages<'_> {
    type Item = NetlinkMessage<RouteNetlinkMessage>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let len = u32::from_ne_bytes(*self.rest.first_chunk::<4>()?) as usize;
            if len < HEADER_LEN || len > self.rest.len() {
                return None;
            }
            let (message, _) = self.rest.split_at(len);
            self.rest = self.rest.get(len.next_multiple_of(4)..).unwrap_or_default();
            if let Ok(message) = NetlinkMessage::deserialize(message) {
                return Some(message);
            }
        }
    }
}

/// Opens a netlink socket whose waits end, with room for the acknowledgements of a batch.
///
/// # Errors
/// When the kernel refuses the socket.
pub fn open_socket(protocol: isize) -> io::Result<Socket> {
    let mut socket = Socket::new(protocol)?;
    socket.bind_auto()?;
    // An acknowledgement need not repeat the request. Where the kernel does not know it, it is only
    // longer.
    let _ = socket.set_cap_ack(true);
    // Without the right the default remains, which fits a batch.
    let _ = setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER_BYTES);
    setsockopt(
        &socket,
        sockopt::ReceiveTimeout,
        &TimeVal::milliseconds(ANSWER_TIMEOUT.as_millis() as i64),
    )?;
    Ok(socket)
}

const HEADER_LEN: usize = 16;
/// So many acknowledgements fit in a default receive buffer.
const BATCH_MESSAGES_MAX: usize = 128;
/// A dump that changed while it was read is read again; the last attempt stands, events tell the
/// rest.
const DUMP_ATTEMPTS_MAX: usize = 4;
/// For requests and monitor alike.
pub const RECEIVE_BUFFER_BYTES: usize = 1 << 20;
/// How long the kernel may take for an answer; its network lock is sometimes held for 100 ms.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
