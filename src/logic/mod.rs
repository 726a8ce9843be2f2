//! Every decision the program takes, as pure state machines: bytes, events and `now` in, actions
//! out.
//!
//! Nothing here reads a clock, a file, a socket or chance. The folders do not import each other.

pub mod access;
pub mod balance;
pub mod descriptors;
pub mod http1;
pub mod lifecycle;
pub mod proxy_protocol;
pub mod tls;
pub mod track;
pub mod vrrp;
