//! The vrrp process: advertisements in and out, and the virtual addresses on the host.
//!
//! Two threads. The protocol thread (`run`: a plain loop on `ppoll`) drains every socket, acts on
//! due timers, performs what the virtual routers ask for, and beats to the supervisor. The host
//! thread (`host`) does all that may block: netlink and nftables. The protocol thread never waits
//! for it. Nothing here opens a file, runs a script or reads anything from strangers but protocol
//! 112.
//!
//! Read `boundary` (the supervisor as seen from here), `run`, `router` (one virtual router and its
//! surroundings), `socket`, `frames`, then `host`.

pub mod routers;
mod gateways;
pub mod link;
pub mod boundary;
pub mod clock;
pub mod host;
pub mod realtime;
pub mod outbox;
pub mod run;
pub mod router;
pub mod status;
pub mod watch;

pub use boundary::{Received, Sent, Supervisor};
pub use run::{Error, run};
