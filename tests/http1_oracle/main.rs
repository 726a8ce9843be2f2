//! The HTTP/1 codec against hyper: what hyper refuses, the codec refuses; what both accept means
//! the same; what the codec sends on is accepted by both and means the same again.
//!
//! Messages are built from fragments that are right, nearly right or wrong, then changed at random
//! places and cut at random places. `codec` reads them as the proxy does, `oracle` as hyper does.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod codec;
mod messages;
mod oracle;

use proptest::prelude::*;
use proptest::strategy::ValueTree;

use codec::{Outcome, read_request, read_response};
use evenkeel::logic::http1::head::{Persistence, Upgrade, Version};
use evenkeel::logic::http1::response::{AskedFor, AskedMethod};
use messages::{cuts, request, response};

/// What a message says, whoever has read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meaning {
    /// The method, or the status.
    pub what: String,
    /// The path and query; empty for a response.
    pub path: String,
    /// Names in lower case, ordered by name; values in their order.
    pub fields: Vec<(String, Vec<u8>)>,
    /// Without framing.
    pub body: Vec<u8>,
}

impl Meaning {
    /// Returns the values of a field.
    fn field(&self, name: &str) -> Vec<&[u8]> {
        let of_name = self.fields.iter().filter(|(known, _)| known == name);
        of_name.map(|(_, value)| value.as_slice()).collect()
    }

    fn same_but_for_fields(&self, other: &Meaning) -> bool {
        (&self.what, &self.path, &self.body) == (&other.what, &other.path, &other.body)
    }
}

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
        let Outcome::Whole(meaning, sent) = read_request(&text, &cuts) else {
            return Ok(());
        };
        let shown = String::from_utf8_lossy(&text).into_owned();
        let oracle = oracle::read_request(&text);
        prop_assert_eq!(Some(&meaning), oracle.as_ref(), "{:?}", shown);
        let sent_shown = String::from_utf8_lossy(&sent).into_owned();
        let again = read_request(&sent, &cuts);
        let Outcome::Whole(again, _) = again else {
            return Err(TestCaseError::fail(format!("{shown:?} became {sent_shown:?}: {again:?}")));
        };
        prop_assert!(again.same_but_for_fields(&meaning), "{shown:?} became {sent_shown:?}");
        prop_assert_eq!(again.field("host").len(), 1, "{:?}", sent_shown);
        prop_assert_eq!(again.field("x-forwarded-for").len(), 1, "{:?}", sent_shown);
        prop_assert_eq!(Some(again), oracle::read_request(&sent), "{:?}", sent_shown);
    }

    #[test]
    fn what_the_codec_refuses_is_refused_wherever_reads_end(text in request(), cuts in cuts()) {
        let whole = read_request(&text, &[usize::MAX]);
        let cut = read_request(&text, &cuts);
        match (&whole, &cut) {
            // A head that is known to be wrong before it has ended may be waited for.
            (Outcome::Refused, Outcome::Partial) => {}
            (whole, cut) => prop_assert_eq!(whole, cut),
        }
    }

    #[test]
    fn responses_mean_what_hyper_says(text in response(), cuts in cuts(), head in any::<bool>(), old in any::<bool>()) {
        let asked = AskedFor {
            method: if head { AskedMethod::Head } else { AskedMethod::Other },
            version: if old { Version::Http10 } else { Version::Http11 },
            upgrade: Upgrade::None,
            persistence: Persistence::Keep,
        };
        let Outcome::Whole(meaning, sent) = read_response(&text, &cuts, asked) else {
            return Ok(());
        };
        let shown = String::from_utf8_lossy(&text).into_owned();
        let oracle = oracle::read_response(&text, head);
        prop_assert_eq!(Some(&meaning), oracle.as_ref(), "{:?}", shown);
        let sent_shown = String::from_utf8_lossy(&sent).into_owned();
        let again = read_response(&sent, &cuts, asked);
        let Outcome::Whole(again, _) = again else {
            return Err(TestCaseError::fail(format!("{shown:?} became {sent_shown:?}: {again:?}")));
        };
        prop_assert!(again.same_but_for_fields(&meaning), "{shown:?} became {sent_shown:?}");
        prop_assert_eq!(Some(again), oracle::read_response(&sent, head), "{:?}", sent_shown);
    }
}

/// The generators must reach what they are for.
#[test]
fn many_messages_are_accepted_and_many_refused() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut whole, mut refused) = (0, 0);
    for _ in 0..1000 {
        let text = request().new_tree(&mut runner).unwrap().current();
        match read_request(&text, &[usize::MAX]) {
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
