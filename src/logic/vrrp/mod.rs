//! The virtual router of RFC 9568 (VRRP version 3, IPv4 and IPv6), without a socket or a clock.

pub mod announce;
pub mod interval;
pub mod packet;
pub mod router;

pub use packet::{Advertisement, Rejection};
pub use router::{
    Action, Cause, Counters, LinkState, Parameters, Preempt, State, Transition, VirtualRouter,
};
