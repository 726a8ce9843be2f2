//! Where a path of the file is: line and column, found only when there is something to complain about.
//!
//! The first reader (`file`) knows no places; this second one does, and is asked after the fact. Should it stumble
//! over a text that the first one read, errors are printed without a place rather than not at all.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, Location, Spanned};

/// One step from the root of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// To the value of a key; the number says which of several equal keys, from 0.
    Key(String, usize),
    /// To an element of a list.
    Index(usize),
}

/// What of the last step of a path is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The key.
    Key,
    /// The value.
    Value,
}

/// Line and column, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

/// The places of everything in a text.
pub struct Places(Option<Spanned<Shape>>);

impl Places {
    /// Reads the text a second time.
    pub fn read(text: &str) -> Self {
        // Equal keys are told apart by their occurrence, so they must all come through.
        let options = serde_saphyr::options! { duplicate_keys: DuplicateKeyPolicy::PassThrough };
        Self(serde_saphyr::from_str_with_options(text, options).ok())
    }

    /// Returns where a path is, or where it comes nearest.
    pub fn find(&self, path: &[Step], part: Part) -> Option<Place> {
        let mut node = self.0.as_ref()?;
        let mut place = place(node.defined);
        for (depth, step) in path.iter().enumerate() {
            let last = depth + 1 == path.len();
            match (step, &node.value) {
                (Step::Key(name, occurrence), Shape::Map(pairs)) => {
                    let mut same = pairs
                        .iter()
                        .filter(|(key, _)| key_name(&key.value) == *name);
                    let Some((key, value)) = same.nth(*occurrence) else {
                        return place;
                    };
                    let wanted = if last && part == Part::Key {
                        key
                    } else {
                        value
                    };
                    place = self::place(wanted.defined).or_else(|| self::place(key.defined));
                    node = value;
                }
                (Step::Index(index), Shape::List(list)) => {
                    let Some(element) = list.get(*index) else {
                        return place;
                    };
                    place = self::place(element.defined).or(place);
                    node = element;
                }
                (Step::Key(..) | Step::Index(_), _) => return place,
            }
        }
        place
    }
}

fn place(location: Location) -> Option<Place> {
    let line = usize::try_from(location.line())
        .ok()
        .filter(|line| *line > 0)?;
    let column = usize::try_from(location.column())
        .ok()
        .filter(|column| *column > 0)?;
    Some(Place { line, column })
}

fn key_name(key: &Shape) -> &str {
    match key {
        Shape::Scalar(text) => text,
        Shape::List(_) | Shape::Map(_) => "?",
    }
}

/// The shape of the text with a place at every corner.
enum Shape {
    Scalar(String),
    List(Vec<Spanned<Shape>>),
    Map(Vec<(Spanned<Shape>, Spanned<Shape>)>),
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShapeVisitor)
    }
}

struct ShapeVisitor;

impl<'de> Visitor<'de> for ShapeVisitor {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Shape, E> {
        Ok(Shape::Scalar("~".into()))
    }

    fn visit_none<E>(self) -> Result<Shape, E> {
        Ok(Shape::Scalar("~".into()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Shape, E> {
        Ok(Shape::Scalar(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Shape, E> {
        Ok(Shape::Scalar(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Shape, E> {
        Ok(Shape::Scalar(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Shape, E> {
        Ok(Shape::Scalar(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Shape, E> {
        Ok(Shape::Scalar(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Shape, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = access.next_element()? {
            list.push(element);
        }
        Ok(Shape::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Shape, A::Error> {
        let mut map = Vec::new();
        while let Some(key) = access.next_key()? {
            map.push((key, access.next_value()?));
        }
        Ok(Shape::Map(map))
    }
}
