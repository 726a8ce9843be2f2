//! The key `fallback`.

use evenkeel::config::{Fallback, RespondConfig};
use insta::assert_snapshot;

use crate::accepts::accepted;
use crate::{errors, pool};

/// Returns a file of pools with these fallbacks.
fn pools(fallbacks: &[(&str, &str)]) -> String {
    let mut text = "listeners:\n  http: {bind: [\"127.0.0.1:80\"], pool: a}\npools:\n".to_owned();
    for (name, fallback) in fallbacks {
        let fallback = match *fallback {
            "" => String::new(),
            fallback => format!(", fallback: {fallback}"),
        };
        text += &format!("  {name}: {{backends: {{b: \"192.0.2.10:80\"}}{fallback}}}\n");
    }
    text
}

#[test]
fn a_fallback_is_a_pool_or_an_answer() {
    let respond = "{respond: {status: 503, body: soon}}";
    let text = pools(&[
        ("a", "b"),
        ("b", "c"),
        ("c", respond),
        ("d", "b"),
        ("e", ""),
    ]);
    let config = accepted(&text);
    let found: Vec<_> = config
        .pools
        .iter()
        .map(|pool| pool.fallback.clone())
        .collect();
    let to = |name: &str| Some(Fallback::Pool(name.to_owned()));
    let respond = Some(Fallback::Respond(RespondConfig {
        status: 503,
        body: "soon".to_owned(),
        content_type: "text/plain; charset=utf-8".to_owned(),
    }));
    assert_eq!(found, [to("b"), to("c"), respond, to("b"), None]);
    assert_eq!(config.pools_behind(&config.listeners[0]), ["a", "b", "c"]);
}

#[test]
fn a_fallback_is_no_number() {
    assert_snapshot!(errors(&pool("fallback: 503")), @r#"
    error: fallback must be the name of a pool or a map
     --> lb.yaml:6:15
      |
    6 |     fallback: 503
      |               ^^^
    help: write `fallback: NAME` or `fallback: {respond: {status: 503}}`
    "#);
}

#[test]
fn a_fallback_is_there() {
    assert_snapshot!(errors(&pools(&[("a", "spar"), ("spare", "")])), @r#"
    error: there is no pool `spar`
     --> lb.yaml:4:49
      |
    4 |   a: {backends: {b: "192.0.2.10:80"}, fallback: spar}
      |                                                 ^^^^
    help: did you mean `spare`?
    "#);
}

#[test]
fn fallbacks_do_not_go_round_in_a_circle() {
    assert_snapshot!(errors(&pools(&[("a", "a")])), @r#"
    error: these fallbacks go round in a circle: a, a
     --> lb.yaml:4:49
      |
    4 |   a: {backends: {b: "192.0.2.10:80"}, fallback: a}
      |                                                 ^
    help: the last of them has none, or responds
    "#);
    let found = errors(&pools(&[("a", "b"), ("b", "c"), ("c", "b")]));
    assert!(found.contains("circle: b, c, b"), "{found}");
    assert!(found.contains("circle: c, b, c"), "{found}");
    assert!(!found.contains("circle: a"), "{found}");
}

#[test]
fn fallbacks_in_a_row_are_few() {
    let four = [("a", "b"), ("b", "c"), ("c", "d"), ("d", "e"), ("e", "")];
    accepted(&pools(&four));
    let five = [
        ("a", "b"),
        ("b", "c"),
        ("c", "d"),
        ("d", "e"),
        ("e", "f"),
        ("f", ""),
    ];
    let found = errors(&pools(&five));
    assert!(
        found.contains("more than 4 fallbacks in a row: a, b, c, d, e, f"),
        "{found}"
    );
}

#[test]
fn an_answer_of_a_pool_is_one() {
    for (text, hoped) in [
        ("{}", "has no `respond`"),
        ("{respond: {}}", "has no `status`"),
        ("{respond: {status: 304}}", "a pool cannot respond 304"),
        (
            "{respond: {status: 204, body: x}}",
            "status 204 has no body",
        ),
        ("{redirect: /x}", "unknown key `redirect`"),
    ] {
        let found = errors(&pool(&format!("fallback: {text}")));
        assert!(found.contains(hoped), "{text}: {found}");
    }
}

#[test]
fn a_listener_does_not_ask_itself_by_a_fallback() {
    let text = pools(&[("a", "b"), ("b", "")]);
    let own = text.replacen("127.0.0.1:80", "192.0.2.11:80", 1);
    let own = own.replace(
        "b: {backends: {b: \"192.0.2.10:80\"}",
        "b: {backends: {b: \"192.0.2.11:80\"}",
    );
    let found = errors(&own);
    assert!(
        found.contains("is where listener `http` itself listens"),
        "{found}"
    );
}

#[test]
fn the_pool_that_has_the_answers_is_one_that_there_is() {
    assert_snapshot!(errors(&pool("reproxy: webfram")), @r"
    error: there is no pool `webfram`
     --> lb.yaml:6:14
      |
    6 |     reproxy: webfram
      |              ^^^^^^^
    help: these are there: farm
    ");
    assert_snapshot!(errors(&pool("reproxy: {pool: webfarm}")), @r"
    error: `reproxy` must be the name of a pool, not a map
     --> lb.yaml:6:14
      |
    6 |     reproxy: {pool: webfarm}
      |              ^
    ");
}

/// It is asked for what requests want, whoever is in front of it.
#[test]
fn a_pool_that_carries_bytes_has_no_answers() {
    let text = "\
listeners:
  http: {bind: [\"192.0.2.1:80\"], pool: app}
  db: {bind: [\"192.0.2.1:5432\"], mode: tcp, pool: files}
pools:
  app: {backends: {a: \"192.0.2.10:80\"}, reproxy: files}
  files: {backends: {a: \"192.0.2.11:80\"}}
";
    assert_snapshot!(errors(text), @r#"
    error: the pool is behind `db`, which carries TCP, and behind `http`, which carries HTTP
     --> lb.yaml:6:3
      |
    6 |   files: {backends: {a: "192.0.2.11:80"}}
      |   ^^^^^
    help: write a pool for each: backends are spoken to in one way
    "#);
}
