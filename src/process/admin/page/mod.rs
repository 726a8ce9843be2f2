//! The status page: one document with all that is to be seen, without JavaScript too.
//!
//! It is made of pieces with ids; what changes is sent piece by piece (`live`), made by the same
//! code. A text of the daemon's, of a peer's or of a backend's gets into it through `Text` alone.

mod graph;
mod html;
mod listeners;
mod pools;
mod routers;
mod shown;
mod summary;
mod timeline;

use std::fmt::{self, Write as _};

use self::html::Text;
use self::shown::{Piece, Shown};
use super::history::History;
use super::watched::Snapshot;
use crate::ipc::control::Status;

/// Returns the pieces of the page.
pub(super) fn pieces(snapshot: &Snapshot, status: &Status, history: &History) -> Vec<Piece> {
    let shown = Shown {
        snapshot,
        status,
        history,
    };
    let mut pieces = summary::pieces(shown);
    pieces.extend(routers::pieces(shown));
    pieces.extend(timeline::pieces(shown));
    pieces.extend(listeners::pieces(shown));
    pieces.extend(pools::pieces(shown));
    pieces
}

/// Returns the whole page; where something `may_change` it has a form for that.
pub(super) fn document(
    snapshot: &Snapshot,
    status: &Status,
    history: &History,
    may_change: bool,
) -> String {
    let shown = Shown {
        snapshot,
        status,
        history,
    };
    let mut out = String::with_capacity(64 * 1024);
    // Writing into a text does not fail.
    let _ = write_document(&mut out, shown, may_change);
    out
}

fn write_document(out: &mut String, shown: Shown<'_>, may_change: bool) -> fmt::Result {
    let Shown {
        snapshot, status, ..
    } = shown;
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta \
         name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{} · \
         Evenkeel</title>\n<link rel=\"icon\" href=\"/icon.svg\">\n<link rel=\"stylesheet\" \
         href=\"/page.css\">\n<script src=\"/page.js\" defer></script>\n</head>\n<body \
         data-shown=\"{}\">\n<a class=\"skip\" href=\"#main\">To the content</a>\n",
        Text(&status.node),
        snapshot.at_ms,
    )?;
    write!(
        out,
        "<header>\n<h1><img src=\"/icon.svg\" alt=\"\" width=\"28\" height=\"28\"> Evenkeel \
         <span class=\"node\">{}</span></h1>\n<p id=\"live\" role=\"status\">as of {}</p>\n\
         </header>\n<main id=\"main\">\n",
        Text(&status.node),
        html::Moment(snapshot.at_ms),
    )?;
    contents(out, status, may_change)?;
    section(out, "", summary::pieces(shown))?;
    if !status.virtual_routers.is_empty() {
        routers::section(out, shown)?;
        section(out, "", timeline::pieces(shown))?;
    }
    section(out, "Listeners", listeners::pieces(shown))?;
    section(out, "Pools", pools::pieces(shown))?;
    if may_change {
        summary::form(out, status)?;
    }
    out.write_str(
        "</main>\n<footer><p>Also as <a href=\"/api/status\">JSON</a>, <a \
         href=\"/api/events\">events</a> and <a href=\"/metrics\">metrics</a>.</p></footer>\n\
         </body>\n</html>\n",
    )
}

/// Writes what there is further down: with many virtual routers the rest is far from them.
fn contents(out: &mut String, status: &Status, may_change: bool) -> fmt::Result {
    let has_routers = !status.virtual_routers.is_empty();
    let all = [
        (has_routers, "routers", "Virtual routers"),
        (has_routers, "events", "Transitions"),
        (!status.listeners.is_empty(), "listeners", "Listeners"),
        (!status.pools.is_empty(), "pools", "Pools"),
        (may_change, "change", "Change"),
    ];
    out.write_str("<nav class=\"contents\" aria-label=\"On this page\">")?;
    for (_, id, text) in all.iter().filter(|(is_there, ..)| *is_there) {
        write!(out, "<a href=\"#{id}\">{text}</a> ")?;
    }
    out.write_str("</nav>\n")
}

/// Writes pieces one after the other, under a heading, a word of ours, where they have one.
fn section(out: &mut String, heading: &str, pieces: Vec<Piece>) -> fmt::Result {
    if pieces.is_empty() {
        return Ok(());
    }
    match heading {
        "" => out.write_str("<section>\n")?,
        heading => {
            let id = heading.to_ascii_lowercase();
            write!(out, "<section>\n<h2 id=\"{id}\">{heading}</h2>\n")?;
        }
    }
    for (_, html) in pieces {
        out.push_str(&html);
        out.push('\n');
    }
    out.write_str("</section>\n")
}

/// What the page is made of beside its text; no build step makes it.
pub(super) const STYLE: &str = include_str!("page.css");
pub(super) const SCRIPT: &str = include_str!("page.js");
pub(super) const ICON: &str = include_str!("icon.svg");

#[cfg(test)]
pub(in crate::process::admin) mod tests;
