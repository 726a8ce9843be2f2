//! Root without being root: a user namespace in which this process may make network namespaces.
//!
//! Inside it the user appears as root and owns what it makes; outside it nothing is gained. Some
//! distributions forbid it to ordinary users, each by another switch; the error names the switch
//! that is set.

use std::fs;
use std::io;

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};

use crate::lab::LabError;

/// Enters a user namespace as its root, with an empty network, unless the process is root already.
///
/// Must be called while the process has a single thread; the kernel refuses it later.
///
/// # Errors
/// When the kernel refuses a step; the error says how to mend it.
pub fn enter_user_namespace_if_needed() -> Result<(), LabError> {
    let (uid, gid) = (geteuid(), getegid());
    if uid.is_root() {
        return Ok(());
    }
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET)
        .map_err(|error| refused("unshare", error.into()))?;
    write("/proc/self/setgroups", "deny")?;
    write("/proc/self/uid_map", &format!("0 {uid} 1"))?;
    write("/proc/self/gid_map", &format!("0 {gid} 1"))
}

fn write(path: &'static str, text: &str) -> Result<(), LabError> {
    fs::write(path, text).map_err(|error| refused(path, error))
}

fn refused(step: &'static str, source: io::Error) -> LabError {
    LabError::UserNamespace {
        step,
        help: help(&|path| {
            let text = fs::read_to_string(path).ok()?;
            text.trim().parse().ok()
        }),
        source,
    }
}

/// Says which switch forbids it; `read` returns the number in a file under /proc/sys.
fn help(read: &dyn Fn(&str) -> Option<u64>) -> String {
    let switches = [
        ("kernel.unprivileged_userns_clone", 0, "1"),
        ("user.max_user_namespaces", 0, "10000"),
        ("kernel.apparmor_restrict_unprivileged_userns", 1, "0"),
    ];
    let set: Vec<String> = switches
        .iter()
        .filter(|(key, forbids, _)| {
            read(&format!("/proc/sys/{}", key.replace('.', "/"))) == Some(*forbids)
        })
        .map(|(key, forbids, allows)| {
            format!("{key} is {forbids}; `sysctl -w {key}={allows}` as root allows it")
        })
        .collect();
    if set.is_empty() {
        "run it as root; the sysctls that commonly forbid user namespaces do not, so a container \
         or a security module may"
            .to_owned()
    } else {
        format!("run it as root, or: {}", set.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_names_the_switch_that_forbids() {
        let text = help(&|path| {
            (path == "/proc/sys/kernel/apparmor_restrict_unprivileged_userns").then_some(1)
        });
        assert!(
            text.contains("sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"),
            "{text}"
        );
        assert!(!text.contains("max_user_namespaces"), "{text}");
    }

    #[test]
    fn help_speaks_of_containers_when_no_switch_is_set() {
        assert!(help(&|_| None).contains("container"));
    }
}
