//! Where texts come from: the one door to files, so that the rest of an import is pure.

use std::io;
use std::path::{Path, PathBuf};

/// Who reads files for an import.
pub trait Files {
    /// Returns the text of a file; what is not UTF-8 in it becomes U+FFFD.
    ///
    /// # Errors
    /// It cannot be read, or is longer than [`FILE_BYTES_MAX`].
    fn read(&self, path: &Path) -> io::Result<String>;

    /// Returns the names in a folder, sorted; none where it cannot be read.
    fn list(&self, folder: &Path) -> Vec<String>;
}

/// The files of this machine.
#[derive(Clone, Copy, Debug)]
pub struct OnDisk;

impl Files for OnDisk {
    fn read(&self, path: &Path) -> io::Result<String> {
        use std::io::Read as _;
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path)?;
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(io::Error::other("longer than 8 MiB"));
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn list(&self, folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).into_iter().flatten();
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }
}

/// Returns the files that a pattern with `*`, `?`, `[...]` and `{a,b}` names, seen from `folder`.
pub fn expand(files: &dyn Files, folder: &Path, pattern: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for pattern in braces(pattern) {
        let (mut paths, rest) = match pattern.strip_prefix('/') {
            Some(rest) => (vec![PathBuf::from("/")], rest),
            None => (vec![folder.to_owned()], pattern.as_str()),
        };
        for part in rest.split('/').filter(|part| !part.is_empty()) {
            if !part.contains(['*', '?', '[']) {
                paths.iter_mut().for_each(|path| path.push(part));
                continue;
            }
            let below = |path: &PathBuf| {
                let names = files.list(path).into_iter();
                let names = names.filter(|name| !name.starts_with('.') && matches(part, name));
                names.map(|name| path.join(name)).collect::<Vec<_>>()
            };
            paths = paths.iter().flat_map(below).take(PATHS_MAX).collect();
        }
        found.extend(paths);
    }
    found.truncate(PATHS_MAX);
    found
}

/// Returns the patterns that one with `{a,b}` stands for; an inner pair of braces is not looked at.
fn braces(pattern: &str) -> Vec<String> {
    let parts = pattern.split_once('{').and_then(|(head, rest)| {
        let (inside, tail) = rest.split_once('}')?;
        Some((head, inside, tail))
    });
    match parts {
        Some((head, inside, tail)) => inside
            .split(',')
            .take(PATHS_MAX)
            .map(|choice| format!("{head}{choice}{tail}"))
            .collect(),
        None => vec![pattern.to_owned()],
    }
}

/// Returns whether a name is of a pattern of one level.
fn matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    // Where to go back to: the star, and how much of the name it has.
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        let step = match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
                continue;
            }
            Some('?') => Some(1),
            Some('[') => class(&pattern[p..], name[n]),
            Some(c) if *c == name[n] => Some(1),
            Some(_) | None => None,
        };
        match (step, star) {
            (Some(length), _) => {
                p += length;
                n += 1;
            }
            (None, Some((at, had))) => {
                p = at + 1;
                n = had + 1;
                star = Some((at, had + 1));
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// Returns the length of a class at the beginning of `pattern` that has `c`.
fn class(pattern: &[char], c: char) -> Option<usize> {
    let end = pattern.iter().skip(2).position(|c| *c == ']')? + 2;
    let inside = &pattern[1..end];
    let (negated, inside) = match inside.first() {
        Some('!' | '^') => (true, &inside[1..]),
        Some(_) | None => (false, inside),
    };
    let range = |three: &[char]| three[1] == '-' && (three[0]..=three[2]).contains(&c);
    let has = inside.contains(&c) || inside.windows(3).any(range);
    (has != negated).then_some(end + 1)
}

/// The longest file that is read.
pub const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// The most files that a pattern may name.
const PATHS_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_a_shell_has_them() {
        for (pattern, name, hoped) in [
            ("*.conf", "a.conf", true),
            ("*.conf", "a.conf.bak", false),
            ("a*b*c", "aXXbYYbc", true),
            ("?.conf", "ab.conf", false),
            ("[a-c]1", "b1", true),
            ("[!a-c]1", "b1", false),
            ("[", "[", false),
            ("***", "", true),
        ] {
            assert_eq!(matches(pattern, name), hoped, "{pattern} {name}");
        }
        assert_eq!(braces("a{b,c}d"), ["abd", "acd"]);
    }
}
