//! The keys `tls` of listeners and pools, and the section `group` with the secret of the nodes.
//! Which files are there, and what is in them, is found by who reads them.

mod group;
mod listener;
mod pool;

use std::path::PathBuf;

use super::values::{one_of, path};
use crate::config::file::Kind;
use crate::config::reader::{Fields, Value};
use crate::config::report::Problems;
use crate::config::{CertificateSource, TlsVersion};

pub(super) use group::check as check_group;
pub(super) use group::check_secret;
pub(super) use listener::check as check_listener;
pub(super) use pool::check as check_pool;

/// Returns the lowest version that is spoken, 1.2 where the key is missing.
fn minimum_version(fields: &Fields<'_>, problems: &mut Problems) -> Option<TlsVersion> {
    let Some(value) = fields.get("minimum_version") else {
        return Some(TlsVersion::Tls12);
    };
    let help = "write `minimum_version: \"1.2\"` or `\"1.3\"`, with the quotes: without them YAML \
                reads a number";
    if matches!(value.node.kind, Kind::Int(_) | Kind::Float(_)) {
        value.wrong_with_help(
            "minimum_version must be text, found a number",
            help,
            problems,
        );
        return None;
    }
    if let Kind::Text(text) = &value.node.kind
        && matches!(&**text, "1.0" | "1.1" | "ssl3")
    {
        let message = format!("TLS {text} is not spoken: it is broken (RFC 8996)");
        value.wrong_with_help(message, help, problems);
        return None;
    }
    let words = [("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)];
    one_of(value, "a version of TLS", &words, help, problems)
}

/// A certificate with its chain in a file, and its key in another or the same.
fn check_pair(value: Value<'_>, problems: &mut Problems) -> Option<CertificateSource> {
    let fields = value.fields(&["certificate", "key"], problems)?;
    let example = "/etc/evenkeel/tls/www.crt";
    let certificate = fields.need("certificate", example, problems);
    let certificate = certificate.and_then(|value| check_file(value, example, problems));
    let example = "/etc/evenkeel/tls/www.key";
    let key = fields.need("key", example, problems);
    let key = key.and_then(|value| check_file(value, example, problems));
    Some(CertificateSource::Pair {
        certificate: certificate?,
        key: key?,
    })
}

fn check_file(value: Value<'_>, example: &str, problems: &mut Problems) -> Option<PathBuf> {
    let help = format!("write where the file is, from `/` on: `{example}`");
    path(value, "the path of a file", &help, problems)
}
