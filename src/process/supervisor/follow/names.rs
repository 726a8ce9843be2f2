//! Backends behind names: looked up by the process `names`, with the configuration first, and again
//! and again from then on.
//!
//! Nothing here parses what a name server says. A start or a reload asks over one line to that
//! process, who follows over another; both wait on threads aside.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::behind::Present;
use super::hosts::{Hosts, Outcome, hosts_of, merged};
use super::kept::KeptAddresses;
use super::line::{Line, Slot, Wrong};
use super::news::{FollowKind, News, Wanted, Watch, Watcher, wanted_now};
use crate::config::{Config, FoundBackend};
use crate::ipc::message::PoolHealth;

/// Has names looked up, and remembers what they were last.
#[derive(Debug, Default)]
pub(crate) struct Resolver {
    /// Over which a start or a reload asks.
    finding: Asking,
    /// Over which those ask that follow.
    following: Asking,
    /// By name: only of those that are followed, or that a configuration under way has.
    known: Mutex<Addresses>,
    /// From before the start, until somebody follows.
    before: Mutex<Addresses>,
    /// Where they outlive the daemon.
    kept: Option<KeptAddresses>,
    present: Mutex<Present>,
}

type Addresses = BTreeMap<String, Vec<IpAddr>>;

/// A line, and where the next one is left.
#[derive(Debug, Default)]
struct Asking {
    slot: Slot,
    line: Mutex<Line>,
}

impl Resolver {
    /// Returns one that keeps there what is to outlive the daemon.
    pub(crate) fn keeping(kept: KeptAddresses) -> Self {
        Self {
            kept: Some(kept),
            ..Self::default()
        }
    }

    /// Has what a daemon before this one has kept be used where there is no answer yet.
    pub(crate) fn recall(&self) {
        if let Some(kept) = &self.kept {
            *locked(&self.before) = kept.load();
        }
    }

    /// Asks another process from now on, over as many lines as it has (see
    /// [`LINES`](Self::LINES)).
    pub(crate) fn connect(&self, lines: [OwnedFd; Self::LINES]) {
        let [finding, following] = lines;
        self.finding.slot.leave(finding);
        self.following.slot.leave(following);
    }

    /// Lines to a process.
    pub(crate) const LINES: usize = 2;

    /// Returns what is wrong with the process that is asked, once.
    pub(crate) fn take_wrong(&self) -> Option<Wrong> {
        let wrong = self.finding.slot.take_wrong();
        wrong.or_else(|| self.following.slot.take_wrong())
    }

    /// Notes what the proxy says of a pool.
    pub(crate) fn note_health(&self, health: &PoolHealth) {
        locked(&self.present).note(health);
    }

    /// Notes what runs, without what was changed by command, and how it is.
    pub(super) fn note_running(&self, config: Arc<Config>, healths: &BTreeMap<String, PoolHealth>) {
        locked(&self.present).run(config, healths);
    }

    /// Notes that no names are followed.
    pub(super) fn rest(&self) {
        *locked(&self.present) = Present::default();
    }

    /// Forgets what would outlive the daemon: nobody follows it any more.
    pub(super) fn forget_kept(&self) {
        if let Some(kept) = &self.kept {
            kept.forget();
        }
    }

    /// Lays what is known of its names on a configuration; those of which nothing is known are
    /// asked for, and waited for a moment. One that has no answer then has what it had before the
    /// start, or no backend yet.
    pub(crate) fn find(&self, config: &mut Config) {
        let present = locked(&self.present).clone();
        let mut known = locked(&self.known).clone();
        // What was left by those who follow no more is old.
        known.retain(|host, _| present.follows(host));
        let mut unknown: Vec<String> = hosts_of(config).into_keys().collect();
        unknown.retain(|host| !known.contains_key(host));
        for (host, addresses) in self.ask_for(unknown) {
            known.insert(host.clone(), addresses.clone());
            // Until those who follow have others.
            locked(&self.known).insert(host, addresses);
        }
        for (host, addresses) in &*locked(&self.before) {
            let unknown = known.entry(host.clone());
            unknown.or_insert_with(|| addresses.clone());
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

    /// Returns the good answers that come in time. What is lost with a process is asked for once
    /// more, each alone: one of them may be what it has died of.
    fn ask_for(&self, mut waiting: Vec<String>) -> Addresses {
        let mut found = BTreeMap::new();
        let (mut again, mut suspects) = (BTreeSet::new(), Vec::new());
        let until = Instant::now() + FIND_TIMEOUT;
        let Asking { slot, line } = &self.finding;
        let mut line = locked(line);
        line.abandon();
        let mut asked = 0;
        while asked > 0 || !waiting.is_empty() || !suspects.is_empty() {
            let now = Instant::now();
            if asked == 0 && waiting.is_empty() {
                waiting.extend(suspects.pop());
            }
            for _ in 0..line.room(slot, now) {
                let Some(host) = waiting.pop() else { break };
                line.ask(host, 0, now);
                asked += 1;
            }
            let left = until.saturating_duration_since(now);
            if left.is_zero() {
                break;
            }
            for answer in line.hear(slot, left) {
                asked -= 1;
                match answer.addresses.map(|addresses| merged(addresses, &[])) {
                    Some(Ok((addresses, _))) => drop(found.insert(answer.host, addresses)),
                    Some(Err(_)) => {}
                    None if again.insert(answer.host.clone()) => suspects.push(answer.host),
                    None => {}
                }
            }
        }
        found
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A thread that panicked here left it whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
    /// What the daemon was told of each pool, under this number.
    told: BTreeMap<String, Vec<FoundBackend>>,
    warnings: Vec<String>,
}

impl NameWatcher {
    fn new(wanted: Weak<Mutex<Wanted>>, resolver: Arc<Resolver>) -> Self {
        // What was asked by who followed before is nothing to these hosts.
        locked(&resolver.following.line).abandon();
        Self {
            wanted,
            resolver,
            number: 0,
            seen: None,
            hosts: Hosts::default(),
            told: BTreeMap::new(),
            warnings: Vec::new(),
        }
    }

    /// Asks for who is due.
    fn ask(&mut self, now: Instant) {
        let Asking { slot, line } = &self.resolver.following;
        let mut line = locked(line);
        let room = line.room(slot, now);
        for (host, ticket) in self.hosts.due(now, room) {
            line.ask(host, ticket, now);
        }
    }

    /// Takes what is known for what all know, and what outlives the daemon; not any more where
    /// nobody wants to know it by then.
    fn note_known(&self, known: Addresses) {
        let is_wanted = || self.wanted.strong_count() > 0;
        if let Some(kept) = &self.resolver.kept {
            kept.save_if(is_wanted, &known);
        }
        let mut all = locked(&self.resolver.known);
        if is_wanted() {
            *all = known;
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
            let known = locked(&self.resolver.known).clone();
            let before = std::mem::take(&mut *locked(&self.resolver.before));
            self.hosts.follow(&config, &known, &before, now);
        }
        for (host, outcome) in self.hosts.handle_timeout(now) {
            say(&host, outcome);
        }
        self.ask(now);
        let present = locked(&self.resolver.present).clone();
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
        self.note_known(known);
        Some(news.beside(&mut self.warnings))
    }

    /// Waits for answers, but not beyond what is due; what is wanted is looked at then, too.
    fn rest(&mut self) {
        let now = Instant::now();
        let due = self
            .hosts
            .poll_timeout()
            .map(|at| at.saturating_duration_since(now));
        let pause = due.unwrap_or(TURN).clamp(TURN_MIN, TURN);
        let Asking { slot, line } = &self.resolver.following;
        let answers = locked(line).hear(slot, pause);
        let now = Instant::now();
        for answer in answers {
            let (host, ticket) = (answer.host, answer.ticket);
            let outcome = match answer.addresses {
                Some(addresses) => self.hosts.hear(now, &host, ticket, addresses),
                None => self.hosts.handle_lost(now, &host, ticket),
            };
            say(&host, outcome);
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

/// How long a start or a reload waits for names of which nothing is known.
const FIND_TIMEOUT: Duration = Duration::from_secs(2);
/// How long nobody looks what is wanted.
const TURN: Duration = Duration::from_millis(100);
const TURN_MIN: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use std::os::fd::AsFd;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;
    use crate::config::{NodeName, parse};
    use crate::ipc::channel::{self, Channel, Received};
    use crate::ipc::resolving::{ASKED_MAX, Half, NameAnswered, NameAsked};

    /// What a process says that does as it is told; `None`: nothing.
    type Told = Arc<Mutex<BTreeMap<String, Option<Vec<IpAddr>>>>>;

    /// Has such a process be asked, until nobody does any more; a name that is `dies` ends it.
    fn connect(resolver: &Resolver, told: &Told) {
        let lines = [(); Resolver::LINES].map(|()| {
            let (ours, theirs) = channel::pair().unwrap();
            let told = Arc::clone(told);
            std::thread::spawn(move || {
                let line = Channel::new(theirs);
                loop {
                    let mut ready = [PollFd::new(line.as_fd(), PollFlags::POLLIN)];
                    poll(&mut ready, PollTimeout::NONE).unwrap();
                    match line.receive::<NameAsked>().unwrap() {
                        Received::Message(asked, _) if asked.host == "dies" => return,
                        Received::Message(asked, _) => said(&line, asked, &told),
                        Received::Empty => {}
                        Received::Closed => return,
                    }
                }
            });
            ours
        });
        resolver.connect(lines);
    }

    fn said(line: &Channel, asked: NameAsked, told: &Told) {
        let addresses = match told.lock().unwrap().get(&asked.host).cloned() {
            Some(Some(addresses)) => [true, false].map(|is_v4| {
                let own = addresses.iter().filter(|it| it.is_ipv4() == is_v4);
                Half::Addresses(own.copied().collect())
            }),
            Some(None) => return,
            None => ["v4", "v6"].map(|_| Half::Empty("there is no such name".to_owned())),
        };
        let NameAsked { id, host } = asked;
        let answered = NameAnswered {
            id,
            host,
            addresses,
        };
        // Who asked may have given up.
        let _ = line.send(&answered, &[]);
    }

    fn asking(told: &Told) -> Resolver {
        let resolver = Resolver::default();
        connect(&resolver, told);
        resolver
    }

    /// Returns how many more a start or a reload may ask for.
    fn room(resolver: &Resolver) -> usize {
        let Asking { slot, line } = &resolver.finding;
        locked(line).room(slot, Instant::now())
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
        told.lock().unwrap().extend([
            ("forty.example".to_owned(), Some(many(40))),
            (
                "six.example".to_owned(),
                Some(vec!["2001:db8::6".parse().unwrap()]),
            ),
            ("slow.example".to_owned(), None),
            ("empty.example".to_owned(), Some(Vec::new())),
        ]);
        let resolver = asking(&told);
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
        assert_eq!(room(&resolver), ASKED_MAX - 1, "one does not come back");
    }

    #[test]
    fn what_was_known_is_asked_for_anew_when_nobody_follows_it_any_more() {
        let told = Told::default();
        let say = |addresses| {
            let mut said = told.lock().unwrap();
            said.insert("web.example".to_owned(), addresses)
        };
        let resolver = asking(&told);
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
    fn no_more_are_asked_for_at_once_than_a_line_has_places() {
        let told = Told::default();
        let hosts: Vec<String> = (0..40).map(|index| format!("n{index}.example")).collect();
        let silent = hosts.iter().map(|host| (host.clone(), None));
        told.lock().unwrap().extend(silent);
        let resolver = asking(&told);
        let entries = hosts.iter().enumerate();
        let entries = entries.map(|(index, host)| format!("n{index}: \"{host}:80\""));
        resolver.find(&mut config(&entries.collect::<Vec<_>>().join(", ")));
        assert_eq!(room(&resolver), 0);
        connect(&resolver, &told);
        assert_eq!(
            room(&resolver),
            ASKED_MAX,
            "another process has all of them"
        );
    }

    #[test]
    fn a_question_that_a_process_dies_of_takes_no_answer_from_others() {
        let told = Told::default();
        let mut said = told.lock().unwrap();
        said.insert("api.example".to_owned(), Some(many(1)));
        drop(said);
        let resolver = asking(&told);
        let begun = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..2 {
                    std::thread::park_timeout(Duration::from_millis(200));
                    connect(&resolver, &told);
                }
            });
            let mut config = config("a: \"api.example:80\", b: \"dies:80\"");
            resolver.find(&mut config);
            assert!(begun.elapsed() < FIND_TIMEOUT, "{:?}", begun.elapsed());
            let found = config.pools[0].of_names();
            assert_eq!(names(&found), ["a/192.0.2.0"]);
        });
    }

    #[test]
    fn what_was_kept_is_laid_where_there_is_no_answer_and_an_answer_takes_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let kept = || KeptAddresses::of(directory.path());
        kept().save_if(
            || true,
            &BTreeMap::from([
                ("web.example".to_owned(), many(2)),
                ("api.example".to_owned(), many(3)),
            ]),
        );
        let yaml = "web: \"web.example:80\", api: \"api.example:81\"";
        let told = Told::default();
        let mut said = told.lock().unwrap();
        said.insert("web.example".to_owned(), Some(many(1)));
        said.insert("api.example".to_owned(), None);
        drop(said);
        let resolver = Resolver::keeping(kept());
        resolver.recall();
        connect(&resolver, &told);
        let mut of_start = config(yaml);
        resolver.find(&mut of_start);
        let found = of_start.pools[0].of_names();
        let hoped = [
            "web/192.0.2.0",
            "api/192.0.2.0",
            "api/192.0.2.1",
            "api/192.0.2.2",
        ];
        assert_eq!(names(&found), hoped);
        let own = Watch::default();
        own.follow(&Arc::new(of_start));
        let mut watcher = NameWatcher::new(Arc::downgrade(&own.0), Arc::new(resolver));
        let news = watcher.turn().unwrap().unwrap();
        assert!(news.pools.is_empty(), "it has them already: {news:?}");
        assert!(news.warnings[0].contains("api.example"), "{news:?}");
        let saved = kept().load();
        assert_eq!(saved["web.example"], many(1), "what is known now is kept");
        assert_eq!(saved["api.example"].len(), 3);
        watcher.resolver.forget_kept();
        assert_eq!(kept().load(), BTreeMap::new());
        watcher.note_known(saved);
        assert_eq!(kept().load().len(), 2, "it follows still");
        drop(own);
        watcher.resolver.forget_kept();
        watcher.note_known(BTreeMap::from([("late.example".to_owned(), many(1))]));
        assert_eq!(kept().load(), BTreeMap::new(), "it was in the middle of it");
        let known = locked(&watcher.resolver.known);
        assert!(!known.contains_key("late.example"), "{known:?}");
    }

    #[test]
    fn what_changes_behind_a_name_is_news_once_and_a_failure_takes_nothing_away() {
        let told = Told::default();
        let say = |addresses| {
            let mut said = told.lock().unwrap();
            said.insert("web.example".to_owned(), addresses)
        };
        say(Some(many(1)));
        let resolver = Arc::new(asking(&told));
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
