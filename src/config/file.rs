//! The text of a configuration as a tree: YAML as written, before any of it means anything.
//!
//! Duplicate keys stay in the tree, for `check` to refuse. Every key and every value has a number,
//! in the order of the text; `place` turns such a number into line and column, and only when there
//! is something to complain about. Read `reader` next.

use std::fmt;

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};

/// One value of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The number of this value, in the order of the text.
    pub id: NodeId,
    /// The value itself.
    pub kind: Kind,
}

/// The number of a key or a value; keys come before their values, parents before their children.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

/// What a value is, by YAML's core schema.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// Nothing, `~` or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i128),
    /// A number with a fraction, or too large for `Int`.
    Float(f64),
    /// Everything else that is not a list or a map.
    Text(String),
    /// `[a, b]`, or lines with dashes.
    List(Vec<Node>),
    /// `{a: 1}`, or lines with colons; duplicates are kept.
    Map(Vec<(Key, Node)>),
}

/// The key of an entry of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The number of this key, in the order of the text.
    pub id: NodeId,
    /// As written.
    pub text: String,
}

/// A text that is not YAML, or more of it than a configuration can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// What is wrong.
    pub message: String,
    /// Line and column, both from 1, where known.
    pub place: Option<(usize, usize)>,
}

/// Reads a text; also gives how many keys and values it has.
///
/// # Errors
/// When the text is larger than 1 MiB, has a control character, or is refused by the YAML reader.
pub fn read(text: &str) -> Result<(Node, u32), SyntaxError> {
    if text.len() > TEXT_BYTES_MAX {
        let message = format!("the file is larger than {} KiB", TEXT_BYTES_MAX / 1024);
        return Err(SyntaxError {
            message,
            place: None,
        });
    }
    if let Some(error) = control_character(text) {
        return Err(error);
    }
    let mut count = 0;
    if text
        .lines()
        .all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
    {
        return Ok((
            Node {
                id: NodeId(0),
                kind: Kind::Null,
            },
            1,
        ));
    }
    let seed = NodeSeed { count: &mut count };
    match seed.deserialize(serde_yaml::Deserializer::from_str(text)) {
        Ok(node) => Ok((node, count)),
        Err(error) => Err(SyntaxError::from(error)),
    }
}

/// Finds a character that YAML does not allow anywhere, also not in comments.
fn control_character(text: &str) -> Option<SyntaxError> {
    let allowed = ['\t', '\n', '\r', '\u{85}'];
    let forbidden = |c: char| c.is_control() && !allowed.contains(&c);
    text.lines().enumerate().find_map(|(index, line)| {
        let column = line.chars().position(forbidden)?;
        let message = "control characters are not allowed".to_owned();
        Some(SyntaxError {
            message,
            place: Some((index + 1, column + 1)),
        })
    })
}

/// Returns the way to a key or value, as `virtual_routers.web.addresses[1]`.
pub fn path_of(root: &Node, id: NodeId) -> String {
    let mut path = String::new();
    let mut node = root;
    loop {
        match &node.kind {
            Kind::Map(entries) => {
                let Some((key, value)) = entries.iter().rev().find(|(key, _)| key.id <= id) else {
                    return path;
                };
                if node.id == id {
                    return path;
                }
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(&key.text);
                node = value;
                if key.id == id {
                    return path;
                }
            }
            Kind::List(items) => {
                let Some(index) = items.iter().rposition(|item| item.id <= id) else {
                    return path;
                };
                path.push_str(&format!("[{index}]"));
                node = &items[index];
            }
            Kind::Null | Kind::Bool(_) | Kind::Int(_) | Kind::Float(_) | Kind::Text(_) => {
                return path;
            }
        }
    }
}

impl From<serde_yaml::Error> for SyntaxError {
    fn from(error: serde_yaml::Error) -> Self {
        let place = error
            .location()
            .map(|location| (location.line(), location.column()));
        let mut message = error.to_string();
        if let Some((line, column)) = place {
            message = message.replacen(&format!(" at line {line} column {column}"), "", 1);
        }
        if message.contains("more than one document") {
            message = "a configuration is one YAML document; `---` begins a second one".to_owned();
        }
        if message.contains(KEY_EXPECTED) {
            message = "a key must be a name, not a list or a map".to_owned();
        }
        Self { message, place }
    }
}

impl Kind {
    /// Names the kind of value, for people.
    pub fn describe(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "true or false",
            Self::Int(_) | Self::Float(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

/// Reads one value, numbering it and all below it.
struct NodeSeed<'c> {
    count: &'c mut u32,
}

impl NodeSeed<'_> {
    fn next_id<E: de::Error>(&mut self) -> Result<NodeId, E> {
        let id = NodeId(*self.count);
        *self.count += 1;
        if *self.count > NODES_MAX {
            return Err(E::custom("too many values"));
        }
        Ok(id)
    }
}

impl<'de> DeserializeSeed<'de> for NodeSeed<'_> {
    type Value = Node;

    fn deserialize<D: de::Deserializer<'de>>(mut self, deserializer: D) -> Result<Node, D::Error> {
        let id = self.next_id()?;
        let kind = deserializer.deserialize_any(KindVisitor { count: self.count })?;
        Ok(Node { id, kind })
    }
}

struct KindVisitor<'c> {
    count: &'c mut u32,
}

impl<'de> Visitor<'de> for KindVisitor<'_> {
    type Value = Kind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Kind, E> {
        Ok(Kind::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Kind, E> {
        Ok(Kind::Int(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Kind, E> {
        Ok(Kind::Int(value.into()))
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Kind, E> {
        Ok(Kind::Int(value))
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Kind, E> {
        Ok(i128::try_from(value).map_or(Kind::Float(f64::MAX), Kind::Int))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Kind, E> {
        Ok(Kind::Float(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Kind, E> {
        Ok(Kind::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Kind, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(NodeSeed {
            count: &mut *self.count,
        })? {
            items.push(item);
        }
        Ok(Kind::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Kind, A::Error> {
        let mut entries = Vec::new();
        loop {
            let seed = KeySeed(NodeSeed {
                count: &mut *self.count,
            });
            let Some(key) = map.next_key_seed(seed)? else {
                break;
            };
            let value = map.next_value_seed(NodeSeed {
                count: &mut *self.count,
            })?;
            entries.push((key, value));
        }
        Ok(Kind::Map(entries))
    }

    fn visit_enum<A: de::EnumAccess<'de>>(self, _data: A) -> Result<Kind, A::Error> {
        Err(de::Error::custom("tags (`!name`) have no meaning here"))
    }
}

/// Reads a key as it is written: `1` and `true` are names like any other.
struct KeySeed<'c>(NodeSeed<'c>);

impl<'de> DeserializeSeed<'de> for KeySeed<'_> {
    type Value = Key;

    fn deserialize<D: de::Deserializer<'de>>(mut self, deserializer: D) -> Result<Key, D::Error> {
        let id = self.0.next_id()?;
        let text = deserializer.deserialize_str(KeyVisitor)?;
        Ok(Key { id, text })
    }
}

struct KeyVisitor;

impl Visitor<'_> for KeyVisitor {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(KEY_EXPECTED)
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<String, E> {
        Ok(value.to_owned())
    }
}

/// What the parser says a key should have been.
const KEY_EXPECTED: &str = "a name as key";

/// A file that is larger is refused unread: no pair of machines needs more than some kilobytes.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// More keys and values are refused, so that aliases of aliases cannot fill the memory.
const NODES_MAX: u32 = 200_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicate_keys_are_kept_and_numbered_in_order() {
        let (node, count) = read("a: 1\nb: [x, {c: true}]\na:\n").expect("valid YAML");
        let Kind::Map(entries) = &node.kind else {
            panic!("a map is hoped for: {node:?}")
        };
        let keys: Vec<_> = entries
            .iter()
            .map(|(key, _)| (key.text.as_str(), key.id.0))
            .collect();
        assert_eq!(keys, [("a", 1), ("b", 3), ("a", 9)]);
        assert_eq!(count, 11);
        assert_eq!(path_of(&node, NodeId(8)), "b[1].c");
        assert_eq!(path_of(&node, NodeId(7)), "b[1].c");
        assert_eq!(path_of(&node, NodeId(5)), "b[0]");
        assert_eq!(path_of(&node, NodeId(9)), "a");
        assert_eq!(path_of(&node, NodeId(0)), "");
    }

    #[test]
    fn aliases_of_aliases_are_stopped() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for i in 1..12 {
            let alias = format!("*a{}", i - 1);
            text.push_str(&format!(
                "a{i}: &a{i} [{}]\n",
                [alias.as_str(); 10].join(", ")
            ));
        }
        assert!(read(&text).is_err(), "a bomb is refused");
        assert!(read("a: &a [*a]\n").is_err(), "a loop is refused");
    }
}
