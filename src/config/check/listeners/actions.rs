//! What answers the requests of a route: a pool, another URL, a text.

use super::edits::template;
use super::names::known_pool;
use super::respond;
use crate::config::check::pools::Pools;
use crate::config::check::values::{flag, host, number_or};
use crate::config::file::Kind;
use crate::config::reader::{Fields, Value};
use crate::config::report::{Problems, shown};
use crate::config::{HttpsRedirectConfig, KeepQuery, RedirectConfig, Rewrite, RouteAction};
use crate::logic::http1::host::is_host;
use crate::logic::http1::rewrite::path::normalize;
use crate::logic::http1::rewrite::template::Template;

/// The actions, of which a route has one at most.
pub(super) const ACTIONS: &[&str] = &["pool", "redirect", "respond"];

/// Checks the action of a route.
pub(super) fn check(
    fields: &Fields<'_>,
    pools: Option<&Pools>,
    problems: &mut Problems,
) -> Option<RouteAction> {
    let named: Vec<Value<'_>> = ACTIONS.iter().filter_map(|key| fields.get(key)).collect();
    if let [_, second, ..] = named[..] {
        let message = "a route has one of `pool`, `redirect` and `respond`";
        problems.add_with_help(second.key, message, "keep one, or write a route for each");
    }
    let pool = fields
        .get("pool")
        .map(|value| check_pool(value, fields, pools, problems));
    let redirect = fields
        .get("redirect")
        .map(|value| check_redirect(value, problems));
    let respond = fields
        .get("respond")
        .map(|value| respond::check(value, "a route", problems));
    match (pool, redirect, respond) {
        (Some(pool), None, None) => pool,
        (None, Some(redirect), None) => redirect.map(RouteAction::Redirect),
        (None, None, Some(respond)) => respond.map(RouteAction::Respond),
        (None, None, None) if fields.first(&["allow", "deny"]).is_some() => Some(RouteAction::Pass),
        (None, None, None) => {
            let message = "this route does nothing";
            let help = "add `pool: NAME`, `redirect: URL` or `respond: {status: 200}`; or `allow` \
                        or `deny`, for whose networks a later route is looked for";
            problems.add_with_help(fields.key(), message, help);
            None
        }
        (Some(_), Some(_), _) | (Some(_), _, Some(_)) | (None, Some(_), Some(_)) => None,
    }
}

/// Checks `https_redirect` of a listener; `Some(None)`: there is none.
pub(super) fn check_https_redirect(
    fields: &Fields<'_>,
    problems: &mut Problems,
) -> Option<Option<HttpsRedirectConfig>> {
    let Some(value) = fields.get("https_redirect") else {
        return Some(None);
    };
    match &value.node.kind {
        Kind::Bool(false) => Some(None),
        Kind::Bool(true) => Some(Some(HttpsRedirectConfig {
            status: 308,
            port: 443,
        })),
        Kind::Map(_) => {
            let fields = value.fields(&["status", "port"], problems)?;
            let status = check_status(&fields, 308, &[301, 302, 307, 308], problems);
            let port = number_or(&fields, "port", 443, 1..=65_535, problems);
            Some(Some(HttpsRedirectConfig {
                status: status?,
                port: u16::try_from(port?).ok()?,
            }))
        }
        Kind::Null | Kind::Int(_) | Kind::Float(_) | Kind::Text(_) | Kind::List(_) => {
            value.expected("true, false or a map", problems);
            None
        }
    }
}

fn check_pool(
    value: Value<'_>,
    fields: &Fields<'_>,
    pools: Option<&Pools>,
    problems: &mut Problems,
) -> Option<RouteAction> {
    let pool = known_pool(value, pools.map(|pools| &*pools.names), problems);
    let rewrite = match fields.get("rewrite") {
        None => Some(Rewrite::default()),
        Some(value) => check_rewrite(value, problems),
    };
    Some(RouteAction::Pool {
        pool: pool?.to_owned(),
        rewrite: rewrite?,
    })
}

fn check_rewrite(value: Value<'_>, problems: &mut Problems) -> Option<Rewrite> {
    let fields = value.fields(&["host", "path"], problems)?;
    if fields.first(&["host", "path"]).is_none() {
        let message = "rewrite says neither `host` nor `path`";
        problems.add_with_help(value.key, message, "add one, or leave `rewrite` out");
        return None;
    }
    let host = match fields.get("host") {
        None => Some(None),
        Some(value) => host(value, problems).map(Some),
    };
    let path = match fields.get("path") {
        None => Some(None),
        Some(value) => check_path(value, problems).map(Some),
    };
    Some(Rewrite {
        host: host?,
        path: path?,
    })
}

/// What backends are asked for; its octets are the user's, but for what they would read otherwise.
fn check_path(value: Value<'_>, problems: &mut Problems) -> Option<String> {
    let path = value.text("a path", problems)?;
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"?#{}".contains(&byte);
    let mut help = PATH_HELP.to_owned();
    if path.starts_with('/') && path.bytes().all(is_plain) && path.len() <= PATH_BYTES_MAX {
        match normalize(path) {
            Ok(normal) if normal.forwarded == path => return Some(path.to_owned()),
            Ok(normal) => help = format!("write `{}`", normal.forwarded),
            Err(_) => {}
        }
    }
    let message = format!("path cannot be `{}`", shown(path));
    value.wrong_with_help(message, help, problems);
    None
}

fn check_redirect(value: Value<'_>, problems: &mut Problems) -> Option<RedirectConfig> {
    if !matches!(value.node.kind, Kind::Map(_)) {
        let is_open = matches!(&value.node.kind, Kind::Text(text) if ends_before_query(text));
        let query = if is_open {
            KeepQuery::Append
        } else {
            KeepQuery::AsWritten
        };
        return Some(RedirectConfig {
            to: check_target(value, query, problems)?,
            status: 302,
            query,
        });
    }
    let fields = value.fields(&["to", "status", "keep_query"], problems)?;
    let status = check_status(&fields, 302, &[301, 302, 303, 307, 308], problems);
    let to = fields.need("to", "\"https://example.org{path}\"", problems);
    let is_open = to.is_some_and(|to| to.as_text().is_some_and(ends_before_query));
    let query = flag(&fields, "keep_query", is_open, problems).map(|keep| match keep {
        true => KeepQuery::Append,
        false => KeepQuery::AsWritten,
    });
    let to = to.and_then(|to| check_target(to, query.unwrap_or(KeepQuery::AsWritten), problems));
    Some(RedirectConfig {
        to: to?,
        status: status?,
        query: query?,
    })
}

/// Returns whether a query can stand behind a URL.
fn ends_before_query(text: &str) -> bool {
    !text.contains(['?', '#']) && !text.contains("{query}")
}

fn check_target(value: Value<'_>, query: KeepQuery, problems: &mut Problems) -> Option<Template> {
    let text = value.text("a URL", problems)?;
    let template = template(value, text, problems)?;
    if let Some(help) = target_objection(text, query) {
        let message = format!("`{}` cannot be a URL to redirect to", shown(text));
        value.wrong_with_help(message, help, problems);
        return None;
    }
    Some(template)
}

/// A URL of `http` or `https`, or a path of this host; nothing that a client reads as another host
/// because of what a request says.
fn target_objection(text: &str, query: KeepQuery) -> Option<&'static str> {
    let is_written = |byte: u8| byte.is_ascii_graphic() && !b"\\\"<>^`|".contains(&byte);
    if text.len() > PATH_BYTES_MAX || !text.bytes().all(is_written) {
        return Some(
            "write spaces, quotes, backslashes and what is not ASCII as %20 and so on; at most \
             2048 bytes",
        );
    }
    if query == KeepQuery::Append && !ends_before_query(text) {
        return Some(
            "`keep_query` puts the query of the request behind it: let it end before `?`, `#` and \
             `{query}`, or leave `keep_query` out",
        );
    }
    let after_scheme = ["http://", "https://", "{scheme}://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme));
    // What may turn out empty keeps no slashes apart.
    let empty = ["{query}", "{request_id}", "{host}"];
    let shortest = empty.iter().fold(text.to_owned(), |text, placeholder| {
        text.replace(placeholder, "")
    });
    match after_scheme {
        Some(rest) if !is_authority(rest) => {
            Some("behind `://` stands a host: `https://example.org{path}`, `https://{host}{path}`")
        }
        None if !text.starts_with('/') => {
            Some("write a URL of http or https, or a path that begins with `/`")
        }
        None if shortest.starts_with("//") || shortest.starts_with("/{path}") => {
            Some("`//` leads to another host: write one `/`, or `https://{host}{path}`")
        }
        Some(_) | None => None,
    }
}

/// Whether a URL goes on with a host behind its scheme, whatever a request says.
fn is_authority(rest: &str) -> bool {
    let ends = ["/", "?", "#", "{path}", "{query}"];
    let end = ends.iter().filter_map(|end| rest.find(end)).min();
    let authority = rest[..end.unwrap_or(rest.len())].replace("{host}", "host");
    is_host(authority.as_bytes())
}

/// The status of a redirection: one of a few.
fn check_status(
    fields: &Fields<'_>,
    default: u16,
    known: &[u16],
    problems: &mut Problems,
) -> Option<u16> {
    let Some(value) = fields.get("status") else {
        return Some(default);
    };
    let status = match &value.node.kind {
        Kind::Int(number) => u16::try_from(*number).ok(),
        Kind::Null
        | Kind::Bool(_)
        | Kind::Float(_)
        | Kind::Text(_)
        | Kind::List(_)
        | Kind::Map(_) => None,
    };
    let status = status.filter(|status| known.contains(status));
    if status.is_none() {
        let known: Vec<String> = known.iter().map(ToString::to_string).collect();
        let message = format!("status must be one of {}", known.join(", "));
        let help = "308 for ever and 307 for now keep the method; 301 and 302 are their old forms";
        value.wrong_with_help(message, help, problems);
    }
    status
}

const PATH_HELP: &str = "write a path that begins with `/`, without query, placeholders, spaces \
                         and what is not ASCII; what a request has behind the route's own path \
                         follows it";

const PATH_BYTES_MAX: usize = 2048;
