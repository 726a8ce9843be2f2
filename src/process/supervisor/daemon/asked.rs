//! A status that was asked for, and what has come of it.

use std::collections::BTreeMap;
use std::time::Instant;

use tokio::sync::oneshot;

use crate::ipc::control::{AccessLogStatus, ListenerStatus, PoolStatus, Response, RouterStatus};

/// A status that waits for its parts.
pub(super) struct Asked {
    pub(super) id: u64,
    pub(super) reply: oneshot::Sender<Response>,
    pub(super) until: Instant,
    pub(super) routers: Option<(Vec<RouterStatus>, BTreeMap<String, u64>)>,
    pub(super) proxy: Option<ProxyPart>,
}

/// What the proxy says of itself.
#[derive(Default)]
pub(super) struct ProxyPart {
    pub(super) listeners: Vec<ListenerStatus>,
    pub(super) pools: Vec<PoolStatus>,
    pub(super) access_log: Option<AccessLogStatus>,
    pub(super) warnings: Vec<String>,
}
