//! TLS as the configuration wants it: whom clients get which certificate of, who signs, how
//! sessions are resumed, and how backends are spoken to.
//!
//! Private keys are in another process: read `signing`. Bytes are moved by `io::tls`.

pub(super) mod signing;
pub(super) mod keys;
pub(super) mod tickets;
pub(super) mod acceptor;
pub(super) mod connector;
pub(super) mod facts;
pub(super) mod hello;
