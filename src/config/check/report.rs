//! Prints what is wrong: what, where, how to mend; all of it, in the order of the file.

use std::fmt::{self, Write as _};

use super::super::file::SyntaxError;
use super::super::place::{Place, Places};
use super::super::reader::Problems;

/// Everything that is wrong with a configuration, in the order of the file, ready to be printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(Vec<String>);

impl ConfigErrors {
    /// Returns the errors one by one.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    pub(super) fn new(path: &str, text: &str, problems: Problems) -> Self {
        let places = Places::read(text);
        let mut found: Vec<(Option<Place>, String, Option<String>)> = problems
            .0
            .into_iter()
            .map(|problem| {
                let place = places.find(&problem.path, problem.part);
                (place, problem.message, problem.help)
            })
            .collect();
        found.sort_by_key(|(place, _, _)| *place);
        found.dedup();
        let lines: Vec<&str> = text.lines().collect();
        Self(
            found
                .into_iter()
                .map(|(place, message, help)| {
                    render(path, &lines, place, &message, help.as_deref())
                })
                .collect(),
        )
    }

    pub(super) fn syntax(path: &str, text: &str, error: &SyntaxError) -> Self {
        let lines: Vec<&str> = text.lines().collect();
        let place = error.place.map(|(line, column)| Place { line, column });
        Self(vec![render(path, &lines, place, &error.message, None)])
    }

    pub(super) fn whole(path: &str, message: String) -> Self {
        Self(vec![render(path, &[], None, &message, None)])
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for ConfigErrors {}

fn render(
    path: &str,
    lines: &[&str],
    place: Option<Place>,
    message: &str,
    help: Option<&str>,
) -> String {
    let mut text = format!("error: {message}\n");
    match place {
        None => {
            let _ = writeln!(text, "  --> {path}");
        }
        Some(Place { line, column }) => {
            let _ = writeln!(text, "  --> {path}:{line}:{column}");
            if let Some(source) = lines.get(line - 1) {
                excerpt(&mut text, source, line, column);
            }
        }
    }
    if let Some(help) = help {
        let _ = writeln!(text, "help: {help}");
    }
    text
}

/// Shows the line with a caret under the column.
fn excerpt(text: &mut String, source: &str, line: usize, column: usize) {
    let number = line.to_string();
    let margin = " ".repeat(number.len());
    let shown: String = source.chars().take(LINE_CHARS_MAX).collect();
    let shown = shown.replace('\t', " ");
    let under = " ".repeat(column - 1);
    let _ = writeln!(text, "{margin} |\n{number} | {shown}\n{margin} | {under}^");
}

/// Longer lines are cut where they are shown.
const LINE_CHARS_MAX: usize = 160;
