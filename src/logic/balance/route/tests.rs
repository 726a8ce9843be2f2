//! Tables of conditions, and the table of routes beside a plain search.

use std::net::{IpAddr, Ipv4Addr};

use super::*;
use crate::model::Network;

fn asked<'a>(host: &'a str, path: &'a str) -> Asked<'a> {
    Asked {
        host: host.as_bytes(),
        path,
        query: "",
        method: "GET",
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        has_field: &|_, _| false,
    }
}

#[test]
fn hosts_follow_the_table() {
    let (exact, under) = (
        HostPattern::Exact("example.org".to_owned()),
        HostPattern::Under("example.org".to_owned()),
    );
    for (host, is_exact, is_under) in [
        ("example.org", true, false),
        ("EXAMPLE.org.", true, false),
        ("a.example.org", false, true),
        ("a.b.Example.Org.", false, true),
        (".example.org", false, false),
        ("aexample.org", false, false),
        ("example.org.evil", false, false),
        ("org", false, false),
        ("", false, false),
    ] {
        assert_eq!(exact.is(host.as_bytes()), is_exact, "{host}");
        assert_eq!(under.is(host.as_bytes()), is_under, "{host}");
    }
}

/// An address of IPv6 has many spellings (RFC 5952 §2).
#[test]
fn addresses_are_compared_whatever_their_spelling() {
    let host = HostPattern::Exact("[2001:db8::1]".to_owned());
    let conditions = Conditions {
        hosts: vec![host.clone()],
        ..Conditions::default()
    };
    let table = Table::new([(conditions, Access::Everybody, Guard::Answers)]);
    for (text, hoped) in [
        ("[2001:db8::1]", true),
        ("[2001:DB8:0::1]", true),
        ("[2001:db8:0:0:0:0:0:1]", true),
        ("[2001:db8::0.0.0.1]", true),
        ("[2001:db8::2]", false),
        ("2001:db8::1", false),
    ] {
        assert_eq!(host.is(text.as_bytes()), hoped, "{text}");
        let found = table.find(&asked(text, "/"));
        assert_eq!(found == Found::Route(0), hoped, "{text}");
    }
}

/// What a client sends is split once, whatever the number of routes.
#[test]
fn a_query_of_many_parameters_costs_its_length_and_not_that_of_the_table() {
    let routes = (0..1000).map(|number| {
        let condition = QueryCondition {
            name: format!("q{number}"),
            value: Some("v".to_owned()),
        };
        let conditions = Conditions {
            query: vec![condition],
            ..Conditions::default()
        };
        (conditions, Access::Everybody, Guard::Answers)
    });
    let table = Table::new(routes);
    let query = format!("?{}q999=v", "&a=b".repeat(20_000));
    let asked = Asked {
        query: &query,
        ..asked("a", "/")
    };
    // 20 million looks at a pair would take minutes here.
    for _ in 0..20 {
        assert_eq!(
            table.find(&asked),
            Found::None,
            "the last pair is `a=bq999=v`"
        );
    }
}

#[test]
fn paths_follow_the_table() {
    for (prefix, path, hoped) in [
        ("/", "/", true),
        ("/", "/a", true),
        ("/a", "/a", true),
        ("/a", "/a/", true),
        ("/a", "/a/b", true),
        ("/a", "/ab", false),
        ("/a/", "/a", false),
        ("/a/", "/a/b", true),
        ("/a/b", "/a", false),
    ] {
        let pattern = PathPattern::Prefix(prefix.to_owned());
        assert_eq!(pattern.covers(path), hoped, "{prefix} and {path}");
    }
    assert!(PathPattern::Exact("/a".to_owned()).covers("/a"));
    assert!(!PathPattern::Exact("/a".to_owned()).covers("/a/"));
}

#[test]
fn fields_and_parameters_are_looked_for() {
    let fields = [("X-A", "1"), ("x-a", "2")];
    let has_field = |wanted: &str, value: Option<&str>| {
        let mut fields = fields.iter();
        fields.any(|(name, text)| {
            name.eq_ignore_ascii_case(wanted) && value.is_none_or(|value| value == *text)
        })
    };
    let asked = Asked {
        has_field: &has_field,
        query: "?a=1&b&c=",
        ..asked("a", "/")
    };
    for (name, value, hoped) in [
        ("x-A", None, true),
        ("X-A", Some("2"), true),
        ("X-A", Some("3"), false),
        ("X-B", None, false),
    ] {
        let (name, value) = (name.to_owned(), value.map(str::to_owned));
        let conditions = Conditions {
            fields: vec![FieldCondition { name, value }],
            ..Conditions::default()
        };
        assert_eq!(conditions.hold(&asked), hoped, "{conditions:?}");
    }
    for (name, value, hoped) in [
        ("a", None, true),
        ("a", Some("1"), true),
        ("a", Some("2"), false),
        ("b", None, true),
        ("b", Some(""), false),
        ("c", Some(""), true),
        ("d", None, false),
    ] {
        let (name, value) = (name.to_owned(), value.map(str::to_owned));
        let conditions = Conditions {
            query: vec![QueryCondition { name, value }],
            ..Conditions::default()
        };
        assert_eq!(conditions.hold(&asked), hoped, "{conditions:?}");
    }
}

#[test]
fn guards_pass_on_whom_they_let_through() {
    let network = |text: &str| Network {
        address: text.parse().expect("an address"),
        prefix_len: 8,
    };
    let everything = Conditions::default;
    let table = Table::new([
        (
            everything(),
            Access::AllBut(vec![network("10.0.0.0")]),
            Guard::Passes,
        ),
        (
            everything(),
            Access::Only(vec![network("192.0.0.0")]),
            Guard::Answers,
        ),
        (everything(), Access::Everybody, Guard::Answers),
    ]);
    for (client, hoped) in [
        ("10.1.1.1", Found::Denied(0)),
        ("192.0.2.1", Found::Route(1)),
        ("172.16.0.1", Found::Denied(1)),
    ] {
        let client = client.parse().expect("an address");
        let asked = Asked {
            client,
            ..asked("a", "/")
        };
        assert_eq!(table.find(&asked), hoped, "{client}");
    }
    assert_eq!(Table::default().find(&asked("a", "/")), Found::None);
}

const HOSTS: [&str; 6] = ["a", "b.a", "c.b.a", "aa", "A.", ""];
const PATHS: [&str; 13] = [
    "/",
    "/a",
    "/a/",
    "/a/b",
    "/ab",
    "/long/enough",
    "/long/enough/",
    "/long/enougha",
    "/long/en",
    "/a/b/c/d",
    "/a/b/c/d/e",
    "/a/b/c/d/f",
    "/a/b/c/d/e/f",
];

fn at_random(chance: &mut fastrand::Rng) -> Conditions {
    let mut conditions = Conditions::default();
    for _ in 0..chance.usize(0..3) {
        let host = HOSTS[chance.usize(0..4)].to_owned();
        conditions.hosts.push(match chance.bool() {
            true => HostPattern::Exact(host),
            false => HostPattern::Under(host),
        });
    }
    let path = PATHS[chance.usize(..PATHS.len())].to_owned();
    conditions.path = match chance.u8(0..3) {
        0 => None,
        1 => Some(PathPattern::Exact(path)),
        _ => Some(PathPattern::Prefix(path)),
    };
    if chance.u8(0..4) == 0 {
        conditions.methods = vec![["GET", "POST"][chance.usize(0..2)].to_owned()];
    }
    conditions
}

/// The keys lose no route, and what one route covers of another never comes to that.
#[test]
fn the_table_finds_what_a_search_in_order_finds() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut chance = fastrand::Rng::with_seed(seed);
    for _ in 0..3_000 {
        let routes: Vec<Conditions> = (0..6).map(|_| at_random(&mut chance)).collect();
        let all = routes.iter().cloned();
        let table = Table::new(all.map(|it| (it, Access::Everybody, Guard::Answers)));
        for (host, path) in HOSTS.iter().flat_map(|host| PATHS.map(|path| (host, path))) {
            let asked = asked(host, path);
            let first = routes.iter().position(|route| route.hold(&asked));
            let hoped = first.map_or(Found::None, Found::Route);
            assert_eq!(table.find(&asked), hoped, "{asked:?} of {routes:?}");
            for (outer, inner) in routes
                .iter()
                .flat_map(|one| routes.iter().map(move |two| (one, two)))
            {
                if outer.cover(inner) && inner.hold(&asked) {
                    assert!(outer.hold(&asked), "{outer:?} covers {inner:?}: {asked:?}");
                }
            }
        }
    }
}

fn network(text: &str) -> Network {
    let (address, len) = text.split_once('/').expect("a network");
    Network {
        address: address.parse().expect("an address"),
        prefix_len: len.parse().expect("a length"),
    }
}

const NETWORKS: [&str; 6] = [
    "192.0.2.0/24",
    "192.0.2.1/32",
    "192.0.0.0/16",
    "0.0.0.0/0",
    "2001:db8::/32",
    "::/0",
];
const CLIENTS: [&str; 6] = [
    "192.0.2.1",
    "192.0.2.2",
    "192.0.3.1",
    "203.0.113.1",
    "2001:db8::1",
    "::1",
];

fn some<T: Clone>(chance: &mut fastrand::Rng, of: &[T]) -> Vec<T> {
    // Often none, so that conditions hold often enough.
    let count = chance.usize(..6).saturating_sub(3);
    (0..count)
        .map(|_| of[chance.usize(..of.len())].clone())
        .collect()
}

#[test]
fn what_covers_fields_parameters_and_clients_holds_where_they_hold() {
    let fields = [("x-a", None), ("X-A", Some("1")), ("X-B", None)].map(|(name, value)| {
        let (name, value) = (name.to_owned(), value.map(str::to_owned));
        FieldCondition { name, value }
    });
    let query = [("x", None), ("x", Some("1")), ("y", None)].map(|(name, value)| {
        let (name, value) = (name.to_owned(), value.map(str::to_owned));
        QueryCondition { name, value }
    });
    let drawn = |chance: &mut fastrand::Rng| Conditions {
        fields: some(chance, &fields),
        query: some(chance, &query),
        clients: some(chance, &NETWORKS.map(network)),
        ..Conditions::default()
    };
    let (mut covered, mut held) = (0, 0);
    for seed in 0..50_000 {
        let mut chance = fastrand::Rng::with_seed(seed);
        let (outer, inner) = (drawn(&mut chance), drawn(&mut chance));
        if !outer.cover(&inner) {
            continue;
        }
        covered += 1;
        let lines = some(&mut chance, &[("X-A", "1"), ("x-a", "2"), ("x-b", "")]);
        let has_field = |wanted: &str, value: Option<&str>| {
            let mut lines = lines.iter();
            lines.any(|(name, text)| {
                name.eq_ignore_ascii_case(wanted) && value.is_none_or(|value| value == *text)
            })
        };
        let asked = Asked {
            query: ["", "?x=1", "?x", "?y=1&x=2"][chance.usize(..4)],
            client: CLIENTS[chance.usize(..6)].parse().expect("an address"),
            has_field: &has_field,
            ..asked("a", "/")
        };
        if inner.hold(&asked) {
            held += 1;
            let shown = format!("{outer:?} covers {inner:?}: {asked:?} with {lines:?}");
            assert!(outer.hold(&asked), "seed {seed}: {shown}");
        }
    }
    assert!(
        covered > 5000 && held > 1000,
        "{covered} covered, {held} held"
    );
}

#[test]
fn nobody_is_let_through_of_networks_that_are_turned_away_as_a_whole() {
    let mut denied = 0;
    for seed in 0..20_000 {
        let mut chance = fastrand::Rng::with_seed(seed);
        let access = match chance.bool() {
            true => Access::Only(some(&mut chance, &NETWORKS.map(network))),
            false => Access::AllBut(some(&mut chance, &NETWORKS.map(network))),
        };
        let networks = some(&mut chance, &NETWORKS.map(network));
        if !access.denies_all_of(&networks) {
            continue;
        }
        denied += 1;
        for client in CLIENTS.map(|client| client.parse().expect("an address")) {
            if networks.is_empty() || networks.iter().any(|it| it.contains(client)) {
                let shown = format!("{access:?} lets {client} of {networks:?} through");
                assert!(!access.allows(client), "seed {seed}: {shown}");
            }
        }
    }
    assert!(denied > 1000, "{denied} denied");
}
