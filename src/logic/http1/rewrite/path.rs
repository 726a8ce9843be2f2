//! A path in its normal form, so that what a route is matched against is what a backend reads.
//!
//! Backends read paths leniently: they decode octets, merge slashes, resolve dot segments, cut off
//! parameters. A rule on `/admin` that is matched against the bytes of a client would be passed by
//! with `/%61dmin`. Pure.

use std::borrow::Cow;

use thiserror::Error;

/// A target in its normal form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NormalPath<'b> {
    /// What a backend is sent: path and query. Octets that need no encoding are decoded (RFC 3986
    /// §6.2.2.2), slashes merged, dot segments resolved (§5.2.4); the query is as it came.
    pub forwarded: Cow<'b, str>,
    /// Bytes of the path in it, without `?` and query.
    pub path_len: usize,
    /// What routes are matched against where it differs from that path: without the parameters of
    /// segments, and with a slash where one is encoded (`%2f`, `%5c`).
    pub matched: Option<String>,
}

impl NormalPath<'_> {
    /// Returns the path that routes are matched against.
    pub fn matched(&self) -> &str {
        match &self.matched {
            Some(matched) => matched,
            None => &self.forwarded[..self.path_len],
        }
    }

    /// Returns the query with its `?`; empty where there is none.
    pub fn query(&self) -> &str {
        &self.forwarded[self.path_len..]
    }
}

/// Why a path has no normal form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PathRefusal {
    /// A segment that only some backends see: a dot segment beside an encoded slash or with
    /// parameters, or any behind an encoded slash in parameters.
    #[error("the path has segments that can be read in two ways")]
    Ambiguous,
    /// `..` leads out of the root.
    #[error("the path leads above the root")]
    AboveRoot,
    /// A `%` without two hexadecimal digits, or an encoded control byte.
    #[error("the path has an octet that is encoded wrongly")]
    Octet,
}

impl PathRefusal {
    /// Returns one word for the answer's body and the log.
    pub const fn token(self) -> &'static str {
        match self {
            Self::Ambiguous => "path_ambiguous",
            Self::AboveRoot => "path_above_root",
            Self::Octet => "path_octet",
        }
    }
}

/// Returns the normal form of a target that begins with a slash (RFC 9112 §3.2.1).
///
/// ```
/// use evenkeel::logic::http1::rewrite::path::normalize;
///
/// let path = normalize("//a/./b;v=1/../%61?c").unwrap();
/// assert_eq!((&*path.forwarded, path.matched()), ("/a/a?c", "/a/a"));
/// let path = normalize("/a%2fb;v=1").unwrap();
/// assert_eq!((&*path.forwarded, path.matched()), ("/a%2fb;v=1", "/a/b"));
/// ```
///
/// # Errors
/// When the path could be read in two ways.
pub fn normalize(target: &str) -> Result<NormalPath<'_>, PathRefusal> {
    let path_len = target.find('?').unwrap_or(target.len());
    if is_normal(&target.as_bytes()[..path_len]) {
        return Ok(NormalPath {
            forwarded: Cow::Borrowed(target),
            path_len,
            matched: None,
        });
    }
    let (path, query) = target.split_at(path_len);
    let path = Segments::of(path)?;
    let mut forwarded = path.forwarded();
    let matched = path.matched();
    let path_len = forwarded.len();
    let is_other = matched != forwarded;
    forwarded.push_str(query);
    Ok(NormalPath {
        forwarded: Cow::Owned(forwarded),
        path_len,
        matched: is_other.then_some(matched),
    })
}

/// Returns whether nothing of a path can be read in two ways, after one look at each byte.
fn is_normal(path: &[u8]) -> bool {
    let mut before = 0;
    let mut odd = false;
    for &byte in path {
        odd |= (byte == b'%') | (byte == b';');
        odd |= (before == b'/') & ((byte == b'/') | (byte == b'.'));
        before = byte;
    }
    !odd
}

/// What a path has between its slashes, decoded as far as it may be, without dot segments.
struct Segments {
    kept: Vec<String>,
    /// Whether it ends in a slash.
    ends: bool,
}

impl Segments {
    /// RFC 3986 §5.2.4, §6.2.2; `path` begins with a slash.
    fn of(path: &str) -> Result<Self, PathRefusal> {
        let mut kept: Vec<String> = Vec::new();
        let mut ends = true;
        for raw in path.strip_prefix('/').unwrap_or(path).split('/') {
            let segment = decoded(raw)?;
            ends = true;
            match segment.as_str() {
                "" | "." => {}
                ".." => {
                    kept.pop().ok_or(PathRefusal::AboveRoot)?;
                }
                other => {
                    if is_ambiguous(other) {
                        return Err(PathRefusal::Ambiguous);
                    }
                    ends = false;
                    kept.push(segment);
                }
            }
        }
        Ok(Self { kept, ends })
    }

    fn forwarded(&self) -> String {
        let mut path: String = self.kept.iter().flat_map(|it| ["/", it]).collect();
        if self.ends {
            path.push('/');
        }
        path
    }

    fn matched(&self) -> String {
        let mut path = String::new();
        let mut ends = self.ends;
        for (index, segment) in self.kept.iter().enumerate() {
            for part in parts(segment) {
                if !part.is_empty() {
                    path.push('/');
                    path.push_str(&upper(part));
                }
                let is_last = index + 1 == self.kept.len();
                ends = self.ends || is_last && part.is_empty();
            }
        }
        if ends {
            path.push('/');
        }
        path
    }
}

/// Returns whether only some backends see a dot segment in a segment, or see what is behind an
/// encoded slash in its parameters: servers that decode last have cut that off.
fn is_ambiguous(segment: &str) -> bool {
    let parameters = segment.find(';').map_or("", |at| &segment[at..]);
    // Others decode first: a semicolon may be encoded, too.
    let is_dots = |part: &&str| {
        let name = part.find("%3").map_or(*part, |at| &part[..at]);
        matches!(*part, "." | "..")
            || matches!(name, "." | "..")
                && part[name.len()..].to_ascii_lowercase().starts_with("%3b")
    };
    parts(parameters).len() > 1 || parts(segment).iter().any(is_dots)
}

/// Returns what a lenient backend sees in a segment: what stands between encoded slashes, each
/// without its parameters.
fn parts(segment: &str) -> Vec<&str> {
    let bytes = segment.as_bytes();
    let mut parts = Vec::new();
    let mut from = 0;
    let mut at = 0;
    while at < bytes.len() {
        // What follows a `%` was looked at before.
        if bytes[at] == b'%' && matches!(&bytes[at + 1..at + 3], b"2f" | b"2F" | b"5c" | b"5C") {
            parts.push(&segment[from..at]);
            from = at + 3;
            at += 2;
        }
        at += 1;
    }
    parts.push(&segment[from..]);
    let plain = |part: &&'_ str| part.find(';').unwrap_or(part.len());
    parts.iter().map(|part| &part[..plain(part)]).collect()
}

/// Decodes the octets of a segment that need no encoding (RFC 3986 §2.3).
fn decoded(raw: &str) -> Result<String, PathRefusal> {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('%') {
        text.push_str(&rest[..at]);
        let octet = rest.get(at + 1..at + 3).ok_or(PathRefusal::Octet)?;
        if !octet.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(PathRefusal::Octet);
        }
        let value = u8::from_str_radix(octet, 16).map_err(|_| PathRefusal::Octet)?;
        match value {
            0..=0x1f | 0x7f => return Err(PathRefusal::Octet),
            b'-' | b'.' | b'_' | b'~' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => {
                text.push(char::from(value));
            }
            _ => text.push_str(&rest[at..at + 3]),
        }
        rest = &rest[at + 3..];
    }
    text.push_str(rest);
    Ok(text)
}

/// Returns a text whose encoded octets have large digits.
fn upper(part: &str) -> Cow<'_, str> {
    if !part.contains('%') {
        return Cow::Borrowed(part);
    }
    let mut left = 0_u8;
    let chars = part.chars().map(|char| {
        left = if char == '%' { 3 } else { left };
        let is_octet = left > 0;
        left = left.saturating_sub(1);
        if is_octet {
            char.to_ascii_uppercase()
        } else {
            char
        }
    });
    Cow::Owned(chars.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_follow_the_table() {
        for (target, forwarded, matched) in [
            ("/", "/", "/"),
            ("/?a=//../%zz", "/?a=//../%zz", "/"),
            ("/a/b", "/a/b", "/a/b"),
            ("/a/", "/a/", "/a/"),
            ("//", "/", "/"),
            ("//a///b//", "/a/b/", "/a/b/"),
            ("/./a", "/a", "/a"),
            ("/a/.", "/a/", "/a/"),
            ("/a/..", "/", "/"),
            ("/a/b/..", "/a/", "/a/"),
            ("/a/b/../c?d", "/a/c?d", "/a/c"),
            // RFC 3986 §5.2.4.
            ("/a/b/c/./../../g", "/a/g", "/a/g"),
            ("/.well-known/x", "/.well-known/x", "/.well-known/x"),
            ("/..a/...", "/..a/...", "/..a/..."),
            ("/%61%2D%7e", "/a-~", "/a-~"),
            ("/%2e/a/%2E%2e/b", "/b", "/b"),
            ("/%c3%A4", "/%c3%A4", "/%C3%A4"),
            ("/%252e%252e/", "/%252e%252e/", "/%252e%252e/"),
            ("/a%2fb", "/a%2fb", "/a/b"),
            ("/a%5Cb%2f", "/a%5Cb%2f", "/a/b/"),
            ("/a%2f%2fb", "/a%2f%2fb", "/a/b"),
            ("/a;x=1/b;y", "/a;x=1/b;y", "/a/b"),
            ("/;x/a", "/;x/a", "/a"),
            ("/a/;x", "/a/;x", "/a/"),
            ("/a%2fb;x", "/a%2fb;x", "/a/b"),
            ("/%3b", "/%3b", "/%3B"),
        ] {
            let path = normalize(target).unwrap_or_else(|error| panic!("{target}: {error}"));
            assert_eq!(path.forwarded, forwarded, "{target}");
            assert_eq!(path.matched(), matched, "{target}");
        }
        for (target, refusal) in [
            ("/..", PathRefusal::AboveRoot),
            ("/a/../../b", PathRefusal::AboveRoot),
            ("/%2e%2e/", PathRefusal::AboveRoot),
            ("/a/..%2fb", PathRefusal::Ambiguous),
            ("/a/..%3b/b", PathRefusal::Ambiguous),
            ("/a/.%3Bx", PathRefusal::Ambiguous),
            // To a server that cuts parameters off first, it is `/a`.
            ("/a;x%2fb", PathRefusal::Ambiguous),
            ("/a;%5Cb/c", PathRefusal::Ambiguous),
            ("/a%2f..%2Fb", PathRefusal::Ambiguous),
            ("/a%5c%2e%2e/b", PathRefusal::Ambiguous),
            ("/a/..;/b", PathRefusal::Ambiguous),
            ("/a/.;x=1/b", PathRefusal::Ambiguous),
            ("/%", PathRefusal::Octet),
            ("/%4", PathRefusal::Octet),
            ("/%4/a", PathRefusal::Octet),
            ("/%zz", PathRefusal::Octet),
            ("/%+1", PathRefusal::Octet),
            ("/%00", PathRefusal::Octet),
            ("/%0a", PathRefusal::Octet),
            ("/%7F", PathRefusal::Octet),
        ] {
            assert_eq!(normalize(target), Err(refusal), "{target}");
        }
    }

    /// What a backend is sent has that normal form too, and what is matched has nothing to decode.
    #[test]
    fn a_normal_form_stays_as_it_is() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut chance = fastrand::Rng::with_seed(seed);
        let pieces = [
            "/", "/", "a", ".", "..", "%2e", "%2F", "%5c", ";", "%41", "%c3", "b", "?", "%25", "~",
        ];
        for _ in 0..20_000 {
            let count = chance.usize(0..10);
            let text = (0..count).map(|_| pieces[chance.usize(..pieces.len())]);
            let target = format!("/{}", text.collect::<String>());
            let Ok(path) = normalize(&target) else {
                continue;
            };
            let again = normalize(&path.forwarded)
                .unwrap_or_else(|error| panic!("{target} to {}: {error}", path.forwarded));
            assert_eq!(again.forwarded, path.forwarded, "{target}");
            assert_eq!(again.matched(), path.matched(), "{target}");
            let matched = path.matched();
            assert!(
                matched.starts_with('/') && !matched.contains("//"),
                "{target}: {matched}"
            );
            let is_dots = |part: &str| matches!(part, "." | "..");
            assert!(!matched.split('/').any(is_dots), "{target}: {matched}");
        }
    }
}
