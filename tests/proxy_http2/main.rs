//! HTTP/2 on both sides of the real proxy, on loopback. Clients and backends are `h2`'s, or raw
//! frames where `h2` would not send what is sent; curl, nginx, grpcio and other peers are in
//! `netns-tests`.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "the blocking client is for other targets")]
mod common;
#[path = "../proxy_http/rig.rs"]
#[expect(dead_code, reason = "not all of it is needed")]
mod rig;
mod client;
mod frames;
mod messages;
mod trailers;
mod limits;
mod ends;
mod backends;
mod standing;
mod buffered;
mod rfc9113;

use std::net::SocketAddr;

use rig::{Rig, Setup, setup};

/// Returns a proxy that is to be begun with HTTP/2, of these backends.
fn http2(backends: &[SocketAddr]) -> Setup {
    setup(backends).listener(|listener| listener.http2.prior_knowledge = true)
}

fn rig_of(backend: &common::Backend) -> Rig {
    http2(&[backend.address]).start()
}
