//! What rustls asks for, step by step, and the buffers that it is done with.

use std::io;

use rustls::unbuffered::{ConnectionState, EncodeError, InsufficientSizeError, UnbufferedStatus};

/// Bytes, taken from their beginning.
#[derive(Default)]
pub(super) struct Held {
    pub(super) bytes: Vec<u8>,
    pub(super) from: usize,
}

/// What a step has come to.
pub(super) enum Step {
    /// There is more to do with what there is.
    Again,
    /// More must come.
    Blocked,
    /// The peer has said that nothing more comes.
    Ended,
}

/// Where a step puts what it finds.
pub(super) struct Sinks<'a> {
    pub(super) into: &'a mut [u8],
    pub(super) filled: usize,
    pub(super) plain: &'a mut Held,
    pub(super) outgoing: &'a mut Held,
}

impl Held {
    pub(super) const fn is_empty(&self) -> bool {
        self.bytes.len() == self.from
    }

    pub(super) const fn len(&self) -> usize {
        self.bytes.len() - self.from
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[self.from..]
    }

    pub(super) fn append(&mut self, more: &[u8]) {
        self.bytes.extend_from_slice(more);
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn consume(&mut self, len: usize) {
        self.from += len;
        if self.is_empty() {
            self.clear();
        }
    }

    pub(super) fn take(&mut self, into: &mut [u8]) -> usize {
        let len = self.len().min(into.len());
        into[..len].copy_from_slice(&self.bytes()[..len]);
        self.consume(len);
        len
    }
}

/// What is encrypted, one after another, into a buffer of the worker's.
pub(super) struct Out<'a> {
    pub(super) buffer: &'a mut [u8],
    pub(super) len: usize,
}

impl<'a> Out<'a> {
    pub(super) const fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, len: 0 }
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let free = self.buffer.get_mut(self.len..self.len + bytes.len());
        free.ok_or(io::ErrorKind::OutOfMemory)?
            .copy_from_slice(bytes);
        self.len += bytes.len();
        Ok(())
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[..self.len]
    }
}

impl Sinks<'_> {
    pub(super) fn take(&mut self, mut plain: &[u8]) {
        if self.plain.is_empty() {
            let free = &mut self.into[self.filled..];
            let len = free.len().min(plain.len());
            let first;
            (first, plain) = plain.split_at(len);
            free[..len].copy_from_slice(first);
            self.filled += len;
        }
        if !plain.is_empty() {
            self.plain.append(plain);
        }
    }
}

/// Does what a state asks for; also returns how much of what has come is done with.
pub(super) fn step<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    sinks: &mut Sinks<'_>,
) -> (usize, Result<Step, rustls::Error>) {
    let UnbufferedStatus { mut discard, state } = status;
    let step = match state {
        Err(error) => Err(error),
        Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
            match traffic.next_record() {
                Some(Ok(record)) => {
                    discard += record.discard;
                    sinks.take(record.payload);
                }
                Some(Err(error)) => break Err(error),
                None => break Ok(Step::Again),
            }
        },
        Ok(ConnectionState::EncodeTlsData(mut data)) => {
            let outgoing = &mut sinks.outgoing.bytes;
            let from = outgoing.len();
            let mut result = data.encode(&mut []);
            if let Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) =
                result
            {
                outgoing.resize(from + required_size, 0);
                result = data.encode(&mut outgoing[from..]);
            }
            result.map_or_else(
                |error| Err(rustls::Error::General(error.to_string())),
                |_| Ok(Step::Again),
            )
        }
        Ok(ConnectionState::TransmitTlsData(data)) => {
            data.done();
            Ok(Step::Again)
        }
        Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_)) => {
            Ok(Step::Blocked)
        }
        Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => Ok(Step::Ended),
        // Early data is never accepted.
        Ok(_) => Err(rustls::Error::General("early data".to_owned())),
    };
    (discard, step)
}

/// Encrypts; `None` where something else is to be done before.
pub(super) fn seal<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    plain: &[u8],
    out: &mut Out<'_>,
) -> Result<Option<io::Result<()>>, rustls::Error> {
    let ConnectionState::WriteTraffic(mut traffic) = status.state? else {
        return Ok(None);
    };
    let sealed = traffic.encrypt(plain, &mut out.buffer[out.len..]);
    let sealed = sealed.map_err(io::Error::other);
    Ok(Some(sealed.map(|len| out.len += len)))
}

/// Says that nothing more comes; returns how many bytes that takes.
pub(super) fn say_end<Data>(status: UnbufferedStatus<'_, '_, Data>, out: &mut [u8]) -> usize {
    match status.state {
        Ok(ConnectionState::WriteTraffic(mut traffic)) => {
            traffic.queue_close_notify(out).unwrap_or(0)
        }
        Ok(_) | Err(_) => 0,
    }
}

/// Returns whether a record is an alert; one that is encrypted is known by its length.
pub(super) fn is_alert(record: &[u8]) -> bool {
    match record.first() {
        Some(&ALERT) => true,
        Some(&APPLICATION_DATA) => record.len() == SEALED_ALERT_BYTES,
        Some(_) | None => false,
    }
}

/// Content types of RFC 8446, section 5.1.
const ALERT: u8 = 21;
const APPLICATION_DATA: u8 = 23;
/// A header, two bytes, the content type and the tag of any cipher of TLS 1.3.
const SEALED_ALERT_BYTES: usize = 5 + 2 + 1 + 16;
