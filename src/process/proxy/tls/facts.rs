//! What a request is told of the TLS that it has come by.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};

use crate::logic::access::TlsParts;
use crate::logic::balance::retry::Order;
use crate::logic::http1::rewrite::template::TlsValues;
use crate::logic::tls::x509::Certificate;
use crate::model::to_hex;
use crate::process::proxy::io::tls::Agreed;

/// Of one connection.
#[derive(Clone, Debug)]
pub(in crate::process::proxy) struct TlsFacts {
    pub(in crate::process::proxy) version: &'static str,
    pub(in crate::process::proxy) cipher: &'static str,
    /// Whom the client has asked for.
    pub(in crate::process::proxy) server_name: Option<Box<str>>,
    pub(in crate::process::proxy) resumed: bool,
    pub(in crate::process::proxy) client: Option<ClientCertificate>,
    /// How long the handshake took, where timestamps are taken.
    pub(in crate::process::proxy) handshake: Option<Duration>,
}

/// Who the client has shown to be.
#[derive(Clone, Debug)]
pub(in crate::process::proxy) struct ClientCertificate {
    /// As RFC 4514 writes it.
    pub(in crate::process::proxy) subject: Box<str>,
    /// SHA-256 of the certificate, in hexadecimal digits.
    pub(in crate::process::proxy) fingerprint: Box<str>,
}

impl TlsFacts {
    /// Returns what was agreed upon in a handshake.
    pub(in crate::process::proxy) fn new(agreed: Agreed<'_>, handshake: Option<Duration>) -> Self {
        Self {
            version: agreed.version,
            cipher: agreed.cipher,
            server_name: agreed.server_name.map(Into::into),
            resumed: agreed.resumed,
            client: agreed.certificate.map(|der| ClientCertificate {
                subject: Certificate::parse(der)
                    .map(|it| visible(&it.subject.to_string()))
                    .unwrap_or_default(),
                fingerprint: to_hex(digest(&SHA256, der).as_ref()).into(),
            }),
            handshake,
        }
    }

    /// Returns what the log says of it beside a request.
    pub(in crate::process::proxy) fn parts(&self, order: Order) -> TlsParts<'_> {
        let client = self.client.as_ref();
        TlsParts {
            version: self.version,
            cipher: self.cipher,
            server_name: self.server_name.as_deref(),
            resumed: self.resumed,
            client_certificate: client.map(|client| &*client.subject),
            fingerprint: client.map(|client| &*client.fingerprint),
            handshake: match order {
                Order::First => self.handshake,
                Order::Later => None,
            },
        }
    }

    /// Returns what placeholders stand for.
    pub(in crate::process::proxy) fn values(&self) -> TlsValues<'_> {
        let client = self.client.as_ref();
        TlsValues {
            version: self.version,
            cipher: self.cipher,
            server_name: self.server_name.as_deref().unwrap_or_default(),
            client_certificate: client.map_or("", |client| &client.subject),
            fingerprint: client.map_or("", |client| &client.fingerprint),
        }
    }
}

/// Returns a subject as a field may carry it: visible ASCII, so that nothing in a certificate can
/// end a line.
fn visible(subject: &str) -> Box<str> {
    let visible = |char: char| if matches!(char, ' '..='~') { char } else { '?' };
    subject.chars().map(visible).collect::<String>().into()
}
