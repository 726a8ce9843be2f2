//! Sessions that stay on their backend, by a cookie that needs no memory of them.
//!
//! A cookie's value is a tag: a keyed code over the names of pool and backend, which whoever has
//! the key computes ([`tagged`] says of what, the proxy has the key and the code). It is the same
//! on every node, whatever the order of backends and however many more there are; it names nobody
//! to strangers, and who has no key can make none. Pure.

use std::fmt;
use std::time::Duration;

use crate::model::write_number;

/// What a cookie says: 128 bits.
pub type Tag = [u8; TAG_BYTES];

/// Returns what a tag is the code of. Version and lengths stand before the names, so that no two
/// backends have the same; it never changes, since nodes may have different versions.
pub fn tagged(pool: &str, backend: &str) -> Vec<u8> {
    let mut text = b"evenkeel affinity 1".to_vec();
    for name in [pool, backend] {
        text.extend_from_slice(&(name.len() as u64).to_be_bytes());
        text.extend_from_slice(name.as_bytes());
    }
    text
}

/// Returns a tag as a cookie has it: base64url without padding (RFC 4648 §5).
pub fn value(tag: &Tag) -> [u8; VALUE_BYTES] {
    let mut bits = u128::from_be_bytes(*tag);
    let mut value = [0; VALUE_BYTES];
    for digit in &mut value {
        // The last digit has two bits, the others six.
        *digit = DIGITS[usize::try_from(bits >> 122).unwrap_or_default()];
        bits <<= 6;
    }
    value
}

/// Returns the tag of a value; `None` where it is none, written as [`value`] writes it.
///
/// ```
/// use evenkeel::logic::balance::affinity::{tag, value};
///
/// let written = value(&[7; 16]);
/// assert_eq!(&written, b"BwcHBwcHBwcHBwcHBwcHBw");
/// assert_eq!(tag(&written), Some([7; 16]));
/// ```
pub fn tag(value: &[u8]) -> Option<Tag> {
    let (digits, last) = value.split_last_chunk::<1>()?;
    if digits.len() != VALUE_BYTES - 1 {
        return None;
    }
    let mut bits: u128 = 0;
    for digit in digits {
        bits = bits << 6 | bits_of(*digit)?;
    }
    // Of the last digit only two bits are the tag's.
    let last = bits_of(last[0])?;
    (last.is_multiple_of(16)).then(|| (bits << 2 | last >> 4).to_be_bytes())
}

fn bits_of(digit: u8) -> Option<u128> {
    let bits = match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'-' => 62,
        b'_' => 63,
        _ => return None,
    };
    Some(u128::from(bits))
}

/// The backends of a pool by their tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags {
    /// Of all keys, sorted by tag.
    all: Vec<(Tag, Known)>,
    /// Of the key that is used, by index; empty where there is no key.
    current: Vec<Tag>,
}

/// The backend of a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// By its index in the pool.
    pub backend: usize,
    /// Which key it was made with.
    pub age: Age,
}

/// Which key a tag was made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// The one that is used.
    Current,
    /// One that is still accepted.
    Old,
}

impl Tags {
    /// Returns those of a pool: of each key, the one that is used first, the tags of all backends
    /// by index.
    pub fn new(of_keys: &[Vec<Tag>]) -> Self {
        let mut all = Vec::new();
        for (index, tags) in of_keys.iter().enumerate() {
            let age = if index == 0 { Age::Current } else { Age::Old };
            let known = |(backend, tag): (usize, &Tag)| (*tag, Known { backend, age });
            all.extend(tags.iter().enumerate().map(known));
        }
        // One that two keys have, as they may be the same, is that of the first.
        all.sort_by_key(|(tag, _)| *tag);
        all.dedup_by_key(|(tag, _)| *tag);
        Self {
            all,
            current: of_keys.first().cloned().unwrap_or_default(),
        }
    }

    /// Returns the backend of the first of these values that is one of a backend's.
    pub fn find<'v>(&self, values: impl IntoIterator<Item = &'v [u8]>) -> Option<Known> {
        values.into_iter().find_map(|value| {
            let tag = tag(value)?;
            let at = self.all.binary_search_by_key(&tag, |(it, _)| *it);
            at.ok().map(|at| self.all[at].1)
        })
    }

    /// Returns the tag of a backend by index, by which its cookies are known from now on; `None`
    /// where there is no key.
    pub fn of(&self, backend: usize) -> Option<&Tag> {
        self.current.get(backend)
    }
}

/// What has become of the session of a request that a pool with affinity has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is on its backend.
    Kept,
    /// Likewise; its cookie is made anew, with another key.
    Renewed,
    /// It is on another backend now: its own could not be asked.
    Moved,
    /// It has just begun: no cookie has come, or none that is known.
    New,
}

impl Outcome {
    /// Returns that of a request with this cookie which a backend is given.
    pub fn of(known: Option<Known>, backend: usize) -> Self {
        match known {
            None => Self::New,
            Some(known) if known.backend != backend => Self::Moved,
            Some(known) => match known.age {
                Age::Current => Self::Kept,
                Age::Old => Self::Renewed,
            },
        }
    }

    /// Returns the word of the access log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Renewed => "renewed",
            Self::Moved => "moved",
            Self::New => "new",
        }
    }
}

/// The cookie of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieRules {
    /// A token.
    pub name: String,
    /// Below which path clients send it.
    pub path: String,
    /// Whether they send it by TLS only.
    pub secure: Secure,
    /// Whether scripts in a page do not see it.
    pub http_only: bool,
    /// With which requests that other sites begin it is sent.
    pub same_site: SameSite,
    /// How long a client keeps it; `None`: until it ends.
    pub lifetime: Option<Duration>,
}

impl Default for CookieRules {
    fn default() -> Self {
        Self {
            name: "evenkeel".to_owned(),
            path: "/".to_owned(),
            secure: Secure::AsArrived,
            http_only: true,
            same_site: SameSite::Lax,
            lifetime: None,
        }
    }
}

/// Whether a cookie is sent by TLS only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secure {
    /// Where the client has come by TLS.
    AsArrived,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl fmt::Display for Secure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AsArrived => "as clients arrive",
            Self::Always => "true",
            Self::Never => "false",
        })
    }
}

/// How a client has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// By TLS.
    Tls,
    /// In plain text.
    Plain,
}

/// With which requests that another site begins a cookie is sent (RFC 6265bis §5.6.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    /// With those by which somebody comes to this site.
    Lax,
    /// With none.
    Strict,
    /// With all.
    None,
}

impl fmt::Display for SameSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lax => "lax",
            Self::Strict => "strict",
            Self::None => "none",
        })
    }
}

impl CookieRules {
    /// Appends the field that gives a client a cookie (RFC 6265 §4.1), with the end of its line.
    pub fn write(&self, tag: &Tag, arrival: Arrival, out: &mut Vec<u8>) {
        out.extend_from_slice(b"Set-Cookie: ");
        out.extend_from_slice(self.name.as_bytes());
        out.push(b'=');
        out.extend_from_slice(&value(tag));
        if let Some(lifetime) = self.lifetime {
            out.extend_from_slice(b"; Max-Age=");
            write_number(out, lifetime.as_secs());
        }
        out.extend_from_slice(b"; Path=");
        out.extend_from_slice(self.path.as_bytes());
        match (self.secure, arrival) {
            (Secure::Always, _) | (Secure::AsArrived, Arrival::Tls) => {
                out.extend_from_slice(b"; Secure");
            }
            (Secure::Never, _) | (Secure::AsArrived, Arrival::Plain) => {}
        }
        if self.http_only {
            out.extend_from_slice(b"; HttpOnly");
        }
        out.extend_from_slice(match self.same_site {
            SameSite::Lax => b"; SameSite=Lax\r\n",
            SameSite::Strict => b"; SameSite=Strict\r\n",
            SameSite::None => b"; SameSite=None\r\n",
        });
    }
}

const TAG_BYTES: usize = 16;
/// 128 bits in digits of six.
pub const VALUE_BYTES: usize = 22;
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_are_base64url() {
        for (tag_, hoped) in [
            ([0; 16], "AAAAAAAAAAAAAAAAAAAAAA"),
            ([0xff; 16], "_____________________w"),
            (*b"0123456789abcdef", "MDEyMzQ1Njc4OWFiY2RlZg"),
            ([0xfb; 16], "-_v7-_v7-_v7-_v7-_v7-w"),
        ] {
            assert_eq!(value(&tag_), hoped.as_bytes());
            assert_eq!(tag(hoped.as_bytes()), Some(tag_));
        }
    }

    #[test]
    fn what_is_written_otherwise_is_no_tag() {
        for text in [
            "",
            "A",
            "AAAAAAAAAAAAAAAAAAAAA",
            "AAAAAAAAAAAAAAAAAAAAAAA",
            "AAAAAAAAAAAAAAAAAAAAAA==",
            "AAAAAAAAAAAAAAAAAAAAAB",
            "+_v7-_v7-_v7-_v7-_v7-w",
            " AAAAAAAAAAAAAAAAAAAAA",
            "\u{e9}AAAAAAAAAAAAAAAAAAAA",
        ] {
            assert_eq!(tag(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn names_that_run_into_each_other_are_tagged_differently() {
        let texts = [tagged("ab", "c"), tagged("a", "bc"), tagged("abc", "")];
        assert_ne!(texts[0], texts[1]);
        assert_ne!(texts[0], texts[2]);
        let hoped = b"evenkeel affinity 1\0\0\0\0\0\0\0\x03web\0\0\0\0\0\0\0\x01a";
        assert_eq!(tagged("web", "a"), hoped, "a contract between versions");
    }

    #[test]
    fn the_first_value_that_is_known_counts() {
        let tags = Tags::new(&[vec![[1; 16], [2; 16]], vec![[3; 16], [4; 16]]]);
        let value = |byte: u8| value(&[byte; 16]);
        let known = |backend, age| Some(Known { backend, age });
        for (bytes, hoped) in [
            (&[2][..], known(1, Age::Current)),
            (&[9, 3, 1], known(0, Age::Old)),
            (&[9, 8], None),
            (&[], None),
        ] {
            let values: Vec<_> = bytes.iter().map(|byte| value(*byte)).collect();
            let found = tags.find(values.iter().map(|value| &value[..]));
            assert_eq!(found, hoped, "{bytes:?}");
        }
        assert_eq!((tags.of(1), tags.of(2)), (Some(&[2; 16]), None));
        let same = Tags::new(&[vec![[1; 16]], vec![[1; 16]]]);
        let found = same.find([&value(1)[..]]);
        assert_eq!(found, known(0, Age::Current), "the same key twice");
        assert_eq!(Tags::default().find([&value(1)[..]]), None, "without a key");
    }

    #[test]
    fn outcomes_follow_the_table() {
        let known = |age| Some(Known { backend: 1, age });
        for (known, backend, hoped) in [
            (None, 1, Outcome::New),
            (known(Age::Current), 1, Outcome::Kept),
            (known(Age::Old), 1, Outcome::Renewed),
            (known(Age::Current), 0, Outcome::Moved),
            (known(Age::Old), 0, Outcome::Moved),
        ] {
            assert_eq!(Outcome::of(known, backend), hoped, "{known:?} {backend}");
        }
    }

    #[test]
    fn cookies_are_written_by_their_rules() {
        let default = CookieRules::default;
        let written = |rules: &CookieRules, arrival| {
            let mut out = Vec::new();
            rules.write(&[0; 16], arrival, &mut out);
            String::from_utf8(out).expect("it is text")
        };
        let begin = "Set-Cookie: evenkeel=AAAAAAAAAAAAAAAAAAAAAA";
        let plain = format!("{begin}; Path=/; HttpOnly; SameSite=Lax\r\n");
        assert_eq!(written(&default(), Arrival::Plain), plain);
        let by_tls = format!("{begin}; Path=/; Secure; HttpOnly; SameSite=Lax\r\n");
        assert_eq!(written(&default(), Arrival::Tls), by_tls);
        let never = CookieRules {
            secure: Secure::Never,
            ..default()
        };
        assert_eq!(written(&never, Arrival::Tls), plain);
        let other = CookieRules {
            name: "__Secure-s".to_owned(),
            path: "/shop".to_owned(),
            secure: Secure::Always,
            http_only: false,
            same_site: SameSite::None,
            lifetime: Some(Duration::from_millis(90_500)),
        };
        let hoped = "Set-Cookie: __Secure-s=AAAAAAAAAAAAAAAAAAAAAA; Max-Age=90; Path=/shop; \
                     Secure; SameSite=None\r\n";
        assert_eq!(written(&other, Arrival::Plain), hoped);
        let strict = CookieRules {
            same_site: SameSite::Strict,
            ..default()
        };
        let written = written(&strict, Arrival::Plain);
        assert!(written.ends_with("; SameSite=Strict\r\n"), "{written}");
    }

    proptest! {
        #[test]
        fn tags_come_back(tag_ in any::<Tag>()) {
            prop_assert_eq!(tag(&value(&tag_)), Some(tag_));
        }

        #[test]
        fn each_tag_has_one_value(text in "[A-Za-z0-9_-]{22}") {
            if let Some(tag) = tag(text.as_bytes()) {
                prop_assert_eq!(&value(&tag), text.as_bytes());
            }
        }
    }
}
