//! Connections that are not served.

use crate::config::Mode;
use crate::logic::http1::head::{Persistence, Version};
use crate::logic::http1::response::AskedMethod;
use crate::process::proxy::context::WorkerContext;
use crate::process::proxy::downstream::clients::Exceeded;
use crate::process::proxy::downstream::local::WorkerListener;
use crate::process::proxy::io::stream::Stream;
use crate::process::proxy::request::answer::{TOO_MANY_CONNECTIONS, connection_rate_limited};

/// Turns away one that is one too many.
pub(in crate::process::proxy) fn turn_away(listener: &WorkerListener, stream: &mut Stream) {
    listener.counters.refused.count();
    if speaks_http(listener) {
        // Where it does not fit, closing says enough.
        stream.try_write(TOO_MANY_CONNECTIONS);
    }
}

/// Returns whether a client can be told something before it has asked.
fn speaks_http(listener: &WorkerListener) -> bool {
    listener.tls.is_none() && listener.mode == Mode::Http
}

/// Turns away one whose client's come too often.
pub(in crate::process::proxy) fn turn_away_for_now(
    context: &WorkerContext,
    listener: &WorkerListener,
    stream: &mut Stream,
    exceeded: Exceeded,
) {
    listener.counters.connections_rate_limited.count();
    if !speaks_http(listener) {
        return;
    }
    let reply = connection_rate_limited(exceeded);
    let mut text = Vec::new();
    let date = context.date.get();
    reply.write_head(Version::Http11, Persistence::Close, &date, &mut text);
    reply.write_body(AskedMethod::Other, &mut text);
    // Where it does not fit, closing says enough.
    stream.try_write(&text);
}
