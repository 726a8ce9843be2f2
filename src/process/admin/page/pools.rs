//! The pools, with their backends.

use std::fmt::{self, Write as _};

use super::html::{Badge, Text, Tone};
use super::listeners::write_rates;
use super::shown::{Piece, Shown};
use crate::config::BackendMode;
use crate::ipc::control::{BackendStatus, PoolStatus};
use crate::process::admin::history::Series;

/// Returns a piece for each pool.
pub(super) fn pieces(shown: Shown<'_>) -> Vec<Piece> {
    let pools = shown.status.pools.iter().enumerate();
    let pieces = pools.map(|(index, pool)| {
        let id = format!("pool-{index}");
        let series = shown.history.of_pool(&pool.name);
        let mut html = String::new();
        // Writing into a text does not fail.
        let _ = write_pool(&mut html, &id, pool, series);
        (id, html)
    });
    pieces.collect()
}

fn write_pool(
    out: &mut String,
    id: &str,
    pool: &PoolStatus,
    series: Option<&Series>,
) -> fmt::Result {
    let up = pool
        .backends
        .iter()
        .filter(|it| tone(it) == Tone::Good)
        .count();
    let of = format!("{up} of {} up", pool.backends.len());
    let well = match up {
        0 => Tone::Bad,
        up if up < pool.backends.len() => Tone::Warn,
        _ => Tone::Good,
    };
    write!(
        out,
        "<article id=\"{id}\"><h3>{} {}</h3>",
        Text(&pool.name),
        Badge(well, &of)
    )?;
    write_rates(out, series)?;
    let counts = [
        (pool.queued_requests, "wait for a backend"),
        (pool.queue_timeouts_total, "have waited in vain"),
        (pool.retries_total, "were tried again"),
        (pool.buffered_requests, "bodies kept"),
        (pool.unbuffered_total, "bodies had no room"),
    ];
    for (count, what) in counts.iter().filter(|(count, _)| *count > 0) {
        write!(out, "<p>{count} {what}</p>")?;
    }
    out.write_str(
        "<table class=\"rows\"><thead><tr><th scope=\"col\">Backend</th><th \
         scope=\"col\">State</th><th scope=\"col\">Check</th><th scope=\"col\">In \
         flight</th><th scope=\"col\">Requests</th><th scope=\"col\">Failures</th></tr></thead>\
         <tbody>",
    )?;
    for backend in &pool.backends {
        write_backend(out, backend)?;
    }
    out.write_str("</tbody></table></article>")
}

fn write_backend(out: &mut String, backend: &BackendStatus) -> fmt::Result {
    write!(
        out,
        "<tr><th scope=\"row\" data-label=\"Backend\">{}<span class=\"small\">{}</span></th><td \
         data-label=\"State\">{}",
        Text(&backend.name),
        backend.address,
        Badge(tone(backend), state(backend)),
    )?;
    if backend.backup {
        out.write_str(" <span class=\"small\">backup</span>")?;
    }
    if let Some(percent) = backend.slow_start {
        write!(
            out,
            " <span class=\"small\">{percent} % of its weight</span>"
        )?;
    }
    write!(
        out,
        "</td><td data-label=\"Check\">{}</td><td data-label=\"In flight\">{}",
        Text(&backend.check),
        backend.active_requests
    )?;
    if let Some(most) = backend.requests_max {
        write!(out, " of {most}")?;
    }
    write!(
        out,
        "</td><td data-label=\"Requests\">{}</td><td data-label=\"Failures\">{}</td></tr>",
        backend.requests_total, backend.failures_total
    )
}

fn state(backend: &BackendStatus) -> &str {
    match backend.mode {
        BackendMode::Up => &backend.state,
        BackendMode::Drained => "drained",
        BackendMode::Maintained => "maintained",
    }
}

fn tone(backend: &BackendStatus) -> Tone {
    match (backend.mode, backend.state.as_str()) {
        (BackendMode::Drained | BackendMode::Maintained, _) => Tone::Calm,
        (BackendMode::Up, "up") => Tone::Good,
        (BackendMode::Up, "unprobed") => Tone::Warn,
        (BackendMode::Up, _) => Tone::Bad,
    }
}
