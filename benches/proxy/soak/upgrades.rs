//! Upgrades to another protocol, in which the backend says what it hears: the clients, and the
//! backend's side.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use evenkeel::lab::websocket::{accept_key, key};

use super::message::{Framing, PATIENCE, Reader, SIZES, Wish, body, fields};
use super::site::{Door, Ways};
use super::{Notes, Tally};
use crate::wire::{TOKEN_LEN, is_body_at, token_text};

/// Upgrades connections until the soak is over.
pub(super) fn live(ways: Ways, tally: &Arc<Tally>) {
    let mut notes = Notes::new("upgrades", tally);
    let mut chance = fastrand::Rng::new();
    while !notes.is_over() {
        if let Err(error) = connection(&ways, &mut notes, &mut chance) {
            notes.failed(&error);
            notes.note(&format!("cut ({:?})", error.kind()));
        }
    }
}

fn connection(ways: &Ways, notes: &mut Notes, chance: &mut fastrand::Rng) -> io::Result<()> {
    let door = ways.pick(chance, |door: &Door| door.pool.is_http1());
    let entry = ways.open(door, chance, notes)?;
    let wish = Wish {
        token: token_text(chance.u64(..)),
        response_bytes: 64,
        request_bytes: 0,
        told: entry.told,
    };
    let mut reader = Reader::new(entry.wire, PATIENCE)?;
    let key = key(&String::from_utf8_lossy(&wish.token));
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: www.example.org\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n",
        wish.path()
    );
    reader.stream().write_all(request.as_bytes())?;
    let Some(head) = reader.head()? else {
        notes.note("cut before the answer");
        return Ok(());
    };
    if !notes.is_ours(fields(&head, "x-token"), &wish, &head) {
        return Ok(());
    }
    if !head.starts_with(b"HTTP/1.1 101 ") {
        match head.get(9) {
            Some(b'5') => notes.note("error"),
            Some(_) | None => notes.wrong("answer to an upgrade", &head),
        }
        return Ok(());
    }
    for _ in 0..chance.usize(1..20) {
        let size = SIZES[chance.usize(..SIZES.len())] + chance.usize(..50);
        reader.stream().write_all(&body(size, &wish.token))?;
        let (mut got, mut is_right) = (0, true);
        reader
            .body(Framing::Length(size), |bytes| {
                is_right = is_body_at(bytes, got, size, &wish.token);
                got += bytes.len();
                is_right
            })
            .inspect_err(|_| {
                if !is_right {
                    notes.wrong("bytes behind an upgrade", b"");
                }
            })?;
        std::thread::sleep(Duration::from_micros(chance.u64(..2_000)));
    }
    reader.stream().end()?;
    let mut more = 0;
    reader.body(Framing::Close, |bytes| {
        more += bytes.len();
        true
    })?;
    match more {
        0 => notes.note("answered"),
        _ => notes.wrong("bytes behind all that was said", b""),
    }
    Ok(())
}

/// The backend's side: agrees, and says what it hears.
pub(super) fn echo(reader: &mut Reader, head: &[u8], token: &[u8; TOKEN_LEN]) -> io::Result<()> {
    let key = fields(head, "sec-websocket-key").next().unwrap_or_default();
    let agreed = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\nX-Token: {}\r\n\r\n",
        accept_key(&String::from_utf8_lossy(key)),
        String::from_utf8_lossy(token)
    );
    reader.stream().write_all(agreed.as_bytes())?;
    let mut said = reader.stream().socket().try_clone()?;
    let mut failed = Ok(());
    reader.body(Framing::Close, |bytes| {
        failed = said.write_all(bytes);
        failed.is_ok()
    })?;
    failed?;
    reader.stream().end()
}
