//! One request by HTTP/2, on a connection that is idle from then on (RFC 9113).

use std::io::{Read, Write};

use crate::conn::Failure;

/// Asks on the first stream of a connection, and waits for as many bytes as are due.
pub(super) fn ask(
    stream: &mut (impl Read + Write),
    path: &str,
    body_bytes: usize,
) -> Result<(), Failure> {
    let mut request = PREFACE.to_vec();
    push_frame(&mut request, SETTINGS, 0, 0, b"");
    push_frame(
        &mut request,
        HEADERS,
        END_STREAM | END_HEADERS,
        1,
        &head(path),
    );
    push_frame(&mut request, SETTINGS, ACK, 0, b"");
    stream.write_all(&request).map_err(|_| Failure::Lost)?;
    let mut got_bytes = 0;
    loop {
        let mut frame = [0; 9];
        stream.read_exact(&mut frame).map_err(|_| Failure::Lost)?;
        let [high, middle, low, kind, flags, id @ ..] = frame;
        let mut payload = vec![0; u32::from_be_bytes([0, high, middle, low]) as usize];
        stream.read_exact(&mut payload).map_err(|_| Failure::Lost)?;
        match (kind, u32::from_be_bytes(id)) {
            (DATA, 1) => got_bytes += payload.len(),
            // `:status: 200` in the static table (RFC 7541, appendix A).
            (HEADERS, 1) if payload.first() != Some(&0x88) => return Err(Failure::Malformed),
            (RESET | LEAVE, _) => return Err(Failure::Lost),
            _ => {}
        }
        if matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 {
            return match got_bytes == body_bytes {
                true => Ok(()),
                false => Err(Failure::Length),
            };
        }
    }
}

/// Returns a block of fields that are not kept in tables (RFC 7541 §6.2.2).
fn head(path: &str) -> Vec<u8> {
    // `:method: GET` and `:scheme: https` in the static table.
    let mut block = vec![0x82, 0x87];
    for (index, value) in [(4, path), (1, "www.example.org")] {
        block.extend([index, u8::try_from(value.len()).unwrap_or(0)]);
        block.extend_from_slice(value.as_bytes());
    }
    block
}

fn push_frame(into: &mut Vec<u8>, kind: u8, flags: u8, id: u32, payload: &[u8]) {
    let len = u32::try_from(payload.len()).unwrap_or(0);
    into.extend_from_slice(&len.to_be_bytes()[1..]);
    into.extend([kind, flags]);
    into.extend_from_slice(&id.to_be_bytes());
    into.extend_from_slice(payload);
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const LEAVE: u8 = 7;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
