//! The listeners: where clients come in, what becomes of them, and their certificates.

use std::fmt::{self, Write as _};

use super::graph::{Graph, Short};
use super::html::{Badge, Text, Tone, joined};
use super::shown::{Piece, Shown};
use crate::ipc::control::{ListenerStatus, RouteStatus};
use crate::process::admin::history::Series;

/// Returns a piece for each listener.
pub(super) fn pieces(shown: Shown<'_>) -> Vec<Piece> {
    let listeners = shown.status.listeners.iter().enumerate();
    let pieces = listeners.map(|(index, listener)| {
        let id = format!("listener-{index}");
        let series = shown.history.of_listener(&listener.name);
        let mut html = String::new();
        // Writing into a text does not fail.
        let _ = write_listener(&mut html, &id, listener, series);
        (id, html)
    });
    pieces.collect()
}

fn write_listener(
    out: &mut String,
    id: &str,
    listener: &ListenerStatus,
    series: Option<&Series>,
) -> fmt::Result {
    write!(
        out,
        "<article id=\"{id}\"><h3>{} <span class=\"small\">{}</span></h3>",
        Text(&listener.name),
        joined(&listener.binds)
    )?;
    write_rates(out, series)?;
    let classes = listener.responses_total.iter();
    let classes = joined(classes.map(|(class, count)| format!("{class} {count}")));
    write!(
        out,
        "<p>Connections open: {}, requests: {}, of these {}</p>",
        listener.connections,
        listener.requests_total,
        Text(&classes)
    )?;
    let away = [
        (
            listener.connections_refused_total,
            "connections turned away, one too many",
        ),
        (
            listener.connections_rate_limited_total,
            "connections turned away, too often",
        ),
        (
            listener.connections_evicted_total,
            "idle connections closed for new ones",
        ),
        (
            listener.requests_rate_limited_total,
            "requests answered 429",
        ),
        (listener.handshakes_failed_total, "handshakes failed"),
        (listener.proxy_headers_failed_total, "PROXY headers missing"),
    ];
    let away: Vec<_> = away.iter().filter(|(count, _)| *count > 0).collect();
    if !away.is_empty() {
        let away = joined(away.iter().map(|(count, what)| format!("{count} {what}")));
        write!(out, "<p>{away}</p>")?;
    }
    write_routes(out, listener)?;
    write_certificates(out, listener)?;
    out.write_str("</article>")
}

/// Writes what is now, and how it was of late.
pub(super) fn write_rates(out: &mut String, series: Option<&Series>) -> fmt::Result {
    let Some((series, now)) = series.and_then(|it| it.now().map(|now| (it, now))) else {
        return out.write_str("<p class=\"rates\">not measured yet</p>");
    };
    let last: Vec<_> = series.points().rev().take(GRAPH_POINTS).collect();
    let last = last.into_iter().rev();
    let requests = Graph {
        values: last.clone().map(|point| point.requests).collect(),
        label: "requests a second",
    };
    let medians = Graph {
        values: last
            .map(|point| point.median_ms.unwrap_or_default())
            .collect(),
        label: "median, milliseconds",
    };
    let per_second = Short(now.requests).to_string();
    write!(
        out,
        "<p class=\"rates\"><span>{requests} {} requests/s</span> ",
        Text(&per_second)
    )?;
    if let Some(median_ms) = now.median_ms {
        let median = Short(median_ms).to_string();
        write!(out, "<span>{medians} {} ms median</span> ", Text(&median))?;
    }
    if now.failed_percent > 0.0 {
        let failed = Short(now.failed_percent).to_string();
        let text = format!("{failed} % failed");
        write!(out, "{}", Badge(Tone::Bad, &text))?;
    }
    out.write_str("</p>")
}

fn write_routes(out: &mut String, listener: &ListenerStatus) -> fmt::Result {
    let own = listener.pool.as_deref().unwrap_or("answered 404");
    if listener.routes.is_empty() {
        return write!(out, "<p>All to {}.</p>", Text(own));
    }
    out.write_str(
        "<table class=\"rows\"><thead><tr><th scope=\"col\">Route</th><th \
         scope=\"col\">Pool</th><th scope=\"col\">Requests</th></tr></thead><tbody>",
    )?;
    for RouteStatus {
        name,
        pool,
        requests_total,
        ..
    } in &listener.routes
    {
        let pool = pool.as_deref().unwrap_or("the proxy itself");
        write!(
            out,
            "<tr><th scope=\"row\" data-label=\"Route\">{}</th><td data-label=\"Pool\">{}</td>\
             <td data-label=\"Requests\">{requests_total}</td></tr>",
            Text(name),
            Text(pool)
        )?;
    }
    write!(out, "</tbody></table><p>All others to {}.</p>", Text(own))
}

fn write_certificates(out: &mut String, listener: &ListenerStatus) -> fmt::Result {
    if listener.certificates.is_empty() {
        return Ok(());
    }
    out.write_str("<ul class=\"certificates\">")?;
    for it in &listener.certificates {
        let (tone, days) = match it.days_left {
            ..0 => (Tone::Bad, "has ended".to_owned()),
            0..WARNED_DAYS => (Tone::Warn, format!("{} days left", it.days_left)),
            WARNED_DAYS.. => (Tone::Good, format!("{} days left", it.days_left)),
        };
        write!(
            out,
            "<li>{} {} <span class=\"small\">{}</span></li>",
            Text(&joined(&it.names)),
            Badge(tone, &days),
            Text(&it.file)
        )?;
    }
    out.write_str("</ul>")
}

const WARNED_DAYS: i64 = crate::config::tls::WARNED_DAYS;
/// Of a graph: a minute of a page that is open.
const GRAPH_POINTS: usize = 60;
