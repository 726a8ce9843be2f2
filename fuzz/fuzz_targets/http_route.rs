//! Any target of a request, any text as a template, any field to be edited: what is matched is in
//! normal form, what is sent has that form already, and nothing that an administrator or a client
//! says ends a line.

#![no_main]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use evenkeel::logic::balance::route::{
    Access, Asked, Conditions, Found, Guard, PathPattern, Table,
};
use evenkeel::logic::http1::head::{HeadLimits, Slots};
use evenkeel::logic::http1::request::RequestHead;
use evenkeel::logic::http1::rewrite::edit::{FieldEdits, objection};
use evenkeel::logic::http1::rewrite::path::normalize;
use evenkeel::logic::http1::rewrite::template::{Template, Values};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (String, String, String)| {
    let (target, text, name) = input;
    let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut slots = Slots::new();
    let parsed = RequestHead::parse(request.as_bytes(), &mut slots, &HeadLimits::default());
    let Ok(Some(head)) = parsed else { return };
    let path = head.target.path();
    if !path.starts_with('/') {
        return;
    }
    let Ok(normal) = normalize(path) else { return };
    let again = normalize(&normal.forwarded).expect("a normal form has one");
    assert_eq!(
        (&again.forwarded, again.matched()),
        (&normal.forwarded, normal.matched())
    );
    let segments = normal.matched().split('/').skip(1);
    let last = segments.clone().count();
    for (index, segment) in segments.enumerate() {
        assert!(!matches!(segment, "." | "..") && (!segment.is_empty() || index + 1 == last));
    }
    let conditions = Conditions {
        path: Some(PathPattern::Exact(normal.matched().to_owned())),
        ..Conditions::default()
    };
    let table = Table::new([(conditions, Access::Everybody, Guard::Answers)]);
    let asked = Asked {
        host: head.host_name(),
        path: normal.matched(),
        query: normal.query(),
        method: head.method,
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        has_field: &|_, _| false,
    };
    assert_eq!(table.find(&asked), Found::Route(0));
    let Ok(template) = Template::parse(&text) else {
        return;
    };
    if objection(&name).is_some() {
        return;
    }
    let values = Values {
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        peer: SocketAddr::from(([127, 0, 0, 1], 1)),
        host: head.host_name(),
        method: head.method.as_bytes(),
        path: &normal.forwarded.as_bytes()[..normal.path_len],
        query: normal.query().as_bytes(),
        scheme: "http",
        request_id: b"0",
        listener: "l",
        route: "r",
    };
    let edits = FieldEdits {
        remove: Vec::new(),
        set: vec![(name.clone(), template)],
        add: Vec::new(),
    };
    let mut edited = request.into_bytes();
    let lines = edited.split(|&byte| byte == b'\n').count();
    edits.of(&values).apply(&mut edited);
    assert!(
        edited.split(|&byte| byte == b'\n').count() <= lines + 1,
        "one line, or none"
    );
    assert!(edited.ends_with(b"\r\n\r\n"));
});
