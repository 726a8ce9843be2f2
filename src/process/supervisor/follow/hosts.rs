//! Names that are looked up again and again: when each is due, and what it is known by. It waits
//! for nobody and asks nobody itself.
//!
//! What was good last stays for as long as the resolver fails, is late, says nothing or what no
//! backend can have; it is asked less and less often then.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::config::check::is_of_backend;

/// All names that are followed.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    hosts: BTreeMap<String, Host>,
    tickets: u64,
}

#[derive(Debug)]
struct Host {
    interval: Duration,
    next_at: Instant,
    /// A question without an answer: its ticket, and since when.
    asked: Option<(u64, Instant)>,
    /// In a row.
    failures: u32,
    /// The last good answer.
    addresses: Option<Vec<IpAddr>>,
    /// Why the last answer was none.
    why: Option<String>,
}

/// What has become of a name with an answer, or for want of one.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It goes on as it was.
    Same,
    /// It fails, or fails in another way.
    Failed(String),
    /// It was not good before, and is.
    Good,
}

impl Hosts {
    /// Follows the names of a configuration; what is known of new ones was asked just now.
    pub(super) fn follow(
        &mut self,
        config: &Config,
        known: &BTreeMap<String, Vec<IpAddr>>,
        now: Instant,
    ) {
        let mut before = std::mem::take(&mut self.hosts);
        for (host, interval) in hosts_of(config) {
            let fresh = || {
                let addresses = known.get(&host).cloned();
                let pause = addresses.as_ref().map_or(Duration::ZERO, |_| interval);
                Host {
                    interval,
                    next_at: now + pause,
                    asked: None,
                    failures: 0,
                    addresses,
                    why: None,
                }
            };
            let mut kept = before.remove(&host).unwrap_or_else(fresh);
            kept.interval = interval;
            kept.next_at = kept.next_at.min(now + kept.pause());
            self.hosts.insert(host, kept);
        }
    }

    /// Returns whom to ask now, at most so many, with a ticket for each answer.
    pub(super) fn due(&mut self, now: Instant, room: usize) -> Vec<(String, u64)> {
        let due = |host: &Host| host.asked.is_none() && host.next_at <= now;
        let mut names: Vec<(Instant, String)> = self
            .hosts
            .iter()
            .filter(|(_, host)| due(host))
            .map(|(name, host)| (host.next_at, name.clone()))
            .collect();
        names.sort();
        names.truncate(room);
        let mut asked = Vec::new();
        for (_, name) in names {
            if let Some(host) = self.hosts.get_mut(&name) {
                self.tickets += 1;
                host.asked = Some((self.tickets, now));
                asked.push((name, self.tickets));
            }
        }
        asked
    }

    /// Takes an answer; one that is late, or of a question that nobody remembers, is none.
    pub(super) fn hear(
        &mut self,
        now: Instant,
        name: &str,
        ticket: u64,
        answer: Result<Vec<IpAddr>, String>,
    ) -> Outcome {
        let host = self.hosts.get_mut(name);
        let Some(host) = host.filter(|host| host.asked.is_some_and(|(own, _)| own == ticket))
        else {
            return Outcome::Same;
        };
        host.take(now, answer.and_then(usable))
    }

    /// Gives up those who were asked long ago.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Vec<(String, Outcome)> {
        let mut outcomes = Vec::new();
        for (name, host) in &mut self.hosts {
            if host
                .asked
                .is_some_and(|(_, since)| now >= since + ANSWER_TIMEOUT)
            {
                let why = format!("no answer within {ANSWER_TIMEOUT:?}");
                outcomes.push((name.clone(), host.take(now, Err(why))));
            }
        }
        outcomes
    }

    /// Returns when somebody is to be asked or given up.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let next = |host: &Host| match host.asked {
            Some((_, since)) => since + ANSWER_TIMEOUT,
            None => host.next_at,
        };
        self.hosts.values().map(next).min()
    }

    /// Returns what is known by name.
    pub(super) fn known(&self) -> BTreeMap<String, Vec<IpAddr>> {
        let known = self.hosts.iter().filter_map(|(name, host)| {
            let addresses = host.addresses.clone()?;
            Some((name.clone(), addresses))
        });
        known.collect()
    }

    /// Returns which names fail and why, for people.
    pub(super) fn warnings(&self) -> impl Iterator<Item = String> {
        self.hosts.iter().filter_map(|(name, host)| {
            let stays = match &host.addresses {
                Some(_) => "its last addresses stay",
                None => "it has no backend",
            };
            let why = host.why.as_ref()?;
            Some(format!("name {name} is not resolved, {stays}: {why}"))
        })
    }
}

impl Host {
    fn take(&mut self, now: Instant, answer: Result<Vec<IpAddr>, String>) -> Outcome {
        self.asked = None;
        let outcome = match answer {
            Ok(addresses) => {
                self.failures = 0;
                self.addresses = Some(addresses);
                match self.why.take() {
                    Some(_) => Outcome::Good,
                    None => Outcome::Same,
                }
            }
            Err(why) => {
                self.failures = self.failures.saturating_add(1);
                let known = self.why.replace(why.clone());
                match known == self.why {
                    true => Outcome::Same,
                    false => Outcome::Failed(why),
                }
            }
        };
        self.next_at = now + self.pause();
        outcome
    }

    /// How long to wait for the next question: twice as long for every failure.
    fn pause(&self) -> Duration {
        let most = self.interval.max(PAUSE_MAX);
        let factor = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        self.interval.saturating_mul(factor).min(most)
    }
}

/// Returns the names of a configuration, each with the shortest interval that is wanted.
pub(super) fn hosts_of(config: &Config) -> BTreeMap<String, Duration> {
    let mut hosts = BTreeMap::new();
    for pool in &config.pools {
        let wanted = pool.follow.interval;
        for named in &pool.follow.names {
            let interval: &mut Duration = hosts.entry(named.host.clone()).or_insert(wanted);
            *interval = wanted.min(*interval);
        }
    }
    hosts
}

/// Returns what of an answer a backend can have.
pub(super) fn usable(mut addresses: Vec<IpAddr>) -> Result<Vec<IpAddr>, String> {
    let first = addresses.first().copied();
    addresses.retain(|address| is_of_backend(address.to_canonical()));
    match first {
        Some(first) if addresses.is_empty() => {
            Err(format!("no backend can have the address {first}"))
        }
        Some(_) => {
            addresses.truncate(ANSWER_MAX);
            Ok(addresses)
        }
        None => Err("the answer has no address".to_owned()),
    }
}

/// An answer that comes later is none.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two questions while they fail, where the interval is no longer.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Addresses that are looked at.
const ANSWER_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;
    use crate::config::{NodeName, parse};

    fn config(names: &str) -> Config {
        let yaml = format!(
            "listeners: {{http: {{bind: [\"127.0.0.1:80\"], pool: web}}}}\n\
             pools: {{web: {{backends: {{{names}}}, resolve: {{interval: 4s}}}}}}\n"
        );
        parse("t.yaml", &yaml, NodeName::Given("lb1")).unwrap()
    }

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// One name, what it was asked, and answers that come at once.
    struct Case {
        hosts: Hosts,
        now: Instant,
    }

    impl Case {
        fn new() -> Self {
            let (mut hosts, now) = (Hosts::default(), Instant::now());
            hosts.follow(&config("a: \"a.example:80\""), &BTreeMap::new(), now);
            Self { hosts, now }
        }

        /// Waits until it is asked; returns after how long, and what the answer has done.
        fn next(&mut self, answer: Result<&[&str], &str>) -> (u64, Outcome) {
            let at = self.hosts.poll_timeout().unwrap().max(self.now);
            let after = (at - self.now).as_secs();
            self.now = at;
            let asked = self.hosts.due(self.now, 1);
            let [(name, ticket)] = &asked[..] else {
                panic!("it is asked: {asked:?}")
            };
            let answer = answer.map(addresses).map_err(str::to_owned);
            (after, self.hosts.hear(self.now, name, *ticket, answer))
        }

        fn has(&self, texts: &[&str]) -> bool {
            self.hosts.known().get("a.example") == Some(&addresses(texts))
        }
    }

    #[test]
    fn the_last_good_answer_stays_while_the_pauses_grow_to_a_minute() {
        let mut case = Case::new();
        assert_eq!(case.next(Ok(&["192.0.2.1"])), (0, Outcome::Same));
        assert!(case.has(&["192.0.2.1"]));
        let failed = |why: &str| Outcome::Failed(why.to_owned());
        assert_eq!(case.next(Err("SERVFAIL")), (4, failed("SERVFAIL")));
        for pause in [8, 16, 32, 60, 60] {
            assert_eq!(case.next(Err("SERVFAIL")), (pause, Outcome::Same));
            assert!(case.has(&["192.0.2.1"]));
        }
        let said: Vec<_> = case.hosts.warnings().collect();
        let hoped = "name a.example is not resolved, its last addresses stay: SERVFAIL";
        assert_eq!(said, [hoped]);
        assert_eq!(case.next(Ok(&["2001:db8::7"])), (60, Outcome::Good));
        assert!(case.has(&["2001:db8::7"]), "IPv6 alone is good");
        assert_eq!(case.hosts.warnings().count(), 0);
        assert_eq!(case.next(Ok(&["2001:db8::7"])), (4, Outcome::Same));
    }

    #[test]
    fn what_says_nothing_and_what_lies_is_no_answer() {
        let mut case = Case::new();
        assert!(matches!(case.next(Ok(&[])).1, Outcome::Failed(_)));
        let said: Vec<_> = case.hosts.warnings().collect();
        assert!(said[0].contains("it has no backend"), "{said:?}");
        case.next(Ok(&["192.0.2.1"]));
        for lie in ["0.0.0.0", "224.0.0.1", "255.255.255.255", "fe80::1", "::"] {
            let (_, outcome) = case.next(Ok(&[lie]));
            assert!(matches!(outcome, Outcome::Failed(_)), "{lie}: {outcome:?}");
            assert!(case.has(&["192.0.2.1"]));
        }
        case.next(Ok(&["0.0.0.0", "192.0.2.2"]));
        assert!(case.has(&["192.0.2.2"]));
    }

    #[test]
    fn an_answer_after_five_seconds_is_none() {
        let mut case = Case::new();
        let asked = case.hosts.due(case.now, 9);
        assert!(case.hosts.due(case.now, 9).is_empty(), "once at a time");
        let almost = case.now + ANSWER_TIMEOUT - Duration::from_millis(1);
        assert!(case.hosts.handle_timeout(almost).is_empty());
        case.now += ANSWER_TIMEOUT;
        let outcomes = case.hosts.handle_timeout(case.now);
        assert!(
            matches!(&outcomes[..], [(_, Outcome::Failed(why))] if why == "no answer within 5s")
        );
        let late = Ok(addresses(&["192.0.2.1"]));
        let outcome = case.hosts.hear(case.now, "a.example", asked[0].1, late);
        assert_eq!(outcome, Outcome::Same);
        assert_eq!(case.hosts.known().get("a.example"), None);
        assert_eq!(case.next(Ok(&["192.0.2.2"])), (8, Outcome::Good));
    }

    #[test]
    fn a_name_that_stays_keeps_its_answer_and_one_that_goes_is_forgotten() {
        let mut case = Case::new();
        case.next(Ok(&["192.0.2.1"]));
        let both = config("a: \"a.example:80\", b: \"b.example:80\", c: \"a.example:81\"");
        let known = BTreeMap::from([("b.example".to_owned(), addresses(&["192.0.2.9"]))]);
        case.hosts.follow(&both, &known, case.now);
        assert!(case.has(&["192.0.2.1"]));
        assert!(case.hosts.due(case.now, 9).is_empty(), "both are known");
        let later = case.now + Duration::from_secs(4);
        assert_eq!(case.hosts.due(later, 1).len(), 1, "there is room for one");
        assert_eq!(case.hosts.due(later, 9).len(), 1);
        case.hosts
            .follow(&config("b: \"b.example:80\""), &BTreeMap::new(), later);
        assert_eq!(case.hosts.known().get("a.example"), None);
        assert!(case.hosts.known().contains_key("b.example"));
    }
}
