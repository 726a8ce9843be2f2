//! TLS: what the file says of it, and what was in the files that it names.
//!
//! Private keys are in none of it: the process `keys` reads them, and says which certificates fit
//! one. Pure.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::{Der, KeyId, date_of_day};

/// The key `tls` of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerTls {
    /// Where its certificates are, in the order of the file.
    pub certificates: Vec<CertificateSource>,
    /// What a client gets that names no server, or one that no certificate is for.
    pub default: DefaultCertificate,
    /// The lowest version that is spoken.
    pub minimum_version: TlsVersion,
    /// Whether clients show certificates; `None`: they are not asked.
    pub client_certificates: Option<ClientCertificates>,
    /// Whether sessions are resumed.
    pub resumption: Resumption,
    /// What was in the files; empty until they are read.
    pub found: Arc<FoundTls>,
}

/// Where certificates are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CertificateSource {
    /// All that are in a directory, or one that is in a file with its key.
    Path(PathBuf),
    /// One, with its chain, and its key in the same file or in one of its own.
    Pair {
        /// The certificate, and those above it.
        certificate: PathBuf,
        /// Its private key.
        key: PathBuf,
    },
}

/// What a client gets that names no server, or one that no certificate is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DefaultCertificate {
    /// The first certificate.
    First,
    /// The one for this name.
    Name(String),
    /// A refusal.
    Refuse,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

/// Which certificates clients show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificates {
    /// The file with the authorities that are believed.
    pub ca: PathBuf,
    /// Whether a client without one is refused.
    pub required: bool,
}

/// Whether sessions are resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resumption {
    /// By tickets, of TLS 1.3 only (RFC 8446 §4.6.1).
    Tickets,
    /// Never.
    Never,
}

/// What was in the files of a listener.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundTls {
    /// In the order of the sources, and of names within a directory.
    pub chains: Vec<CertificateChain>,
    /// The authorities that clients' certificates are believed from.
    pub client_roots: Vec<Der>,
}

/// A certificate with those above it, which fits a private key that the process `keys` has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateChain {
    /// Where it was read.
    pub path: PathBuf,
    /// Its private key.
    pub key: KeyId,
    /// The names of servers that it is for.
    pub names: Vec<String>,
    /// From then on it holds, seconds since 1970-01-01 UTC.
    pub not_before: i64,
    /// Until then.
    pub not_after: i64,
    /// The certificate itself first, then each the one that has signed the one before.
    pub certificates: Vec<Der>,
}

impl CertificateChain {
    /// Returns for how many days it holds; below 0 where it has ended.
    pub fn days_left(&self, now_s: i64) -> i64 {
        self.not_after.saturating_sub(now_s).div_euclid(86_400)
    }

    /// Returns the day until which it holds, and how far that is.
    pub fn until(&self, now_s: i64) -> String {
        let day = u64::try_from(self.not_after / 86_400).unwrap_or(0);
        let (year, month, day) = date_of_day(day);
        let days = self.days_left(now_s);
        format!("{year:04}-{month:02}-{day:02} ({days} days)")
    }

    /// Returns what is wrong with its dates, or will be soon, for people.
    pub fn objection(&self, now_s: i64) -> Option<String> {
        let path = self.path.display();
        let names = self.names.join(", ");
        let until = self.until(now_s);
        if self.not_after < now_s {
            Some(format!(
                "the certificate for {names} ({path}) has ended: {until}"
            ))
        } else if self.not_before > now_s {
            let hours = (self.not_before - now_s) / 3600 + 1;
            Some(format!(
                "the certificate for {names} ({path}) does not hold yet, for {hours} h"
            ))
        } else if self.days_left(now_s) < WARNED_DAYS {
            Some(format!(
                "the certificate for {names} ({path}) ends soon: {until}"
            ))
        } else {
            None
        }
    }
}

/// So many days before its end a certificate is worth a word.
pub const WARNED_DAYS: i64 = 21;

/// The key `tls` of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolTls {
    /// Who is believed to have signed the certificates of backends.
    pub ca: Authorities,
    /// Whom a backend must be; `None`: the name it has in the file, or its address.
    pub server_name: Option<String>,
    /// Whether it is looked at who the backend is.
    pub verify: bool,
    /// What is shown to backends that ask.
    pub certificate: Option<CertificateSource>,
    /// The lowest version that is spoken.
    pub minimum_version: TlsVersion,
    /// What was in the files; empty until they are read.
    pub found: Arc<FoundPoolTls>,
}

/// Who is believed to have signed certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authorities {
    /// Whom the system believes.
    System,
    /// Those in a file.
    File(PathBuf),
}

/// What was in the files of a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundPoolTls {
    /// The authorities.
    pub roots: Vec<Der>,
    /// What is shown to backends.
    pub chain: Option<CertificateChain>,
}

/// The key `group`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupConfig {
    /// Files of the secret that the nodes share, the one that is used first; the others are still
    /// accepted. Empty: every node has one of its own.
    pub secret: Vec<SecretSource>,
}

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// In a file, by an absolute path.
    File(PathBuf),
    /// Among the credentials of the unit, by name.
    Credential(String),
}
