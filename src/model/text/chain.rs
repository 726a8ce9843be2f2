//! The text of an error and its causes, for people.
//!
//! The message of an error says its own level only; the cause is its `source`. So whoever shows an
//! error shows a [`Chain`], and every level stands in it once. `tests/architecture` holds messages
//! to this.

use std::error::Error;
use std::fmt;
use std::iter::successors;

/// An error and its causes, outermost first, joined by `: `. What a level says from a line `help: `
/// on comes after the last cause.
#[derive(Clone, Copy, Debug)]
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut help = String::new();
        for (depth, level) in successors(Some(self.0), |&level| level.source()).enumerate() {
            let text = level.to_string();
            let (what, to_mend) = text.split_at(text.find(HELP).unwrap_or(text.len()));
            f.write_str(if depth == 0 { "" } else { ": " })?;
            f.write_str(what)?;
            help.push_str(to_mend);
        }
        f.write_str(&help)
    }
}

const HELP: &str = "\nhelp: ";

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Level(&'static str, Option<Box<Self>>);

    impl fmt::Display for Level {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Level {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|cause| cause as &dyn Error)
        }
    }

    fn level(text: &'static str, cause: impl Into<Option<Level>>) -> Level {
        Level(text, cause.into().map(Box::new))
    }

    #[test]
    fn chain_has_every_level_once() {
        let error = level(
            "failed to start",
            level("socketpair", level("no memory", None)),
        );
        assert_eq!(
            Chain(&error).to_string(),
            "failed to start: socketpair: no memory"
        );
        assert_eq!(Chain(&level("no memory", None)).to_string(), "no memory");
    }

    #[test]
    fn help_comes_after_the_causes() {
        let error = level("cannot listen\nhelp: stop it", level("in use", None));
        assert_eq!(
            Chain(&error).to_string(),
            "cannot listen: in use\nhelp: stop it"
        );
        let both = "error: a\nhelp: b\n\nerror: c\nhelp: d\n";
        let error = level("the file is wrong", level(both, None));
        assert_eq!(
            Chain(&error).to_string(),
            format!("the file is wrong: {both}"),
            "a cause of many lines stays as it is"
        );
    }
}
