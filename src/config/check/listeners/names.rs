//! Names of other sections: whether they are there, and which were meant if not.

use crate::config::reader::{Value, nearest};
use crate::config::report::{Problems, shown};

/// Returns the name of a pool of the file; `names` is `None` where their section is no map at all.
pub(crate) fn known_pool<'a>(
    value: Value<'a>,
    names: Option<&[String]>,
    problems: &mut Problems,
) -> Option<&'a str> {
    let name = value.text("the name of a pool", problems)?;
    let names: Vec<&str> = names?.iter().map(String::as_str).collect();
    if !names.contains(&name) {
        unknown_name(value, "pool", name, &names, problems);
        return None;
    }
    Some(name)
}

/// Complains about a name that is not in its section.
pub(super) fn unknown_name(
    value: Value<'_>,
    what: &str,
    name: &str,
    names: &[&str],
    problems: &mut Problems,
) {
    let message = format!("there is no {what} `{}`", shown(name));
    let section = what.replace(' ', "_");
    let help = match nearest(name, names) {
        Some(near) => format!("did you mean `{near}`?"),
        None if names.is_empty() => format!("add it under `{section}s`"),
        None => format!("these are there: {}", few(names)),
    };
    value.wrong_with_help(message, help, problems);
}

/// Joins names, not too many of them.
fn few(names: &[&str]) -> String {
    let mut few: Vec<String> = names
        .iter()
        .take(NAMES_SHOWN_MAX)
        .map(|name| shown(name))
        .collect();
    if names.len() > NAMES_SHOWN_MAX {
        few.push("...".to_owned());
    }
    few.join(", ")
}

/// A longer list of names helps nobody.
const NAMES_SHOWN_MAX: usize = 10;
