//! The text of a file with backends: lines as `NAME ADDRESS:PORT [weight=N] [requests=N] [backup]`,
//! or JSON that says what would stand under `backends`.
//!
//! It is held to the rules of the configuration, whole or not at all.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use super::backends::{REQUESTS_MAX, WEIGHT_MAX, check_entry_of_file, check_item};
use crate::config::check::{ConfigErrors, address_objection, values};
use crate::config::file::{self, Kind, Node};
use crate::config::reader::{Value, check_each, name_objection};
use crate::config::report::{Placed, Problems, shown};
use crate::config::{Config, FoundBackend, NamedBackend, Origin, PoolConfig, Tier};

/// Returns the backends that a file has for a pool of a checked configuration; `path` is only
/// printed.
///
/// # Errors
/// All that is wrong with the text, each with its place.
pub fn backends_of_file(
    config: &Config,
    pool: &PoolConfig,
    path: &str,
    text: &str,
) -> Result<Vec<FoundBackend>, ConfigErrors> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let scope = Scope { config, pool };
    match text.trim_start().starts_with(['{', '[']) {
        true => scope.of_json(path, text),
        false => scope.of_lines(path, text),
    }
}

/// Returns the backends at the addresses of a name, sorted, and what is to be said of addresses
/// that are left out.
pub fn backends_of_name(
    config: &Config,
    pool: &PoolConfig,
    named: &NamedBackend,
    addresses: &[IpAddr],
) -> (Vec<FoundBackend>, Option<String>) {
    let addresses: BTreeSet<IpAddr> = addresses.iter().map(IpAddr::to_canonical).collect();
    let most = addresses_of_a_name(config);
    let mut why = None;
    let mut found = Vec::new();
    for address in addresses {
        let backend = named.at(address);
        match address_objection(config, &pool.name, backend.address) {
            None if found.len() < most => found.push(backend),
            None => why = Some(format!("only {most} of its addresses are used")),
            Some(objection) => why = Some(objection),
        }
    }
    (found, why)
}

/// Returns how many backends a name has at most: name servers alone cannot make them more than the
/// proxy can have.
pub fn addresses_of_a_name(config: &Config) -> usize {
    let pools = config.pools.iter();
    let names: usize = pools.map(|pool| pool.follow.names.len()).sum();
    (NAMED_MAX / names.max(1)).clamp(1, ADDRESSES_MAX)
}

/// Of one name.
const ADDRESSES_MAX: usize = 64;
/// Of all names together, as long as there are no more names than that.
const NAMED_MAX: usize = 4096;
/// In one file.
pub const FILE_BACKENDS_MAX: usize = 1000;
/// More errors nobody reads.
const ERRORS_MAX: usize = 20;

const LINE_HELP: &str = "write `NAME ADDRESS:PORT`, then what is needed of `weight=N`, \
                         `requests=N` and `backup`; or JSON, which begins with `{` or `[`";

const TOO_MANY_HELP: &str = "put the others into another pool";
const TWICE_HELP: &str = "keep one of the two";
const TAKEN_HELP: &str = "give it another name, or write the backend in one place only";

/// For which pool a file is.
struct Scope<'a> {
    config: &'a Config,
    pool: &'a PoolConfig,
}

impl Scope<'_> {
    /// Returns what is wrong with a name, and how to mend it.
    fn name_taken(&self, name: &str) -> Option<String> {
        let mut written = self.pool.backends.iter();
        let is_written = written.any(|one| one.name == name && one.origin == Origin::Written)
            || self.pool.follow.names.iter().any(|one| one.name == name);
        is_written.then(|| {
            format!(
                "pool {} has `{}` under `backends`",
                self.pool.name,
                shown(name)
            )
        })
    }

    fn of_json(&self, path: &str, text: &str) -> Result<Vec<FoundBackend>, ConfigErrors> {
        let (root, count) =
            file::read(text).map_err(|error| ConfigErrors::syntax(path, text, &error))?;
        let mut problems = Problems::default();
        let found = self.of_tree(&root, &mut problems);
        match found {
            Some(found) if problems.is_empty() => Ok(found),
            Some(_) | None => Err(problems.into_errors(path, text, &root, count)),
        }
    }

    fn of_tree(&self, root: &Node, problems: &mut Problems) -> Option<Vec<FoundBackend>> {
        let whole = Value {
            name: "backends",
            key: root.id,
            node: root,
        };
        let is_list = matches!(root.kind, Kind::List(_));
        let entries = match is_list {
            true => whole.items("backends", problems)?,
            false => whole.entries("addresses by name", problems)?,
        };
        if entries.len() > FILE_BACKENDS_MAX {
            problems.add_with_help(root.id, too_many(), TOO_MANY_HELP);
            return None;
        }
        let mut names = BTreeSet::new();
        check_each(entries, |entry| {
            let backend = match is_list {
                true => check_item(entry, problems)?,
                false => check_entry_of_file(entry, problems)?,
            };
            if let Some(why) = self.name_taken(&backend.name) {
                problems.add_with_help(entry.key, why, TAKEN_HELP);
            }
            if !names.insert(backend.name.clone()) {
                problems.add_with_help(entry.key, twice(&backend.name), TWICE_HELP);
            }
            let address = backend.address;
            if let Some(why) = address_objection(self.config, &self.pool.name, address) {
                problems.add(entry.key, why);
            }
            Some(FoundBackend::at(Origin::File, &backend))
        })
    }

    fn of_lines(&self, path: &str, text: &str) -> Result<Vec<FoundBackend>, ConfigErrors> {
        let mut problems = Vec::new();
        let mut found: Vec<FoundBackend> = Vec::new();
        let mut names = BTreeSet::new();
        for (index, line) in text.lines().enumerate() {
            let Some((first, rest)) = words_of(line).split_first().map(split) else {
                continue;
            };
            let place = |wrong: Wrong<'_>| wrong.at_line(index + 1);
            match self.of_line(first, &rest) {
                _ if found.len() == FILE_BACKENDS_MAX => {
                    problems.push(place(Wrong::new(first, too_many(), TOO_MANY_HELP)));
                    break;
                }
                Ok(backend) if !names.insert(backend.name.clone()) => {
                    problems.push(place(Wrong::new(first, twice(&backend.name), TWICE_HELP)));
                }
                Ok(backend) => found.push(backend),
                Err(wrong) => problems.push(place(wrong)),
            }
            if problems.len() == ERRORS_MAX {
                break;
            }
        }
        if found.is_empty() && problems.is_empty() {
            let word = Word {
                column: 1,
                text: "",
            };
            problems.push(Wrong::new(word, "there is no backend in it", LINE_HELP).at_line(1));
        }
        match problems.is_empty() {
            true => Ok(found),
            false => Err(ConfigErrors::placed(path, text, &problems)),
        }
    }

    /// Checks the words of a line; the name may be left out, the address is it then.
    fn of_line<'t>(&self, first: Word<'t>, rest: &[Word<'t>]) -> Result<FoundBackend, Wrong<'t>> {
        let (name, address, options) = match (first.text.parse::<SocketAddr>(), rest) {
            (Ok(address), rest) => (address.to_string(), (first, address), rest),
            (Err(_), [second, rest @ ..]) if !is_option(second.text) => {
                if let Some(help) = name_objection(first.text) {
                    let message = format!("`{}` cannot be a name", shown(first.text));
                    return Err(Wrong::new(first, message, help));
                }
                let address = second.text.parse().map_err(|_| not_an_address(*second))?;
                (first.text.to_owned(), (*second, address), rest)
            }
            (Err(_), _) => return Err(not_an_address(first)),
        };
        let (word, address) = address;
        if let Some(why) = address_objection(self.config, &self.pool.name, address) {
            return Err(Wrong::new(word, why, LINE_HELP));
        }
        if let Some(why) = self.name_taken(&name) {
            return Err(Wrong::new(first, why, TAKEN_HELP));
        }
        let mut backend = FoundBackend {
            name,
            address,
            weight: 1,
            requests: None,
            tier: Tier::Primary,
            origin: Origin::File,
        };
        let mut said = BTreeSet::new();
        for option in options {
            let (key, value) = option.text.split_once('=').unwrap_or((option.text, ""));
            if !said.insert(key) {
                return Err(Wrong::new(*option, twice(key), TWICE_HELP));
            }
            match (key, option.text.contains('=')) {
                ("weight", true) => {
                    let weight = number(*option, key, value, WEIGHT_MAX)?;
                    backend.weight = u16::try_from(weight).unwrap_or(u16::MAX);
                }
                ("requests", true) => {
                    backend.requests = Some(number(*option, key, value, REQUESTS_MAX)?);
                }
                ("backup", false) => backend.tier = Tier::Backup,
                _ => {
                    let message = format!("`{}` says nothing of a backend", shown(option.text));
                    return Err(Wrong::new(*option, message, LINE_HELP));
                }
            }
        }
        Ok(backend)
    }
}

fn split<'t>((first, rest): (&Word<'t>, &[Word<'t>])) -> (Word<'t>, Vec<Word<'t>>) {
    (*first, rest.to_vec())
}

fn is_option(word: &str) -> bool {
    word == "backup" || word.contains('=')
}

fn not_an_address(word: Word<'_>) -> Wrong<'_> {
    let message = format!("`{}` is not an address with a port", shown(word.text));
    Wrong::new(word, message, values::socket_addr_help(word.text))
}

fn number<'t>(word: Word<'t>, key: &str, value: &str, max: u32) -> Result<u32, Wrong<'t>> {
    let digits = value.bytes().all(|byte| byte.is_ascii_digit());
    let number = value
        .parse()
        .ok()
        .filter(|number| digits && (1..=max).contains(number));
    number.ok_or_else(|| {
        let message = format!("{key} must be between 1 and {max}");
        Wrong::new(word, message, format!("write `{key}=2`"))
    })
}

fn twice(what: &str) -> String {
    format!("`{}` is here twice", shown(what))
}

fn too_many() -> String {
    format!("there are more than {FILE_BACKENDS_MAX} backends in it")
}

/// A word of a line.
#[derive(Clone, Copy, Debug)]
struct Word<'t> {
    /// From 1, in characters.
    column: usize,
    text: &'t str,
}

/// What is wrong with a word.
#[derive(Debug)]
struct Wrong<'t> {
    word: Word<'t>,
    message: String,
    help: String,
}

impl<'t> Wrong<'t> {
    fn new(word: Word<'t>, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            word,
            message: message.into(),
            help: help.into(),
        }
    }

    fn at_line(self, line: usize) -> Placed {
        Placed {
            line,
            column: self.word.column,
            len: self.word.text.chars().count(),
            message: self.message,
            help: self.help,
        }
    }
}

/// Splits a line into words, without a comment.
fn words_of(line: &str) -> Vec<Word<'_>> {
    let line = line.split('#').next().unwrap_or_default();
    let mut words = Vec::new();
    let mut rest = line;
    let mut column = 1;
    loop {
        let word = rest.trim_start();
        column += rest.chars().count() - word.chars().count();
        let end = word.find(char::is_whitespace).unwrap_or(word.len());
        let (text, after) = word.split_at(end);
        if text.is_empty() {
            return words;
        }
        words.push(Word { column, text });
        column += text.chars().count();
        rest = after;
    }
}
