//! Hosts and links of the lab: network namespaces, and what connects them.

pub mod host;
pub mod netlink;
pub mod network;
pub mod user_namespace;
