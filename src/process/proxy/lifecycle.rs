//! How far the life of the proxy has come, and where it says so.

use std::sync::Arc;

use crate::ipc::message::FromProxy;

/// Where beats, readiness and health go: called from the proxy's own threads, it must not block.
pub type Events = Arc<dyn Fn(FromProxy) + Send + Sync>;

/// How far the proxy's life has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Accepting.
    Serving,
    /// Finishing.
    Draining,
    /// Cutting what is left.
    Cutting,
}
