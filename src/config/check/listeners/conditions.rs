//! Which requests a route is for, and which clients: hosts, paths, methods, fields, parameters of
//! the query, networks.
//!
//! Conditions are kept in the form in which requests are compared: what could never be found in a
//! request is refused, with the form that can.

use std::net::{IpAddr, Ipv6Addr};

use crate::config::check::clients::check_network;
use crate::config::file::{Kind, NodeId};
use crate::config::reader::{Fields, Value, check_each};
use crate::config::report::{Problems, shown};
use crate::logic::balance::route::{
    Access, Conditions, FieldCondition, HostPattern, PathPattern, QueryCondition,
};
use crate::logic::http1::host::is_host;
use crate::logic::http1::names::is_odd;
use crate::logic::http1::rewrite::path::{PathRefusal, normalize};
use crate::model::Network;

/// Checks the conditions of a route.
pub(super) fn check(fields: &Fields<'_>, problems: &mut Problems) -> Option<Conditions> {
    let hosts = one_or_more(fields, "host", "hosts", problems, check_host);
    let names = one_or_more(fields, "sni", "names", problems, check_server_name);
    let path = match fields.get("path") {
        None => Some(None),
        Some(value) => check_path(value, problems).map(Some),
    };
    let methods = one_or_more(fields, "method", "methods", problems, check_method);
    let field_lines = one_or_more(fields, "header", "maps", problems, check_fields);
    let query = match fields.get("query") {
        None => Some(Vec::new()),
        Some(value) => check_query(value, problems),
    };
    let clients = networks(fields, "client", problems);
    Some(Conditions {
        hosts: [hosts?, names?].concat(),
        path: path?,
        methods: methods?,
        fields: field_lines?.concat(),
        query: query?,
        clients: clients?,
    })
}

/// Checks which clients a route lets through.
pub(super) fn check_access(fields: &Fields<'_>, problems: &mut Problems) -> Option<Access> {
    let (allow, deny) = (fields.get("allow"), fields.get("deny"));
    if let (Some(_), Some(deny)) = (allow, deny) {
        let message = "a route has `allow` or `deny`, not both";
        let help = "whoever is not allowed is denied: keep one, or write two routes, the first \
                    with `deny`";
        problems.add_with_help(deny.key, message, help);
        return None;
    }
    if allow.is_some() {
        return networks(fields, "allow", problems).map(Access::Only);
    }
    let Some(deny) = deny else {
        return Some(Access::Everybody);
    };
    match &deny.node.kind {
        Kind::Text(text) if text == "all" => Some(Access::Only(Vec::new())),
        Kind::Map(_) => {
            let fields = deny.fields(&["except"], problems)?;
            fields.need("except", "[192.0.2.0/24]", problems)?;
            networks(&fields, "except", problems).map(Access::Only)
        }
        Kind::Null
        | Kind::Bool(_)
        | Kind::Int(_)
        | Kind::Float(_)
        | Kind::Text(_)
        | Kind::List(_) => networks(fields, "deny", problems).map(Access::AllBut),
    }
}

/// Returns the name of a field of a head, which stands as a key or as a value.
pub(super) fn field_name(name: &str, at: NodeId, problems: &mut Problems) -> Option<String> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX || is_odd(name.as_bytes()) {
        let message = format!("`{}` is not the name of a field", shown(name));
        problems.add_with_help(at, message, "write letters, digits and `-`: `X-User`");
        return None;
    }
    Some(name.to_owned())
}

/// One value, or a list of them; nothing where the key is absent.
fn one_or_more<T>(
    fields: &Fields<'_>,
    key: &str,
    what: &str,
    problems: &mut Problems,
    check: fn(Value<'_>, &mut Problems) -> Option<T>,
) -> Option<Vec<T>> {
    let Some(value) = fields.get(key) else {
        return Some(Vec::new());
    };
    if !matches!(value.node.kind, Kind::List(_)) {
        return check(value, problems).map(|one| vec![one]);
    }
    let items = value.items(what, problems)?;
    check_each(items, |item| check(item, problems))
}

fn networks(fields: &Fields<'_>, key: &str, problems: &mut Problems) -> Option<Vec<Network>> {
    one_or_more(fields, key, "networks", problems, check_network)
}

fn check_host(value: Value<'_>, problems: &mut Problems) -> Option<HostPattern> {
    let text = value.text("a host", problems)?;
    let host = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let mut wrong = |help: String| {
        let message = format!("{} cannot be `{}`", value.name, shown(text));
        value.wrong_with_help(message, help, problems);
        None
    };
    if host == "*" {
        return wrong(format!(
            "leave `{0}` out of a route for every {0}",
            value.name
        ));
    }
    if let Some(rest) = host.strip_prefix('.') {
        return wrong(format!(
            "write `\"*.{}\"` for every name under it",
            shown(rest)
        ));
    }
    let bare = host.strip_prefix('[').unwrap_or(&host);
    let bare = bare.strip_suffix(']').unwrap_or(bare);
    if let Ok(address) = bare.parse::<Ipv6Addr>() {
        return Some(HostPattern::Exact(format!("[{address}]")));
    }
    let (under, name) = match host.strip_prefix("*.") {
        Some(name) => (true, name),
        None => (false, host.as_str()),
    };
    if name.len() > HOST_BYTES_MAX || !is_host(name.as_bytes()) || name.starts_with('.') {
        return wrong(HOST_HELP.to_owned());
    }
    let end = name.rfind(']').map_or(0, |end| end + 1);
    if let Some((without, _)) = name[end..].split_once(':') {
        let bare = format!("{}{without}", &name[..end]);
        let star = if under { "*." } else { "" };
        return wrong(format!(
            "routes look at hosts without their port: write `\"{star}{}\"`",
            shown(&bare)
        ));
    }
    Some(match under {
        true => HostPattern::Under(name.to_owned()),
        false => HostPattern::Exact(name.to_owned()),
    })
}

/// A name that a client of TLS may ask for (RFC 6066 §3): of a host, and no address.
fn check_server_name(value: Value<'_>, problems: &mut Problems) -> Option<HostPattern> {
    let pattern = check_host(value, problems)?;
    let (HostPattern::Exact(name) | HostPattern::Under(name)) = &pattern;
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    if bare.parse::<IpAddr>().is_ok() {
        let message = format!("no client of TLS asks for `{}`", shown(bare));
        let help = "addresses are no names (RFC 6066 §3); write a route without `sni` for those \
                    who ask for none";
        value.wrong_with_help(message, help, problems);
        return None;
    }
    Some(pattern)
}

/// A text is the beginning of paths; a map says which of the two it is.
fn check_path(value: Value<'_>, problems: &mut Problems) -> Option<PathPattern> {
    match &value.node.kind {
        Kind::Map(_) => {}
        Kind::List(_) => {
            value.wrong_with_help("a route has one path", "write a route for each", problems);
            return None;
        }
        Kind::Null | Kind::Bool(_) | Kind::Int(_) | Kind::Float(_) | Kind::Text(_) => {
            return normal_path(value, problems).map(PathPattern::Prefix);
        }
    }
    let fields = value.fields(&["exact", "prefix"], problems)?;
    match (fields.get("exact"), fields.get("prefix")) {
        (Some(exact), None) => normal_path(exact, problems).map(PathPattern::Exact),
        (None, Some(prefix)) => normal_path(prefix, problems).map(PathPattern::Prefix),
        (Some(_), Some(prefix)) => {
            let message = "path is either `exact` or `prefix`, not both";
            problems.add_with_help(prefix.key, message, "write a route for each");
            None
        }
        (None, None) => {
            let message = "path says neither `exact` nor `prefix`";
            let help = "write `path: /x` for what begins so, or `path: {exact: /x}`";
            problems.add_with_help(value.key, message, help);
            None
        }
    }
}

/// A path as those of requests are compared.
fn normal_path(value: Value<'_>, problems: &mut Problems) -> Option<String> {
    let path = value.text("a path", problems)?;
    let objection = if !path.starts_with('/') {
        Some(("a path begins with `/`", format!("write `/{path}`")))
    } else if let Some(at) = path.find('?') {
        let path = &path[..at];
        let help = format!("write `path: {path}`, and `query: {{name: value}}` beside it");
        Some(("a path ends before its query", help))
    } else if let Some(at) = path.find('#') {
        let help = format!(
            "clients keep what stands behind `#`: write `{}`",
            &path[..at]
        );
        Some(("no request has a fragment", help))
    } else if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        let help = "write spaces and what is not ASCII as %20 and so on".to_owned();
        Some(("that character is encoded in requests", help))
    } else if let Some(folder) = path.strip_suffix('*').filter(|rest| rest.ends_with('/')) {
        let help = format!("`path: {folder}` has all that is below it");
        Some(("a path has no wildcards", help))
    } else if path.len() > PATH_BYTES_MAX {
        let help = format!("a path has at most {PATH_BYTES_MAX} bytes");
        Some(("it is too long", help))
    } else {
        match normalize(path) {
            Ok(normal) if normal.matched() == path => None,
            Ok(normal) => {
                let help = format!("write `{}`", normal.matched());
                Some(("paths are compared in their normal form", help))
            }
            Err(error) => {
                let message = format!("path cannot be `{}`: {error}", shown(path));
                let help = match error {
                    PathRefusal::Ambiguous | PathRefusal::AboveRoot => {
                        "such a request is answered 400, before any route"
                    }
                    PathRefusal::Octet => "a percent sign that means itself is written `%25`",
                };
                value.wrong_with_help(message, help, problems);
                return None;
            }
        }
    };
    if let Some((why, help)) = objection {
        let message = format!("path cannot be `{}`: {why}", shown(path));
        value.wrong_with_help(message, shown_help(&help), problems);
        return None;
    }
    Some(path.to_owned())
}

/// A help repeats what was written: its control characters and endless lines must not.
fn shown_help(help: &str) -> String {
    let clean: String = help.chars().filter(|c| !c.is_control()).collect();
    match clean.char_indices().nth(HELP_CHARS_MAX) {
        Some((end, _)) => format!("{}...", &clean[..end]),
        None => clean,
    }
}

fn check_method(value: Value<'_>, problems: &mut Problems) -> Option<String> {
    let method = value.text("a method", problems)?;
    let known = METHODS.iter().find(|it| it.eq_ignore_ascii_case(method));
    let help = match known {
        Some(known) if known == &method => return Some(method.to_owned()),
        Some(known) => format!("the case of its letters matters: write `{known}`"),
        None if method.len() <= NAME_BYTES_MAX && is_token(method) => {
            return Some(method.to_owned());
        }
        None => "write `GET` or `[GET, HEAD]`".to_owned(),
    };
    let message = format!("method cannot be `{}`", shown(method));
    value.wrong_with_help(message, help, problems);
    None
}

/// RFC 9110 §5.6.2.
fn is_token(text: &str) -> bool {
    let is_in = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_in)
}

fn check_fields(value: Value<'_>, problems: &mut Problems) -> Option<Vec<FieldCondition>> {
    let pairs = value.pairs("values by field name", problems)?;
    check_each(pairs, |pair| {
        let name = field_name(pair.name, pair.key, problems);
        let value = wanted(pair, "a field", problems);
        if let Some(Some(value)) = &value
            && (value.trim() != value || value.chars().any(char::is_control))
        {
            let message = format!("no field has the value `{}`", shown(value));
            let help = "spaces around it and control characters are no part of a value";
            pair.wrong_with_help(message, help, problems);
            return None;
        }
        let (name, value) = (name?, value?);
        Some(FieldCondition { name, value })
    })
}

fn check_query(value: Value<'_>, problems: &mut Problems) -> Option<Vec<QueryCondition>> {
    let pairs = value.pairs("values by parameter", problems)?;
    check_each(pairs, |pair| {
        let wanted = wanted(pair, "a parameter", problems)?;
        let is_written = |text: &str| {
            let mut bytes = text.bytes();
            bytes.all(|byte| byte.is_ascii_graphic() && !b"&#".contains(&byte))
        };
        let name_is_wrong =
            pair.name.is_empty() || pair.name.contains('=') || !is_written(pair.name);
        let value_is_wrong = wanted.as_deref().is_some_and(|value| !is_written(value));
        if name_is_wrong || value_is_wrong {
            let message = format!(
                "no query has the parameter `{}`",
                shown(&match &wanted {
                    Some(value) => format!("{}={value}", pair.name),
                    None => pair.name.to_owned(),
                })
            );
            let help = "parameters are compared as they are written in requests: no spaces, `&` \
                        or `#`, but %20, %26 and %23";
            problems.add_with_help(pair.key, message, help);
            return None;
        }
        let name = pair.name.to_owned();
        Some(QueryCondition {
            name,
            value: wanted,
        })
    })
}

/// The value that is asked for; `Some(None)`: any, which is written `true`.
fn wanted(pair: Value<'_>, what: &str, problems: &mut Problems) -> Option<Option<String>> {
    match &pair.node.kind {
        Kind::Bool(true) => Some(None),
        Kind::Bool(false) => {
            let message = format!("a route cannot ask that {what} is absent");
            let help = "write an earlier route for requests that have it, or `\"false\"` for that \
                        value";
            pair.wrong_with_help(message, help, problems);
            None
        }
        Kind::Null
        | Kind::Int(_)
        | Kind::Float(_)
        | Kind::Text(_)
        | Kind::List(_)
        | Kind::Map(_) => {
            let text = pair.text("a text, or true for any", problems)?;
            Some(Some(text.to_owned()))
        }
    }
}

const HOST_HELP: &str = "write a name, `\"*.example.org\"` for every name under one, or an \
                         address; names of other alphabets as clients send them, `xn--...`";

/// The methods of RFC 9110 §9.3 and RFC 5789 that are relayed.
const METHODS: &[&str] = &[
    "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH",
];

const HELP_CHARS_MAX: usize = 160;
const HOST_BYTES_MAX: usize = 255;
const NAME_BYTES_MAX: usize = 64;
const PATH_BYTES_MAX: usize = 2048;
