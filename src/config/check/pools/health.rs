//! The key `health_check` of a pool.

use std::time::Duration;

use crate::config::check::values::{duration_or, flag, host, number_or};
use crate::config::file::Kind;
use crate::config::reader::{Fields, Value, check_each};
use crate::config::report::{Problems, shown};
use crate::config::{
    GrpcProbe, HealthCheckConfig, HttpProbe, ProbeConfig, ProbeKind, ProbeMethod, TcpProbe,
};
use crate::logic::http1::rewrite::edit;

/// Returns how the backends of a pool are probed, to which TLS is spoken or not.
pub(super) fn check(
    fields: &Fields<'_>,
    is_secure: bool,
    problems: &mut Problems,
) -> Option<HealthCheckConfig> {
    let Some(value) = fields.get("health_check") else {
        return Some(HealthCheckConfig::Probe(ProbeConfig {
            kind: ProbeKind::Tcp(TcpProbe::default()),
            interval: INTERVAL,
            interval_changing: INTERVAL,
            port: None,
            tls: true,
            timeout: INTERVAL,
            rise: RISE,
            fall: FALL,
        }));
    };
    match &value.node.kind {
        Kind::Text(text) if text == "none" => Some(HealthCheckConfig::None),
        Kind::Map(_) => check_probe(value, is_secure, problems).map(HealthCheckConfig::Probe),
        Kind::Null
        | Kind::Bool(_)
        | Kind::Int(_)
        | Kind::Float(_)
        | Kind::Text(_)
        | Kind::List(_) => {
            value.wrong_with_help("health_check must be a map or `none`", KIND_HELP, problems);
            None
        }
    }
}

fn check_probe(value: Value<'_>, is_secure: bool, problems: &mut Problems) -> Option<ProbeConfig> {
    let known = &[
        "http",
        "tcp",
        "grpc",
        "interval",
        "timeout",
        "rise",
        "fall",
        "interval_changing",
        "port",
        "tls",
    ];
    let fields = value.fields(known, problems)?;
    let kind = check_kind(&fields, problems);
    let interval = duration_or(&fields, "interval", INTERVAL, INTERVAL_MIN..=HOUR, problems);
    let default = interval.unwrap_or(INTERVAL);
    let range = INTERVAL_MIN..=HOUR;
    let changing = duration_or(&fields, "interval_changing", default, range, problems);
    let timeout = duration_or(&fields, "timeout", default, TIMEOUT_MIN..=HOUR, problems);
    let rise = number_or(&fields, "rise", RISE, 1..=COUNT_MAX, problems);
    let fall = number_or(&fields, "fall", FALL, 1..=COUNT_MAX, problems);
    let port = match fields.get("port") {
        None => Some(None),
        Some(value) => value.number(1, 65_535, problems).map(Some),
    };
    let tls = check_tls(&fields, is_secure, problems);
    Some(ProbeConfig {
        kind: kind?,
        interval: interval?,
        interval_changing: changing?,
        port: port?.and_then(|port| u16::try_from(port).ok()),
        tls: tls?,
        timeout: timeout?,
        rise: rise?,
        fall: fall?,
    })
}

/// The one of three that it is.
fn check_kind(fields: &Fields<'_>, problems: &mut Problems) -> Option<ProbeKind> {
    let kinds: [(_, Check); 3] = [
        ("http", check_http_probe),
        ("tcp", check_tcp_probe),
        ("grpc", check_grpc_probe),
    ];
    let found = kinds.map(|(key, check)| {
        let value = fields.get(key)?;
        Some((value.key, check(value, problems)))
    });
    let mut found = found.into_iter().flatten();
    let Some((_, kind)) = found.next() else {
        let message = "health_check says none of `http`, `tcp` and `grpc`";
        problems.add_with_help(fields.key(), message, KIND_HELP);
        return None;
    };
    if let Some((key, _)) = found.next() {
        let message = "health_check is one of `http`, `tcp` and `grpc`, not several";
        problems.add_with_help(key, message, "keep one; a pool has one health check");
        return None;
    }
    kind
}

type Check = fn(Value<'_>, &mut Problems) -> Option<ProbeKind>;

fn check_grpc_probe(value: Value<'_>, problems: &mut Problems) -> Option<ProbeKind> {
    let fields = value.fields(&["service", "host"], problems)?;
    let service = match fields.get("service") {
        None => Some(String::new()),
        Some(value) => check_service(value, problems),
    };
    let host = match fields.get("host") {
        None => Some(None),
        Some(value) => host(value, problems).map(Some),
    };
    Some(ProbeKind::Grpc(GrpcProbe {
        service: service?,
        host: host?,
    }))
}

/// The name of a service, with its package.
fn check_service(value: Value<'_>, problems: &mut Problems) -> Option<String> {
    let service = value.text("the name of a service", problems)?;
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
    if service.is_empty() || service.len() > SERVICE_BYTES_MAX || !service.bytes().all(is_name) {
        let message = format!("service cannot be `{}`", shown(service));
        let help = "1 to 255 letters, digits, `.`, `_`, `-` and `/`, as in \
                    `shop.v1.Orders`; without `service` the whole server is asked for";
        value.wrong_with_help(message, help, problems);
        return None;
    }
    Some(service.to_owned())
}

fn check_http_probe(value: Value<'_>, problems: &mut Problems) -> Option<ProbeKind> {
    let fields = value.fields(
        &["method", "path", "host", "expect", "headers", "body"],
        problems,
    )?;
    let method = match fields.get("method") {
        None => Some(ProbeMethod::Get),
        Some(value) => check_method(value, problems),
    };
    let path = match fields.get("path") {
        None => Some("/".to_owned()),
        Some(value) => check_path(value, problems),
    };
    let host = match fields.get("host") {
        None => Some(None),
        Some(value) => host(value, problems).map(Some),
    };
    let expect = match fields.get("expect") {
        None => Some(vec![(200, 399)]),
        Some(value) => check_expect(value, problems),
    };
    let headers = match fields.get("headers") {
        None => Some(Vec::new()),
        Some(value) => check_headers(value, problems),
    };
    let body = match fields.get("body") {
        None => Some(None),
        Some(value) => check_text(value, problems).map(Some),
    };
    if let (Some(ProbeMethod::Head), Some(body)) = (method, fields.get("body")) {
        let message = "an answer to HEAD has no `body`";
        problems.add_with_help(
            body.key,
            message,
            "write `method: GET`, or leave `body` out",
        );
        return None;
    }
    Some(ProbeKind::Http(HttpProbe {
        method: method?,
        path: path?,
        host: host?,
        headers: headers?,
        expect: expect?,
        body: body?,
    }))
}

fn check_method(value: Value<'_>, problems: &mut Problems) -> Option<ProbeMethod> {
    let text = value.text("GET or HEAD", problems)?;
    match text {
        "GET" => Some(ProbeMethod::Get),
        "HEAD" => Some(ProbeMethod::Head),
        other => {
            let message = format!("method cannot be `{}`", shown(other));
            value.wrong_with_help(message, "write `GET` or `HEAD`", problems);
            None
        }
    }
}

/// A target in origin form (RFC 9112 §3.2.1); escapes are the user's.
fn check_path(value: Value<'_>, problems: &mut Problems) -> Option<String> {
    let path = value.text("a path", problems)?;
    let printable = path.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
    if !path.starts_with('/') || !printable || path.len() > PATH_BYTES_MAX {
        let message = format!("path cannot be `{}`", shown(path));
        let help = "a path begins with `/` and has no spaces, control or non-ASCII characters, \
                    nor `#`; write those as %20 and so on";
        value.wrong_with_help(message, help, problems);
        return None;
    }
    Some(path.to_owned())
}

/// One status, a range of them, or a list of both.
fn check_expect(value: Value<'_>, problems: &mut Problems) -> Option<Vec<(u16, u16)>> {
    if !matches!(value.node.kind, Kind::List(_)) {
        return check_statuses(value, problems).map(|range| vec![range]);
    }
    let items = value.items("statuses", problems)?;
    check_each(items, |item| check_statuses(item, problems))
}

fn check_statuses(value: Value<'_>, problems: &mut Problems) -> Option<(u16, u16)> {
    let range = match &value.node.kind {
        Kind::Int(status) => u16::try_from(*status).ok().map(|status| (status, status)),
        Kind::Text(text) => {
            let (from, to) = text.split_once('-').unwrap_or((text, text));
            from.trim().parse().ok().zip(to.trim().parse().ok())
        }
        Kind::Null | Kind::Bool(_) | Kind::Float(_) | Kind::List(_) | Kind::Map(_) => None,
    };
    let range = range.filter(|(from, to)| 200 <= *from && from <= to && *to <= 599);
    if range.is_none() {
        let message = "expect must be statuses between 200 and 599";
        value.wrong_with_help(
            message,
            "write 200, \"200-399\" or [200, \"300-399\"]",
            problems,
        );
    }
    range
}

/// Whether TLS is spoken, which needs to be known of the pool.
fn check_tls(fields: &Fields<'_>, is_secure: bool, problems: &mut Problems) -> Option<bool> {
    let tls = flag(fields, "tls", true, problems)?;
    if let Some(value) = fields.get("tls")
        && tls
        && !is_secure
    {
        let message = "`tls` of the health check is that of the pool, which has none";
        let help = "add `tls: true` to the pool, or take this out";
        problems.add_with_help(value.key, message, help);
        return None;
    }
    Some(tls)
}

fn check_tcp_probe(value: Value<'_>, problems: &mut Problems) -> Option<ProbeKind> {
    let fields = value.fields(&["send", "receive"], problems)?;
    let mut text = |key| match fields.get(key) {
        None => Some(String::new()),
        Some(value) => check_text(value, problems),
    };
    let (send, receive) = (text("send"), text("receive"));
    Some(ProbeKind::Tcp(TcpProbe {
        send: send?,
        receive: receive?,
    }))
}

/// What is sent, or must come.
fn check_text(value: Value<'_>, problems: &mut Problems) -> Option<String> {
    let text = value.text("a text", problems)?;
    if text.is_empty() || text.len() > TEXT_BYTES_MAX {
        let message = format!("{} must be 1 to {TEXT_BYTES_MAX} bytes", value.name);
        let help = "leave it out where it is nothing; in double quotes YAML reads \\r\\n";
        value.wrong_with_help(message, help, problems);
        return None;
    }
    Some(text.to_owned())
}

/// The fields of a request, by name.
fn check_headers(value: Value<'_>, problems: &mut Problems) -> Option<Vec<(String, String)>> {
    let entries = value.pairs("values by the names of fields", problems)?;
    if entries.len() > HEADERS_MAX {
        let message = format!("more than {HEADERS_MAX} headers");
        value.wrong_with_help(message, "keep those that the answer depends on", problems);
        return None;
    }
    check_each(entries, |entry| {
        let objection = match entry.name.eq_ignore_ascii_case("host") {
            true => Some("say `host: NAME` beside `headers`"),
            false => edit::objection(entry.name),
        };
        if let Some(why) = objection {
            let message = format!("no probe has a field `{}`", shown(entry.name));
            problems.add_with_help(entry.key, message, why);
            return None;
        }
        let text = entry.text("the value of a field", problems)?;
        let is_written = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if !is_written || text.trim() != text || text.is_empty() || text.len() > TEXT_BYTES_MAX {
            let message = format!("`{}` cannot be the value of a field", shown(text));
            let help = "1 to 1024 letters, digits and signs of ASCII, without spaces around them";
            entry.wrong_with_help(message, help, problems);
            return None;
        }
        Some((entry.name.to_owned(), text.to_owned()))
    })
}

const KIND_HELP: &str = "write `{tcp: {}}`, `{http: {path: /}}`, `{grpc: {}}` or `none`";

const INTERVAL: Duration = Duration::from_secs(1);
const INTERVAL_MIN: Duration = Duration::from_millis(10);
const TIMEOUT_MIN: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);
const RISE: u32 = 2;
const FALL: u32 = 2;
const COUNT_MAX: u32 = 100;
const PATH_BYTES_MAX: usize = 2048;
const TEXT_BYTES_MAX: usize = 1024;
const HEADERS_MAX: usize = 20;
const SERVICE_BYTES_MAX: usize = 255;
