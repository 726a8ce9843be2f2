//! HAProxy's configuration as lines in sections, each with the `defaults` that hold for it.
//!
//! Words are divided by spaces; a backslash takes the next character as it is, `'...'` everything,
//! `"..."` everything but backslashes. Variables of the environment are not known here and stay as
//! they are. Nothing here fails: a quote that is not closed ends with its line.

use std::rc::Rc;

use crate::cli::import::keepalived::Given;
use crate::cli::import::remarks::{Line, Place, Remarks};

/// A section.
#[derive(Clone, Debug)]
pub struct Section {
    /// Its kind: `frontend`, `backend`, `listen`, `defaults`, `global`, or another.
    pub kind: String,
    /// Its name, or nothing.
    pub name: String,
    /// Where it begins.
    pub line: Line,
    /// Its own lines.
    pub own: Vec<Line>,
    /// Those of its `defaults`.
    pub defaults: Vec<Line>,
}

impl Section {
    /// Returns the line that holds of those that begin with `words`: its own last, or else the
    /// last of its defaults; `None` where there is none, or `no` is said of it.
    pub fn find(&self, words: &[&str]) -> Option<&Line> {
        let begins = |line: &[String]| {
            line.len() >= words.len() && line.iter().zip(words).all(|(a, b)| a == b)
        };
        for line in self.own.iter().rev().chain(self.defaults.iter().rev()) {
            if line.word(0) == "no" && begins(line.from(1)) {
                return None;
            }
            if begins(&line.words) {
                return Some(line);
            }
        }
        None
    }

    /// Returns the lines that begin with `word`: its own, or else those of its defaults.
    pub fn all(&self, word: &str) -> Vec<&Line> {
        let of = |lines: &'_ [Line]| lines.iter().any(|line| line.word(0) == word);
        let lines = if of(&self.own) {
            &self.own
        } else {
            &self.defaults
        };
        lines.iter().filter(|line| line.word(0) == word).collect()
    }

    /// Returns whether it carries requests, not bytes.
    pub fn is_http(&self) -> bool {
        self.find(&["mode"])
            .is_some_and(|line| line.word(1) == "http")
    }

    /// Returns whether it listens.
    pub fn is_front(&self) -> bool {
        self.kind == "frontend" || self.kind == "listen"
    }

    /// Returns whether it has servers.
    pub fn is_back(&self) -> bool {
        self.kind == "backend" || self.kind == "listen"
    }
}

/// Reads files, one behind the other, as `haproxy -f a -f b` does.
pub fn read(files: &[Given], remarks: &mut Remarks) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    for file in files {
        let name: Rc<str> = file.path.to_string_lossy().into();
        for (index, text) in file.text.lines().enumerate() {
            let line = Line {
                place: Place {
                    file: Rc::clone(&name),
                    line: index + 1,
                },
                words: words(text),
                text: shown(text),
            };
            let keyword = line.word(0);
            if keyword.is_empty() {
                continue;
            }
            if keyword.starts_with('.') {
                let why = "conditions on the configuration are not read: what stands behind is \
                           taken as if it held";
                remarks.lost(&line, why);
            } else if KINDS.contains(&keyword) {
                let section = begin(line, &sections, remarks);
                sections.push(section);
            } else if let Some(section) = sections.last_mut() {
                section.own.push(line);
            } else {
                remarks.no_effect(&line, "it stands in no section");
            }
        }
    }
    raise(&mut sections);
    sections
}

/// A frontend of bytes whose backend takes requests carries requests.
fn raise(sections: &mut [Section]) {
    let http: Vec<String> = sections
        .iter()
        .filter(|section| section.is_back() && section.is_http())
        .map(|section| section.name.clone())
        .collect();
    for section in sections.iter_mut() {
        let target = section.find(&["default_backend"]).cloned();
        let is_of_bytes = section.kind == "frontend" && !section.is_http();
        let target = target.filter(|line| http.iter().any(|name| name == line.word(1)));
        if let Some(mut line) = target.filter(|_| is_of_bytes) {
            line.words = vec!["mode".to_owned(), "http".to_owned()];
            section.own.push(line);
        }
    }
}

/// Begins a section with the defaults that hold for it.
fn begin(line: Line, before: &[Section], remarks: &mut Remarks) -> Section {
    let (kind, name) = (line.word(0).to_owned(), line.word(1).to_owned());
    let from = line.words.iter().position(|word| word == "from");
    let from = from.map(|at| line.word(at + 1).to_owned());
    let is_defaults = |section: &&Section| section.kind == "defaults";
    let defaults = match &from {
        Some(from) => before.iter().filter(is_defaults).rfind(|s| s.name == *from),
        None if kind == "defaults" => None,
        None => before.iter().rfind(is_defaults),
    };
    if from.is_some() && defaults.is_none() {
        remarks.lost(&line, "there are no such defaults");
    }
    let inherits = ["frontend", "backend", "listen", "defaults"].contains(&kind.as_str());
    let inherited = defaults.filter(|_| inherits).map(|section| {
        let all = section.defaults.iter().chain(&section.own);
        all.cloned().collect()
    });
    let mut section = Section {
        own: Vec::new(),
        defaults: inherited.unwrap_or_default(),
        kind,
        name,
        line,
    };
    // The addresses of long ago stood behind the name.
    let address = section.line.word(2).to_owned();
    if section.is_front() && from.is_none() && address.contains(':') {
        let mut bind = section.line.clone();
        bind.words = ["bind".to_owned()]
            .into_iter()
            .chain(bind.words.drain(2..))
            .collect();
        section.own.push(bind);
    }
    section
}

/// Returns a line as it is shown: without what must not be.
fn shown(text: &str) -> String {
    let text = text.trim();
    let begins = ["stats auth", "http-request auth"];
    if text.starts_with("user ") && text.contains("password") {
        return "user ...".to_owned();
    }
    match begins.iter().find(|begin| text.starts_with(**begin)) {
        Some(begin) => format!("{} ...", begin.trim_end()),
        None => text.chars().take(SHOWN_CHARS).collect(),
    }
}

/// Returns the words of a line, without its comment.
pub fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '#' => break,
            '\\' => {
                let word = word.get_or_insert_default();
                match chars.next() {
                    Some('n') => word.push('\n'),
                    Some('r') => word.push('\r'),
                    Some('t') => word.push('\t'),
                    Some(c @ (' ' | '\\' | '#' | '\'' | '"')) => word.push(c),
                    other => {
                        word.push('\\');
                        word.extend(other);
                    }
                }
            }
            '\'' => {
                let word = word.get_or_insert_default();
                word.extend(chars.by_ref().take_while(|c| *c != '\''));
            }
            '"' => weakly(&mut chars, word.get_or_insert_default()),
            c if c.is_whitespace() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

fn weakly(chars: &mut std::str::Chars<'_>, word: &mut String) {
    while let Some(c) = chars.next() {
        match c {
            '"' => return,
            '\\' => match chars.next() {
                Some(c @ ('"' | '\\' | '$')) => word.push(c),
                Some('n') => word.push('\n'),
                Some('r') => word.push('\r'),
                other => {
                    word.push('\\');
                    word.extend(other);
                }
            },
            c => word.push(c),
        }
    }
}

/// How much of a line is kept for remarks.
const SHOWN_CHARS: usize = 200;

const KINDS: [&str; 17] = [
    "global",
    "defaults",
    "frontend",
    "backend",
    "listen",
    "peers",
    "resolvers",
    "userlist",
    "mailers",
    "cache",
    "program",
    "ring",
    "http-errors",
    "crt-store",
    "fcgi-app",
    "log-forward",
    "traces",
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_become_words() {
        for (text, hoped) in [
            ("  bind *:80 # all", vec!["bind", "*:80"]),
            ("# x", vec![]),
            (
                "http-check send-state\\ a b",
                vec!["http-check", "send-state a", "b"],
            ),
            ("a 'b \\ c' d", vec!["a", "b \\ c", "d"]),
            ("a \"b \\\" # c\" d", vec!["a", "b \" # c", "d"]),
            ("a\\#b", vec!["a#b"]),
            (
                "option httpchk GET / HTTP/1.1\\r\\nHost:\\ a",
                vec!["option", "httpchk", "GET", "/", "HTTP/1.1\r\nHost: a"],
            ),
            ("a \"", vec!["a", ""]),
            ("a\\", vec!["a\\"]),
            ("/a/(.*) /\\1", vec!["/a/(.*)", "/\\1"]),
        ] {
            assert_eq!(words(text), hoped, "{text}");
        }
    }

    fn sections(text: &str) -> Vec<Section> {
        let given = Given {
            node: None,
            path: "h.cfg".into(),
            text: text.to_owned(),
        };
        read(&[given], &mut Remarks::default())
    }

    #[test]
    fn the_last_defaults_hold_or_those_that_are_named() {
        let text = "defaults a\n mode tcp\ndefaults\n mode http\n option httplog\nlisten x\n no \
                    option httplog\nlisten y from a\nfrontend z :80\n";
        let sections = sections(text);
        let found = |name: &str| {
            sections
                .iter()
                .find(|s| s.name == name)
                .expect("it is there")
        };
        assert!(found("x").is_http() && !found("y").is_http());
        assert!(found("x").find(&["option", "httplog"]).is_none());
        assert!(found("z").find(&["option", "httplog"]).is_some());
        assert_eq!(found("z").own[0].words, ["bind", ":80"]);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "([a-z{}#\"'\\\\=%: \n\r\u{0}]|defaults|listen|é){0,200}") {
            sections(&text);
        }
    }
}
