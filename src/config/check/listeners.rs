//! The section `listeners`: where clients connect, which virtual router that ties them to, which
//! pool answers.

mod actions;
mod conditions;
mod edits;
mod http2;
pub(super) mod names;
pub(super) mod pages;
pub(super) mod rates;
pub(super) mod respond;
mod routes;
mod tcp;

use std::collections::BTreeSet;
use std::net::SocketAddr;

use self::names::{known_pool, unknown_name};
use super::addresses::is_link_local;
use super::clients;
use super::pools::Pools;
use super::routers::Entry;
use super::tls;
use super::values::{self, Use, flag};
use crate::config::file::{Kind, NodeId};
use crate::config::reader::{Fields, Value, check_each};
use crate::config::report::{Problems, shown};
use crate::config::{Config, HttpsRedirectConfig, ListenerConfig, Mode, RouteConfig};
use crate::logic::http1::rewrite::edit::FieldEdits;

/// Checks the section; `entries` and `pools` are `None` where their section is no map at all.
pub(super) fn check(
    section: Value<'_>,
    entries: Option<&[Entry]>,
    pools: Option<&Pools>,
    log: Log,
    problems: &mut Problems,
) -> Option<Vec<ListenerConfig>> {
    let mut taken: Vec<Bind<'_>> = Vec::new();
    let listeners = section.entries("listeners by name", problems)?;
    let checked = check_each(listeners, |listener| {
        check_listener(listener, entries, pools, log, &mut taken, problems)
    });
    rates::check_sum(section, checked.as_deref().unwrap_or_default(), problems);
    checked
}

/// Whether the file has an access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Log {
    Here,
    None,
}

/// An address that a listener has taken.
#[derive(Clone, Copy, Debug)]
struct Bind<'a> {
    addr: SocketAddr,
    listener: &'a str,
    at: NodeId,
}

/// Where a listener listens, as far as it is right.
#[derive(Debug)]
struct Binds {
    virtual_router: Option<String>,
    binds: Vec<(NodeId, SocketAddr)>,
}

fn check_listener<'a>(
    listener: Value<'a>,
    entries: Option<&[Entry]>,
    pools: Option<&Pools>,
    log: Log,
    taken: &mut Vec<Bind<'a>>,
    problems: &mut Problems,
) -> Option<ListenerConfig> {
    let fields = listener.fields(KEYS, problems)?;
    let mode = tcp::check(&fields, problems);
    let binds = check_binds(listener, &fields, entries, problems);
    let answers = check_answers(&fields, mode.unwrap_or_default(), pools, problems);
    let timeouts = clients::check_timeouts(&fields, problems);
    let limits = clients::check_limits(&fields, problems);
    let forwarding = clients::check_forwarding(&fields, problems);
    let access_log = check_access_log(&fields, log, problems);
    let upgrades = clients::check_upgrades(&fields, problems);
    let trace = flag(&fields, "trace", false, problems);
    let error_pages = pages::check_error_pages(&fields, problems);
    let maintenance = pages::check_maintenance(&fields, problems);
    let http2 = http2::check(&fields, problems);
    let proxy_protocol = clients::check_proxy_protocol(&fields, problems);
    let tls = tls::check_listener(&fields, problems);
    if let Some(binds) = &binds {
        for (at, addr) in &binds.binds {
            check_free(
                Bind {
                    addr: *addr,
                    listener: listener.name,
                    at: *at,
                },
                taken,
                problems,
            );
        }
        if let (Some(answers), Some(pools)) = (&answers, pools) {
            check_loops(listener.name, binds, answers, pools, problems);
        }
    }
    let (binds, answers) = (binds?, answers?);
    Some(ListenerConfig {
        name: listener.name.to_owned(),
        virtual_router: binds.virtual_router,
        binds: binds.binds.into_iter().map(|(_, addr)| addr).collect(),
        mode: mode?,
        routes: answers.routes,
        https_redirect: answers.https_redirect,
        pool: answers.pool.map(ToOwned::to_owned),
        request_fields: answers.request_fields,
        response_fields: answers.response_fields,
        timeouts: timeouts?,
        limits: limits?,
        forwarding: forwarding?,
        access_log: access_log?,
        upgrades: upgrades?,
        trace: trace?,
        error_pages: error_pages?,
        maintenance: maintenance?,
        tls: tls?,
        http2: http2?,
        proxy_protocol: proxy_protocol?,
    })
}

/// What becomes of requests.
#[derive(Debug)]
struct Answers<'a> {
    routes: Vec<RouteConfig>,
    https_redirect: Option<HttpsRedirectConfig>,
    pool: Option<&'a str>,
    request_fields: FieldEdits,
    response_fields: FieldEdits,
}

/// Whether something answers without the listener's pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    Answered,
    Unanswered,
}

fn check_answers<'a>(
    fields: &Fields<'a>,
    mode: Mode,
    pools: Option<&Pools>,
    problems: &mut Problems,
) -> Option<Answers<'a>> {
    let request_fields = edits::check(fields, "request_headers", problems);
    let response_fields = edits::check(fields, "response_headers", problems);
    let around = routes::Around {
        // What is wrong with it has been said.
        request_fields: request_fields.clone().unwrap_or_default(),
        response_fields: response_fields.clone().unwrap_or_default(),
        mode,
        pools,
    };
    let routes = routes::check(fields, &around, problems);
    let https_redirect = actions::check_https_redirect(fields, problems);
    let may_answer = routes
        .as_ref()
        .is_none_or(|routes| routes.iter().any(RouteConfig::answers));
    let rest = if may_answer || https_redirect != Some(None) {
        Rest::Answered
    } else {
        Rest::Unanswered
    };
    let pool = check_pool(fields, pools, rest, problems);
    Some(Answers {
        routes: routes?,
        https_redirect: https_redirect?,
        pool: pool?,
        request_fields: request_fields?,
        response_fields: response_fields?,
    })
}

/// Either `virtual_router` with `port`, or `bind`.
fn check_binds(
    listener: Value<'_>,
    fields: &Fields<'_>,
    entries: Option<&[Entry]>,
    problems: &mut Problems,
) -> Option<Binds> {
    let name = shown(listener.name);
    match (
        fields.get("virtual_router"),
        fields.get("port"),
        fields.get("bind"),
    ) {
        (Some(router), port, None) => {
            if port.is_none() {
                fields.need("port", "80", problems);
            }
            check_router_and_port(router, port, entries, problems)
        }
        (None, None, Some(bind)) => check_bind_list(bind, entries.unwrap_or_default(), problems),
        (None, Some(port), None) => {
            let message = format!("`{name}` has a `port` but no `virtual_router`");
            let help = "add `virtual_router: NAME`, or write `bind: [\"192.0.2.1:80\"]` instead";
            problems.add_with_help(port.key, message, help);
            None
        }
        (Some(_), _, Some(bind)) | (None, Some(_), Some(bind)) => {
            let message = format!(
                "`{name}` has `bind` and also `virtual_router` or `port`: it is one or the other"
            );
            let help = "keep `virtual_router` with `port`, or `bind`; a listener that binds a \
                        virtual address is tied to its virtual router by itself";
            problems.add_with_help(bind.key, message, help);
            None
        }
        (None, None, None) => {
            let message = format!("`{name}` listens nowhere");
            let help = "add `virtual_router: NAME` and `port: 80`, or `bind: [\"192.0.2.1:80\"]`";
            problems.add_with_help(fields.key(), message, help);
            None
        }
    }
}

fn check_router_and_port(
    router: Value<'_>,
    port: Option<Value<'_>>,
    entries: Option<&[Entry]>,
    problems: &mut Problems,
) -> Option<Binds> {
    let number = port.and_then(|port| port.number(1, 65535, problems));
    let name = router.text("the name of a virtual router", problems)?;
    let entries = entries?;
    let Some(entry) = entries.iter().find(|entry| entry.name == name) else {
        let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
        unknown_name(router, "virtual router", name, &names, problems);
        return None;
    };
    let port_at = port?.at();
    let port = u16::try_from(number?).ok()?;
    let addresses = entry
        .addresses
        .as_ref()?
        .iter()
        .filter(|ip| !is_link_local(**ip));
    let binds: Vec<_> = addresses
        .map(|ip| (port_at, SocketAddr::new(*ip, port)))
        .collect();
    if binds.is_empty() {
        let message = format!("`{name}` has no address to listen on: link-local ones are left out");
        let help = format!("give `{name}` an address that clients can reach");
        router.wrong_with_help(message, help, problems);
        return None;
    }
    Some(Binds {
        virtual_router: Some(name.to_owned()),
        binds,
    })
}

/// Addresses of exactly one virtual router tie the listener to it.
fn check_bind_list(bind: Value<'_>, entries: &[Entry], problems: &mut Problems) -> Option<Binds> {
    if let Kind::Text(text) = &bind.node.kind {
        let help = format!("write `bind: [\"{}\"]`", shown(text));
        bind.wrong_with_help(
            "bind must be a list of addresses with ports",
            help,
            problems,
        );
        return None;
    }
    let items = bind.items("addresses with ports", problems)?;
    let binds = check_each(items, |item| {
        let addr = values::socket_addr(item, Use::Bind, problems)?;
        Some((item.at(), addr))
    })?;
    let holds = |entry: &&Entry| {
        let addresses = entry.addresses.as_deref().unwrap_or_default();
        binds.iter().any(|(_, addr)| addresses.contains(&addr.ip()))
    };
    let mut tied = entries.iter().filter(holds);
    let virtual_router = match (tied.next(), tied.next()) {
        (Some(entry), None) => Some(entry.name.clone()),
        (Some(_), Some(_)) | (None, _) => None,
    };
    Some(Binds {
        virtual_router,
        binds,
    })
}

/// The pool is needed only where requests would have no answer otherwise.
fn check_pool<'a>(
    fields: &Fields<'a>,
    pools: Option<&Pools>,
    rest: Rest,
    problems: &mut Problems,
) -> Option<Option<&'a str>> {
    let value = match (fields.get("pool"), rest) {
        (None, Rest::Answered) => return Some(None),
        (Some(value), Rest::Answered | Rest::Unanswered) => value,
        (None, Rest::Unanswered) => fields.need("pool", "NAME", problems)?,
    };
    known_pool(value, pools.map(|pools| &*pools.names), problems).map(Some)
}

/// Two listeners cannot have one address and port; a wildcard has every address of its family.
fn check_free<'a>(bind: Bind<'a>, taken: &mut Vec<Bind<'a>>, problems: &mut Problems) {
    let addr = bind.addr;
    let clash = taken.iter().find(|other| overlap(addr, other.addr));
    if let Some(other) = clash {
        let whose = if other.listener == bind.listener {
            "here"
        } else {
            other.listener
        };
        if other.addr == addr {
            problems.add(
                bind.at,
                format!("{addr} is already taken, by {}", quoted(whose)),
            );
        } else {
            let message = format!("{addr} and {}, of {}, overlap", other.addr, quoted(whose));
            let help = format!(
                "`0.0.0.0` and `[::]` mean every address of their family; take another port than {} \
                 or name the addresses one by one",
                addr.port(),
            );
            problems.add_with_help(bind.at, message, help);
        }
    }
    taken.push(bind);
}

/// Returns whether two sockets cannot have these addresses both.
pub(super) fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let (a, b) = (one.ip(), other.ip());
    let every = a.is_ipv4() == b.is_ipv4() && (a.is_unspecified() || b.is_unspecified());
    one.port() == other.port() && (a == b || every)
}

fn quoted(whose: &str) -> String {
    if whose == "here" {
        "this listener itself".to_owned()
    } else {
        format!("`{}`", shown(whose))
    }
}

/// A listener whose own address is a backend would ask itself without end.
fn check_loops(
    listener: &str,
    binds: &Binds,
    answers: &Answers<'_>,
    pools: &Pools,
    problems: &mut Problems,
) {
    let of_routes = answers.routes.iter().filter_map(RouteConfig::pool);
    let asked = answers.pool.into_iter().chain(of_routes);
    let asked: BTreeSet<&str> = pools.with_fallbacks(asked).into_iter().collect();
    for (_, at, backend) in pools
        .backends
        .iter()
        .filter(|(name, ..)| asked.contains(name.as_str()))
    {
        if binds.binds.iter().any(|(_, bind)| is_own(*bind, *backend)) {
            let message = format!(
                "{backend} is where listener `{}` itself listens",
                shown(listener)
            );
            problems.add_with_help(*at, message, "a backend is another server");
        }
    }
}

/// Returns whether who connects to this backend comes to this listening socket.
fn is_own(bind: SocketAddr, backend: SocketAddr) -> bool {
    let every = bind.ip().is_unspecified() && bind.is_ipv4() == backend.is_ipv4();
    bind == backend || (every && backend.ip().is_loopback() && bind.port() == backend.port())
}

/// Returns the listener that would ask itself without end if its pool had this backend.
pub(super) fn loop_by<'c>(config: &'c Config, pool: &str, backend: SocketAddr) -> Option<&'c str> {
    let mut listeners = config
        .listeners
        .iter()
        .filter(|it| config.pools_behind(it).contains(&pool));
    let own = listeners.find(|it| it.binds.iter().any(|bind| is_own(*bind, backend)));
    own.map(|listener| listener.name.as_str())
}

fn check_access_log(fields: &Fields<'_>, log: Log, problems: &mut Problems) -> Option<bool> {
    let wanted = flag(fields, "access_log", true, problems)?;
    if let Some(value) = fields.get("access_log")
        && wanted
        && log == Log::None
    {
        let help = "add a section `access_log: {to: /var/log/evenkeel/access.log}`";
        value.wrong_with_help("there is no access log to write to", help, problems);
        return None;
    }
    Some(wanted)
}

/// The last seven and `upgrades` are read by `clients`.
const KEYS: &[&str] = &[
    "virtual_router",
    "port",
    "bind",
    "mode",
    "routes",
    "https_redirect",
    "tls",
    "http2",
    "proxy_protocol",
    "pool",
    "request_headers",
    "response_headers",
    "timeouts",
    "limits",
    "upgrades",
    "trace",
    "trusted_proxies",
    "proxy_fields",
    "forwarded",
    "via",
    "request_id",
    "access_log",
    "error_pages",
    "maintenance",
];
