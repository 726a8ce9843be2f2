//! evenkeel.yaml(5) as a table of keys: the page that explains them is the only place that does.
//!
//! It is read as it is written, mdoc, of which it needs little. A section is about a map of the
//! configuration ([`SECTIONS`]); an item of a list that begins with `Cm key :` is about a key of
//! it, and a list in an item about the keys below. `tests/documents.rs` requires every key of the
//! configuration to be found.

use std::collections::BTreeSet;

use super::mdoc;

/// What the manual says of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Where it stands, `*` for names of the user's own and places in a list; several where one
    /// text is about several.
    pub(super) paths: Vec<String>,
    /// Where keys stand that are explained beside it and nowhere else, as those of
    /// `{delay: duration}`.
    pub(super) inner: Vec<String>,
    /// The key with what it may be, as `lease: duration`.
    pub(super) form: String,
    /// Paragraphs, an empty line between them; a line that begins with spaces stays as it is.
    pub(super) text: String,
}

/// Returns all entries, in the order of the manual.
pub(super) fn entries() -> Vec<Entry> {
    let mut reader = Reader {
        entries: Vec::new(),
        base: None,
        lists: Vec::new(),
        literal: false,
    };
    for line in PAGE.lines() {
        reader.read(line);
    }
    let known: BTreeSet<String> = reader
        .entries
        .iter()
        .flat_map(|entry| entry.paths.clone())
        .collect();
    for entry in &mut reader.entries {
        entry.text = entry.text.trim().to_owned();
        let inner = entry.paths.iter().flat_map(|path| {
            let keys = entry.inner.iter();
            keys.map(move |key| format!("{path}.{key}"))
        });
        entry.inner = inner.filter(|path| !known.contains(path)).collect();
    }
    reader.entries
}

/// The state of the reading.
struct Reader {
    entries: Vec<Entry>,
    /// What the section is about.
    base: Option<&'static str>,
    lists: Vec<List>,
    /// Within lines that stay as they are.
    literal: bool,
}

/// A list that has begun.
enum List {
    /// Of keys; the entry of the item that was last begun.
    Keys(Option<usize>),
    /// Of anything else.
    Other,
}

impl Reader {
    fn read(&mut self, line: &str) {
        if self.literal {
            self.literal = line != ".Ed";
            if self.literal {
                self.say(&format!("\n    {}", mdoc::unescape(line)));
            } else {
                self.say("\n");
            }
            return;
        }
        let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
        match name {
            ".Sh" => self.begin_section(rest),
            ".Ss" => self.lists.clear(),
            ".Bl" if rest.starts_with("-tag") => self.lists.push(List::Keys(None)),
            ".Bl" => self.lists.push(List::Other),
            ".El" => drop(self.lists.pop()),
            ".It" => self.begin_item(rest),
            ".Pp" => self.say("\n\n"),
            ".Bd" => self.literal = true,
            ".Dl" => self.say(&format!("\n    {}\n", mdoc::line(rest))),
            _ if line.starts_with(".\\\"") => {}
            _ => {
                let said = match line.strip_prefix('.') {
                    Some(macros) => mdoc::line(macros),
                    None => mdoc::unescape(line),
                };
                self.say_word(&said);
            }
        }
    }

    fn begin_section(&mut self, title: &str) {
        self.lists.clear();
        let found = SECTIONS.iter().find(|(known, _)| *known == title);
        self.base = found.map(|(_, base)| *base);
        let whole = self.base.map(|base| base.trim_end_matches(".*"));
        if let Some(path) = whole.filter(|path| !path.is_empty() && !path.contains('*')) {
            self.entries.push(Entry {
                paths: vec![path.to_owned()],
                inner: Vec::new(),
                form: path.to_owned(),
                text: String::new(),
            });
        }
    }

    fn begin_item(&mut self, head: &str) {
        let form = mdoc::line(head);
        let keys = keys_of(head);
        let (Some(base), Some(List::Keys(_)), false) =
            (self.base, self.lists.last(), keys.is_empty())
        else {
            self.say(&format!("\n- {form} "));
            return;
        };
        let above = self.lists.iter().rev().skip(1).find_map(List::entry);
        let above: Vec<String> = match above {
            Some(above) => self.entries[above].paths.clone(),
            None => vec![base.to_owned()],
        };
        let paths = above.iter().flat_map(|above| {
            let keys = keys.iter();
            keys.map(move |key| format!("{above}.{key}").trim_start_matches('.').to_owned())
        });
        let paths = paths.flat_map(|path| renamed(&path)).collect();
        let index = self.entries.len();
        self.entries.push(Entry {
            paths,
            inner: inner_keys(head),
            form,
            text: String::new(),
        });
        if let Some(list) = self.lists.last_mut() {
            *list = List::Keys(Some(index));
        }
    }

    /// Appends to what the text is about.
    fn say(&mut self, text: &str) {
        let Some(base) = self.base else { return };
        let found = self.lists.iter().rev().find_map(List::entry);
        let about = match (found, self.lists.is_empty()) {
            (Some(about), _) => about,
            // What stands before the list of a section is about the map itself.
            (None, true) => {
                let whole = base.trim_end_matches(".*");
                let last = self.entries.len().checked_sub(1);
                let Some(last) = last.filter(|last| self.entries[*last].paths == [whole]) else {
                    return;
                };
                last
            }
            (None, false) => return,
        };
        self.entries[about].text.push_str(text);
    }

    /// The same, with a space before it where there is none.
    fn say_word(&mut self, text: &str) {
        let begins_line = ["Default:", "Example:", "Required."];
        let between = match begins_line.iter().any(|word| text.starts_with(word)) {
            true => "\n",
            false => " ",
        };
        self.say(&format!("{between}{text}"));
    }
}

impl List {
    fn entry(&self) -> Option<usize> {
        match self {
            Self::Keys(entry) => *entry,
            Self::Other => None,
        }
    }
}

/// Returns the keys that the head of an item is about: `Cm rise : ... ; Cm fall : ...`.
fn keys_of(head: &str) -> Vec<&str> {
    let mut keys = Vec::new();
    for part in head.split(" ; ") {
        if let Some((key, _)) = part.strip_prefix("Cm ").and_then(|it| it.split_once(" :")) {
            keys.push(key);
        }
    }
    keys
}

/// Returns the keys within braces of a head: `Brq Cm name , path`, and those of `Cm at : a ; ...`.
fn inner_keys(head: &str) -> Vec<String> {
    let words: Vec<&str> = head.split(' ').collect();
    let begin = words.iter().position(|word| *word == "Brq");
    let mut found = Vec::new();
    let mut is_key = false;
    for word in begin.map_or(&[][..], |begin| &words[begin..]) {
        match *word {
            "Cm" => is_key = true,
            "Ar" | "Brq" | ":" => is_key = false,
            "," | "|" => {}
            key if is_key => found.push(key.to_owned()),
            _ => {}
        }
    }
    found
}

/// Returns where a key really stands: the page says some things once of several maps.
fn renamed(path: &str) -> Vec<String> {
    for (said, meant) in ELSEWHERE {
        if let Some(rest) = path.strip_prefix(said) {
            return meant.iter().map(|to| format!("{to}{rest}")).collect();
        }
    }
    vec![path.to_owned()]
}

/// The sections that are about keys, and the maps that they are about.
const SECTIONS: [(&str, &str); 11] = [
    ("NODE", ""),
    ("VIRTUAL ROUTERS", "virtual_routers.*"),
    ("TRACK SCRIPTS", "track_scripts.*"),
    ("LISTENERS", "listeners.*"),
    ("ROUTES", "listeners.*.routes.*"),
    ("TLS OF LISTENERS", "listeners.*.tls"),
    ("POOLS", "pools.*"),
    ("PROXY", "proxy"),
    ("GROUP", "group"),
    ("ADMIN", "admin"),
    ("ACCESS LOG", "access_log"),
];

/// Beginnings of paths as the page has them, and what is meant.
const ELSEWHERE: [(&str, &[&str]); 11] = [
    ("virtual_routers.*.track.", &["virtual_routers.*.track.*."]),
    ("pools.*.backends.", &["pools.*.backends.*."]),
    ("pools.*.affinity.", &["pools.*.affinity.cookie."]),
    ("group.secret.", &["group.secret.", "group.secret.*."]),
    (
        "listeners.*.routes.*.set",
        &[
            "listeners.*.request_headers.set",
            "listeners.*.response_headers.set",
            "listeners.*.routes.*.request_headers.set",
        ],
    ),
    (
        "listeners.*.routes.*.add",
        &[
            "listeners.*.request_headers.add",
            "listeners.*.response_headers.add",
            "listeners.*.routes.*.request_headers.add",
        ],
    ),
    (
        "listeners.*.routes.*.remove",
        &[
            "listeners.*.request_headers.remove",
            "listeners.*.response_headers.remove",
            "listeners.*.routes.*.request_headers.remove",
        ],
    ),
    (
        "listeners.*.limits.rate",
        &[
            "listeners.*.limits.connection_rate_per_client.rate",
            "listeners.*.limits.requests.rate",
            "listeners.*.limits.requests_per_client.rate",
        ],
    ),
    (
        "listeners.*.limits.burst",
        &[
            "listeners.*.limits.connection_rate_per_client.burst",
            "listeners.*.limits.requests.burst",
            "listeners.*.limits.requests_per_client.burst",
        ],
    ),
    (
        "listeners.*.limits.by",
        &["listeners.*.limits.requests_per_client.by"],
    ),
    (
        "listeners.*.limits.clients",
        &[
            "listeners.*.limits.connection_rate_per_client.clients",
            "listeners.*.limits.requests_per_client.clients",
        ],
    ),
];

/// The page itself.
const PAGE: &str = include_str!("../../../man/evenkeel.yaml.5");
