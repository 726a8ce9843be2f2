//! `synchronize_with`: which virtual routers move together.
//!
//! It is enough that one of two names the other, and whoever moves with one moves with all: a group
//! is what hangs together. It is known by the name of its first entry in the file.

use crate::config::reader::{Value, nearest};
use crate::config::report::{Problems, shown};

/// What one entry asks for.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    entry: &'a str,
    with: Vec<Value<'a>>,
}

/// Reads the key of one entry. Other keys are somebody else's matter.
pub(super) fn read<'a>(entry: Value<'a>, problems: &mut Problems) -> Wanted<'a> {
    let with = entry
        .entry("synchronize_with")
        .and_then(|value| value.items("names of virtual routers", problems));
    Wanted {
        entry: entry.name,
        with: with.unwrap_or_default(),
    }
}

/// Returns the name of every entry's group, in their order.
pub(super) fn groups(wanted: &[Wanted<'_>], problems: &mut Problems) -> Vec<String> {
    let mut group: Vec<usize> = (0..wanted.len()).collect();
    for (at, one) in wanted.iter().enumerate() {
        for value in &one.with {
            let Some(other) = find(one.entry, *value, wanted, problems) else {
                continue;
            };
            let (low, high) = (group[at].min(group[other]), group[at].max(group[other]));
            for number in &mut group {
                if *number == high {
                    *number = low;
                }
            }
        }
    }
    group
        .into_iter()
        .map(|first| wanted[first].entry.to_owned())
        .collect()
}

fn find(
    entry: &str,
    value: Value<'_>,
    wanted: &[Wanted<'_>],
    problems: &mut Problems,
) -> Option<usize> {
    let name = value.text("the name of a virtual router", problems)?;
    if name == entry {
        value.wrong(
            format!("`{name}` cannot be synchronized with itself"),
            problems,
        );
        return None;
    }
    let found = wanted.iter().position(|other| other.entry == name);
    if found.is_none() {
        let names: Vec<&str> = wanted.iter().map(|other| other.entry).collect();
        let help = match nearest(name, &names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("virtual routers here: {}", names.join(", ")),
        };
        let message = format!("there is no virtual router `{}`", shown(name));
        value.wrong_with_help(message, help, problems);
    }
    found
}
