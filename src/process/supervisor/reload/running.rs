//! What is to be said of the configuration that runs.

use std::path::PathBuf;
use std::time::SystemTime;

use crate::config::checksum;
use crate::ipc::control::FailureStatus;

/// What is to be said of the configuration that runs.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    /// The file that it was read from.
    pub(crate) file: PathBuf,
    pub(crate) checksum: String,
    pub(crate) generation: u64,
    pub(crate) since_ms: u64,
    pub(crate) last_failure: Option<FailureStatus>,
}

impl Running {
    /// Returns that of a configuration that the daemon starts with.
    pub(crate) fn first(file: PathBuf, yaml: &str) -> Self {
        Self {
            file,
            checksum: checksum(yaml),
            generation: 1,
            since_ms: unix_ms(SystemTime::now()),
            last_failure: None,
        }
    }
}

/// Returns milliseconds since 1970-01-01 UTC.
pub(crate) fn unix_ms(at: SystemTime) -> u64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}
