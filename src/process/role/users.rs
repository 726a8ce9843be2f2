//! Users that own nothing, for the processes that talk to strangers and for the programs that
//! operators bring.
//!
//! They are looked up by name, the best first. That the two have not the same user is the point: a
//! proxy that was taken over must not signal, trace or read what a fencing program needs.

use caps::{CapSet, Capability};
use nix::unistd::{Gid, Uid, User, setgroups, setresgid, setresuid};

/// Users for the proxy.
pub(super) const PROXY: &[&str] = &["evenkeel-proxy", NOBODY];
/// Users for the process that keeps private keys: another than the proxy's where there is one.
pub(super) const KEYS: &[&str] = &["evenkeel-keys"];
/// Users for the process that looks names up.
pub(super) const NAMES: &[&str] = &["evenkeel-names", NOBODY];
/// Users for the process that operators look at.
pub(super) const ADMIN: &[&str] = &["evenkeel-admin", NOBODY];
/// The user of notify programs.
pub(super) const NOTIFY: &str = "evenkeel-notify";

/// As whom a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Identity {
    /// As the daemon, or whoever started that.
    AsStarted,
    /// As one who owns nothing.
    Own,
}

/// Returns the first of the users that exists.
pub(super) fn first(names: &[&str]) -> Option<User> {
    names
        .iter()
        .find_map(|name| User::from_name(name).ok().flatten())
}

/// Becomes the first of the users that exists, or says why not.
pub(super) fn become_first(names: &[&str]) -> Result<(), String> {
    let user =
        first(names).ok_or_else(|| format!("none of the users {} exists", names.join(", ")))?;
    if user.uid == Uid::effective() {
        return Err(format!("it was started as {}", user.name));
    }
    if !caps::has_cap(None, CapSet::Effective, Capability::CAP_KILL).unwrap_or(false) {
        return Err("without CAP_KILL the supervisor could not kill it as another user".into());
    }
    let refused = |call: &'static str| {
        let name = user.name.clone();
        move |errno: nix::errno::Errno| format!("{call} to {name}: {errno}")
    };
    setgroups(&[]).map_err(refused("setgroups"))?;
    set_ids(user.gid, user.uid).map_err(refused("setresuid"))
}

fn set_ids(gid: Gid, uid: Uid) -> nix::Result<()> {
    let was = (Gid::current(), Gid::effective());
    setresgid(gid, gid, gid)?;
    setresuid(uid, uid, uid).inspect_err(|_| {
        // Half a change would be neither user; going back can only fail where going was already
        // refused.
        let _ = setresgid(was.0, was.1, was.0);
    })
}

/// Owns nothing either, but many other programs run under its name.
pub(super) const NOBODY: &str = "nobody";
