//! Errors in `error_pages` and `maintenance`.

use std::path::Path;

use evenkeel::config::{NodeName, Statuses, parse};
use insta::assert_snapshot;

use crate::{errors, listener};

/// Returns a file with these keys on line 9, in its listener.
fn with(lines: &str) -> String {
    listener(&format!(
        "bind: [\"192.0.2.1:80\"]\n    pool: farm\n    {lines}"
    ))
}

#[test]
fn only_errors_have_error_pages() {
    assert_snapshot!(errors(&with("error_pages: {200: /a, 99: /b, 5xy: /c, 3xx: /d, 503: /e, 4xx: /f}")), @r"
    error: `200` is no status that has an error page
     --> lb.yaml:9:19
      |
    9 |     error_pages: {200: /a, 99: /b, 5xy: /c, 3xx: /d, 503: /e, 4xx: /f}
      |                   ^^^
    help: write a status from 400 to 599, `4xx` or `5xx`

    error: `99` is no status that has an error page
     --> lb.yaml:9:28
      |
    9 |     error_pages: {200: /a, 99: /b, 5xy: /c, 3xx: /d, 503: /e, 4xx: /f}
      |                            ^^
    help: write a status from 400 to 599, `4xx` or `5xx`

    error: `5xy` is no status that has an error page
     --> lb.yaml:9:36
      |
    9 |     error_pages: {200: /a, 99: /b, 5xy: /c, 3xx: /d, 503: /e, 4xx: /f}
      |                                    ^^^
    help: did you mean `5xx`?

    error: `3xx` is no status that has an error page
     --> lb.yaml:9:45
      |
    9 |     error_pages: {200: /a, 99: /b, 5xy: /c, 3xx: /d, 503: /e, 4xx: /f}
      |                                             ^^^
    help: did you mean `4xx`?
    ");
}

#[test]
fn classes_are_written_small() {
    assert_snapshot!(errors(&with("error_pages: {5XX: /a}")), @r"
    error: `5XX` is no status that has an error page
     --> lb.yaml:9:19
      |
    9 |     error_pages: {5XX: /a}
      |                   ^^^
    help: did you mean `5xx`?
    ");
}

#[test]
fn a_status_has_one_page() {
    assert_snapshot!(errors(&with("error_pages: {503: /a, 503: /b}")), @r"
    error: `503` is here twice
     --> lb.yaml:9:28
      |
    9 |     error_pages: {503: /a, 503: /b}
      |                            ^^^
    help: keep one of the two
    ");
}

#[test]
fn the_path_of_a_page_is_absolute() {
    assert_snapshot!(errors(&with("error_pages: {503: 503.html, 404: 404}")), @r"
    error: `503.html` is not an absolute path
     --> lb.yaml:9:24
      |
    9 |     error_pages: {503: 503.html, 404: 404}
      |                        ^^^^^^^^
    help: write where the file is, from `/` on: `/etc/evenkeel/503.html`

    error: `404` must be the path of a file, not a number
     --> lb.yaml:9:39
      |
    9 |     error_pages: {503: 503.html, 404: 404}
      |                                       ^^^
    help: put it in quotes
    ");
}

#[test]
fn pages_are_named_one_by_one() {
    assert_snapshot!(errors(&with("error_pages: /etc/evenkeel/error.html")), @r"
    error: `error_pages` must be a map of files by status, not text
     --> lb.yaml:9:18
      |
    9 |     error_pages: /etc/evenkeel/error.html
      |                  ^^^^^^^^^^^^^^^^^^^^^^^^
    ");
}

#[test]
fn the_pages_of_all_listeners_are_held_to_the_same() {
    let text = with("trace: true");
    assert_snapshot!(errors(&format!("{text}proxy: {{error_pages: {{600: /a, 404: b}}}}\n")), @r"
    error: `600` is no status that has an error page
      --> lb.yaml:10:23
       |
    10 | proxy: {error_pages: {600: /a, 404: b}}
       |                       ^^^
    help: write a status from 400 to 599, `4xx` or `5xx`

    error: `b` is not an absolute path
      --> lb.yaml:10:37
       |
    10 | proxy: {error_pages: {600: /a, 404: b}}
       |                                     ^
    help: write where the file is, from `/` on: `/etc/evenkeel/503.html`
    ");
}

#[test]
fn what_maintenance_says_has_its_ranges() {
    let keys = "maintenance: {page: page.html, allow: [10.0.0.0/33], retry_after: 169h, on: true}";
    assert_snapshot!(errors(&with(keys)), @r#"
    error: `page.html` is not an absolute path
     --> lb.yaml:9:25
      |
    9 |     maintenance: {page: page.html, allow: [10.0.0.0/33], retry_after: 169h, on: true}
      |                         ^^^^^^^^^
    help: write where the file is, from `/` on: `/etc/evenkeel/503.html`

    error: `10.0.0.0/33` is neither an address nor a network
     --> lb.yaml:9:44
      |
    9 |     maintenance: {page: page.html, allow: [10.0.0.0/33], retry_after: 169h, on: true}
      |                                            ^^^^^^^^^^^
    help: write `192.0.2.1`, `10.0.0.0/8` or `"2001:db8::/32"`

    error: retry_after must be between 1s and 168h
     --> lb.yaml:9:71
      |
    9 |     maintenance: {page: page.html, allow: [10.0.0.0/33], retry_after: 169h, on: true}
      |                                                                       ^^^^

    error: unknown key `on`
     --> lb.yaml:9:77
      |
    9 |     maintenance: {page: page.html, allow: [10.0.0.0/33], retry_after: 169h, on: true}
      |                                                                             ^^
    help: known keys here: page, allow, retry_after
    "#);
}

#[test]
fn nobody_is_allowed_by_an_empty_list() {
    assert_snapshot!(errors(&with("maintenance: {allow: []}")), @r"
    error: `allow` must not be empty
     --> lb.yaml:9:26
      |
    9 |     maintenance: {allow: []}
      |                          ^
    ");
}

#[test]
fn a_listener_has_its_own_pages_and_those_of_all() {
    let text = with("error_pages: {503: /own/503, 404: /own/404}");
    let text = format!("{text}proxy: {{error_pages: {{503: /all/503, 5xx: /all/5xx}}}}\n");
    let config = parse("lb.yaml", &text, NodeName::Given("lb1")).expect("it is right");
    let pages = config.listeners[0].error_pages.0.iter();
    let pages: Vec<(Statuses, &Path)> = pages
        .map(|(statuses, page)| (*statuses, page.path.as_path()))
        .collect();
    let hoped = [
        (Statuses::One(404), "/own/404"),
        (Statuses::One(503), "/own/503"),
        (Statuses::Class(5), "/all/5xx"),
    ];
    assert_eq!(
        pages,
        hoped.map(|(statuses, path)| (statuses, Path::new(path)))
    );
}
