//! A body that was read whole, and what waits behind it.

use crate::process::proxy::io::buffers::Held;
use crate::process::proxy::spool::body::Body;

/// The body of a request.
pub(super) struct Buffered {
    pub(super) body: Box<Body>,
    /// What the client has sent behind it, while it is being sent.
    pub(super) behind: Option<Held>,
}
