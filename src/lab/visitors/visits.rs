//! What visitors saw of an event: a tally for each kind.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::crowd::Kind;

/// What happened to the visitors between the begin and the end of a watch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visits {
    /// A tally for each kind that there was.
    pub kinds: Vec<Tally>,
}

/// What happened to the visitors of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Which kind.
    pub kind: Kind,
    /// How many visitors.
    pub visitors: u64,
    /// Connections that were open when the watch began.
    pub open: u64,
    /// Of those, the ones that broke off: a request on them failed, or they were closed while idle.
    pub cut: u64,
    /// Requests, those in flight at the begin included.
    pub asked: u64,
    /// Requests that had their whole answer.
    pub answered: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Answers that were not the answer to their request; those between two watches count in the
    /// later one.
    pub wrong: u64,
    /// Connections that ended while nothing was asked.
    pub closed_idle: u64,
    /// Visitors who were not served again within the time that the end of the watch allows.
    pub unserved: u64,
    /// The longest time that an answer took beyond what was asked of it, milliseconds.
    pub slowest_ms: u64,
    /// Failures by their kind.
    pub failures: BTreeMap<String, u64>,
}

impl Tally {
    /// Returns an empty tally.
    pub fn new(kind: Kind, visitors: u64) -> Self {
        Self {
            kind,
            visitors,
            open: 0,
            cut: 0,
            asked: 0,
            answered: 0,
            failed: 0,
            wrong: 0,
            closed_idle: 0,
            unserved: 0,
            slowest_ms: 0,
            failures: BTreeMap::new(),
        }
    }

    /// Returns whether nothing broke off.
    pub const fn is_whole(&self) -> bool {
        self.failed == 0 && self.closed_idle == 0 && self.cut == 0
    }

    pub(super) fn took(&mut self, beyond: Duration) {
        let ms = u64::try_from(beyond.as_millis()).unwrap_or(u64::MAX);
        self.slowest_ms = self.slowest_ms.max(ms);
    }

    fn add(&mut self, other: &Self) {
        self.visitors += other.visitors;
        self.open += other.open;
        self.cut += other.cut;
        self.asked += other.asked;
        self.answered += other.answered;
        self.failed += other.failed;
        self.wrong += other.wrong;
        self.closed_idle += other.closed_idle;
        self.unserved += other.unserved;
        self.slowest_ms = self.slowest_ms.max(other.slowest_ms);
        for (failure, count) in &other.failures {
            *self.failures.entry(failure.clone()).or_default() += count;
        }
    }
}

impl Visits {
    /// Returns the tally of a kind, if it was there.
    pub fn of(&self, kind: Kind) -> Option<&Tally> {
        self.kinds.iter().find(|tally| tally.kind == kind)
    }

    /// Returns the sum over all kinds but the fresh ones, which keep nothing; its kind means
    /// nothing.
    pub fn kept(&self) -> Tally {
        self.sum(|kind| kind != Kind::Fresh)
    }

    /// Returns the sum over all kinds; its kind means nothing.
    pub fn all(&self) -> Tally {
        self.sum(|_| true)
    }

    /// Returns what was cut by kind, as in `idle 3 of 1000, uploads 1 of 20`; empty when nothing
    /// was.
    pub fn cut_by_kind(&self) -> String {
        let cut = self.kinds.iter().filter(|tally| tally.cut > 0);
        cut.map(|tally| format!("{} {} of {}", tally.kind, tally.cut, tally.open))
            .collect::<Vec<_>>()
            .join(", ")
    }

    fn sum(&self, counts: impl Fn(Kind) -> bool) -> Tally {
        let mut sum = Tally::new(Kind::Idle, 0);
        for tally in self.kinds.iter().filter(|tally| counts(tally.kind)) {
            sum.add(tally);
        }
        sum
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {} cut, {} of {} requests failed, {} closed while idle, {} wrong, {} unserved, slowest {} ms",
            self.cut,
            self.open,
            self.failed,
            self.asked,
            self.closed_idle,
            self.wrong,
            self.unserved,
            self.slowest_ms
        )?;
        for (failure, count) in &self.failures {
            write!(f, ", {failure}: {count}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Visits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for tally in &self.kinds {
            writeln!(f, "{}: {tally}", tally.kind)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_leaves_the_fresh_out() {
        let tally = |kind, cut| Tally {
            open: 10,
            cut,
            failed: cut,
            ..Tally::new(kind, 10)
        };
        let visits = Visits {
            kinds: vec![
                tally(Kind::Idle, 0),
                tally(Kind::Upload, 4),
                tally(Kind::Fresh, 1),
            ],
        };
        assert_eq!((visits.kept().cut, visits.kept().open), (4, 20));
        assert_eq!(visits.all().failed, 5);
        assert!(!visits.kept().is_whole());
        assert_eq!(visits.cut_by_kind(), "uploads 4 of 10, fresh 1 of 10");
    }
}
