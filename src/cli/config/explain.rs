//! `evenkeel config explain`: what a key means, its default and its range, as evenkeel.yaml(5) has
//! them.

use std::io::Write;

use serde::Serialize;

use super::manual::{self, Entry};
use crate::cli::outcome::{EXIT_DONE, EXIT_FAILED, Output};
use crate::config::nearest;

/// Explains a key; returns the exit code.
pub(crate) fn run(key: &str, output: Output) -> i32 {
    match explain(key, output) {
        Ok(text) => match std::io::stdout().write_all(text.as_bytes()) {
            Ok(()) => EXIT_DONE,
            Err(_) => EXIT_FAILED,
        },
        Err(complaint) => {
            eprintln!("{complaint}");
            EXIT_FAILED
        }
    }
}

/// Returns whether a key is explained: alone, or with its way.
pub fn is_explained(key: &str) -> bool {
    explain(key, Output::Text).is_ok()
}

fn explain(key: &str, output: Output) -> Result<String, String> {
    let entries = manual::entries();
    let asked = segments(key);
    let found = |whole: Whole| -> Vec<&Entry> {
        let entries = entries.iter();
        let found = entries.filter(|entry| {
            let mut paths = entry.paths.iter().chain(&entry.inner);
            paths.any(|path| is(path, &asked, whole))
        });
        found.collect()
    };
    let ways = [Whole::Way, Whole::LiteralEnd, Whole::End];
    let matching = ways.into_iter().map(found).find(|found| !found.is_empty());
    let Some(matching) = matching else {
        return Err(complaint(key, &entries));
    };
    Ok(match output {
        Output::Text => {
            let texts = matching.iter().map(|entry| render(entry, &asked, &entries));
            texts.collect::<Vec<_>>().join("\n")
        }
        Output::Json => {
            let all: Vec<Explained<'_>> = matching.into_iter().map(Explained::of).collect();
            serde_json::to_string_pretty(&all).unwrap_or_default() + "\n"
        }
    })
}

/// What `--json` prints of a key.
#[derive(Debug, Serialize)]
struct Explained<'a> {
    paths: &'a [String],
    form: &'a str,
    text: &'a str,
    /// What stands behind `Default:`.
    default: Option<&'a str>,
    /// What stands behind `Example:`.
    example: Option<&'a str>,
}

impl<'a> Explained<'a> {
    fn of(entry: &'a Entry) -> Self {
        let said = |word: &str| {
            let mut lines = entry.text.lines();
            lines.find_map(|line| Some(line.strip_prefix(word)?.trim().trim_end_matches('.')))
        };
        Self {
            paths: &entry.paths,
            form: &entry.form,
            text: &entry.text,
            default: said("Default:"),
            example: said("Example:"),
        }
    }
}

/// Which part of a way was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whole {
    Way,
    /// The end of it, without a name of the user's own.
    LiteralEnd,
    /// The end of it.
    End,
}

/// Returns `listeners.http.routes[0].path` in its parts; a place in a list is one.
fn segments(key: &str) -> Vec<String> {
    let key = key
        .trim()
        .trim_matches('.')
        .replace('[', ".")
        .replace(']', "");
    key.split('.').map(str::to_owned).collect()
}

fn is(path: &str, asked: &[String], whole: Whole) -> bool {
    let path: Vec<&str> = path.split('.').collect();
    let Some(above) = path.len().checked_sub(asked.len()) else {
        return false;
    };
    let mut pairs = path[above..].iter().zip(asked);
    // A name alone is a key, not one of the user's.
    let names = path.last() != Some(&"*");
    names
        && (above == 0 || whole != Whole::Way)
        && pairs
            .all(|(known, asked)| *known == asked || (*known == "*" && whole != Whole::LiteralEnd))
}

fn complaint(key: &str, entries: &[Entry]) -> String {
    let asked = segments(key);
    let paths = || {
        let entries = entries.iter();
        entries.flat_map(|entry| entry.paths.iter().chain(&entry.inner))
    };
    let last = asked.last().map_or("", String::as_str);
    let names: Vec<&str> = paths().filter_map(|path| path.rsplit('.').next()).collect();
    let same: Vec<&str> = paths()
        .filter(|path| path.rsplit('.').next() == Some(last))
        .map(String::as_str)
        .collect();
    let near = match (same.is_empty(), nearest(last, &names)) {
        (false, _) => Some(same.join("` or `")),
        (true, near) => near.map(str::to_owned),
    };
    let help = match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => "evenkeel.yaml(5) has all keys".to_owned(),
    };
    format!("error: there is no key {key:?}\nhelp: {help}")
}

fn render(entry: &Entry, asked: &[String], all: &[Entry]) -> String {
    let paths = entry.paths.iter().chain(&entry.inner);
    let paths = paths.filter(|path| is(path, asked, Whole::End));
    let mut text = paths.cloned().collect::<Vec<_>>().join("\n") + "\n";
    text.push_str(&format!("  {}\n\n", entry.form));
    let mut was_empty = true;
    for line in entry.text.lines() {
        let is_empty = line.trim().is_empty();
        if line.starts_with("    ") {
            text.push_str(&format!("{line}\n"));
        } else if !(is_empty && was_empty) {
            wrap(line.trim(), &mut text);
        }
        was_empty = is_empty;
    }
    let below = keys_below(entry, all);
    if !below.is_empty() {
        wrap(&format!("Keys: {}.", below.join(", ")), &mut text);
    }
    text
}

/// Returns the keys of the map that stands behind a key, of all its entries where it is one of
/// names.
fn keys_below<'a>(entry: &Entry, all: &'a [Entry]) -> Vec<&'a str> {
    let mut keys: Vec<&str> = Vec::new();
    for path in all.iter().flat_map(|entry| &entry.paths) {
        let mut above = entry.paths.iter();
        let below = above.find_map(|above| path.strip_prefix(above)?.strip_prefix('.'));
        let key = below.map(|below| below.strip_prefix("*.").unwrap_or(below));
        let key = key.filter(|key| !key.contains('.') && !keys.contains(key));
        keys.extend(key);
    }
    keys
}

/// Appends a paragraph in lines of at most [`COLUMNS`], two spaces in.
fn wrap(paragraph: &str, text: &mut String) {
    let mut line = String::new();
    for word in paragraph.split_whitespace() {
        if !line.is_empty() && line.chars().count() + word.chars().count() + 3 > COLUMNS {
            text.push_str(&format!("  {line}\n"));
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    text.push_str(format!("  {line}").trim_end());
    text.push('\n');
}

/// As wide as manual pages are.
const COLUMNS: usize = 78;

#[cfg(test)]
mod tests {
    use super::*;

    fn text(key: &str) -> Result<String, String> {
        explain(key, Output::Text)
    }

    #[test]
    fn a_key_is_found_by_its_name_its_way_and_that_of_a_file() {
        let hoped = text("virtual_routers.*.lease").expect("it is there");
        for key in ["lease", "virtual_routers.web.lease", ".lease"] {
            assert_eq!(text(key).as_ref(), Ok(&hoped), "{key}");
        }
        let route = text("listeners.http.routes[0].path").expect("it is there");
        assert!(route.starts_with("listeners.*.routes.*.path\n"), "{route}");
    }

    #[test]
    fn keys_are_explained_as_the_manual_has_them() {
        let keys = [
            "advertisement_interval",
            "track_scripts.*.fall",
            "listeners",
            "backends",
            "at_least",
            "affinity.cookie.lifetime",
            "limits.requests.burst",
            "format",
            "health_check.timeout",
        ];
        let texts: Vec<String> = keys
            .iter()
            .map(|key| text(key).expect("it is there"))
            .collect();
        insta::assert_snapshot!(texts.join("\n----\n"));
    }

    #[test]
    fn an_unknown_key_is_answered_with_the_nearest() {
        let said: Vec<String> = ["advertisment_interval", "pools.api.lease", "qwertyuiop"]
            .iter()
            .map(|key| text(key).expect_err("it is not there"))
            .collect();
        insta::assert_snapshot!(said.join("\n"));
    }

    #[test]
    fn json_has_default_and_example_apart() {
        let text = explain("virtual_routers.*.lease", Output::Json).expect("it is there");
        let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(json[0]["paths"][0], "virtual_routers.*.lease");
        assert_eq!(json[0]["form"], "lease: duration");
        assert_eq!(json[0]["default"], "2s");
    }
}
