//! A text with placeholders, as `https://{host}{path}`: parsed once, written for each request.
//! Pure.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use thiserror::Error;

use crate::model::{write_address, write_number};

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
    /// `{tls_version}`: `TLSv1.3` or `TLSv1.2`; this and what follows is nothing where there is
    /// none.
    TlsVersion,
    /// `{tls_cipher}`: the cipher suite.
    TlsCipher,
    /// `{tls_server_name}`: whom the client has asked for in TLS.
    TlsServerName,
    /// `{client_certificate}`: the subject of the client's certificate.
    ClientCertificate,
    /// `{client_certificate_fingerprint}`: its SHA-256.
    ClientCertificateFingerprint,
}

/// What placeholders stand for in one request.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    /// The client's own address.
    pub client: IpAddr,
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
    /// What is known of its TLS.
    pub tls: TlsValues<'a>,
}

/// What is known of the TLS that a request has come by; empty where it has come without.
#[derive(Clone, Copy, Debug, Default)]
pub struct TlsValues<'a> {
    /// The version.
    pub version: &'a str,
    /// The cipher suite.
    pub cipher: &'a str,
    /// Whom the client has asked for.
    pub server_name: &'a str,
    /// The subject of the client's certificate, visible ASCII alone.
    pub client_certificate: &'a str,
    /// The SHA-256 of that certificate.
    pub fingerprint: &'a str,
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

impl Placeholder {
    /// Every placeholder and its name.
    pub const ALL: [(Self, &'static str); 15] = [
        (Self::Client, "client"),
        (Self::ClientPort, "client_port"),
        (Self::Host, "host"),
        (Self::Method, "method"),
        (Self::Path, "path"),
        (Self::Query, "query"),
        (Self::Scheme, "scheme"),
        (Self::RequestId, "request_id"),
        (Self::Listener, "listener"),
        (Self::Route, "route"),
        (Self::TlsVersion, "tls_version"),
        (Self::TlsCipher, "tls_cipher"),
        (Self::TlsServerName, "tls_server_name"),
        (Self::ClientCertificate, "client_certificate"),
        (
            Self::ClientCertificateFingerprint,
            "client_certificate_fingerprint",
        ),
    ];

    fn of(name: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|(_, known)| *known == name).map(|(it, _)| it)
    }

    fn write(self, values: &Values<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Client => write_address(out, values.client),
            Self::ClientPort => write_number(out, u64::from(values.peer.port())),
            Self::Host => {
                let host = values.host.strip_suffix(b".").unwrap_or(values.host);
                out.extend(host.iter().map(u8::to_ascii_lowercase));
            }
            Self::Method => out.extend_from_slice(values.method),
            Self::Path => out.extend_from_slice(values.path),
            Self::Query => out.extend_from_slice(values.query),
            Self::Scheme => out.extend_from_slice(values.scheme.as_bytes()),
            Self::RequestId => out.extend_from_slice(values.request_id),
            Self::Listener => out.extend_from_slice(values.listener.as_bytes()),
            Self::Route => out.extend_from_slice(values.route.as_bytes()),
            Self::TlsVersion => out.extend_from_slice(values.tls.version.as_bytes()),
            Self::TlsCipher => out.extend_from_slice(values.tls.cipher.as_bytes()),
            Self::TlsServerName => out.extend_from_slice(values.tls.server_name.as_bytes()),
            Self::ClientCertificate => {
                out.extend_from_slice(values.tls.client_certificate.as_bytes());
            }
            Self::ClientCertificateFingerprint => {
                out.extend_from_slice(values.tls.fingerprint.as_bytes());
            }
        }
    }
}

impl Template {
    /// Reads a text; `{{` and `}}` are braces that mean themselves.
    ///
    /// # Errors
    /// When a placeholder is unknown, a brace has no partner, or a byte cannot be in a field.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(char) = rest.chars().next() {
            let behind = &rest[char.len_utf8()..];
            rest = match char {
                '{' | '}' if behind.starts_with(char) => {
                    plain.push(char);
                    &behind[1..]
                }
                '{' => {
                    let (name, behind) = behind.split_once('}').ok_or(TemplateError::Brace)?;
                    let unknown = || TemplateError::Unknown(name.to_owned());
                    let placeholder = Placeholder::of(name).ok_or_else(unknown)?;
                    if !plain.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut plain)));
                    }
                    parts.push(Part::Value(placeholder));
                    behind
                }
                '}' => return Err(TemplateError::Brace),
                '\t' => {
                    plain.push(char);
                    behind
                }
                control if control.is_control() => return Err(TemplateError::Control),
                other => {
                    plain.push(other);
                    behind
                }
            };
        }
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self { parts })
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
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Value(placeholder) => placeholder.write(values, out),
            }
        }
    }
}

/// As it is written, with `{{` and `}}` for braces that mean themselves.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            match part {
                Part::Text(text) => f.write_str(&text.replace('{', "{{").replace('}', "}}"))?,
                Part::Value(placeholder) => {
                    let mut all = Placeholder::ALL.iter();
                    let named = all.find(|(known, _)| known == placeholder);
                    write!(f, "{{{}}}", named.map_or("", |(_, name)| name))?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::logic::http1::rewrite) const VALUES: Values<'static> = Values {
        client: IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7)),
        peer: SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)), 4711),
        host: b"Example.ORG.",
        method: b"GET",
        path: b"/a/b",
        query: b"?c",
        scheme: "https",
        request_id: b"0af3",
        listener: "http",
        route: "api",
        tls: TlsValues {
            version: "TLSv1.3",
            cipher: "TLS13_AES_128_GCM_SHA256",
            server_name: "example.org",
            client_certificate: "CN=a",
            fingerprint: "00ff",
        },
    };

    #[test]
    fn templates_follow_the_table() {
        for (text, hoped) in [
            ("", ""),
            ("plain", "plain"),
            ("https://{host}{path}{query}", "https://example.org/a/b?c"),
            ("{{{client}}}", "{192.0.2.7}"),
            ("{client_port} {method} {scheme}", "4711 GET https"),
            ("{request_id}{listener}{route}", "0af3httpapi"),
            (
                "{tls_version} {tls_cipher} {tls_server_name}",
                "TLSv1.3 TLS13_AES_128_GCM_SHA256 example.org",
            ),
            (
                "{client_certificate} {client_certificate_fingerprint}",
                "CN=a 00ff",
            ),
            ("caf\u{e9}\t", "caf\u{e9}\t"),
        ] {
            let template = Template::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            let mut out = Vec::new();
            template.write(&VALUES, &mut out);
            assert_eq!(template.to_string(), text);
            assert_eq!(String::from_utf8_lossy(&out), hoped, "{text}");
        }
        for (text, hoped) in [
            ("{hots}", TemplateError::Unknown("hots".to_owned())),
            ("{}", TemplateError::Unknown(String::new())),
            ("{{host}", TemplateError::Brace),
            ("{host", TemplateError::Brace),
            ("host}", TemplateError::Brace),
            ("a\r\nb", TemplateError::Control),
            ("a\u{85}b", TemplateError::Control),
        ] {
            assert_eq!(Template::parse(text), Err(hoped), "{text:?}");
        }
        for (placeholder, name) in Placeholder::ALL {
            let template = Template::parse(&format!("{{{name}}}")).expect("it is known");
            assert!(template.has(placeholder), "{name}");
        }
    }
}
