//! The key `affinity`.

use std::time::Duration;

use evenkeel::config::{CookieRules, SameSite, Secure};
use insta::assert_snapshot;

use crate::accepts::accepted;
use crate::{errors, pool};

fn cookie(rules: &str) -> String {
    pool(&format!("affinity: {{cookie: {{{rules}}}}}"))
}

fn rules(text: &str) -> CookieRules {
    let affinity = accepted(&cookie(text)).pools.remove(0).affinity;
    affinity.expect("there is a cookie")
}

#[test]
fn a_cookie_has_defaults_and_bounds() {
    assert_eq!(accepted(&pool("slow_start: 0s")).pools[0].affinity, None);
    let default = CookieRules::default();
    assert_eq!(rules(""), default);
    assert_eq!(rules("name: evenkeel"), default);
    let all = "name: s, path: /shop, secure: false, http_only: false, same_site: strict, \
               lifetime: 1s";
    let hoped = CookieRules {
        name: "s".to_owned(),
        path: "/shop".to_owned(),
        secure: Secure::Never,
        http_only: false,
        same_site: SameSite::Strict,
        lifetime: Some(Duration::from_secs(1)),
    };
    assert_eq!(rules(all), hoped);
    let most = rules("lifetime: 9600h, secure: true, same_site: none").lifetime;
    assert_eq!(most, Some(Duration::from_secs(400 * 24 * 3600)));
    let (long, path) = ("n".repeat(64), format!("/{}", "p".repeat(255)));
    let longest = rules(&format!("name: {long}, path: {path}"));
    assert_eq!((longest.name, longest.path), (long, path));
    for name in ["__Host-a", "__Secure-a", "__host-a"] {
        let found = rules(&format!("name: {name}, secure: true"));
        assert_eq!((&*found.name, found.secure), (name, Secure::Always));
    }
    let under = rules("name: __Secure-a, secure: true, path: /a");
    assert_eq!(under.path, "/a");
}

#[test]
fn affinity_is_a_cookie() {
    assert_snapshot!(errors(&pool("affinity: {}")), @r#"
    error: `affinity` has no `cookie`
     --> lb.yaml:6:5
      |
    6 |     affinity: {}
      |     ^^^^^^^^
    help: add `cookie: {name: evenkeel}`
    "#);
}

#[test]
fn affinity_is_no_word() {
    assert_snapshot!(errors(&pool("affinity: cookie")), @r#"
    error: affinity must be a map
     --> lb.yaml:6:15
      |
    6 |     affinity: cookie
      |               ^^^^^^
    help: write `affinity: {cookie: {name: evenkeel}}`
    "#);
}

#[test]
fn a_cookie_has_no_other_keys() {
    assert_snapshot!(errors(&cookie("httponly: true")), @r#"
    error: unknown key `httponly`
     --> lb.yaml:6:25
      |
    6 |     affinity: {cookie: {httponly: true}}
      |                         ^^^^^^^^
    help: did you mean `http_only`?
    "#);
}

#[test]
fn a_cookies_name_is_a_token() {
    assert_snapshot!(errors(&cookie("name: \"a b\"")), @r#"
    error: `a b` is no name of a cookie
     --> lb.yaml:6:31
      |
    6 |     affinity: {cookie: {name: "a b"}}
      |                               ^^^^^
    help: letters, digits, hyphens and underscores (RFC 6265 §4.1.1)
    "#);
}

#[test]
fn a_cookies_name_is_short() {
    assert_snapshot!(errors(&cookie(&format!("name: {}", "n".repeat(65)))), @r#"
    error: the name of a cookie has 64 bytes at most
     --> lb.yaml:6:31
      |
    6 |     affinity: {cookie: {name: nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn}}
      |                               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    help: every request has it: keep it short
    "#);
}

#[test]
fn a_path_begins_with_a_slash() {
    assert_snapshot!(errors(&cookie("path: shop")), @r#"
    error: path cannot be `shop`
     --> lb.yaml:6:31
      |
    6 |     affinity: {cookie: {path: shop}}
      |                               ^^^^
    help: write it from `/` on, without spaces and semicolons, in 256 bytes at most: `/shop`
    "#);
}

#[test]
fn a_path_has_no_semicolon() {
    assert_snapshot!(errors(&cookie("path: /a;b")), @r#"
    error: path cannot be `/a;b`
     --> lb.yaml:6:31
      |
    6 |     affinity: {cookie: {path: /a;b}}
      |                               ^^^^
    help: write it from `/` on, without spaces and semicolons, in 256 bytes at most: `/shop`
    "#);
}

#[test]
fn a_path_is_short() {
    let long = errors(&cookie(&format!("path: /{}", "p".repeat(256))));
    assert!(long.contains("in 256 bytes at most"), "{long}");
}

#[test]
fn secure_is_true_or_false() {
    assert_snapshot!(errors(&cookie("secure: auto")), @r#"
    error: `secure` must be true or false, not text
     --> lb.yaml:6:33
      |
    6 |     affinity: {cookie: {secure: auto}}
      |                                 ^^^^
    "#);
}

#[test]
fn http_only_is_true_or_false() {
    assert_snapshot!(errors(&cookie("http_only: 1")), @r#"
    error: `http_only` must be true or false, not a number
     --> lb.yaml:6:36
      |
    6 |     affinity: {cookie: {http_only: 1}}
      |                                    ^
    "#);
}

#[test]
fn same_site_is_a_word() {
    assert_snapshot!(errors(&cookie("same_site: strickt")), @r#"
    error: same_site cannot be `strickt`
     --> lb.yaml:6:36
      |
    6 |     affinity: {cookie: {same_site: strickt}}
      |                                    ^^^^^^^
    help: did you mean `strict`?
    "#);
}

#[test]
fn a_cookie_for_all_sites_is_secure() {
    assert_snapshot!(errors(&cookie("same_site: none")), @r#"
    error: a cookie for all sites is secure
     --> lb.yaml:6:36
      |
    6 |     affinity: {cookie: {same_site: none}}
      |                                    ^^^^
    help: write `secure: true`: browsers throw it away otherwise
    "#);
}

#[test]
fn a_lifetime_has_bounds() {
    assert_snapshot!(errors(&cookie("lifetime: 999ms")), @r#"
    error: lifetime must be between 1s and 9600h
     --> lb.yaml:6:35
      |
    6 |     affinity: {cookie: {lifetime: 999ms}}
      |                                   ^^^^^
    "#);
}

#[test]
fn a_lifetime_is_whole_seconds() {
    assert_snapshot!(errors(&cookie("lifetime: 1.5s")), @r#"
    error: lifetime must be whole seconds
     --> lb.yaml:6:35
      |
    6 |     affinity: {cookie: {lifetime: 1.5s}}
      |                                   ^^^^
    "#);
}

#[test]
fn a_name_that_says_secure_is_secure() {
    assert_snapshot!(errors(&cookie("name: __Secure-a, secure: false")), @r#"
    error: a cookie whose name begins with `__Host-` or `__Secure-` is secure
     --> lb.yaml:6:31
      |
    6 |     affinity: {cookie: {name: __Secure-a, secure: false}}
      |                               ^^^^^^^^^^
    help: write `secure: true`: browsers throw it away otherwise
    "#);
}

#[test]
fn a_name_of_one_host_has_the_whole_path() {
    assert_snapshot!(errors(&cookie("name: __HOST-a, path: /a")), @r#"
    error: a cookie whose name begins with `__Host-` or `__Secure-` is secure
     --> lb.yaml:6:31
      |
    6 |     affinity: {cookie: {name: __HOST-a, path: /a}}
      |                               ^^^^^^^^
    help: write `secure: true`: browsers throw it away otherwise

    error: a cookie whose name begins with `__Host-` has the path `/`
     --> lb.yaml:6:47
      |
    6 |     affinity: {cookie: {name: __HOST-a, path: /a}}
      |                                               ^^
    help: leave `path` out, or call it `__Secure-`
    "#);
}
