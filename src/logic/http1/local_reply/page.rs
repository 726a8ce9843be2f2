//! A page that an administrator has written, with what stands for a request in it.
//!
//! Exactly `{request_id}` and `{status}` are replaced; all other braces mean themselves, because
//! pages have style sheets and scripts. A request's id may be the word of a proxy before this one:
//! one that could be more than a word in a page is left out. Pure.

use std::sync::Arc;

use super::Page;

/// A page, read once, filled in for each request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageTemplate {
    content_type: Arc<str>,
    text: Arc<str>,
    /// Where each placeholder begins, in order.
    places: Vec<(usize, Placeholder)>,
}

/// What stands in braces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Placeholder {
    RequestId,
    Status,
}

impl PageTemplate {
    /// Reads a text.
    pub fn new(content_type: &str, text: Arc<str>) -> Self {
        let at_brace = |(at, _): (usize, &str)| {
            let known = |it: &Placeholder| text[at..].starts_with(it.as_str());
            Some((at, Placeholder::ALL.into_iter().find(known)?))
        };
        Self {
            content_type: content_type.into(),
            places: text.match_indices('{').filter_map(at_brace).collect(),
            text,
        }
    }

    /// Returns the page for a request that is answered with this status, and has this id. A page
    /// without placeholders is not copied.
    pub fn fill(&self, status: u16, request_id: Option<&[u8]>) -> Page {
        let content_type = Arc::clone(&self.content_type);
        if self.places.is_empty() {
            let body = Arc::clone(&self.text).into();
            return Page { content_type, body };
        }
        let id = request_id.and_then(plain).unwrap_or(NO_ID);
        let mut body = Vec::with_capacity(self.text.len() + id.len());
        let mut from = 0;
        for (at, placeholder) in &self.places {
            body.extend_from_slice(&self.text.as_bytes()[from..*at]);
            match placeholder {
                Placeholder::RequestId => body.extend_from_slice(id.as_bytes()),
                Placeholder::Status => body.extend_from_slice(status.to_string().as_bytes()),
            }
            from = at + placeholder.as_str().len();
        }
        body.extend_from_slice(&self.text.as_bytes()[from..]);
        let body = body.into();
        Page { content_type, body }
    }
}

impl Placeholder {
    const ALL: [Self; 2] = [Self::RequestId, Self::Status];

    const fn as_str(self) -> &'static str {
        match self {
            Self::RequestId => "{request_id}",
            Self::Status => "{status}",
        }
    }
}

/// Returns an id that is a word in HTML, JSON and everywhere else.
fn plain(id: &[u8]) -> Option<&str> {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~:/+=@".contains(byte);
    let fits = (1..=ID_BYTES_MAX).contains(&id.len()) && id.iter().all(is_plain);
    std::str::from_utf8(id).ok().filter(|_| fits)
}

/// What a page says where there is no id.
const NO_ID: &str = "-";
/// A longer id is none that a person reads out.
const ID_BYTES_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str, id: Option<&str>) -> String {
        let template = PageTemplate::new("text/html; charset=utf-8", text.into());
        let page = template.fill(503, id.map(str::as_bytes));
        String::from_utf8(page.body.to_vec()).expect("text")
    }

    #[test]
    fn placeholders_are_replaced_and_other_braces_mean_themselves() {
        for (text, hoped) in [
            ("", ""),
            ("b { color: red } {{status}} {", "b { color: red } {503} {"),
            ("{request_id}", "0af3"),
            ("<p>{status}: {request_id}.", "<p>503: 0af3."),
            (
                "{Status} { status } {token} {status",
                "{Status} { status } {token} {status",
            ),
            ("é{status}{status}é", "é503503é"),
        ] {
            assert_eq!(filled(text, Some("0af3")), hoped, "{text}");
        }
    }

    #[test]
    fn an_id_that_could_be_more_than_a_word_is_left_out() {
        let long = "a".repeat(ID_BYTES_MAX + 1);
        for id in [
            "", "<script>", "a b", "a\"b", "a'b", "a&b", "a\\b", "\u{e9}", &long,
        ] {
            assert_eq!(filled("{request_id}", Some(id)), "-", "{id}");
        }
        assert_eq!(filled("{request_id}", None), "-");
        let id = "Root=1-67891233-abcdef012345678912345678";
        assert_eq!(filled("{request_id}", Some(id)), id);
    }

    #[test]
    fn what_is_filled_in_is_not_read_again() {
        assert_eq!(filled("{request_id}{status}", Some("{status}")), "-503");
    }
}
