//! An answer of the admin listener.

use std::convert::Infallible;
use std::pin::Pin;

use bytes::Bytes;
use http::StatusCode;

/// The body of an answer.
pub(super) type Body = Pin<Box<dyn hyper::body::Body<Data = Bytes, Error = Infallible>>>;

/// An answer without its body's form.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) kind: &'static str,
    pub(super) body: Bytes,
    /// Where to go on.
    pub(super) location: Option<&'static str>,
}

impl Answer {
    pub(super) fn new(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            kind,
            body: body.into(),
            location: None,
        }
    }

    /// Returns a line of text.
    pub(super) fn line(status: StatusCode, text: &str) -> Self {
        Self::new(status, TEXT, format!("{text}\n"))
    }

    /// Returns one after which the page is loaded anew.
    pub(super) fn back_to_page() -> Self {
        Self {
            location: Some("/"),
            ..Self::line(StatusCode::SEE_OTHER, "done")
        }
    }
}

pub(super) const UNAVAILABLE: StatusCode = StatusCode::SERVICE_UNAVAILABLE;
const TEXT: &str = "text/plain; charset=utf-8";
