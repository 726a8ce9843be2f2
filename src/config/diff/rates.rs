//! What changes of the rates of a listener or a route.

use super::words::Words;
use crate::config::RequestRates;

/// Compares rates; `missing` is the word where there is none.
pub(super) fn rates(old: &RequestRates, new: &RequestRates, missing: &str, words: &mut Words) {
    let RequestRates {
        requests,
        requests_per_client,
    } = old;
    let (before, after) = (requests.as_ref(), new.requests.as_ref());
    words.optional("limit requests", missing, before, after);
    let (before, after) = (
        requests_per_client.as_ref(),
        new.requests_per_client.as_ref(),
    );
    words.optional("limit requests_per_client", missing, before, after);
}
