//! What a listener answers itself: the pages of an administrator's for which statuses, and what it
//! says while it is in maintenance.
//!
//! The file names the files; their texts are read by the supervisor
//! (`process::supervisor::reload::pages`) and are part of the configuration from then on, so that a
//! page that has changed is a configuration that has. They travel to the proxy beside the YAML, as
//! [`PageTexts`]. Pure.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Config;
use crate::model::Network;

/// A page: a file, and what was in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageConfig {
    /// An absolute path.
    pub path: PathBuf,
    /// `None` until it is read.
    pub text: Option<Arc<str>>,
}

impl PageConfig {
    /// Returns its media type, by the ending of its name.
    pub fn content_type(&self) -> &'static str {
        let extension = self.path.extension().and_then(|it| it.to_str());
        match extension {
            Some("txt") => "text/plain; charset=utf-8",
            Some("json") => "application/json; charset=utf-8",
            Some("xml") => "application/xml; charset=utf-8",
            Some(_) | None => "text/html; charset=utf-8",
        }
    }
}

/// Which answers a page is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Statuses {
    /// Those of one status, 400 to 599.
    One(u16),
    /// Those of a class: 4 is `4xx`, 5 is `5xx`.
    Class(u16),
}

impl fmt::Display for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(status) => write!(f, "{status}"),
            Self::Class(class) => write!(f, "{class}xx"),
        }
    }
}

/// The pages of a listener, by the answers that they are for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorPages(pub BTreeMap<Statuses, PageConfig>);

impl ErrorPages {
    /// Adds those of `common` for answers that have none here.
    pub fn complete_by(&mut self, common: &Self) {
        for (statuses, page) in &common.0 {
            let has_class = match statuses {
                Statuses::One(status) => self.0.contains_key(&Statuses::Class(status / 100)),
                Statuses::Class(_) => false,
            };
            if !has_class {
                self.0.entry(*statuses).or_insert_with(|| page.clone());
            }
        }
    }
}

/// What a listener says while it is in maintenance, and whether it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaintenanceConfig {
    /// What is said; `None`: the page of 503, or a line.
    pub page: Option<PageConfig>,
    /// Clients that are served as always.
    pub allow: Vec<Network>,
    /// What Retry-After says (RFC 9110 §10.2.3), in whole seconds, rounded up.
    pub retry_after: Duration,
    /// By command alone.
    pub mode: ListenerMode,
}

impl Default for MaintenanceConfig {
    fn default() -> Self {
        Self {
            page: None,
            allow: Vec::new(),
            retry_after: Duration::from_secs(300),
            mode: ListenerMode::Serving,
        }
    }
}

/// Whether requests are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerMode {
    /// They are.
    Serving,
    /// All but those of clients that are allowed are answered 503.
    Maintenance,
}

/// The texts of pages, by path; as they travel to the proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageTexts(BTreeMap<PathBuf, String>);

impl PageTexts {
    /// Returns those of a configuration.
    pub fn of(config: &Config) -> Self {
        let pages = config.listeners.iter().flat_map(|listener| {
            let errors = listener.error_pages.0.values();
            errors.chain(&listener.maintenance.page)
        });
        let text = |page: &PageConfig| Some((page.path.clone(), page.text.as_deref()?.to_owned()));
        Self(pages.filter_map(text).collect())
    }

    /// Lays them on the same configuration, read again.
    pub fn apply(self, config: &mut Config) {
        let texts = self.0.into_iter();
        let texts: BTreeMap<PathBuf, Arc<str>> =
            texts.map(|(path, text)| (path, text.into())).collect();
        for (_, page) in pages_of(config) {
            page.text = texts.get(&page.path).cloned();
        }
    }
}

/// Returns every page of a configuration with what it is for, in the order of the file's listeners.
pub fn pages_of(config: &mut Config) -> impl Iterator<Item = (String, &mut PageConfig)> {
    config.listeners.iter_mut().flat_map(|listener| {
        let name = &listener.name;
        let errors = listener.error_pages.0.iter_mut();
        let errors = errors.map(move |(statuses, page)| {
            let purpose = format!("listener {name}: error page {statuses}");
            (purpose, page)
        });
        let maintenance = listener.maintenance.page.iter_mut();
        let purpose = move || format!("listener {name}: maintenance page");
        errors.chain(maintenance.map(move |page| (purpose(), page)))
    })
}

/// What Retry-After may say, in the file and by command: a week at most, since a listener that is
/// closed for longer can be removed.
pub const RETRY_AFTER_SECONDS: RangeInclusive<u32> = 1..=7 * 24 * 3600;

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(all: &[(Statuses, &str)]) -> ErrorPages {
        let page = |(statuses, path): &(Statuses, &str)| {
            let path = PathBuf::from(path);
            (*statuses, PageConfig { path, text: None })
        };
        ErrorPages(all.iter().map(page).collect())
    }

    #[test]
    fn the_pages_of_a_listener_go_before_the_common_ones() {
        use Statuses::{Class, One};
        let common = pages(&[(One(404), "/c4"), (One(503), "/c503"), (Class(5), "/c5")]);
        for (own, hoped) in [
            (
                vec![],
                vec![(One(404), "/c4"), (One(503), "/c503"), (Class(5), "/c5")],
            ),
            (
                vec![(One(503), "/o503")],
                vec![(One(404), "/c4"), (One(503), "/o503"), (Class(5), "/c5")],
            ),
            (
                vec![(Class(5), "/o5")],
                vec![(One(404), "/c4"), (Class(5), "/o5")],
            ),
        ] {
            let mut completed = pages(&own);
            completed.complete_by(&common);
            assert_eq!(completed, pages(&hoped), "{own:?}");
        }
    }

    #[test]
    fn the_ending_of_a_name_says_its_media_type() {
        for (path, hoped) in [
            ("/a.html", "text/html; charset=utf-8"),
            ("/a.txt", "text/plain; charset=utf-8"),
            ("/a.json", "application/json; charset=utf-8"),
            ("/a.xml", "application/xml; charset=utf-8"),
            ("/a", "text/html; charset=utf-8"),
        ] {
            let path = path.into();
            assert_eq!(PageConfig { path, text: None }.content_type(), hoped);
        }
    }
}
