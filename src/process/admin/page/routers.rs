//! The virtual routers, a row each.

use std::fmt::{self, Write as _};

use super::html::{Badge, Moment, Text, Tone, joined};
use super::shown::{Piece, Shown};
use crate::ipc::control::RouterStatus;

/// Returns the rows.
pub(super) fn pieces(shown: Shown<'_>) -> Vec<Piece> {
    let routers = shown.status.virtual_routers.iter().enumerate();
    let rows = routers.map(|(index, router)| {
        let id = format!("router-{index}");
        let mut html = String::new();
        // Writing into a text does not fail.
        let _ = write_row(&mut html, &id, router, shown.snapshot.at_ms);
        (id, html)
    });
    rows.collect()
}

/// Writes the table.
pub(super) fn section(out: &mut String, shown: Shown<'_>) -> fmt::Result {
    out.write_str(
        "<section>\n<h2 id=\"routers\">Virtual routers</h2>\n<table class=\"rows\">\n<thead><tr><th \
         scope=\"col\">Name</th><th scope=\"col\">State</th><th scope=\"col\">Since</th><th \
         scope=\"col\">Priority</th><th scope=\"col\">Addresses</th><th \
         scope=\"col\">Active</th><th scope=\"col\">Peers</th></tr></thead>\n<tbody>\n",
    )?;
    for (_, row) in pieces(shown) {
        out.push_str(&row);
        out.push('\n');
    }
    out.write_str("</tbody>\n</table>\n</section>\n")
}

fn write_row(out: &mut String, id: &str, router: &RouterStatus, at_ms: u64) -> fmt::Result {
    let name = router.name.to_string();
    write!(
        out,
        "<tr id=\"{id}\"><th scope=\"row\" data-label=\"Name\">{}<span class=\"small\">{} vrid \
         {}</span></th><td data-label=\"State\">{}</td><td data-label=\"Since\">{}<span \
         class=\"small\">{}</span></td>",
        Text(&name),
        Text(&router.interface),
        router.vrid,
        Badge(Tone::of_state(&router.state), &router.state),
        // Two looks at the same transition say the same.
        Moment((at_ms.saturating_sub(router.since_ms) + 500) / 1000 * 1000),
        Text(&router.cause),
    )?;
    write!(
        out,
        "<td data-label=\"Priority\">{}",
        router.effective_priority
    )?;
    if router.effective_priority != router.base_priority || !router.priority_reason.is_empty() {
        write!(
            out,
            "<span class=\"small\">of {} {}</span>",
            router.base_priority,
            Text(&router.priority_reason)
        )?;
    }
    let here = match router.holds_addresses {
        true => "here",
        false => "not here",
    };
    write!(
        out,
        "</td><td data-label=\"Addresses\">{}<span class=\"small\">{here}</span></td>",
        joined(&router.addresses)
    )?;
    match &router.active {
        Some(active) => write!(
            out,
            "<td data-label=\"Active\">{}<span class=\"small\">priority {}</span></td>",
            active.address, active.priority
        )?,
        None => out.write_str("<td data-label=\"Active\">unknown</td>")?,
    }
    out.write_str("<td data-label=\"Peers\">")?;
    if router.peers.is_empty() {
        out.write_str("none heard")?;
    }
    for peer in &router.peers {
        write!(
            out,
            "<span class=\"peer\">{} priority {}",
            peer.address, peer.priority
        )?;
        // A Backup is silent by its nature.
        if router.state == "Backup" && peer.heard_ms > SILENT_MS {
            write!(
                out,
                " last heard {}",
                Moment(at_ms - at_ms.min(peer.heard_ms))
            )?;
        }
        out.write_str("</span>")?;
    }
    out.write_str("</td></tr>")
}

/// A peer that was heard so long ago is worth a word.
const SILENT_MS: u64 = 5_000;
