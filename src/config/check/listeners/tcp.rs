//! The key `mode` of a listener, and what has no meaning where bytes are carried.

use crate::config::Mode;
use crate::config::check::values::one_of;
use crate::config::reader::{Fields, Value};
use crate::config::report::Problems;

/// Returns what a listener carries; complains about what is of the other mode.
pub(super) fn check(fields: &Fields<'_>, problems: &mut Problems) -> Option<Mode> {
    let mode = match fields.get("mode") {
        None => Mode::default(),
        Some(value) => {
            let modes = [("http", Mode::Http), ("tcp", Mode::Tcp)];
            let help = "write `http` or `tcp`";
            one_of(value, "`http` or `tcp`", &modes, help, problems)?
        }
    };
    if mode == Mode::Tcp {
        for value in OF_HTTP.iter().filter_map(|key| fields.get(key)) {
            wrong(value, problems);
        }
        for (map, keys) in PARTS_OF_HTTP {
            if let Some(map) = fields.get(map) {
                let values = keys.iter().filter_map(|key| map.entry(key));
                values.for_each(|value| wrong(value, problems));
            }
        }
    }
    Some(mode)
}

/// Complains about what is of the other mode in a route.
pub(super) fn check_route(fields: &Fields<'_>, mode: Mode, problems: &mut Problems) {
    match mode {
        Mode::Http => {
            if let Some(value) = fields.get("sni") {
                let message = "`sni` is looked at where TCP is carried";
                let help = "write `host: NAME`, or `mode: tcp` for the listener";
                problems.add_with_help(value.key, message, help);
            }
        }
        Mode::Tcp => {
            let values = ROUTES_OF_HTTP.iter().filter_map(|key| fields.get(key));
            values.for_each(|value| wrong(value, problems));
            if let Some(timeouts) = fields.get("timeouts") {
                let keys = ["request_body", "idle", "response_head"];
                let values = keys.iter().filter_map(|key| timeouts.entry(key));
                values.for_each(|value| wrong(value, problems));
            }
        }
    }
}

fn wrong(value: Value<'_>, problems: &mut Problems) {
    let message = format!("`{}` is of HTTP, and this listener carries TCP", value.name);
    let help = match value.name {
        "host" => "write `sni: NAME`: the name that the client of TLS asks for",
        "idle" | "keep_alive" => "take it out; `tunnel` bounds silence here",
        _ => "take it out, or `mode: tcp`",
    };
    problems.add_with_help(value.key, message, help);
}

/// Of a listener.
const OF_HTTP: &[&str] = &[
    "https_redirect",
    "http2",
    "request_headers",
    "response_headers",
    "upgrades",
    "trace",
    "trusted_proxies",
    "proxy_fields",
    "forwarded",
    "via",
    "request_id",
    "error_pages",
];

/// Of maps of a listener.
const PARTS_OF_HTTP: &[(&str, &[&str])] = &[
    (
        "timeouts",
        &["keep_alive", "request_body", "idle", "linger"],
    ),
    (
        "limits",
        &[
            "head_bytes",
            "fields",
            "target_bytes",
            "body_bytes",
            "body_rate",
            "requests",
            "requests_per_client",
        ],
    ),
    ("maintenance", &["page", "retry_after"]),
];

/// Of a route.
const ROUTES_OF_HTTP: &[&str] = &[
    "host",
    "path",
    "method",
    "header",
    "query",
    "redirect",
    "respond",
    "rewrite",
    "request_headers",
    "response_headers",
    "limits",
];
