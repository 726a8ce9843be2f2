//! RFC 9110 and RFC 9112 as raw bytes against the real proxy, from the side of clients and of
//! backends.
//!
//! Every row of a table is a case: what is sent, what must reach the other side (to the byte), and
//! what becomes of both connections; it names its clause. Every case is played whole, byte by byte
//! and cut in two at every place. No privilege and no network but loopback. `shared` holds what is
//! wrong from either side; `bench` plays.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

#[path = "../common/mod.rs"]
#[expect(
    dead_code,
    reason = "the blocking client and backend are for other targets"
)]
mod common;
#[path = "../proxy_http/rig.rs"]
#[expect(dead_code, reason = "only a proxy without health checks is needed")]
mod rig;
mod bench;
mod shared;
mod requests;
mod connections;
mod responses;

use std::collections::BTreeSet;

use bench::case::{Case, GET, request};
use bench::ways::play;

fn all() -> Vec<(&'static str, Vec<Case>)> {
    let mut all = requests::all();
    all.extend(connections::all());
    all.extend(responses::all());
    all
}

#[test]
fn there_are_so_many_cases_and_each_names_its_clause() {
    let all = all();
    let count: usize = all.iter().map(|(_, cases)| cases.len()).sum();
    assert_eq!(count, CASES, "written here so that none is lost unseen");
    for (topic, cases) in all {
        let mut names = BTreeSet::new();
        for case in cases {
            let section = case.section;
            let clause = section
                .strip_prefix("RFC ")
                .and_then(|it| it.split_once(" §"));
            assert!(clause.is_some(), "{topic}: {} names {section:?}", case.name);
            assert!(
                names.insert(case.name),
                "{topic}: {} is there twice",
                case.name
            );
        }
    }
}

#[test]
fn what_is_not_as_hoped_is_told_with_its_name_its_clause_and_its_ways() {
    let wrong = request("wrong", "RFC 9110 §7.2", GET).reaches("GET /other HTTP/1.1\r\n");
    let told = std::panic::catch_unwind(|| play(&[wrong])).unwrap_err();
    let told = told.downcast::<String>().unwrap();
    let hoped = "wrong (RFC 9110 §7.2), whole, byte by byte, split at 1: the backend got";
    assert!(told.contains(hoped), "{told}");
}

/// All cases, of both sides.
const CASES: usize = 706;
