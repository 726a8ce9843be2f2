//! What is to be said of the configuration that runs.

use std::path::PathBuf;
use std::time::SystemTime;

use crate::config::checksum;
use crate::ipc::control::FailureStatus;
use crate::ipc::control::unix_ms;

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
