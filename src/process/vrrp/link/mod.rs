//! The link as the protocol thread sees it: sockets for advertisements, and the frames of
//! announcements.

pub mod socket;
pub mod sockets;
pub mod claims;
pub mod filter;
pub mod frames;
