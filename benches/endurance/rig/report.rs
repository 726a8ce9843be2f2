//! Findings: what was measured, what it was bound by, and whether it kept to that.

use std::fmt::Write;
use std::time::Duration;

/// One figure.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    /// Who was measured, and how.
    pub subject: String,
    /// What was measured.
    pub what: &'static str,
    /// The figure.
    pub seen: String,
    /// What it should be; empty where nothing was asked.
    pub bound: String,
    /// Whether it is.
    pub kept: bool,
}

/// What a figure should be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound<T> {
    /// Not more.
    AtMost(T),
    /// Not less.
    AtLeast(T),
    /// This.
    Exactly(T),
    /// It is only told, as that of another program.
    Free,
}

impl Finding {
    /// Compares a figure with its bound.
    pub(crate) fn new<T: Figure>(
        subject: impl Into<String>,
        what: &'static str,
        seen: T,
        bound: Bound<T>,
    ) -> Self {
        let (kept, shown) = match bound {
            Bound::AtMost(most) => (seen <= most, format!("<= {}", most.show())),
            Bound::AtLeast(least) => (seen >= least, format!(">= {}", least.show())),
            Bound::Exactly(this) => (seen == this, format!("= {}", this.show())),
            Bound::Free => (true, String::new()),
        };
        Self {
            subject: subject.into(),
            what,
            seen: seen.show(),
            bound: shown,
            kept,
        }
    }

    /// Returns the line of the table.
    pub(crate) fn line(&self) -> String {
        let verdict = match (self.kept, self.bound.is_empty()) {
            (_, true) => "",
            (true, false) => "PASS",
            (false, false) => "FAIL",
        };
        let mut line = String::new();
        let (subject, what, seen, bound) = (&self.subject, self.what, &self.seen, &self.bound);
        // Writing into a string does not fail.
        let _ = write!(
            line,
            "{subject:38} {what:44} {seen:>14}  {bound:16} {verdict}"
        );
        line.trim_end().to_owned()
    }
}

/// A figure that can be compared and shown.
pub(crate) trait Figure: PartialOrd {
    /// Returns it with its unit.
    fn show(&self) -> String;
}

impl Figure for Duration {
    fn show(&self) -> String {
        if *self == Self::MAX {
            return "for ever".into();
        }
        let us = self.as_micros();
        format!("{}.{:02} ms", us / 1000, us % 1000 / 10)
    }
}

impl Figure for u64 {
    fn show(&self) -> String {
        self.to_string()
    }
}

/// A share of one core, in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Permille(pub u64);

impl Figure for Permille {
    fn show(&self) -> String {
        format!("{}.{} %", self.0 / 10, self.0 % 10)
    }
}

/// An amount of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Kibibytes(pub u64);

impl Figure for Kibibytes {
    fn show(&self) -> String {
        format!("{} KiB", self.0)
    }
}

/// Returns the middle one, `T::default()` of none.
pub(crate) fn median<T: Copy + Ord + Default>(values: &[T]) -> T {
    let mut values = values.to_vec();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Returns the largest, `T::default()` of none.
pub(crate) fn most<T: Copy + Ord + Default>(values: &[T]) -> T {
    values.iter().copied().max().unwrap_or_default()
}
