//! What changes of the routes of a listener.

use super::words::{Step, Words, by_name};
use crate::config::{
    HttpsRedirectConfig, ListenerConfig, RedirectConfig, RespondConfig, Rewrite, RouteAction,
    RouteConfig, RouteLimits, RouteTimeouts,
};
use crate::logic::balance::route::{Access, Conditions};

/// Compares the routes of two listeners, by name; one without a name is known by its place.
pub(super) fn routes(old: &ListenerConfig, new: &ListenerConfig, words: &mut Words) {
    // A route has the edits of its listener, of which there is a word already.
    let edits = Edits {
        of_requests: old.request_fields == new.request_fields,
        of_responses: old.response_fields == new.response_fields,
    };
    let compare = |old: &RouteConfig, new: &RouteConfig, words: &mut Words| {
        route(old, new, edits, words);
    };
    let steps = by_name(&old.routes, &new.routes, |one| &one.name, "route", compare);
    for Step { subject, change } in &steps {
        words.say(format!("{subject} {change}"));
    }
    let in_both = |routes: &[RouteConfig], others: &[RouteConfig]| -> Vec<String> {
        let is_other = |route: &&RouteConfig| others.iter().any(|it| it.name == route.name);
        let routes = routes.iter().filter(is_other);
        routes.map(|route| route.name.clone()).collect()
    };
    if in_both(&old.routes, &new.routes) != in_both(&new.routes, &old.routes) {
        words.say("order of routes changed");
    }
}

/// Compares `https_redirect`.
pub(super) fn https_redirect(
    old: Option<HttpsRedirectConfig>,
    new: Option<HttpsRedirectConfig>,
    words: &mut Words,
) {
    match (old, new) {
        (None, None) => {}
        (None, Some(_)) => words.say("https_redirect begins"),
        (Some(_), None) => words.say("https_redirect ends"),
        (Some(HttpsRedirectConfig { status, port }), Some(new)) => {
            words.value("https_redirect status", &status, &new.status);
            words.value("https_redirect port", &port, &new.port);
        }
    }
}

/// Whether the edits of the listener are as they were.
#[derive(Clone, Copy, Debug)]
struct Edits {
    of_requests: bool,
    of_responses: bool,
}

fn route(old: &RouteConfig, new: &RouteConfig, edits: Edits, words: &mut Words) {
    let RouteConfig {
        name: _,
        when,
        access,
        action,
        request_fields,
        response_fields,
        timeouts,
        limits,
        priority,
    } = old;
    conditions(when, &new.when, words);
    self::access(access, &new.access, words);
    self::action(action, &new.action, words);
    if edits.of_requests {
        words.other("request_headers", request_fields, &new.request_fields);
    }
    if edits.of_responses {
        words.other("response_headers", response_fields, &new.response_fields);
    }
    self::timeouts(timeouts, &new.timeouts, words);
    self::limits(limits, &new.limits, words);
    words.switch("priority", priority, &new.priority);
}

fn conditions(old: &Conditions, new: &Conditions, words: &mut Words) {
    let Conditions {
        hosts,
        path,
        methods,
        fields,
        query,
        clients,
    } = old;
    words.other("host", hosts, &new.hosts);
    words.other("path", path, &new.path);
    words.other("method", methods, &new.methods);
    words.other("header", fields, &new.fields);
    words.other("query", query, &new.query);
    words.other("client", clients, &new.clients);
}

fn access(old: &Access, new: &Access, words: &mut Words) {
    if old != new {
        words.say(match new {
            Access::Everybody => "denies nobody any more".to_owned(),
            Access::Only(allowed) if allowed.is_empty() => "denies all".to_owned(),
            Access::Only(_) | Access::AllBut(_) => "clients changed".to_owned(),
        });
    }
}

fn action(old: &RouteAction, new: &RouteAction, words: &mut Words) {
    match (old, new) {
        (
            RouteAction::Pool { pool, rewrite },
            RouteAction::Pool {
                pool: to,
                rewrite: new,
            },
        ) => {
            words.value("pool", pool, to);
            let Rewrite { host, path } = rewrite;
            let none = "as asked";
            words.optional("rewrite host", none, host.as_ref(), new.host.as_ref());
            words.optional("rewrite path", none, path.as_ref(), new.path.as_ref());
        }
        (RouteAction::Redirect(old), RouteAction::Redirect(new)) => {
            let RedirectConfig { to, status, query } = old;
            words.value("redirect URL", to, &new.to);
            words.value("redirect status", status, &new.status);
            words.other("redirect keep_query", query, &new.query);
        }
        (RouteAction::Respond(old), RouteAction::Respond(new)) => {
            let RespondConfig {
                status,
                body,
                content_type,
            } = old;
            words.value("respond status", status, &new.status);
            words.other("respond body", body, &new.body);
            words.value("respond content_type", content_type, &new.content_type);
        }
        (RouteAction::Pass, RouteAction::Pass) => {}
        (
            RouteAction::Pool { .. },
            RouteAction::Redirect(_) | RouteAction::Respond(_) | RouteAction::Pass,
        )
        | (
            RouteAction::Redirect(_),
            RouteAction::Pool { .. } | RouteAction::Respond(_) | RouteAction::Pass,
        )
        | (
            RouteAction::Respond(_),
            RouteAction::Pool { .. } | RouteAction::Redirect(_) | RouteAction::Pass,
        )
        | (
            RouteAction::Pass,
            RouteAction::Pool { .. } | RouteAction::Redirect(_) | RouteAction::Respond(_),
        ) => words.value("action", &called(old), &called(new)),
    }
}

const fn called(action: &RouteAction) -> &'static str {
    match action {
        RouteAction::Pool { .. } => "pool",
        RouteAction::Redirect(_) => "redirect",
        RouteAction::Respond(_) => "respond",
        RouteAction::Pass => "none",
    }
}

fn timeouts(old: &RouteTimeouts, new: &RouteTimeouts, words: &mut Words) {
    let RouteTimeouts {
        request_body,
        idle,
        tunnel,
        response_head,
        queue,
    } = *old;
    for (what, old, new) in [
        ("request_body", request_body, new.request_body),
        ("idle", idle, new.idle),
        ("tunnel", tunnel, new.tunnel),
        ("response_head", response_head, new.response_head),
        ("queue", queue, new.queue),
    ] {
        let shown = |timeout: Option<std::time::Duration>| {
            timeout.map_or_else(|| "default".to_owned(), |it| format!("{it:?}"))
        };
        words.value(&format!("timeout {what}"), &shown(old), &shown(new));
    }
}

fn limits(old: &RouteLimits, new: &RouteLimits, words: &mut Words) {
    let RouteLimits {
        body_bytes,
        body_rate,
        rates,
    } = old;
    let none = "default";
    super::rates::rates(rates, &new.rates, none, words);
    words.optional(
        "limit body",
        none,
        body_bytes.as_ref(),
        new.body_bytes.as_ref(),
    );
    words.optional(
        "limit body_rate",
        none,
        body_rate.as_ref(),
        new.body_rate.as_ref(),
    );
}
