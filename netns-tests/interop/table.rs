//! The table of what was measured.

use std::fmt::Write as _;
use std::time::Duration;

use super::cell::{Better, Cell};
use super::story::{self, Told};

/// One life of one cell.
pub(super) struct Row {
    number: usize,
    name: &'static str,
    better: Better,
    bounds: (Duration, Duration),
    told: Result<Told, String>,
    again: bool,
}

impl Row {
    pub(super) fn new(
        number: usize,
        cell: &Cell,
        better: Better,
        told: Result<Told, String>,
    ) -> Self {
        Self {
            number,
            name: cell.name,
            better,
            bounds: (cell.skew_max(), cell.down_max()),
            told,
            again: false,
        }
    }

    /// Lives through the same once more; what is told then counts.
    pub(super) fn live_again(&mut self, cells: &[Cell]) {
        self.told = story::live(&cells[self.number], self.better);
        self.again = true;
    }

    pub(super) fn failure(&self) -> Option<&str> {
        self.told.as_ref().err().map(String::as_str)
    }
}

/// Returns the table: a line for each cell and role, medians of its lives in milliseconds.
pub(super) fn print(rows: &[Row]) -> String {
    let mut keys: Vec<(usize, bool)> = rows.iter().map(key).collect();
    keys.sort_unstable();
    keys.dedup();
    let mut text = format!(
        "{:<46} {:<7} {:>9} {:>14} {:>9} {:>14}\n",
        "beside keepalived 2.2.7 and FRR 8.4, ms",
        "better",
        "election",
        "stop (skew)",
        "return",
        "kill (down)"
    );
    for wanted in keys {
        let lives: Vec<&Row> = rows.iter().filter(|row| key(row) == wanted).collect();
        let row = lives[0];
        let failed = lives.iter().filter(|row| row.told.is_err()).count();
        let better = match row.better {
            Better::Ours => "ours",
            Better::Theirs => "theirs",
        };
        let column = |pick: fn(&Told) -> Option<Duration>| {
            let told = lives.iter().filter_map(|row| row.told.as_ref().ok());
            median(told.filter_map(pick).collect())
        };
        let (skew, down) = (row.bounds.0.as_millis(), row.bounds.1.as_millis());
        let stop = format!("{} ({skew})", column(|told| told.stop));
        let kill = format!("{} ({down})", column(|told| told.kill));
        let _ = writeln!(
            text,
            "{:<46} {better:<7} {:>9} {stop:>14} {:>9} {kill:>14}{}",
            row.name,
            column(|told| told.election),
            column(|told| told.back),
            if failed > 0 {
                format!("   FAILED {failed} of {}", lives.len())
            } else if lives.iter().any(|row| row.again) {
                "   again".to_owned()
            } else {
                String::new()
            }
        );
    }
    text
}

fn key(row: &Row) -> (usize, bool) {
    (row.number, row.better == Better::Theirs)
}

fn median(mut spans: Vec<Duration>) -> String {
    spans.sort_unstable();
    match spans.get(spans.len() / 2) {
        Some(span) => span.as_millis().to_string(),
        None => "-".to_owned(),
    }
}
