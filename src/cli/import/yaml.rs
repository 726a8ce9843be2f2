//! YAML as this program writes it: sections and entries as blocks, what fits on a line on a line.
//!
//! Every text that could be read as anything else is in double quotes. Knows no keys.

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Yaml {
    /// A number, a boolean, a word of the grammar: written as it is.
    Word(String),
    /// A text, quoted where needed.
    Text(String),
    /// A list.
    List(Vec<Self>),
    /// A map, in the order in which it is written.
    Map(Map),
}

impl Yaml {
    /// Returns a text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// Returns a number or boolean.
    pub fn word(word: impl ToString) -> Self {
        Self::Word(word.to_string())
    }

    /// Returns a list of texts.
    pub fn texts<S: Into<String>>(texts: impl IntoIterator<Item = S>) -> Self {
        Self::List(texts.into_iter().map(Self::text).collect())
    }

    /// Returns a map of one key.
    pub fn one(key: &str, value: Self) -> Self {
        Self::Map(Map::default().with(key, value))
    }

    /// Returns the value on one line.
    pub fn flow(&self) -> String {
        match self {
            Self::Word(word) => word.clone(),
            Self::Text(text) => quoted(text),
            Self::List(items) => {
                let items: Vec<String> = items.iter().map(Self::flow).collect();
                format!("[{}]", items.join(", "))
            }
            Self::Map(map) => {
                let pairs = map.0.iter();
                let pairs: Vec<String> = pairs
                    .map(|(key, value)| format!("{}: {}", quoted(key), value.flow()))
                    .collect();
                format!("{{{}}}", pairs.join(", "))
            }
        }
    }
}

/// Keys with values, in order; each key once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Map(Vec<(String, Yaml)>);

impl Map {
    /// Sets a key, in its place where it is there already.
    pub fn set(&mut self, key: impl Into<String>, value: Yaml) {
        let key = key.into();
        match self.0.iter_mut().find(|(known, _)| *known == key) {
            Some((_, old)) => *old = value,
            None => self.0.push((key, value)),
        }
    }

    /// Returns the map with a key set.
    #[must_use]
    pub fn with(mut self, key: &str, value: Yaml) -> Self {
        self.set(key, value);
        self
    }

    /// Returns the value of a key.
    pub fn get(&self, key: &str) -> Option<&Yaml> {
        let pair = self.0.iter().find(|(known, _)| known == key)?;
        Some(&pair.1)
    }

    /// Takes a key out.
    pub fn remove(&mut self, key: &str) -> Option<Yaml> {
        let index = self.0.iter().position(|(known, _)| known == key)?;
        Some(self.0.remove(index).1)
    }

    /// Returns the map below a key, made where there is none.
    pub fn map(&mut self, key: &str) -> &mut Self {
        if !matches!(self.get(key), Some(Yaml::Map(_))) {
            self.set(key, Yaml::Map(Self::default()));
        }
        let pair = self.0.iter_mut().find(|(known, _)| known == key);
        match pair {
            Some((_, Yaml::Map(map))) => map,
            Some(_) | None => unreachable!("it was set to a map above"),
        }
    }

    /// Adds to the list below a key, once.
    pub fn push(&mut self, key: &str, value: Yaml) {
        let mut items = match self.get(key) {
            Some(Yaml::List(items)) => items.clone(),
            Some(_) | None => Vec::new(),
        };
        if !items.contains(&value) {
            items.push(value);
        }
        self.set(key, Yaml::List(items));
    }

    /// Returns the pairs in order.
    pub fn iter(&self) -> impl Iterator<Item = &(String, Yaml)> {
        self.0.iter()
    }

    /// Returns whether it has no keys.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the map as a document; `depth` levels are blocks, whatever their length.
    pub fn document(&self, depth: usize) -> String {
        let mut out = String::new();
        self.write(0, depth, &mut out);
        out
    }

    fn write(&self, indent: usize, depth: usize, out: &mut String) {
        for (key, value) in &self.0 {
            let key = quoted(key);
            write_below(&format!("{key}:"), value, indent, depth, out);
        }
    }
}

/// Writes a value behind `head`: a key with its colon, or the dash of a list.
fn write_below(head: &str, value: &Yaml, indent: usize, depth: usize, out: &mut String) {
    let margin = " ".repeat(indent);
    let flow = value.flow();
    let fits = indent + head.len() + 1 + flow.chars().count() <= COLUMNS;
    let is_scalar = matches!(value, Yaml::Word(_) | Yaml::Text(_));
    let is_empty = match value {
        Yaml::List(items) => items.is_empty(),
        Yaml::Map(map) => map.is_empty(),
        Yaml::Word(_) | Yaml::Text(_) => false,
    };
    let is_block = matches!(value, Yaml::Map(_)) && depth > 0;
    if is_empty || is_scalar || (fits && !is_block) {
        out.push_str(&format!("{margin}{head} {flow}\n"));
        return;
    }
    match value {
        Yaml::Map(map) if head == "-" => {
            let mut text = String::new();
            map.write(indent + 2, depth.saturating_sub(1), &mut text);
            out.push_str(&format!("{margin}- {}", text.trim_start()));
        }
        Yaml::Map(map) => {
            out.push_str(&format!("{margin}{head}\n"));
            map.write(indent + 2, depth.saturating_sub(1), out);
        }
        Yaml::List(items) => {
            out.push_str(&format!("{margin}{head}\n"));
            for item in items {
                write_below("-", item, indent + 2, 0, out);
            }
        }
        Yaml::Word(_) | Yaml::Text(_) => {}
    }
}

/// Returns a text as it is where nothing else can be read in it, else in double quotes.
fn quoted(text: &str) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn is_plain(text: &str) -> bool {
    let Some(first) = text.chars().next() else {
        return false;
    };
    let known = text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "._/-".contains(c));
    let reserved = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let lower = text.to_ascii_lowercase();
    // An address, a network, a duration: what begins with a digit and is no number.
    let digits = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let is_duration = ["ms", "s", "m", "h"].contains(&digits);
    let is_address = text.chars().filter(|c| *c == '.').count() == 3
        && text
            .chars()
            .all(|c| c.is_ascii_digit() || c == '.' || c == '/');
    let begins = first.is_ascii_alphabetic() || first == '/' || is_duration || is_address;
    known && begins && !reserved.contains(&lower.as_str())
}

/// How long a line may be.
const COLUMNS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_where_they_could_be_something_else() {
        for plain in [
            "web",
            "/etc/a",
            "192.0.2.1",
            "192.0.2.0/24",
            "1s",
            "10ms",
            "a-b_c.d",
        ] {
            assert_eq!(quoted(plain), plain);
        }
        for quoted_ in [
            "",
            "1",
            "1.5",
            "0x1f",
            "1e3",
            "true",
            "No",
            "y",
            "~",
            "a:80",
            "a b",
            "#a",
            "-a",
            "*",
            "&a",
            "a,b",
            "1.2.3.4:80",
            "12:30",
            "2001:db8::1",
            "2026-01-01",
            ".5",
            "é",
        ] {
            assert_eq!(quoted(quoted_), format!("\"{quoted_}\""), "{quoted_}");
        }
        assert_eq!(
            quoted("a\"\\\n\u{1}\u{2028}"),
            "\"a\\\"\\\\\\n\\x01\\u2028\""
        );
    }

    #[test]
    fn what_fits_stands_on_a_line() {
        let entry = Map::default()
            .with("bind", Yaml::texts(["192.0.2.1:80"]))
            .with("limits", Yaml::one("connections", Yaml::word(5)));
        let long = "x".repeat(60);
        let list = Yaml::List(vec![
            Yaml::one("a", Yaml::text(&long)),
            Yaml::Map(
                Map::default()
                    .with("b", Yaml::text(&long))
                    .with("c", Yaml::text(&long)),
            ),
        ]);
        let document = Map::default().with(
            "listeners",
            Yaml::one("web", Yaml::Map(entry.with("routes", list))),
        );
        assert_eq!(
            document.document(2),
            format!(
                "listeners:\n  web:\n    bind: [\"192.0.2.1:80\"]\n    limits: {{connections: 5}}\n    \
                 routes:\n      - {{a: {long}}}\n      - b: {long}\n        c: {long}\n"
            )
        );
    }
}
