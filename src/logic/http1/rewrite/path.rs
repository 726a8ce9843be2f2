//! A path in its normal form, so that what a route is matched against is what a backend reads.
//!
//! Backends read paths leniently: they decode octets, merge slashes, resolve dot segments, cut off
//! parameters. A rule on `/admin` that is matched against the bytes of a client would be passed by
//! with `/%61dmin`. What two backends could read in two ways is refused. Pure.

use std::borrow::Cow;

use thiserror::Error;

/// A target in its normal form.
///
/// ```
/// use evenkeel::logic::http1::rewrite::path::normalize;
///
/// let path = normalize("/a/../%61dmin;v=1//caf%c3%a9?x=%61").unwrap();
/// assert_eq!(path.forwarded, "/admin;v=1/caf%c3%a9?x=%61");
/// assert_eq!(path.matched(), "/admin/caf%C3%A9");
/// assert_eq!(path.query(), "?x=%61");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NormalPath<'b> {
    /// What a backend is sent: path and query. Octets that need no encoding are decoded (RFC 3986
    /// §6.2.2.2), slashes merged, dot segments resolved (§5.2.4); the query is as it came.
    pub forwarded: Cow<'b, str>,
    /// Bytes of the path in it, without `?` and query.
    pub path_len: usize,
    /// What routes are matched against where it differs from that path: without the parameters of
    /// segments, with a slash where one is encoded (`%2f`, `%5c`), and other octets in upper case.
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

/// Returns the normal form of a target that begins with a slash (RFC 9112 §3.2.1); any other, as
/// `*`, is returned as it is.
///
/// Most paths are in normal form already: they cost one scan and no allocation.
///
/// # Errors
/// When the path could be read in two ways.
pub fn normalize(target: &str) -> Result<NormalPath<'_>, PathRefusal> {
    match plain_len(target.as_bytes()) {
        Some(path_len) => Ok(NormalPath {
            forwarded: Cow::Borrowed(target),
            path_len,
            matched: None,
        }),
        None => resolve(target),
    }
}

/// Returns the length of a path that is in normal form at first sight: it has no octets, no
/// parameters, no empty segment and none that begins with a dot.
fn plain_len(target: &[u8]) -> Option<usize> {
    let mut before = 0;
    for (at, byte) in target.iter().enumerate() {
        let class = CLASSES[usize::from(*byte)];
        // A slash lies one bit below what must not follow it: one branch for all.
        if class & (before << 1 | STOP) != 0 {
            return (*byte == b'?').then_some(at);
        }
        before = class;
    }
    Some(target.len())
}

/// Returns the normal form of any target.
fn resolve(target: &str) -> Result<NormalPath<'_>, PathRefusal> {
    let (path, query) = target.split_at(target.find('?').unwrap_or(target.len()));
    let Some(path) = path.strip_prefix('/') else {
        return Ok(NormalPath {
            forwarded: Cow::Borrowed(target),
            path_len: target.len() - query.len(),
            matched: None,
        });
    };
    let mut forwarded = String::with_capacity(target.len());
    forwarded.push('/');
    let mut segments = path.split('/').peekable();
    // Before each segment there is a slash already, and nothing else if it is the first.
    while let Some(segment) = segments.next() {
        let start = forwarded.len();
        decode(segment, &mut forwarded)?;
        match Segment::of(&forwarded[start..]) {
            Segment::Empty => {}
            Segment::Here => forwarded.truncate(start),
            Segment::Up => {
                let parent = forwarded[..start - 1].rfind('/');
                forwarded.truncate(parent.ok_or(PathRefusal::AboveRoot)? + 1);
            }
            Segment::Ambiguous => return Err(PathRefusal::Ambiguous),
            Segment::Name if segments.peek().is_some() => forwarded.push('/'),
            Segment::Name => {}
        }
    }
    let matched = matched(&forwarded);
    let path_len = forwarded.len();
    forwarded.push_str(query);
    Ok(NormalPath {
        forwarded: if forwarded == target {
            Cow::Borrowed(target)
        } else {
            Cow::Owned(forwarded)
        },
        path_len,
        matched,
    })
}

/// What a segment is, once it is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Segment {
    Empty,
    /// `.`
    Here,
    /// `..`
    Up,
    /// What only some backends see.
    Ambiguous,
    Name,
}

impl Segment {
    fn of(text: &str) -> Self {
        match text {
            "" => Self::Empty,
            "." => Self::Here,
            ".." => Self::Up,
            text if is_ambiguous(text) => Self::Ambiguous,
            _ => Self::Name,
        }
    }
}

/// Returns what routes are matched against, if it differs from the path that is forwarded.
fn matched(path: &str) -> Option<String> {
    if !path.contains(['%', ';']) {
        return None;
    }
    let mut matched = String::with_capacity(path.len());
    for segment in path.split('/').skip(1) {
        // No slash is encoded in what is cut off.
        for part in parts(without_parameters(segment)) {
            if !matched.ends_with('/') {
                matched.push('/');
            }
            push_in_upper_case(part, &mut matched);
        }
    }
    (matched != path).then_some(matched)
}

/// Appends a segment, with those octets decoded that need no encoding.
fn decode(segment: &str, out: &mut String) -> Result<(), PathRefusal> {
    let mut rest = segment;
    while let Some((before, behind)) = rest.split_once('%') {
        out.push_str(before);
        let (digits, behind) = behind.split_at_checked(2).ok_or(PathRefusal::Octet)?;
        match octet(digits).ok_or(PathRefusal::Octet)? {
            byte if is_unreserved(byte) => out.push(char::from(byte)),
            byte if byte.is_ascii_control() => return Err(PathRefusal::Octet),
            _ => {
                out.push('%');
                out.push_str(digits);
            }
        }
        rest = behind;
    }
    out.push_str(rest);
    Ok(())
}

/// Returns the byte that two hexadecimal digits stand for.
fn octet(digits: &str) -> Option<u8> {
    // A sign would pass for a digit otherwise.
    let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_hex.then(|| u8::from_str_radix(digits, 16).ok())?
}

/// RFC 3986 §2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Returns whether only some backends see a dot segment in a segment, or see what is behind an
/// encoded slash in its parameters: servers that decode last have cut that off.
fn is_ambiguous(segment: &str) -> bool {
    let parameters = &segment[without_parameters(segment).len()..];
    find_octet(parameters, SLASHES).is_some()
        || parts(segment).any(|part| matches!(without_parameters(part), "." | ".."))
}

/// Returns what is between the encoded slashes of a segment: itself where it has none.
fn parts(segment: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(segment);
    std::iter::from_fn(move || {
        let text = rest?;
        let slash = find_octet(text, SLASHES);
        rest = slash.map(|at| &text[at + 3..]);
        Some(slash.map_or(text, |at| &text[..at]))
    })
}

/// Returns a part of a segment up to its parameters, however they are written: some backends decode
/// first.
fn without_parameters(part: &str) -> &str {
    let part = part.split(';').next().unwrap_or(part);
    find_octet(part, b";").map_or(part, |at| &part[..at])
}

/// Returns where the first octet of a text is that stands for one of these bytes.
fn find_octet(text: &str, bytes: &[u8]) -> Option<usize> {
    let mut octets = text.match_indices('%').map(|(at, _)| at);
    octets.find(|at| {
        let byte = text.get(at + 1..at + 3).and_then(octet);
        byte.is_some_and(|byte| bytes.contains(&byte))
    })
}

/// Appends a text that has been decoded, with the digits of its octets in upper case (RFC 3986
/// §6.2.2.1).
fn push_in_upper_case(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('%') {
        let (digits, behind) = behind.split_at_checked(2).unwrap_or((behind, ""));
        out.push_str(before);
        out.push('%');
        out.extend(digits.chars().map(|digit| digit.to_ascii_uppercase()));
        rest = behind;
    }
    out.push_str(rest);
}

/// What backends take for a slash.
const SLASHES: &[u8] = b"/\\";
/// What bytes mean for a path at first sight.
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    classes[b'/' as usize] = SLASH | AFTER_SLASH;
    classes[b'.' as usize] = AFTER_SLASH;
    classes[b'%' as usize] = STOP;
    classes[b';' as usize] = STOP;
    classes[b'?' as usize] = STOP;
    classes
};
/// A slash.
const SLASH: u8 = 1;
/// What takes a closer look behind a slash.
const AFTER_SLASH: u8 = SLASH << 1;
/// What takes a closer look anywhere, or ends the path.
const STOP: u8 = AFTER_SLASH << 1;

#[cfg(test)]
mod tests {
    use super::*;

    /// What a target becomes: what is forwarded, and what is matched.
    fn normal(target: &str) -> Result<(String, String), PathRefusal> {
        let path = normalize(target)?;
        Ok((path.forwarded.to_string(), path.matched().to_owned()))
    }

    fn check(cases: &[(&str, &str, &str)]) {
        for (target, forwarded, matched) in cases {
            let hoped = Ok(((*forwarded).to_owned(), (*matched).to_owned()));
            assert_eq!(normal(target), hoped, "{target}");
        }
    }

    /// RFC 3986 §6.2.2.
    #[test]
    fn octets_that_need_no_encoding_are_decoded() {
        check(&[
            ("/%61dmin", "/admin", "/admin"),
            ("/%41%5a%30%2D%5f%7E", "/AZ0-_~", "/AZ0-_~"),
            ("/a%2eb", "/a.b", "/a.b"),
            ("/caf%c3%a9", "/caf%c3%a9", "/caf%C3%A9"),
            ("/caf%C3%A9", "/caf%C3%A9", "/caf%C3%A9"),
            ("/a%20b", "/a%20b", "/a%20b"),
            ("/%40%3a%2b", "/%40%3a%2b", "/%40%3A%2B"),
            ("/a%3bb/c", "/a%3bb/c", "/a/c"),
            ("/%3b/a", "/%3b/a", "/a"),
            ("/a%3B", "/a%3B", "/a"),
            ("/a%2fb%3bc/d", "/a%2fb%3bc/d", "/a/b/d"),
            // What is encoded twice stays so: the text of an octet is not decoded again.
            ("/%2561", "/%2561", "/%2561"),
            ("/%252e%252e/a", "/%252e%252e/a", "/%252e%252e/a"),
            ("/%25%36%31", "/%2561", "/%2561"),
            ("/a%252fb", "/a%252fb", "/a%252fb"),
        ]);
    }

    #[test]
    fn octets_that_are_encoded_wrongly_are_refused() {
        for target in [
            "/%",
            "/%2",
            "/%zz",
            "/%2g",
            "/%g2",
            "/a%/b",
            "/%+1",
            "/% 1",
            "/%%41",
            "/%u0041",
            "/%2?f",
            "/%00",
            "/%0a",
            "/%0D",
            "/%1f",
            "/%7f",
            "/a/../%09",
            "/é%é",
        ] {
            assert_eq!(normal(target), Err(PathRefusal::Octet), "{target}");
        }
    }

    #[test]
    fn slashes_are_merged() {
        check(&[
            ("//", "/", "/"),
            ("///a", "/a", "/a"),
            ("/a//b", "/a/b", "/a/b"),
            ("/a///b////", "/a/b/", "/a/b/"),
            ("//a?b//c", "/a?b//c", "/a"),
            ("/a//../b", "/b", "/b"),
            ("//a/b/..//", "/a/", "/a/"),
        ]);
    }

    /// RFC 3986 §5.2.4; §5.4.1 and §5.4.2 with the base `/b/c/d;p?q`.
    #[test]
    fn dot_segments_are_resolved() {
        check(&[
            ("/a/b/c/./../../g", "/a/g", "/a/g"),
            ("/.", "/", "/"),
            ("/./", "/", "/"),
            ("/a/.", "/a/", "/a/"),
            ("/a/./", "/a/", "/a/"),
            ("/a/..", "/", "/"),
            ("/a/b/..", "/a/", "/a/"),
            ("/a/b/../", "/a/", "/a/"),
            ("/a/b/../..", "/", "/"),
            ("/a/%2e%2E/b", "/b", "/b"),
            ("/a/.%2e/b", "/b", "/b"),
            ("/a/%2e/b", "/a/b", "/a/b"),
            ("/b/c/g", "/b/c/g", "/b/c/g"),
            ("/b/c/./g", "/b/c/g", "/b/c/g"),
            ("/b/c/g/", "/b/c/g/", "/b/c/g/"),
            ("/b/c/g?y", "/b/c/g?y", "/b/c/g"),
            ("/b/c/g?y/./x", "/b/c/g?y/./x", "/b/c/g"),
            ("/b/c/g?y/../x", "/b/c/g?y/../x", "/b/c/g"),
            ("/b/c/d;p?y", "/b/c/d;p?y", "/b/c/d"),
            ("/b/c/;x", "/b/c/;x", "/b/c/"),
            ("/b/c/g;x", "/b/c/g;x", "/b/c/g"),
            ("/b/c/g;x?y", "/b/c/g;x?y", "/b/c/g"),
            ("/b/c/..", "/b/", "/b/"),
            ("/b/c/../", "/b/", "/b/"),
            ("/b/c/../g", "/b/g", "/b/g"),
            ("/b/c/../..", "/", "/"),
            ("/b/c/../../", "/", "/"),
            ("/b/c/../../g", "/g", "/g"),
            ("/b/c/g.", "/b/c/g.", "/b/c/g."),
            ("/b/c/.g", "/b/c/.g", "/b/c/.g"),
            ("/b/c/g..", "/b/c/g..", "/b/c/g.."),
            ("/b/c/..g", "/b/c/..g", "/b/c/..g"),
            ("/b/c/...", "/b/c/...", "/b/c/..."),
            ("/b/c/./../g", "/b/g", "/b/g"),
            ("/b/c/./g/.", "/b/c/g/", "/b/c/g/"),
            ("/b/c/g/./h", "/b/c/g/h", "/b/c/g/h"),
            ("/b/c/g/../h", "/b/c/h", "/b/c/h"),
            ("/b/c/g;x=1/./y", "/b/c/g;x=1/y", "/b/c/g/y"),
            ("/b/c/g;x=1/../y", "/b/c/y", "/b/c/y"),
            ("/a%2fb/../c", "/c", "/c"),
            ("/a/;/../c", "/a/c", "/a/c"),
        ]);
    }

    /// RFC 3986 §5.4.2 has them at the root; no client that means well writes them.
    #[test]
    fn paths_above_the_root_are_refused() {
        for target in [
            "/..",
            "/../",
            "/../a",
            "/%2e%2e/a",
            "/./..",
            "/a/../..",
            "/a/../../b",
            "//..",
            "/a//../../b",
            "/b/c/../../../g",
            "/b/c/../../../../g",
            "/..?a",
        ] {
            assert_eq!(normal(target), Err(PathRefusal::AboveRoot), "{target}");
        }
    }

    #[test]
    fn dot_segments_that_only_some_backends_see_are_refused() {
        for target in [
            "/a/..%2fb",
            "/a/..%2Fb",
            "/a/%2e%2e%2fb",
            "/a%2f..%2fb",
            "/a%2f..",
            "/a%2f../b",
            "/a%5c../b",
            "/a%5C..%5Cb",
            "/..%5ca",
            "/.%2fa",
            "/a%2f.",
            "/a%2f./b",
            "/a%2f%2e",
            "/..;/",
            "/a/..;",
            "/a/..;/b",
            "/.;x/",
            "/a/..;a=b/c",
            "/a/.;",
            "/%2e%2e;/a",
            "/a;x%2f..",
            "/a;x%2f..;y/b",
            "/..;%2f",
            "/a/..%3b/b",
            "/a/.%3Bx",
            "/..%3Bx%3by",
            // To a server that cuts parameters off first, they are `/a`.
            "/a;%2fb",
            "/a;x%5Cb/c",
            "/a;x;y%2F",
        ] {
            assert_eq!(normal(target), Err(PathRefusal::Ambiguous), "{target}");
        }
    }

    #[test]
    fn parameters_and_encoded_slashes_are_not_matched() {
        check(&[
            ("/a;v=1/b;c", "/a;v=1/b;c", "/a/b"),
            ("/a;/b", "/a;/b", "/a/b"),
            ("/;x", "/;x", "/"),
            ("/;x/a", "/;x/a", "/a"),
            ("/a/;/b", "/a/;/b", "/a/b"),
            ("/a/;x", "/a/;x", "/a/"),
            ("/a;x/", "/a;x/", "/a/"),
            ("/a;..", "/a;..", "/a"),
            ("/a;x;y?b;c", "/a;x;y?b;c", "/a"),
            ("/a%2fb", "/a%2fb", "/a/b"),
            ("/a%5Cb", "/a%5Cb", "/a/b"),
            ("/a%2f", "/a%2f", "/a/"),
            ("/a%2f/b", "/a%2f/b", "/a/b"),
            ("/%2f%5c%2Fa", "/%2f%5c%2Fa", "/a"),
            ("/a%2f;x", "/a%2f;x", "/a/"),
            ("/a%2fb;c/d", "/a%2fb;c/d", "/a/b/d"),
        ]);
    }

    #[test]
    fn what_is_normal_is_not_copied() {
        for target in [
            "/",
            "/a",
            "/a/b.c/d",
            "/a/",
            "/a?b=%zz;//..",
            "/a~b_c-d",
            "/?",
            "/a@b:c=d&e",
            "*",
            "",
            "?x",
            "a;b",
        ] {
            let path = normalize(target).expect("it is normal");
            assert_eq!(path.matched, None, "{target}");
            assert!(
                matches!(path.forwarded, Cow::Borrowed(text) if text == target),
                "{target}"
            );
            assert_eq!(path.path_len, target.find('?').unwrap_or(target.len()));
        }
        for target in ["/.well-known/a", "/a;b", "/%C3", "/...", "/a%2fb?c"] {
            let path = normalize(target).expect("it is normal");
            assert!(matches!(path.forwarded, Cow::Borrowed(_)), "{target}");
        }
    }

    /// A backend that reads as leniently as any: parameters cut off, everything decoded, any slash
    /// a slash, slashes merged, dot segments resolved.
    fn read_leniently(path: &str) -> Vec<u8> {
        let mut text = Vec::new();
        for segment in path.split('/').skip(1) {
            text.push(b'/');
            let name = segment.split(';').next().unwrap_or_default();
            text.extend(read_octets(name));
        }
        let mut segments: Vec<&[u8]> = vec![b""];
        let is_slash = |byte: &u8| matches!(byte, b'/' | b'\\');
        let mut is_open = false;
        for segment in text.split(is_slash) {
            let segment = segment.split(|&byte| byte == b';').next();
            let segment = segment.unwrap_or_default();
            is_open = matches!(segment, b"" | b"." | b"..");
            match segment {
                b"" | b"." => {}
                b".." => segments.truncate((segments.len() - 1).max(1)),
                name => segments.push(name),
            }
        }
        if is_open {
            segments.push(b"");
        }
        segments.join(&b'/')
    }

    fn read_octets(text: &str) -> Vec<u8> {
        let mut bytes = text.bytes();
        let mut read = Vec::new();
        while let Some(byte) = bytes.next() {
            read.push(match byte {
                b'%' => {
                    let digits = [bytes.next(), bytes.next()].map(Option::unwrap_or_default);
                    let digits = std::str::from_utf8(&digits).expect("digits");
                    u8::from_str_radix(digits, 16).expect("digits")
                }
                byte => byte,
            });
        }
        read
    }

    fn random_target(seed: u64) -> String {
        const WORDS: [&str; 26] = [
            "/", "/", "/", "/", "/", ".", ".", "..", "a", "b", "admin", "%2e", "%2E", "%61", "%2f",
            "%5C", ";", ";x=1", "%3b", "%c3", "%C3", "%25", "2f", "%0a", "%", "?",
        ];
        let mut chance = fastrand::Rng::with_seed(seed);
        let words = (0..chance.usize(1..12)).map(|_| WORDS[chance.usize(..WORDS.len())]);
        format!("/{}", words.collect::<String>())
    }

    #[test]
    fn a_lenient_backend_reads_what_was_matched() {
        let mut accepted = 0;
        for seed in 0..50_000 {
            let target = random_target(seed);
            let Ok(path) = normalize(&target) else {
                continue;
            };
            accepted += 1;
            let matched = path.matched();
            let (forwarded, query) = path.forwarded.split_at(path.path_len);
            let came = target.find('?').map_or("", |at| &target[at..]);
            assert_eq!(query, came, "seed {seed}: {target}");
            // Some servers decode slashes before they cut parameters off.
            let decoded = ["%2f", "%2F", "%5c", "%5C"]
                .iter()
                .fold(forwarded.to_owned(), |path, slash| path.replace(slash, "/"));
            for path in [forwarded, &decoded] {
                assert_eq!(
                    read_leniently(path),
                    read_octets(matched),
                    "seed {seed}: {target} is forwarded as {forwarded}"
                );
            }
            let is_dots = |segment: &str| matches!(segment, "." | "..");
            for text in [forwarded, matched] {
                let dots = text.split('/').any(is_dots);
                assert!(!text.contains("//") && !dots, "seed {seed}: {target}");
            }
            assert!(!matched.contains(';'), "seed {seed}: {target}");
        }
        assert!(accepted > 10_000, "{accepted} were accepted");
    }

    #[test]
    fn the_normal_form_of_a_normal_form_is_itself() {
        for seed in 0..50_000 {
            let target = random_target(seed);
            let Ok(path) = normalize(&target) else {
                continue;
            };
            let again = normalize(&path.forwarded);
            assert_eq!(again.as_ref(), Ok(&path), "seed {seed}: {target}");
            let path = normalize(path.matched()).expect("what is matched has a normal form");
            assert_eq!(path.matched(), path.forwarded, "seed {seed}: {target}");
        }
    }
}
