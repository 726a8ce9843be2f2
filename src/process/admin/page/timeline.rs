//! The transitions of the virtual routers: as a line of states over time, and in words.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use super::html::{Badge, Moment, Text, Tone};
use super::shown::{Piece, Shown};
use crate::ipc::control::Event;

/// Returns the piece with the lines, and that with the words.
pub(super) fn pieces(shown: Shown<'_>) -> Vec<Piece> {
    if shown.status.virtual_routers.is_empty() {
        return Vec::new();
    }
    let (mut lines, mut words) = (String::new(), String::new());
    // Writing into a text does not fail.
    let _ = write_lines(&mut lines, shown);
    let _ = write_words(&mut words, &shown.snapshot.events);
    vec![("timeline".into(), lines), ("events".into(), words)]
}

/// One state of a virtual router, from one moment to another.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Span {
    state: String,
    from_ms: u64,
    to_ms: u64,
}

/// Returns the states of a virtual router from a moment to now, of its transitions in order; what
/// was before the daemon began is not known, and no state.
fn spans(events: &[&Event], state: &str, from_ms: u64, now_ms: u64) -> Vec<Span> {
    let mut spans = Vec::new();
    let first = events.first().map_or(state, |event| event.from.as_str());
    let mut span = Span {
        state: first.to_owned(),
        from_ms,
        to_ms: now_ms,
    };
    for (index, event) in events.iter().enumerate() {
        let at_ms = event.at_ms.clamp(from_ms, now_ms);
        if index == 0 && event.cause == STARTUP {
            span.from_ms = at_ms;
        }
        span.to_ms = at_ms;
        let next = Span {
            state: event.to.clone(),
            from_ms: at_ms,
            to_ms: now_ms,
        };
        let before = std::mem::replace(&mut span, next);
        if before.to_ms > before.from_ms {
            spans.push(before);
        }
    }
    spans.push(span);
    spans
}

fn write_lines(out: &mut String, shown: Shown<'_>) -> fmt::Result {
    let Shown {
        snapshot, status, ..
    } = shown;
    // The picture moves on every ten seconds, not with every look.
    let now_ms = (snapshot.at_ms / STEP_MS + 1) * STEP_MS;
    let from_ms = now_ms.saturating_sub(SHOWN_MS);
    let mut events: BTreeMap<String, Vec<&Event>> = BTreeMap::new();
    for event in snapshot
        .events
        .iter()
        .filter(|event| event.at_ms >= from_ms)
    {
        events
            .entry(event.router.to_string())
            .or_default()
            .push(event);
    }
    out.write_str(
        "<div id=\"timeline\"><h2>The last hour</h2>\n<table class=\"timeline\">\n<thead><tr><th \
         scope=\"col\">Name</th><th scope=\"col\">States, up to now</th></tr></thead><tbody>",
    )?;
    let routers = status.virtual_routers.iter();
    let all = routers.map(|router| (router.name.to_string(), router.state.as_str()));
    let (moved, still): (Vec<_>, Vec<_>) = all.partition(|(name, _)| events.contains_key(name));
    let shown = moved.iter().chain(&still).take(LINES_MAX);
    for (name, state) in shown {
        let own = events.get(name).map_or(&[][..], Vec::as_slice);
        let spans = spans(own, state, from_ms, now_ms);
        write!(out, "<tr><th scope=\"row\">{}</th><td>", Text(name))?;
        write_line(out, &spans, from_ms)?;
        out.write_str("</td></tr>")?;
    }
    out.write_str("</tbody></table>")?;
    let hidden = status.virtual_routers.len().saturating_sub(LINES_MAX);
    if hidden > 0 {
        write!(
            out,
            "<p>{hidden} more are not shown; what has changed comes first.</p>"
        )?;
    }
    out.write_str("</div>")
}

fn write_line(out: &mut String, spans: &[Span], from_ms: u64) -> fmt::Result {
    let names = spans.iter().map(|span| span.state.as_str());
    let label = names.collect::<Vec<_>>().join(", then ");
    write!(
        out,
        "<svg class=\"states\" role=\"img\" aria-label=\"{}\" viewBox=\"0 0 3600 10\" \
         preserveAspectRatio=\"none\">",
        Text(&label)
    )?;
    for span in spans {
        let x = (span.from_ms - from_ms) as f64 / 1000.0;
        // What was short is seen too.
        let width = ((span.to_ms - span.from_ms) as f64 / 1000.0).max(8.0);
        let class = Tone::of_state(&span.state).class();
        write!(
            out,
            "<rect class=\"{class}\" x=\"{x:.0}\" y=\"0\" width=\"{width:.0}\" height=\"10\"/>"
        )?;
    }
    out.write_str("</svg>")
}

fn write_words(out: &mut String, events: &[Event]) -> fmt::Result {
    out.write_str("<div id=\"events\"><h2>Transitions</h2>")?;
    if events.is_empty() {
        return out.write_str("<p>none yet</p></div>");
    }
    out.write_str("<ol class=\"events\" reversed>")?;
    for event in events.iter().rev().take(WORDS_MAX) {
        let router = event.router.to_string();
        write!(
            out,
            "<li>{} <b>{}</b> {} → {} <span class=\"small\">{}</span></li>",
            Moment(event.at_ms),
            Text(&router),
            Badge(Tone::of_state(&event.from), &event.from),
            Badge(Tone::of_state(&event.to), &event.to),
            Text(&event.cause),
        )?;
    }
    out.write_str("</ol></div>")
}

/// The cause of the first transition after a start.
const STARTUP: &str = "startup";
const SHOWN_MS: u64 = 3_600_000;
const STEP_MS: u64 = 10_000;
/// Lines of virtual routers, those first that have changed.
const LINES_MAX: usize = 20;
/// Transitions in words.
const WORDS_MAX: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Family, RouterName};

    fn event(at_ms: u64, from: &str, to: &str) -> Event {
        Event {
            epoch: at_ms,
            at_ms,
            router: RouterName {
                entry: "web".into(),
                family: Family::Ipv4,
            },
            from: from.into(),
            to: to.into(),
            cause: "told".into(),
        }
    }

    #[test]
    fn states_follow_each_other_without_a_gap() {
        let events = [
            event(50, "Backup", "Active"),
            event(50, "Active", "Backup"),
            event(80, "Backup", "Active"),
        ];
        let events: Vec<&Event> = events.iter().collect();
        let span = |state: &str, from_ms, to_ms| Span {
            state: state.into(),
            from_ms,
            to_ms,
        };
        assert_eq!(
            spans(&events, "Active", 10, 100),
            [
                span("Backup", 10, 50),
                span("Backup", 50, 80),
                span("Active", 80, 100)
            ]
        );
        assert_eq!(spans(&[], "Backup", 10, 100), [span("Backup", 10, 100)]);
    }

    #[test]
    fn what_was_before_the_start_is_not_shown() {
        let mut start = event(50, "Initialize", "Backup");
        start.cause = STARTUP.into();
        let shown = spans(&[&start], "Backup", 10, 100);
        let states: Vec<_> = shown.iter().map(|it| (it.from_ms, it.to_ms)).collect();
        assert_eq!(states, [(50, 100)], "{shown:?}");
    }
}
