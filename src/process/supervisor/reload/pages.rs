//! The texts of the pages that a configuration names, read where the configuration itself is: on a
//! thread of its own, with the rights of the daemon, never by the proxy, which can open nothing.
//!
//! Whole or not at all: what is wrong with any page is said of all of them, and refuses the
//! configuration. Nothing watches the files; the next reload reads them again.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file::{self, owner_of, reader};
use crate::config::Config;
use crate::config::pages::pages_of;
use crate::model::Chain;

/// All that is wrong with the pages of a configuration.
#[derive(Debug)]
pub struct PageErrors(Vec<PageError>);

/// A page that cannot be used.
#[derive(Debug)]
struct PageError {
    /// `listener http: error page 503`; several where several have this file.
    purposes: Vec<String>,
    path: PathBuf,
    why: Why,
}

/// Why a file is no page.
#[derive(Debug, thiserror::Error)]
enum Why {
    #[error("it cannot be read as {reader}{owner}")]
    Unreadable {
        reader: String,
        /// Whose it is, as far as that can be seen.
        owner: String,
        source: io::Error,
    },
    #[error("it is not a regular file")]
    NotAFile,
    #[error("it has more than {PAGE_BYTES_MAX} bytes")]
    TooLong,
    #[error("it is not UTF-8 text")]
    NotText,
    #[error("with it the pages have more than {ALL_BYTES_MAX} bytes in all")]
    TooMany,
}

impl fmt::Display for PageErrors {
    /// One after another, each with how to mend it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            let PageError {
                purposes,
                path,
                why,
            } = error;
            let before = if index == 0 { "" } else { "\n" };
            let (purposes, path, help) = (purposes.join(", "), path.display(), why.help());
            let why = Chain(why);
            write!(f, "{before}error: {purposes}: {path}: {why}\nhelp: {help}")?;
        }
        Ok(())
    }
}

impl std::error::Error for PageErrors {}

impl Why {
    const fn help(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => {
                "the daemon reads it when it starts and at each reload: write it, or let the \
                 daemon's user read it and search the directories above it; or take the key out"
            }
            Self::NotAFile => "name a file; the text is read once and answered from memory",
            Self::TooLong | Self::TooMany => {
                "make it smaller: style sheets and pictures can come from another server"
            }
            Self::NotText => "save it as UTF-8, which is how it is announced to browsers",
        }
    }
}

/// Reads the text of every page of a configuration into it.
///
/// # Errors
/// When one of them cannot be used: nothing is to be done with the configuration then.
pub(super) fn read(config: &mut Config) -> Result<(), PageErrors> {
    let mut texts: BTreeMap<PathBuf, Result<Arc<str>, usize>> = BTreeMap::new();
    let mut errors: Vec<PageError> = Vec::new();
    let mut bytes = 0;
    for (purpose, page) in pages_of(config) {
        let text = texts.entry(page.path.clone()).or_insert_with(|| {
            let text = read_page(&page.path).and_then(|text| {
                bytes += text.len();
                (bytes <= ALL_BYTES_MAX).then_some(text).ok_or(Why::TooMany)
            });
            text.map_err(|why| {
                errors.push(PageError {
                    purposes: Vec::new(),
                    path: page.path.clone(),
                    why,
                });
                errors.len() - 1
            })
        });
        match text {
            Ok(text) => page.text = Some(Arc::clone(text)),
            Err(index) => errors[*index].purposes.push(purpose),
        }
    }
    match errors.is_empty() {
        true => Ok(()),
        false => Err(PageErrors(errors)),
    }
}

fn read_page(path: &Path) -> Result<Arc<str>, Why> {
    let unreadable = |source| Why::Unreadable {
        reader: reader(),
        owner: owner_of(path),
        source,
    };
    let file: File = file::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(Why::NotAFile);
    }
    let mut text = Vec::new();
    let read = file.take(PAGE_BYTES_MAX + 1).read_to_end(&mut text);
    if read.map_err(unreadable)? as u64 > PAGE_BYTES_MAX {
        return Err(Why::TooLong);
    }
    let text = String::from_utf8(text).map_err(|_| Why::NotText)?;
    Ok(text.into())
}

/// The longest page; it is kept in memory, and copied for each answer that says the request's id.
const PAGE_BYTES_MAX: u64 = 64 << 10;
/// Of all pages, each file counted once.
const ALL_BYTES_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::config::{NodeName, parse};

    fn config(keys: &str) -> Config {
        let yaml = format!(
            "listeners: {{http: {{bind: [\"127.0.0.1:80\"], pool: web, {keys}}}}}\n\
             pools: {{web: {{backends: {{a: \"10.0.0.1:80\"}}}}}}\n"
        );
        parse("t.yaml", &yaml, NodeName::Given("lb1")).unwrap()
    }

    /// Returns what is wrong with these pages, without the name of their directory.
    fn complaint(directory: &Path, keys: &str) -> String {
        let directory = directory.to_str().unwrap();
        let mut config = config(&keys.replace("DIR", directory));
        let error = read(&mut config).unwrap_err();
        error.to_string().replace(directory, "DIR")
    }

    #[test]
    fn pages_are_read_whole_and_each_file_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.html");
        fs::write(&path, "<p>").unwrap();
        let path = path.display();
        let mut config = config(&format!(
            "error_pages: {{503: {path}, 4xx: {path}}}, maintenance: {{page: {path}}}"
        ));
        read(&mut config).unwrap();
        let texts: Vec<_> = pages_of(&mut config)
            .map(|(_, page)| page.text.clone().unwrap())
            .collect();
        assert_eq!(texts.len(), 3);
        assert!(texts.iter().all(|text| Arc::ptr_eq(text, &texts[0])));
        assert_eq!(&*texts[0], "<p>");
    }

    #[test]
    fn everything_that_is_wrong_is_said_with_its_path_and_how_to_mend_it() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        File::create(at("long")).unwrap().set_len(65_537).unwrap();
        fs::write(at("binary"), [0xff, 0xfe]).unwrap();
        nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let said = complaint(
            directory.path(),
            "error_pages: {404: DIR/none, 500: DIR/long, 501: DIR/binary, 502: DIR/pipe, 503: DIR, \
             5xx: DIR/none}",
        );
        let said: Vec<&str> = said.lines().collect();
        let own = reader();
        for (line, hoped) in [
            (
                0,
                &*format!(
                    "error: listener http: error page 404, listener http: error page 5xx: DIR/none: \
                     it cannot be read as {own}: No such file or directory (os error 2)"
                ),
            ),
            (
                2,
                "error: listener http: error page 500: DIR/long: it has more than 65536 bytes",
            ),
            (
                4,
                "error: listener http: error page 501: DIR/binary: it is not UTF-8 text",
            ),
            (
                6,
                "error: listener http: error page 502: DIR/pipe: it is not a regular file",
            ),
            (
                8,
                "error: listener http: error page 503: DIR: it is not a regular file",
            ),
        ] {
            assert_eq!(said[line], hoped);
            assert!(said[line + 1].starts_with("help: "), "{said:?}");
        }
        assert_eq!(said.len(), 10, "{said:?}");
    }

    #[test]
    fn a_file_that_may_not_be_read_is_named_with_its_owner_and_its_mode() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o040)).unwrap();
        let owner = owner_of(&path);
        let own = reader();
        assert!(
            owner.starts_with(&format!(" (it belongs to {own} and group ")),
            "{owner}"
        );
        assert!(owner.ends_with(", mode 0040)"), "{owner}");
        assert_eq!(owner_of(&directory.path().join("none")), "");
    }

    #[test]
    fn pages_have_a_bound_in_all() {
        let directory = tempfile::tempdir().unwrap();
        let keys: Vec<String> = (400..417)
            .map(|status| {
                let path = directory.path().join(status.to_string());
                fs::write(path, "a".repeat(64 << 10)).unwrap();
                format!("{status}: DIR/{status}")
            })
            .collect();
        let keys = format!("error_pages: {{{}}}", keys.join(", "));
        let said = complaint(directory.path(), &keys);
        let hoped = "error: listener http: error page 416: DIR/416: with it the pages have more \
                     than 1048576 bytes in all\nhelp: make it smaller";
        assert!(said.starts_with(hoped), "{said}");
    }
}
