//! Backends that stand in files of their own, or behind names: found with the configuration, and
//! followed from then on, each kind on a thread of its own. Names are looked up by a process of
//! their own (`process`).
//!
//! Whatever happens to a file or a resolver, what was good last goes on: only something better
//! takes its place. The daemon takes up what is new as it does with certificates that change.

pub(crate) mod backends_file;
mod behind;
mod hosts;
pub(crate) mod kept;
pub(crate) mod line;
pub(crate) mod names;
pub(crate) mod news;
pub(crate) mod process;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use tokio::sync::mpsc;

use self::names::Resolver;
use self::news::{FollowKind, News, Watch};
use crate::config::Config;
use crate::ipc::message::PoolHealth;

/// The threads, as the daemon has them.
#[derive(Debug)]
pub(crate) struct Followers {
    teller: mpsc::Sender<News>,
    resolver: Arc<Resolver>,
    files: Option<Watch>,
    names: Option<Watch>,
    warnings: BTreeMap<FollowKind, Vec<String>>,
}

impl Followers {
    pub(crate) const fn new(teller: mpsc::Sender<News>, resolver: Arc<Resolver>) -> Self {
        Self {
            teller,
            resolver,
            files: None,
            names: None,
            warnings: BTreeMap::new(),
        }
    }

    /// Follows what a configuration has from now on; it is without what was changed by command.
    pub(crate) fn follow(&mut self, config: &Config, healths: &BTreeMap<String, PoolHealth>) {
        if config.pools.iter().all(|pool| pool.follow.file.is_none()) {
            self.files = None;
            self.warnings.remove(&FollowKind::Files);
        } else if self.files.is_none() {
            self.files = started("backends", backends_file::watch(self.teller.clone()));
        }
        if config.pools.iter().all(|pool| pool.follow.names.is_empty()) {
            if self.names.take().is_some() {
                self.resolver.forget_kept();
            }
            self.resolver.rest();
            self.warnings.remove(&FollowKind::Names);
        } else if self.names.is_none() {
            let resolver = Arc::clone(&self.resolver);
            self.names = started("names", names::watch(resolver, self.teller.clone()));
        }
        if self.files.is_none() && self.names.is_none() {
            return;
        }
        let config = Arc::new(config.clone());
        if let Some(files) = &self.files {
            files.follow(&config);
        }
        if let Some(names) = &self.names {
            self.resolver.note_running(Arc::clone(&config), healths);
            names.follow(&config);
        }
    }

    /// Returns who looks names up.
    pub(crate) fn resolver(&self) -> Arc<Resolver> {
        Arc::clone(&self.resolver)
    }

    /// Notes what the proxy says of a pool.
    pub(crate) fn note_health(&self, health: &PoolHealth) {
        if self.names.is_some() {
            self.resolver.note_health(health);
        }
    }

    /// Notes what is wrong. What comes of what is followed no more was under way.
    pub(crate) fn note(&mut self, news: &News) {
        let follows = match news.kind {
            FollowKind::Files => &self.files,
            FollowKind::Names => &self.names,
        };
        if follows.is_some() {
            self.warnings.insert(news.kind, news.warnings.clone());
        }
    }

    /// Returns what is wrong, for people.
    pub(crate) fn warnings(&self) -> impl Iterator<Item = &str> {
        self.warnings.values().flatten().map(String::as_str)
    }
}

fn started<T>(thread: &str, started: io::Result<T>) -> Option<T> {
    let failed = |error: &io::Error| tracing::error!(thread, %error, "backends are not followed");
    started.inspect_err(failed).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_late_of_what_is_followed_no_more_is_not_shown() {
        let (teller, _news) = mpsc::channel(1);
        let mut followers = Followers::new(teller, Arc::default());
        let mut late = News::none(FollowKind::Names);
        late.warnings
            .push("name web.example is not resolved".to_owned());
        followers.note(&late);
        assert_eq!(followers.warnings().count(), 0);
        followers.names = Some(Watch::default());
        followers.note(&late);
        assert_eq!(followers.warnings().count(), 1);
        late.kind = FollowKind::Files;
        followers.note(&late);
        assert_eq!(followers.warnings().count(), 1, "of each kind by itself");
    }
}
