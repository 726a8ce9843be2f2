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
use crate::config::{Authorities, CertificateChain, CertificateSource, Config};
use crate::config::{FoundPoolTls, FoundTls};
use crate::config::{ListenerTls, PoolTls};
use crate::model::Der;

/// What was found anew.
#[derive(Clone, Debug, Default)]
pub(crate) struct Renewed {
    /// The configuration beside which it was found; in another one it may be wrong.
    pub(crate) number: u64,
    /// By listener, with what it was looked up from.
    pub(crate) listeners: BTreeMap<String, (Vec<CertificateSource>, Arc<FoundTls>)>,
    /// By pool.
    pub(crate) pools: BTreeMap<String, (Option<CertificateSource>, Arc<FoundPoolTls>)>,
    pub(crate) held: Held,
    /// What is wrong with files that were to be taken up, for people.
    pub(crate) warnings: Vec<String>,
}

impl Renewed {
    /// Takes over what was found since.
    pub(crate) fn add(&mut self, newer: Self) {
        if self.number != newer.number {
            *self = newer;
            return;
        }
        self.listeners.extend(newer.listeners);
        self.pools.extend(newer.pools);
        self.held = newer.held;
        self.warnings = newer.warnings;
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
                loop {
                    let begun_at = Instant::now();
                    let Some(turned) = watcher.turn(begun_at) else {
                        return;
                    };
                    let took = begun_at.elapsed();
                    if turned.is_some_and(|it| renewed.blocking_send(it).is_err()) {
                        return;
                    }
                    std::thread::park_timeout(pause_after(took));
                }
            })?;
        Ok(Self {
            wanted,
            reader: own,
        })
    }

    /// Returns whether it has files read by this reader.
    pub(crate) fn asks(&self, reader: &Arc<Reader>) -> bool {
        Arc::ptr_eq(&self.reader, reader)
    }

    /// Watches what a configuration names from now on; `held` are its files as they were read. No
    /// two have the same number.
    pub(crate) fn follow(&self, number: u64, config: &Config, held: &Held) {
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
            number,
            listeners: listeners.collect(),
            pools: pools.collect(),
            held: held.clone(),
        };
    }
}

/// The thread.
struct Watcher {
    watched: Weak<Mutex<Wanted>>,
    pairs: Arc<dyn Pairs + Send + Sync>,
    wanted: Wanted,
    now: Instant,
    /// What files looked like at the last look.
    looks: Looks,
    /// Those that were tried in vain.
    failed: BTreeMap<PathBuf, Failed>,
    /// Whether all sources showed which pairs they have.
    all_shown: bool,
    /// Authorities, and what they looked like when they were read.
    authorities: BTreeMap<PathBuf, (Option<Look>, Arc<[Der]>)>,
    /// What was said last.
    warnings: Vec<String>,
}

/// By path; `None` where nothing is there.
type Looks = BTreeMap<PathBuf, Option<Look>>;

/// What could not be taken up.
#[derive(Debug)]
struct Failed {
    /// As it looked then.
    looks: Option<[Look; 2]>,
    why: String,
    tried_at: Instant,
}

/// What a look at one thing has come to.
enum Seen<T> {
    Same,
    Changed(T),
}

impl Watcher {
    fn new(watched: Weak<Mutex<Wanted>>, pairs: Arc<dyn Pairs + Send + Sync>) -> Self {
        Self {
            watched,
            pairs,
            wanted: Wanted::default(),
            now: Instant::now(),
            all_shown: true,
            looks: BTreeMap::new(),
            failed: BTreeMap::new(),
            authorities: BTreeMap::new(),
            warnings: Vec::new(),
        }
    }

    /// Looks at everything; `None` where nobody wants to know any more.
    fn turn(&mut self, now: Instant) -> Option<Option<Renewed>> {
        self.take_wanted()?;
        self.now = now;
        self.all_shown = true;
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
        if self.all_shown {
            self.wanted.held.retain(|path| looks.contains_key(path));
        }
        renewed.number = self.wanted.number;
        let failed = self.failed.values();
        renewed.warnings = failed.map(|failed| failed.why.clone()).collect();
        renewed.held = self.wanted.held.clone();
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

    fn look_at_listener(&mut self, tls: &ListenerTls, current: &mut Looks) -> Seen<FoundTls> {
        let mut chains = Vec::new();
        let mut all_shown = true;
        for source in &tls.certificates {
            let Some(pairs) = self.look_at_source(source, current) else {
                all_shown = false;
                continue;
            };
            for files in pairs {
                chains.extend(self.look_at_pair(&files, current));
            }
        }
        let vanished = |chain: &CertificateChain| {
            !current.contains_key(&chain.path) && self.looks.contains_key(&chain.path)
        };
        // What serves goes on where its source is gone, and at the first look without it.
        if !all_shown || tls.found.chains.iter().any(vanished) {
            self.all_shown = false;
            return Seen::Same;
        }
        let clients = tls.client_certificates.as_ref();
        let client_roots = clients
            .and_then(|clients| self.look_at_authorities(&clients.ca, current))
            .map_or_else(|| tls.found.client_roots.clone(), |roots| roots.to_vec());
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

    fn look_at_pool(&mut self, tls: &PoolTls, current: &mut Looks) -> Seen<FoundPoolTls> {
        let mut found = (*tls.found).clone();
        if let Some(source) = &tls.certificate
            && let Some(pairs) = self.look_at_source(source, current)
            && let Some(files) = pairs.first()
            && let Some(opened) = self.look_at_pair(files, current)
        {
            found.chain = Some(opened.chain.clone());
        }
        if let Authorities::File(path) = &tls.ca
            && tls.verify
            && let Some(roots) = self.look_at_authorities(path, current)
        {
            found.roots = roots.to_vec();
        }
        match found == *tls.found {
            true => Seen::Same,
            false => Seen::Changed(found),
        }
    }

    /// Returns the pairs that a source has; `None` where that cannot be seen: it may be gone for a
    /// moment, or for good.
    fn look_at_source(
        &mut self,
        source: &CertificateSource,
        current: &mut Looks,
    ) -> Option<Vec<PairFiles>> {
        let error = match pairs_of(source) {
            Ok(pairs) => return Some(pairs),
            Err(error) => error,
        };
        self.all_shown = false;
        let (CertificateSource::Path(path)
        | CertificateSource::Pair {
            certificate: path, ..
        }) = source;
        let look = look_at(path);
        current.insert(path.clone(), look);
        if self.looks.get(path) == Some(&look) {
            self.note_failed(path, look.map(|look| [look; 2]), &error.to_string());
        }
        None
    }

    /// Returns the pair that serves from now on: the one of before, where there is no better one.
    fn look_at_pair(&mut self, files: &PairFiles, current: &mut Looks) -> Option<Arc<Opened>> {
        let path = &files.certificate;
        let looks = files.look();
        let [certificate, key] = [path, files.key.as_ref().unwrap_or(path)];
        let stands_still = [certificate, key].into_iter().all(|path| {
            let look = look_at(path);
            current.insert(path.clone(), look);
            self.looks.get(path) == Some(&look)
        });
        let old = self.wanted.held.get(path).cloned();
        if old.as_ref().is_some_and(|old| Some(old.looks) == looks) {
            self.failed.remove(path);
            return old;
        }
        if !stands_still || self.is_too_early_for(path, looks) {
            return old;
        }
        match Opened::read(files, &*self.pairs) {
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

    /// Returns authorities as they were read last; `None` where they have not been.
    fn look_at_authorities(&mut self, path: &Path, current: &mut Looks) -> Option<Arc<[Der]>> {
        let look = look_at(path);
        current.insert(path.to_owned(), look);
        let looks = look.map(|look| [look; 2]);
        let stands_still = self.looks.get(path) == Some(&look);
        let old = self.authorities.get(path);
        let is_read = old.is_some_and(|(of, _)| *of == look);
        let old = old.map(|(_, roots)| Arc::clone(roots));
        if is_read {
            self.failed.remove(path);
        }
        if is_read || !stands_still || self.is_too_early_for(path, looks) {
            return old;
        }
        match authorities::of_file(path) {
            Ok(roots) => {
                self.failed.remove(path);
                let roots: Arc<[Der]> = roots.into();
                let read = (look, Arc::clone(&roots));
                self.authorities.insert(path.to_owned(), read);
                Some(roots)
            }
            Err(why) => {
                self.note_failed(path, looks, &why);
                old
            }
        }
    }

    /// Returns whether this was tried a moment ago, and looks as it did then: what was short may
    /// have been the machine.
    fn is_too_early_for(&self, path: &Path, looks: Option<[Look; 2]>) -> bool {
        self.failed.get(path).is_some_and(|failed| {
            let since = self.now.saturating_duration_since(failed.tried_at);
            failed.looks == looks && since < RETRY_INTERVAL
        })
    }

    fn note_failed(&mut self, path: &Path, looks: Option<[Look; 2]>, why: &str) {
        let line = why.lines().next().unwrap_or_default();
        let shown = path.display().to_string();
        let text = match line.starts_with(&shown) {
            true => line.to_owned(),
            false => format!("{shown}: {line}"),
        };
        let said = self.failed.get(path).map(|failed| &failed.why);
        if said != Some(&text) {
            let cause = &text;
            tracing::warn!(cause, "certificate not taken up, the one before serves");
        }
        let failed = Failed {
            looks,
            why: text,
            tried_at: self.now,
        };
        self.failed.insert(path.to_owned(), failed);
    }
}

fn look_at(path: &Path) -> Option<Look> {
    fs::metadata(path).ok().map(|it| Look::of(&it))
}

/// Returns how long to rest: of a processor, a tenth is used at most while nothing changes.
fn pause_after(took: Duration) -> Duration {
    (took * 9).clamp(LOOK_INTERVAL, LOOK_INTERVAL_MAX)
}

/// Twice so long, and a reload, is less than the second in which a change is taken up.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// Where so many files are looked at that a turn takes long.
const LOOK_INTERVAL_MAX: Duration = Duration::from_secs(2);
/// When what could not be read is tried again, also where it looks the same.
const RETRY_INTERVAL: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
