//! Texts that mean no good: nothing panics, nothing of them becomes a key of its own.

use evenkeel::cli::import::import;
use proptest::prelude::*;

use super::{InMemory, body, imported};

#[test]
fn no_text_becomes_yaml_of_its_own() {
    let name = "a: {b}\u{2028}c";
    let text = format!(
        "vrrp_instance \"{name}\" {{\n interface \"eth0\\nowner: true\"\n virtual_router_id 5\n \
         x \"y\rowner: true\"\n virtual_ipaddress {{\n 192.0.2.1/24\n }}\n}}\n"
    );
    let outcome = imported(&[("keepalived.conf", &text)]);
    let body = body(&outcome);
    assert!(
        body.lines().all(|line| line.trim() != "owner: true"),
        "{body}"
    );
    let (comments, rest) = outcome
        .yaml
        .split_at(outcome.yaml.find("\nvirtual_routers").unwrap());
    assert!(
        comments
            .lines()
            .all(|line| line.is_empty() || line.starts_with('#')),
        "{comments}"
    );
    assert!(rest.contains("  a---b--c:\n"), "{rest}");
}

#[test]
fn what_includes_itself_comes_to_an_end() {
    let outcome = imported(&[(
        "keepalived.conf",
        "global_defs {\n}\ninclude keepalived.conf\n",
    )]);
    assert!(
        outcome.yaml.contains("include each other without end"),
        "{}",
        outcome.yaml
    );
}

/// Words of all grammars, so that chance gets beyond the first line.
fn words() -> impl Strategy<Value = String> {
    let known = KNOWN.split(' ').chain(SPECIAL).collect::<Vec<_>>();
    let word = prop::sample::select(known);
    prop::collection::vec(word, 0..60).prop_map(|words| words.join(" "))
}

const KNOWN: &str = "vrrp_instance A { } interface eth0 virtual_router_id 5 virtual_ipaddress 192.0.2.1/24 \
    2001:db8::1 dev track_script unicast_peer virtual_server real_server 80 HTTP_GET weight \
    -1 $X= $X @a frontend backend listen defaults bind *:80 acl use_backend if unless ! \
    server 192.0.2.2:80 http-request set-header deny path_beg /a redirect scheme https mode \
    http option httpchk timeout CREATE POOL SERVICE SET role = reverse_proxy selector ENABLE \
    VHOST HEADER INSERT node keepalive bcast ping ' # %[src] ssl crt check inter é \
    18446744073709551616";
const SPECIAL: [&str; 5] = ["\n", "\n", "\"", "\\", "\u{0}"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn nothing_panics(text in words()) {
        for name in ["keepalived.conf", "haproxy.cfg", "perlbal.conf", "ha.cf", "haresources"] {
            let files = InMemory([(name.to_owned(), text.clone())].into());
            let _ = import(&files, &[name.to_owned()], &[]);
        }
    }
}
