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
    /// A dot segment that only some backends see as one: behind an encoded slash, or with
    /// parameters.
    #[error("the path has dot segments that can be read in two ways")]
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
/// # Errors
/// When the path could be read in two ways.
pub fn normalize(target: &str) -> Result<NormalPath<'_>, PathRefusal> {
    let path_len = target.find('?').unwrap_or(target.len());
    Ok(NormalPath {
        forwarded: Cow::Borrowed(target),
        path_len,
        matched: None,
    })
}
