//! The words for what has changed between two values of one kind.

use std::fmt::{self, Debug, Display};
use std::time::Duration;

/// One thing that changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What it concerns, as `router web`.
    pub subject: String,
    /// What becomes of it, as `priority 150 to 120`.
    pub change: String,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.change)
    }
}

/// The changes of one subject, as they are found.
pub(super) struct Words {
    changes: Vec<String>,
}

impl Words {
    pub(super) const fn new() -> Self {
        Self {
            changes: Vec::new(),
        }
    }

    /// Compares two values that can be shown.
    pub(super) fn value<T: PartialEq + Display>(&mut self, what: &str, old: &T, new: &T) {
        if old != new {
            self.say(format!("{what} {old} to {new}"));
        }
    }

    pub(super) fn duration(&mut self, what: &str, old: Duration, new: Duration) {
        if old != new {
            self.say(format!("{what} {old:?} to {new:?}"));
        }
    }

    /// Compares two values of which one may be missing, for which there is a word.
    pub(super) fn optional<T: PartialEq + Display>(
        &mut self,
        what: &str,
        missing: &str,
        old: Option<&T>,
        new: Option<&T>,
    ) {
        if old != new {
            let show = |value: Option<&T>| value.map_or_else(|| missing.to_owned(), T::to_string);
            self.say(format!("{what} {} to {}", show(old), show(new)));
        }
    }

    /// Compares two switches.
    pub(super) fn switch(&mut self, what: &str, old: &impl Debug, new: &impl Debug) {
        let (old, new) = (format!("{old:?}"), format!("{new:?}"));
        if old != new {
            let plain = |text: String| text.to_lowercase();
            self.say(format!("{what} {} to {}", plain(old), plain(new)));
        }
    }

    /// Compares two lists whose members have names.
    pub(super) fn list<T: PartialEq>(
        &mut self,
        what: &str,
        old: &[T],
        new: &[T],
        show: impl Fn(&T) -> String,
    ) {
        let missing = |from: &[T], of: &[T]| -> Vec<String> {
            let gone = from.iter().filter(|member| !of.contains(member));
            gone.map(&show).collect()
        };
        let (added, removed) = (missing(new, old), missing(old, new));
        let verbs = [("added", &added), ("removed", &removed)];
        for (verb, members) in verbs {
            if !members.is_empty() {
                self.say(format!("{what} {} {verb}", members.join(", ")));
            }
        }
        if added.is_empty() && removed.is_empty() && old != new {
            self.say(format!("order of {what} changed"));
        }
    }

    /// Compares two values that are too long to be shown, or secret.
    pub(super) fn other<T: PartialEq>(&mut self, what: &str, old: &T, new: &T) {
        if old != new {
            self.say(format!("{what} changed"));
        }
    }

    pub(super) fn say(&mut self, change: impl Into<String>) {
        self.changes.push(change.into());
    }

    /// Returns the changes.
    pub(super) fn into_changes(self) -> Vec<String> {
        self.changes
    }

    /// Returns a step for each change of this subject.
    pub(super) fn into_steps(self, subject: &str) -> impl Iterator<Item = Step> {
        let subject = subject.to_owned();
        self.changes.into_iter().map(move |change| Step {
            subject: subject.clone(),
            change,
        })
    }
}

/// Compares two lists by name: what is new, what is in both, what is gone.
pub(super) fn by_name<'c, T: PartialEq>(
    old: &'c [T],
    new: &'c [T],
    name: impl Fn(&T) -> &str,
    kind: &str,
    compare: impl Fn(&'c T, &'c T, &mut Words),
) -> Vec<Step> {
    let mut known: std::collections::BTreeMap<&str, &T> =
        old.iter().map(|one| (name(one), one)).collect();
    let mut steps = Vec::new();
    for one in new {
        let mut words = Words::new();
        match known.remove(name(one)) {
            None => words.say("added"),
            Some(before) if before == one => continue,
            Some(before) => compare(before, one, &mut words),
        }
        steps.extend(words.into_steps(&format!("{kind} {}", name(one))));
    }
    let gone = old.iter().filter(|one| known.contains_key(name(one)));
    steps.extend(gone.map(|one| Step {
        subject: format!("{kind} {}", name(one)),
        change: "removed".to_owned(),
    }));
    steps
}
