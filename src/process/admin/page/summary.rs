//! How the node is on the whole, and the form with which something is changed.

use std::fmt::{self, Write as _};

use super::html::{Badge, Moment, Text, Tone};
use super::shown::{Piece, Shown};
use crate::ipc::control::{ConfigurationStatus, Status};

/// Returns its pieces: what is wrong, and the facts.
pub(super) fn pieces(shown: Shown<'_>) -> Vec<Piece> {
    let status = shown.status;
    let mut warnings = String::new();
    let mut facts = String::new();
    // Writing into a text does not fail.
    let _ = write_warnings(&mut warnings, status);
    let _ = write_facts(&mut facts, status);
    vec![("warnings".into(), warnings), ("facts".into(), facts)]
}

fn write_warnings(out: &mut String, status: &Status) -> fmt::Result {
    let of_routers = status.virtual_routers.iter().flat_map(|router| {
        let notes = router.notes.iter();
        notes.map(|note| format!("{}: {note}", router.name))
    });
    let failed = status.configuration.last_failure.as_ref();
    let failed = failed.map(|it| format!("the last change failed: {}", it.text));
    let differs = (status.configuration.file_differs == Some(true))
        .then(|| "the configuration file differs from what runs: `evenkeel reload`".to_owned());
    let warnings = status.warnings.iter().cloned();
    let all: Vec<String> = warnings
        .chain(failed)
        .chain(differs)
        .chain(of_routers)
        .collect();
    if all.is_empty() {
        let all_well = Badge(Tone::Good, "nothing is wrong");
        return write!(out, "<div id=\"warnings\"><p>{all_well}</p></div>");
    }
    out.write_str("<div id=\"warnings\"><ul class=\"warnings\">")?;
    for warning in all {
        write!(out, "<li>{}</li>", Text(&warning))?;
    }
    out.write_str("</ul></div>")
}

fn write_facts(out: &mut String, status: &Status) -> fmt::Result {
    let ConfigurationStatus {
        file,
        generation,
        since_ms,
        checksum,
        ..
    } = &status.configuration;
    write!(
        out,
        "<dl id=\"facts\" class=\"facts\"><div><dt>Version</dt><dd>{}</dd></div>\
         <div><dt>Configuration</dt><dd>number {generation} since {}<br>{}<br>checksum \
         <code>{}</code></dd></div><div><dt>Processes</dt><dd><ul>",
        Text(&status.version),
        Moment(*since_ms),
        Text(file),
        Text(checksum),
    )?;
    for process in &status.processes {
        let state = match process.pid {
            Some(pid) => format!("pid {pid}"),
            None => "does not run".to_owned(),
        };
        let tone = if process.pid.is_some() {
            Tone::Good
        } else {
            Tone::Bad
        };
        write!(out, "<li>{} {}", Text(&process.name), Badge(tone, &state))?;
        if process.restarts > 0 {
            write!(out, " restarted {} times", process.restarts)?;
        }
        out.write_str("</li>")?;
    }
    out.write_str("</ul></dd></div><div><dt>Changed by command</dt><dd>")?;
    if status.overrides.is_empty() {
        out.write_str("nothing")?;
    } else {
        out.write_str("<ul>")?;
        for it in &status.overrides {
            let (subject, change) = (Text(&it.subject), Text(&it.change));
            write!(out, "<li>{subject}: {change}, {}</li>", Moment(it.at_ms))?;
        }
        out.write_str("</ul>")?;
    }
    out.write_str("</dd></div>")?;
    if let Some(log) = &status.access_log {
        write!(
            out,
            "<div><dt>Access log</dt><dd>{}, {} lines dropped{}{}</dd></div>",
            Text(&log.to),
            log.lines_dropped_total,
            if log.error.is_empty() { "" } else { ": " },
            Text(&log.error),
        )?;
    }
    out.write_str("</dl>")
}

/// Writes the form with which something is changed.
pub(super) fn form(out: &mut String, status: &Status) -> fmt::Result {
    out.write_str(
        "<section>\n<h2 id=\"change\">Change</h2>\n<form method=\"post\" action=\"/change\" \
         aria-labelledby=\"change\">\n<p><label>What <select name=\"subject\" required>\n",
    )?;
    for pool in &status.pools {
        for backend in &pool.backends {
            let (pool, backend) = (Text(&pool.name), Text(&backend.name));
            writeln!(out, "<option>backend {pool} {backend}</option>")?;
        }
    }
    for listener in &status.listeners {
        writeln!(out, "<option>listener {}</option>", Text(&listener.name))?;
    }
    let mut entries: Vec<&str> = status
        .virtual_routers
        .iter()
        .map(|router| router.name.entry.as_str())
        .collect();
    entries.dedup();
    for entry in entries {
        writeln!(out, "<option>router {}</option>", Text(entry))?;
    }
    out.write_str(
        "</select></label></p>\n<p><label>to <input name=\"change\" list=\"changes\" required \
         autocomplete=\"off\" aria-describedby=\"hint\"></label></p>\n<datalist \
         id=\"changes\"><option>drain</option><option>maintain</option><option>up</option>\
         <option>reset</option><option>on</option><option>off</option></datalist>\n<p \
         id=\"hint\">A backend: drain, maintain, up or reset. A listener: on or off \
         (maintenance). A router: a priority from 1 to 254, or reset.</p>\n<p><label>Token <input \
         type=\"password\" name=\"token\" required autocomplete=\"current-password\"></label></p>\
         \n<p><button>Change</button></p>\n</form>\n</section>\n",
    )
}
