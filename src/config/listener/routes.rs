//! What a listener does with requests: its routes, and what each changes of them.

use std::time::Duration;

use super::rates::RequestRates;
use crate::logic::balance::queue::Urgency;
use crate::logic::balance::route::{Access, Conditions};
use crate::logic::http1::rewrite::edit::FieldEdits;
use crate::logic::http1::rewrite::template::Template;

/// One route of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteConfig {
    /// Its `name`, or its place in the list, from 1: `2`.
    pub name: String,
    /// Which requests it is for.
    pub when: Conditions,
    /// Which clients; others are answered 403.
    pub access: Access,
    /// What answers.
    pub action: RouteAction,
    /// What is changed of the request for a pool: the listener's edits before the route's own.
    pub request_fields: FieldEdits,
    /// What is changed of the response, whoever gives it: the listener's before its own.
    pub response_fields: FieldEdits,
    /// In the place of the listener's and the pool's.
    pub timeouts: RouteTimeouts,
    /// In the place of the listener's.
    pub limits: RouteLimits,
    /// When its requests get room, where others wait for the same pool.
    pub priority: Urgency,
}

impl RouteConfig {
    /// Returns the pool that answers, where one does.
    pub fn pool(&self) -> Option<&str> {
        match &self.action {
            RouteAction::Pool { pool, .. } => Some(pool),
            RouteAction::Redirect(_) | RouteAction::Respond(_) | RouteAction::Pass => None,
        }
    }

    /// Returns whether it answers whom it lets through.
    pub const fn answers(&self) -> bool {
        match self.action {
            RouteAction::Pool { .. } | RouteAction::Redirect(_) | RouteAction::Respond(_) => true,
            RouteAction::Pass => false,
        }
    }

    /// Returns whether no request that meets these conditions comes past it.
    pub fn ends_all(&self, when: &Conditions) -> bool {
        self.when.cover(when) && (self.answers() || self.access.denies_all_of(&when.clients))
    }
}

/// Returns the routes that never get a request, each with the first of those before it that has
/// all of them, by index.
pub fn unreachable(routes: &[RouteConfig]) -> Vec<(usize, usize)> {
    let later = routes.iter().enumerate();
    later
        .filter_map(|(index, route)| {
            let mut before = routes[..index].iter();
            let earlier = before.position(|it| it.ends_all(&route.when))?;
            Some((index, earlier))
        })
        .collect()
}

/// What answers a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteAction {
    /// A pool.
    Pool {
        /// The key under `pools`.
        pool: String,
        /// What becomes of host and path.
        rewrite: Rewrite,
    },
    /// Another URL.
    Redirect(RedirectConfig),
    /// A text.
    Respond(RespondConfig),
    /// A later route: this one only turns others away.
    Pass,
}

/// What becomes of host and path before a backend is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// The Host field.
    pub host: Option<String>,
    /// In the place of the path, or of its beginning, that the route asks for; begins with a slash.
    pub path: Option<String>,
}

/// A redirection (RFC 9110 §15.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedirectConfig {
    /// The URL.
    pub to: Template,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// Whether the query goes with it.
    pub query: KeepQuery,
}

/// Whether a redirection has the query of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepQuery {
    /// Behind its URL.
    Append,
    /// Only where the URL says it.
    AsWritten,
}

/// An answer that is always the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RespondConfig {
    /// 200 to 599.
    pub status: u16,
    /// What it says; empty: nothing.
    pub body: String,
    /// Of the body; `text/plain; charset=utf-8` unless it is written.
    pub content_type: String,
}

/// How long a request of a route may take; `None`: as elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouteTimeouts {
    /// As of the listener.
    pub request_body: Option<Duration>,
    /// As of the listener.
    pub idle: Option<Duration>,
    /// As of the listener.
    pub tunnel: Option<Duration>,
    /// As of the pool.
    pub response_head: Option<Duration>,
    /// As of the pool.
    pub queue: Option<Duration>,
}

/// How much a request of a route may send, and how often they may come; `None`: as elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteLimits {
    /// As of the listener.
    pub body_bytes: Option<u32>,
    /// As of the listener.
    pub body_rate: Option<u32>,
    /// As of the listener, key by key.
    pub rates: RequestRates,
}

/// `https_redirect`: what no route has goes to the same URL of `https`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpsRedirectConfig {
    /// 308 unless it is written.
    pub status: u16,
    /// 443 unless it is written.
    pub port: u16,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{NodeName, parse};

    fn unreachable_of(routes: &[&str]) -> Vec<(usize, usize)> {
        let routes: Vec<String> = routes
            .iter()
            .map(|it| format!("    - {{{it}}}\n"))
            .collect();
        let yaml = format!(
            "pools: {{p: {{backends: {{a: \"192.0.2.9:80\"}}}}}}\nlisteners:\n  http:\n    \
             bind: [\"192.0.2.1:80\"]\n    pool: p\n    routes:\n{}",
            routes.concat()
        );
        let config = parse("t.yaml", &yaml, NodeName::Given("lb1")).expect("it is right");
        unreachable(&config.listeners[0].routes)
    }

    #[test]
    fn unreachable_routes_follow_the_table() {
        for (earlier, later, hoped) in [
            ("pool: p", "path: /a, pool: p", true),
            ("path: /a, pool: p", "path: /a/b, pool: p", true),
            ("path: /a, pool: p", "path: /ab, pool: p", false),
            ("path: {exact: /a}, pool: p", "path: /a, pool: p", false),
            ("path: /a/, pool: p", "path: {exact: /a/b}, pool: p", true),
            (
                "host: \"*.a.org\", pool: p",
                "host: [b.a.org, \"*.c.a.org\"], pool: p",
                true,
            ),
            (
                "host: a.org, pool: p",
                "host: [a.org, b.org], pool: p",
                false,
            ),
            ("host: a.org, pool: p", "path: /, pool: p", false),
            ("method: [GET, HEAD], pool: p", "method: GET, pool: p", true),
            (
                "header: {X: true}, pool: p",
                "header: {x: \"1\"}, pool: p",
                true,
            ),
            (
                "header: {X: \"1\"}, pool: p",
                "header: {X: true}, pool: p",
                false,
            ),
            (
                "query: {a: true}, pool: p",
                "query: {a: \"1\"}, pool: p",
                true,
            ),
            (
                "client: 10.0.0.0/8, pool: p",
                "client: 10.1.0.0/16, redirect: /x",
                true,
            ),
            // Who is not let through by a route that answers is denied by it.
            ("allow: 10.0.0.0/8, pool: p", "path: /a, pool: p", true),
            ("path: /a, allow: 10.0.0.0/8", "path: /a, pool: p", false),
            ("path: /a, deny: 10.0.0.0/8", "path: /a, pool: p", false),
            ("path: /a, deny: all", "path: /a/b, pool: p", true),
            ("path: /a, deny: [0.0.0.0/0]", "path: /a, pool: p", false),
            (
                "path: /a, deny: [0.0.0.0/0, \"::/0\"]",
                "path: /a, pool: p",
                true,
            ),
            (
                "path: /a, deny: 10.0.0.0/8",
                "path: /a, client: 10.1.0.0/16, pool: p",
                true,
            ),
            (
                "path: /a, allow: 10.0.0.0/8",
                "path: /a, client: [192.0.2.0/24, \"2001:db8::/32\"], pool: p",
                true,
            ),
            (
                "path: /a, allow: 10.1.0.0/16",
                "path: /a, client: 10.0.0.0/8, pool: p",
                false,
            ),
        ] {
            let found = unreachable_of(&[earlier, later]);
            let hoped: &[(usize, usize)] = if hoped { &[(1, 0)] } else { &[] };
            assert_eq!(found, hoped, "{later} after {earlier}");
        }
    }

    #[test]
    fn the_first_that_has_all_requests_is_named() {
        let routes = [
            "path: /a, deny: all",
            "pool: p",
            "path: /a, pool: p",
            "pool: p",
        ];
        assert_eq!(unreachable_of(&routes), [(2, 0), (3, 1)]);
    }
}
