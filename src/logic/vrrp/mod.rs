//! The virtual router of RFC 9568 (VRRP version 3, IPv4 and IPv6), without a socket or a clock.
//!
//! Read `interval`, `packet`, `state`, `announce`, then `router` and `group`.
//!
//! # Departures from RFC 9568
//!
//! - §5.2.8: for IPv4 we send the checksum with a pseudo-header, as RFC 5798 was read by keepalived
//!   and FRR, because they drop the other form; both forms are accepted.
//! - §5.1.1.3, §5.1.2.1, §5.1.2.3: between unicast peers, which the RFC does not know, an IPv6
//!   source may be global, and a TTL less than 255 by as many routers as are configured.
//! - §5.2.9, erratum 8300: an IPv6 advertisement that does not begin with a link-local address is
//!   counted and accepted, because those same peers send it. Ours begin with one.
//! - §6.4.1: an owner that is not ready to serve starts as Backup; readiness comes before
//!   preemption.
//! - §6.4.1, §6.4.2: `Initialize` and `Backup` may still hold the addresses for a moment
//!   (`release_at`), so that requests in flight end: make before break. They answer ARP and
//!   neighbor discovery until a peer speaks, then they are silent.
//! - §6.4.2: a router that could not install its addresses does not stand for some down intervals;
//!   and one that is not ready defers to every Active, as if Preempt_Mode were false.
//! - §6.1: Preempt_Mode false, or a delay, does not hold against an Active that cannot serve, which
//!   its priority says (`model::Rank`): a router that can serve replaces it.
//! - §6.4.2, §6.4.3: priority 0 is sent twice at once, since one lost packet would cost three
//!   intervals.
//! - §6.4.3: priority 0 is also sent by an Active whose priority is lowered, which then stands
//!   again with the lower priority (a re-election), at most once in 10 s and never by an owner.
//! - §6.4.3: an Active that yields sends one last advertisement with its own priority, so that the
//!   winner learns of the moment with two Actives and announces the addresses again.
//! - §6.4.3: the immediate answer to a lower priority, and to priority 0, is limited to one in a
//!   tenth of the interval; a limited answer is sent at the end of that time instead.
//! - §6.4.3: an Active that wakes later than its own Active_Down_Interval is a Backup before all
//!   else.
//! - §6.4.3: an Active whose advertisements the kernel has refused for three intervals leaves: its
//!   peers count as much of it as of one that is dead.
//! - §7.1: an advertisement that lists none of our addresses is another service's and discarded.
//! - §6.4.2: a virtual router of a sync group becomes Active when all of them would, and leaves
//!   when one of them does; the RFC knows no groups.
//! - §8.3.1: an advertisement from our own address is ignored, also in a tie.

pub mod announce;
pub mod anomaly;
pub mod counters;
pub mod interval;
pub mod packet;
pub mod packet_v2;
pub mod router;
pub mod sync_group;
pub mod state;

pub use announce::AnnouncementPlan;
pub use anomaly::Anomaly;
pub use counters::Counters;
pub use packet::{Advertisement, ChecksumForm, Envelope, Rejection};
pub use packet_v2::Authentication;
pub use router::VirtualRouter;
pub use state::{
    Action, Cause, Failure, LinkRules, LinkState, MemberState, Obstacle, Parameters, Peer, Preempt,
    State, Transition,
};
