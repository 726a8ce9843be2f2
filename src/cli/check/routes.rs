//! What becomes of the requests of listeners with routes, as a table, and what never happens of it.

use std::fmt::Write as _;

use super::super::status::table;
use crate::config::{ListenerConfig, Rewrite, RouteAction, RouteConfig, unreachable};
use crate::logic::balance::route::{Access, Conditions, HostPattern, PathPattern};
use crate::model::Network;

/// Returns the table and the notes; empty where every request goes to a pool.
pub(super) fn describe(listeners: &[ListenerConfig]) -> String {
    let routed = || {
        let is_routed = |it: &&ListenerConfig| !it.routes.is_empty() || it.https_redirect.is_some();
        listeners.iter().filter(is_routed)
    };
    if routed().next().is_none() {
        return String::new();
    }
    let head = ["LISTENER", "ROUTE", "MATCHES", "ACTION"].map(str::to_owned);
    let mut rows = vec![head.to_vec()];
    for listener in routed() {
        rows.extend(
            listener
                .routes
                .iter()
                .map(|route| route_row(listener, route)),
        );
        rows.push(rest_row(listener));
    }
    let mut text = format!("\n{}", table(&rows));
    let notes: Vec<String> = routed().flat_map(notes).collect();
    if !notes.is_empty() {
        // Writing to a text does not fail.
        let _ = write!(text, "\n{}\n", notes.join("\n"));
    }
    text
}

fn route_row(listener: &ListenerConfig, route: &RouteConfig) -> Vec<String> {
    let matches = match conditions(&route.when).as_str() {
        "" => "-".to_owned(),
        matches => matches.to_owned(),
    };
    vec![
        listener.name.clone(),
        route.name.clone(),
        matches,
        action(route),
    ]
}

/// What becomes of requests that no route is for.
fn rest_row(listener: &ListenerConfig) -> Vec<String> {
    let action = match (listener.https_redirect, &listener.pool) {
        (Some(redirect), _) if redirect.port == 443 => {
            format!("redirect {} to https", redirect.status)
        }
        (Some(redirect), _) => {
            format!(
                "redirect {} to https, port {}",
                redirect.status, redirect.port
            )
        }
        (None, Some(pool)) => format!("pool {pool}"),
        (None, None) => "respond 404".to_owned(),
    };
    vec![
        listener.name.clone(),
        "-".to_owned(),
        "-".to_owned(),
        action,
    ]
}

/// What the file says and never happens.
fn notes(listener: &ListenerConfig) -> Vec<String> {
    let (name, routes) = (&listener.name, &listener.routes);
    let mut notes: Vec<String> = unreachable(routes)
        .into_iter()
        .map(|(later, earlier)| {
            let (later, earlier) = (called(&routes[later]), called(&routes[earlier]));
            format!("note: {name}: {later} never gets a request: {earlier} has them before")
        })
        .collect();
    let every = Conditions::default();
    let last = routes.iter().find(|route| route.ends_all(&every));
    match (last, listener.https_redirect, &listener.pool) {
        (Some(route), Some(_), _) => {
            let route = called(route);
            notes.push(format!(
                "note: {name}: https_redirect never has a request: {route} has them before"
            ));
        }
        (Some(route), None, Some(pool)) => {
            let route = called(route);
            notes.push(format!(
                "note: {name}: nothing is left for its pool {pool}: {route} has every request before"
            ));
        }
        (None, Some(_), _) | (None, None, _) | (Some(_), None, None) => {}
    }
    if let (Some(_), Some(pool)) = (listener.https_redirect, &listener.pool) {
        notes.push(format!(
            "note: {name}: nothing is left for its pool {pool}: https_redirect has what no route is \
             for"
        ));
    }
    notes
}

/// A route by its name and by what it is for.
fn called(route: &RouteConfig) -> String {
    let matches = conditions(&route.when);
    match matches.as_str() {
        "" => format!("route {} (every request)", route.name),
        matches => format!("route {} ({matches})", route.name),
    }
}

/// What a route asks for; empty where it asks for nothing.
fn conditions(when: &Conditions) -> String {
    let Conditions {
        hosts,
        path,
        methods,
        fields,
        query,
        clients,
    } = when;
    let mut parts = Vec::new();
    if !hosts.is_empty() {
        let shown = |host: &HostPattern| match host {
            HostPattern::Exact(name) => name.clone(),
            HostPattern::Under(name) => format!("*.{name}"),
        };
        parts.push(format!("host {}", few(hosts.iter().map(shown))));
    }
    match path {
        None => {}
        Some(PathPattern::Exact(path)) => parts.push(format!("path exactly {path}")),
        Some(PathPattern::Prefix(path)) => parts.push(format!("path {path}")),
    }
    if !methods.is_empty() {
        parts.push(format!("method {}", few(methods.iter().cloned())));
    }
    let with = |name: &str, mark: &str, value: Option<&String>| match value {
        Some(value) => format!("{name}{mark}{value}"),
        None => name.to_owned(),
    };
    parts.extend(fields.iter().map(|field| {
        let shown = with(&field.name, ": ", field.value.as_ref());
        format!("header {shown}")
    }));
    parts.extend(query.iter().map(|query| {
        let shown = with(&query.name, "=", query.value.as_ref());
        format!("query {shown}")
    }));
    if !clients.is_empty() {
        parts.push(format!("client {}", networks(clients)));
    }
    parts.join(", ")
}

fn action(route: &RouteConfig) -> String {
    let answer = match &route.action {
        RouteAction::Pool { pool, rewrite } => {
            let Rewrite { host, path } = rewrite;
            let shown = |what: &str, value: &Option<String>| {
                let value = value.as_ref();
                value.map_or_else(String::new, |value| format!(", {what} {value}"))
            };
            let (path, host) = (shown("path", path), shown("host", host));
            Some(format!("pool {pool}{path}{host}"))
        }
        RouteAction::Redirect(redirect) => {
            Some(format!("redirect {} to {}", redirect.status, redirect.to))
        }
        RouteAction::Respond(respond) => Some(format!("respond {}", respond.status)),
        RouteAction::Pass => None,
    };
    let denied = match &route.access {
        Access::Everybody => None,
        Access::Only(allowed) if allowed.is_empty() => Some("deny all".to_owned()),
        Access::Only(allowed) => Some(format!("deny all but {}", networks(allowed))),
        Access::AllBut(denied) => Some(format!("deny {}", networks(denied))),
    };
    let parts: Vec<String> = denied.into_iter().chain(answer).collect();
    parts.join(", ")
}

fn networks(networks: &[Network]) -> String {
    let shown = |network: &Network| format!("{}/{}", network.address, network.prefix_len);
    few(networks.iter().map(shown))
}

/// Joins words, not too many of them.
fn few(words: impl ExactSizeIterator<Item = String>) -> String {
    let more = words.len().saturating_sub(SHOWN_MAX);
    let shown: Vec<String> = words.take(SHOWN_MAX).collect();
    match more {
        0 => shown.join(" or "),
        more => format!("{} or {more} more", shown.join(" or ")),
    }
}

/// A longer list makes a table that no line holds.
const SHOWN_MAX: usize = 3;
