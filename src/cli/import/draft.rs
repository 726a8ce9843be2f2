//! The configuration while it is made: entries by name, before they are written.
//!
//! Importers of all kinds write into one [`Draft`]; names of theirs become names of ours here.
//! Knows no grammar of anybody.

use super::yaml::{Map, Yaml};

/// Entries of a section, by name.
#[derive(Clone, Debug, Default)]
pub struct Section(Vec<(String, Map)>);

impl Section {
    /// Adds an entry under a name of ours that is free and as like `wanted` as can be; returns it.
    pub fn add(&mut self, wanted: &str, entry: Map) -> String {
        let base = name_of(wanted);
        let mut name = base.clone();
        let mut number = 2;
        while self.get(&name).is_some() {
            name = format!("{base}-{number}");
            number += 1;
        }
        self.0.push((name.clone(), entry));
        name
    }

    /// Returns the entry of this name.
    pub fn get(&self, name: &str) -> Option<&Map> {
        let pair = self.0.iter().find(|(known, _)| known == name)?;
        Some(&pair.1)
    }

    /// Returns the entry of this name, to change it.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Map> {
        let pair = self.0.iter_mut().find(|(known, _)| known == name)?;
        Some(&mut pair.1)
    }

    /// Returns all entries in order.
    pub fn iter(&self) -> impl Iterator<Item = &(String, Map)> {
        self.0.iter()
    }

    /// Returns all entries in order, to change them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut (String, Map)> {
        self.0.iter_mut()
    }

    /// Returns how many entries there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    fn yaml(&self) -> Option<Yaml> {
        let mut map = Map::default();
        for (name, entry) in &self.0 {
            map.set(name, Yaml::Map(entry.clone()));
        }
        (!map.is_empty()).then_some(Yaml::Map(map))
    }
}

/// A configuration of ours.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// `virtual_routers`.
    pub routers: Section,
    /// `track_scripts`.
    pub scripts: Section,
    /// `listeners`.
    pub listeners: Section,
    /// `pools`.
    pub pools: Section,
    /// `proxy`.
    pub proxy: Map,
    /// `access_log`.
    pub access_log: Map,
    /// The nodes that it is for; empty: it names none.
    pub nodes: Vec<String>,
    /// What is put behind it as comments: a title, and lines.
    pub notes: Vec<(String, Vec<String>)>,
}

impl Draft {
    /// Returns whether there is nothing that a daemon would do.
    pub fn is_empty(&self) -> bool {
        self.routers.count() + self.listeners.count() == 0
    }

    /// Returns it as YAML, without its notes.
    pub fn yaml(&self) -> String {
        let mut document = Map::default();
        for (key, section) in [
            ("virtual_routers", &self.routers),
            ("track_scripts", &self.scripts),
            ("listeners", &self.listeners),
            ("pools", &self.pools),
        ] {
            if let Some(yaml) = section.yaml() {
                document.set(key, yaml);
            }
        }
        for (key, map) in [("proxy", &self.proxy), ("access_log", &self.access_log)] {
            if !map.is_empty() {
                document.set(key, Yaml::Map(map.clone()));
            }
        }
        document.document(2)
    }
}

/// Returns a name of ours that is as like `wanted` as can be: 1 to 64 letters, digits, `.`, `_` and
/// `-`.
pub fn name_of(wanted: &str) -> String {
    let like = |c: char| {
        if c.is_ascii_alphanumeric() || "._-".contains(c) {
            c
        } else {
            '-'
        }
    };
    let name: String = wanted.chars().map(like).take(NAME_CHARS).collect();
    if name.is_empty() {
        "unnamed".to_owned()
    } else {
        name
    }
}

/// Shorter than a name may be, so that a number fits behind it.
const NAME_CHARS: usize = 56;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_ours_and_free() {
        let mut section = Section::default();
        assert_eq!(section.add("VI 1/ü", Map::default()), "VI-1--");
        assert_eq!(section.add("VI 1/ü", Map::default()), "VI-1---2");
        assert_eq!(section.add("", Map::default()), "unnamed");
        assert_eq!(name_of(&"x".repeat(100)).len(), NAME_CHARS);
    }
}
