//! What the supervisor asks the process `names`, over lines of their own, and what it answers.
//!
//! A line is a channel; whoever asks over it waits for nobody else's answers. What comes back may
//! be from the hands of a stranger: `process/supervisor/follow/line` says how far it is believed.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Look this name up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameAsked {
    /// Echoed in the answer; none is asked twice over a line.
    pub id: u64,
    /// As the configuration has it.
    pub host: String,
}

/// The answer, however late it comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameAnswered {
    /// As asked.
    pub id: u64,
    /// As asked.
    pub host: String,
    /// What the system's resolver says.
    pub addresses: Halves,
}

/// What is known of the addresses of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Half {
    /// At most [`ADDRESSES_MAX`], in no order.
    Addresses(Vec<IpAddr>),
    /// There is none, as the resolver says; for people.
    Empty(String),
    /// The resolver does not know, and why, for people.
    Failed(String),
}

/// IPv4, and IPv6.
pub type Halves = [Half; 2];

/// Why an answer without an address is empty.
pub const NO_ADDRESS: &str = "the answer has no address";
/// Names that are asked for at once over one line; one that the resolver does not answer keeps its
/// place until it does.
pub const ASKED_MAX: usize = 16;
/// Addresses of a kind that an answer has at most; the process leaves those out that are more.
pub const ADDRESSES_MAX: usize = 1024;
