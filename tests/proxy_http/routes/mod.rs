//! Routes: which is taken, what it changes, and what the proxy answers itself.

mod actions;
mod choice;
mod edits;

use evenkeel::config::{self, Config, ListenerConfig, NodeName};

use crate::common::Backend;
use crate::rig::{Rig, setup};

/// A proxy whose listener has these keys, and pools `one` and `two`.
fn routed(keys: &str, one: &Backend, two: &Backend) -> Rig {
    let config = config(keys, one, two);
    let mut setup = setup(&[]);
    setup.config.pools = config.pools;
    let listener = config.listeners.into_iter().next().unwrap();
    setup.listener(|it| adopt(it, listener)).start()
}

/// Takes over all but where and how long.
fn adopt(it: &mut ListenerConfig, of: ListenerConfig) {
    it.routes = of.routes;
    it.https_redirect = of.https_redirect;
    it.pool = of.pool;
    it.request_fields = of.request_fields;
    it.response_fields = of.response_fields;
    it.forwarding = of.forwarding;
}

fn config(keys: &str, one: &Backend, two: &Backend) -> Config {
    let yaml = format!(
        "listeners:\n  http:\n    bind: [\"127.0.0.1:1\"]\n{keys}\npools:\n  one:\n    \
         backends: {{a: \"{}\"}}\n    health_check: none\n  two:\n    \
         backends: {{b: \"{}\"}}\n    health_check: none\n",
        one.address, two.address
    );
    let parsed = config::parse("test.yaml", &yaml, NodeName::Given("lb1"));
    parsed.unwrap_or_else(|errors| panic!("{errors}\n{yaml}"))
}

/// Returns a request of a host for a target.
fn get(host: &str, target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")
}
