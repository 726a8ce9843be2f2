//! Which certificate is for which name of a server (RFC 9525 §6.3): exact, or `*` in the place of
//! one label.

use std::collections::BTreeMap;

/// The names of many certificates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerNames {
    exact: BTreeMap<String, usize>,
    /// By what stands behind the `*.`.
    wild: BTreeMap<String, usize>,
}

impl ServerNames {
    /// Returns the names of certificates, by their index; of those with the same name the first is
    /// found.
    pub fn new(names: &[Vec<String>]) -> Self {
        let mut all = Self::default();
        for (index, names) in names.iter().enumerate() {
            for name in names {
                let (names, name) = match name.strip_prefix("*.") {
                    Some(rest) => (&mut all.wild, rest),
                    None => (&mut all.exact, name.as_str()),
                };
                if let Some(name) = normalized(name) {
                    names.entry(name).or_insert(index);
                }
            }
        }
        all
    }

    /// Returns the certificate for a name; an exact one before any with `*`.
    pub fn find(&self, name: &str) -> Option<usize> {
        let name = normalized(name)?;
        if let Some(index) = self.exact.get(&name) {
            return Some(*index);
        }
        let (_, rest) = name.split_once('.')?;
        self.wild.get(rest).copied()
    }
}

/// Returns whether a text is the name of a server, and no address.
pub fn is_server_name(text: &str) -> bool {
    normalized(text).is_some()
}

/// Returns a name in lower case and without its last dot; `None` where it is no name of a server:
/// an address is none (RFC 6066 §3).
fn normalized(name: &str) -> Option<String> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_label = |label: &str| {
        let right = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=63).contains(&label.len()) && label.bytes().all(right)
    };
    let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    let is_name = name.len() <= 253
        && name.split('.').all(is_label)
        && !name.rsplit('.').next().is_some_and(is_number);
    is_name.then(|| name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(all: &[&[&str]]) -> ServerNames {
        let owned = |names: &&[&str]| names.iter().map(ToString::to_string).collect();
        ServerNames::new(&all.iter().map(owned).collect::<Vec<_>>())
    }

    #[test]
    fn names_follow_the_table() {
        let all = names(&[
            &["www.example.org", "*.example.org"],
            &["*.example.net", "www.example.org"],
            &[
                "api.example.org",
                "xn--bcher-kva.example",
                "_sip.example.org.",
            ],
            &["192.0.2.1", "a..b", "", "*.org"],
        ]);
        for (name, hoped) in [
            ("www.example.org", Some(0)),
            ("WWW.Example.ORG.", Some(0)),
            ("api.example.org", Some(2)),
            ("other.example.org", Some(0)),
            ("_sip.example.org", Some(2)),
            ("x.example.net", Some(1)),
            ("example.net", None),
            ("a.b.example.net", None),
            ("xn--bcher-kva.example", Some(2)),
            ("example.org", Some(3)),
            ("192.0.2.1", None),
            ("*.example.net", None),
            ("", None),
            (".", None),
            ("a..b", None),
            (".example.org", None),
            ("www.example.org..", None),
            ("www example.org", None),
            ("b\u{fc}cher.example", None),
        ] {
            assert_eq!(all.find(name), hoped, "{name:?}");
        }
        let long = format!("{}.example.org", "a".repeat(64));
        assert_eq!(all.find(&long), None, "a label has 63 bytes");
        let long = "a.".repeat(130) + "org";
        assert_eq!(all.find(&long), None, "a name has 253");
    }

    proptest! {
        #[test]
        fn a_name_is_found_however_it_is_written(name in "[a-z]{1,9}(\\.[a-z0-9-]{1,9}){0,3}\\.[a-z]{2}") {
            let all = names(&[&[&name]]);
            prop_assert_eq!(all.find(&name), Some(0));
            prop_assert_eq!(all.find(&(name.to_uppercase() + ".")), Some(0));
            prop_assert_eq!(all.find(&format!("x{name}")), None);
        }

        #[test]
        fn no_text_panics(name in ".*", other in ".*") {
            let _ = names(&[&[&name]]).find(&other);
        }
    }
}
