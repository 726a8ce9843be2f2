//! Why a process could not be confined: what is vital, as opposed to what is merely said.

use std::io;

/// Why a process could not be confined.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    /// A capability set was refused.
    #[error("capability set {set}")]
    Capabilities {
        /// Which set.
        set: &'static str,
        /// What the kernel said.
        source: caps::errors::CapsError,
    },
    /// A system call was refused.
    #[error("{call}")]
    System {
        /// Which call.
        call: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Names the call in what the kernel said.
pub(super) fn system(call: &'static str) -> impl Fn(nix::errno::Errno) -> ConfineError {
    move |errno| ConfineError::System {
        call,
        source: errno.into(),
    }
}
