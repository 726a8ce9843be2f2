//! Backends behind names: looked up by the system's resolver, on threads aside, because it may take
//! its time; with the configuration first, and again and again from then on.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::behind::Present;
use super::hosts::{Hosts, Outcome, hosts_of, merged};
use super::lookup::{Half, Halves, Lookup, System};
use super::news::{FollowKind, News, Wanted, Watch, Watcher, wanted_now};
use crate::config::{Config, FoundBackend};
use crate::ipc::message::PoolHealth;

/// Looks names up, and remembers what they were last.
#[derive(Debug)]
pub(crate) struct Resolver {
    lookup: Arc<dyn Lookup>,
    /// Threads that ask now.
    asking: Arc<AtomicUsize>,
    /// By name: only of those that are followed, or that a configuration under way has.
    known: Mutex<BTreeMap<String, Vec<IpAddr>>>,
    present: Mutex<Present>,
}

/// What a thread has found.
#[derive(Debug)]
struct Answer {
    host: String,
    ticket: u64,
    addresses: Halves,
}

impl Default for Resolver {
    fn default() -> Self {
        Self::new(Arc::new(System))
    }
}

impl Resolver {
    fn new(lookup: Arc<dyn Lookup>) -> Self {
        Self {
            lookup,
            asking: Arc::default(),
            known: Mutex::default(),
            present: Mutex::default(),
        }
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Vec<IpAddr>>> {
        // A thread that panicked here left it whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn present(&self) -> MutexGuard<'_, Present> {
        // The same.
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what the proxy says of a pool.
    pub(crate) fn note_health(&self, health: &PoolHealth) {
        self.present().note(health);
    }

    /// Notes what runs, without what was changed by command, and how it is.
    pub(super) fn note_running(&self, config: Arc<Config>, healths: &BTreeMap<String, PoolHealth>) {
        self.present().run(config, healths);
    }

    /// Notes that no names are followed.
    pub(super) fn rest(&self) {
        *self.present() = Present::default();
    }

    /// Returns how many more may be asked for at once.
    fn room(&self) -> usize {
        THREADS_MAX.saturating_sub(self.asking.load(Ordering::Relaxed))
    }

    /// Asks on a thread of its own.
    fn ask(&self, host: String, ticket: u64, tell: &SyncSender<Answer>) {
        let place = Place::take(&self.asking);
        let lookup = Arc::clone(&self.lookup);
        let (asked, answer) = (host.clone(), tell.clone());
        let thread = std::thread::Builder::new().name("resolve".into());
        let started = thread.spawn(move || {
            let _place = place;
            let addresses = lookup.addresses(&asked);
            // Who waited may have given up.
            let _ = answer.send(Answer {
                host: asked,
                ticket,
                addresses,
            });
        });
        if let Err(error) = started {
            let why = Half::Failed(error.to_string());
            let addresses = [why.clone(), why];
            // Without room it is late, and asked again.
            let _ = tell.try_send(Answer {
                host,
                ticket,
                addresses,
            });
        }
    }

    /// Lays what is known of its names on a configuration; those of which nothing is known are
    /// asked for, and waited for a moment. One that has no answer then has no backend yet.
    pub(crate) fn find(&self, config: &mut Config) {
        let present = self.present().clone();
        let mut known = self.known().clone();
        // What was left by those who follow no more is old.
        known.retain(|host, _| present.follows(host));
        let mut waiting: Vec<String> = hosts_of(config).into_keys().collect();
        waiting.retain(|host| !known.contains_key(host));
        let until = Instant::now() + FIND_TIMEOUT;
        let (tell, answers) = sync_channel(ANSWERS_MAX);
        let mut asked = 0;
        while asked > 0 || !waiting.is_empty() {
            for _ in 0..self.room() {
                let Some(host) = waiting.pop() else { break };
                self.ask(host, 0, &tell);
                asked += 1;
            }
            let left = until.saturating_duration_since(Instant::now());
            match answers.recv_timeout(left.min(TURN)) {
                Ok(answer) => {
                    asked -= 1;
                    if let Ok((addresses, _)) = merged(answer.addresses, &[]) {
                        known.insert(answer.host.clone(), addresses.clone());
                        // Until those who follow have others.
                        self.known().insert(answer.host, addresses);
                    }
                }
                Err(_) if left.is_zero() => break,
                Err(_) => {}
            }
        }
        let pools = config.pools.iter();
        let all: Vec<_> = pools
            .map(|pool| present.of_pool(config, pool, &known).0)
            .collect();
        for (pool, of_names) in config.pools.iter_mut().zip(all) {
            let of_file = pool.of_file();
            pool.set_found(of_file.into_iter().chain(of_names));
        }
    }
}

/// A place among the threads.
#[derive(Debug)]
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(asking: &Arc<AtomicUsize>) -> Self {
        asking.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(asking))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Starts to follow names.
///
/// # Errors
/// When the system gives no thread.
pub(super) fn watch(
    resolver: Arc<Resolver>,
    teller: tokio::sync::mpsc::Sender<News>,
) -> io::Result<Watch> {
    Watch::start("names", teller, |wanted| NameWatcher::new(wanted, resolver))
}

/// The thread.
struct NameWatcher {
    wanted: Weak<Mutex<Wanted>>,
    resolver: Arc<Resolver>,
    number: u64,
    /// The configuration, the answers and the health that were looked at last.
    seen: Option<(u64, u64, u64)>,
    hosts: Hosts,
    tell: SyncSender<Answer>,
    answers: Receiver<Answer>,
    /// What the daemon was told of each pool, under this number.
    told: BTreeMap<String, Vec<FoundBackend>>,
    warnings: Vec<String>,
}

impl NameWatcher {
    fn new(wanted: Weak<Mutex<Wanted>>, resolver: Arc<Resolver>) -> Self {
        let (tell, answers) = sync_channel(ANSWERS_MAX);
        Self {
            wanted,
            resolver,
            number: 0,
            seen: None,
            hosts: Hosts::default(),
            tell,
            answers,
            told: BTreeMap::new(),
            warnings: Vec::new(),
        }
    }
}

impl Watcher for NameWatcher {
    /// Asks who is due, too.
    fn turn(&mut self) -> Option<Option<News>> {
        let (number, Some(config)) = wanted_now(&self.wanted)? else {
            return Some(None);
        };
        let now = Instant::now();
        if self.number != number {
            self.number = number;
            self.told.clear();
            let known = self.resolver.known().clone();
            self.hosts.follow(&config, &known, now);
        }
        for (host, outcome) in self.hosts.handle_timeout(now) {
            say(&host, outcome);
        }
        for (host, ticket) in self.hosts.due(now, self.resolver.room()) {
            self.resolver.ask(host, ticket, &self.tell);
        }
        let present = self.resolver.present().clone();
        let seen = (number, self.hosts.changes(), present.changes);
        if self.seen.replace(seen) == Some(seen) {
            return Some(None);
        }
        let known = self.hosts.known();
        let mut news = News::none(FollowKind::Names);
        news.warnings.extend(self.hosts.warnings());
        for pool in config
            .pools
            .iter()
            .filter(|pool| !pool.follow.names.is_empty())
        {
            let (found, warnings) = present.of_pool(&config, pool, &known);
            for cause in warnings.iter().filter(|it| !self.warnings.contains(*it)) {
                tracing::warn!(cause, "addresses of a name not taken as they are");
            }
            news.warnings.extend(warnings);
            if found != pool.of_names() && self.told.get(&pool.name) != Some(&found) {
                self.told.insert(pool.name.clone(), found.clone());
                let found = (pool.follow.clone(), found);
                news.pools.insert(pool.name.clone(), found);
            }
        }
        *self.resolver.known() = known;
        Some(news.beside(&mut self.warnings))
    }

    /// Waits for answers, but not beyond what is due; what is wanted is looked at then, too.
    fn rest(&mut self) {
        let now = Instant::now();
        let due = self
            .hosts
            .poll_timeout()
            .map(|at| at.saturating_duration_since(now));
        let mut pause = due.unwrap_or(TURN).clamp(TURN_MIN, TURN);
        loop {
            match self.answers.recv_timeout(pause) {
                Ok(answer) => {
                    let Answer {
                        host,
                        ticket,
                        addresses,
                    } = answer;
                    let outcome = self.hosts.hear(Instant::now(), &host, ticket, addresses);
                    say(&host, outcome);
                    pause = Duration::ZERO;
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}

fn say(host: &str, outcome: Outcome) {
    match outcome {
        Outcome::Same => {}
        Outcome::Failed(why) => {
            let cause = format!("{host}: {why}");
            tracing::warn!(cause, "name not resolved, its last addresses stay");
        }
        Outcome::Good => tracing::info!(cause = host, "name resolved again"),
    }
}

/// Names that are asked for at once; one that the resolver does not answer keeps its place until it
/// does.
const THREADS_MAX: usize = 16;
/// Answers that wait to be taken; the threads that have more of them wait.
const ANSWERS_MAX: usize = 2 * THREADS_MAX;
/// How long a start or a reload waits for names of which nothing is known.
const FIND_TIMEOUT: Duration = Duration::from_secs(2);
/// How long nobody looks what is wanted.
const TURN: Duration = Duration::from_millis(100);
const TURN_MIN: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;
    use crate::config::{NodeName, parse};

    /// A resolver that says what it is told to; `None`: it does not come back.
    #[derive(Debug, Default)]
    struct Told(Mutex<BTreeMap<String, Option<Vec<IpAddr>>>>);

    impl Lookup for Told {
        fn addresses(&self, host: &str) -> Halves {
            let known = self.0.lock().unwrap().get(host).cloned();
            match known {
                Some(Some(addresses)) => [true, false].map(|is_v4| {
                    let own = addresses.iter().filter(|it| it.is_ipv4() == is_v4);
                    Half::Addresses(own.copied().collect())
                }),
                // Longer than any test.
                Some(None) => {
                    std::thread::park_timeout(Duration::from_secs(60));
                    [
                        Half::Failed("late".to_owned()),
                        Half::Failed("late".to_owned()),
                    ]
                }
                None => ["v4", "v6"].map(|_| Half::Empty("there is no such name".to_owned())),
            }
        }
    }

    fn config(names: &str) -> Config {
        let yaml = format!(
            "listeners: {{http: {{bind: [\"127.0.0.1:80\"], pool: web}}}}\n\
             pools: {{web: {{backends: {{{names}}}, resolve: {{interval: 1s}}}}}}\n"
        );
        parse("t.yaml", &yaml, NodeName::Given("lb1")).unwrap()
    }

    fn many(count: u8) -> Vec<IpAddr> {
        let addresses = (0..count).rev();
        addresses
            .map(|last| IpAddr::from([192, 0, 2, last]))
            .collect()
    }

    fn names(found: &[FoundBackend]) -> Vec<&str> {
        found.iter().map(|one| one.name.as_str()).collect()
    }

    #[test]
    fn what_is_known_in_time_is_laid_on_a_configuration_and_the_rest_waits() {
        let told = Told::default();
        told.0.lock().unwrap().extend([
            ("forty.example".to_owned(), Some(many(40))),
            (
                "six.example".to_owned(),
                Some(vec!["2001:db8::6".parse().unwrap()]),
            ),
            ("slow.example".to_owned(), None),
            ("empty.example".to_owned(), Some(Vec::new())),
        ]);
        let resolver = Resolver::new(Arc::new(told));
        let mut config = config(
            "a: \"forty.example:80\", b: \"none.example:80\", c: \"six.example:8080\", d: \
             \"slow.example:80\", e: \"empty.example:80\", f: \"192.0.2.200:80\"",
        );
        let begun = Instant::now();
        resolver.find(&mut config);
        assert!(begun.elapsed() < FIND_TIMEOUT * 2, "{:?}", begun.elapsed());
        let found = config.pools[0].of_names();
        assert_eq!(found.len(), 41);
        assert_eq!(names(&found)[..2], ["a/192.0.2.0", "a/192.0.2.1"]);
        assert_eq!(found[40].name, "c/2001:db8::6");
        assert_eq!(found[40].address.to_string(), "[2001:db8::6]:8080");
        assert_eq!(
            config.pools[0].backends[0].name, "f",
            "what is written goes first"
        );
        assert_eq!(resolver.room(), THREADS_MAX - 1, "one does not come back");
    }

    #[test]
    fn what_was_known_is_asked_for_anew_when_nobody_follows_it_any_more() {
        let told = Arc::new(Told::default());
        let say = |addresses| {
            let mut said = told.0.lock().unwrap();
            said.insert("web.example".to_owned(), addresses)
        };
        let resolver = Resolver::new(Arc::clone(&told) as Arc<dyn Lookup>);
        let find = || {
            let mut config = config("web: \"web.example:80\"");
            resolver.find(&mut config);
            config
        };
        say(Some(many(1)));
        resolver.note_running(Arc::new(find()), &BTreeMap::new());
        say(Some(many(2)));
        assert_eq!(find().pools[0].backends.len(), 1, "it is followed");
        resolver.rest();
        assert_eq!(find().pools[0].backends.len(), 2);
    }

    #[test]
    fn no_more_are_asked_for_at_once_than_there_are_threads() {
        let told = Told::default();
        let hosts: Vec<String> = (0..40).map(|index| format!("n{index}.example")).collect();
        let silent = hosts.iter().map(|host| (host.clone(), None));
        told.0.lock().unwrap().extend(silent);
        let resolver = Resolver::new(Arc::new(told));
        let entries = hosts.iter().enumerate();
        let entries = entries.map(|(index, host)| format!("n{index}: \"{host}:80\""));
        resolver.find(&mut config(&entries.collect::<Vec<_>>().join(", ")));
        assert_eq!(resolver.room(), 0);
        assert_eq!(resolver.asking.load(Ordering::Relaxed), THREADS_MAX);
    }

    #[test]
    fn what_changes_behind_a_name_is_news_once_and_a_failure_takes_nothing_away() {
        let told = Arc::new(Told::default());
        let say = |addresses| {
            let mut said = told.0.lock().unwrap();
            said.insert("web.example".to_owned(), addresses)
        };
        say(Some(many(1)));
        let resolver = Arc::new(Resolver::new(Arc::clone(&told) as Arc<dyn Lookup>));
        let mut config = config("web: \"web.example:80\"");
        resolver.find(&mut config);
        let own = Watch::default();
        own.follow(&Arc::new(config.clone()));
        let mut watcher = NameWatcher::new(Arc::downgrade(&own.0), resolver);
        let mut next = || {
            let until = Instant::now() + Duration::from_secs(10);
            loop {
                if let Some(news) = watcher.turn().unwrap() {
                    return news;
                }
                assert!(Instant::now() < until, "there is news");
                watcher.rest();
            }
        };
        say(Some(many(2)));
        let news = next();
        let (_, found) = &news.pools["web"];
        assert_eq!(names(found), ["web/192.0.2.0", "web/192.0.2.1"]);
        assert!(news.warnings.is_empty());
        config.pools[0].set_found(found.clone());
        own.follow(&Arc::new(config));
        for wrong in [Some(Vec::new()), Some(vec!["0.0.0.0".parse().unwrap()])] {
            say(wrong);
            let news = next();
            assert!(news.pools.is_empty(), "nothing is taken away: {news:?}");
            assert!(
                news.warnings[0].contains("its last addresses stay"),
                "{news:?}"
            );
        }
    }
}
