//! What was found anew, on disk or elsewhere, and is to be taken up without a change of the text.

use std::sync::Arc;

use crate::config::Config;
use crate::process::supervisor::follow::news::{FollowedPools, News};
use crate::process::supervisor::keys::watch::Renewed;

/// Of each kind, the newest.
#[derive(Clone, Debug, Default)]
pub(crate) struct Renewal {
    pub(crate) certificates: Option<Renewed>,
    backends: FollowedPools,
}

impl Renewal {
    pub(crate) fn of_certificates(renewed: Renewed) -> Self {
        Self {
            certificates: Some(renewed),
            ..Self::default()
        }
    }

    pub(crate) fn of_backends(news: News) -> Self {
        let mut renewal = Self::default();
        renewal.backends.add(news);
        renewal
    }

    /// Takes over what was found since.
    pub(crate) fn add(&mut self, newer: Self) {
        match (&mut self.certificates, newer.certificates) {
            (Some(certificates), Some(newer)) => certificates.add(newer),
            (slot @ None, newer) => *slot = newer,
            (Some(_), None) => {}
        }
        self.backends.extend(newer.backends);
    }

    /// Leaves certificates out that were found beside another configuration than this.
    pub(crate) fn keep_certificates_of(&mut self, number: u64) {
        self.certificates.take_if(|it| it.number != number);
    }

    /// Lays it on a configuration, as far as that still names the same.
    pub(crate) fn apply(&self, config: &mut Config) {
        if let Some(renewed) = &self.certificates {
            for listener in &mut config.listeners {
                if let Some(tls) = &mut listener.tls
                    && let Some((sources, found)) = renewed.listeners.get(&listener.name)
                    && *sources == tls.certificates
                {
                    tls.found = Arc::clone(found);
                }
            }
            for pool in &mut config.pools {
                if let Some(tls) = &mut pool.tls
                    && let Some((source, found)) = renewed.pools.get(&pool.name)
                    && *source == tls.certificate
                {
                    tls.found = Arc::clone(found);
                }
            }
        }
        self.backends.apply(config);
    }
}
