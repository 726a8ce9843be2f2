//! The HTTP/1 codec against hyper: what hyper refuses, the codec refuses; what both accept means
//! the same; what the codec sends on is accepted by both and means the same again.
//!
//! Messages are built from fragments that are right, nearly right or wrong, then changed at random
//! places and cut at random places. `codec` reads them as the proxy does, `oracle` as hyper does.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod chunked;
mod codec;
mod invariants;
mod meaning;
mod messages;
mod oracle;
mod routing;
mod wire;

use std::path::Path;

use proptest::prelude::*;
use proptest::strategy::ValueTree;

use codec::{Outcome, read_request};
use evenkeel::logic::http1::head::HeadLimits;
use invariants::{asked, check_request, check_response, fuzz_chunked, fuzz_request, fuzz_response};
use messages::{body, cuts, request, response};
use routing::fuzz_route;

fn config() -> ProptestConfig {
    let default = ProptestConfig::default();
    ProptestConfig {
        // `PROPTEST_CASES` may ask for more.
        cases: default.cases.max(3000),
        max_shrink_iters: 2000,
        ..default
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn requests_mean_what_hyper_says(text in request(), cuts in cuts()) {
        check_request(&text, &cuts);
    }

    #[test]
    fn responses_mean_what_hyper_says(text in response(), cuts in cuts(), choices in any::<u8>()) {
        check_response(&text, &cuts, asked(choices));
    }

    #[test]
    fn chunked_bodies_mean_what_hyper_says(text in body(), cuts in cuts()) {
        chunked::check(&text, &cuts);
    }
}

/// What the fuzz targets begin with, and what they have found.
#[test]
fn the_corpus_of_the_fuzz_targets_holds() {
    for (target, check) in [
        ("http_request", fuzz_request as fn(&[u8])),
        ("http_response", fuzz_response),
        ("http_chunked", fuzz_chunked),
        ("http_route", fuzz_route),
    ] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
        let mut count = 0;
        for entry in std::fs::read_dir(folder.join(target)).unwrap() {
            check(&std::fs::read(entry.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count > 5, "{target}: {count} inputs");
    }
}

/// The generators must reach what they are for.
#[test]
fn many_messages_are_accepted_and_many_refused() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut whole, mut refused) = (0, 0);
    for _ in 0..1000 {
        let text = request().new_tree(&mut runner).unwrap().current();
        match read_request(&text, &[usize::MAX], &HeadLimits::default()) {
            Outcome::Whole(..) => whole += 1,
            Outcome::Refused => refused += 1,
            Outcome::Partial => {}
        }
    }
    assert!(
        whole > 150 && refused > 150,
        "{whole} whole, {refused} refused"
    );
}
