//! What holds of the page whatever it shows: at a phone's width and a desk's, light and dark, with
//! a keyboard, and without JavaScript.

use evenkeel::ipc::control::Status;
use serde_json::json;

use super::axe;
use super::browser::{Browser, Scheme};

/// Looks at the page that is open in every way, and keeps pictures of that.
pub(super) fn look_at_it(browser: &Browser, name: &str) {
    for width in WIDTHS {
        for scheme in Scheme::ALL {
            browser.look(width, scheme);
            let scheme = scheme.word();
            // Before it is judged: who mends something wants to see it.
            browser.keep_picture(&format!("{name}-{width}-{scheme}"));
            let wide = browser.run(
                "const wide = document.documentElement.scrollWidth; return wide <= innerWidth ? \
                 [] : [wide, ...[...document.querySelectorAll('*')].filter((it) => \
                 it.getBoundingClientRect().right > innerWidth).map((it) => it.outerHTML.slice(0, \
                 100))]",
            );
            assert_eq!(wide, json!([]), "{name}: wider than {width} pixels");
            let faint = browser.run(include_str!("contrast.js"));
            assert_eq!(faint, json!([]), "{name}, {scheme}: contrast");
            axe::finds_nothing(browser, &format!("{name}, {width} pixels, {scheme}"));
        }
    }
}

/// Walks over the page with a keyboard: first comes the link over the head, and then everything
/// that can be used, each shown to be it.
pub(super) fn walk_over_it(browser: &Browser, url: &str) {
    browser.open(url);
    let mut met = Vec::new();
    let count = browser.run(&format!(
        "return document.querySelectorAll('{USED}').length"
    ));
    let count = count.as_u64().unwrap_or_default();
    assert!(count > 3, "something can be used: {count}");
    for _ in 0..count {
        browser.press(TAB);
        let here = browser.run(
            "const it = document.activeElement, style = getComputedStyle(it), box = \
             it.getBoundingClientRect(); return [`${it.tagName}.${it.className} \
             ${it.getAttribute('href') ?? it.name}`, style.outlineStyle !== 'none' && \
             parseFloat(style.outlineWidth) >= 2, box.left >= 0 && box.top >= 0 && box.bottom <= \
             innerHeight]",
        );
        assert_eq!(
            (&here[1], &here[2]),
            (&json!(true), &json!(true)),
            "{here} is seen"
        );
        met.push(here[0].to_string());
    }
    assert_eq!(met[0], "\"A.skip #main\"", "{met:?}");
    let used = met.len();
    met.sort();
    met.dedup();
    assert_eq!(met.len(), used, "each is met once: {met:?}");
    browser.open(url);
    browser.press(TAB);
    browser.press(ENTER);
    let at = browser.run("return location.hash");
    assert_eq!(at, "#main", "the link leads over the head");
}

/// Looks at the page without JavaScript: it says all that the status says, and as of when.
pub(super) fn read_it_without_scripts(browser: &Browser, url: &str, name: &str, status: &Status) {
    let switch = |off: bool| {
        browser.devtools(
            "Emulation.setScriptExecutionDisabled",
            json!({"value": off}),
        );
    };
    switch(true);
    browser.open(url);
    let text = browser.run("return document.body.innerText");
    let text = text.as_str().unwrap_or_default();
    assert!(text.contains("as of 2"), "no script has run: {text}");
    for fact in facts(status) {
        assert!(text.contains(&fact), "{name}: {fact} in {text}");
    }
    browser.look(WIDTHS[0], Scheme::Light);
    browser.keep_picture(&format!("{name}-{}-without-scripts", WIDTHS[0]));
    switch(false);
}

/// What a status says that does not change from one look to the next.
fn facts(status: &Status) -> Vec<String> {
    let mut facts = vec![status.node.clone(), status.version.clone()];
    facts.push(status.configuration.file.clone());
    facts.push(status.configuration.checksum.clone());
    facts.extend(status.processes.iter().map(|it| it.name.clone()));
    for router in &status.virtual_routers {
        facts.extend([
            router.name.to_string(),
            format!("{} vrid {}", router.interface, router.vrid),
            router.state.clone(),
            router.cause.clone(),
        ]);
        facts.extend(router.addresses.iter().map(ToString::to_string));
        facts.extend(router.active.iter().map(|it| it.address.to_string()));
        facts.extend(router.peers.iter().map(|it| it.address.to_string()));
    }
    for listener in &status.listeners {
        facts.push(listener.name.clone());
        facts.extend(listener.binds.iter().map(ToString::to_string));
        facts.extend(listener.routes.iter().map(|it| it.name.clone()));
        facts.extend(listener.certificates.iter().map(|it| it.file.clone()));
    }
    for pool in &status.pools {
        facts.push(pool.name.clone());
        for backend in &pool.backends {
            facts.extend([backend.name.clone(), backend.address.to_string()]);
            facts.extend([backend.state.clone(), backend.check.clone()]);
        }
    }
    facts
}

/// A phone's and a desk's.
pub(super) const WIDTHS: [u32; 2] = [390, 1280];
const USED: &str = "a[href], button, input, select";
/// Keys of WebDriver.
const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";
