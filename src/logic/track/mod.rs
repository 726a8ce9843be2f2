//! From what is observed to how fit this node is for each virtual router.
//!
//! An entry of `virtual_routers` follows conditions. By itself it follows the proxy that serves on
//! its addresses and the pools behind its listeners; the file may name scripts, interfaces, files,
//! processes, gateways and other pools. What a condition does is its [`Effect`]:
//!
//! - `Ill`, the default: the node stands at the priority that its rank leaves for this, below every
//!   node of the file that can serve, never below 1, and never out of the election, because
//!   somebody must answer. Entries that move together are ill together.
//!   While something else answers in the place of what fails, it stands at the lowest priority that
//!   its rank leaves for those that can serve.
//! - `Fault`: the node is out of the election.
//! - Numbers are added to the base priority and taken away from it, all at once, always from the
//!   base; the sum is kept between the priority of an ill node and 254.
//!
//! What is not known yet makes the node unready, not ill.
//!
//! An address owner is 255 or not there (RFC 9568 §5.2.4), so no number changes it. Nor does it
//! leave because of lost pools: without its own address it could not even probe them. What else it
//! is ill with keeps it from preempting.
//!
//! `proxy` says how ill the proxy is, `script` what the runs of a script mean, `gateway` whether
//! gateways are there, `model::Rank` has the numbers. Read `logic::vrrp::router` next: it is told
//! the verdict by `set_fitness`.

pub mod gateway;
pub mod outlook;
mod proxy;
pub mod script;

use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use self::proxy::Proxy;
use crate::model::{FaultCause, Fitness, Priority, Rank};

/// One entry of `virtual_routers` and what it depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracked {
    /// The key under `virtual_routers`.
    pub entry: String,
    /// Entries of the same group move together.
    pub sync_group: String,
    /// What this node stands with, well and ill.
    pub rank: Rank,
    /// What it needs, the weightiest first; empty where it stands whatever happens.
    pub conditions: Vec<Condition>,
}

/// One thing that an entry follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// What is observed.
    pub source: Source,
    /// What follows.
    pub effect: Effect,
}

/// What a condition does to the priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// While the source fails, the node cannot serve.
    Ill,
    /// While the source fails, the node is out of the election.
    Fault,
    /// While the source fails, so much is taken away.
    LowerBy(u8),
    /// While the source is well, so much is added.
    RaiseBy(u8),
    /// The number of the source is added.
    RaiseByContent,
    /// The number of the source is taken away.
    LowerByContent,
}

/// What is observed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The proxy that serves on the addresses.
    Proxy,
    /// A pool, by name.
    Pool(String),
    /// An entry of `track_scripts`, by name.
    Script(String),
    /// The carrier of an interface.
    Interface(String),
    /// The number in a file.
    File(PathBuf),
    /// A process, as the file names it.
    Process(String),
    /// Gateways, as the file names them.
    Gateway(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proxy => f.write_str("the proxy"),
            Self::Pool(name) => write!(f, "pool {name}"),
            Self::Script(name) => write!(f, "script {name}"),
            Self::Interface(name) => write!(f, "interface {name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Process(name) => write!(f, "process {name}"),
            Self::Gateway(name) => write!(f, "gateway {name}"),
        }
    }
}

/// What was observed of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observed {
    /// Nothing is known yet: of a pool, not every backend has been probed and none is up.
    Unknown,
    /// It does what it is there for: the proxy accepts connections on every listener, at least one
    /// backend of a pool is up.
    Well,
    /// It does not, and why, for people; the proxy died, or was killed because it was silent, and
    /// is being restarted.
    Failed(String),
    /// It does not, and why, but something else does in its place: a pool whose fallback is up.
    Substituted(String),
    /// The number that it has.
    Content(i32),
}

/// The verdict on one entry, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What the virtual routers of the entry are told.
    pub fitness: Fitness,
    /// Why it does not stand as one that can serve, as a fragment for people; empty otherwise.
    pub reason: String,
}

/// Turns observations into verdicts.
#[derive(Clone, Debug)]
pub struct Tracker {
    entries: Vec<Tracked>,
    /// Which of them move together.
    groups: BTreeMap<String, Vec<usize>>,
    /// Those before this have been judged since something changed.
    judged: usize,
    proxy: Proxy,
    /// Each with the time since when it is so.
    observed: BTreeMap<Source, (Instant, Observed)>,
    told: BTreeMap<String, Verdict>,
}

impl Tracker {
    /// Begins with a proxy that is being started for the first time.
    pub fn new(now: Instant, entries: Vec<Tracked>) -> Self {
        Self {
            groups: groups(&entries),
            entries,
            judged: 0,
            proxy: Proxy::new(now),
            observed: BTreeMap::new(),
            told: BTreeMap::new(),
        }
    }

    /// Follows other entries from now on. What was said of an entry is known under its name, or
    /// under its old one, where `renamed` has that for the new; what was observed of a source stays
    /// known where it `exists`.
    pub fn update(
        &mut self,
        entries: Vec<Tracked>,
        renamed: &BTreeMap<String, String>,
        exists: impl Fn(&Source) -> bool,
    ) {
        let mut told = std::mem::take(&mut self.told);
        for Tracked { entry, .. } in &entries {
            let verdict = told.remove(renamed.get(entry).unwrap_or(entry));
            self.told
                .extend(verdict.map(|verdict| (entry.clone(), verdict)));
        }
        self.groups = groups(&entries);
        self.entries = entries;
        self.judged = 0;
        self.observed.retain(|source, _| exists(source));
    }

    /// Something was observed.
    pub fn observe(&mut self, now: Instant, source: Source, observed: Observed) {
        self.judged = 0;
        if source == Source::Proxy {
            return match observed {
                Observed::Unknown | Observed::Content(_) | Observed::Substituted(_) => {}
                Observed::Well => self.proxy.handle_serving(now),
                Observed::Failed(_) => self.proxy.handle_died(now),
            };
        }
        let entry = self.observed.entry(source);
        let (since, known) = entry.or_insert((now, Observed::Unknown));
        if std::mem::discriminant(known) != std::mem::discriminant(&observed) {
            *since = now;
        }
        *known = observed;
    }

    /// Acts on what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.judged = 0;
        self.proxy.handle_timeout(now);
    }

    /// Returns when `handle_timeout` wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.proxy.poll_timeout()
    }

    /// Returns the next verdict that differs from what was said before, until there is none.
    pub fn poll_change(&mut self) -> Option<(String, Verdict)> {
        // What is said of one entry changes nothing for another.
        while let Some(tracked) = self.entries.get(self.judged) {
            self.judged += 1;
            let verdict = self.judge(tracked);
            if self.told.get(&tracked.entry) != Some(&verdict) {
                let entry = tracked.entry.clone();
                self.told.insert(entry.clone(), verdict.clone());
                return Some((entry, verdict));
            }
        }
        None
    }

    /// Returns what was last said of an entry.
    pub fn verdict(&self, entry: &str) -> Option<&Verdict> {
        self.told.get(entry)
    }

    /// Returns the reason of what was last said of an entry, with how long it has been so where
    /// numbers are added or taken away.
    pub fn explain(&self, now: Instant, entry: &str) -> Option<String> {
        let tracked = self.entries.iter().find(|tracked| tracked.entry == entry)?;
        let told = &self.told.get(entry)?.reason;
        match self.sum(tracked, None).1 {
            Some(arithmetic) if arithmetic == *told => self.sum(tracked, Some(now)).1,
            Some(_) | None => Some(told.clone()),
        }
    }

    fn judge(&self, tracked: &Tracked) -> Verdict {
        if let Some(reason) = self.fault(tracked) {
            let fitness = Fitness::Fault(FaultCause::Tracking);
            return Verdict { fitness, reason };
        }
        match self.standing(tracked) {
            Standing::Well => {
                let (priority, arithmetic) = self.sum(tracked, None);
                Verdict {
                    fitness: Fitness::Ready(priority),
                    reason: arithmetic.unwrap_or_default(),
                }
            }
            Standing::Unready(reason) => Verdict {
                fitness: Fitness::Unready,
                reason,
            },
            // A restart is not a failover: as long as it is not late, what was said still holds.
            Standing::Restarting => {
                let told = self.told.get(&tracked.entry).cloned();
                told.unwrap_or_else(|| Verdict {
                    fitness: Fitness::Unready,
                    reason: "the proxy is starting".into(),
                })
            }
            Standing::Substituted(reason) => Verdict {
                fitness: Fitness::Ready(tracked.rank.substituted()),
                reason,
            },
            Standing::Ill(source, reason) => Verdict {
                fitness: match (tracked.rank.ill(), source) {
                    (Some(priority), _) => Fitness::Ready(priority),
                    (None, Source::Pool(_)) => Fitness::Ready(tracked.rank.well()),
                    (
                        None,
                        Source::Proxy
                        | Source::Script(_)
                        | Source::Interface(_)
                        | Source::File(_)
                        | Source::Process(_)
                        | Source::Gateway(_),
                    ) => Fitness::Unready,
                },
                reason,
            },
        }
    }

    /// Returns why an entry is out of the election, if it is.
    fn fault(&self, tracked: &Tracked) -> Option<String> {
        let faults = tracked.conditions.iter();
        let mut faults = faults.filter(|condition| condition.effect == Effect::Fault);
        faults.find_map(|condition| match self.state(&condition.source) {
            Standing::Ill(_, reason) | Standing::Substituted(reason) => Some(reason),
            Standing::Well | Standing::Unready(_) | Standing::Restarting => None,
        })
    }

    /// Returns the base priority of an entry with all numbers, and how it comes about; with `now`,
    /// since when as well.
    fn sum(&self, tracked: &Tracked, now: Option<Instant>) -> (Priority, Option<String>) {
        let well = tracked.rank.well();
        if tracked.rank.ill().is_none() {
            return (well, None);
        }
        let mut all = 0;
        let mut text = well.to_string();
        for Condition { source, effect } in &tracked.conditions {
            let Some((since, observed)) = self.observed_of(source) else {
                continue;
            };
            let lasts = now.zip(since);
            let lasts = lasts.map(|(now, since)| now.saturating_duration_since(since));
            let (by, why) = match (effect, &observed) {
                (Effect::LowerBy(by), Observed::Failed(why) | Observed::Substituted(why)) => {
                    (-i64::from(*by), failing(source, lasts, why))
                }
                (Effect::RaiseBy(by), Observed::Well) => (i64::from(*by), format!("{source}")),
                (Effect::RaiseByContent, Observed::Content(by)) => {
                    (i64::from(*by), format!("{source}"))
                }
                (Effect::LowerByContent, Observed::Content(by)) => {
                    (-i64::from(*by), format!("{source}"))
                }
                (
                    Effect::Ill
                    | Effect::Fault
                    | Effect::LowerBy(_)
                    | Effect::RaiseBy(_)
                    | Effect::RaiseByContent
                    | Effect::LowerByContent,
                    _,
                ) => continue,
            };
            if by != 0 {
                all += by;
                let sign = if by < 0 { '-' } else { '+' };
                // Writing to a text does not fail.
                let _ = write!(text, " {sign} {} ({why})", by.unsigned_abs());
            }
        }
        let priority = tracked.rank.changed_by(all);
        if text == well.to_string() {
            return (priority, None);
        }
        let sum = i64::from(well.get()) + all;
        let _ = match i64::from(priority.get()) {
            kept if kept > sum => write!(text, " = {sum}, not below {kept}"),
            kept if kept < sum => write!(text, " = {sum}, not above {kept}"),
            kept => write!(text, " = {kept}"),
        };
        (priority, Some(text))
    }

    /// Returns what is so of a source, and since when.
    fn observed_of(&self, source: &Source) -> Option<(Option<Instant>, Observed)> {
        if *source == Source::Proxy {
            let complaint = self.proxy.complaint();
            let failed = complaint.map(|complaint| Observed::Failed(complaint.to_string()));
            return Some((None, failed.unwrap_or(Observed::Well)));
        }
        let (since, observed) = self.observed.get(source)?;
        Some((Some(*since), observed.clone()))
    }

    /// How an entry stands: by its own conditions, unless that is better than what another of its
    /// group is ill with.
    fn standing<'a>(&'a self, tracked: &'a Tracked) -> Standing<'a> {
        let own = self.own_standing(tracked);
        match own {
            Standing::Ill(..) | Standing::Restarting => return own,
            Standing::Well | Standing::Unready(_) | Standing::Substituted(_) => {}
        }
        let mut substituted = None;
        let group = self.groups.get(&tracked.sync_group).into_iter().flatten();
        let others = group.filter_map(|index| self.entries.get(*index));
        let others = others.filter(|other| other.entry != tracked.entry);
        for other in others {
            match self.own_standing(other) {
                Standing::Ill(source, reason) => {
                    let reason = format!("it moves with {}: {reason}", other.entry);
                    return Standing::Ill(source, reason);
                }
                Standing::Restarting => return Standing::Restarting,
                Standing::Substituted(reason) => {
                    let reason = format!("it moves with {}: {reason}", other.entry);
                    substituted = substituted.or(Some(reason));
                }
                Standing::Well | Standing::Unready(_) => {}
            }
        }
        match (own, substituted) {
            (Standing::Well, Some(reason)) => Standing::Substituted(reason),
            (own, _) => own,
        }
    }

    /// How an entry stands by its own conditions: the first that makes it ill decides, then the
    /// first of which nothing is known, then the first in whose place something else answers.
    fn own_standing<'a>(&'a self, tracked: &'a Tracked) -> Standing<'a> {
        let (mut unready, mut substituted) = (None, None);
        for Condition { source, effect } in &tracked.conditions {
            let makes_ill = match effect {
                Effect::Ill => true,
                Effect::Fault
                | Effect::LowerBy(_)
                | Effect::RaiseBy(_)
                | Effect::RaiseByContent
                | Effect::LowerByContent => false,
            };
            match self.state(source) {
                standing @ (Standing::Ill(..) | Standing::Restarting) if makes_ill => {
                    return standing;
                }
                Standing::Unready(reason) => drop(unready.get_or_insert(reason)),
                Standing::Substituted(reason) if makes_ill => {
                    substituted = substituted.or(Some(reason));
                }
                Standing::Ill(..)
                | Standing::Restarting
                | Standing::Substituted(_)
                | Standing::Well => {}
            }
        }
        let unready = unready.map(Standing::Unready);
        let substituted = substituted.map(Standing::Substituted);
        unready.or(substituted).unwrap_or(Standing::Well)
    }

    /// How an entry would stand that needs this alone.
    fn state<'a>(&'a self, source: &'a Source) -> Standing<'a> {
        if *source == Source::Proxy {
            return match self.proxy.complaint() {
                Some(complaint) => Standing::Ill(source, complaint.to_string()),
                None if self.proxy.is_starting() => Standing::Restarting,
                None => Standing::Well,
            };
        }
        match self.observed.get(source) {
            Some((_, Observed::Well | Observed::Content(_))) => Standing::Well,
            Some((_, Observed::Failed(why))) => Standing::Ill(source, failing(source, None, why)),
            Some((_, Observed::Substituted(why))) => {
                Standing::Substituted(failing(source, None, why))
            }
            Some((_, Observed::Unknown)) | None => Standing::Unready(match source {
                Source::Pool(_) => format!("{source} has not been probed yet"),
                Source::Proxy
                | Source::Script(_)
                | Source::Interface(_)
                | Source::File(_)
                | Source::Process(_)
                | Source::Gateway(_) => format!("nothing is known of {source} yet"),
            }),
        }
    }
}

/// Returns by the name of each group which entries are in it.
fn groups(entries: &[Tracked]) -> BTreeMap<String, Vec<usize>> {
    let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, entry) in entries.iter().enumerate() {
        let group = groups.entry(entry.sync_group.clone()).or_default();
        group.push(index);
    }
    groups
}

/// Says for people that a source fails, since when and why.
fn failing(source: &Source, lasts: Option<Duration>, why: &str) -> String {
    let lasts = lasts.map_or_else(String::new, |lasts| format!(" for {} s", lasts.as_secs()));
    match source {
        Source::Script(_) => format!("{source} failing{lasts}: {why}"),
        Source::Proxy => why.to_owned(),
        Source::Pool(_)
        | Source::Interface(_)
        | Source::File(_)
        | Source::Process(_)
        | Source::Gateway(_) => format!("{source} {why}{lasts}"),
    }
}

/// How an entry stands, and why.
enum Standing<'a> {
    Well,
    Unready(String),
    /// The proxy is being restarted, and is not late.
    Restarting,
    Ill(&'a Source, String),
    /// It can serve, from what answers in the place of something else.
    Substituted(String),
}

#[cfg(test)]
mod tests;
