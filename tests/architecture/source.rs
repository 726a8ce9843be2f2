//! Reads the sources of the package: files, tokens, paths.
//!
//! The lexer drops comments, literals of text and lifetimes; the reader of paths expands `use`
//! trees, knows the inline modules around a path and whether it stands under `#[cfg(test)]`. It
//! knows nothing of the rules in `main`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

// -------------------------------------------------------------------------------------------------
// Reading the tree.

/// A source file of the package.
pub(crate) struct Source {
    /// Relative to the package, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Returns every `.rs` file below some folders of the package, in order of their paths.
pub(crate) fn sources(folders: &[&str]) -> Vec<Source> {
    let mut files = Vec::new();
    let mut folders: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(folder) = folders.pop() {
        if !folder.is_dir() || folder.ends_with("target") {
            continue;
        }
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let path = path
                    .strip_prefix(root())
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned();
                files.push(Source { path, text });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

/// Returns the files that `#[cfg(test)] mod name;` declares.
pub(crate) fn test_files(files: &[Source]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for file in files {
        let stem = Path::new(&file.path).with_extension("");
        let is_folder = ["mod", "lib", "main"]
            .iter()
            .any(|name| stem.ends_with(name));
        let folder = if is_folder {
            stem.parent().unwrap()
        } else {
            stem.as_path()
        };
        for used in paths(&file.text) {
            if used.in_test && used.previous == "mod" && used.next == ";" {
                let name = folder.join(&used.segments[0]);
                found.insert(format!("{}.rs", name.display()));
                found.insert(format!("{}/mod.rs", name.display()));
            }
        }
    }
    found
}

/// Returns the names under `[dependencies]`, as they are written in code.
pub(crate) fn dependencies() -> BTreeSet<String> {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    manifest
        .lines()
        .skip_while(|line| *line != "[dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name.trim().replace('-', "_"))
        .filter(|name| !name.starts_with('#'))
        .collect()
}

// -------------------------------------------------------------------------------------------------
// Paths in a text.

/// A path as it stands in a text, `use` trees expanded.
#[derive(Clone, Debug)]
pub(crate) struct UsedPath {
    pub(crate) segments: Vec<String>,
    pub(crate) line: usize,
    /// The `mod name {` blocks around it.
    pub(crate) inline_modules: Vec<String>,
    /// Under `#[cfg(test)]`.
    pub(crate) in_test: bool,
    /// The tokens around it; empty at the ends of the file.
    pub(crate) previous: String,
    pub(crate) next: String,
}

impl UsedPath {
    pub(crate) fn shown(&self) -> String {
        self.segments.join("::")
    }

    pub(crate) fn starts_with(&self, segment: &str) -> bool {
        self.segments.first().is_some_and(|first| first == segment)
    }
}

/// What a brace opened.
struct Scope {
    module: Option<String>,
    in_test: bool,
}

/// Returns every path of a text; a lone identifier is a path of one segment.
pub(crate) fn paths(text: &str) -> Vec<UsedPath> {
    let tokens = tokens(text);
    let at = |index: usize| tokens.get(index).map_or("", |token| token.text.as_str());
    let mut found = Vec::new();
    let mut scopes: Vec<Scope> = Vec::new();
    let mut module = None;
    let mut test_item = false;
    let mut index = 0;
    while index < tokens.len() {
        match at(index) {
            "#" if at(index + 1) == "[" && at(index + 2) == "cfg" => {
                let end = (index..tokens.len())
                    .find(|end| at(*end) == "]")
                    .unwrap_or(index);
                let names = |name: &str| (index..end).any(|word| at(word) == name);
                test_item |= names("test") && !names("not");
                index = end + 1;
                continue;
            }
            "{" => scopes.push(Scope {
                module: module.take(),
                in_test: std::mem::take(&mut test_item),
            }),
            "}" => drop(scopes.pop()),
            ";" => test_item = false,
            "mod" if at(index + 2) == "{" => module = Some(at(index + 1).to_owned()),
            _ => {}
        }
        if !is_identifier(at(index)) {
            index += 1;
            continue;
        }
        let mut leaves = Vec::new();
        let end = read_tree(&tokens, index, &mut Vec::new(), &mut leaves);
        let previous = index.checked_sub(1).map_or("", &at).to_owned();
        for (segments, line, next) in leaves {
            found.push(UsedPath {
                segments,
                line,
                inline_modules: scopes
                    .iter()
                    .filter_map(|scope| scope.module.clone())
                    .collect(),
                in_test: test_item || scopes.iter().any(|scope| scope.in_test),
                previous: previous.clone(),
                next,
            });
        }
        index = end;
    }
    found
}

/// A path of a `use` tree: its segments, its line and the token after it.
type Leaf = (Vec<String>, usize, String);

/// Reads the path or `use` tree at `index`, appends its leaves and returns the index after it.
fn read_tree(
    tokens: &[Token],
    mut index: usize,
    trunk: &mut Vec<String>,
    leaves: &mut Vec<Leaf>,
) -> usize {
    let at = |index: usize| tokens.get(index).map_or("", |token| token.text.as_str());
    let depth = trunk.len();
    let line = tokens[index].line;
    loop {
        if at(index) == "{" {
            index += 1;
            while index < tokens.len() && at(index) != "}" {
                let starts = is_identifier(at(index)) || at(index) == "*" || at(index) == "{";
                index = if !starts {
                    index + 1
                } else {
                    let end = read_tree(tokens, index, trunk, leaves);
                    if at(end) == "as" { end + 2 } else { end }
                };
            }
            trunk.truncate(depth);
            return index + 1;
        }
        trunk.push(at(index).to_owned());
        index += 1;
        let goes_on = at(index) == "::"
            && (is_identifier(at(index + 1)) || ["{", "*"].contains(&at(index + 1)));
        if !goes_on {
            break;
        }
        index += 1;
    }
    leaves.push((trunk.clone(), line, at(index).to_owned()));
    trunk.truncate(depth);
    index
}

/// Makes a `crate`, `self` or `super` path absolute; `None` for others and for a lone keyword.
pub(crate) fn resolve(here: &[String], segments: &[String]) -> Option<Vec<String>> {
    if segments.len() < 2 {
        return None;
    }
    let mut target = match segments[0].as_str() {
        "crate" => Vec::new(),
        "self" | "super" => here.to_vec(),
        _ => return None,
    };
    for segment in segments {
        match segment.as_str() {
            "crate" | "self" | "*" => {}
            "super" => drop(target.pop()),
            name => target.push(name.to_owned()),
        }
    }
    Some(target)
}

/// Returns the module a file is: `src/logic/vrrp/packet.rs` is `logic::vrrp::packet`.
pub(crate) fn module_of(path: &str) -> Vec<String> {
    path.trim_start_matches("src/")
        .trim_end_matches(".rs")
        .split('/')
        .filter(|part| !["mod", "lib", "main"].contains(part))
        .map(str::to_owned)
        .collect()
}

/// Whether a path is another or lies within it.
pub(crate) fn begins_with(path: &str, start: &str) -> bool {
    path.strip_prefix(start)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

// -------------------------------------------------------------------------------------------------
// The lexer.

/// An identifier, a number, `::` or one other character.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
}

fn is_identifier(text: &str) -> bool {
    text.starts_with(|first: char| first == '_' || first.is_alphabetic())
}

/// Returns the tokens of a text without comments, literals of text, and lifetimes.
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let at = |index: usize| chars.get(index).copied().unwrap_or('\0');
    let is_word = |c: char| c == '_' || c.is_alphanumeric();
    let mut found = Vec::new();
    let mut line = 1;
    let mut index = 0;
    while index < chars.len() {
        let start = index;
        let c = at(index);
        if c == '/' && (at(index + 1) == '/' || at(index + 1) == '*') {
            index = comment_end(&chars, index);
        } else if c == '"' {
            index = string_end(&chars, index, None);
        } else if c == '\'' {
            index = quote_end(&chars, index);
        } else if is_word(c) {
            while is_word(at(index)) {
                index += 1;
            }
            let word: String = chars[start..index].iter().collect();
            let hashes = chars[index..].iter().take_while(|c| **c == '#').count();
            let is_raw = ["r", "br", "cr"].contains(&word.as_str());
            if is_raw && at(index + hashes) == '"' {
                index = string_end(&chars, index + hashes, Some(hashes));
            } else if ["b", "c"].contains(&word.as_str()) && at(index) == '"' {
                index = string_end(&chars, index, None);
            } else {
                found.push(Token { text: word, line });
            }
        } else if c == ':' && at(index + 1) == ':' {
            found.push(Token {
                text: String::from("::"),
                line,
            });
            index += 2;
        } else {
            if !c.is_whitespace() {
                found.push(Token {
                    text: c.to_string(),
                    line,
                });
            }
            index += 1;
        }
        let end = index.min(chars.len());
        line += chars[start..end].iter().filter(|c| **c == '\n').count();
    }
    found
}

/// Returns the index after the comment at `index`; block comments nest.
fn comment_end(chars: &[char], mut index: usize) -> usize {
    if chars[index + 1] == '/' {
        return chars[index..]
            .iter()
            .position(|c| *c == '\n')
            .map_or(chars.len(), |n| index + n);
    }
    let mut depth = 0;
    while index + 1 < chars.len() {
        match (chars[index], chars[index + 1]) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => {
                index += 1;
                continue;
            }
        }
        index += 2;
        if depth == 0 {
            return index;
        }
    }
    chars.len()
}

/// Returns the index after the string whose opening quote is at `index`; `hashes` for a raw string.
fn string_end(chars: &[char], index: usize, hashes: Option<usize>) -> usize {
    let mut index = index + 1;
    while index < chars.len() {
        match (chars[index], hashes) {
            ('\\', None) => index += 1,
            ('"', None) => return index + 1,
            ('"', Some(hashes)) => {
                let after = chars[index + 1..].iter().take_while(|c| **c == '#').count();
                if after >= hashes {
                    return index + 1 + hashes;
                }
            }
            _ => {}
        }
        index += 1;
    }
    chars.len()
}

/// Returns the index after the character literal or the lifetime at `index`.
fn quote_end(chars: &[char], index: usize) -> usize {
    let at = |index: usize| chars.get(index).copied().unwrap_or('\0');
    if at(index + 1) == '\\' {
        let rest = chars.iter().enumerate().skip(index + 3);
        return rest
            .clone()
            .find(|(_, c)| **c == '\'')
            .map_or(chars.len(), |(end, _)| end + 1);
    }
    if at(index + 2) == '\'' {
        return index + 3;
    }
    let mut end = index + 1;
    while at(end) == '_' || at(end).is_alphanumeric() {
        end += 1;
    }
    end
}

/// Returns the tokens of each line, joined by spaces.
pub(crate) fn token_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    for token in tokens(text) {
        match lines.last_mut() {
            Some((line, words)) if *line == token.line => {
                words.push(' ');
                words.push_str(&token.text);
            }
            _ => lines.push((token.line, token.text)),
        }
    }
    lines
}
