//! What must hold of the way of any request through routes: paths have one normal form, the keys of
//! a table lose no route, an edited head has the fields that were edited, and nothing else differs.
//! Shared by the corpus test and the fuzz target `http_route`.
//!
//! A fuzzer's input is lines: a path that a route asks for, the name of a field, a template, then a
//! request's head.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use evenkeel::logic::balance::route::{
    Access, Asked, Conditions, Found, Guard, HostPattern, PathPattern, Table,
};
use evenkeel::logic::http1::head::{FIELDS_MAX, HeadLimits, Slots};
use evenkeel::logic::http1::refusal::RequestRefusal;
use evenkeel::logic::http1::request::{RequestHead, Target};
use evenkeel::logic::http1::rewrite::edit::{Edits, FieldEdits, objection};
use evenkeel::logic::http1::rewrite::path::normalize;
use evenkeel::logic::http1::rewrite::template::{Template, TlsValues, Values};

/// Reads a fuzzer's input.
pub(crate) fn fuzz_route(input: &[u8]) {
    let mut parts = input.splitn(4, |&byte| byte == b'\n');
    let mut next = || parts.next().unwrap_or_default();
    let (pattern, name, template, head) = (next(), next(), next(), next());
    let (Ok(pattern), Ok(name), Ok(template)) = (
        std::str::from_utf8(pattern),
        std::str::from_utf8(name),
        std::str::from_utf8(template),
    ) else {
        return;
    };
    // No text is too odd.
    let _ = normalize(pattern);
    let mut slots = Slots::new();
    let Ok(Some(request)) = RequestHead::parse(head, &mut slots, &HeadLimits::default()) else {
        return;
    };
    let target = request.target.path();
    check_path(target);
    let Ok(path) = normalize(target) else {
        return;
    };
    let host = request.host.unwrap_or_default();
    check_table(pattern, host, path.matched());
    let values = Values {
        client: CLIENT,
        peer: SocketAddr::new(CLIENT, 4711),
        host,
        method: request.method.as_bytes(),
        path: path.matched().as_bytes(),
        query: path.query().as_bytes(),
        scheme: "http",
        // Worse than any name of a request.
        request_id: head,
        listener: "web",
        tls: TlsValues::default(),
        route: "1",
    };
    if objection(name).is_none()
        && let Ok(template) = Template::parse(template)
    {
        check_edits(name, &template, &values, &request, head);
    }
}

/// Panics where the normal form of a path is not its own, or leaves something to a backend that
/// reads leniently.
fn check_path(target: &str) {
    let Ok(path) = normalize(target) else {
        return;
    };
    let query = target.find('?').map_or("", |at| &target[at..]);
    assert_eq!(path.query(), query, "{target:?}");
    assert_eq!(normalize(&path.forwarded).as_ref(), Ok(&path), "{target:?}");
    if !target.starts_with('/') {
        return;
    }
    let (forwarded, matched) = (&path.forwarded[..path.path_len], path.matched());
    for text in [forwarded, matched] {
        let mut segments = text.split('/');
        let is_dots = |segment: &str| matches!(segment, "." | "..");
        assert!(text.starts_with('/'), "{target:?} became {text:?}");
        assert!(!text.contains("//"), "{target:?} became {text:?}");
        assert!(!segments.any(is_dots), "{target:?} became {text:?}");
    }
    for octet in [";", "%2f", "%2F", "%5c", "%5C", "%61"] {
        assert!(!matched.contains(octet), "{target:?} became {matched:?}");
    }
    let text = format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", path.forwarded);
    let mut slots = Slots::new();
    let again = RequestHead::parse(text.as_bytes(), &mut slots, &wide());
    let again = again.ok().flatten().map(|request| request.target);
    assert_eq!(again, Some(Target::Origin(&path.forwarded)), "{target:?}");
}

/// Panics where the keys of a table lose a route.
fn check_table(pattern: &str, host: &[u8], path: &str) {
    let asked = Asked {
        host,
        path,
        query: "",
        method: "GET",
        client: CLIENT,
        has_field: &|_, _| false,
    };
    let own = String::from_utf8_lossy(host).into_owned();
    let hosts = [
        HostPattern::Exact("a".to_owned()),
        HostPattern::Under("a".to_owned()),
        HostPattern::Exact(own),
    ];
    let begin = path.char_indices().nth(pattern.len() % 12);
    let begin = begin.map_or(path, |(at, _)| &path[..at]);
    let paths = [
        PathPattern::Exact(pattern.to_owned()),
        PathPattern::Prefix(pattern.to_owned()),
        PathPattern::Exact(begin.to_owned()),
        PathPattern::Prefix(begin.to_owned()),
        PathPattern::Exact(path.to_owned()),
    ];
    for host in hosts.map(|host| vec![host]).into_iter().chain([Vec::new()]) {
        for path in paths.iter().cloned().map(Some).chain([None]) {
            let conditions = Conditions {
                hosts: host.clone(),
                path,
                ..Conditions::default()
            };
            let hoped = match conditions.hold(&asked) {
                true => Found::Route(0),
                false => Found::None,
            };
            let shown = format!("{conditions:?} and {asked:?}");
            let table = Table::new([(conditions, Access::Everybody, Guard::Answers)]);
            assert_eq!(table.find(&asked), hoped, "{shown}");
        }
    }
}

/// Panics where an edited head has other fields than it should, or is none any more.
fn check_edits(
    name: &str,
    template: &Template,
    values: &Values<'_>,
    request: &RequestHead<'_, '_>,
    bytes: &[u8],
) {
    let field = || vec![(name.to_owned(), template.clone())];
    let remove = FieldEdits {
        remove: vec![name.to_owned()],
        ..FieldEdits::default()
    };
    let set = FieldEdits {
        set: field(),
        ..FieldEdits::default()
    };
    let add = FieldEdits {
        add: field(),
        ..FieldEdits::default()
    };
    let mut value = Vec::new();
    template.write(values, &mut value);
    let is_sent = value
        .iter()
        .all(|&byte| byte == b'\t' || !byte.is_ascii_control());
    let value = value.trim_ascii();
    let sent = (is_sent && !value.is_empty()).then_some((name, value));
    let all: Vec<(&str, &[u8])> = request
        .fields
        .all()
        .iter()
        .map(|it| (it.name, it.value))
        .collect();
    let others = all.iter().filter(|(it, _)| !it.eq_ignore_ascii_case(name));
    let others: Vec<_> = others.copied().collect();
    let head = &bytes[..request.len];
    // Empty lines before it are no part of the message that goes on.
    let head = head.trim_ascii_start();
    for (edits, mut hoped, count) in [
        (&remove, others.clone(), 0),
        (&set, others, 1),
        (&add, all.clone(), 1),
        (&add.followed_by(&add), all, 2),
    ] {
        hoped.extend(std::iter::repeat_n(sent, count).flatten());
        check_edited(&edits.of(values), head, request, &hoped);
    }
}

fn check_edited(edits: &Edits, head: &[u8], before: &RequestHead<'_, '_>, hoped: &[(&str, &[u8])]) {
    let mut edited = head.to_vec();
    edits.apply(&mut edited);
    let mut lines = edited.split(|&byte| byte == b'\n');
    // The first line, the fields, the empty line, and what is behind its end.
    assert_eq!(lines.clone().count(), hoped.len() + 3, "{}", shown(&edited));
    assert_eq!(lines.next(), head.split(|&byte| byte == b'\n').next());
    let mut slots = Slots::new();
    match RequestHead::parse(&edited, &mut slots, &wide()) {
        Ok(Some(after)) => {
            let fields = after.fields.all().iter().map(|it| (it.name, it.value));
            assert_eq!(fields.collect::<Vec<_>>(), hoped, "{}", shown(&edited));
            assert_eq!(after.len, edited.len(), "{}", shown(&edited));
            assert_eq!(after.framing, before.framing, "{}", shown(&edited));
        }
        // The only field with a meaning of its own that can be edited.
        Err(
            RequestRefusal::MaxForwards | RequestRefusal::OptionsEnd | RequestRefusal::TraceEnd,
        ) => {}
        other => panic!("{}: {other:?}", shown(&edited)),
    }
}

/// What is edited may have more fields than what came.
fn wide() -> HeadLimits {
    HeadLimits {
        fields: FIELDS_MAX,
        head_bytes: usize::MAX,
        target_bytes: usize::MAX,
    }
}

fn shown(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
