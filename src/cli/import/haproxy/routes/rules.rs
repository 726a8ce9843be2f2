//! Rules in HAProxy's order, and the routes that do the same.
//!
//! HAProxy asks each rule in turn, and a condition may say what must not hold; here the first route
//! decides, and conditions only say what holds. So a rule with an exception becomes the routes of
//! all that follows it for the exception, and then its own route; a rule that changes something
//! and goes on, the routes of all that follows it with the change.

use super::condition::Term;
use super::conjunct::{Conjunct, PathTest};
use super::edits::{Edit, Edits};
use crate::cli::import::yaml::{Map, Yaml};

/// What ends the way of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A backend of HAProxy's, by its own name, with its rules.
    Backend(String),
    /// A pool of ours.
    Pool(String),
    /// To this URL.
    Redirect {
        /// The URL, with placeholders.
        to: String,
        /// 301 and the like.
        status: u16,
        /// Whether the query goes with it.
        keep_query: bool,
    },
    /// To the same URL of https.
    Https(u16),
    /// Refused.
    Deny,
    /// The proxy answers.
    Respond(Map),
    /// Nothing answers.
    Nowhere,
}

/// What a rule does.
#[derive(Clone, Debug)]
pub enum Effect {
    /// It ends the way.
    Ends(Action),
    /// It changes a field of the request and goes on.
    Request(Edit),
    /// It changes a field of the response and goes on.
    Response(Edit),
    /// The backend is asked for another host.
    Host(String),
    /// Paths that begin so begin otherwise for the backend.
    Path(String, String),
}

/// A rule for one alternative of its condition.
#[derive(Clone, Debug)]
pub struct Rule {
    /// When.
    pub term: Term,
    /// What.
    pub effect: Effect,
}

/// What rules have changed on the way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Carried {
    request: Edits,
    response: Edits,
    host: Option<String>,
    path: Option<(String, String)>,
}

/// A route of ours, before it is written.
#[derive(Clone, Debug)]
pub struct Route {
    /// When.
    pub holds: Conjunct,
    /// What.
    pub action: Action,
    carried: Carried,
}

/// The rules of backends, and the pools of those.
pub trait Backends {
    /// Returns the rules of a backend and the name of its pool; `None`: there is none such.
    fn of(&self, name: &str) -> Option<(Vec<Rule>, String)>;
}

/// Routes, and what could not be said by them.
#[derive(Debug, Default)]
pub struct Routes {
    /// In their order; the last has no condition.
    pub all: Vec<Route>,
    /// What is lost.
    pub lost: Vec<&'static str>,
}

/// Returns the routes of rules; what no rule is for ends with `end`.
pub fn routes(rules: &[Rule], end: &Action, backends: &dyn Backends) -> Routes {
    let mut routes = Routes::default();
    let all = Conjunct::default();
    routes.emit(rules, &all, end, &Carried::default(), backends);
    let listener: Vec<Route> = std::mem::take(&mut routes.all);
    // A route behind one that has all of it gets nothing.
    for route in listener {
        let gets_nothing = routes.all.iter().any(|before| {
            before.holds == route.holds
                || before.holds.and(&route.holds) == Some(route.holds.clone())
        });
        if gets_nothing {
            continue;
        }
        let joined = routes.all.last().and_then(|last| last.joined(&route));
        match (joined, routes.all.last_mut()) {
            (Some(joined), Some(last)) => *last = joined,
            (_, _) => routes.all.push(route),
        }
    }
    routes
}

impl Routes {
    fn emit(
        &mut self,
        rules: &[Rule],
        here: &Conjunct,
        end: &Action,
        carried: &Carried,
        backends: &dyn Backends,
    ) {
        if self.all.len() >= ROUTES_MAX {
            self.lose("its rules would be too many routes: some are left out");
            return;
        }
        for (index, rule) in rules.iter().enumerate() {
            let rest = &rules[index + 1..];
            let Some(holds) = here.and(&rule.term.holds) else {
                continue;
            };
            for except in &rule.term.unless {
                if let Some(except) = holds.and(except) {
                    self.emit(rest, &except, end, carried, backends);
                }
            }
            let tests_path = rule.term.holds.path.is_some()
                || rule.term.unless.iter().any(|one| one.path.is_some());
            if carried.path.is_some() && tests_path {
                self.lose(
                    "conditions on a path behind a rule that changes it are those of the \
                           path that was asked for",
                );
            }
            match &rule.effect {
                Effect::Ends(action) => self.end(action, &holds, carried, backends),
                effect @ (Effect::Request(_)
                | Effect::Response(_)
                | Effect::Host(_)
                | Effect::Path(_, _)) => {
                    let (holds, changed) = match changed(effect, &holds, carried) {
                        Some(changed) => changed,
                        None => continue,
                    };
                    self.emit(rest, &holds, end, &changed, backends);
                    if holds == *here {
                        return;
                    }
                    continue;
                }
            }
            if holds == *here {
                return;
            }
        }
        self.end(end, here, carried, backends);
    }

    fn end(
        &mut self,
        action: &Action,
        holds: &Conjunct,
        carried: &Carried,
        backends: &dyn Backends,
    ) {
        let action = match action {
            Action::Backend(name) => match backends.of(name) {
                Some((rules, pool)) => {
                    self.emit(&rules, holds, &Action::Pool(pool), carried, backends);
                    return;
                }
                None => Action::Nowhere,
            },
            other @ (Action::Pool(_)
            | Action::Redirect { .. }
            | Action::Https(_)
            | Action::Deny
            | Action::Respond(_)
            | Action::Nowhere) => other.clone(),
        };
        self.all.push(Route {
            holds: holds.clone(),
            action,
            carried: carried.clone(),
        });
    }

    fn lose(&mut self, why: &'static str) {
        if !self.lost.contains(&why) {
            self.lost.push(why);
        }
    }
}

/// Returns for what a rule changes something, and all changes then.
fn changed(effect: &Effect, holds: &Conjunct, carried: &Carried) -> Option<(Conjunct, Carried)> {
    let mut carried = carried.clone();
    let mut holds = holds.clone();
    match effect {
        Effect::Ends(_) => {}
        Effect::Request(edit) => carried.request.push(edit.clone()),
        Effect::Response(edit) => carried.response.push(edit.clone()),
        Effect::Host(host) => carried.host = Some(host.clone()),
        Effect::Path(from, to) => {
            let below = Conjunct {
                path: Some(PathTest::Prefix(from.clone())),
                ..Conjunct::default()
            };
            holds = holds.and(&below)?;
            carried.path = Some((from.clone(), to.clone()));
        }
    }
    Some((holds, carried))
}

impl Route {
    /// Returns it as we write it.
    pub fn yaml(&self) -> Map {
        let mut map = self.holds.yaml();
        let mut answers = true;
        match &self.action {
            Action::Pool(pool) => {
                map.set("pool", Yaml::text(pool));
                self.beside_pool(&mut map);
            }
            Action::Redirect {
                to,
                status,
                keep_query,
            } => {
                let mut redirect = Map::default()
                    .with("to", Yaml::text(to))
                    .with("status", Yaml::word(status));
                // Without a query in the URL that of the request is kept.
                if !keep_query {
                    redirect.set("keep_query", Yaml::word(false));
                }
                map.set("redirect", Yaml::Map(redirect));
            }
            Action::Https(status) => {
                let redirect = Map::default()
                    .with("to", Yaml::text("https://{host}{path}"))
                    .with("status", Yaml::word(status));
                map.set("redirect", Yaml::Map(redirect));
            }
            Action::Respond(respond) => map.set("respond", Yaml::Map(respond.clone())),
            Action::Deny => {
                map.set("deny", Yaml::word("all"));
                answers = false;
            }
            Action::Backend(_) | Action::Nowhere => {
                let respond = Yaml::one("status", Yaml::word(503));
                map.set("respond", respond);
            }
        }
        if answers && !self.carried.response.is_empty() {
            map.set("response_headers", self.carried.response.yaml());
        }
        map
    }

    fn beside_pool(&self, map: &mut Map) {
        let carried = &self.carried;
        let mut rewrite = Map::default();
        if let Some(host) = &carried.host {
            rewrite.set("host", Yaml::text(host));
        }
        if let (Some((from, to)), Some(path)) = (&carried.path, &self.holds.path) {
            let behind = path.text().strip_prefix(from.as_str()).unwrap_or("");
            let behind = if to.ends_with('/') {
                behind.trim_start_matches('/')
            } else {
                behind
            };
            rewrite.set("path", Yaml::text(format!("{to}{behind}")));
        }
        if !rewrite.is_empty() {
            map.set("rewrite", Yaml::Map(rewrite));
        }
        if !carried.request.is_empty() {
            map.set("request_headers", carried.request.yaml());
        }
    }

    /// Returns one route for this and the next, where they do the same for other hosts.
    fn joined(&self, next: &Self) -> Option<Self> {
        let (mut a, mut b) = (self.holds.clone(), next.holds.clone());
        let (mut hosts, more) = (a.hosts.take()?, b.hosts.take()?);
        if a != b || self.action != next.action || self.carried != next.carried {
            return None;
        }
        hosts.extend(more);
        a.hosts = Some(hosts);
        Some(Self {
            holds: a,
            ..self.clone()
        })
    }

    /// Returns what is changed of all requests, where this is the only route; takes it off.
    pub fn take_edits(&mut self) -> (Edits, Edits) {
        (
            std::mem::take(&mut self.carried.request),
            std::mem::take(&mut self.carried.response),
        )
    }
}

/// The most routes of a listener.
const ROUTES_MAX: usize = 300;
