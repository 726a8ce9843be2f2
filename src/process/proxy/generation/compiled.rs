//! What of a configuration takes its time to compile: made on a thread aside, before its
//! generation.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::{Config, ListenerConfig, Mode, PoolConfig};
use crate::process::proxy::downstream::listener::Listener;
use crate::process::proxy::tls::acceptor::{Acceptor, AcceptorError, Offers};
use crate::process::proxy::tls::connector::{Connector, ConnectorError};
use crate::process::proxy::tls::tickets::SharedSecrets;
use crate::process::proxy::upstream::method::Methods;
use crate::process::proxy::upstream::pool::Pool;
use crate::process::proxy::upstream::pool::affinity::Affinity;

/// How pools pick and know sessions, and how listeners speak TLS.
pub(in crate::process::proxy) struct Compiled {
    pub(super) methods: Methods,
    acceptors: HashMap<String, Arc<Acceptor>>,
    connectors: HashMap<String, Arc<Connector>>,
    affinities: HashMap<String, Affinity>,
}

/// Why TLS cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub(in crate::process::proxy) enum TlsError {
    #[error(transparent)]
    Acceptor(#[from] AcceptorError),
    #[error(transparent)]
    Connector(#[from] ConnectorError),
}

impl Compiled {
    /// Compiles what a configuration needs that follows one with these pools and listeners.
    ///
    /// # Errors
    /// When a certificate cannot be used.
    pub(in crate::process::proxy) fn of(
        config: &Config,
        (old_pools, old_listeners): (&[Arc<Pool>], &[Arc<Listener>]),
        secrets: &Arc<SharedSecrets>,
    ) -> Result<Self, TlsError> {
        let olds = old_pools.iter();
        let olds: HashMap<_, _> = olds.map(|old| (old.name.as_str(), old)).collect();
        let methods = Methods::of(config, |name| olds.get(name).map(|old| old.parts()));
        let connectors = config.pools.iter().filter_map(|pool| {
            let tls = pool.tls.as_ref()?;
            let old = olds.get(pool.name.as_str());
            let old = old.and_then(|old| old.connector.as_deref());
            let connector = Connector::new(pool, tls, old).map(Arc::new);
            Some(connector.map(|connector| (pool.name.clone(), connector)))
        });
        let connectors = connectors.collect::<Result<_, _>>()?;
        let is_changed =
            |pool: &&PoolConfig| !olds.get(&*pool.name).is_some_and(|it| it.is_of(pool));
        let affinities = config.pools.iter().filter(is_changed).filter_map(|pool| {
            let affinity = Affinity::of(pool, secrets)?;
            Some((pool.name.clone(), affinity))
        });
        let affinities = affinities.collect();
        let olds = old_listeners.iter();
        let olds: HashMap<_, _> = olds.map(|old| (old.name.as_str(), old)).collect();
        let acceptors = config.listeners.iter().filter_map(|listener| {
            let tls = listener.tls.as_ref()?;
            let old = olds.get(listener.name.as_str());
            let old = old.and_then(|old| old.acceptor.as_ref());
            let offers = match (listener.mode, listener.http2.offered) {
                (Mode::Tcp, _) => Offers::Nothing,
                (Mode::Http, true) => Offers::Http2,
                (Mode::Http, false) => Offers::Http1,
            };
            let acceptor = match old.filter(|old| old.is_of(tls, offers)) {
                Some(same) => Ok(Arc::clone(same)),
                None => Acceptor::new(&listener.name, tls, offers, secrets).map(Arc::new),
            };
            Some(acceptor.map(|acceptor| (listener.name.clone(), acceptor)))
        });
        Ok(Self {
            methods,
            acceptors: acceptors.collect::<Result<_, _>>()?,
            connectors,
            affinities,
        })
    }

    /// Returns how a listener speaks TLS, where it does.
    pub(super) fn acceptor(&self, listener: &ListenerConfig) -> Option<Arc<Acceptor>> {
        self.acceptors.get(&listener.name).cloned()
    }

    /// Returns how sessions stay on the backends of a pool, where they do and it has changed.
    pub(super) fn take_affinity(&mut self, pool: &PoolConfig) -> Option<Affinity> {
        self.affinities.remove(&pool.name)
    }

    /// Returns how TLS is spoken to a pool, where it is.
    pub(super) fn connector(&self, pool: &PoolConfig) -> Option<Arc<Connector>> {
        self.connectors.get(&pool.name).cloned()
    }
}
