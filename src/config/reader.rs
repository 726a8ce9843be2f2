//! Reads the tree by keys and keeps every complaint, so that all errors come at once.
//!
//! Reading never stops at the first error: a value that is wrong is reported and `None`. Every key that is asked for
//! becomes a known key; `finish` complains about the others and says which known one is near.

use super::file::Node;
use super::place::{Part, Step};

/// A complaint about one place of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where: from the root.
    pub path: Vec<Step>,
    /// The key or the value.
    pub part: Part,
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub help: Option<String>,
}

/// All complaints so far.
#[derive(Debug, Default)]
pub struct Problems(pub Vec<Problem>);

/// A value and where it is.
#[derive(Clone, Debug)]
pub struct Value<'a> {
    /// The value.
    pub node: &'a Node,
    /// From the root.
    pub path: Vec<Step>,
}

/// A map that is being read.
#[derive(Debug)]
pub struct Map<'a> {
    pairs: &'a [(String, Node)],
    path: Vec<Step>,
    known: Vec<&'static str>,
}

impl Problems {
    /// Complains about a value.
    pub fn value(&mut self, value: &Value<'_>, message: impl Into<String>, help: Option<&str>) {
        self.at(&value.path, Part::Value, message, help);
    }

    /// Complains about a path.
    pub fn at(
        &mut self,
        path: &[Step],
        part: Part,
        message: impl Into<String>,
        help: Option<&str>,
    ) {
        let help = help.map(str::to_owned);
        self.0.push(Problem {
            path: path.to_vec(),
            part,
            message: message.into(),
            help,
        });
    }
}

impl<'a> Value<'a> {
    /// Returns the map that it is; nothing counts as an empty one.
    pub fn map(&self, problems: &mut Problems) -> Option<Map<'a>> {
        let pairs: &[(String, Node)] = match self.node {
            Node::Map(pairs) => pairs,
            Node::Null => &[],
            Node::Bool(_) | Node::Integer(_) | Node::Text(_) | Node::List(_) => {
                self.wrong(problems, "a map");
                return None;
            }
        };
        let map = Map {
            pairs,
            path: self.path.clone(),
            known: Vec::new(),
        };
        map.complain_about_duplicates(problems);
        Some(map)
    }

    /// Returns the elements of the list that it is.
    pub fn list(&self, problems: &mut Problems) -> Option<Vec<Value<'a>>> {
        let Node::List(list) = self.node else {
            self.wrong(problems, "a list");
            return None;
        };
        let element = |(index, node)| Value {
            node,
            path: joined(&self.path, Step::Index(index)),
        };
        Some(list.iter().enumerate().map(element).collect())
    }

    /// Returns the text that it is; numbers and truth values are texts too.
    pub fn text(&self, problems: &mut Problems) -> Option<String> {
        match self.node {
            Node::Text(text) => Some(text.clone()),
            Node::Integer(number) => Some(number.to_string()),
            Node::Bool(truth) => Some(truth.to_string()),
            Node::Null | Node::List(_) | Node::Map(_) => {
                self.wrong(problems, "a text");
                None
            }
        }
    }

    /// Returns the number that it is, if it lies between the bounds.
    pub fn number(&self, low: u32, high: u32, what: &str, problems: &mut Problems) -> Option<u32> {
        let number = match self.node {
            Node::Integer(number) => u32::try_from(*number).ok(),
            Node::Null | Node::Bool(_) | Node::Text(_) | Node::List(_) | Node::Map(_) => {
                self.wrong(problems, "a whole number");
                return None;
            }
        };
        let number = number.filter(|number| (low..=high).contains(number));
        if number.is_none() {
            problems.value(
                self,
                format!("{what} must be between {low} and {high}"),
                None,
            );
        }
        number
    }

    /// Complains that it is not what was expected.
    pub fn wrong(&self, problems: &mut Problems, expected: &str) {
        problems.value(
            self,
            format!("expected {expected}, found {}", self.node.kind()),
            None,
        );
    }
}

impl<'a> Map<'a> {
    /// Returns the value of a key, which thereby is known.
    pub fn get(&mut self, key: &'static str) -> Option<Value<'a>> {
        self.known.push(key);
        let (_, node) = self.pairs.iter().find(|(name, _)| name == key)?;
        Some(Value {
            node,
            path: joined(&self.path, Step::Key(key.to_owned(), 0)),
        })
    }

    /// Returns the value of a key, or complains that it is missing.
    pub fn require(&mut self, key: &'static str, problems: &mut Problems) -> Option<Value<'a>> {
        let value = self.get(key);
        if value.is_none() {
            let part = if self.path.is_empty() {
                Part::Value
            } else {
                Part::Key
            };
            problems.at(&self.path, part, format!("{key} is missing"), None);
        }
        value
    }

    /// Returns every key and value, for maps whose keys are names.
    pub fn entries(&self) -> Vec<(String, Value<'a>)> {
        let mut entries: Vec<(String, Value<'a>)> = Vec::new();
        for (name, node) in self.pairs {
            if !entries.iter().any(|(seen, _)| seen == name) {
                let path = joined(&self.path, Step::Key(name.clone(), 0));
                entries.push((name.clone(), Value { node, path }));
            }
        }
        entries
    }

    /// Returns whether the key is there, without making it known.
    pub fn has(&self, key: &str) -> bool {
        self.pairs.iter().any(|(name, _)| name == key)
    }

    /// Returns where the map is.
    pub fn path(&self) -> &[Step] {
        &self.path
    }

    /// Complains about every key that was not asked for.
    pub fn finish(self, problems: &mut Problems) {
        for (name, _) in self.pairs {
            if self.known.contains(&name.as_str()) {
                continue;
            }
            let help = nearest(name, self.known.iter().copied())
                .map(|near| format!("did you mean `{near}`?"))
                .unwrap_or_else(|| format!("the keys here are {}", self.known.join(", ")));
            let path = joined(&self.path, Step::Key(name.clone(), 0));
            problems.at(
                &path,
                Part::Key,
                format!("unknown key `{name}`"),
                Some(&help),
            );
        }
    }

    fn complain_about_duplicates(&self, problems: &mut Problems) {
        for (index, (name, _)) in self.pairs.iter().enumerate() {
            let before = self.pairs[..index]
                .iter()
                .filter(|(other, _)| other == name)
                .count();
            if before > 0 {
                let path = joined(&self.path, Step::Key(name.clone(), before));
                problems.at(
                    &path,
                    Part::Key,
                    format!("`{name}` stands here twice"),
                    None,
                );
            }
        }
    }
}

/// Returns the candidate that differs least from the name, if it is near enough to be meant.
pub fn nearest<'n>(name: &str, candidates: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let allowed = name.chars().count() / 3 + 1;
    candidates
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Returns how many letters must be changed, added or removed (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

fn joined(path: &[Step], step: Step) -> Vec<Step> {
    let mut path = path.to_vec();
    path.push(step);
    path
}
