//! What is to be known of the cookies by which sessions stay on their backend.

use crate::config::{Config, ListenerConfig, PoolConfig};

/// Returns the notes; empty where there are none.
pub(super) fn describe(config: &Config) -> String {
    let of_listeners = config.listeners.iter();
    let of_listeners = of_listeners.flat_map(|listener| shared_cookies(config, listener));
    let notes = what_is_lost(config).into_iter().chain(of_listeners);
    notes.map(|note| format!("\nnote: {note}\n")).collect()
}

/// Returns what the nodes do not share without a secret.
fn what_is_lost(config: &Config) -> Option<String> {
    let sticky = config.pools.iter().filter(|pool| pool.affinity.is_some());
    let names: Vec<&str> = sticky.map(|pool| &*pool.name).collect();
    (!names.is_empty() && config.lacks_secret()).then(|| {
        format!(
            "group has no `secret`: after a move, or a restart, sessions of {} go to other backends, \
             since each node has a key of its own",
            called(&names)
        )
    })
}

/// Returns which pools behind a listener have one cookie together: a client has one value of it.
fn shared_cookies(config: &Config, listener: &ListenerConfig) -> Vec<String> {
    let pools = config.pools_behind(listener).into_iter();
    let mut pools: Vec<&PoolConfig> = pools.filter_map(|name| config.pool(name)).collect();
    let mut notes = Vec::new();
    while !pools.is_empty() {
        let first = pools.remove(0);
        let Some(rules) = &first.affinity else {
            continue;
        };
        let is_same = |pool: &mut &PoolConfig| {
            let other = pool.affinity.as_ref();
            other.is_some_and(|other| (&other.name, &other.path) == (&rules.name, &rules.path))
        };
        let same = pools.extract_if(.., is_same).map(|pool| &*pool.name);
        let names: Vec<&str> = std::iter::once(&*first.name).chain(same).collect();
        if names.len() > 1 {
            notes.push(format!(
                "{}: {} have one cookie, `{}` with the path {}: who goes from one to the other \
                 loses its session; give each a `name` of its own",
                listener.name,
                called(&names),
                rules.name,
                rules.path
            ));
        }
    }
    notes
}

fn called(pools: &[&str]) -> String {
    match pools {
        [one] => format!("pool {one}"),
        [before @ .., last] => format!("pools {} and {last}", before.join(", ")),
        [] => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, NodeName};

    fn notes(yaml: &str) -> String {
        let config = config::parse("test.yaml", yaml, NodeName::Given("lb1"));
        describe(&config.expect("it is right"))
    }

    fn pools(of: &[(&str, &str)]) -> String {
        let pools = of.iter().map(|(name, rules)| {
            format!("  {name}: {{backends: {{a: \"10.0.0.1:80\"}}{rules}}}\n")
        });
        format!("pools:\n{}", pools.collect::<String>())
    }

    const ROUTED: &str = "listeners: {http: {bind: [\"127.0.0.1:80\"], pool: a, routes: [{path: /b/, \
                          pool: b}, {path: /c/, pool: c}]}}\n";

    #[test]
    fn pools_of_one_listener_with_one_cookie_are_named() {
        let own = ", affinity: {cookie: {}}";
        let all = pools(&[("a", own), ("b", own), ("c", own)]);
        assert_eq!(
            notes(&format!("{ROUTED}{all}")),
            "\nnote: http: pools a, b and c have one cookie, `evenkeel` with the path /: who goes \
             from one to the other loses its session; give each a `name` of its own\n"
        );
        for other in [
            "",
            ", affinity: {cookie: {name: b}}",
            ", affinity: {cookie: {path: /b/}}",
        ] {
            let apart = pools(&[("a", own), ("b", other), ("c", "")]);
            assert_eq!(notes(&format!("{ROUTED}{apart}")), "", "{other}");
        }
    }

    #[test]
    fn pools_behind_others_count_and_listeners_are_apart() {
        let fallback = ", affinity: {cookie: {}}, fallback: b";
        let own = ", affinity: {cookie: {}}";
        let one = "listeners: {h1: {bind: [\"127.0.0.1:80\"], pool: a}}\n";
        let behind = pools(&[("a", fallback), ("b", own)]);
        assert!(notes(&format!("{one}{behind}")).contains("h1: pools a and b have one cookie"));
        let two = "listeners: {h1: {bind: [\"127.0.0.1:80\"], pool: a}, h2: {bind: \
                   [\"127.0.0.1:81\"], pool: b}}\n";
        let beside = pools(&[("a", own), ("b", own)]);
        assert_eq!(notes(&format!("{two}{beside}")), "");
    }

    #[test]
    fn nodes_without_a_secret_are_told_what_is_lost() {
        let router = "virtual_routers: {web: {interface: eth0, vrid: 5, addresses: \
                      [192.0.2.9/24]}}\nlisteners: {http: {virtual_router: web, port: 80, pool: \
                      a}}\n";
        let sticky = pools(&[("a", ", affinity: {cookie: {}}")]);
        let hoped = "\nnote: group has no `secret`: after a move, or a restart, sessions of pool a \
                     go to other backends, since each node has a key of its own\n";
        assert_eq!(notes(&format!("{router}{sticky}")), hoped);
        let secret = "group: {secret: {file: /a}}\n";
        assert_eq!(notes(&format!("{router}{sticky}{secret}")), "");
        assert_eq!(notes(&format!("{router}{}", pools(&[("a", "")]))), "");
    }
}
