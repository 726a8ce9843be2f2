//! How fit this node is to hold the addresses of a virtual router.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Priority;

/// What tracking says about a virtual router.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fitness {
    /// It must not be Active: an Active gives the addresses up, a Backup does not stand.
    Fault(FaultCause),
    /// Not yet able to serve: Backup, not preempting. It does stand when no Active is heard at all.
    Unready,
    /// It stands with this effective priority.
    Ready(Priority),
}

impl fmt::Display for Fitness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault(_) => f.write_str("fault"),
            Self::Unready => f.write_str("unready"),
            Self::Ready(priority) => write!(f, "priority {priority}"),
        }
    }
}

/// Why a virtual router is in fault.
///
/// No condition of the proxy or of a pool is a fault: a node that cannot serve stands below the
/// others, see [`super::Rank`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultCause {
    /// Something that it was told to track forbids it.
    Tracking,
}

impl fmt::Display for FaultCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tracking => "tracking forbids it",
        })
    }
}
