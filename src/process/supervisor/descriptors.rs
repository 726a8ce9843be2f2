//! How many descriptors the daemon may have: as many as the system lets it.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises the soft limit of open files to the hard one, for this process and those it starts.
///
/// The soft limit is 1024 by old custom, for programs that use select(2); none of ours does.
///
/// # Errors
/// What the kernel said; the limit is as it was then.
pub(super) fn raise_limit() -> nix::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
}
