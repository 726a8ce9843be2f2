//! What is asked of a backend's health in HTTP, and whether the answer is a good one.

use std::net::SocketAddr;

use super::failure::{HostHint, ProbeError};
use crate::config::{HttpProbe, ProbeMethod};

/// Judges a status.
pub(super) fn judged(
    status: u16,
    text: String,
    address: SocketAddr,
    http: &HttpProbe,
) -> Result<String, ProbeError> {
    if is_hoped(status, &http.expect) {
        return Ok(text);
    }
    let is_default = http.host.is_none() && matches!(status, 400 | 403 | 404 | 421);
    let hint = HostHint(is_default.then_some(address));
    Err(ProbeError::Status(text, hint))
}

/// Returns the head of a request.
pub(super) fn request(address: SocketAddr, http: &HttpProbe) -> String {
    let verb = match http.method {
        ProbeMethod::Get => "GET",
        ProbeMethod::Head => "HEAD",
    };
    let host = http.host.clone().unwrap_or_else(|| address.to_string());
    let path = &http.path;
    let mut request = format!("{verb} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    let says = |wanted: &str| {
        let mut names = http.headers.iter().map(|(name, _)| name);
        names.any(|name| name.eq_ignore_ascii_case(wanted))
    };
    if !says("user-agent") {
        request += "User-Agent: evenkeel-health-check\r\n";
    }
    for (name, value) in &http.headers {
        for part in [name, ": ", value, "\r\n"] {
            request += part;
        }
    }
    request + "\r\n"
}

/// Returns whether a status is one of these, or any that is common for healthy.
pub(super) fn is_hoped(status: u16, expect: &[(u16, u16)]) -> bool {
    match expect {
        [] => (200..=399).contains(&status),
        ranges => ranges
            .iter()
            .any(|(from, to)| (*from..=*to).contains(&status)),
    }
}

/// Looks for a text in the first bytes that come.
pub(super) struct Search {
    pub(super) wanted: String,
    seen: Vec<u8>,
    is_found: bool,
}

impl Search {
    pub(super) fn new(wanted: &str) -> Self {
        Self {
            wanted: wanted.to_owned(),
            seen: Vec::new(),
            is_found: false,
        }
    }

    pub(super) fn handle(&mut self, bytes: &[u8]) {
        let room = SEARCHED_BYTES_MAX - self.seen.len();
        // What was looked at before cannot have all of it.
        let from = self.seen.len().saturating_sub(self.wanted.len() - 1);
        self.seen.extend_from_slice(&bytes[..bytes.len().min(room)]);
        let mut places = self.seen[from..].windows(self.wanted.len());
        self.is_found |= places.any(|place| place == self.wanted.as_bytes());
    }

    /// Returns whether it is there; `None`: not yet.
    pub(super) fn is_found(&self) -> Option<bool> {
        let is_over = self.seen.len() == SEARCHED_BYTES_MAX;
        (self.is_found || is_over).then_some(self.is_found)
    }
}

/// How far a text is looked for.
const SEARCHED_BYTES_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_wherever_what_comes_is_cut() {
        let text = format!("{}needle{}", "need".repeat(100), "le".repeat(100));
        for len in 1..50 {
            let mut search = Search::new("needle");
            text.as_bytes()
                .chunks(len)
                .for_each(|cut| search.handle(cut));
            assert_eq!(search.is_found(), Some(true), "{len}");
        }
    }

    #[test]
    fn a_text_is_looked_for_in_the_first_bytes_alone() {
        for (before, hoped) in [(0, Some(true)), (65_530, Some(true)), (65_531, Some(false))] {
            let mut search = Search::new("needle");
            let text = format!("{}needle", "x".repeat(before));
            text.as_bytes()
                .chunks(1000)
                .for_each(|cut| search.handle(cut));
            assert_eq!(search.is_found(), hoped, "{before}");
        }
        let mut search = Search::new("needle");
        search.handle(b"needl");
        assert_eq!(search.is_found(), None);
    }

    #[test]
    fn statuses_are_hoped_for_by_their_ranges() {
        for (status, expect, hoped) in [
            (200, &[][..], true),
            (399, &[], true),
            (400, &[], false),
            (199, &[], false),
            (404, &[(200, 204), (404, 404)], true),
            (205, &[(200, 204), (404, 404)], false),
        ] {
            assert_eq!(is_hoped(status, expect), hoped, "{status} {expect:?}");
        }
    }
}
