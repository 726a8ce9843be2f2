//! The routes of a listener, in the order in which they are looked at.

use std::collections::HashSet;
use std::time::Duration;

use super::actions::{self, ACTIONS};
use super::{conditions, edits, rates, tcp};
use crate::config::check::pools::Pools;
use crate::config::check::values::{duration, number_or};
use crate::config::file::Kind;
use crate::config::reader::{Fields, Value, check_each, name_objection};
use crate::config::report::{Problems, shown};
use crate::config::{Mode, RouteAction, RouteConfig, RouteLimits, RouteTimeouts};
use crate::logic::http1::rewrite::edit::FieldEdits;

/// What routes have of their listener and of the file.
#[derive(Debug)]
pub(super) struct Around<'a> {
    /// What is edited of requests, before a route's own edits.
    pub(super) request_fields: FieldEdits,
    /// What is edited of responses, likewise.
    pub(super) response_fields: FieldEdits,
    /// What the listener carries.
    pub(super) mode: Mode,
    /// `None` where the section is no map at all.
    pub(super) pools: Option<&'a Pools>,
}

/// Checks the routes of a listener; none where the key is absent.
pub(super) fn check(
    fields: &Fields<'_>,
    around: &Around<'_>,
    problems: &mut Problems,
) -> Option<Vec<RouteConfig>> {
    let Some(value) = fields.get("routes") else {
        return Some(Vec::new());
    };
    let items = value.items("routes", problems)?;
    if items.len() > ROUTES_MAX {
        let message = format!(
            "a listener has at most {ROUTES_MAX} routes, not {}",
            items.len()
        );
        let help = "one route can have many hosts; backends can route further";
        value.wrong_with_help(message, help, problems);
        return None;
    }
    let mut names = HashSet::new();
    let mut place = 0_usize;
    check_each(items, |item| {
        place += 1;
        check_route(item, place, around, &mut names, problems)
    })
}

fn check_route<'a>(
    item: Value<'a>,
    place: usize,
    around: &Around<'_>,
    names: &mut HashSet<&'a str>,
    problems: &mut Problems,
) -> Option<RouteConfig> {
    if !matches!(item.node.kind, Kind::Map(_)) {
        let message = format!("a route is a map, not {}", item.node.kind.describe());
        item.wrong_with_help(message, "write `- {path: /api/, pool: NAME}`", problems);
        return None;
    }
    let fields = item.fields(KEYS, problems)?;
    let name = match fields.get("name") {
        None => Some(place.to_string()),
        Some(value) => check_name(value, names, problems),
    };
    tcp::check_route(&fields, around.mode, problems);
    let when = conditions::check(&fields, problems);
    let access = conditions::check_access(&fields, problems);
    let action = actions::check(&fields, around.pools, problems);
    check_company(&fields, problems);
    let request_fields = edits::check(&fields, "request_headers", problems);
    let response_fields = edits::check(&fields, "response_headers", problems);
    let timeouts = check_timeouts(&fields, problems);
    let limits = check_limits(&fields, problems);
    let priority = rates::check_priority(&fields, problems);
    let action = action?;
    Some(RouteConfig {
        name: name?,
        when: when?,
        access: access?,
        request_fields: match action {
            RouteAction::Pool { .. } => around.request_fields.followed_by(&request_fields?),
            RouteAction::Redirect(_) | RouteAction::Respond(_) | RouteAction::Pass => {
                FieldEdits::default()
            }
        },
        response_fields: around.response_fields.followed_by(&response_fields?),
        action,
        timeouts: timeouts?,
        limits: limits?,
        priority: priority?,
    })
}

/// A name that no place in the list has.
fn check_name<'a>(
    value: Value<'a>,
    names: &mut HashSet<&'a str>,
    problems: &mut Problems,
) -> Option<String> {
    let is_number = match &value.node.kind {
        Kind::Int(_) => true,
        Kind::Text(text) => !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()),
        Kind::Null | Kind::Bool(_) | Kind::Float(_) | Kind::List(_) | Kind::Map(_) => false,
    };
    if is_number {
        let message = "the name of a route is not a number";
        let help = "numbers are the places of routes without a name; give it a letter";
        value.wrong_with_help(message, help, problems);
        return None;
    }
    let name = value.text("a name", problems)?;
    if let Some(help) = name_objection(name) {
        let message = format!("`{}` cannot be a name", shown(name));
        value.wrong_with_help(message, help, problems);
        return None;
    }
    if !names.insert(name) {
        let message = format!("another route of this listener is `{}`", shown(name));
        value.wrong_with_help(message, "give each a name of its own", problems);
        return None;
    }
    Some(name.to_owned())
}

/// Complains about what has no effect beside the action of a route.
fn check_company(fields: &Fields<'_>, problems: &mut Problems) {
    if fields.get("pool").is_some() {
        return;
    }
    for value in OF_POOLS.iter().filter_map(|key| fields.get(key)) {
        let message = format!("`{}` is for routes with a `pool`", value.name);
        let help = "add `pool: NAME`, or leave it out: nothing is sent to a backend here";
        problems.add_with_help(value.key, message, help);
    }
    if fields.first(ACTIONS).is_none()
        && let Some(value) = fields.get("response_headers")
    {
        let message = "`response_headers` is for routes that answer";
        let help = "put it into the later routes, or into the listener";
        problems.add_with_help(value.key, message, help);
    }
}

fn check_timeouts(fields: &Fields<'_>, problems: &mut Problems) -> Option<RouteTimeouts> {
    let Some(value) = fields.get("timeouts") else {
        return Some(RouteTimeouts::default());
    };
    let keys = &["request_body", "idle", "tunnel", "response_head", "queue"];
    let fields = value.fields(keys, problems)?;
    let mut read = |key: &str, max: Duration| match fields.get(key) {
        None => Some(None),
        Some(value) => duration(value, TIMEOUT_MIN..=max, problems).map(Some),
    };
    let request_body = read("request_body", HOUR);
    let idle = read("idle", DAY);
    let tunnel = read("tunnel", DAY);
    let response_head = read("response_head", DAY);
    let queue = read("queue", HOUR);
    Some(RouteTimeouts {
        request_body: request_body?,
        idle: idle?,
        tunnel: tunnel?,
        response_head: response_head?,
        queue: queue?,
    })
}

fn check_limits(fields: &Fields<'_>, problems: &mut Problems) -> Option<RouteLimits> {
    let Some(value) = fields.get("limits") else {
        return Some(RouteLimits::default());
    };
    let keys = &["body_bytes", "body_rate", "requests", "requests_per_client"];
    let fields = value.fields(keys, problems)?;
    let mut read = |key: &str, min: u32| match fields.get(key) {
        None => Some(None),
        Some(_) => number_or(&fields, key, min, min..=u32::MAX, problems).map(Some),
    };
    let body_bytes = read("body_bytes", 1);
    let body_rate = read("body_rate", 0);
    let rates = rates::check_requests(&fields, problems);
    Some(RouteLimits {
        body_bytes: body_bytes?,
        body_rate: body_rate?,
        rates: rates?,
    })
}

const KEYS: &[&str] = &[
    "name",
    "sni",
    "host",
    "path",
    "method",
    "header",
    "query",
    "client",
    "allow",
    "deny",
    "pool",
    "redirect",
    "respond",
    "rewrite",
    "request_headers",
    "response_headers",
    "timeouts",
    "limits",
    "priority",
];

/// What only requests to backends have.
const OF_POOLS: &[&str] = &[
    "rewrite",
    "request_headers",
    "timeouts",
    "limits",
    "priority",
];

/// All are looked at one by one.
const ROUTES_MAX: usize = 1000;

const TIMEOUT_MIN: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
