//! Certificates that change on disk: looked at four times a second, on a thread aside, and taken up
//! when they have stood still from one look to the next and are a pair.
//!
//! Whatever happens to files, what serves goes on until something better has been read whole: a key
//! without its certificate, half a file, an empty one, one that nobody may read. Each pair stands
//! for itself. What is wrong is said once for each state of a file, and in `status` while it lasts.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::authorities;
use super::held::{Held, Opened};
use super::reader::{Pairs, Reader};
use super::sources::{Look, PairFiles, pairs_of};
use crate::config::{Authorities, CertificateSource, Config, FoundPoolTls, FoundTls};
use crate::config::{ListenerTls, PoolTls};
use crate::process::supervisor::follow::news::FollowedPools;

/// What was found anew.
#[derive(Clone, Debug, Default)]
pub(crate) struct Renewed {
    /// By listener, with what it was looked up from.
    pub(crate) listeners: BTreeMap<String, (Vec<CertificateSource>, Arc<FoundTls>)>,
    /// By pool.
    pub(crate) pools: BTreeMap<String, (Option<CertificateSource>, Arc<FoundPoolTls>)>,
    pub(crate) held: Held,
    /// Backends, by pool.
    pub(crate) followed: FollowedPools,
    /// What is wrong with files that were to be taken up, for people.
    pub(crate) warnings: Vec<String>,
    /// What was watched, by its number.
    pub(crate) number: u64,
}

impl Renewed {
    /// Returns whether it has certificates, and so `held`.
    pub(crate) fn is_of_certificates(&self) -> bool {
        !self.listeners.is_empty() || !self.pools.is_empty()
    }

    /// Leaves certificates out unless they are of what is watched now; what has changed of that is
    /// found again.
    pub(crate) fn keep_certificates_of(&mut self, number: Option<u64>) {
        if number != Some(self.number) {
            self.listeners.clear();
            self.pools.clear();
        }
    }

    /// Adds what was found later.
    pub(crate) fn extend(&mut self, later: Self) {
        if later.is_of_certificates() {
            self.held = later.held;
            self.number = later.number;
        }
        self.listeners.extend(later.listeners);
        self.pools.extend(later.pools);
        self.followed.extend(later.followed);
    }
}

/// Watches as long as it is there.
#[derive(Debug)]
pub(crate) struct Watch {
    wanted: Arc<Mutex<Wanted>>,
    reader: Arc<Reader>,
}

/// What is watched.
#[derive(Debug, Default)]
struct Wanted {
    number: u64,
    listeners: BTreeMap<String, ListenerTls>,
    pools: BTreeMap<String, PoolTls>,
    held: Held,
}

impl Watch {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives none.
    pub(crate) fn start(
        reader: Arc<Reader>,
        renewed: mpsc::Sender<Renewed>,
    ) -> std::io::Result<Self> {
        let wanted = Arc::default();
        let watched = Arc::downgrade(&wanted);
        let own = Arc::clone(&reader);
        std::thread::Builder::new()
            .name("certificates".into())
            .spawn(move || {
                let mut watcher = Watcher::new(watched, reader);
                while let Some(turned) = watcher.turn() {
                    if turned.is_some_and(|it| renewed.blocking_send(it).is_err()) {
                        return;
                    }
                    std::thread::park_timeout(LOOK_INTERVAL);
                }
            })?;
        Ok(Self {
            wanted,
            reader: own,
        })
    }

    /// Returns the number of what is watched.
    pub(crate) fn number(&self) -> u64 {
        // A thread that panicked here left it whole.
        self.wanted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .number
    }

    /// Returns whether it has files read by this reader.
    pub(crate) fn asks(&self, reader: &Arc<Reader>) -> bool {
        Arc::ptr_eq(&self.reader, reader)
    }

    /// Watches what a configuration names from now on; `held` are its files as they were read.
    pub(crate) fn follow(&self, config: &Config, held: &Held) {
        let listeners = config.listeners.iter().filter_map(|listener| {
            let tls = listener.tls.clone()?;
            Some((listener.name.clone(), tls))
        });
        let pools = config.pools.iter().filter_map(|pool| {
            let tls = pool.tls.clone()?;
            Some((pool.name.clone(), tls))
        });
        // A thread that panicked here left it whole.
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        *wanted = Wanted {
            number: wanted.number + 1,
            listeners: listeners.collect(),
            pools: pools.collect(),
            held: held.clone(),
        };
    }
}

/// The thread.
struct Watcher {
    watched: Weak<Mutex<Wanted>>,
    reader: Arc<Reader>,
    wanted: Wanted,
    /// What files looked like at the last look.
    looks: BTreeMap<PathBuf, Option<Look>>,
    /// Those that were tried as they look now, in vain, and why.
    failed: BTreeMap<PathBuf, Failed>,
    /// What authorities looked like when they were read.
    authorities: BTreeMap<PathBuf, Option<Look>>,
    /// What was said last.
    warnings: Vec<String>,
}

/// A file that could not be taken up.
struct Failed {
    looks: Option<[Look; 2]>,
    why: String,
    tried_at: Instant,
}

impl Failed {
    /// Returns whether it is tried again: it looks otherwise, or what was wrong may have passed.
    fn is_due(&self, looks: Option<[Look; 2]>) -> bool {
        self.looks != looks || self.tried_at.elapsed() >= RETRY_AFTER
    }
}

/// What a look at one thing has come to.
enum Seen<T> {
    Same,
    Changed(T),
}

impl Watcher {
    fn new(watched: Weak<Mutex<Wanted>>, reader: Arc<Reader>) -> Self {
        Self {
            watched,
            reader,
            wanted: Wanted::default(),
            looks: BTreeMap::new(),
            failed: BTreeMap::new(),
            authorities: BTreeMap::new(),
            warnings: Vec::new(),
        }
    }

    /// Looks at everything; `None` where nobody wants to know any more.
    fn turn(&mut self) -> Option<Option<Renewed>> {
        self.take_wanted()?;
        let mut renewed = Renewed::default();
        let mut current = BTreeMap::new();
        let mut listeners = std::mem::take(&mut self.wanted.listeners);
        for (name, tls) in &mut listeners {
            if let Seen::Changed(found) = self.look_at_listener(tls, &mut current) {
                tls.found = Arc::new(found);
                let found = (tls.certificates.clone(), Arc::clone(&tls.found));
                renewed.listeners.insert(name.clone(), found);
            }
        }
        let mut pools = std::mem::take(&mut self.wanted.pools);
        for (name, tls) in &mut pools {
            if let Seen::Changed(found) = self.look_at_pool(tls, &mut current) {
                tls.found = Arc::new(found);
                let found = (tls.certificate.clone(), Arc::clone(&tls.found));
                renewed.pools.insert(name.clone(), found);
            }
        }
        self.looks = current;
        (self.wanted.listeners, self.wanted.pools) = (listeners, pools);
        let looks = &self.looks;
        self.failed.retain(|path, _| looks.contains_key(path));
        renewed.warnings = self.failed.values().map(|it| it.why.clone()).collect();
        renewed.held = self.wanted.held.clone();
        renewed.number = self.wanted.number;
        let is_news = !renewed.listeners.is_empty()
            || !renewed.pools.is_empty()
            || renewed.warnings != self.warnings;
        self.warnings.clone_from(&renewed.warnings);
        Some(is_news.then_some(renewed))
    }

    fn take_wanted(&mut self) -> Option<()> {
        let wanted = self.watched.upgrade()?;
        // The same.
        let wanted = wanted.lock().unwrap_or_else(PoisonError::into_inner);
        if wanted.number != self.wanted.number {
            self.wanted = Wanted {
                number: wanted.number,
                listeners: wanted.listeners.clone(),
                pools: wanted.pools.clone(),
                held: wanted.held.clone(),
            };
            self.authorities.clear();
        }
        Some(())
    }

    fn look_at_listener(
        &mut self,
        tls: &ListenerTls,
        current: &mut BTreeMap<PathBuf, Option<Look>>,
    ) -> Seen<FoundTls> {
        let mut chains = Vec::new();
        for source in &tls.certificates {
            let Ok(pairs) = pairs_of(source) else {
                // It is gone for a moment, or for good: what serves goes on.
                return Seen::Same;
            };
            for files in pairs {
                chains.extend(self.look_at_pair(&files, current));
            }
        }
        let clients = tls.client_certificates.as_ref();
        let client_roots = clients
            .and_then(|clients| self.look_at_authorities(&clients.ca, current))
            .unwrap_or_else(|| tls.found.client_roots.clone());
        let found = FoundTls {
            chains: chains
                .into_iter()
                .map(|opened| opened.chain.clone())
                .collect(),
            client_roots,
        };
        match found.chains.is_empty() || found == *tls.found {
            true => Seen::Same,
            false => Seen::Changed(found),
        }
    }

    fn look_at_pool(
        &mut self,
        tls: &PoolTls,
        current: &mut BTreeMap<PathBuf, Option<Look>>,
    ) -> Seen<FoundPoolTls> {
        let mut found = (*tls.found).clone();
        if let Some(source) = &tls.certificate
            && let Ok(pairs) = pairs_of(source)
            && let Some(files) = pairs.first()
            && let Some(opened) = self.look_at_pair(files, current)
        {
            found.chain = Some(opened.chain.clone());
        }
        if let Authorities::File(path) = &tls.ca
            && tls.verify
            && let Some(roots) = self.look_at_authorities(path, current)
        {
            found.roots = roots;
        }
        match found == *tls.found {
            true => Seen::Same,
            false => Seen::Changed(found),
        }
    }

    /// Returns the pair that serves from now on: the one of before, where there is no better one.
    fn look_at_pair(
        &mut self,
        files: &PairFiles,
        current: &mut BTreeMap<PathBuf, Option<Look>>,
    ) -> Option<Arc<Opened>> {
        let path = &files.certificate;
        let looks = files.look();
        let [certificate, key] = [path, files.key.as_ref().unwrap_or(path)];
        let stands_still = [certificate, key].into_iter().all(|path| {
            let look = fs::metadata(path).ok().map(|it| Look::of(&it));
            current.insert(path.clone(), look);
            self.looks.get(path) == Some(&look)
        });
        let old = self.wanted.held.get(path).cloned();
        if old.as_ref().is_some_and(|old| Some(old.looks) == looks) {
            self.failed.remove(path);
            return old;
        }
        if !stands_still || self.failed.get(path).is_some_and(|it| !it.is_due(looks)) {
            return old;
        }
        match Opened::read(files, &*self.reader as &dyn Pairs) {
            Ok(opened) => {
                let opened = Arc::new(opened);
                self.failed.remove(path);
                self.wanted.held.insert(path.clone(), Arc::clone(&opened));
                Some(opened)
            }
            Err(why) => {
                self.note_failed(path, looks, &why);
                old
            }
        }
    }

    /// Returns authorities that have changed.
    fn look_at_authorities(
        &mut self,
        path: &Path,
        current: &mut BTreeMap<PathBuf, Option<Look>>,
    ) -> Option<Vec<crate::model::Der>> {
        let look = fs::metadata(path).ok().map(|it| Look::of(&it));
        current.insert(path.to_owned(), look);
        let stands_still = self.looks.get(path) == Some(&look);
        let first = !self.authorities.contains_key(path);
        if !stands_still || (!first && self.authorities.get(path) == Some(&look)) {
            return None;
        }
        self.authorities.insert(path.to_owned(), look);
        match authorities::of_file(path) {
            Ok(roots) => {
                self.failed.remove(path);
                Some(roots)
            }
            Err(why) => {
                self.note_failed(path, look.map(|look| [look; 2]), &why);
                None
            }
        }
    }

    fn note_failed(&mut self, path: &Path, looks: Option<[Look; 2]>, why: &str) {
        let line = why.lines().next().unwrap_or_default();
        let shown = path.display().to_string();
        let text = match line.starts_with(&shown) {
            true => line.to_owned(),
            false => format!("{shown}: {line}"),
        };
        if self.failed.get(path).is_none_or(|known| known.why != text) {
            tracing::warn!(
                cause = text,
                "certificate not taken up, the one before serves"
            );
        }
        let failed = Failed {
            looks,
            why: text,
            tried_at: Instant::now(),
        };
        self.failed.insert(path.to_owned(), failed);
    }
}

/// Twice so long, and a reload, is less than the second in which a change is taken up.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// What failed for want of something of ours may be right after all.
const RETRY_AFTER: Duration = Duration::from_secs(2);
