//! Two hundred slow uploads at once.

use std::sync::Arc;

use super::{KIB, MIB, active, body, buffering, head, is_empty, ok, start};
use crate::common::{Backend, PATIENCE, Wire, wait_until};

/// Each megabyte comes in pieces, by turns, and none of them occupies the one room of the backend;
/// some leave half-way, and what they have left behind goes with them.
#[test]
fn two_hundred_slow_uploads_occupy_no_backend() {
    let body = Arc::<[u8]>::from(body(UPLOAD_BYTES));
    let sent = Arc::clone(&body);
    let backend = Backend::scripted(move |mut visit| {
        while let Some(request) = visit.request() {
            let is_whole = request.body.is_empty() || *request.body == *sent;
            visit.wire.send(ok(match is_whole {
                true => "as sent",
                false => "another body",
            }));
        }
    });
    let setup = buffering(64 * KIB, 256 * MIB, &[&backend]);
    let (rig, file) = start(setup.pool(|pool| {
        pool.backends[0].requests = Some(1);
        // They are whole at the same time, and go one after another.
        pool.timeouts.queue = PATIENCE;
    }));
    let mut uploads: Vec<Wire> = (0..COUNT)
        .map(|_| {
            let mut client = rig.client();
            client.send(head("POST", &format!("Content-Length: {UPLOAD_BYTES}")));
            client
        })
        .collect();
    let mut asks = rig.client();
    let pieces = body.chunks(UPLOAD_BYTES / PIECES);
    for (number, piece) in pieces.enumerate() {
        if number == PIECES / 2 {
            wait_until("all of it is kept", || {
                let kept = rig.pool().buffered_disk_bytes as usize;
                kept >= COUNT * (UPLOAD_BYTES / 2 - 128 * KIB)
            });
            assert_eq!(rig.pool().buffered_requests, COUNT as u64);
            uploads.truncate(COUNT - LEAVING);
            wait_until("some have left", || {
                rig.pool().buffered_requests == (COUNT - LEAVING) as u64
            });
        }
        for upload in &mut uploads {
            upload.send(piece);
        }
        if number < PIECES - 1 {
            asks.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(asks.response().text(), "as sent");
            // Its room is free a moment after its answer.
            wait_until("no upload has it", || active(&rig) == 0);
        }
    }
    for upload in &mut uploads {
        assert_eq!(upload.response().text(), "as sent");
    }
    let posts = backend.requests().into_iter();
    let posts = posts.filter(|request| request.head.starts_with("POST"));
    assert_eq!(posts.count(), COUNT - LEAVING);
    is_empty(&rig, &file);
}

const COUNT: usize = 200;
const LEAVING: usize = 50;
const UPLOAD_BYTES: usize = 1_000_000;
const PIECES: usize = 20;
