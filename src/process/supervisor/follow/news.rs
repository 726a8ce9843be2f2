//! What the threads that follow are told, and what they tell.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::mpsc;

use crate::config::{Config, Follow, FoundBackend};

/// What was found anew by one of the threads.
#[derive(Clone, Debug)]
pub(crate) struct News {
    pub(crate) kind: FollowKind,
    /// All of this kind that a pool has, with what it was looked up from.
    pub(crate) pools: BTreeMap<String, (Follow, Vec<FoundBackend>)>,
    /// What is wrong, for people; in the place of what was said before.
    pub(crate) warnings: Vec<String>,
}

impl News {
    pub(super) const fn none(kind: FollowKind) -> Self {
        Self {
            kind,
            pools: BTreeMap::new(),
            warnings: Vec::new(),
        }
    }

    /// Returns it where it says more than what was `said` to be wrong, which is noted.
    pub(super) fn beside(self, said: &mut Vec<String>) -> Option<Self> {
        let is_news = !self.pools.is_empty() || self.warnings != *said;
        said.clone_from(&self.warnings);
        is_news.then_some(self)
    }
}

/// What is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FollowKind {
    Files,
    Names,
}

/// What has been found anew of pools and is not taken up yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct FollowedPools(BTreeMap<(FollowKind, String), (Follow, Vec<FoundBackend>)>);

impl FollowedPools {
    /// Adds what was found later.
    pub(crate) fn extend(&mut self, later: Self) {
        self.0.extend(later.0);
    }

    /// Adds what was found later.
    pub(crate) fn add(&mut self, news: News) {
        for (pool, found) in news.pools {
            self.0.insert((news.kind, pool), found);
        }
    }

    /// Lays it on a configuration, as far as that still follows the same.
    pub(crate) fn apply(&self, config: &mut Config) {
        for pool in &mut config.pools {
            let part = |kind| {
                let found = self.0.get(&(kind, pool.name.clone()));
                let found = found.filter(|(follow, _)| *follow == pool.follow);
                found.map(|(_, found)| found.clone())
            };
            let (of_file, of_names) = (part(FollowKind::Files), part(FollowKind::Names));
            if of_file.is_some() || of_names.is_some() {
                let of_file = of_file.unwrap_or_else(|| pool.of_file());
                let of_names = of_names.unwrap_or_else(|| pool.of_names());
                pool.set_found(of_file.into_iter().chain(of_names));
            }
        }
    }
}

/// What a thread is to follow, as the daemon has it.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// Another one with each configuration.
    number: u64,
    /// Without what was changed by command.
    config: Option<Arc<Config>>,
}

/// Follows something as long as it is there, on a thread of its own.
#[derive(Debug, Default)]
pub(super) struct Watch(pub(super) Arc<Mutex<Wanted>>);

/// What the thread does.
pub(super) trait Watcher: Send + 'static {
    /// Looks at everything, and returns what is new; `None` where nobody wants to know any more.
    fn turn(&mut self) -> Option<Option<News>>;

    /// Waits until there may be more.
    fn rest(&mut self);
}

impl Watch {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives none.
    pub(super) fn start<W: Watcher>(
        thread: &str,
        teller: mpsc::Sender<News>,
        watcher: impl FnOnce(Weak<Mutex<Wanted>>) -> W,
    ) -> io::Result<Self> {
        let watch = Self::default();
        let mut watcher = watcher(Arc::downgrade(&watch.0));
        std::thread::Builder::new()
            .name(thread.into())
            .spawn(move || {
                while let Some(turned) = watcher.turn() {
                    if turned.is_some_and(|it| teller.blocking_send(it).is_err()) {
                        return;
                    }
                    watcher.rest();
                }
            })?;
        Ok(watch)
    }

    /// Has it follow what this configuration has, from now on.
    pub(super) fn follow(&self, config: &Arc<Config>) {
        // A thread that panicked here left it whole.
        let mut wanted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        wanted.number += 1;
        wanted.config = Some(Arc::clone(config));
    }
}

/// Returns what is to be followed now, and its number; `None` where nobody wants to know any more.
pub(super) fn wanted_now(wanted: &Weak<Mutex<Wanted>>) -> Option<(u64, Option<Arc<Config>>)> {
    let wanted = wanted.upgrade()?;
    // The same.
    let wanted = wanted.lock().unwrap_or_else(PoisonError::into_inner);
    Some((wanted.number, wanted.config.clone()))
}
