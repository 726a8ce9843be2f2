//! Fields of a head that are set, added and removed: what an administrator says, and what is made
//! of it for one request. Pure.

use super::template::{Template, Values};

/// What an administrator says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldEdits {
    /// Names of fields that go.
    pub remove: Vec<String>,
    /// Fields that take the place of all of their name.
    pub set: Vec<(String, Template)>,
    /// Fields besides those of their name.
    pub add: Vec<(String, Template)>,
}

/// The same for one request: what goes, and the lines that come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edits {
    remove: Vec<String>,
    lines: Vec<u8>,
}

impl FieldEdits {
    /// Returns whether nothing is edited.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }

    /// Returns what they are for a request. A field whose value turns out empty is not sent.
    pub fn of(&self, values: &Values<'_>) -> Edits {
        let _ = values;
        Edits::default()
    }
}

impl Edits {
    /// Edits a head, with its first line and the empty one at its end.
    pub fn apply(&self, head: &mut Vec<u8>) {
        let _ = (head, &self.remove, &self.lines);
    }

    /// Returns the lines that come, each with its end.
    pub fn lines(&self) -> &[u8] {
        &self.lines
    }
}

/// Returns why a field cannot be edited, and what to do instead; `None` where it can.
pub fn objection(name: &str) -> Option<&'static str> {
    let _ = name;
    None
}
