//! What `evenkeel top` shows: two answers of the daemon and the size of the terminal in, lines out.
//!
//! Pure. A rate is the difference of two counters over the time between the answers; it is `-`
//! where there is no second answer, or the counter began anew. What has no room is left out and
//! counted.

use std::time::Duration;

use crate::cli::status::ago;
use crate::ipc::control::{BackendStatus, ListenerStatus, PoolStatus, RouterStatus, Status};

/// An answer, and when it came.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) status: Status,
    /// Since any moment that all samples have in common.
    pub(super) at: Duration,
}

/// The size of the terminal in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) columns: usize,
    pub(super) rows: usize,
}

/// How a line looks on a terminal with colors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    Plain,
    /// The first line of the screen, and of a table.
    Heading,
    /// What is not as it should be.
    Bad,
}

/// A line, no wider than the terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) look: Look,
    pub(super) text: String,
}

/// Returns the screen: no more lines than it has rows.
///
/// `trouble` is why there is no newer answer.
pub(super) fn view(
    before: Option<&Sample>,
    now: &Sample,
    trouble: Option<&str>,
    size: Size,
) -> Vec<Line> {
    let rates = Rates::between(before, now);
    let status = &now.status;
    let mut lines = vec![Line::new(Look::Heading, &title(status))];
    if let Some(trouble) = trouble {
        let text = format!("no answer: {}", trouble.lines().next().unwrap_or_default());
        lines.push(Line::new(Look::Bad, &text));
    }
    let warnings = status.warnings.iter();
    let warnings = warnings.map(|warning| Line::new(Look::Bad, &format!("warning: {warning}")));
    lines.extend(cut(warnings.collect(), WARNINGS_MAX));
    let is_wide = size.columns >= WIDE_COLUMNS;
    let tables = [
        routers(&status.virtual_routers, &rates, is_wide),
        listeners(&status.listeners, &rates, is_wide),
        backends(&status.pools, &rates, is_wide),
    ];
    let tables: Vec<Vec<Line>> = tables.into_iter().filter(|table| table.len() > 1).collect();
    let mut room = size.rows.saturating_sub(lines.len());
    for (index, table) in tables.iter().enumerate() {
        // An empty line before each; each that follows has its share.
        let share = room / (tables.len() - index);
        let wanted: usize = tables[index + 1..]
            .iter()
            .map(|table| table.len() + 1)
            .sum();
        let most = room.saturating_sub(wanted).max(share).saturating_sub(1);
        if most < 2 {
            break;
        }
        let shown = cut(table.clone(), most);
        room -= shown.len() + 1;
        lines.push(Line::new(Look::Plain, ""));
        lines.extend(shown);
    }
    lines.truncate(size.rows);
    for line in &mut lines {
        line.fit(size.columns);
    }
    lines
}

impl Line {
    fn new(look: Look, text: &str) -> Self {
        Self {
            look,
            text: text.to_owned(),
        }
    }

    /// Cuts it, and takes out what a terminal would obey.
    fn fit(&mut self, columns: usize) {
        let shown = self.text.chars().filter(|c| !c.is_control());
        self.text = shown
            .take(columns)
            .collect::<String>()
            .trim_end()
            .to_owned();
    }
}

/// Leaves out lines at the end, and says how many.
fn cut(mut lines: Vec<Line>, most: usize) -> Vec<Line> {
    if lines.len() > most {
        let left_out = lines.split_off(most.saturating_sub(1));
        let bad = left_out.iter().filter(|line| line.look == Look::Bad);
        let (bad, all) = (bad.count(), left_out.len());
        lines.push(match bad {
            0 => Line::new(Look::Plain, &format!("... {all} more")),
            _ => Line::new(
                Look::Bad,
                &format!("... {all} more, {bad} of them not well"),
            ),
        });
    }
    lines
}

fn title(status: &Status) -> String {
    let restarts: u64 = status
        .processes
        .iter()
        .map(|process| process.restarts)
        .sum();
    let by_command = match status.overrides.len() {
        0 => String::new(),
        changes => format!(", {changes} changes by command"),
    };
    format!(
        "node {}, evenkeel {}, generation {}, restarts {restarts}{by_command}   (q quits)",
        status.node, status.version, status.configuration.generation
    )
}

fn routers(routers: &[RouterStatus], rates: &Rates<'_>, is_wide: bool) -> Vec<Line> {
    let mut table = Table::new(
        &[
            "VIRTUAL ROUTER",
            "STATE",
            "SINCE",
            "PRIORITY",
            ">SENT/S",
            ">HEARD/S",
            "ADDRESSES",
        ],
        &[">REJECTED/S", "ON", "CAUSE"],
        is_wide,
    );
    for router in routers {
        let rate = |count: fn(&RouterStatus) -> u64| rates.of_router(router, count);
        let priority = match router.base_priority == router.effective_priority {
            true => router.base_priority.to_string(),
            false => format!("{} of {}", router.effective_priority, router.base_priority),
        };
        let addresses: Vec<String> = router.addresses.iter().map(ToString::to_string).collect();
        let here = match router.holds_addresses {
            true => "here",
            false => "not here",
        };
        let is_well = router.state != "Initialize" && router.notes.is_empty();
        table.row(
            is_well,
            vec![
                router.name.to_string(),
                router.state.clone(),
                ago(router.since_ms),
                priority,
                rate(|router| counted(router, "advertisements_sent")),
                rate(|router| counted(router, "advertisements_received")),
                here.to_owned(),
                rate(|router| router.rejected.values().sum()),
                addresses.join(" "),
                router.cause.clone(),
            ],
        );
    }
    table.lines()
}

fn counted(router: &RouterStatus, name: &str) -> u64 {
    router.counters.get(name).copied().unwrap_or_default()
}

fn listeners(listeners: &[ListenerStatus], rates: &Rates<'_>, is_wide: bool) -> Vec<Line> {
    let mut table = Table::new(
        &[
            "LISTENER",
            ">CONNECTIONS",
            ">REQUESTS/S",
            ">2XX/S",
            ">4XX/S",
            ">5XX/S",
            ">TURNED AWAY/S",
        ],
        &[">3XX/S", ">EVICTED/S", ">HANDSHAKES/S", ">FAILED/S", "BIND"],
        is_wide,
    );
    for listener in listeners {
        let rate = |count: fn(&ListenerStatus) -> u64| rates.of_listener(listener, count);
        let binds: Vec<String> = listener.binds.iter().map(ToString::to_string).collect();
        table.row(
            true,
            vec![
                listener.name.clone(),
                listener.connections.to_string(),
                rate(|it| it.requests_total),
                rate(|it| answered(it, "2xx")),
                rate(|it| answered(it, "4xx")),
                rate(|it| answered(it, "5xx")),
                rate(turned_away),
                rate(|it| answered(it, "3xx")),
                rate(|it| it.connections_evicted_total),
                rate(|it| it.handshakes_total),
                rate(|it| it.handshakes_failed_total),
                binds.join(" "),
            ],
        );
    }
    table.lines()
}

fn answered(listener: &ListenerStatus, class: &str) -> u64 {
    let found = listener.responses_total.get(class);
    found.copied().unwrap_or_default()
}

fn turned_away(listener: &ListenerStatus) -> u64 {
    listener.connections_refused_total
        + listener.connections_rate_limited_total
        + listener.requests_rate_limited_total
}

fn backends(pools: &[PoolStatus], rates: &Rates<'_>, is_wide: bool) -> Vec<Line> {
    let mut table = Table::new(
        &[
            "POOL",
            "BACKEND",
            "STATE",
            ">ACTIVE",
            ">REQUESTS/S",
            ">FAILURES/S",
            ">QUEUED",
            ">RETRIES/S",
        ],
        &["ADDRESS", "LAST PROBE"],
        is_wide,
    );
    for pool in pools {
        for (index, backend) in pool.backends.iter().enumerate() {
            let rate = |count: fn(&BackendStatus) -> u64| rates.of_backend(pool, backend, count);
            // What is of the pool stands at its first backend.
            let of_pool = |text: String| if index == 0 { text } else { String::new() };
            let active = match backend.requests_max {
                Some(max) => format!("{} of {max}", backend.active_requests),
                None => backend.active_requests.to_string(),
            };
            table.row(
                backend.state == "up",
                vec![
                    pool.name.clone(),
                    backend.name.clone(),
                    backend.state.clone(),
                    active,
                    rate(|it| it.requests_total),
                    rate(|it| it.failures_total),
                    of_pool(pool.queued_requests.to_string()),
                    of_pool(rates.of_pool(pool, |it| it.retries_total)),
                    backend.address.to_string(),
                    backend.check.clone(),
                ],
            );
        }
    }
    table.lines()
}

/// Rows under a heading; a column whose heading begins with `>` is of numbers.
struct Table {
    head: Vec<&'static str>,
    rows: Vec<(bool, Vec<String>)>,
}

impl Table {
    /// Begins one; the columns of `more` are for wide terminals.
    fn new(head: &[&'static str], more: &[&'static str], is_wide: bool) -> Self {
        let more = if is_wide { more } else { &[] };
        Self {
            head: [head, more].concat(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; cells beyond the columns are left out.
    fn row(&mut self, is_well: bool, mut cells: Vec<String>) {
        cells.truncate(self.head.len());
        self.rows.push((is_well, cells));
    }

    fn lines(self) -> Vec<Line> {
        let titles: Vec<&str> = self
            .head
            .iter()
            .map(|it| it.trim_start_matches('>'))
            .collect();
        let widths: Vec<usize> = titles
            .iter()
            .enumerate()
            .map(|(column, title)| {
                let cells = self
                    .rows
                    .iter()
                    .map(|(_, cells)| cells[column].chars().count());
                cells.max().unwrap_or(0).max(title.len())
            })
            .collect();
        let line = |look, cells: &[&str]| {
            let columns = cells.iter().zip(&self.head).zip(&widths);
            let cells = columns.map(|((cell, head), width)| match head.starts_with('>') {
                true => format!("{cell:>width$}"),
                false => format!("{cell:width$}"),
            });
            Line::new(look, &cells.collect::<Vec<_>>().join("  "))
        };
        let mut lines = vec![line(Look::Heading, &titles)];
        lines.extend(self.rows.iter().map(|(is_well, cells)| {
            let look = if *is_well { Look::Plain } else { Look::Bad };
            let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
            line(look, &cells)
        }));
        lines
    }
}

/// Two answers and the time between them.
struct Rates<'a> {
    before: Option<&'a Status>,
    seconds_milli: u64,
}

impl<'a> Rates<'a> {
    fn between(before: Option<&'a Sample>, now: &Sample) -> Self {
        let span = before.map(|before| now.at.saturating_sub(before.at));
        let millis = span.unwrap_or_default().as_millis();
        Self {
            before: before.map(|before| &before.status),
            seconds_milli: u64::try_from(millis).unwrap_or(u64::MAX),
        }
    }

    fn of_router(&self, now: &RouterStatus, count: fn(&RouterStatus) -> u64) -> String {
        let before = self.before.and_then(|before| {
            let mut routers = before.virtual_routers.iter();
            routers.find(|router| router.name == now.name)
        });
        self.rate(before.map(count), count(now))
    }

    fn of_listener(&self, now: &ListenerStatus, count: fn(&ListenerStatus) -> u64) -> String {
        let before = self.before.and_then(|before| {
            let mut listeners = before.listeners.iter();
            listeners.find(|listener| listener.name == now.name)
        });
        self.rate(before.map(count), count(now))
    }

    fn of_pool(&self, now: &PoolStatus, count: fn(&PoolStatus) -> u64) -> String {
        self.rate(self.pool(&now.name).map(count), count(now))
    }

    fn of_backend(
        &self,
        pool: &PoolStatus,
        now: &BackendStatus,
        count: fn(&BackendStatus) -> u64,
    ) -> String {
        let before = self.pool(&pool.name).and_then(|pool| {
            let mut backends = pool.backends.iter();
            backends.find(|it| it.name == now.name && it.address == now.address)
        });
        self.rate(before.map(count), count(now))
    }

    fn pool(&self, name: &str) -> Option<&'a PoolStatus> {
        let mut pools = self.before?.pools.iter();
        pools.find(|pool| pool.name == name)
    }

    /// Returns how much more it is a second, with a tenth where it is little.
    fn rate(&self, before: Option<u64>, now: u64) -> String {
        let more = before.and_then(|before| now.checked_sub(before));
        let (Some(more), 1..) = (more, self.seconds_milli) else {
            return "-".to_owned();
        };
        let tenths = u128::from(more) * 10_000 / u128::from(self.seconds_milli);
        match tenths {
            0 => "0".to_owned(),
            1..1_000 => format!("{}.{}", tenths / 10, tenths % 10),
            1_000.. => (tenths / 10).to_string(),
        }
    }
}

/// From this width on there is room for more columns.
const WIDE_COLUMNS: usize = 140;
/// Lines of warnings, at most.
const WARNINGS_MAX: usize = 3;

#[cfg(test)]
mod tests;
