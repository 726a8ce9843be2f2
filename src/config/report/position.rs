//! Where in the text a key or a value stands, found by reading the text a second time with another
//! parser.
//!
//! The first parser is kept for what a configuration means; this one knows line and column of
//! everything and runs only when there are errors. Where the two disagree about the text no
//! position is given rather than a wrong one.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, MergeKeyPolicy, NonFiniteFloatPolicy, Spanned};

/// Where something stands, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// From 1.
    pub line: usize,
    /// From 1.
    pub column: usize,
    /// How many characters to underline; at least 1, and not beyond the line.
    pub len: usize,
}

/// Returns the position of every key and value in the order of the text, or `None` if there are not
/// `count` of them.
pub(super) fn positions(text: &str, count: u32) -> Option<Vec<Position>> {
    let options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: MergeKeyPolicy::AsOrdinary,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        with_snippet: false,
    };
    let root: Spanned<Seen> = serde_saphyr::from_str_with_options(text, options).ok()?;
    let mut positions = Vec::new();
    flatten(&root, &mut positions);
    (u32::try_from(positions.len()) == Ok(count)).then_some(positions)
}

fn flatten(seen: &Spanned<Seen>, positions: &mut Vec<Position>) {
    let location = seen.referenced;
    let len = match seen.value {
        Seen::Leaf => usize::try_from(location.span().len()).unwrap_or(1).max(1),
        Seen::List(_) | Seen::Map(_) => 1,
    };
    positions.push(Position {
        line: usize::try_from(location.line()).unwrap_or(0),
        column: usize::try_from(location.column()).unwrap_or(0),
        len,
    });
    match &seen.value {
        Seen::Leaf => {}
        Seen::List(items) => items.iter().for_each(|item| flatten(item, positions)),
        Seen::Map(entries) => entries.iter().for_each(|(key, value)| {
            flatten(key, positions);
            flatten(value, positions);
        }),
    }
}

/// The shape of a value, without the value.
enum Seen {
    Leaf,
    List(Vec<Spanned<Self>>),
    Map(Vec<(Spanned<Self>, Spanned<Self>)>),
}

impl<'de> Deserialize<'de> for Seen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SeenVisitor)
    }
}

struct SeenVisitor;

impl<'de> Visitor<'de> for SeenVisitor {
    type Value = Seen;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Seen, E> {
        Ok(Seen::Leaf)
    }

    fn visit_none<E: de::Error>(self) -> Result<Seen, E> {
        Ok(Seen::Leaf)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Seen, D::Error> {
        Seen::deserialize(deserializer)
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Seen, E> {
        Ok(Seen::Leaf)
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Seen, E> {
        Ok(Seen::Leaf)
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Seen, E> {
        Ok(Seen::Leaf)
    }

    fn visit_i128<E: de::Error>(self, _: i128) -> Result<Seen, E> {
        Ok(Seen::Leaf)
    }

    fn visit_u128<E: de::Error>(self, _: u128) -> Result<Seen, E> {
        Ok(Seen::Leaf)
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Seen, E> {
        Ok(Seen::Leaf)
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<Seen, E> {
        Ok(Seen::Leaf)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Seen, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Seen::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Seen, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Seen::Map(entries))
    }

    fn visit_enum<A: de::EnumAccess<'de>>(self, data: A) -> Result<Seen, A::Error> {
        data.variant::<IgnoredAny>()?;
        Ok(Seen::Leaf)
    }
}
