//! YAML as written: a tree that keeps what a map would hide.
//!
//! The parser behind serde silently lets the last of two equal keys win, and knows no place after the parse. So the
//! text becomes a tree of our own in which maps are lists of pairs; `check` reads it by paths, and `place` finds the
//! line and column of a path when there is something to complain about.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// One value of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// Nothing, `~` or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i128),
    /// Any other scalar, as text.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A map, in the order of the file, equal keys and all.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// Returns what it is, with an article.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a truth value",
            Self::Integer(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

/// A syntax error: what, and where if the parser knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// What is wrong.
    pub message: String,
    /// Line and column, from 1.
    pub place: Option<(usize, usize)>,
}

/// Reads the text into a tree.
pub fn read(text: &str) -> Result<Node, SyntaxError> {
    serde_yaml::from_str(text).map_err(|error| {
        let place = error
            .location()
            .map(|location| (location.line(), location.column()));
        let mut message = error.to_string();
        if let Some(end) = message.rfind(" at line ") {
            message.truncate(end);
        }
        SyntaxError { message, place }
    })
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Tree)
    }
}

struct Tree;

impl<'de> Visitor<'de> for Tree {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Integer(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Integer(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Text(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(node) = access.next_element()? {
            list.push(node);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut map = Vec::new();
        while let Some(key) = access.next_key::<Node>()? {
            map.push((key_text(key), access.next_value()?));
        }
        Ok(Node::Map(map))
    }
}

fn key_text(key: Node) -> String {
    match key {
        Node::Null => "~".into(),
        Node::Bool(value) => value.to_string(),
        Node::Integer(value) => value.to_string(),
        Node::Text(text) => text,
        Node::List(_) | Node::Map(_) => "?".into(),
    }
}
