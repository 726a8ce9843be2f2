//! A lab: hosts, links and faults in network namespaces that the program makes itself.
//!
//! `evenkeel demo`, the tests in `netns-tests` and the benches build their networks here. Nothing
//! in it touches the network of the machine: every change of a link, an address or a route happens
//! inside a namespace made by [`namespace::host::Host`], and ends with it. It needs root, or a user
//! namespace ([`namespace::user_namespace`]), and no other program. Begin to read at
//! [`namespace::network::Lab`].

pub mod namespace;
pub mod scratch;
pub mod process;
pub mod node;
pub mod websocket;
pub mod backend;
pub mod probe;
pub mod visitors;
pub mod attacks;
pub mod interrupt;
pub mod events;
pub mod pair;

use std::io;
use std::time::Duration;

/// Why the lab could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// No user namespace can be made by this user.
    #[error("not root, and a user namespace cannot be made ({step})\nhelp: {help}")]
    UserNamespace {
        /// What was tried.
        step: &'static str,
        /// How to mend it.
        help: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// A call of the system failed.
    #[error("cannot {action}")]
    System {
        /// What was tried.
        action: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// There is no host of this name.
    #[error("there is no host `{0}` in the lab")]
    NoSuchHost(String),
    /// A name is taken, or does not fit an interface's name.
    #[error("`{0}` cannot name a host: 1 to 15 letters, digits or hyphens, not taken yet")]
    BadName(String),
    /// An address does not parse.
    #[error("`{0}` is not an address with a prefix length, as 10.77.0.1/24 or fd77::1/64")]
    BadAddress(String),
    /// The thread of a host ended, or did not answer in time.
    #[error("the thread of host `{0}` does not answer")]
    HostSilent(String),
    /// Something did not come true in time.
    #[error("{what} did not happen within {} ms{seen}", within.as_millis())]
    Deadline {
        /// What was hoped for.
        what: String,
        /// How long was waited.
        within: Duration,
        /// What was seen instead: empty, or begins with a separator.
        seen: String,
    },
    /// A process of the lab ended although it should run.
    #[error("{name} ended early ({status}); its log:\n{log}")]
    EndedEarly {
        /// Which program.
        name: String,
        /// Its exit status.
        status: String,
        /// What it printed.
        log: String,
    },
}

impl LabError {
    /// Returns a function that makes a system error of what `action` met.
    pub fn system<E: Into<io::Error>>(action: impl Into<String>) -> impl FnOnce(E) -> Self {
        let action = action.into();
        move |source| Self::System {
            action,
            source: source.into(),
        }
    }
}
