//! axe-core, which knows the rules of accessibility, where `netns-tests/axe` has fetched it.
//!
//! It is run from outside the page, so that the policy of the page stays as it is.

use std::fs;

use serde_json::{Value, json};

use super::browser::Browser;

/// Fails with what axe-core finds in the page that is open, where it is told where axe-core is.
pub(super) fn finds_nothing(browser: &Browser, what: &str) {
    if let Some(path) = std::env::var_os(PATH) {
        let source = fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{PATH} is {}: {error}", path.display()));
        browser.run(&source);
        // Whether it finds anything at all: a picture without a text.
        browser.run(
            "document.body.append(new Image(9, 9)); document.body.lastChild.src = '/icon.svg'",
        );
        let planted = ask(browser, "document.body.lastChild");
        assert_eq!(planted["violations"][0][0], "image-alt", "{planted}");
        browser.run("document.body.lastChild.remove()");
        let found = ask(browser, "document");
        assert_eq!(found["violations"], json!([]), "{what}");
        println!(
            "axe-core finds nothing: {what}, {} rules passed",
            found["passes"]
        );
    }
}

/// Returns what it says of a part of the page, as the script names it.
fn ask(browser: &Browser, part: &str) -> Value {
    browser.run_async(&format!(
        "axe.run({part}, {{resultTypes: ['violations']}}).then((it) => done({{passes: \
         it.passes.length, violations: it.violations.map((rule) => [rule.id, rule.help, \
         ...rule.nodes.slice(0, 5).map((node) => node.html)])}}), (error) => done({{violations: \
         String(error)}}))"
    ))
}

/// Where `axe.min.js` is.
const PATH: &str = "EVENKEEL_AXE";
