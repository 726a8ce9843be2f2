//! The three processes of the daemon, and the table of what each may do.

pub mod proxy;
pub mod role;
pub mod supervisor;
pub mod vrrp;
