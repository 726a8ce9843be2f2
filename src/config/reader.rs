//! A view of the tree that complains and goes on: maps of known keys, maps of free names, lists,
//! scalars.
//!
//! Every method adds to the problems what is wrong and returns `None`, so that a caller asks for
//! everything first and gives up last. What a value means is the matter of `check`.

pub(super) mod hiding;
mod keepalived;
mod proxies;

use std::collections::HashSet;

use super::file::{Key, Kind, Node, NodeId};
use super::report::{Problems, shown};

/// Returns how to mend a key that nobody knows.
fn help_for(word: &str, known: &[&str]) -> String {
    if let Some(ours) = keepalived::translation(word) {
        return format!("that is keepalived's word: {ours}");
    }
    if let Some(ours) = proxies::translation(word) {
        return format!("that is said otherwise here: {ours}");
    }
    match nearest(word, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "nothing can stand here".to_owned(),
        None => format!("known keys here: {}", known.join(", ")),
    }
}

/// A value with the name it is known by in messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'a> {
    /// The key it stands under.
    pub(super) name: &'a str,
    /// The key's number; for an item of a list the item's own.
    pub(super) key: NodeId,
    /// What stands there.
    pub(super) node: &'a Node,
}

impl<'a> Value<'a> {
    /// Returns where to point to: the value, or its key where there is no value.
    pub(super) fn at(self) -> NodeId {
        if self.node.kind == Kind::Null {
            self.key
        } else {
            self.node.id
        }
    }

    /// Returns what stands under a key of a map, without a complaint.
    pub(super) fn entry(&self, name: &str) -> Option<Self> {
        let Kind::Map(entries) = &self.node.kind else {
            return None;
        };
        let (key, node) = entries.iter().find(|(key, _)| key.text == name)?;
        Some(Value {
            name: &key.text,
            key: key.id,
            node,
        })
    }

    /// Returns the text that it is, where it is one; whether it must be is said elsewhere.
    pub(super) fn as_text(&self) -> Option<&'a str> {
        match &self.node.kind {
            Kind::Text(text) => Some(text),
            Kind::Null
            | Kind::Bool(_)
            | Kind::Int(_)
            | Kind::Float(_)
            | Kind::List(_)
            | Kind::Map(_) => None,
        }
    }

    /// Complains about the kind of this value.
    pub(super) fn expected(self, what: &str, problems: &mut Problems) {
        let found = self.node.kind.describe();
        problems.add(
            self.at(),
            format!("`{}` must be {what}, not {found}", shown(self.name)),
        );
    }

    /// Complains about this value.
    pub(super) fn wrong(self, message: impl Into<String>, problems: &mut Problems) {
        problems.add(self.at(), message);
    }

    /// Complains about this value and says how to mend it.
    pub(super) fn wrong_with_help(
        self,
        message: impl Into<String>,
        help: impl Into<String>,
        problems: &mut Problems,
    ) {
        problems.add_with_help(self.at(), message, help);
    }

    /// Returns a text.
    pub(super) fn text(self, what: &str, problems: &mut Problems) -> Option<&'a str> {
        match &self.node.kind {
            Kind::Text(text) => Some(text),
            Kind::Int(_) | Kind::Float(_) | Kind::Bool(_) => {
                let found = self.node.kind.describe();
                let message = format!("`{}` must be {what}, not {found}", shown(self.name));
                self.wrong_with_help(message, "put it in quotes", problems);
                None
            }
            Kind::Null | Kind::List(_) | Kind::Map(_) => {
                self.expected(what, problems);
                None
            }
        }
    }

    /// Returns a whole number from `min` to `max`.
    pub(super) fn number(self, min: u32, max: u32, problems: &mut Problems) -> Option<u32> {
        let message = format!("{} must be between {min} and {max}", shown(self.name));
        match &self.node.kind {
            Kind::Int(raw) => {
                let number = u32::try_from(*raw).ok().filter(|n| (min..=max).contains(n));
                if number.is_none() {
                    self.wrong(message, problems);
                }
                number
            }
            Kind::Float(_) => {
                self.wrong(
                    format!("{} must be a whole number", shown(self.name)),
                    problems,
                );
                None
            }
            Kind::Null | Kind::Bool(_) | Kind::Text(_) | Kind::List(_) | Kind::Map(_) => {
                self.expected(&format!("a number between {min} and {max}"), problems);
                None
            }
        }
    }

    /// Returns the items of a list that is not empty.
    pub(super) fn items(self, what: &str, problems: &mut Problems) -> Option<Vec<Self>> {
        let items = self.items_or_none(what, problems)?;
        if items.is_empty() {
            self.wrong(
                format!("`{}` must not be empty", shown(self.name)),
                problems,
            );
            return None;
        }
        Some(items)
    }

    /// Returns the items of a list.
    pub(super) fn items_or_none(self, what: &str, problems: &mut Problems) -> Option<Vec<Self>> {
        let Kind::List(items) = &self.node.kind else {
            self.expected(&format!("a list of {what}"), problems);
            return None;
        };
        let item = |node: &'a Node| Value {
            name: self.name,
            key: node.id,
            node,
        };
        Some(items.iter().map(item).collect())
    }

    /// Returns the entries of a map whose keys are names of the user's choice; each name once.
    pub(super) fn entries(self, what: &str, problems: &mut Problems) -> Option<Vec<Self>> {
        self.pairs_checked(what, check_name, problems)
    }

    /// Returns the entries of a map whose keys are any words; each word once.
    pub(super) fn pairs(self, what: &str, problems: &mut Problems) -> Option<Vec<Self>> {
        self.pairs_checked(what, |_, _| {}, problems)
    }

    fn pairs_checked(
        self,
        what: &str,
        check: fn(&Key, &mut Problems),
        problems: &mut Problems,
    ) -> Option<Vec<Self>> {
        let Kind::Map(entries) = &self.node.kind else {
            self.expected(&format!("a map of {what}"), problems);
            return None;
        };
        if entries.is_empty() {
            self.wrong(
                format!("`{}` must not be empty", shown(self.name)),
                problems,
            );
            return None;
        }
        let mut values: Vec<Value<'a>> = Vec::new();
        let mut names = HashSet::new();
        for (key, node) in entries {
            check(key, problems);
            if names.insert(key.text.as_str()) {
                values.push(Value {
                    name: &key.text,
                    key: key.id,
                    node,
                });
            } else {
                duplicate(key, problems);
            }
        }
        Some(values)
    }

    /// Returns the values of the map or list below, without a complaint.
    pub(super) fn children(self) -> Vec<Self> {
        match &self.node.kind {
            Kind::Map(entries) => {
                let value = |(key, node): &'a (Key, Node)| Value {
                    name: &key.text,
                    key: key.id,
                    node,
                };
                entries.iter().map(value).collect()
            }
            Kind::List(items) => {
                let item = |node: &'a Node| Value {
                    name: self.name,
                    key: node.id,
                    node,
                };
                items.iter().map(item).collect()
            }
            Kind::Null | Kind::Bool(_) | Kind::Int(_) | Kind::Float(_) | Kind::Text(_) => {
                Vec::new()
            }
        }
    }

    /// Returns the map below, whose keys are all in `known`.
    pub(super) fn fields(
        self,
        known: &'static [&'static str],
        problems: &mut Problems,
    ) -> Option<Fields<'a>> {
        let Kind::Map(entries) = &self.node.kind else {
            self.expected("a map", problems);
            return None;
        };
        Some(Fields::new(self.name, self.key, entries, known, problems))
    }
}

/// A map of known keys.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    name: &'a str,
    key: NodeId,
    values: Vec<Value<'a>>,
}

impl<'a> Fields<'a> {
    /// Complains about unknown and duplicate keys; `name` and `key` are of the map as a whole.
    pub(super) fn new(
        name: &'a str,
        key: NodeId,
        entries: &'a [(Key, Node)],
        known: &'static [&'static str],
        problems: &mut Problems,
    ) -> Self {
        let mut values: Vec<Value<'a>> = Vec::new();
        for (key, node) in entries {
            if !known.contains(&key.text.as_str()) {
                let message = format!("unknown key `{}`", shown(&key.text));
                let help = help_for(&key.text, known);
                problems.add_with_help(key.id, message, help);
            } else if values.iter().any(|value| value.name == key.text) {
                duplicate(key, problems);
            } else {
                values.push(Value {
                    name: &key.text,
                    key: key.id,
                    node,
                });
            }
        }
        Self { name, key, values }
    }

    /// Returns the value of a key, where there is one.
    pub(super) fn get(&self, key: &str) -> Option<Value<'a>> {
        self.values.iter().find(|value| value.name == key).copied()
    }

    /// Returns the value of a key that must be there.
    pub(super) fn need(
        &self,
        key: &str,
        example: &str,
        problems: &mut Problems,
    ) -> Option<Value<'a>> {
        let value = self.get(key);
        if value.is_none() {
            let message = format!("`{}` has no `{key}`", shown(self.name));
            problems.add_with_help(self.key, message, format!("add `{key}: {example}`"));
        }
        value
    }

    /// Returns the first of these keys that is there.
    pub(super) fn first(&self, keys: &[&str]) -> Option<Value<'a>> {
        keys.iter().find_map(|key| self.get(key))
    }

    /// Returns the key of the map as a whole.
    pub(super) fn key(&self) -> NodeId {
        self.key
    }
}

fn duplicate(key: &Key, problems: &mut Problems) {
    let message = format!("`{}` is here twice", shown(&key.text));
    problems.add_with_help(key.id, message, "keep one of the two");
}

/// Names appear in logs, paths and on command lines: letters, digits, `.`, `_` and `-`.
fn check_name(key: &Key, problems: &mut Problems) {
    if let Some(help) = name_objection(&key.text) {
        let message = format!("`{}` cannot be a name", shown(&key.text));
        problems.add_with_help(key.id, message, help);
    }
}

/// Returns what names are where this is none.
pub(super) fn name_objection(name: &str) -> Option<String> {
    (!is_name(name, NAME_CHARS_MAX))
        .then(|| format!("names are 1 to {NAME_CHARS_MAX} letters, digits, `.`, `_` and `-`"))
}

/// Checks every value, so that each problem is said; returns nothing where one of them is wrong.
pub(super) fn check_each<'a, T>(
    values: Vec<Value<'a>>,
    check: impl FnMut(Value<'a>) -> Option<T>,
) -> Option<Vec<T>> {
    let checked: Vec<Option<T>> = values.into_iter().map(check).collect();
    checked.into_iter().collect()
}

/// Returns whether a text is 1 to `chars_max` ASCII letters, digits, `.`, `_` and `-`.
pub(super) fn is_name(text: &str, chars_max: usize) -> bool {
    (1..=chars_max).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// Returns the name that somebody may have meant: at most a third of it mistyped.
pub fn nearest<'n>(typed: &str, names: &[&'n str]) -> Option<&'n str> {
    if typed.len() > NAME_CHARS_MAX {
        return None;
    }
    let near = |name: &&'n str| {
        let distance = distance(typed, name);
        (distance <= name.chars().count().div_ceil(3)).then_some((distance, *name))
    };
    names
        .iter()
        .filter_map(near)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Counts the insertions, deletions, replacements and swaps of neighbors that turn `a` into `b`.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.to_lowercase().chars().collect();
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let mut best = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    best = best.min(rows[i - 2][j - 2] + 1);
                }
                best
            };
        }
    }
    rows[a.len()][b.len()]
}

/// The longest name; a longer one is refused.
const NAME_CHARS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_forgives_a_third_of_the_name() {
        let names = ["interface", "vrid", "priority"];
        assert_eq!(nearest("interfcae", &names), Some("interface"));
        assert_eq!(nearest("Priorty", &names), Some("priority"));
        assert_eq!(nearest("vird", &names), Some("vrid"));
        assert_eq!(nearest("track", &names), None);
        assert_eq!(nearest("", &names), None);
    }
}
