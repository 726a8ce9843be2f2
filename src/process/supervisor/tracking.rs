//! What the virtual routers of a configuration depend on, in the words of `logic::track`.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::scripts::track::{Observation, Runner};
use super::watch::{self, Watched};
use crate::config::{Config, TrackScriptConfig};
use crate::ipc::message::PoolHealth;
use crate::logic::track::{Condition, Effect, Observed, Source, Tracked};
use crate::process::role::ProgramUser;

/// Returns what each entry depends on: what the file says and, where listeners serve on its
/// addresses, the proxy and the pools of those.
pub(super) fn tracked(config: &Config) -> Vec<Tracked> {
    let mut all: Vec<Tracked> = Vec::new();
    for router in &config.virtual_routers {
        let entry = &router.name.entry;
        if all.iter().any(|tracked| tracked.entry == *entry) {
            continue;
        }
        let mut conditions = router.track.conditions.clone();
        let mut need = |source| {
            // What the file says of a source goes before.
            if !conditions
                .iter()
                .any(|known: &Condition| known.source == source)
            {
                conditions.push(Condition {
                    source,
                    effect: Effect::Ill,
                });
            }
        };
        let on_it = |name: &Option<String>| name.as_ref() == Some(entry);
        for listener in config.listeners.iter().filter(|l| on_it(&l.virtual_router)) {
            need(Source::Proxy);
            for pool in listener.pools() {
                need(Source::Pool(pool.to_owned()));
            }
        }
        all.push(Tracked {
            entry: entry.clone(),
            sync_group: router.sync_group.clone(),
            rank: router.rank,
            conditions,
        });
    }
    all
}

/// Those who observe for the tracker beside the children: track scripts, and threads that look at
/// files and processes.
pub(super) struct Observers {
    observer: mpsc::Sender<Observation>,
    /// Where scripts run, once there was one.
    runner: Option<Runner>,
    scripts: Vec<(TrackScriptConfig, Alive)>,
    watched: Vec<(Watched, Alive)>,
    users: BTreeMap<String, Arc<ProgramUser>>,
}

/// What observes as long as this is kept.
type Alive = Arc<()>;

/// Observers that a configuration needs beside those that there are; they end where it does not
/// follow.
#[derive(Debug)]
pub(super) struct NewObservers {
    runner: Option<Runner>,
    watched: Vec<(Watched, Alive)>,
}

impl Observers {
    /// Returns none yet, who will tell this.
    pub(super) const fn new(observer: mpsc::Sender<Observation>) -> Self {
        Self {
            observer,
            runner: None,
            scripts: Vec::new(),
            watched: Vec::new(),
            users: BTreeMap::new(),
        }
    }

    /// Starts the threads that a configuration needs beside those that there are.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn prepare(&self, config: &Config) -> io::Result<NewObservers> {
        let runner = match scripts(config).is_empty() || self.runner.is_some() {
            true => None,
            false => Some(Runner::start(self.observer.clone())?),
        };
        let mut new: Vec<(Watched, Alive)> = Vec::new();
        for wanted in watched(config) {
            let mut all = self.watched.iter().chain(&new);
            if !all.any(|(known, _)| *known == wanted) {
                new.push((wanted, Alive::default()));
            }
        }
        watch::start(&new, &self.observer)?;
        Ok(NewObservers {
            runner,
            watched: new,
        })
    }

    /// Follows a configuration for which `new` was prepared: what is not in it any more ends, what
    /// is unchanged goes on, scripts that are new or changed begin.
    pub(super) fn commit(
        &mut self,
        config: &Config,
        new: NewObservers,
        users: &BTreeMap<String, Arc<ProgramUser>>,
    ) {
        self.runner = self.runner.take().or(new.runner);
        self.watched.extend(new.watched);
        let wanted = watched(config);
        self.watched.retain(|(known, _)| wanted.contains(known));
        for (name, user) in users {
            let known = self.users.entry(name.clone());
            known.or_insert_with(|| Arc::clone(user));
        }
        let wanted = scripts(config);
        self.scripts.retain(|(known, _)| wanted.contains(&known));
        for script in wanted {
            let is_known = self.scripts.iter().any(|(known, _)| known == script);
            let (Some(runner), Some(user)) = (&self.runner, self.users.get(&script.user)) else {
                continue;
            };
            if !is_known {
                let alive = Alive::default();
                runner.run(script.clone(), Arc::clone(user), Arc::downgrade(&alive));
                self.scripts.push((script.clone(), alive));
            }
        }
    }

    /// Returns whether a script of this name is run.
    pub(super) fn run_script(&self, name: &str) -> bool {
        self.scripts.iter().any(|(script, _)| script.name == name)
    }

    /// Returns what programs should have and do not, each once.
    pub(super) fn shortcomings(&self) -> Vec<String> {
        let mut all = Vec::new();
        let users = self.scripts.iter().map(|(script, _)| &script.user);
        for user in users.filter_map(|user| self.users.get(user)) {
            let new = user.shortcomings().iter();
            let new: Vec<_> = new.filter(|it| !all.contains(*it)).cloned().collect();
            all.extend(new);
        }
        all
    }
}

/// Returns the scripts of a configuration that something follows.
fn scripts(config: &Config) -> Vec<&TrackScriptConfig> {
    let used = |script: &&TrackScriptConfig| {
        let source = Source::Script(script.name.clone());
        let routers = config.virtual_routers.iter();
        let mut conditions = routers.flat_map(|router| &router.track.conditions);
        conditions.any(|condition| condition.source == source)
    };
    config.track_scripts.iter().filter(used).collect()
}

/// Returns the files and processes that a configuration follows, each once.
fn watched(config: &Config) -> Vec<Watched> {
    let mut all = Vec::new();
    for router in &config.virtual_routers {
        let files = router.track.conditions.iter();
        let files = files.filter_map(|condition| match &condition.source {
            Source::File(path) => Some(Watched::File(path.clone())),
            Source::Proxy
            | Source::Pool(_)
            | Source::Script(_)
            | Source::Interface(_)
            | Source::Process(_)
            | Source::Gateway(_) => None,
        });
        let processes = router.track.processes.iter().cloned();
        for watched in files.chain(processes.map(Watched::Process)) {
            if !all.contains(&watched) {
                all.push(watched);
            }
        }
    }
    all
}

/// Which pools answer in the place of others that have lost their backends.
#[derive(Debug)]
pub(super) struct Fallbacks {
    of: BTreeMap<String, String>,
    before: BTreeMap<String, Vec<String>>,
}

impl Fallbacks {
    pub(super) fn of(config: &Config) -> Self {
        let (mut of, mut before) = (BTreeMap::new(), BTreeMap::<_, Vec<_>>::new());
        for pool in &config.pools {
            if let Some(fallback) = pool.fallback_pool() {
                of.insert(pool.name.clone(), fallback.to_owned());
                let before = before.entry(fallback.to_owned()).or_default();
                before.push(pool.name.clone());
            }
        }
        Self { of, before }
    }

    /// Returns what the health of all pools says of one: while it has lost its backends, a pool may
    /// answer in its place.
    pub(super) fn observed(
        &self,
        pool: &str,
        healths: &BTreeMap<String, PoolHealth>,
    ) -> Option<Observed> {
        let own = alone(healths.get(pool)?);
        let Observed::Failed(why) = own else {
            return Some(own);
        };
        let fallback_of = |name: &str| self.of.get(name);
        let names = std::iter::successors(fallback_of(pool), |name| fallback_of(name));
        let is_up = |name: &&String| healths.get(*name).map(alone) == Some(Observed::Well);
        // A checked file has no circles.
        let substitute = names.take(self.of.len()).find(is_up);
        Some(match substitute {
            Some(name) => Observed::Substituted(format!("{why}, pool {name} answers in its place")),
            None => Observed::Failed(why),
        })
    }

    /// Returns the pool and those in whose place it may answer.
    pub(super) fn with_those_before<'a>(&'a self, pool: &'a str) -> Vec<&'a str> {
        let mut all = vec![pool];
        let mut next = 0;
        while let Some(pool) = all.get(next) {
            let before = self.before.get(*pool);
            all.extend(before.into_iter().flatten().map(String::as_str));
            next += 1;
        }
        all
    }
}

fn alone(health: &PoolHealth) -> Observed {
    if health.backends.values().any(|up| *up) {
        Observed::Well
    } else if health.probed {
        Observed::Failed("has lost all its backends".into())
    } else {
        Observed::Unknown
    }
}

/// Returns the entries of `virtual_routers`, each once, in the order of the file.
pub(super) fn entries(config: &Config) -> Vec<&str> {
    let mut entries: Vec<&str> = Vec::new();
    for router in &config.virtual_routers {
        if !entries.contains(&router.name.entry.as_str()) {
            entries.push(&router.name.entry);
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{NodeName, parse};

    /// `a` hands on to `b`, and `b` to `c`; `d` responds.
    #[test]
    fn a_pool_is_substituted_while_one_behind_it_is_up() {
        let pool = |name: &str, fallback: &str| {
            format!("  {name}: {{backends: {{x: \"192.0.2.10:80\"}}, fallback: {fallback}}}\n")
        };
        let responds = "{respond: {status: 200}}";
        let pools = [("a", "b"), ("b", "c"), ("c", responds), ("d", responds)];
        let pools: String = pools.iter().map(|(name, to)| pool(name, to)).collect();
        let yaml =
            format!("listeners:\n  l: {{bind: [\"127.0.0.1:80\"], pool: a}}\npools:\n{pools}");
        let config = parse("t.yaml", &yaml, NodeName::Given("lb1")).expect("it is right");
        let fallbacks = Fallbacks::of(&config);
        for (up, hoped) in [
            (&["a", "b"][..], "wwff"),
            (&["b"], "swff"),
            (&["c"], "sswf"),
            (&["d"], "fffw"),
            (&[], "ffff"),
        ] {
            let known = ["a", "b", "c", "d"].map(|name| {
                let backends = BTreeMap::from([("x".to_owned(), up.contains(&name))]);
                let health = PoolHealth {
                    pool: name.to_owned(),
                    backends,
                    probed: true,
                };
                (name.to_owned(), health)
            });
            let healths = BTreeMap::from(known);
            let words = ["a", "b", "c", "d"].map(|name| match fallbacks.observed(name, &healths) {
                Some(Observed::Well) => 'w',
                Some(Observed::Substituted(_)) => 's',
                Some(Observed::Failed(_)) => 'f',
                Some(Observed::Unknown | Observed::Content(_)) | None => '?',
            });
            assert_eq!(words.iter().collect::<String>(), hoped, "{up:?}");
        }
        assert_eq!(fallbacks.observed("a", &BTreeMap::new()), None);
        assert_eq!(fallbacks.with_those_before("c"), ["c", "b", "a"]);
        assert_eq!(fallbacks.with_those_before("d"), ["d"]);
    }
}
