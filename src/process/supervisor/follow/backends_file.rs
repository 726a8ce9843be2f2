//! Files with backends: read with the configuration, and watched from then on.
//!
//! A file counts when two looks at it agree, so that half a written one is not taken. One that is
//! wrong, or gone, changes nothing; that is said once for each state of it.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, Weak};
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;

use super::news::{FollowKind, News, Wanted, Watch, Watcher, wanted_now};
use crate::config::check::backends_of_file;
use crate::config::{Config, ConfigErrors, FoundBackend, PoolConfig};
use crate::model::Chain;
use crate::process::supervisor::keys::sources::Look;
use crate::process::supervisor::reload::file::{self, owner_of, reader};

/// All that is wrong with the files of a configuration.
#[derive(Debug)]
pub struct BackendsFileErrors(Vec<(String, FileError)>);

/// Why a file has no backends.
#[derive(Debug, thiserror::Error)]
enum FileError {
    #[error("{}: it cannot be read as {reader}{owner}", path.display())]
    Unreadable {
        path: PathBuf,
        reader: String,
        owner: String,
        source: io::Error,
    },
    #[error("{}: {why}", path.display())]
    NoText { path: PathBuf, why: &'static str },
    #[error(transparent)]
    Wrong(ConfigErrors),
}

impl fmt::Display for BackendsFileErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (pool, error)) in self.0.iter().enumerate() {
            let before = if index == 0 { "" } else { "\n\n" };
            match error {
                FileError::Wrong(errors) => {
                    write!(f, "{before}{errors}\nnote: it is the file of pool {pool}")?;
                }
                FileError::Unreadable { .. } | FileError::NoText { .. } => {
                    let why = Chain(error);
                    write!(
                        f,
                        "{before}error: pool {pool}: {why}\nhelp: {UNREADABLE_HELP}"
                    )?;
                }
            }
        }
        Ok(())
    }
}

impl std::error::Error for BackendsFileErrors {}

/// Reads the files of a configuration into it.
///
/// # Errors
/// When one of them cannot be used: nothing is to be done with the configuration then.
pub(crate) fn find(config: &mut Config) -> Result<(), BackendsFileErrors> {
    let mut all = Vec::new();
    let mut errors = Vec::new();
    for (index, pool) in config.pools.iter().enumerate() {
        let Some(path) = &pool.follow.file else {
            continue;
        };
        match read(config, pool, path) {
            Ok((_, found)) => all.push((index, found)),
            Err(error) => errors.push((pool.name.clone(), error)),
        }
    }
    if !errors.is_empty() {
        return Err(BackendsFileErrors(errors));
    }
    for (index, found) in all {
        let pool = &mut config.pools[index];
        let of_names = pool.of_names();
        pool.set_found(found.into_iter().chain(of_names));
    }
    Ok(())
}

/// Returns what a file has, and what it looked like while it was read; `None` where it did not
/// stand still.
fn read(
    config: &Config,
    pool: &PoolConfig,
    path: &Path,
) -> Result<(Option<Look>, Vec<FoundBackend>), FileError> {
    let unreadable = |source| FileError::Unreadable {
        path: path.to_owned(),
        reader: reader(),
        owner: owner_of(path),
        source,
    };
    let no_text = |why| FileError::NoText {
        path: path.to_owned(),
        why,
    };
    let mut file = file::open(path).map_err(unreadable)?;
    let before = file.metadata().map_err(unreadable)?;
    if !before.is_file() {
        return Err(no_text("it is not a regular file"));
    }
    let mut text = Vec::new();
    let read = (&mut file).take(FILE_BYTES_MAX + 1).read_to_end(&mut text);
    if read.map_err(unreadable)? as u64 > FILE_BYTES_MAX {
        return Err(no_text("it has more than 1 MiB"));
    }
    let after = file.metadata().map_err(unreadable)?;
    let text = String::from_utf8(text).map_err(|_| no_text("it is not UTF-8 text"))?;
    let shown = path.display().to_string();
    let found = backends_of_file(config, pool, &shown, &text).map_err(FileError::Wrong)?;
    let look = Look::of(&before);
    Ok(((look == Look::of(&after)).then_some(look), found))
}

/// Starts to watch files.
///
/// # Errors
/// When the system gives no thread.
pub(super) fn watch(teller: mpsc::Sender<News>) -> io::Result<Watch> {
    Watch::start("backends", teller, FileWatcher::new)
}

/// The thread.
struct FileWatcher {
    wanted: Weak<Mutex<Wanted>>,
    files: BTreeMap<(String, PathBuf), Watched>,
    warnings: Vec<String>,
}

/// What is known of the file of one pool.
#[derive(Debug, Default)]
struct Watched {
    /// At the last look.
    look: Option<Option<Look>>,
    /// What it looked like when it was read last, for which configuration.
    tried: Option<(u64, Option<Look>)>,
    /// Why it was not taken.
    failed: Option<String>,
    /// What the daemon was told, under which configuration.
    told: Option<(u64, Vec<FoundBackend>)>,
}

impl FileWatcher {
    fn new(wanted: Weak<Mutex<Wanted>>) -> Self {
        Self {
            wanted,
            files: BTreeMap::new(),
            warnings: Vec::new(),
        }
    }
}

impl Watcher for FileWatcher {
    fn turn(&mut self) -> Option<Option<News>> {
        let now = SystemTime::now();
        let (number, Some(config)) = wanted_now(&self.wanted)? else {
            return Some(None);
        };
        let mut news = News::none(FollowKind::Files);
        let mut before = std::mem::take(&mut self.files);
        for pool in &config.pools {
            let Some(path) = &pool.follow.file else {
                continue;
            };
            let key = (pool.name.clone(), path.clone());
            let mut watched = before.remove(&key).unwrap_or_default();
            if let Some(found) = watched.look_at(number, &config, pool, path, now) {
                let found = (pool.follow.clone(), found);
                news.pools.insert(pool.name.clone(), found);
            }
            if let Some(why) = &watched.failed {
                let text = "its backends stay as they were";
                news.warnings
                    .push(format!("pool {}: {text}: {why}", pool.name));
            }
            self.files.insert(key, watched);
        }
        Some(news.beside(&mut self.warnings))
    }

    fn rest(&mut self) {
        std::thread::park_timeout(LOOK_INTERVAL);
    }
}

impl Watched {
    /// Returns what the file has, where that is another thing and nobody was told yet.
    fn look_at(
        &mut self,
        number: u64,
        config: &Config,
        pool: &PoolConfig,
        path: &Path,
        now: SystemTime,
    ) -> Option<Vec<FoundBackend>> {
        let metadata = fs::metadata(path).ok();
        let look = metadata.as_ref().map(Look::of);
        let stands_still = self.look.replace(look) == Some(look);
        // Two changes within a tick of the kernel's clock may look the same.
        let written = metadata.and_then(|it| it.modified().ok());
        let age = written.and_then(|at| now.duration_since(at).ok());
        let is_fresh = age.is_some_and(|age| age < FRESH);
        if !stands_still || (self.tried == Some((number, look)) && !is_fresh) {
            return None;
        }
        let read = read(config, pool, path);
        if let Ok((seen, _)) = &read
            && *seen != look
        {
            return None;
        }
        self.tried = Some((number, look));
        match read {
            Ok((_, found)) => {
                if self.failed.take().is_some() {
                    let pool = pool.name.as_str();
                    tracing::info!(pool, path = %path.display(), "backends file is right again");
                }
                let told = (number, found);
                if told.1 == pool.of_file() || self.told.as_ref() == Some(&told) {
                    return None;
                }
                self.told = Some(told.clone());
                Some(told.1)
            }
            Err(error) => {
                let why = in_a_line(&error);
                if self.failed.as_ref() != Some(&why) {
                    let (pool, cause) = (pool.name.as_str(), why.as_str());
                    tracing::warn!(pool, cause, "backends file not taken up");
                }
                self.failed = Some(why);
                None
            }
        }
    }
}

/// Returns the first thing that is wrong, with its place.
fn in_a_line(error: &FileError) -> String {
    let FileError::Wrong(errors) = error else {
        return Chain(error).to_string();
    };
    let first = errors.iter().next().unwrap_or_default();
    let mut lines = first.lines();
    let what = lines.next().unwrap_or_default();
    let what = what.strip_prefix("error: ").unwrap_or(what);
    let place = lines.find_map(|line| line.trim_start().strip_prefix("--> "));
    format!("{}: {what}", place.unwrap_or_default())
}

const UNREADABLE_HELP: &str = "write a backend a line, `NAME ADDRESS:PORT`, into a file that the \
                               daemon's user may read, of at most 1 MiB; or take `backends_file` out";
/// A thousand backends have less.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Twice so long, and a change of the pools, is less than the tenth of a second in which a change
/// is taken up.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// The coarsest clock of a file system that is common has 10 ms.
const FRESH: Duration = Duration::from_millis(100);
