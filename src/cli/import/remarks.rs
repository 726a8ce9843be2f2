//! What an import has to say of lines: where they stand, what they say, and what became of them.
//!
//! A remark is about one line of the original and has one of three kinds; those with the same
//! reason are printed together. What is printed goes into comments of YAML, so that no text of a
//! file can end one. Knows no grammar.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Where a line stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, as it was named or found.
    pub file: Rc<str>,
    /// From 1.
    pub line: usize,
}

/// A line of an original: its words, and its text for remarks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Where it stands.
    pub place: Place,
    /// Without quotes and comments.
    pub words: Vec<String>,
    /// As it is shown.
    pub text: String,
}

impl Line {
    /// Returns the word at `index`, or nothing.
    pub fn word(&self, index: usize) -> &str {
        self.words.get(index).map_or("", String::as_str)
    }

    /// Returns the words from `index` on.
    pub fn from(&self, index: usize) -> &[String] {
        self.words.get(index..).unwrap_or_default()
    }
}

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// It is not carried over, and decides who is served, by whom, or whether.
    Lost,
    /// It is done in another way, or not, and service does not depend on it.
    Otherwise,
    /// The original does nothing with it either.
    NoEffect,
}

/// One line that is not carried over as it stands, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// What became of it.
    pub kind: Kind,
    /// Where it stands.
    pub place: Place,
    /// What it says.
    pub text: String,
    /// Why.
    pub why: String,
}

/// All remarks of an import.
#[derive(Clone, Debug, Default)]
pub struct Remarks {
    all: Vec<Remark>,
    known: BTreeMap<Rc<str>, BTreeSet<Key>>,
}

/// What makes a remark of a file one of its own: its kind, line, text and reason.
type Key = (Kind, (usize, String, String));

impl Remarks {
    /// Notes that a line is lost which decides about service.
    pub fn lost(&mut self, line: &Line, why: impl Into<String>) {
        self.add(Kind::Lost, line, why);
    }

    /// Notes that a line is done in another way, or not needed.
    pub fn otherwise(&mut self, line: &Line, why: impl Into<String>) {
        self.add(Kind::Otherwise, line, why);
    }

    /// Notes that the original does nothing with a line.
    pub fn no_effect(&mut self, line: &Line, why: impl Into<String>) {
        self.add(Kind::NoEffect, line, why);
    }

    /// Notes what became of a line, once.
    pub fn add(&mut self, kind: Kind, line: &Line, why: impl Into<String>) {
        let remark = Remark {
            kind,
            place: line.place.clone(),
            text: shown(&line.text),
            why: why.into(),
        };
        if self.all.len() < REMARKS_MAX {
            let key = (remark.place.line, remark.text.clone(), remark.why.clone());
            let of_file = self.known.entry(remark.place.file.clone()).or_default();
            if of_file.insert((kind, key)) {
                self.all.push(remark);
            }
        }
    }

    /// Returns how many remarks are of this kind.
    pub fn count(&self, kind: Kind) -> usize {
        self.all.iter().filter(|remark| remark.kind == kind).count()
    }

    /// Returns the remarks of this kind in groups of one reason, in the order of the lines.
    pub fn grouped(&self, kind: Kind) -> Vec<(String, Vec<&Remark>)> {
        let mut of_kind: Vec<&Remark> = self.all.iter().filter(|r| r.kind == kind).collect();
        let mut files: BTreeMap<&str, usize> = BTreeMap::new();
        for remark in &self.all {
            let count = files.len();
            files.entry(&remark.place.file).or_insert(count);
        }
        let file = |remark: &Remark| files.get(&*remark.place.file).copied();
        of_kind.sort_by_key(|remark| (file(remark), remark.place.line));
        let mut groups: Vec<(String, Vec<&Remark>)> = Vec::new();
        let mut known: BTreeMap<&str, usize> = BTreeMap::new();
        for remark in of_kind {
            match known.get(remark.why.as_str()) {
                Some(index) => groups[*index].1.push(remark),
                None => {
                    known.insert(&remark.why, groups.len());
                    groups.push((remark.why.clone(), vec![remark]));
                }
            }
        }
        groups
    }

    /// Returns the remarks of this kind as lines, each behind `margin`; nothing where there are
    /// none.
    pub fn text(&self, kind: Kind, margin: &str) -> String {
        let mut text = String::new();
        for (why, remarks) in self.grouped(kind) {
            // The same line of several files is one.
            let mut rows: Vec<(String, String)> = Vec::new();
            let mut known: BTreeMap<String, usize> = BTreeMap::new();
            for remark in remarks {
                let Place { file, line } = &remark.place;
                let file = format!("{}:", harmless(file));
                let shown = shown(&remark.text);
                let last = known.get(&shown).map(|index| &mut rows[*index].0);
                match last.filter(|places| !places.contains(&file)) {
                    Some(places) => places.push_str(&format!(", {file}{line}")),
                    None => {
                        known.insert(shown.clone(), rows.len());
                        rows.push((format!("{file}{line}"), shown));
                    }
                }
            }
            for (places, shown) in rows {
                text.push_str(&format!("{margin}{places}: {shown}\n"));
            }
            for row in wrapped(&harmless(&why), WHY_COLUMNS) {
                text.push_str(&format!("{margin}    {row}\n"));
            }
        }
        text
    }
}

/// Returns a text in one line of printable characters, at most `SHOWN_CHARS` long.
pub fn shown(text: &str) -> String {
    let text = harmless(text);
    let words: Vec<&str> = text.split_whitespace().collect();
    let text = words.join(" ");
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

/// Returns a text in which nothing ends a line, and nothing is more than it looks.
pub fn harmless(text: &str) -> String {
    let safe = |c: char| {
        let breaks = ['\u{2028}', '\u{2029}', '\u{feff}', '\u{fffe}', '\u{ffff}'];
        if c.is_control() || breaks.contains(&c) {
            ' '
        } else {
            c
        }
    };
    text.chars().map(safe).collect()
}

/// Breaks a text at spaces into rows of at most `columns`, where its words allow.
pub fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut rows: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match rows.last_mut() {
            Some(row) if row.chars().count() + word.chars().count() < columns => {
                row.push(' ');
                row.push_str(word);
            }
            Some(_) | None => rows.push(word.to_owned()),
        }
    }
    rows
}

/// How much of a line is shown.
const SHOWN_CHARS: usize = 90;
/// How many remarks are kept: a file that has more is no configuration, and the rest says no more.
const REMARKS_MAX: usize = 20_000;
/// How wide reasons are.
const WHY_COLUMNS: usize = 92;

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: usize, text: &str) -> Line {
        Line {
            place: Place {
                file: "a.conf".into(),
                line: number,
            },
            words: Vec::new(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn lines_of_one_reason_stand_together_in_their_order() {
        let mut remarks = Remarks::default();
        remarks.lost(&line(9, "z"), "no z");
        remarks.lost(&line(2, "b"), "no letters");
        remarks.lost(&line(1, "a"), "no letters");
        remarks.lost(&line(1, "a"), "no letters");
        remarks.otherwise(&line(3, "c"), "no letters");
        let text = remarks.text(Kind::Lost, "# ");
        assert_eq!(
            text,
            "# a.conf:1: a\n# a.conf:2: b\n#     no letters\n# a.conf:9: z\n#     no z\n"
        );
        assert_eq!(remarks.count(Kind::Lost), 3, "each line once");
    }

    #[test]
    fn no_text_ends_its_line() {
        let mut remarks = Remarks::default();
        remarks.lost(&line(1, "a\nb: c\r\u{2028}d\0e\u{85}f"), "x\ny");
        assert_eq!(
            remarks.text(Kind::Lost, "# "),
            "# a.conf:1: a b: c d e f\n#     x y\n"
        );
    }
}
