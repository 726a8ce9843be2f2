//! What changes of TLS: what the file says, and what was found beside it.

use std::collections::BTreeMap;
use std::path::Path;

use super::words::Words;
use crate::config::{
    Authorities, CertificateChain, CertificateSource, ClientCertificates, DefaultCertificate,
    FoundPoolTls, FoundTls, ListenerTls, PoolTls, Resumption, SecretSource, TlsVersion,
};
use crate::logic::tls::x509::Certificate;
use crate::model::Der;

/// Compares what a listener has.
pub(super) fn listener(old: Option<&ListenerTls>, new: Option<&ListenerTls>, words: &mut Words) {
    let (old, new) = match (old, new) {
        (None, None) => return,
        (None, Some(_)) => return words.say("tls begins"),
        (Some(_), None) => return words.say("tls ends"),
        (Some(old), Some(new)) => (old, new),
    };
    let ListenerTls {
        certificates,
        default,
        minimum_version,
        client_certificates,
        resumption,
        found,
    } = old;
    words.list("certificates", certificates, &new.certificates, source);
    let (before, after) = (self::default(default), self::default(&new.default));
    words.value("default_certificate", &before, &after);
    self::minimum_version(*minimum_version, new.minimum_version, words);
    clients(
        client_certificates.as_ref(),
        new.client_certificates.as_ref(),
        words,
    );
    let resumes = |resumption: Resumption| resumption == Resumption::Tickets;
    let (before, after) = (resumes(*resumption), resumes(new.resumption));
    words.value("resumption", &before, &after);
    let FoundTls {
        chains,
        client_roots,
    } = &**found;
    self::chains(chains, &new.found.chains, words);
    // Those of another file have their word.
    let ca = |tls: &ListenerTls| tls.client_certificates.as_ref().map(|it| it.ca.clone());
    if ca(old) == ca(new) {
        authorities(
            "client authorities",
            client_roots,
            &new.found.client_roots,
            words,
        );
    }
}

/// Compares what a pool has.
pub(super) fn pool(old: Option<&PoolTls>, new: Option<&PoolTls>, words: &mut Words) {
    let (old, new) = match (old, new) {
        (None, None) => return,
        (None, Some(_)) => return words.say("tls begins"),
        (Some(_), None) => return words.say("tls ends"),
        (Some(old), Some(new)) => (old, new),
    };
    let PoolTls {
        ca,
        server_name,
        verify,
        certificate,
        minimum_version,
        found,
    } = old;
    let shown = |ca: &Authorities| match ca {
        Authorities::System => "system".to_owned(),
        Authorities::File(path) => path.display().to_string(),
    };
    words.value("ca", &shown(ca), &shown(&new.ca));
    let (before, after) = (server_name.as_ref(), new.server_name.as_ref());
    words.optional("server_name", "the address", before, after);
    words.value("verify", verify, &new.verify);
    let shown = |certificate: &Option<CertificateSource>| certificate.as_ref().map(source);
    let (before, after) = (shown(certificate), shown(&new.certificate));
    words.optional("certificate", "none", before.as_ref(), after.as_ref());
    self::minimum_version(*minimum_version, new.minimum_version, words);
    let FoundPoolTls { roots, chain } = &**found;
    if *certificate == new.certificate {
        let (before, after) = (chain.as_slice(), new.found.chain.as_slice());
        chains(before, after, words);
    }
    if (ca, verify) == (&new.ca, &new.verify) {
        authorities("authorities", roots, &new.found.roots, words);
    }
}

/// Compares the secrets that nodes share, by where they are.
pub(super) fn secrets(old: &[SecretSource], new: &[SecretSource], words: &mut Words) {
    words.list("secret", old, new, |secret| match secret {
        SecretSource::File(path) => path.display().to_string(),
        SecretSource::Credential(name) => format!("credential {name}"),
    });
}

fn clients(old: Option<&ClientCertificates>, new: Option<&ClientCertificates>, words: &mut Words) {
    match (old, new) {
        (None, None) => {}
        (None, Some(_)) => words.say("client certificates are asked for"),
        (Some(_), None) => words.say("client certificates are not asked for any more"),
        (Some(ClientCertificates { ca, required }), Some(new)) => {
            let shown = |path: &Path| path.display().to_string();
            words.value("client certificates ca", &shown(ca), &shown(&new.ca));
            words.value("client certificates required", required, &new.required);
        }
    }
}

/// Compares certificates that were found, by where they were.
fn chains(old: &[CertificateChain], new: &[CertificateChain], words: &mut Words) {
    if old == new {
        return;
    }
    let (before, after) = (by_path(old), by_path(new));
    let mut some = false;
    for (path, chain) in &after {
        let change = match before.get(path) {
            None => "found",
            Some(old) if old == chain => continue,
            Some(_) => "changed",
        };
        some = true;
        words.say(format!("certificate of {} {change}", name(chain)));
    }
    for (_, chain) in before.iter().filter(|(path, _)| !after.contains_key(*path)) {
        some = true;
        words.say(format!("certificate of {} gone", name(chain)));
    }
    if !some {
        words.say("order of certificates changed");
    }
}

fn by_path(all: &[CertificateChain]) -> BTreeMap<&Path, &CertificateChain> {
    all.iter().map(|chain| (&*chain.path, chain)).collect()
}

fn authorities(what: &str, old: &[Der], new: &[Der], words: &mut Words) {
    if old != new {
        words.say(format!("{what} changed"));
    }
}

fn minimum_version(old: TlsVersion, new: TlsVersion, words: &mut Words) {
    let shown = |version: TlsVersion| match version {
        TlsVersion::Tls12 => "1.2",
        TlsVersion::Tls13 => "1.3",
    };
    words.value("minimum_version", &shown(old), &shown(new));
}

fn default(default: &DefaultCertificate) -> &str {
    match default {
        DefaultCertificate::First => "first",
        DefaultCertificate::Name(name) => name,
        DefaultCertificate::Refuse => "none",
    }
}

fn source(source: &CertificateSource) -> String {
    match source {
        CertificateSource::Path(path) => path.display().to_string(),
        CertificateSource::Pair { certificate, key } => {
            format!("{} with {}", certificate.display(), key.display())
        }
    }
}

/// Returns whose a certificate is, and where it was read.
fn name(chain: &CertificateChain) -> String {
    let leaf = chain.certificates.first();
    let read = leaf.and_then(|leaf| Certificate::parse(&leaf.0).ok());
    let path = chain.path.display();
    match read {
        Some(read) => match (read.subject.to_string(), read.dns_names.first()) {
            (subject, Some(name)) if subject.is_empty() => format!("{name} ({path})"),
            (subject, _) => format!("{subject} ({path})"),
        },
        None => path.to_string(),
    }
}
