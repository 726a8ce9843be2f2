//! Names that are looked up again and again: when each is due, and what it is known by. It waits
//! for nobody and asks nobody itself.
//!
//! What was good last stays for as long as the resolver fails, says nothing or what no backend can
//! have, and of IPv4 and IPv6 each by itself; it is asked less and less often then. An answer that
//! is late is said to be, and taken: a resolver may have to go to its second name server.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::config::check::is_of_backend;
use crate::ipc::resolving::{ADDRESSES_MAX, Half, Halves, NO_ADDRESS};

/// All names that are followed.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    hosts: BTreeMap<String, Host>,
    tickets: u64,
    /// Another number with everything that changes what is known, or what is wrong.
    changes: u64,
}

#[derive(Debug)]
struct Host {
    interval: Duration,
    next_at: Instant,
    /// A question without an answer.
    asked: Option<Asked>,
    /// In a row.
    failures: u32,
    /// The last question was lost with the process, which may have died of it.
    was_lost: bool,
    /// The last good answer.
    addresses: Option<Vec<IpAddr>>,
    /// Why the last answer was none, or not a good one.
    why: Option<String>,
}

/// A question under way.
#[derive(Clone, Copy, Debug)]
struct Asked {
    ticket: u64,
    since: Instant,
    /// It was said that there is no answer in time.
    is_late: bool,
}

impl Asked {
    /// When something is to be done for want of an answer.
    fn until(self) -> Instant {
        self.since
            + match self.is_late {
                false => ANSWER_TIMEOUT,
                true => GIVE_UP,
            }
    }
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
    /// Follows the names of a configuration; what is known of new ones was asked just now, or is
    /// kept from before the start.
    pub(super) fn follow(
        &mut self,
        config: &Config,
        known: &BTreeMap<String, Vec<IpAddr>>,
        kept: &BTreeMap<String, Vec<IpAddr>>,
        now: Instant,
    ) {
        let mut before = std::mem::take(&mut self.hosts);
        for (host, interval) in hosts_of(config) {
            let fresh = || {
                let asked = known.get(&host);
                let kept = kept.get(&host).filter(|_| asked.is_none());
                Host {
                    interval,
                    next_at: now + asked.map_or(Duration::ZERO, |_| interval),
                    asked: None,
                    failures: 0,
                    was_lost: false,
                    addresses: asked.or(kept).cloned(),
                    why: kept.map(|_| NOT_ASKED_YET.to_owned()),
                }
            };
            let mut kept = before.remove(&host).unwrap_or_else(fresh);
            kept.interval = interval;
            kept.next_at = kept.next_at.min(now + kept.pause());
            self.hosts.insert(host, kept);
        }
        self.changes += 1;
    }

    /// Returns a number that stays the same while what is known does, and what is wrong.
    pub(super) const fn changes(&self) -> u64 {
        self.changes
    }

    /// Returns whom to ask now, at most so many, with a ticket for each answer. Of those whose last
    /// question was lost one at a time is asked, until its answer is late: so others are not lost
    /// for what one does, and do not wait for one that has none.
    pub(super) fn due(&mut self, now: Instant, room: usize) -> Vec<(String, u64)> {
        let due = |host: &Host| host.asked.is_none() && host.next_at <= now;
        let in_time = |asked: Asked| !asked.is_late;
        let is_asked = |host: &Host| host.was_lost && host.asked.is_some_and(in_time);
        let mut has_suspect = self.hosts.values().any(is_asked);
        let mut names: Vec<(Instant, String)> = self
            .hosts
            .iter()
            .filter(|(_, host)| due(host))
            .map(|(name, host)| (host.next_at, name.clone()))
            .collect();
        names.sort();
        names.retain(|(_, name)| {
            let is_suspect = self.hosts.get(name).is_some_and(|host| host.was_lost);
            let is_one_too_many = is_suspect && has_suspect;
            has_suspect |= is_suspect;
            !is_one_too_many
        });
        names.truncate(room);
        let mut asked = Vec::new();
        for (_, name) in names {
            if let Some(host) = self.hosts.get_mut(&name) {
                self.tickets += 1;
                host.asked = Some(Asked {
                    ticket: self.tickets,
                    since: now,
                    is_late: false,
                });
                asked.push((name, self.tickets));
            }
        }
        asked
    }

    /// Takes an answer; one of a question that nobody remembers is none.
    pub(super) fn hear(
        &mut self,
        now: Instant,
        name: &str,
        ticket: u64,
        answer: Halves,
    ) -> Outcome {
        let host = self.hosts.get_mut(name);
        let is_own = |host: &&mut Host| host.asked.is_some_and(|asked| asked.ticket == ticket);
        match host.filter(is_own) {
            Some(host) => {
                host.was_lost = false;
                let before = host.addresses.clone();
                let outcome = host.take(now, answer);
                self.changes += u64::from(outcome != Outcome::Same || host.addresses != before);
                outcome
            }
            None => Outcome::Same,
        }
    }

    /// Takes it that a question has no answer because the process that was asked is gone: it is
    /// asked again at once, and the next time as after a failure.
    pub(super) fn handle_lost(&mut self, now: Instant, name: &str, ticket: u64) -> Outcome {
        let host = self.hosts.get_mut(name);
        let is_own = |host: &&mut Host| host.asked.is_some_and(|asked| asked.ticket == ticket);
        let Some(host) = host.filter(is_own) else {
            return Outcome::Same;
        };
        if !std::mem::replace(&mut host.was_lost, true) {
            host.asked = None;
            host.next_at = now;
            return Outcome::Same;
        }
        let failed = || Half::Failed(LOST.to_owned());
        let outcome = host.take(now, [failed(), failed()]);
        self.changes += u64::from(outcome != Outcome::Same);
        outcome
    }

    /// Notes who is late, and gives up those who were asked long ago.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Vec<(String, Outcome)> {
        let mut outcomes = Vec::new();
        for (name, host) in &mut self.hosts {
            let Some(asked) = host.asked.as_mut().filter(|asked| now >= asked.until()) else {
                continue;
            };
            if asked.is_late {
                host.asked = None;
                host.failures = host.failures.saturating_add(1);
                host.next_at = now + host.pause();
            } else {
                asked.is_late = true;
                self.changes += 1;
                outcomes.push((name.clone(), host.note(Some(late()))));
            }
        }
        outcomes
    }

    /// Returns when somebody is to be asked or given up.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let next = |host: &Host| host.asked.map_or(host.next_at, Asked::until);
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
    fn take(&mut self, now: Instant, answer: Halves) -> Outcome {
        let is_late = self.asked.take().is_some_and(|asked| asked.is_late);
        let why = match merged(answer, self.addresses.as_deref().unwrap_or_default()) {
            Ok((addresses, why)) => {
                self.failures = 0;
                self.addresses = Some(addresses);
                why.or_else(|| is_late.then(late))
            }
            Err(why) => {
                self.failures = self.failures.saturating_add(1);
                Some(why)
            }
        };
        self.next_at = now + self.pause();
        self.note(why)
    }

    fn note(&mut self, why: Option<String>) -> Outcome {
        let before = std::mem::replace(&mut self.why, why);
        match &self.why {
            why if *why == before => Outcome::Same,
            Some(why) => Outcome::Failed(why.clone()),
            None => Outcome::Good,
        }
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

/// Returns the addresses of an answer, and why it is not a whole one: where the resolver failed for
/// one kind of addresses, the last ones of this kind stay.
///
/// # Errors
/// Why there is none that a backend can have.
pub(super) fn merged(
    answer: Halves,
    last: &[IpAddr],
) -> Result<(Vec<IpAddr>, Option<String>), String> {
    let [v4, v6] = answer.map(usable);
    match (v4, v6) {
        (Half::Addresses(v4), Half::Addresses(v6)) => Ok(([v4, v6].concat(), None)),
        (Half::Addresses(found), Half::Empty(_)) | (Half::Empty(_), Half::Addresses(found)) => {
            Ok((found, None))
        }
        (Half::Addresses(found), Half::Failed(why)) => Ok(with_last(found, last, "IPv6", &why)),
        (Half::Failed(why), Half::Addresses(found)) => Ok(with_last(found, last, "IPv4", &why)),
        (Half::Failed(why), Half::Failed(_) | Half::Empty(_))
        | (Half::Empty(_), Half::Failed(why))
        | (Half::Empty(why), Half::Empty(_)) => Err(why),
    }
}

fn with_last(
    mut found: Vec<IpAddr>,
    last: &[IpAddr],
    kind: &str,
    why: &str,
) -> (Vec<IpAddr>, Option<String>) {
    let are_v4 = found.iter().all(IpAddr::is_ipv4);
    let before = found.len();
    found.extend(last.iter().filter(|address| address.is_ipv4() != are_v4));
    found.sort_unstable();
    // A name server may never know what a kind is of which there is none.
    let why = (found.len() > before).then(|| format!("its {kind} addresses: {why}"));
    (found, why)
}

/// Returns what of an answer a backend can have.
fn usable(half: Half) -> Half {
    let Half::Addresses(mut addresses) = half else {
        return half;
    };
    let first = addresses.first().copied();
    addresses.retain(|address| is_of_backend(address.to_canonical()));
    // Name servers turn the order round.
    addresses.sort_unstable();
    addresses.truncate(ADDRESSES_MAX);
    match first {
        Some(first) if addresses.is_empty() => {
            Half::Failed(format!("no backend can have the address {first}"))
        }
        Some(_) => Half::Addresses(addresses),
        None => Half::Empty(NO_ADDRESS.to_owned()),
    }
}

fn late() -> String {
    format!("no answer within {ANSWER_TIMEOUT:?}")
}

/// An answer that comes later is late.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// A question is asked again, though its thread may wait on. The system's resolver itself gives up
/// after half of that, with three name servers and no other setting.
const GIVE_UP: Duration = Duration::from_secs(60);
/// Between two questions while they fail, where the interval is no longer.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Why a name is not known but from before.
const NOT_ASKED_YET: &str = "no answer since the start";
/// Why a question has no answer: the second time in a row, because it may be the answer that the
/// process dies of.
const LOST: &str = "the process that looks it up has died meanwhile";

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

    /// An answer of the resolver, sorted by kind.
    fn halves(answer: Result<Vec<IpAddr>, &str>) -> Halves {
        [true, false].map(|is_v4| match &answer {
            Err(why) => Half::Failed((*why).to_owned()),
            Ok(all) => {
                let own = all.iter().filter(|address| address.is_ipv4() == is_v4);
                match own.copied().collect::<Vec<_>>() {
                    own if own.is_empty() => Half::Empty("none".to_owned()),
                    own => Half::Addresses(own),
                }
            }
        })
    }

    /// One name, what it was asked, and answers that come at once.
    struct Case {
        hosts: Hosts,
        now: Instant,
    }

    impl Case {
        fn new() -> Self {
            let (mut hosts, now) = (Hosts::default(), Instant::now());
            let none = BTreeMap::new();
            hosts.follow(&config("a: \"a.example:80\""), &none, &none, now);
            Self { hosts, now }
        }

        /// Waits until it is asked; returns after how long, and what the answer has done.
        fn next(&mut self, answer: Result<&[&str], &str>) -> (u64, Outcome) {
            self.next_of(halves(answer.map(addresses)))
        }

        fn next_of(&mut self, answer: Halves) -> (u64, Outcome) {
            let at = self.hosts.poll_timeout().unwrap().max(self.now);
            let after = (at - self.now).as_secs();
            self.now = at;
            let asked = self.hosts.due(self.now, 1);
            let [(name, ticket)] = &asked[..] else {
                panic!("it is asked: {asked:?}")
            };
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
    fn an_answer_after_five_seconds_is_said_to_be_late_and_taken() {
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
        case.now += Duration::from_secs(15);
        assert!(case.hosts.handle_timeout(case.now).is_empty(), "once");
        assert!(case.hosts.due(case.now, 9).is_empty(), "it is still asked");
        let late = halves(Ok(addresses(&["192.0.2.1"])));
        let outcome = case.hosts.hear(case.now, "a.example", asked[0].1, late);
        assert_eq!(outcome, Outcome::Same, "it is known to be late");
        assert!(case.has(&["192.0.2.1"]));
        assert_eq!(case.hosts.warnings().count(), 1);
        assert_eq!(case.next(Ok(&["192.0.2.2"])), (4, Outcome::Good));
    }

    #[test]
    fn a_question_that_is_never_answered_is_asked_again_after_a_minute() {
        let mut case = Case::new();
        let asked = case.hosts.due(case.now, 9);
        for _ in 0..2 {
            case.now = case.hosts.poll_timeout().unwrap();
            case.hosts.handle_timeout(case.now);
        }
        let lost = halves(Ok(addresses(&["192.0.2.1"])));
        let outcome = case.hosts.hear(case.now, "a.example", asked[0].1, lost);
        assert_eq!(outcome, Outcome::Same);
        assert_eq!(case.hosts.known().get("a.example"), None);
        assert_eq!(case.next(Ok(&["192.0.2.2"])), (8, Outcome::Good));
    }

    #[test]
    fn a_question_that_is_lost_is_asked_again_at_once_and_after_that_as_one_that_fails() {
        let mut case = Case::new();
        case.next(Ok(&["192.0.2.1"]));
        case.now = case.hosts.poll_timeout().unwrap();
        for hoped in [
            Outcome::Same,
            Outcome::Failed(LOST.to_owned()),
            Outcome::Same,
        ] {
            let asked = case.hosts.due(case.now, 9);
            let (name, ticket) = &asked[0];
            assert_eq!(
                case.hosts.handle_lost(case.now, name, ticket + 1),
                Outcome::Same
            );
            assert!(
                case.hosts.due(case.now, 9).is_empty(),
                "of another question"
            );
            let first = hoped == Outcome::Same && case.hosts.warnings().count() == 0;
            assert_eq!(case.hosts.handle_lost(case.now, name, *ticket), hoped);
            assert!(case.has(&["192.0.2.1"]), "nothing is taken away");
            let next = case.hosts.poll_timeout().unwrap();
            assert_eq!(next == case.now, first, "at once the first time alone");
            case.now = next;
        }
        let said: Vec<_> = case.hosts.warnings().collect();
        assert!(said[0].contains("its last addresses stay"), "{said:?}");
        assert_eq!(case.next(Ok(&["192.0.2.2"])).1, Outcome::Good);
        let asked = case.hosts.due(case.hosts.poll_timeout().unwrap(), 9);
        let outcome = case.hosts.handle_lost(case.now, &asked[0].0, asked[0].1);
        assert_eq!(outcome, Outcome::Same, "an answer has come in between");
    }

    #[test]
    fn who_was_lost_with_others_is_asked_again_alone() {
        let (mut hosts, none, now) = (Hosts::default(), BTreeMap::new(), Instant::now());
        let three = config("a: \"a.example:80\", b: \"b.example:80\", c: \"dies.example:80\"");
        hosts.follow(&three, &none, &none, now);
        for (name, ticket) in hosts.due(now, 9) {
            assert_eq!(hosts.handle_lost(now, &name, ticket), Outcome::Same);
        }
        let mut lost = 0;
        while let [(name, ticket)] = &hosts.due(now, 9)[..] {
            assert_eq!(hosts.due(now, 9), [], "one at a time");
            if name == "dies.example" {
                hosts.handle_lost(now, name, *ticket);
                lost += 1;
            } else {
                let answer = halves(Ok(addresses(&["192.0.2.1"])));
                hosts.hear(now, name, *ticket, answer);
            }
        }
        assert_eq!(lost, 1, "it is asked later");
        assert_eq!(hosts.known().len(), 2);
        let said: Vec<_> = hosts.warnings().collect();
        assert!(said.len() == 1 && said[0].contains("dies"), "{said:?}");
        let later = now + Duration::from_secs(9);
        assert_eq!(hosts.due(later, 9).len(), 3, "beside those who are well");
    }

    /// A name server that says nothing of one name is not what a process dies of.
    #[test]
    fn one_that_was_lost_and_is_late_lets_the_next_be_asked() {
        let (mut hosts, none, mut now) = (Hosts::default(), BTreeMap::new(), Instant::now());
        let three = config("a: \"a.example:80\", b: \"b.example:80\", c: \"c.example:80\"");
        hosts.follow(&three, &none, &none, now);
        for (name, ticket) in hosts.due(now, 9) {
            hosts.handle_lost(now, &name, ticket);
        }
        for name in ["a.example", "b.example", "c.example"] {
            let asked = hosts.due(now, 9);
            assert!(
                matches!(&asked[..], [(asked, _)] if asked == name),
                "{asked:?}"
            );
            now += ANSWER_TIMEOUT;
            assert_eq!(hosts.handle_timeout(now).len(), 1, "{name} is late");
        }
    }

    #[test]
    fn what_is_kept_from_before_the_start_is_asked_for_at_once_and_said_to_be_old() {
        let (mut hosts, now) = (Hosts::default(), Instant::now());
        let both = config("a: \"a.example:80\", b: \"b.example:80\", c: \"c.example:80\"");
        let of = |host: &str, text: &str| (host.to_owned(), addresses(&[text]));
        let known = BTreeMap::from([of("a.example", "192.0.2.1")]);
        let kept = BTreeMap::from([of("a.example", "192.0.2.9"), of("b.example", "192.0.2.2")]);
        hosts.follow(&both, &known, &kept, now);
        let said: Vec<_> = hosts.warnings().collect();
        let hoped = "name b.example is not resolved, its last addresses stay: no answer since the \
                     start";
        assert_eq!(said, [hoped]);
        let all = hosts.known();
        assert_eq!(all["a.example"], addresses(&["192.0.2.1"]));
        assert_eq!(all["b.example"], addresses(&["192.0.2.2"]));
        let due: Vec<_> = hosts
            .due(now, 9)
            .into_iter()
            .map(|(host, _)| host)
            .collect();
        assert_eq!(due, ["b.example", "c.example"]);
    }

    #[test]
    fn a_kind_of_addresses_that_fails_keeps_its_last_ones_and_one_that_is_empty_does_not() {
        let mut case = Case::new();
        let (v4, v6) = (addresses(&["192.0.2.1"]), addresses(&["2001:db8::1"]));
        let (good_v4, good_v6) = (Half::Addresses(v4), Half::Addresses(v6));
        let failed = || Half::Failed("SERVFAIL".to_owned());
        let empty = || Half::Empty("none".to_owned());
        assert_eq!(case.next_of([good_v4.clone(), failed()]).1, Outcome::Same);
        assert!(case.has(&["192.0.2.1"]), "there was none before");
        assert_eq!(case.next_of([failed(), good_v6.clone()]).0, 4);
        assert!(case.has(&["192.0.2.1", "2001:db8::1"]));
        let said: Vec<_> = case.hosts.warnings().collect();
        assert!(
            said[0].ends_with("its IPv4 addresses: SERVFAIL"),
            "{said:?}"
        );
        let outcome = case.next_of([good_v4, empty()]);
        assert_eq!(
            outcome,
            (4, Outcome::Good),
            "it is asked as often as before"
        );
        assert!(case.has(&["192.0.2.1"]));
        let outcome = case.next_of([empty(), failed()]).1;
        assert_eq!(outcome, Outcome::Failed("SERVFAIL".to_owned()));
        let outcome = case.next_of([empty(), good_v6]).1;
        assert_eq!(outcome, Outcome::Good);
        assert!(case.has(&["2001:db8::1"]));
    }

    #[test]
    fn a_name_that_stays_keeps_its_answer_and_one_that_goes_is_forgotten() {
        let mut case = Case::new();
        case.next(Ok(&["192.0.2.1"]));
        let both = config("a: \"a.example:80\", b: \"b.example:80\", c: \"a.example:81\"");
        let known = BTreeMap::from([("b.example".to_owned(), addresses(&["192.0.2.9"]))]);
        case.hosts.follow(&both, &known, &BTreeMap::new(), case.now);
        assert!(case.has(&["192.0.2.1"]));
        assert!(case.hosts.due(case.now, 9).is_empty(), "both are known");
        let later = case.now + Duration::from_secs(4);
        assert_eq!(case.hosts.due(later, 1).len(), 1, "there is room for one");
        assert_eq!(case.hosts.due(later, 9).len(), 1);
        let none = BTreeMap::new();
        case.hosts
            .follow(&config("b: \"b.example:80\""), &none, &none, later);
        assert_eq!(case.hosts.known().get("a.example"), None);
        assert!(case.hosts.known().contains_key("b.example"));
    }
}
