//! The parameters of a query, split once for all routes that ask for one.

use std::cell::OnceCell;
use std::collections::BTreeSet;

/// The parameters of a query, which is split when the first is asked for.
pub(super) struct Parameters<'q> {
    query: &'q str,
    found: OnceCell<BTreeSet<(&'q str, Option<&'q str>)>>,
}

impl<'q> Parameters<'q> {
    /// Takes a query, with or without its `?`.
    pub(super) fn new(query: &'q str) -> Self {
        Self {
            query: query.strip_prefix('?').unwrap_or(query),
            found: OnceCell::new(),
        }
    }

    /// Returns whether there is one of this name, and of this value where one is given.
    pub(super) fn have(&self, name: &str, value: Option<&str>) -> bool {
        let found = self.found.get_or_init(|| self.split());
        found.contains(&(name, value))
    }

    fn split(&self) -> BTreeSet<(&'q str, Option<&'q str>)> {
        let mut found = BTreeSet::new();
        for pair in self.query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some((name, value)) => {
                    found.insert((name, None));
                    found.insert((name, Some(value)));
                }
                None => drop(found.insert((pair, None))),
            }
        }
        found
    }
}
