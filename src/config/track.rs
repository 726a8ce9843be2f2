//! What virtual routers follow, beside their own listeners and pools.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use crate::logic::track::script::Thresholds;
pub use crate::logic::track::{Condition, Effect, Source};

/// What an entry of `virtual_routers` follows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrackConfig {
    /// In the order of the file.
    pub conditions: Vec<Condition>,
    /// Those among their sources.
    pub processes: Vec<ProcessConfig>,
    /// Those among their sources.
    pub gateways: Vec<GatewayConfig>,
}

/// One entry of `track_scripts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackScriptConfig {
    /// The key under `track_scripts`.
    pub name: String,
    /// An absolute path.
    pub program: PathBuf,
    /// Without the program.
    pub arguments: Vec<String>,
    /// From the beginning of a run to that of the next.
    pub interval: Duration,
    /// How long a run may take.
    pub timeout: Duration,
    /// After how many runs the word on it changes.
    pub thresholds: Thresholds,
    /// Under whose name it runs.
    pub user: String,
}

/// A process that should be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessConfig {
    /// As in its source.
    pub label: String,
    /// Which it is.
    pub selector: ProcessSelector,
}

/// How a process is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProcessSelector {
    /// By the name of its program.
    Name(String),
    /// By the number in this file.
    Pidfile(PathBuf),
}

/// Gateways that should answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayConfig {
    /// As in its source.
    pub label: String,
    /// Where they are asked.
    pub interface: String,
    /// At least one.
    pub addresses: Vec<IpAddr>,
    /// So many must answer.
    pub at_least: usize,
    /// Between two questions.
    pub interval: Duration,
    /// After how many questions without an answer one is gone.
    pub fall: u32,
}
