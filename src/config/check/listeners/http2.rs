//! The key `http2` of a listener.

use crate::config::Http2Config;
use crate::config::check::values::{flag, number_or};
use crate::config::file::Kind;
use crate::config::reader::Fields;
use crate::config::report::Problems;

/// Returns how a listener speaks HTTP/2.
pub(super) fn check(fields: &Fields<'_>, problems: &mut Problems) -> Option<Http2Config> {
    let default = Http2Config::default();
    let Some(value) = fields.get("http2") else {
        return Some(default);
    };
    if let Kind::Bool(offered) = value.node.kind {
        return Some(Http2Config { offered, ..default });
    }
    let keys = &["prior_knowledge", "streams", "memory_bytes"];
    let fields = value.fields(keys, problems)?;
    let prior_knowledge = flag(&fields, "prior_knowledge", false, problems);
    let streams = number_or(
        &fields,
        "streams",
        default.streams,
        1..=STREAMS_MAX,
        problems,
    );
    let memory_bytes = number_or(
        &fields,
        "memory_bytes",
        default.memory_bytes,
        MEMORY_BYTES_MIN..=u32::MAX,
        problems,
    );
    Some(Http2Config {
        offered: true,
        prior_knowledge: prior_knowledge?,
        streams: streams?,
        memory_bytes: memory_bytes?,
    })
}

/// Streams of a connection at a time.
const STREAMS_MAX: u32 = 10_000;
/// Room for what the connection itself may hold, and for some streams.
const MEMORY_BYTES_MIN: u32 = 512 * 1024;
