//! Finds what a configuration says of TLS in files: the certificates of listeners and pools, and
//! the authorities that they believe. Whole or not at all, with everything that is wrong at once.

use std::fmt;
use std::sync::Arc;

use super::authorities;
use super::held::{Held, Opened};
use super::reader::Pairs;
use super::sources::pairs_of;
use crate::config::{CertificateChain, CertificateSource, Config, FoundPoolTls, FoundTls};
use crate::config::{DefaultCertificate, ListenerTls};
use crate::ipc::control::CertificateStatus;
use crate::logic::tls::server_name::ServerNames;

/// All that is wrong with the files.
#[derive(Debug, Default)]
pub struct CertificateErrors(Vec<(String, String)>);

impl fmt::Display for CertificateErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (whose, why)) in self.0.iter().enumerate() {
            let before = if index == 0 { "" } else { "\n" };
            write!(f, "{before}error: {whose}: {why}")?;
        }
        Ok(())
    }
}

impl std::error::Error for CertificateErrors {}

/// Returns whether a configuration speaks TLS anywhere.
pub(crate) fn has_tls(config: &Config) -> bool {
    config.listeners.iter().any(|it| it.tls.is_some())
        || config.pools.iter().any(|it| it.tls.is_some())
}

/// Finds all of it, and lays it into the configuration; returns the files that were opened.
///
/// # Errors
/// When anything is wrong with any of them.
pub(crate) fn find(config: &mut Config, pairs: &dyn Pairs) -> Result<Held, CertificateErrors> {
    let mut held = Held::default();
    let mut errors = CertificateErrors::default();
    for listener in &mut config.listeners {
        let Some(tls) = &mut listener.tls else {
            continue;
        };
        let whose = format!("listener {}", listener.name);
        match of_listener(tls, pairs, &mut held) {
            Ok(found) => tls.found = Arc::new(found),
            Err(all) => errors.add(&whose, all),
        }
    }
    for pool in &mut config.pools {
        let Some(tls) = &mut pool.tls else { continue };
        let whose = format!("pool {}", pool.name);
        let roots = match tls.verify {
            true => authorities::of_pool(&tls.ca),
            false => Ok(Vec::new()),
        };
        let shown = tls.certificate.as_ref();
        let chain = shown.map(|source| of_source(source, pairs, &mut held));
        match (roots, chain.transpose()) {
            (Ok(roots), Ok(chains)) => {
                tls.found = Arc::new(FoundPoolTls {
                    roots,
                    chain: chains.and_then(|chains| chains.into_iter().next()),
                });
            }
            (roots, chain) => {
                errors.add(&whose, roots.err().into_iter().collect());
                errors.add(&whose, chain.err().unwrap_or_default());
            }
        }
    }
    match errors.0.is_empty() {
        true => Ok(held),
        false => Err(errors),
    }
}

impl CertificateErrors {
    fn add(&mut self, whose: &str, all: Vec<String>) {
        self.0
            .extend(all.into_iter().map(|why| (whose.to_owned(), why)));
    }
}

/// Finds what a listener has; what is wrong with it is for people.
pub(crate) fn of_listener(
    tls: &ListenerTls,
    pairs: &dyn Pairs,
    held: &mut Held,
) -> Result<FoundTls, Vec<String>> {
    let mut wrong = Vec::new();
    let mut chains = Vec::new();
    for source in &tls.certificates {
        match of_source(source, pairs, held) {
            Ok(some) => chains.extend(some),
            Err(all) => wrong.extend(all),
        }
    }
    let clients = tls.client_certificates.as_ref();
    let roots = clients.map(|clients| authorities::of_file(&clients.ca));
    let client_roots = roots.transpose().unwrap_or_else(|why| {
        wrong.push(why);
        None
    });
    if wrong.is_empty()
        && let DefaultCertificate::Name(name) = &tls.default
        && names_of(&chains).find(name).is_none()
    {
        wrong.push(format!(
            "none of its certificates is for `{name}`\nhelp: name one of them under \
             `default_certificate`, or `first`, or `none`"
        ));
    }
    match wrong.is_empty() {
        true => Ok(FoundTls {
            chains,
            client_roots: client_roots.unwrap_or_default(),
        }),
        false => Err(wrong),
    }
}

/// Returns whom certificates are for, by their index.
fn names_of(chains: &[CertificateChain]) -> ServerNames {
    let names = chains.iter().map(|chain| chain.names.clone());
    ServerNames::new(&names.collect::<Vec<_>>())
}

/// Returns what is to be known of the dates of certificates, for people; of each once.
pub(crate) fn notes(config: &Config, now_s: i64) -> Vec<String> {
    let of_listeners = config.listeners.iter().filter_map(|it| it.tls.as_ref());
    let of_listeners = of_listeners.flat_map(|tls| &tls.found.chains);
    let of_pools = config.pools.iter().filter_map(|it| it.tls.as_ref());
    let of_pools = of_pools.filter_map(|tls| tls.found.chain.as_ref());
    let mut notes: Vec<String> = of_listeners
        .chain(of_pools)
        .filter_map(|chain| chain.objection(now_s))
        .collect();
    notes.sort();
    notes.dedup();
    notes.truncate(NOTES_MAX);
    notes
}

/// Returns the certificates of a listener for `status`: those that end first.
pub(crate) fn status_of(tls: &ListenerTls, now_s: i64) -> Vec<CertificateStatus> {
    let mut chains: Vec<&CertificateChain> = tls.found.chains.iter().collect();
    chains.sort_by_key(|chain| chain.not_after);
    let shown = chains.into_iter().take(NOTES_MAX);
    shown
        .map(|chain| CertificateStatus {
            names: chain.names.clone(),
            file: chain.path.display().to_string(),
            not_after_s: chain.not_after,
            days_left: chain.days_left(now_s),
        })
        .collect()
}

/// Of more nobody reads.
const NOTES_MAX: usize = 100;

fn of_source(
    source: &CertificateSource,
    pairs: &dyn Pairs,
    held: &mut Held,
) -> Result<Vec<CertificateChain>, Vec<String>> {
    let files = pairs_of(source).map_err(|error| {
        let (CertificateSource::Path(path)
        | CertificateSource::Pair {
            certificate: path, ..
        }) = source;
        let help = "put `NAME.pem` with certificates and key into it, or `NAME.crt` and `NAME.key`";
        vec![format!("{}: {error}\nhelp: {help}", path.display())]
    })?;
    let mut chains = Vec::new();
    let mut wrong = Vec::new();
    for files in files {
        let path = &files.certificate;
        if let Some(opened) = held.get(path) {
            chains.push(opened.chain.clone());
            continue;
        }
        match Opened::read(&files, pairs) {
            Ok(opened) => {
                chains.push(opened.chain.clone());
                held.insert(path.clone(), Arc::new(opened));
            }
            Err(why) if why.starts_with(&*path.to_string_lossy()) => wrong.push(why),
            Err(why) => wrong.push(format!("{}: {why}", path.display())),
        }
    }
    match wrong.is_empty() {
        true => Ok(chains),
        false => Err(wrong),
    }
}
