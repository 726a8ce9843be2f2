//! All that is wrong with a configuration, collected while it is checked and printed for people.
//!
//! `Problems` knows numbers of keys and values; only `into_errors` asks `position` where they
//! stand. Each error says what is wrong, where, and how to mend it.

mod position;

use std::fmt;

use self::position::Position;
use super::file::{self, Node, NodeId, SyntaxError};

/// Everything that is wrong with a configuration, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(Vec<String>);

impl ConfigErrors {
    /// Returns the errors, each as several lines of text.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Returns how many there are; never 0.
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// All that is wrong with a text of lines.
    pub(super) fn placed(path: &str, text: &str, placed: &[Placed]) -> Self {
        let source = Source::new(path, text);
        let print = |one: &Placed| {
            let position = Position {
                line: one.line,
                column: one.column,
                len: one.len,
            };
            let problem = Problem {
                at: None,
                message: one.message.clone(),
                help: Some(one.help.clone()),
            };
            problem.print(&source, Some(position), String::new)
        };
        Self(placed.iter().map(print).collect())
    }

    /// The only error of a text that cannot be read at all.
    pub(super) fn syntax(path: &str, text: &str, error: &SyntaxError) -> Self {
        let position = error.place.map(|(line, column)| Position {
            line,
            column,
            len: 1,
        });
        let problem = Problem {
            at: None,
            message: error.message.clone(),
            help: None,
        };
        Self(vec![problem.print(
            &Source::new(path, text),
            position,
            String::new,
        )])
    }
}

/// Something that is wrong with a text of lines.
#[derive(Debug)]
pub(super) struct Placed {
    /// From 1.
    pub(super) line: usize,
    /// From 1, in characters.
    pub(super) column: usize,
    pub(super) len: usize,
    pub(super) message: String,
    pub(super) help: String,
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n\n"))
    }
}

impl std::error::Error for ConfigErrors {}

/// What has been found wrong so far.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    /// Adds one without a hint.
    pub(super) fn add(&mut self, at: impl Into<Option<NodeId>>, message: impl Into<String>) {
        self.0.push(Problem {
            at: at.into(),
            message: message.into(),
            help: None,
        });
    }

    /// Adds one with a hint.
    pub(super) fn add_with_help(
        &mut self,
        at: impl Into<Option<NodeId>>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let help = Some(help.into());
        self.0.push(Problem {
            at: at.into(),
            message: message.into(),
            help,
        });
    }

    /// Returns whether nothing has been found.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Prints them in the order of the file; those of no position come first.
    pub(super) fn into_errors(
        mut self,
        path: &str,
        text: &str,
        root: &Node,
        count: u32,
    ) -> ConfigErrors {
        let positions = position::positions(text, count);
        let source = Source::new(path, text);
        self.0.sort_by_key(|problem| problem.at);
        let printed = self.0.iter().map(|problem| {
            let position = problem.at.and_then(|id| {
                let index = usize::try_from(id.0).ok()?;
                positions.as_ref()?.get(index).copied()
            });
            let way = || {
                problem
                    .at
                    .map_or_else(String::new, |id| file::path_of(root, id))
            };
            problem.print(&source, position, way)
        });
        ConfigErrors(printed.collect())
    }
}

/// What is quoted.
#[derive(Debug)]
struct Source<'a> {
    path: &'a str,
    lines: Vec<&'a str>,
}

impl<'a> Source<'a> {
    fn new(path: &'a str, text: &'a str) -> Self {
        Self {
            path,
            lines: text.lines().collect(),
        }
    }
}

/// One thing that is wrong.
#[derive(Debug)]
struct Problem {
    at: Option<NodeId>,
    message: String,
    help: Option<String>,
}

impl Problem {
    /// Prints it with its position, or else with the way to it.
    fn print(
        &self,
        source: &Source<'_>,
        position: Option<Position>,
        way: impl Fn() -> String,
    ) -> String {
        let path = source.path;
        let mut printed = format!("error: {}\n", self.message);
        let position = position.filter(|position| position.line >= 1 && position.column >= 1);
        let drawn = |position: Position| {
            source
                .lines
                .get(position.line - 1)
                .filter(|line| line.len() <= DRAWN_BYTES_MAX)
        };
        match position.map(|position| (position, drawn(position))) {
            Some((position, Some(line))) => printed.push_str(&snippet(path, position, line)),
            // A line of absurd length, or the end of the text, after its last line.
            Some((position, None)) => {
                printed.push_str(&format!(
                    " --> {path}:{}:{}",
                    position.line, position.column
                ));
            }
            None => {
                let way = way();
                let way = if way.is_empty() {
                    way
                } else {
                    format!(" ({})", shown(&way))
                };
                printed.push_str(&format!(" --> {path}{way}"));
            }
        }
        if let Some(help) = &self.help {
            printed.push_str(&format!("\nhelp: {help}"));
        }
        printed
    }
}

/// Draws the line and underlines the position.
fn snippet(path: &str, position: Position, line: &str) -> String {
    let number = position.line.to_string();
    let pad = " ".repeat(number.len());
    let start = position.column - 1;
    let cut = start.saturating_sub(LINE_CHARS_MAX / 2);
    let (cut, lead) = if line.chars().count() > LINE_CHARS_MAX && cut > 0 {
        (cut, "...")
    } else {
        (0, "")
    };
    let code: String = line
        .chars()
        .skip(cut)
        .take(LINE_CHARS_MAX)
        .map(printable)
        .collect();
    let code = code.trim_end();
    let indent: String = code
        .chars()
        .chain(std::iter::repeat(' '))
        .take(start - cut)
        .map(|c| if c == '\t' { '\t' } else { ' ' })
        .collect();
    let room = code.chars().count().saturating_sub(start - cut).max(1);
    let carets = "^".repeat(position.len.clamp(1, room));
    let blank = " ".repeat(lead.len());
    format!(
        "{pad}--> {path}:{number}:{column}\n{pad} |\n{number} | {lead}{code}\n{pad} | {blank}{indent}{carets}",
        column = position.column,
    )
}

fn printable(c: char) -> char {
    if c.is_control() && c != '\t' {
        char::REPLACEMENT_CHARACTER
    } else {
        c
    }
}

/// Returns what somebody wrote, short enough and without control characters, to be quoted in a
/// message.
pub(super) fn shown(text: &str) -> String {
    let clean = |c: char| {
        if c.is_control() {
            char::REPLACEMENT_CHARACTER
        } else {
            c
        }
    };
    let mut shown: String = text.chars().take(SHOWN_CHARS_MAX).map(clean).collect();
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        shown.push_str("...");
    }
    shown
}

/// A longer line is not drawn at all: thousands of errors in it would take long to draw.
const DRAWN_BYTES_MAX: usize = 4096;

/// A longer line is cut around the position.
const LINE_CHARS_MAX: usize = 160;

/// A longer text is cut where a message quotes it.
const SHOWN_CHARS_MAX: usize = 60;
