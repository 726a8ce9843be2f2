//! Metrics of listeners, routes, pools and backends.

use std::fmt;

use super::families::Families;
use crate::ipc::control::{BackendStatus, ListenerStatus, PoolStatus, Status};

/// Writes them.
pub(super) fn write(status: &Status, families: &mut Families<'_>) -> fmt::Result {
    listeners(&status.listeners, families)?;
    certificates(&status.listeners, families)?;
    routes(&status.listeners, families)?;
    pools(&status.pools, families)?;
    backends(&status.pools, families)?;
    let log = || status.access_log.iter();
    families.counter(
        "evenkeel_access_log_lines",
        "Lines of the access log that were written.",
        log().map(|it| ([], it.lines_written_total)),
    )?;
    families.counter(
        "evenkeel_access_log_dropped_lines",
        "Lines of the access log that were dropped: it could not be written fast enough.",
        log().map(|it| ([], it.lines_dropped_total)),
    )
}

fn listeners(listeners: &[ListenerStatus], families: &mut Families<'_>) -> fmt::Result {
    let of = |value: fn(&ListenerStatus) -> u64| {
        let all = listeners.iter();
        all.map(move |it| ([("listener", &*it.name)], value(it)))
    };
    families.gauge(
        "evenkeel_listener_connections",
        "Client connections that are open.",
        of(|it| it.connections),
    )?;
    families.counter(
        "evenkeel_listener_requests",
        "Requests that were answered; of a listener of TCP, connections.",
        of(|it| it.requests_total),
    )?;
    let classes = |it: &'_ ListenerStatus| -> Vec<(String, u64)> {
        let classes = it.responses_total.iter();
        classes
            .map(|(class, count)| (class.clone(), *count))
            .collect()
    };
    let answers: Vec<_> = listeners
        .iter()
        .map(|it| (&*it.name, classes(it)))
        .collect();
    families.counter(
        "evenkeel_listener_responses",
        "Answers, by class of status.",
        answers.iter().flat_map(|(listener, classes)| {
            let classes = classes.iter();
            classes.map(|(class, count)| {
                ([("listener", *listener), ("class", class.as_str())], *count)
            })
        }),
    )?;
    away(listeners, families)?;
    families.counter(
        "evenkeel_listener_evicted_connections",
        "Idle connections that were closed so that new ones could come.",
        of(|it| it.connections_evicted_total),
    )?;
    families.counter(
        "evenkeel_listener_rate_limited_requests",
        "Requests that were answered 429: they came too often.",
        of(|it| it.requests_rate_limited_total),
    )?;
    families.counter(
        "evenkeel_listener_failed_proxy_headers",
        "Connections that had to begin with a PROXY header and did not.",
        of(|it| it.proxy_headers_failed_total),
    )
}

fn away(listeners: &[ListenerStatus], families: &mut Families<'_>) -> fmt::Result {
    families.counter(
        "evenkeel_listener_turned_away_connections",
        "Connections that were not served, by reason: one too many of all or of a client (limit), \
         or too often (rate).",
        listeners.iter().flat_map(|it| {
            [
                ("limit", it.connections_refused_total),
                ("rate", it.connections_rate_limited_total),
            ]
            .map(|(reason, count)| ([("listener", &*it.name), ("reason", reason)], count))
        }),
    )?;
    families.counter(
        "evenkeel_listener_handshakes",
        "Handshakes of TLS, by how they ended.",
        listeners.iter().flat_map(|it| {
            [
                ("done", it.handshakes_total),
                ("failed", it.handshakes_failed_total),
            ]
            .map(|(result, count)| ([("listener", &*it.name), ("result", result)], count))
        }),
    )
}

fn certificates(listeners: &[ListenerStatus], families: &mut Families<'_>) -> fmt::Result {
    families.gauge(
        "evenkeel_certificate_not_after_timestamp_seconds",
        "Until when a certificate holds.",
        listeners.iter().flat_map(|listener| {
            listener.certificates.iter().map(|it| {
                let name = it.names.first().map_or("", String::as_str);
                let labels = [
                    ("listener", &*listener.name),
                    ("file", &*it.file),
                    ("name", name),
                ];
                (labels, u64::try_from(it.not_after_s).unwrap_or(0))
            })
        }),
    )
}

fn routes(listeners: &[ListenerStatus], families: &mut Families<'_>) -> fmt::Result {
    families.counter(
        "evenkeel_route_requests",
        "Requests that have taken a route.",
        listeners.iter().flat_map(|listener| {
            let routes = listener.routes.iter();
            routes.map(|it| {
                let labels = [("listener", &*listener.name), ("route", &*it.name)];
                (labels, it.requests_total)
            })
        }),
    )?;
    families.times(
        "evenkeel_request_duration_seconds",
        "How long requests took, from the first byte to the last of the answer; with an empty \
         route those that no route was for.",
        listeners.iter().flat_map(|listener| {
            let routes = listener.routes.iter().map(|it| (&*it.name, &it.times));
            std::iter::once(("", &listener.times))
                .chain(routes)
                .map(|(route, times)| ([("listener", &*listener.name), ("route", route)], times))
        }),
    )
}

fn pools(pools: &[PoolStatus], families: &mut Families<'_>) -> fmt::Result {
    let of = |value: fn(&PoolStatus) -> u64| {
        let all = pools.iter();
        all.map(move |it| ([("pool", &*it.name)], value(it)))
    };
    let count = |len: usize| u64::try_from(len).unwrap_or(u64::MAX);
    families.gauge(
        "evenkeel_pool_backends",
        "Backends of a pool, by state.",
        pools.iter().flat_map(|pool| {
            ["up", "down", "unprobed", "ejected"].map(|state| {
                let those = pool.backends.iter().filter(|it| it.state == state);
                (
                    [("pool", &*pool.name), ("state", state)],
                    count(those.count()),
                )
            })
        }),
    )?;
    families.gauge(
        "evenkeel_pool_queued_requests",
        "Requests that wait for a backend that has room.",
        of(|it| it.queued_requests),
    )?;
    families.counter(
        "evenkeel_pool_queued",
        "Times that a request had to wait.",
        of(|it| it.queued_total),
    )?;
    families.counter(
        "evenkeel_pool_queue_timeouts",
        "Times that a request waited in vain.",
        of(|it| it.queue_timeouts_total),
    )?;
    families.counter(
        "evenkeel_pool_retries",
        "Requests that were tried again on another backend.",
        of(|it| it.retries_total),
    )?;
    families.gauge(
        "evenkeel_pool_buffered_requests",
        "Requests whose bodies are kept until a backend has them.",
        of(|it| it.buffered_requests),
    )?;
    families.gauge(
        "evenkeel_pool_buffered_disk_bytes",
        "What these bodies take on the disk.",
        of(|it| it.buffered_disk_bytes),
    )?;
    families.counter(
        "evenkeel_pool_unbuffered_requests",
        "Requests for whose bodies there was no room.",
        of(|it| it.unbuffered_total),
    )?;
    families.times(
        "evenkeel_pool_response_seconds",
        "How long backends took from the connection to the head of the response.",
        pools
            .iter()
            .map(|it| ([("pool", &*it.name)], &it.response_times)),
    )
}

fn backends(pools: &[PoolStatus], families: &mut Families<'_>) -> fmt::Result {
    let of = |value: fn(&BackendStatus) -> u64| {
        pools.iter().flat_map(move |pool| {
            let backends = pool.backends.iter();
            backends.map(move |it| {
                let labels = [("pool", &*pool.name), ("backend", &*it.name)];
                (labels, value(it))
            })
        })
    };
    families.gauge(
        "evenkeel_backend_up",
        "Whether a backend gets requests, as far as it is known to answer.",
        of(|it| u64::from(it.state == "up" && it.mode == Default::default())),
    )?;
    families.gauge(
        "evenkeel_backend_active_requests",
        "Requests in flight.",
        of(|it| it.active_requests),
    )?;
    families.counter(
        "evenkeel_backend_requests",
        "Requests that were sent to a backend.",
        of(|it| it.requests_total),
    )?;
    families.counter(
        "evenkeel_backend_failures",
        "Attempts that failed.",
        of(|it| it.failures_total),
    )?;
    families.counter(
        "evenkeel_backend_unsolicited",
        "Times that a backend sent what nobody had asked for.",
        of(|it| it.unsolicited_total),
    )
}
