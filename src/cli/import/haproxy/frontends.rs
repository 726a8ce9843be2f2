//! A frontend, or the half of a listen that listens, as listeners: one for each way of speaking.

use std::collections::BTreeMap;

use super::binds::{self, Group};
use super::globals::Globals;
use super::rates;
use super::routes::acl::Known;
use super::routes::actions;
use super::routes::condition::{Acls, Term};
use super::routes::conjunct::{Conjunct, PathTest};
use super::routes::edits::{Edit, Edits};
use super::routes::rules::{Action, Backends, Effect, Routes, Rule, routes};
use super::sections::Section;
use crate::cli::import::draft::Draft;
use crate::cli::import::remarks::{Line, Remarks};
use crate::cli::import::units::{bounded, time};
use crate::cli::import::yaml::{Map, Yaml};

/// What a frontend is put together from.
pub struct Parts<'a> {
    /// All sections.
    pub sections: &'a [Section],
    /// `global`.
    pub globals: &'a Globals,
    /// The pools by the names of their backends.
    pub pools: &'a BTreeMap<String, String>,
}

/// The rules of backends, compiled for one way of speaking.
struct Compiled(BTreeMap<String, (Vec<Rule>, String)>);

impl Backends for Compiled {
    fn of(&self, name: &str) -> Option<(Vec<Rule>, String)> {
        self.0.get(name).cloned()
    }
}

/// Puts the listeners of a section into the draft.
pub fn listeners(section: &Section, parts: &Parts<'_>, draft: &mut Draft, remarks: &mut Remarks) {
    let groups = binds::groups(section, parts.globals, remarks);
    if groups.is_empty() {
        remarks.lost(&section.line, "it listens nowhere");
        return;
    }
    let several = groups.len() > 1;
    for group in groups {
        let mut name = section.name.clone();
        if several && group.spoken.tls {
            name.push_str("-tls");
        }
        match listener(section, &group, several, parts, remarks) {
            Some(listener) => {
                draft.listeners.add(&name, listener);
            }
            None => remarks.lost(&section.line, "left out: it leads to no backend"),
        }
    }
}

fn listener(
    section: &Section,
    group: &Group,
    is_one_of_several: bool,
    parts: &Parts<'_>,
    remarks: &mut Remarks,
) -> Option<Map> {
    let known = Known {
        tls: group.spoken.tls,
        http: section.is_http(),
        port: group.port,
    };
    let mut listener = Map::default().with("bind", Yaml::texts(&group.addresses));
    if !known.http {
        listener.set("mode", Yaml::word("tcp"));
    }
    group.spoken.write(known.http, &mut listener);
    let mut limits = Map::default();
    let (rules, is_closed) = rules(section, &known, parts.sections, &mut limits, remarks);
    let (rules, request, response) = of_all(rules);
    let default = section
        .find(&["default_backend"])
        .filter(|_| is_closed.is_none());
    let default = default.map(|line| line.word(1));
    let compiled = compiled(&rules, default, section, &known, parts, remarks);
    let end = if is_closed.is_some() {
        Action::Nowhere
    } else {
        end(section, parts)
    };
    if let (Some(unreachable), false) = (is_closed, is_one_of_several) {
        for line in unreachable {
            let why = "a rule before it has all requests";
            remarks.no_effect(&line, why);
        }
    }
    let found = routes(&rules, &end, &compiled);
    for why in &found.lost {
        remarks.lost(&section.line, *why);
    }
    write_routes(found, (request, response), section, &mut listener);
    timeouts(section, &mut listener);
    if let Some(line) = section.find(&["maxconn"])
        && let Ok(most) = line.word(1).parse::<u64>()
    {
        limits.set("connections", Yaml::word(most.clamp(1, 10_000_000)));
    }
    if !limits.is_empty() {
        listener.set("limits", Yaml::Map(limits));
    }
    let has_pool = listener.get("pool").is_some() || listener.get("routes").is_some();
    (known.http || has_pool).then_some(listener)
}

/// Divides changes that are made to all requests from other rules.
fn of_all(rules: Vec<Rule>) -> (Vec<Rule>, Edits, Edits) {
    let (mut request, mut response) = (Edits::default(), Edits::default());
    let mut others: Vec<Rule> = Vec::new();
    for rule in rules {
        let is_always = rule.term == Term::always();
        let changed = match &rule.effect {
            Effect::Request(edit) | Effect::Response(edit) => Some(edit.clone()),
            Effect::Ends(_) | Effect::Host(_) | Effect::Path(_, _) => None,
        };
        // Changes of routes come behind those of the listener: what came before stays there.
        let came_before = |edit: &Edit| {
            others.iter().any(|other| match &other.effect {
                Effect::Request(before) | Effect::Response(before) => before.is_of(edit),
                Effect::Ends(_) | Effect::Host(_) | Effect::Path(_, _) => false,
            })
        };
        let of_all = changed.filter(|edit| is_always && !came_before(edit));
        match (of_all, matches!(rule.effect, Effect::Request(_))) {
            (Some(edit), true) => request.push(edit),
            (Some(edit), false) => response.push(edit),
            (None, _) => others.push(rule),
        }
    }
    (others, request, response)
}

/// Returns what answers where no rule does.
fn end(section: &Section, parts: &Parts<'_>) -> Action {
    if let Some(line) = section.find(&["default_backend"]) {
        return Action::Backend(line.word(1).to_owned());
    }
    match parts.pools.get(&section.name) {
        Some(pool) if section.kind == "listen" => Action::Pool(pool.clone()),
        Some(_) | None => Action::Nowhere,
    }
}

/// Returns the rules of a section in the order in which HAProxy asks them; where one of them has
/// all requests, also the lines behind it.
fn rules(
    section: &Section,
    known: &Known,
    sections: &[Section],
    limits: &mut Map,
    remarks: &mut Remarks,
) -> (Vec<Rule>, Option<Vec<Line>>) {
    let mut unreachable: Option<Vec<Line>> = None;
    let acls = acls(section);
    let mut rules = Vec::new();
    if let Some(line) = section.find(&["monitor-uri"]).filter(|_| known.http) {
        let holds = Conjunct {
            path: Some(PathTest::Exact(line.word(1).to_owned())),
            ..Conjunct::default()
        };
        let respond = Map::default().with("status", Yaml::word(200));
        rules.push(Rule {
            term: Term {
                holds,
                unless: Vec::new(),
            },
            effect: Effect::Ends(Action::Respond(respond)),
        });
    }
    if known.http && section.find(&["option", "forwardfor"]).is_some() {
        rules.extend(forwarded_header(section));
    }
    for stage in STAGES {
        for line in section
            .own
            .iter()
            .filter(|line| stage.contains(&line.word(0)))
        {
            if !known.http && !["tcp-request", "use_backend"].contains(&line.word(0)) {
                remarks.no_effect(line, "HAProxy does not look at it with `mode tcp`");
                continue;
            }
            if rates::take(line, section, sections, limits, remarks) || is_other(line, section) {
                continue;
            }
            if let Some(lines) = &mut unreachable {
                lines.push(line.clone());
                continue;
            }
            let read = actions::read(line, &acls, known, remarks);
            let ends =
                |rule: &Rule| rule.term == Term::always() && matches!(rule.effect, Effect::Ends(_));
            if read.iter().any(ends) {
                unreachable = Some(Vec::new());
            }
            rules.extend(read);
        }
    }
    if let (Some(lines), Some(line)) = (&mut unreachable, section.find(&["default_backend"])) {
        lines.push(line.clone());
    }
    (rules, unreachable)
}

/// `option forwardfor header X` sends another field.
fn forwarded_header(section: &Section) -> Option<Rule> {
    let line = section.find(&["option", "forwardfor"])?;
    let at = line.words.iter().position(|word| word == "header")?;
    let edit = Edit::Set(line.word(at + 1).to_owned(), "{client}".to_owned());
    Some(Rule {
        term: Term::always(),
        effect: Effect::Request(edit),
    })
}

/// Rules that are read elsewhere.
fn is_other(line: &Line, section: &Section) -> bool {
    line.words.iter().any(|word| word == "use-service") || fallback(line, section).is_some()
}

/// Returns the pool that is down, and the one that answers then, of `use_backend b if { nbsrv(a)
/// lt 1 }`.
pub fn fallback(line: &Line, section: &Section) -> Option<(String, String)> {
    if line.word(0) != "use_backend" || line.word(2) != "if" {
        return None;
    }
    let test = match line.from(3) {
        [open, test @ .., close] if open == "{" && close == "}" => test.to_vec(),
        [name] => {
            let mut acls = section.own.iter().filter(|acl| acl.word(0) == "acl");
            let acl = acls.find(|acl| acl.word(1) == name.as_str())?;
            acl.from(2).to_vec()
        }
        _ => return None,
    };
    let down = test.first()?.strip_prefix("nbsrv(")?.strip_suffix(')')?;
    let is_none = match test.get(1..)? {
        [word, number] => matches!(
            (word.as_str(), number.as_str()),
            ("lt", "1") | ("eq" | "le", "0")
        ),
        [number] => number == "0",
        _ => false,
    };
    is_none.then(|| (down.to_owned(), line.word(1).to_owned()))
}

fn acls(section: &Section) -> Acls {
    let mut acls = Acls::new();
    for line in section.all("acl") {
        let tests: &mut Vec<_> = acls.entry(line.word(1).to_owned()).or_default();
        tests.push(line.from(2).to_vec());
    }
    acls
}

/// Compiles the rules of the backends that rules name.
fn compiled(
    rules: &[Rule],
    default: Option<&str>,
    section: &Section,
    known: &Known,
    parts: &Parts<'_>,
    remarks: &mut Remarks,
) -> Compiled {
    let named = rules.iter().filter_map(|rule| match &rule.effect {
        Effect::Ends(Action::Backend(name)) => Some(name.as_str()),
        Effect::Ends(_)
        | Effect::Request(_)
        | Effect::Response(_)
        | Effect::Host(_)
        | Effect::Path(_, _) => None,
    });
    let mut compiled = BTreeMap::new();
    for name in named.chain(default) {
        if compiled.contains_key(name) {
            continue;
        }
        let backend = parts
            .sections
            .iter()
            .find(|s| s.is_back() && s.name == name);
        match (backend, parts.pools.get(name)) {
            (Some(backend), pool) if pool.is_some() || has_rules(backend) => {
                let mut limits = Map::default();
                let (rules, _) = self::rules(backend, known, parts.sections, &mut limits, remarks);
                let pool = pool.cloned().unwrap_or_default();
                compiled.insert(name.to_owned(), (rules, pool));
            }
            (Some(backend), _) => {
                let why = "it has no server that could be a backend: who would go there is \
                           answered 503";
                remarks.lost(&backend.line, why);
            }
            (None, _) => {
                let line = section.own.iter().chain(&section.defaults).find(|line| {
                    ["use_backend", "default_backend"].contains(&line.word(0))
                        && line.word(1) == name
                });
                let why = format!("there is no backend {name}");
                remarks.lost(line.unwrap_or(&section.line), why);
            }
        }
    }
    Compiled(compiled)
}

fn has_rules(section: &Section) -> bool {
    let rules = ["http-request", "redirect"];
    section.own.iter().any(|line| rules.contains(&line.word(0)))
}

/// Writes routes, of which the last is for all that is left.
fn write_routes(
    mut found: Routes,
    (mut request, mut response): (Edits, Edits),
    section: &Section,
    listener: &mut Map,
) {
    let is_only = found.all.len() == 1;
    let mut last = found.all.pop();
    if let (true, Some(last)) = (is_only, last.as_mut()) {
        let (more_request, more_response) = last.take_edits();
        request.extend(more_request);
        response.extend(more_response);
    }
    for (key, edits) in [("request_headers", request), ("response_headers", response)] {
        if !edits.is_empty() {
            listener.set(key, edits.yaml());
        }
    }
    let mut routes: Vec<Yaml> = found
        .all
        .iter()
        .map(|route| Yaml::Map(route.yaml()))
        .collect();
    if let Some(last) = last {
        let mut map = last.yaml();
        if matches!(map.get("pool"), Some(Yaml::Text(pool)) if pool.is_empty()) {
            map = Map::default().with("respond", Yaml::one("status", Yaml::word(503)));
        }
        match &last.action {
            Action::Nowhere => {
                if section.is_http() {
                    let status = Yaml::one("status", Yaml::word(503));
                    routes.push(Yaml::one("respond", status));
                }
            }
            Action::Https(status) if map.get("response_headers").is_none() => {
                let redirect = Yaml::one("status", Yaml::word(status));
                listener.set("https_redirect", redirect);
            }
            Action::Pool(_) if map.iter().count() == 1 => {
                if let Some(pool) = map.remove("pool") {
                    listener.set("pool", pool);
                }
                if map.get("respond").is_some() {
                    routes.push(Yaml::Map(map));
                }
            }
            Action::Pool(_)
            | Action::Backend(_)
            | Action::Redirect { .. }
            | Action::Https(_)
            | Action::Deny
            | Action::Respond(_) => routes.push(Yaml::Map(map)),
        }
    }
    if !routes.is_empty() {
        listener.set("routes", Yaml::List(routes));
    }
}

fn timeouts(section: &Section, listener: &mut Map) {
    let find = |name: &str, old: &str| {
        let new = section.find(&["timeout", name]).map(|line| line.word(2));
        let text = new.or_else(|| section.find(&[old]).map(|line| line.word(1)))?;
        time(text, 1)
    };
    let (hour, day) = (3_600_000, 86_400_000);
    let client = find("client", "clitimeout");
    let mut set = |key: &str, ms: Option<u64>, most: u64| {
        if let Some(ms) = ms {
            let text = Yaml::text(bounded(ms, 1, most));
            listener.map("timeouts").set(key, text);
        }
    };
    set("handshake", find("client-hs", "-"), hour);
    if section.is_http() {
        set("request_head", find("http-request", "-"), hour);
        set("keep_alive", find("http-keep-alive", "-"), hour);
        set("request_body", client, hour);
        set("idle", client, day);
        set("tunnel", find("tunnel", "-"), day);
    } else {
        let both = client.max(find("server", "srvtimeout"));
        set("tunnel", find("tunnel", "-").or(both), day);
    }
    set("client_fin", find("client-fin", "-"), day);
}

/// The order in which HAProxy asks its rules.
const STAGES: [&[&str]; 4] = [
    &["tcp-request"],
    &[
        "http-request",
        "reqadd",
        "reqidel",
        "reqdel",
        "http-response",
        "http-after-response",
        "rspadd",
        "rspidel",
        "rspdel",
    ],
    &["redirect"],
    &["use_backend"],
];
