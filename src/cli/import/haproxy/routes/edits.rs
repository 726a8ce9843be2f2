//! Fields that are set, added and removed, in the order of the original.

use crate::cli::import::yaml::{Map, Yaml};

/// What one rule does to fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// In the place of all of the name.
    Set(String, String),
    /// Beside those of the name.
    Add(String, String),
    /// Away.
    Remove(String),
}

impl Edit {
    /// Returns whether both are of the same field.
    pub fn is_of(&self, other: &Self) -> bool {
        name(self).eq_ignore_ascii_case(name(other))
    }
}

/// Edits of one side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edits(Vec<Edit>);

impl Edits {
    /// Adds an edit behind the others; what it makes void goes.
    pub fn push(&mut self, edit: Edit) {
        let name = name(&edit).to_owned();
        let same = |other: &Edit| self::name(other).eq_ignore_ascii_case(&name);
        let was_cleared = self
            .0
            .iter()
            .any(|other| same(other) && !matches!(other, Edit::Add(_, _)));
        let edit = match edit {
            Edit::Add(name, text) if was_cleared => Edit::Set(name, text),
            Edit::Add(name, text) => {
                self.0.push(Edit::Add(name, text));
                return;
            }
            other @ (Edit::Set(_, _) | Edit::Remove(_)) => other,
        };
        self.0.retain(|other| !same(other));
        self.0.push(edit);
    }

    /// Adds others behind these.
    pub fn extend(&mut self, others: Self) {
        for edit in others.0 {
            self.push(edit);
        }
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns them as we write them.
    pub fn yaml(&self) -> Yaml {
        let mut map = Map::default();
        for edit in &self.0 {
            match edit {
                Edit::Set(name, text) => {
                    map.map("set").set(name.as_str(), Yaml::text(text));
                }
                Edit::Add(name, text) => {
                    map.map("add").set(name.as_str(), Yaml::text(text));
                }
                Edit::Remove(name) => map.push("remove", Yaml::text(name)),
            }
        }
        Yaml::Map(map)
    }
}

fn name(edit: &Edit) -> &str {
    match edit {
        Edit::Set(name, _) | Edit::Add(name, _) | Edit::Remove(name) => name,
    }
}
