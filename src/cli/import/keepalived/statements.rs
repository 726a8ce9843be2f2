//! A configuration of keepalived as statements in blocks, with all that stands between the file
//! and them: includes, conditions (`@id`), definitions (`$NAME=`).
//!
//! Definitions hold for all that follows, over files; a text that expands itself without end is
//! cut. Nothing here fails: what cannot be read is a remark.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::tokens::{Token, tokens, without_comment};
use crate::cli::import::reading::{Files, expand};
use crate::cli::import::remarks::{Line, Place, Remarks};

/// A line and what stands in braces behind it.
#[derive(Clone, Debug)]
pub struct Statement {
    /// Its words, without braces.
    pub line: Line,
    /// `None`: it has no braces.
    pub block: Option<Vec<Self>>,
}

impl Statement {
    /// Returns its first word.
    pub fn keyword(&self) -> &str {
        self.line.word(0)
    }

    /// Returns the word at `index`, or nothing.
    pub fn word(&self, index: usize) -> &str {
        self.line.word(index)
    }

    /// Returns what stands in its braces.
    pub fn inside(&self) -> &[Self] {
        self.block.as_deref().unwrap_or_default()
    }
}

/// Reads a file and what it includes as the instance `id` (`keepalived -i id`) would.
pub fn read(
    files: &dyn Files,
    path: &Path,
    text: &str,
    id: Option<&str>,
    remarks: &mut Remarks,
) -> Vec<Statement> {
    let mut reader = Reader {
        files,
        id,
        remarks,
        definitions: BTreeMap::new(),
        bytes: 0,
        lines: 0,
        stack: vec![Vec::new()],
        openers: Vec::new(),
    };
    reader.file(path, text, 0);
    reader.end()
}

struct Reader<'a> {
    files: &'a dyn Files,
    id: Option<&'a str>,
    remarks: &'a mut Remarks,
    definitions: BTreeMap<String, String>,
    /// How much has come out of definitions, and how many lines.
    bytes: usize,
    lines: usize,
    /// What is in the open blocks, the outermost first.
    stack: Vec<Vec<Statement>>,
    /// The statements whose blocks are open; `None`: nothing stood before the brace.
    openers: Vec<Option<Line>>,
}

impl Reader<'_> {
    fn file(&mut self, path: &Path, text: &str, depth: usize) {
        let name: Rc<str> = path.to_string_lossy().into();
        let mut lines = text.lines().enumerate();
        while let Some((index, raw)) = lines.next() {
            let place = Place {
                file: Rc::clone(&name),
                line: index + 1,
            };
            let mut line = without_comment(raw).to_owned();
            // Only a definition goes on behind a backslash.
            if definition(&line).is_some() {
                while let Some(begun) = line.strip_suffix('\\') {
                    let next = lines.next().map_or("", |(_, next)| without_comment(next));
                    line = format!("{}\n{next}", begun.trim_end());
                    if line.len() > TEXT_BYTES_MAX {
                        break;
                    }
                }
            }
            self.line(path, &place, &line, depth);
        }
    }

    fn line(&mut self, path: &Path, place: &Place, line: &str, depth: usize) {
        // Each of its statements has a copy.
        let shown = Line {
            place: place.clone(),
            words: Vec::new(),
            text: line.chars().take(SHOWN_CHARS).collect(),
        };
        let Some(line) = self.condition(&shown, line) else {
            return;
        };
        if let Some((name, value)) = definition(line) {
            let value = if value.contains('\n') {
                value.to_owned()
            } else {
                self.expanded(value, place)
            };
            self.definitions.insert(name.to_owned(), value);
            return;
        }
        if line.contains('$') {
            let text = self.expanded(line, place);
            // A definition of several lines may hold conditions, and others.
            if text != line && depth < DEPTH_MAX && self.lines < LINES_MAX {
                for part in text.split('\n') {
                    self.lines += 1;
                    self.line(path, place, part.trim(), depth + 1);
                }
                return;
            }
        }
        if line.starts_with('~') || line.contains("~SEQ(") || line.contains("~LST(") {
            let why = "sequences (~SEQ, ~LST) are not read here: write the lines out";
            self.remarks.lost(&shown, why);
            return;
        }
        let parts = tokens(line);
        if let [Token::Word(keyword), Token::Word(pattern)] = &parts[..]
            && [
                "include", "includea", "includer", "includem", "includew", "includeb",
            ]
            .contains(&keyword.as_str())
        {
            self.include(path, &shown, pattern, depth);
            return;
        }
        self.take(&shown, parts);
    }

    /// Returns what is left of a line that this instance reads.
    fn condition<'l>(&mut self, shown: &Line, line: &'l str) -> Option<&'l str> {
        let Some(rest) = line.strip_prefix('@') else {
            return Some(line);
        };
        let (id, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let (negated, id) = id.strip_prefix('^').map_or((false, id), |id| (true, id));
        match self.id {
            Some(own) => ((own == id) != negated).then(|| rest.trim_start()),
            None if negated => Some(rest.trim_start()),
            None => {
                let why = format!(
                    "it is for the instance {id} alone: `--node {id}=FILE` reads the file as that \
                     one does"
                );
                self.remarks.lost(shown, why);
                None
            }
        }
    }

    /// Returns a text with its definitions put in; those of keepalived itself and of the
    /// environment stay as they are.
    fn expanded(&mut self, text: &str, place: &Place) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            let (name, behind) = match rest.strip_prefix('{').and_then(|rest| rest.split_once('}'))
            {
                Some(parts) => parts,
                None => {
                    let part_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
                    let end = rest.find(|c| !part_of_name(c)).unwrap_or(rest.len());
                    rest.split_at(end)
                }
            };
            let value = match self.definitions.get(name) {
                Some(value) if self.bytes < TEXT_BYTES_MAX => value.clone(),
                Some(_) => String::new(),
                None => {
                    if !name.is_empty() {
                        let line = Line {
                            place: place.clone(),
                            words: Vec::new(),
                            text: text.chars().take(SHOWN_CHARS).collect(),
                        };
                        let why = format!("nothing says what ${name} is");
                        self.remarks.lost(&line, why);
                    }
                    out.push('$');
                    continue;
                }
            };
            self.bytes += value.len() + 1;
            out.push_str(&value);
            rest = behind;
        }
        out.push_str(rest);
        out
    }

    fn include(&mut self, path: &Path, shown: &Line, pattern: &str, depth: usize) {
        if depth >= DEPTH_MAX {
            self.remarks
                .lost(shown, "files include each other without end");
            return;
        }
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let paths: Vec<PathBuf> = expand(self.files, &folder, pattern);
        if paths.is_empty() {
            self.remarks.no_effect(shown, "there is no such file here");
        }
        for found in paths {
            match self.files.read(&found) {
                Ok(text) => self.file(&found, &text, depth + 1),
                Err(error) => {
                    let why = format!("{} cannot be read: {error}", found.display());
                    self.remarks.lost(shown, why);
                }
            }
        }
    }

    /// Takes the parts of a line into the tree.
    fn take(&mut self, shown: &Line, parts: Vec<Token>) {
        let mut words = Vec::new();
        for part in parts {
            match part {
                Token::Word(word) => words.push(word),
                Token::Open => {
                    let opener = self.statement(shown, &mut words).or_else(|| {
                        // The brace stands on a line of its own.
                        let last = self.stack.last_mut()?;
                        last.pop_if(|last| last.block.is_none())
                            .map(|last| last.line)
                    });
                    if self.openers.len() < DEPTH_MAX {
                        self.openers.push(opener);
                        self.stack.push(Vec::new());
                    } else {
                        self.remarks.lost(shown, "blocks are too deep");
                    }
                }
                Token::Close => {
                    self.push(shown, &mut words);
                    self.close(shown);
                }
            }
        }
        self.push(shown, &mut words);
    }

    fn statement(&self, shown: &Line, words: &mut Vec<String>) -> Option<Line> {
        (!words.is_empty()).then(|| Line {
            words: std::mem::take(words),
            ..shown.clone()
        })
    }

    fn push(&mut self, shown: &Line, words: &mut Vec<String>) {
        let line = self.statement(shown, words);
        if let (Some(line), Some(last)) = (line, self.stack.last_mut()) {
            last.push(Statement { line, block: None });
        }
    }

    fn close(&mut self, shown: &Line) {
        let Some(opener) = self.openers.pop() else {
            self.remarks
                .no_effect(shown, "there is no block that it could end");
            return;
        };
        let block = self.stack.pop().unwrap_or_default();
        let Some(line) = opener else {
            let why = "nothing says what this block is";
            self.remarks.lost(shown, why);
            return;
        };
        if let Some(last) = self.stack.last_mut() {
            let block = Some(block);
            last.push(Statement { line, block });
        }
    }

    /// Ends blocks that the files left open.
    fn end(mut self) -> Vec<Statement> {
        while let Some(opener) = self.openers.last() {
            let Some(shown) = opener.clone() else {
                self.openers.pop();
                self.stack.pop();
                continue;
            };
            self.remarks.otherwise(
                &shown,
                "its block is not closed, and was read up to the end",
            );
            self.close(&shown);
        }
        self.stack.pop().unwrap_or_default()
    }
}

/// Returns the name and the value of a definition.
fn definition(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.strip_prefix('$')?.split_once('=')?;
    let name = name.trim_end();
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (!name.is_empty() && name.chars().all(is_name)).then(|| (name, value.trim_start()))
}

/// How deep blocks, includes and definitions may be in each other.
const DEPTH_MAX: usize = 16;
/// How much of a line is kept for remarks.
const SHOWN_CHARS: usize = 200;
/// How many lines definitions may become.
const LINES_MAX: usize = 20_000;
/// How much may come out of definitions.
const TEXT_BYTES_MAX: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::import::remarks::Kind;
    use proptest::prelude::*;

    struct Nothing;

    impl Files for Nothing {
        fn read(&self, _: &Path) -> std::io::Result<String> {
            Err(std::io::ErrorKind::NotFound.into())
        }

        fn list(&self, _: &Path) -> Vec<String> {
            Vec::new()
        }
    }

    fn read_as(text: &str, id: Option<&str>) -> (String, Remarks) {
        let mut remarks = Remarks::default();
        let tree = read(&Nothing, Path::new("k.conf"), text, id, &mut remarks);
        (shape(&tree), remarks)
    }

    fn shape(tree: &[Statement]) -> String {
        let one = |statement: &Statement| {
            let block = statement.block.as_ref();
            let block = block.map_or(String::new(), |inside| format!("{{{}}}", shape(inside)));
            statement.line.words.join(" ") + &block
        };
        tree.iter().map(one).collect::<Vec<_>>().join(";")
    }

    #[test]
    fn braces_may_stand_anywhere() {
        for text in [
            "a b {\n c 1\n d {\n  e\n }\n}\nf",
            "a b\n{\nc 1\nd\n{\ne\n}\n}\nf",
            "a b { c 1\nd { e } } f",
        ] {
            assert_eq!(read_as(text, None).0, "a b{c 1;d{e}};f", "{text}");
        }
    }

    #[test]
    fn definitions_are_put_in_and_may_have_lines() {
        let text = "$IF=eth0\n$BOTH= \\\ninterface $IF \\\nvirtual_router_id ${ID}\n$ID=5\nv A {\n$BOTH\n}\nx $IF$ID";
        assert_eq!(
            read_as(text, None).0,
            "v A{interface eth0;virtual_router_id 5};x eth05"
        );
        let (tree, remarks) = read_as("a $NONE", None);
        assert_eq!((tree.as_str(), remarks.count(Kind::Lost)), ("a $NONE", 1));
    }

    #[test]
    fn conditions_choose_lines() {
        let text = "@lb1 priority 150\n@^lb1 priority 100\n@lb2 x";
        assert_eq!(read_as(text, Some("lb1")).0, "priority 150");
        assert_eq!(read_as(text, Some("lb2")).0, "priority 100;x");
        let (tree, remarks) = read_as(text, None);
        assert_eq!(
            (tree.as_str(), remarks.count(Kind::Lost)),
            ("priority 100", 2)
        );
    }

    #[test]
    fn what_does_not_end_is_cut() {
        let mut bomb = String::from("$A0=xxxxxxxxxxxxxxxx\n");
        for n in 1..40 {
            let before = n - 1;
            bomb.push_str(&format!("$A{n}=$A{before}$A{before}\n"));
        }
        let (tree, _) = read_as(&format!("{bomb}y $A39"), None);
        assert!(tree.len() < 8 * TEXT_BYTES_MAX, "{}", tree.len());
        let loop_ = "$A= \\\n$A \\\n$A\nx $A";
        read_as(loop_, None);
        read_as(&"a {".repeat(5000), None);
        assert_eq!(read_as("}\na", None).0, "a");
        assert_eq!(read_as("{ b }\na", None).0, "a");
        assert_eq!(read_as("a { b", None).0, "a{b}");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "([a-z$@{}!#\"'\\\\=~ \n]|include|\\$A|é){0,200}") {
            read_as(&text, None);
            read_as(&text, Some("a"));
        }
    }
}
